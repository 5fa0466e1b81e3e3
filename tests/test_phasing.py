"""Laws of the engine: its cycles, supports, resolutions, voxels kept out and the figures that they give."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import scipy.fft
import torch
from braggfill.errors import BraggfillError
from braggfill.phasing import coherence, cycling, free, pattern, starts, strategy, support
from braggfill.phasing.projections import Measured, Projections, blur, from_layout, gaussian, to_layout
from braggfill.phasing.recipe import Recipe, Schedule
from braggfill.physics import fourier
from phasing_objects import counted, crystal

pynx = pytest.mark.skipif(importlib.util.find_spec("pynx") is None, reason="needs PyNX")


def begin(obj: np.ndarray, measured: Measured, inside: np.ndarray) -> Projections:
    return Projections(measured, to_layout(obj)[None].clone(), to_layout(inside)[None])


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return crystal()


@pytest.fixture(scope="module")
def counts(truth) -> np.ndarray:
    return counted(truth)[0]


@pynx
@pytest.mark.pynx
@pytest.mark.parametrize("algorithm", ["HIO", "RAAR", "ER"])
def test_cycles_are_those_of_pynx(truth, counts, algorithm, monkeypatch):
    monkeypatch.setenv("PYNX_PU", "cpu")
    import pynx.cdi as cdi

    missing = np.zeros(counts.shape, bool)
    missing[:, 18:21] = True
    inside = np.abs(truth) > 0
    obj = 100 * starts.random(inside, np.random.default_rng(1))
    theirs = cdi.CDI(np.fft.ifftshift(counts), mask=np.fft.ifftshift(missing))
    theirs.set_support(np.fft.ifftshift(inside))
    theirs.set_obj(np.fft.ifftshift(obj).copy())
    ours = begin(obj, Measured(counts, ~missing), inside)
    operator = getattr(cdi, algorithm)
    for _ in range(12):
        theirs = (operator() if algorithm == "ER" else operator(beta=0.9)) * theirs
        ours.run(algorithm, 1, beta=0.9)
        wanted = theirs.get_obj()
        assert np.linalg.norm(ours.obj[0].numpy() - wanted) < 2e-6 * np.linalg.norm(wanted)
        # Both go on from the same object, because rounding grows from cycle to cycle.
        ours.obj[0] = torch.from_numpy(wanted.copy())


@pytest.mark.parametrize("shape", [(32, 32, 32), (27, 30, 33)])
@pytest.mark.parametrize("algorithm", ["HIO", "RAAR", "ER"])
def test_the_truth_stays(shape, algorithm):
    obj = crystal(shape)
    expected = np.abs(fourier.forward(obj)) ** 2
    work = begin(obj, Measured(expected), np.abs(obj) > 0)
    work.run(algorithm, 30)
    np.testing.assert_allclose(from_layout(work.obj)[0] * (np.abs(obj) > 0), obj, atol=2e-4)
    assert float(work.residual()[0]) < 1e-6


def test_values_that_are_missing_do_not_matter(truth, counts):
    missing = np.zeros(counts.shape, bool)
    missing[:, 20:24] = True
    inside = np.abs(truth) > 0
    obj = starts.random(inside, np.random.default_rng(1))
    results = []
    for values in (counts, np.where(missing, 1e9, counts), np.where(missing, np.nan, counts)):
        work = begin(obj, Measured(values, ~missing), inside)
        work.run("HIO", 10)
        results.append(work.obj)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_a_weight_pulls_as_far_as_it_says(counts):
    rng = np.random.default_rng(2)
    wave = torch.from_numpy(rng.normal(size=(1, *counts.shape)) + 1j * rng.normal(size=(1, *counts.shape)))
    wave = wave.to(torch.complex64)
    moduli = {}
    for weight in (0.0, 0.3, 1.0):
        measured = Measured(counts, np.full(counts.shape, weight))
        fitted = wave.clone()
        begin(np.zeros(counts.shape, np.complex64), measured, np.ones(counts.shape, bool)).fit(fitted)
        moduli[weight] = fitted.abs()
        turned = fitted * wave.conj()
        assert float(turned.imag.abs().max()) < 1e-3 * float(turned.abs().max())
    torch.testing.assert_close(moduli[0.0], wave.abs())
    torch.testing.assert_close(moduli[1.0], to_layout(np.sqrt(counts))[None], rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(moduli[0.3], 0.7 * moduli[0.0] + 0.3 * moduli[1.0], rtol=1e-4, atol=1e-3)


def test_over_relaxation_of_one_is_none_and_others_are_not(truth, counts):
    inside = np.abs(truth) > 0
    obj = starts.random(inside, np.random.default_rng(1))
    done = []
    for factors in (None, [1.0] * 5, [0.6, 1.4, 0.9, 1.2, 0.7]):
        work = begin(obj, Measured(counts), inside)
        work.run("HIO", 5, relaxations=factors)
        done.append(work.obj)
    assert torch.equal(done[0], done[1])
    assert not torch.allclose(done[0], done[2])


def test_a_batch_is_its_starts_and_threads_change_no_bit(counts):
    inside = support.autocorrelation(counts)
    recipe = Recipe(support_period=5)
    schedule = Schedule((("HIO", 10), ("RAAR", 10)), 5, (1.5, 0.6))

    def begun():
        made = [np.random.default_rng(i) for i in range(3)]
        return [starts.Start(starts.random(inside, rng), inside, 0.2, rng, i) for i, rng in enumerate(made)]

    measured = Measured(counts)
    before = torch.get_num_threads()
    alone, side = (cycling.cycle(measured, begun(), schedule, recipe, threads=threads) for threads in (1, 3))
    assert torch.get_num_threads() == before
    batch = cycling._batch(measured, begun(), schedule, recipe, None)
    for one, two, three in zip(alone, side, batch, strict=True):
        np.testing.assert_array_equal(one.obj, two.obj)
        np.testing.assert_allclose(one.obj, three.obj, atol=1e-2 * np.abs(one.obj).max())
    assert not np.array_equal(alone[0].obj, alone[1].obj)


def test_a_stop_is_heard_in_every_cycle(truth, counts):
    work = begin(truth, Measured(counts), np.abs(truth) > 0)
    answers = iter([False] * 3 + [True])
    work.run("ER", 100, should_stop=lambda: next(answers))
    assert work.cycle == 3


@pytest.mark.parametrize("shape", [(8, 9, 10), (7, 7, 12)])
def test_a_blur_keeps_the_sum_and_widens(shape):
    values = torch.zeros((1, *shape))
    values[0, 0, 0, 0] = 1
    spread = blur(values, gaussian(shape, (1.0, 0.5, 0.8)))
    assert float(spread.sum()) == pytest.approx(1, abs=1e-5)
    line = spread[0].sum(dim=(1, 2))
    place = torch.fft.fftfreq(shape[0]) * shape[0]
    assert float((line * place**2).sum()) == pytest.approx(1, rel=0.05)
    torch.testing.assert_close(blur(values, gaussian(shape, 0.0)), values, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["gaussian", "lorentzian"])
def test_the_kind_and_the_width_of_a_blur_are_found(truth, kind):
    expected = np.abs(fourier.forward(truth)) ** 2
    expected *= 1e5 / expected.max()
    scaled = truth * np.sqrt(expected.sum() / (np.abs(truth) ** 2).sum())
    wanted = coherence.Blur((0.8, 0.5, 0.6), kind)
    counts = np.random.default_rng(1).poisson(coherence.blurred(expected, wanted)).astype(np.float32)
    used = np.ones(counts.shape, bool)
    found = coherence.estimate(scaled, counts, used)
    assert found.kind == kind
    np.testing.assert_allclose(found.widths, wanted.widths, atol=0.05)
    sharp = np.random.default_rng(1).poisson(expected).astype(np.float32)
    found = coherence.estimate(scaled, sharp, used)
    assert found is None or max(found.widths) < 0.2
    assert coherence.estimate(scaled, counts, used, should_stop=lambda: True) is None


@pytest.mark.parametrize("kind", coherence.TRANSFORMS)
@pytest.mark.parametrize("width", [0.15, 0.3, 0.6, 2.0])
def test_a_blur_has_no_negative_values_and_loses_nothing(kind, width):
    blur = coherence.Blur((width,) * 3, kind)
    point = np.zeros((12, 13, 16))
    point[6, 6, 8] = 1
    spread = scipy.fft.irfftn(np.fft.rfftn(point) * coherence.transform(point.shape, blur), s=point.shape)
    assert spread.min() > -1e-6
    assert spread.sum() == pytest.approx(1, abs=1e-5)
    with pytest.raises(BraggfillError, match="gaussian"):
        coherence.Blur((1.0,) * 3, "square")


@pytest.mark.parametrize("algorithm", ["HIO", "RAAR", "ER"])
def test_cycles_with_a_narrow_blur_stay_finite(truth, algorithm):
    """A kernel with negative values makes a model of zero next to a bright voxel, and the cycles grow without end."""
    blur = coherence.Blur((0.3, 0.25, 0.2))
    expected = coherence.blurred(np.abs(fourier.forward(truth)) ** 2, blur)
    counts = np.random.default_rng(1).poisson(expected * 1e5 / expected.max()).astype(np.float32)
    inside = np.abs(truth) > 0
    work = begin(100 * starts.random(inside, np.random.default_rng(2)), Measured(counts, blur=blur), inside)
    work.rescale()
    work.run(algorithm, 40)
    work.run("ER", 20)
    assert float(work.residual()[0]) < 0.1
    assert float(work.obj.abs().max()) < 50 * np.sqrt(counts.sum() / inside.sum())


def test_supports_keep_their_bounds():
    rng = np.random.default_rng(3)
    obj = torch.from_numpy(rng.normal(size=(2, 16, 16, 16)) + 0j).to(torch.complex64)
    inside = torch.ones(obj.shape, dtype=torch.bool)
    for threshold, share in ((0.01, 0.3), (50.0, 0.01)):
        new = support.update(obj, inside, threshold=threshold, width=0, bounds=(0.01, 0.3))
        np.testing.assert_allclose(new.float().mean(dim=(1, 2, 3)), share, rtol=0.05)
    new = support.update(obj, inside, threshold=[1.2, 2.0], width=0)
    assert new[0].sum() > new[1].sum()


def test_faint_voxels_around_the_object_do_not_let_the_support_grow(truth):
    """The rms over a support that is mostly empty is low; the level that it sets must not fall without end."""
    rng = np.random.default_rng(4)
    inside = np.abs(truth) > 0
    haze = 0.05 * (rng.normal(size=truth.shape) + 1j * rng.normal(size=truth.shape))
    obj = to_layout((truth + haze).astype(np.complex64))[None]
    wide = torch.ones(obj.shape, dtype=torch.bool)
    free, held = (
        support.update(obj, wide, threshold=0.3, width=0, bounds=(0, 1), looseness=k).sum() / inside.sum()
        for k in (float("inf"), 2.0)
    )
    assert free > 3
    assert 0.9 < held < 1.6


def test_an_update_follows_the_object(truth):
    obj = to_layout(truth)[None]
    wide = to_layout(support.autocorrelation(np.abs(fourier.forward(truth)) ** 2))[None]
    new = support.update(obj, wide, threshold=0.5, width=0)
    assert torch.equal(new, obj.abs() > 0)
    smooth = support.update(obj, new, threshold=0.2, width=1.0)
    assert (smooth & new).sum() == new.sum()
    assert smooth.sum() > new.sum()


def test_only_the_surface_changes(truth):
    inside = np.zeros(truth.shape, bool)
    inside[10:20, 10:20, 10:20] = True
    rng = np.random.default_rng(1)
    noise = (rng.normal(size=truth.shape) + 0j).astype(np.complex64)
    new = support.update(to_layout(noise)[None], to_layout(inside)[None], threshold=0.8, width=0, border=1)
    changed = from_layout(new)[0] != inside
    assert changed.any()
    deep = np.zeros_like(inside)
    deep[11:19, 11:19, 11:19] = True
    assert not changed[deep].any()
    outer = np.ones_like(inside)
    outer[9:21, 9:21, 9:21] = False
    assert not changed[outer].any()


def test_the_autocorrelation_holds_the_object(truth):
    inside = support.autocorrelation(np.abs(fourier.forward(truth)) ** 2, 0.05)
    assert inside[np.abs(truth) > 0].all()
    assert inside.mean() <= support.BOUNDS[1]


@pytest.mark.parametrize(("shape", "small"), [((32, 33, 40), (24, 24, 24)), ((25, 24, 31), (12, 13, 31))])
def test_coarse_and_fine_share_their_origin(shape, small):
    values = np.random.default_rng(1).normal(size=small).astype(np.float32)
    np.testing.assert_array_equal(pattern.crop(pattern.pad(values, shape), small), values)
    whole = pattern.pad(values, shape)
    assert whole[tuple(n // 2 for n in shape)] == values[tuple(n // 2 for n in small)]


def test_a_coarse_object_becomes_the_fine_one_without_what_it_lacks(truth):
    window = pattern.window((24, 24, 24), 0.3)
    amplitude = pattern.crop(fourier.forward(truth), window.shape)
    back = fourier.forward(starts.finer(fourier.inverse(amplitude * window), truth.shape, window))
    bright = window > 0.2
    np.testing.assert_allclose(pattern.crop(back, window.shape)[bright], amplitude[bright], atol=1e-4)
    outside = back.copy()
    pattern.crop(outside, window.shape)[...] = 0
    assert np.abs(outside).max() < 1e-4


def test_levels_halve_to_even_lengths():
    assert strategy.levels((64, 64, 64), 40**3) == [(32, 32, 32), (64, 64, 64)]
    assert strategy.levels((128, 128, 128), 40**3) == [(32,) * 3, (64,) * 3, (128,) * 3]
    assert strategy.levels((8, 64, 300), 40**3)[0] == (8, 32, 150)
    assert strategy.levels((20, 20, 20), 40**3) == [(20, 20, 20)]
    for shape in ((97, 65, 131), (24, 500, 24)):
        found = strategy.levels(shape, 40**3)
        assert found[-1] == shape
        assert all(n % 2 == 0 or n in shape for level in found for n in level)


def test_counting_noise_alone_gives_what_is_expected():
    rng = np.random.default_rng(1)
    for level in (0.02, 0.3, 2.0, 40.0):
        model = np.full(200_000, level)
        found = free.likelihood(rng.poisson(model), model)
        assert found == pytest.approx(free.expected_likelihood(model), rel=0.03)


def test_a_sure_filling_pulls_like_a_count_and_an_unsure_one_not_at_all():
    filled = np.array([100.0, 100.0, 100.0, 0.0, 5.0, np.nan])
    sigma = np.array([0.0, 10.0, 1e4, 0.0, np.nan, 1.0])
    np.testing.assert_allclose(pattern.gap_weight(filled, sigma), [1, 0.1, 0, 1, 0, 0], atol=1e-3)


def test_what_is_known_of_each_voxel(counts):
    mask = np.zeros(counts.shape, bool)
    mask[:, 20:24] = True
    filled = np.where(mask, 7.0, np.nan)
    empty = np.where(mask, np.nan, counts)
    left = pattern.prepare(empty, mask)
    assert not left.weight[mask].any()
    assert not (left.free & mask).any()
    assert left.fitted[left.free].max() == 0
    hard = pattern.prepare(empty, mask, filled=filled)
    assert (hard.weight[mask] == 1).all()
    assert (hard.intensity[mask] == 7).all()
    soft = pattern.prepare(empty, mask, filled=filled, sigma=np.full(counts.shape, np.sqrt(7.05 / 3)))
    np.testing.assert_allclose(soft.weight[mask], 0.5, atol=1e-3)
    for one in (left, hard, soft):
        np.testing.assert_array_equal(one.intensity[~mask], counts[~mask])
        np.testing.assert_array_equal(one.free, left.free)
    rolled = hard.centred()
    place = np.unravel_index(np.argmax(rolled.intensity), counts.shape)
    assert all(abs(p - n // 2) <= 1 for p, n in zip(place, counts.shape, strict=True))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"counts": np.ones((8, 8))}, "three axes"),
        ({"counts": np.ones((8, 8, 3))}, "4 voxels"),
        ({"counts": np.full((8, 8, 8), -1.0)}, "negative"),
        ({"counts": np.full((8, 8, 8), np.inf)}, "non-finite"),
        ({"counts": np.ones((8, 8, 8), complex)}, "real"),
        ({"mask": np.zeros((8, 8, 9), bool)}, "mask: shape"),
        ({"filled": np.ones((8, 9, 8))}, "filled: shape"),
        ({"sigma": np.ones((8, 8, 8))}, "sigma"),
    ],
)
def test_what_is_no_pattern_is_told_in_one_line(change, says):
    given = {"counts": np.ones((8, 8, 8)), **change}
    with pytest.raises(BraggfillError, match=says) as error:
        pattern.prepare(given.pop("counts"), given.pop("mask", None), **given)
    assert "\n" not in str(error.value)


def test_pynx_is_not_loaded_by_the_engine():
    import subprocess
    import sys

    code = "import sys, braggfill.phasing.phase; print(sorted({'pynx', 'skimage', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
