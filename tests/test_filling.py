"""Filling: the published sliding patch, wide gaps coarse to fine, and the widest choice of gaps for every method."""

from __future__ import annotations

import numpy as np
import pytest
from braggfill import filling, networks
from braggfill.errors import BraggfillError
from braggfill.filling import methods, published, wide
from braggfill.filling.sliding import bridged, slide
from braggfill.patterns import gaps
from braggfill.patterns.interpolate import interpolate
from patterns import dead_pixels


@pytest.fixture(scope="module")
def network():
    """A small network that was never trained, but is far from predicting the interpolation alone."""
    import torch

    torch.manual_seed(1)
    built = networks.build("braggfill", channels=[4, 8])
    with torch.no_grad():
        built.trunk.leave.weight.mul_(10)
    built.card = {"uncertainty": True}
    return built.eval()


@pytest.fixture
def paper():
    """The published network, untrained, for gaps of 6 voxels."""
    import torch

    torch.manual_seed(2)
    built = networks.build("paper").eval()
    built.card = {"settings": {"gap": {"style": "paper", "width_px": [6, 6]}}}
    return built


class Guess:
    """In place of a network: notes what it is asked, and answers with the interpolation."""

    def __init__(self, width=None):
        self.size, self.uncertain, self.asked = 32, False, []
        self.card = {"settings": {"gap": {"style": "paper", "width_px": [width, width]}}} if width else {}

    def parameters(self):
        import torch

        yield torch.zeros(1)

    def predict(self, x, m):
        from braggfill.networks.gap.bridge import bridge

        self.asked += list(m.numpy())
        return bridge(x, m), None


def _logs(shape, seed=0):
    return np.random.default_rng(seed).random(shape).astype(np.float32) * 5


# The published way ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("skip", [0, 4, 30])
def test_the_gap_is_in_the_middle_of_each_patch_and_slid_along(skip):
    logs, mask, guess = _logs((33, 40, 70)), gaps.plane((33, 40, 70), 6, start=30), Guess()
    found = published.fill_published(logs, mask, guess, skip, 16, False, 80.0)
    assert all(np.array_equal(m, gaps.plane((32, 32, 32), 6)) for m in guess.asked)
    along = [len(np.unique(np.append(np.arange(0, n - 31, skip + 1), n - 32))) for n in (33, 40)]
    assert len(guess.asked) == along[0] * along[1]
    assert np.allclose(found, bridged(logs, mask)[mask], atol=1e-5)


def test_both_arms_of_a_cross_are_slid_along():
    logs, mask, guess = _logs((32, 64, 64)), gaps.cross((32, 64, 64), 6, (20, 40)), Guess(6)
    published.fill_published(logs, mask, guess, 31, 4, False, 80.0)
    middle = gaps.plane((32, 32, 32), 6)
    down, across = (sum(np.array_equal(m & a, a) for m in guess.asked) for a in (middle, middle.transpose(0, 2, 1)))
    assert (down, across) == (2, 2)  # origins 0 and 32 along each arm
    assert len(guess.asked) == 4


def test_a_narrower_arm_is_widened_for_the_network_only(paper):
    counts = np.random.default_rng(0).poisson(30, (32, 64, 64))
    mask = gaps.cross(counts.shape, (3, 6), (20, 40))
    guess = Guess(6)
    published.fill_published(np.log1p(counts).astype(np.float32), mask, guess, 31, 4, False, 80.0)
    for m in guess.asked:
        widths = [int(m.all(axis=tuple(b for b in range(3) if b != a)).sum()) for a in (1, 2)]
        assert set(widths) <= {0, 6}
        assert 6 in widths
    filled = filling.inpaint(counts, mask, method="paper", network=paper, skip=31)
    assert np.array_equal(filled.data[~mask], counts[~mask])


@pytest.mark.parametrize("start", [0, 1, 9, 58])
def test_gaps_near_and_at_the_border_are_in_the_middle_as_well(start, paper):
    mask, guess = gaps.plane((32, 32, 64), 6, start=start), Guess(6)
    published.fill_published(_logs(mask.shape), mask, guess, 4, 16, False, 80.0)
    assert all(np.array_equal(m, gaps.plane((32, 32, 32), 6)) for m in guess.asked)
    counts = np.random.default_rng(0).poisson(30, mask.shape)
    filled = filling.inpaint(counts, mask, method="paper", network=paper, skip=31)
    assert np.isfinite(filled.data).all()
    assert not np.allclose(filled.data[mask], interpolate(counts, mask)[mask], rtol=0.01)


@pytest.mark.parametrize("shape", [(8, 40, 20), (5, 7, 9), (100, 3, 33)])
def test_patterns_smaller_than_a_patch_are_continued(shape, paper):
    counts = np.random.default_rng(0).poisson(30, shape)
    mask = gaps.plane(shape, 2, start=1)
    filled = filling.inpaint(counts, mask, method="paper", network=paper, skip=31)
    assert np.isfinite(filled.data).all()
    assert not np.allclose(filled.data[mask], interpolate(counts, mask)[mask], rtol=0.01)


