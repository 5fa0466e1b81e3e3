"""The verdict in words: what runs that agree, scatter, rival each other or do not fit are said to be."""

from __future__ import annotations

import numpy as np
import pytest
from braggfill.phasing import verdict
from braggfill.physics import align
from phasing_objects import crystal, run


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
