"""Filling: measured voxels come back bit for bit, filled ones are photons, and bad input is told in one line."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest
from braggfill import filling, networks
from braggfill.errors import BraggfillError
from braggfill.filling import inpaint, methods
from braggfill.patterns import distribution, gaps
from braggfill.patterns.interpolate import interpolate
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from patterns import dead_pixels
from peaks import peaked, untrained

UNCERTAIN = ("network", "braggfill", "finite")
"""The methods that state an uncertainty."""


@pytest.fixture(scope="module")
def network():
    return untrained()


@pytest.fixture(scope="module")
def published():
    """The published network, untrained."""
    import torch

    torch.manual_seed(2)
    return networks.build("paper").eval()


def _lawful(filled, counts, mask, uncertain):
    assert np.array_equal(filled.data[~mask], counts[~mask].astype(filled.data.dtype))
    assert np.array_equal(filled.mask, mask)
    assert np.isfinite(filled.data).all()
    assert (filled.data >= 0).all()
    assert np.isnan(filled.sigma[~mask]).all()
    inside = filled.sigma[mask]
    assert (np.isfinite(inside).all() and (inside > 0).all()) if uncertain else np.isnan(inside).all()


@pytest.mark.parametrize("method", methods.NAMES)
def test_measured_voxels_are_untouched_and_filled_ones_are_photons(method, network):
    counts, mask = peaked(), gaps.cross((40, 36, 48), (3, 5), (8, 20))
    model = networks.build("paper") if method == "paper" else network
    filled = inpaint(counts, mask, method=method, network=model, step=32, skip=20)
    _lawful(filled, counts, mask, uncertain=method in UNCERTAIN)


def test_the_package_has_the_function():
    import braggfill

    counts, mask = peaked((10, 10, 10)), gaps.plane((10, 10, 10), 2)
    one = braggfill.inpaint(counts, mask, method="linear")
    other = inpaint(counts, mask, method="linear")
    assert np.array_equal(one.data, other.data)
    assert braggfill.BraggfillError is BraggfillError


def test_importing_the_package_imports_nothing_heavy():
    script = "import sys, braggfill; print([m for m in ('torch', 'scipy', 'h5py', 'numpy') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("method", methods.INTERPOLATIONS)
def test_the_interpolations_are_those_of_interpolate(method):
    counts, mask = peaked(), gaps.cross((40, 36, 48), 4)
    filled = filling.inpaint(counts, mask, method=method)
    assert np.allclose(filled.data, interpolate(counts, mask, method), rtol=1e-5, atol=1e-5)


def test_what_lies_in_the_gap_is_not_looked_at(network):
    counts, mask = peaked().astype(np.float32), gaps.plane((40, 36, 48), 5, start=30)
    one = filling.inpaint(counts, mask, network=network)
    for value in (np.nan, -5.0, 1e9, np.inf):
        other = filling.inpaint(np.where(mask, np.float32(value), counts), mask, network=network)
        assert np.array_equal(one.data, other.data)
        assert np.array_equal(one.sigma, other.sigma, equal_nan=True)


def test_the_network_is_what_fills(network):
    counts, mask = peaked(), gaps.plane((40, 36, 48), 5)
    linear = filling.inpaint(counts, mask, method="linear")
    assert not np.allclose(filling.inpaint(counts, mask, network=network).data[mask], linear.data[mask], rtol=0.01)


def test_one_patch_is_filled_as_the_network_predicts_it_seen_from_some_side(network):
    import torch

    counts, mask = peaked((32, 32, 32)), gaps.plane((32, 32, 32), 6)
    filled = filling.inpaint(counts, mask, network=network)
    logs, gap = torch.from_numpy(np.log1p(counts.astype(np.float32)))[None], torch.from_numpy(mask)[None]
    agree = []
    for axes in itertools.chain.from_iterable(itertools.combinations((1, 2, 3), n) for n in range(4)):
        with torch.inference_mode():
            answer = network.predict(logs.flip(axes), gap.flip(axes))
        mean, log_variance = (part.flip(axes)[0].numpy() for part in answer)
        spread = np.exp(0.5 * log_variance)
        expected = distribution.photons(np.maximum(mean, 0), spread)
        deviation = (1 + expected) * np.sinh(spread)
        same = np.allclose(filled.data[mask], expected[mask], rtol=1e-3, atol=1e-3)
        agree.append(same and np.allclose(filled.sigma[mask], deviation[mask], rtol=1e-2))
    assert sum(agree) == 1


def test_neither_the_batch_nor_a_second_call_changes_the_result(network):
    counts, mask = peaked(), gaps.cross((40, 36, 48), 4)
    one = filling.inpaint(counts, mask, network=network, batch=32)
    again = filling.inpaint(counts, mask, network=network, batch=32)
    other = filling.inpaint(counts, mask, network=network, batch=1)
    assert np.array_equal(one.data, again.data)
    assert np.allclose(one.data, other.data, rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("error")
def test_what_is_filled_can_be_written_however_much_was_predicted(monkeypatch):
    """Files hold single precision, beyond which the photons of a logarithm can go."""
    beyond = np.array([np.inf, 1e39, 7.0])
    monkeypatch.setattr(methods, "filler", lambda _: lambda *_: (beyond, beyond))
    counts, mask = peaked((4, 4, 4)).astype(np.float64), np.zeros((4, 4, 4), bool)
    mask[0, 0, :3] = True
    filled = filling.inpaint(counts, mask, method="linear")
    assert filled.data.dtype == np.float64
    for values in (filled.data, filled.sigma):
        assert values[mask].astype(np.float32).tolist() == [np.finfo(np.float32).max] * 2 + [7]


def test_one_frame_of_a_mask_holds_for_all(network):
    counts, mask = peaked(), gaps.cross((40, 36, 48), 4)
    one, other = filling.inpaint(counts, mask, network=network), filling.inpaint(counts, mask[0], network=network)
    assert np.array_equal(one.data, other.data)
    assert np.array_equal(one.mask, other.mask)
    whole = filling.inpaint(counts, mask.astype(np.uint8), network=network)
    assert np.array_equal(one.data, whole.data)


def test_a_mask_of_nothing_changes_nothing(network):
    counts = peaked()
    filled = filling.inpaint(counts, np.zeros(counts.shape, bool), network=network)
    assert np.array_equal(filled.data, counts)
    assert not filled.mask.any()


def test_the_input_is_left_alone(network):
    counts, mask = peaked(), gaps.plane((40, 36, 48), 4)
    before = counts.copy(), mask.copy()
    filling.inpaint(counts, mask, network=network)
    assert np.array_equal(counts, before[0])
    assert np.array_equal(mask, before[1])


@pytest.mark.parametrize("shape", [(8, 8, 8), (3, 40, 5), (33, 1, 64), (70, 31, 32)])
def test_any_size_is_filled(shape, network):
    counts = peaked(shape) + 1
    mask = np.zeros(shape, bool)
    mask[shape[0] // 3, :, shape[2] // 4 : shape[2] // 2] = True
    _lawful(filling.inpaint(counts, mask, network=network), counts, mask, uncertain=True)


@pytest.mark.parametrize("width", [20, 38])
def test_wide_gaps_are_filled_as_well(width, network):
    counts = peaked((32, 40, 90))
    mask = gaps.plane(counts.shape, width)
    _lawful(filling.inpaint(counts, mask, network=network), counts, mask, uncertain=True)


TYPES = {
    "uint8": "float32",
    "int16": "float32",
    "uint32": "float32",
    "int64": "float32",
    "float16": "float32",
    ">f4": "float32",
    "float32": "float32",
    "float64": "float64",
}


@pytest.mark.parametrize(("given_type", "type_out"), TYPES.items())
def test_the_type_holds_thepeaked(given_type, type_out):
    counts = np.minimum(peaked((12, 12, 12)), 200).astype(given_type)
    mask = gaps.plane(counts.shape, 3)
    filled = filling.inpaint(counts, mask, method="linear")
    assert filled.data.dtype == type_out
    assert np.array_equal(filled.data[~mask], counts[~mask].astype(np.float64))


def test_counts_beyond_single_precision_are_kept_exactly():
    counts = peaked((12, 12, 12)).astype(np.int64)
    counts[0, 0, 0] = 2**24 + 1
    mask = gaps.plane(counts.shape, 3)
    filled = filling.inpaint(counts, mask, method="linear")
    assert filled.data.dtype == np.float64
    assert filled.data[0, 0, 0] == 2**24 + 1


@pytest.mark.parametrize("method", ["braggfill", *methods.INTERPOLATIONS])
def test_numbers_beyond_single_precisions_range_are_kept_and_the_filling_stays_finite(method, network):
    counts = peaked((12, 12, 12)).astype(np.float64)
    counts[0, 0, 0] = 1e300
    mask = gaps.plane(counts.shape, 3)
    _lawful(filling.inpaint(counts, mask, method=method, network=network), counts, mask, uncertain=method in UNCERTAIN)


@st.composite
def cases(draw):
    """Shapes, masks and counts of every kind."""
    shape = draw(st.tuples(*[st.integers(2, 40)] * 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**20)))
    kind = draw(st.sampled_from(["plane", "cross", "dead", "scattered", "box", "frames"]))
    mask = np.zeros(shape, bool)
    if kind == "plane":
        axis = draw(st.integers(0, 2))
        width = draw(st.integers(1, max(1, shape[axis] // 2)))
        mask = gaps.plane(shape, width, axis=axis, start=draw(st.integers(0, shape[axis] - width)))
    elif kind == "cross":
        mask = gaps.cross(shape, [draw(st.integers(1, max(1, n // 4))) for n in shape[1:]])
    elif kind == "dead":
        mask = dead_pixels(shape, rng.integers(0, max(shape), (5, 2)), size=draw(st.integers(1, 3)))
    elif kind == "scattered":
        mask = gaps.scattered(rng, shape, draw(st.floats(0, 0.9)))
    elif kind == "box":
        mask[tuple(slice(*sorted(rng.integers(0, n + 1, 2))) for n in shape)] = True
    else:
        for frame in mask:
            frame[int(rng.integers(0, shape[1])) :, : int(rng.integers(0, shape[2] + 1))] = True
    counts = rng.poisson(draw(st.sampled_from([0.01, 1.0, 1e3, 1e7])), shape)
    spare = tuple(int(rng.integers(0, n)) for n in shape)
    mask[spare] = False
    counts[spare] += 1
    return counts.astype(draw(st.sampled_from(["int32", "uint64", "float32", "float64"]))), mask


@given(case=cases(), method=st.sampled_from(["braggfill", *methods.NAMES]))
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_shape_and_the_mask(case, method, network, published):
    counts, mask = case
    network = published if method == "paper" else network
    if method == "paper" and _widest(mask) > 30:
        with pytest.raises(BraggfillError, match="wider than"):
            filling.inpaint(counts, mask, method=method, network=network, most_missing=True)
        return
    filled = filling.inpaint(counts, mask, method=method, network=network, step=32, skip=31, most_missing=True)
    _lawful(filled, counts, mask, uncertain=method in UNCERTAIN)


def _widest(mask):
    """Most neighbouring planes, along any axis, that are more than half missing (0 for an axis that is all so)."""
    widest = 0
    for axis in range(3):
        planes = mask.mean(axis=tuple(a for a in range(3) if a != axis)) > 0.5
        runs = "".join("x" if p else " " for p in planes).split()
        widest = max([widest, *(len(r) for r in runs)]) if not planes.all() else widest
    return widest


COUNTS, MASK = peaked((12, 12, 12)), gaps.plane((12, 12, 12), 3)


def _with(value, array=COUNTS, kind=np.float32):
    changed = array.astype(kind)
    changed[1, 2, 3] = value
    return changed


BAD = {
    "mask of another shape": (COUNTS, MASK[:, :, :-1], "shape"),
    "mask of another frame": (COUNTS, MASK[0, :, :-1], "shape"),
    "mask of everything": (COUNTS, np.ones_like(MASK), "everything"),
    "inverted mask": (COUNTS, ~MASK, "inverted"),
    "mask of words": (COUNTS, MASK.astype(str), "booleans"),
    "mask of objects": (COUNTS, MASK.astype(object), "booleans"),
    "mask of numbers": (COUNTS, MASK * 7, "0 and 1"),
    "mask with NaN": (COUNTS, np.where(MASK, np.nan, 0.0), "0 and 1"),
    "negative counts": (_with(-1, kind=np.int32), MASK, r"\(1, 2, 3\)"),
    "negative photons": (_with(-0.5), MASK, "negative"),
    "NaN": (_with(np.nan), MASK, "not finite"),
    "infinity": (_with(np.inf), MASK, "not finite"),
    "complex": (COUNTS * 1j, MASK, "squared modulus"),
    "objects": (COUNTS.astype(object), MASK, "objects"),
    "booleans": (COUNTS > 3, MASK, "booleans"),
    "words": (COUNTS.astype(str), MASK, "type"),
    "one image": (COUNTS[0], MASK[0], "one image"),
    "four axes": (COUNTS[None], MASK[None], "4 axes"),
    "nothing": (COUNTS[:0], MASK[:0], "holds nothing"),
    "no photon": (COUNTS * 0, MASK, "not one photon"),
    "no photon outside the gap": (np.where(MASK, COUNTS, 0), MASK, "not one photon"),
    "a sentinel": (_with(2**32 - 1, kind=np.uint32), MASK, "bad pixel"),
    "a count beyond every type": (_with(2**60, kind=np.uint64), MASK, "bad pixel"),
}


@pytest.mark.parametrize(("counts", "mask", "told"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_told_in_one_line(counts, mask, told):
    with pytest.raises(BraggfillError, match=told) as error:
        inpaint(counts, mask, method="linear")
    assert "\n" not in str(error.value)


def test_over_half_missing_is_filled_when_that_is_meant():
    filled = inpaint(COUNTS, ~MASK, method="linear", most_missing=True)
    _lawful(filled, COUNTS, ~MASK, uncertain=False)


def test_unknown_methods_devices_and_networks_are_told(tmp_path, network):
    with pytest.raises(BraggfillError, match="method"):
        inpaint(COUNTS, MASK, method="magic")
    with pytest.raises(BraggfillError, match="device"):
        inpaint(COUNTS, MASK, device="abacus", network=network)
    for name in ("meta", "banana"):
        with pytest.raises(BraggfillError, match=f"device: '{name}' is unknown"):
            inpaint(COUNTS, MASK, device=name, method="linear")
    with pytest.raises(BraggfillError, match="method network: it takes a network that is given"):
        inpaint(COUNTS, MASK, method="network")
    with pytest.raises(BraggfillError, match="no such file"):
        inpaint(COUNTS, MASK, network=tmp_path / "none.safetensors")


@pytest.mark.data
def test_linear_interpolation_of_the_measured_scan_beats_the_nearest_voxel(measured):
    with np.load(measured / "aps34idc_Staff20-1a_S0054.npz", allow_pickle=False) as file:
        counts = file["data"][35:163, 62:190, 63:191]
    mask = gaps.cross(counts.shape, 6, (74, 77))
    truth = np.log1p(counts[mask])
    found = {
        method: np.corrcoef(truth, np.log1p(filling.inpaint(counts, mask, method=method).data[mask]))[0, 1]
        for method in ("linear", "nearest")
    }
    assert found["linear"] > found["nearest"] > 0.5