def test_a_gap_that_is_too_wide_is_told(paper):
    counts = np.ones((32, 40, 90))
    with pytest.raises(BraggfillError, match=r"a gap of 9 voxels .* wider than the 6 .* method braggfill"):
        filling.inpaint(counts, gaps.cross(counts.shape, (6, 9)), method="paper", network=paper)
    paper.card = {}
    with pytest.raises(BraggfillError, match="wider than a patch"):
        filling.inpaint(counts, gaps.plane(counts.shape, 38), method="paper", network=paper)


def test_what_is_no_plane_is_interpolated(paper):
    counts = np.random.default_rng(0).poisson(30, (34, 40, 60))
    mask = gaps.plane(counts.shape, 6, start=40)
    dead = dead_pixels(counts.shape, [[5, 7], [20, 9]], size=2)
    filled = filling.inpaint(counts, mask | dead, method="paper", network=paper, skip=31)
    assert np.allclose(filled.data[dead], interpolate(counts, mask | dead)[dead], rtol=1e-4)
    assert not np.allclose(filled.data[mask], interpolate(counts, mask | dead)[mask], rtol=0.01)


def test_skipping_changes_nothing_where_patches_agree():
    """The bridge is the same whatever is cut out, so every skip averages the same numbers."""
    logs, mask = _logs((32, 48, 48)), gaps.plane((32, 48, 48), 4)
    first, other = (published.fill_published(logs, mask, Guess(4), k, 8, False, 80.0) for k in (7, 16))
    assert np.allclose(first, other, atol=1e-5)


def test_a_network_of_another_kind_is_told(network):
    counts, mask = np.ones((8, 8, 8)), gaps.plane((8, 8, 8), 2)
    with pytest.raises(BraggfillError, match="it is a braggfill network"):
        filling.inpaint(counts, mask, method="paper", network=network)


@pytest.mark.parametrize("width", [3, 20, 38])
def test_a_published_network_is_slid_over_any_gap_where_that_is_asked(width, paper):
    counts = np.random.default_rng(0).poisson(30, (32, 40, 90))
    mask = gaps.cross(counts.shape, (3, width))
    filled = filling.inpaint(counts, mask, network=paper, step=32)
    assert np.array_equal(filled.data[~mask], counts[~mask])
    assert np.isfinite(filled.data).all()
    assert np.isnan(filled.sigma).all()


@pytest.mark.parametrize("wrong", [{"step": 0}, {"skip": -1}, {"batch": 0}, {"step": 1.5}, {"skip": True}])
def test_numbers_that_mean_nothing_are_told(wrong):
    counts, mask = np.ones((8, 8, 8)), gaps.plane((8, 8, 8), 2)
    with pytest.raises(BraggfillError, match=next(iter(wrong))):
        filling.inpaint(counts, mask, method="linear", **wrong)


# Coarse to fine -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(8, 10, 12), (7, 9, 11), (1, 2, 5)])
def test_binning_keeps_the_photons(shape):
    counts = np.random.default_rng(0).poisson(50, shape).astype(np.float32)
    coarse, hidden = wide.binned(np.log1p(counts), np.zeros(shape, bool))
    assert not hidden.any()
    if all(n % 2 == 0 for n in shape):
        assert np.expm1(coarse).sum() == pytest.approx(counts.sum(), rel=1e-4)
    flat, _ = wide.binned(np.full(shape, np.log1p(3.0), np.float32), np.zeros(shape, bool))
    assert np.allclose(np.expm1(flat), 24, rtol=1e-4)
    assert np.allclose(np.expm1(wide.finer(flat, shape)), 3, rtol=1e-4)


def test_binning_looks_at_measured_voxels_only():
    counts = np.full((6, 6, 6), 5.0, np.float32)
    mask = gaps.plane(counts.shape, 3, start=1)
    for value in (0, 1e6):
        coarse, hidden = wide.binned(np.log1p(np.where(mask, np.float32(value), counts)), mask)
        assert np.array_equal(hidden[0, 0], [False, True, False])
        assert np.allclose(np.expm1(coarse[~hidden]), 40, rtol=1e-4)


@pytest.mark.parametrize(
    ("mask", "answer"),
    [
        (gaps.plane((20, 40, 60), 17), False),
        (gaps.plane((20, 40, 60), 19), True),
        (gaps.cross((20, 60, 60), 12), False),
        (gaps.cross((20, 60, 60), 14), True),
        (gaps.plane((20, 40, 60), 10, start=0), True),
        (gaps.plane((20, 40, 60), 9, start=0), False),
        (gaps.scattered(np.random.default_rng(0), (20, 20, 20), 0.4), False),
    ],
)
def test_what_counts_as_wide(mask, answer):
    assert wide._wide(mask) is answer


