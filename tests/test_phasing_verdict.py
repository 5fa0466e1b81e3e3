"""The verdict in words: what runs that agree, scatter, rival each other or do not fit are said to be."""

from __future__ import annotations

import numpy as np
import pytest
from braggfill.phasing import engines, judging, phase, verdict
from braggfill.physics import align
from phasing_objects import counted, crystal, run


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return crystal()


def test_the_verdict_in_words(truth):
    rng = np.random.default_rng(5)

    def other():
        inside = np.abs(crystal(seed=int(rng.integers(100)))) > 0
        return (inside * np.exp(2j * np.pi * rng.random(truth.shape))).astype(np.complex64)

    def told(*runs):
        return verdict.judge(runs, verdict.Agreement(), 1.0).word

    assert told(run(truth, 2.4), run(align.twin(truth), 2.7), run(other(), 9.0)) == "converged"
    assert told(run(truth, 2.8), run(align.twin(truth), 2.9)) == "uncertain"  # does not fit
    assert told(run(truth, 2.4), run(align.twin(truth), 6.0)) == "uncertain"  # what confirms it fits far worse
    assert told(run(truth, 2.4), run(truth, 2.7, "bred")) == "uncertain"
    assert told(run(truth, 1.2)) == "converged"
    assert told(run(truth, 3.0)) == "uncertain"
    assert told(run(truth, 3.0), run(truth, 3.1), run(other(), 3.2)) == "uncertain"
    assert told(run(other(), 30.0), run(other(), 31.0), run(other(), 32.0)) == "failed"
    assert told(run(truth, 3.0, problem="diverged")) == "failed"


def test_starts_that_come_close_make_the_result_and_are_not_called_different(truth):
    """As on measured scans: correlations of 0.8 to 0.95."""
    rng = np.random.default_rng(6)

    def near():
        inside = np.abs(truth) > 0
        return (truth * np.exp(0.65j * rng.normal(size=truth.shape)) * inside).astype(np.complex64)

    runs = [run(truth, 5.0), run(near(), 5.2), run(near(), 5.4), run(near(), 5.5)]
    known = verdict.Agreement()
    assert all(verdict.NEAR < known(one, runs[0]) < verdict.AGREE for one in runs[1:])
    found = verdict.judge(runs, known, 1.0)
    assert found.word == "uncertain"
    assert "4 starts are close (correlation 0.8" in found.why
    assert verdict.group(runs, known) == [0, 1, 2, 3]
    found = verdict.judge([run(truth, 5.0), run(align.twin(truth), 5.1), *runs[1:]], verdict.Agreement(), 1.0)
    assert found.word == "uncertain"
    assert "2 starts gave the same object, 3 that fit as well only come close (correlation 0.8" in found.why
    assert verdict.close(runs, known)
    assert not verdict.close(runs[:2], known)
    assert verdict.NEAR < verdict.support_of(runs, known) < verdict.AGREE


def test_starts_that_agree_on_what_does_not_fit_have_not_converged(truth):
    """All kinds of starts may end in one wrong object (seen with two cosines): only voxels kept out can tell."""
    same = [run(truth, 15.2, "coarse"), run(align.twin(truth), 15.8, "coarse"), run(truth, 16.0, "random")]
    found = verdict.judge(same, verdict.Agreement(), 0.96)
    assert found.word == "uncertain"
    assert "gave the same object (correlation 1.00), but it does not fit voxels kept out" in found.why
    assert verdict.judge(same, verdict.Agreement(), 7.0).word == "converged"


def test_a_search_is_not_over_while_something_else_fits_as_well(truth):
    rng = np.random.default_rng(7)
    other = (truth * np.exp(2j * np.pi * rng.random(truth.shape))).astype(np.complex64)
    known = verdict.Agreement()
    same = [run(truth, 12.0 + 0.1 * n) for n in range(4)]
    assert verdict.close(same, known)
    assert verdict.close([*same, run(other, 30.0)], known)
    assert not verdict.close([*same, run(other, 13.0)], known)


def alike(truth, by=0.65, seed=8):
    """An object that comes close to another one, as on measured scans."""
    turned = np.exp(by * 1j * np.random.default_rng(seed).normal(size=truth.shape))
    return (truth * turned).astype(np.complex64)


def test_of_equal_fits_that_which_others_come_close_to_comes_first(truth):
    """On a scan that holds what no crystal explains, a loose support fits a little better than several tight ones."""
    rng = np.random.default_rng(9)
    halo = (0.3 * np.exp(2j * np.pi * rng.random(truth.shape))).astype(np.complex64)
    loose, tight = run(truth * np.exp(1.5j * rng.normal(size=truth.shape)) + halo, 1.41), run(truth, 1.43)
    near = [run(alike(truth, seed=seed), 1.45 + 0.1 * seed) for seed in (0, 1)]
    known = verdict.Agreement()
    assert verdict.ordered([loose, tight, *near], known) == [tight, loose, *near]
    assert verdict.ordered([loose, tight, near[0]], known) == [loose, tight, near[0]]  # one is not several
    why = verdict.judge([tight, loose, *near], known, 0.4).why
    assert "3 starts are close (correlation 0.8" in why
    assert "1 that fit as well gave something else" in why
    better = run(loose.obj, 1.2)
    assert verdict.ordered([better, tight, *near], known)[0] is better
    failed = run(truth, 1.0, problem="diverged")
    assert verdict.ordered([failed, loose, tight, *near], known) == [tight, failed, loose, *near]
    assert verdict.ordered([], known) == []
    bred = [run(alike(truth, seed=seed), 1.45, "bred") for seed in (0, 1)]
    assert verdict.ordered([loose, tight, *bred], known)[0] is loose