def test_a_narrow_gap_is_filled_by_patches_alone(network):
    logs, mask = _logs((32, 40, 60)), gaps.plane((32, 40, 60), 9)
    found = wide.fill_wide(logs, mask, network, 16, 8, False, 80.0)
    plain = slide(bridged(logs, mask), mask, network, 16, 8, False, 80.0)
    assert all(np.array_equal(a, b) for a, b in zip(found, plain, strict=True))


@pytest.mark.parametrize("kind", ["plane", "cross", "box", "border"])
def test_the_uncertainty_grows_with_the_distance_from_what_is_measured(kind, network):
    shape = (32, 72, 80)
    logs = _logs(shape)
    mask = gaps.plane(shape, 38) if kind == "plane" else gaps.cross(shape, (30, 34)) if kind == "cross" else None
    if kind == "border":
        mask = gaps.plane(shape, 30, start=0)
    if kind == "box":
        mask = np.zeros(shape, bool)
        mask[2:30, 15:60, 20:60] = True
    _, spread = wide.fill_wide(logs, mask, network, 16, 8, False, 80.0)
    _, alone = wide._levels(logs, mask, network, 16, 8, False, 80.0)
    distance = np.broadcast_to(wide._depth(mask), shape)
    depth = distance[mask]
    # As a share of how much the pattern varies around.
    extra = (spread**2 - alone**2) / wide._variance(logs, mask, 2 * int(distance.max() + wide.REACH) + 1)
    assert np.isfinite(spread).all()
    assert (spread >= alone).all()
    near, middle, deep = (extra[(depth > a) & (depth <= b)].mean() for a, b in ((0, 5), (8, 11), (12, 40)))
    assert near < middle < deep


def test_a_slope_across_a_wide_gap_is_kept_by_the_coarse_copy():
    """What is brought back from the coarse copy meets what is measured at the gap's edge."""
    shape = (16, 16, 64)
    logs = np.broadcast_to(np.linspace(4, 9, 64, dtype=np.float32), shape).copy()
    mask = gaps.plane(shape, 24)
    coarse, hidden = wide.binned(logs, mask)
    coarse = bridged(coarse, hidden)
    start = wide._joined(logs, mask, wide.finer(coarse, shape))
    assert np.array_equal(start[~mask], logs[~mask])
    assert np.abs(start - logs).max() < 0.05


def test_patches_that_are_turned_round_come_back_where_they_were():
    """A network that answers each voxel with its own value gives back what it was shown, wherever patches lie."""
    import torch

    class Echo:
        size, uncertain = 32, True

        def parameters(self):
            yield torch.zeros(1)

        def __call__(self, x, m):
            return x, x

    logs, mask = _logs((40, 50, 60)), gaps.cross((40, 50, 60), 7, (3, 31))
    found, spread = slide(logs, mask, Echo(), 5, 6, False, 80.0)
    assert np.allclose(found, logs[mask], rtol=1e-5)
    assert np.allclose(spread, np.exp(logs[mask] / 2), rtol=1e-5)


# Whatever the geometry ------------------------------------------------------------------------------------------------


def _geometries():
    rng = np.random.default_rng(0)
    shape = (36, 48, 52)
    frames = gaps.cross(shape, (3, 5), (4, 40))
    frames[10:20, 12:20] = True
    beamstop = np.zeros(shape, bool)
    y, x = np.ogrid[:48, :52]
    beamstop[:, (y - 24) ** 2 + (x - 26) ** 2 < 100] = True
    hot = gaps.plane(shape, 4, start=0) | gaps.plane(shape, 6, start=30) | gaps.scattered(rng, shape, 0.01)
    corner = np.zeros(shape, bool)
    corner[:20, :20, :20] = True
    rocking = gaps.plane(shape, 5, axis=0) | gaps.cross(shape, 3)
    return {"frames": frames, "beamstop": beamstop, "hot": hot, "corner": corner, "rocking": rocking}


@pytest.mark.parametrize("method", methods.NAMES)
@pytest.mark.parametrize(("name", "mask"), _geometries().items(), ids=_geometries().keys())
def test_every_method_fills_every_geometry(name, mask, method, network, paper):
    counts = np.random.default_rng(1).poisson(100, mask.shape).astype(np.uint16)
    model = paper if method == "paper" else network
    filled = filling.inpaint(counts, mask, method=method, network=model, step=32, skip=31)
    assert np.array_equal(filled.data[~mask], counts[~mask])
    assert np.isfinite(filled.data).all()
    assert (filled.data >= 0).all()
    assert np.isfinite(filled.sigma[mask]).all() == (method in ("network", "braggfill", "finite"))