def test_fits_have_a_floor_where_several_independent_starts_end_there(truth):
    assert verdict.floor([run(truth, fit) for fit in (5.0, 5.2, 5.4, 9.0)])
    assert verdict.floor([run(truth, fit) for fit in (5.2, 5.4, 5.0)])
    assert not verdict.floor([run(truth, fit) for fit in (5.0, 5.2, 5.9, 9.0)])
    assert not verdict.floor([run(truth, 5.0), run(truth, 5.2), run(truth, 5.1, "bred")])
    assert not verdict.floor([run(truth, 5.0), run(truth, 5.1)])


@pytest.mark.parametrize("axis", range(3))
def test_a_plane_of_voxels_is_no_crystal(truth, axis):
    """Where a pattern does not fall off along an axis, a plane explains it to the noise."""
    middle = [slice(None)] * 3
    middle[axis] = slice(truth.shape[axis] // 2, truth.shape[axis] // 2 + 1)
    plane = 0.05 * truth
    plane[tuple(middle)] = truth[tuple(middle)]
    found = verdict.judge([run(plane, 0.9), run(plane, 0.95)], verdict.Agreement(), 1.0)
    assert found.word == "failed"
    assert f"voxels thick along axis {axis}" in found.why
    np.testing.assert_allclose(verdict.thickness(run(np.ones((4, 5, 6), complex), 1.0)), [4, 5, 6])
    thin = np.zeros((12, 12, 12), complex)
    thin[5:7, 3:9, 3:9] = 1
    assert verdict.judge([run(thin, 0.9), run(thin, 0.95)], verdict.Agreement(), 1.0).word == "converged"


def test_starts_that_one_network_gave_are_one_witness(truth):
    """They share what it may have got wrong, so that only a good fit speaks for what they alone agree on."""
    same = [run(truth, fit, "network") for fit in (1.5, 1.6)]
    found = verdict.judge(same, verdict.Agreement(), 1.0)
    assert found.word == "converged"
    assert "2 starts from a network gave the same object" in found.why
    assert verdict.judge([run(truth, 1.9, "network"), run(truth, 1.95, "network")], verdict.Agreement(), 1.0).word == (
        "uncertain"
    )
    confirmed = verdict.judge([run(truth, 2.3, "network"), run(truth, 2.4, "coarse")], verdict.Agreement(), 1.0)
    assert confirmed.word == "converged"
    near = [run(truth, 1.5, "network"), run(alike(truth, 0.26), 1.55, "network")]
    assert verdict.AGREE < verdict.Agreement()(near[1], near[0]) < verdict.ALIKE
    found = verdict.judge(near, verdict.Agreement(), 1.0)
    assert found.word == "uncertain"
    assert "starts from one network" in found.why
    assert verdict.judge([*near, run(truth, 1.7)], verdict.Agreement(), 1.0).word == "converged"
    assert "2 independent starts" in confirmed.why
    seen = [run(truth, fit, "network") for fit in (5.0, 5.1, 5.2, 5.3)]
    assert not verdict.floor(seen)
    assert not verdict.close(seen, verdict.Agreement())
    others = [run(truth, fit) for fit in (5.2, 5.3)]
    assert verdict.floor([*seen, *others])
    assert verdict.close([*seen, *others], verdict.Agreement())
    loose = run(alike(truth, 1.5), 4.9)
    assert verdict.ordered([loose, *seen], verdict.Agreement())[0] is loose
    assert verdict.ordered([loose, *seen, *others], verdict.Agreement())[0] is seen[0]
    assert verdict.independent([seen[1], run(truth, 6.0, "bred"), seen[0], *others]) == [seen[1], *others]


def endless(runs):
    """An engine that never finds anything else."""

    def rounds(pattern, recipe, context):
        for _ in range(50):
            context.cycles += 1
            yield list(runs)

    return rounds


@pytest.mark.parametrize(
    ("fits", "noise", "idle"),
    [
        ((3.4, 3.5, 3.6), 1.0, phase.PATIENCE),  # little more than noise, and no start gets lower
        ((34.0, 35.0, 36.0), 1.0, phase.LONG_PATIENCE),
        ((3.4, 4.2, 6.0), 1.0, phase.LAST_PATIENCE),  # one is better than the others: it may be found again
        ((34.0, 42.0, 60.0), 1.0, phase.LAST_PATIENCE),
        ((2.4, 4.2, 6.0), 1.0, 49),  # it fits, and waits to be confirmed
    ],
)
def test_a_search_whose_starts_keep_disagreeing_ends(truth, monkeypatch, fits, noise, idle):
    rng = np.random.default_rng(10)
    inside = np.abs(truth) > 0
    objects = [(truth * np.exp(2j * np.pi * 0.35 * rng.random() * rng.normal(size=truth.shape))) for _ in fits]
    runs = [run(np.where(inside, obj, 0).astype(np.complex64), fit) for obj, fit in zip(objects, fits, strict=True)]
    monkeypatch.setitem(engines.ENGINES, "auto", endless(runs))
    monkeypatch.setattr(judging, "expected", lambda pattern, run: noise)
    monkeypatch.setattr(phase, "_refine", lambda pattern, runs, *rest: [(one.obj, one.support) for one in runs])
    found = phase.phase_pattern(counted(truth)[0], threads=1)
    assert not verdict.close(runs, verdict.Agreement())
    assert found.verdict.word != verdict.CONVERGED
    assert found.cycles == 1 + idle
