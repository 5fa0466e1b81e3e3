"""Patches that are drawn on a device: those of the stages, with other random numbers."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from braggfill.errors import BraggfillError
from braggfill.learning.gap import drawn, expectations, frames, particles
from braggfill.learning.gap.drawn_options import PAPER, REALISTIC, BufferOptions, DrawnOptions
from braggfill.networks import build
from braggfill.networks.gap.bridge import bridge
from braggfill.patterns import gaps
from braggfill.physics import fourier, views
from braggfill.runs import storage
from braggfill.settings.extract import ExtractSettings
from braggfill.settings.perturb import PerturbSettings
from braggfill.settings.scatter import ScatterSettings
from braggfill.stages import perturb
from braggfill.stages.extract import places
from braggfill.stages.scatter import backends
from patterns import ellipsoid
from relaxed_files import CONSTANT, octahedron, write
from scipy.ndimage import gaussian_filter

SMALL = DrawnOptions(side=32, box=24, size=16, near_peak_radius_voxels=6)
HELD = BufferOptions(objects=8, patterns=8, least_objects=3, least_patterns=4, patches=4)


@pytest.fixture(scope="module")
def relaxed(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("relaxed") / "relax.h5")


@pytest.fixture(scope="module")
def drawer(relaxed):
    made = drawn.PatchDrawer(SMALL, HELD, 1)
    for one in islice(particles.Objects(particles.find([relaxed]), SMALL, 1), 6):
        made.put(*one)
    made.make(8)
    return made


# Objects ------------------------------------------------------------------------------------------------------------


def test_an_object_is_that_of_the_stage_scatter():
    positions, moved = octahedron(5, np.random.default_rng(0))
    kind = replace(PAPER, other_peak_share=0.0, strained_share=0.0)
    rng = np.random.default_rng(3)
    found, oversampling = particles.draw_object(rng, particles.Atoms(positions, moved, CONSTANT), kind, 32, 24)
    again = np.random.default_rng(3)
    again.random(2)
    positions = positions - positions.mean(0)
    rotation = views.tilt(again, (0, 0)) @ views.random_rotation(again)
    size = views.extents(positions, rotation, CONSTANT)
    step = views.draw_step(again, size, (32,) * 3, CONSTANT, kind.oversampling, equal=True)
    there = backends.amplitude(positions, np.array([2, 0, 0]) / CONSTANT, rotation, step, (32,) * 3, backend="direct")
    wanted = fourier.inverse(there * views.fade((32,) * 3, step, CONSTANT))[4:28, 4:28, 4:28]
    np.testing.assert_allclose(found, wanted / np.abs(wanted).max(), atol=1e-4)
    np.testing.assert_allclose(oversampling, 1 / (step * size))


def test_the_relaxation_is_multiplied():
    positions, moved = octahedron(3, np.random.default_rng(0))
    atoms = particles.Atoms(positions, moved, CONSTANT)
    np.testing.assert_allclose(atoms.relaxed(1), positions - positions.mean(0), atol=1e-12)
    np.testing.assert_allclose(atoms.relaxed(0), positions - moved - (positions - moved).mean(0), atol=1e-12)
    np.testing.assert_allclose(atoms.relaxed(3) - atoms.relaxed(1), 2 * (moved - moved.mean(0)), atol=1e-12)


def test_particles_of_validation_and_test_are_told_from_those_of_training(tmp_path):
    found = particles.find([write(tmp_path / "many.h5", 40, 1)])
    assert {one.split for one in found} == {0, 1, 2}
    assert sum(one.split == 0 for one in found) >= 36


def _wrong(path: Path, change) -> Path:
    write(path, 2, 2)
    import h5py

    with h5py.File(path, "r+") as file:
        change(file)
    return path


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file["000001"].__delitem__("displacement"),
        lambda file: file["000001/positions"].__setitem__((0, 0), np.nan),
        lambda file: file["000001"].attrs.__delitem__("index"),
        lambda file: file["000001"].attrs.__setitem__("index", -4),
        lambda file: file["000001"].attrs.__setitem__("lattice_constant_angstrom", "wide"),
        lambda file: file["000001"].attrs.__setitem__("lattice_constant_angstrom", np.inf),
        lambda file: file.create_dataset("000001x", data=np.zeros(3)),
        lambda file: file.create_group("000001x").update({"positions": 1.0, "displacement": 1.0}),
        lambda file: file["000001"].pop("displacement") and file["000001"].create_dataset("displacement", (2, 3), "f8"),
        lambda file: (
            file["000001"].pop("positions")
            and file["000001"].create_dataset("positions", file["000001/displacement"].shape, "i8")
        ),
    ],
)
def test_a_foreign_particle_is_named(change, tmp_path):
    path = _wrong(tmp_path / "relax.h5", change)
    with pytest.raises(BraggfillError, match=rf"^{path}: particle 000001.*[;].*$") as told:
        particles.find([path])
    assert "\n" not in str(told.value)


def test_files_without_particles_are_told(tmp_path):
    with storage.create(tmp_path / "none.h5", seed=1):
        pass
    with pytest.raises(BraggfillError, match=r"no particle in .*none\.h5"):
        particles.find([tmp_path / "none.h5"])
    (tmp_path / "text.h5").write_text("nothing")
    with pytest.raises(BraggfillError, match=r"text\.h5"):
        particles.find([tmp_path / "text.h5"])


def test_a_file_that_is_gone_ends_the_training_in_one_line(tmp_path):
    found = particles.find([write(tmp_path / "relax.h5")])
    (tmp_path / "relax.h5").unlink()
    with pytest.raises(BraggfillError, match=r"^a process that draws objects failed: .*relax.h5") as told:
        next(drawn.stream(found, SMALL, HELD, 4, 1, workers=0))
    assert "\n" not in str(told.value)


# Patterns -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "file"), [(PAPER, "paper"), (REALISTIC, "realistic")])
def test_the_kinds_are_those_of_the_configurations(kind, file, top):
    given = yaml.safe_load((top / f"config/{file}.yaml").read_text())
    scatter, settings = ScatterSettings(**given["scatter"]), PerturbSettings(**given.get("perturb", {}))
    known = settings.model_dump() | {"hkl": scatter.hkl, "equal_steps": scatter.equal_steps}
    known |= {"oversampling": (scatter.oversampling_min, scatter.oversampling_max)}
    known |= {"tilt_degrees": scatter.tilt_degrees}
    if settings.coherence:
        known["coherence_extents"] = (math.inf, math.inf)
    if settings.background_exponent is None:
        known["background_exponent"] = (-math.inf, -math.inf)
    own = {"other_peak_share", "strained_share", "strain_exponent"}
    assert asdict(kind).items() <= (known | {name: getattr(kind, name) for name in own}).items()
    assert (settings.background_photons, scatter.shape) == ((0, 0), (DrawnOptions().side,) * 3)
    assert (scatter.reach, scatter.isolate) == (0.75, True)


@pytest.mark.parametrize("coherence", [None, (0.7, 1.5, 3.0)])
def test_the_steps_are_those_of_the_stage_perturb(coherence):
    """Where there is a photon at the least; what is below is what single precision leaves of the brightest voxel."""
    amplitude = ellipsoid((32, 32, 32), 4)
    parameters = perturb.Parameters(
        0.6, 0.1, 0.0, 0.05, False, 1.0, 0.05, 0.8, 1e6, 0.0, coherence, point_spread_pixels=0.5
    )
    wanted = perturb.steps(amplitude, parameters, np.random.default_rng(0), (2.5, 3, 4))
    inside = slice(4, 28)
    ideal = torch.from_numpy(wanted.ideal[inside, inside, inside])[None]
    modulus = expectations.smoothed(ideal, torch.tensor([0.6]), torch.tensor([0.1]))
    smooth = np.abs(wanted.smoothed[inside, inside, inside])
    assert ((modulus[0].numpy() > 0) == (smooth > 0)).all()
    np.testing.assert_allclose(modulus[0], smooth, atol=1e-5 * smooth.max())
    found = expectations.intensity(torch.polar(modulus, torch.angle(ideal)), 32)
    lengths, oversampling = torch.tensor([coherence or (math.inf,) * 3]), torch.tensor([[2.5, 3, 4]])
    sigmas = expectations.blur_sigmas(torch.tensor([0.8]), lengths, torch.tensor([0.5]), oversampling)
    theirs = perturb.blur_sigmas(parameters, (2.5, 3, 4))
    np.testing.assert_allclose(sigmas[0], theirs, rtol=1e-6)
    found = expectations.blurred(found, sigmas)[0].numpy()
    found *= 1e6 / found.max()
    blurred = perturb.blur(wanted.intensity, theirs)  # before digits are rounded away
    seen = blurred >= 1
    assert seen.mean() > 0.02
    np.testing.assert_allclose(found[seen], blurred[seen], rtol=1e-4)
    np.testing.assert_allclose(found, blurred, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(found[seen], wanted.expectation[seen], rtol=3e-4)


def test_a_gaussian_is_that_of_scipy():
    values = torch.rand((3, 20, 20, 20), generator=torch.Generator().manual_seed(0)) ** 8
    sigmas = torch.tensor([[0.0, 0.1, 0.3], [0.5, 1.1, 2.0], [0.7, 0.62, 5.0]])
    found = expectations.blurred(values, sigmas)
    for one, own, wanted in zip(found, sigmas, values, strict=True):
        np.testing.assert_allclose(one, gaussian_filter(wanted.numpy(), own.tolist(), mode="nearest"), atol=1e-6)


def test_fields_vary_and_span_as_those_of_physics():
    perturber = expectations.Perturber(SMALL, torch.Generator().manual_seed(1))
    sigma = torch.tensor([1.5] * 30)
    field = perturber.field(sigma, 32, 32, 32)
    assert float(field.var()) == pytest.approx(1, rel=0.1)
    apart = (field[:, 3:] * field[:, :-3]).mean() / field.var()
    assert float(apart) == pytest.approx(math.exp(-9 / (4 * 1.5**2)), abs=0.03)
    spanned = expectations.spanning(field, torch.full((30,), -2.0), torch.linspace(-1, 4, 30))
    torch.testing.assert_close(spanned.flatten(1).amin(1), torch.full((30,), -2.0))
    torch.testing.assert_close(spanned.flatten(1).amax(1), torch.linspace(-1, 4, 30), atol=1e-5, rtol=1e-5)


def test_what_is_drawn_lies_within_the_ranges_of_each_kind(relaxed):
    options = replace(SMALL, kinds=(replace(PAPER, modulus_noise=(0, 0), phase_replaced_share=0.0), REALISTIC))
    perturber = expectations.Perturber(options, torch.Generator().manual_seed(1))
    kind = torch.tensor([0, 1] * 200)
    for name in perturber.limits.keys() - {"support_threshold", "phase_replaced_share"}:
        values = perturber.between(name, kind)
        for number, one in enumerate(options.kinds):
            low, high = getattr(one, name)
            own = values[kind == number]
            assert low - 1e-6 <= float(own.min()) <= float(own.max()) <= high + 1e-6, name
            assert low == high or float(own.std()) == pytest.approx((high - low) / math.sqrt(12), rel=0.2), name
    objects = torch.cat([one[0] for one in islice(particles.Objects(particles.find([relaxed]), SMALL, 2), 4)])
    plain = torch.zeros(4, dtype=torch.long)
    kept = perturber.objects(objects, plain)
    there = kept.abs() > 0
    torch.testing.assert_close(torch.sgn(kept)[there], torch.sgn(objects)[there], atol=1e-4, rtol=0)
    photons = perturber.expectation(kept, torch.full((4, 3), 3.0), plain).flatten(1).amax(1).log10()
    assert 5 - 1e-4 <= float(photons.min()) <= float(photons.max()) <= 6.3 + 1e-4
    other = perturber.objects(objects, plain + 1)
    assert float((torch.sgn(other) - torch.sgn(objects))[other.abs() > 0].abs().mean()) > 0.05


# Patches ------------------------------------------------------------------------------------------------------------


def test_masks_are_those_of_the_gaps_bit_for_bit():
    for style in ("any", "paper"):
        made = gaps.draw(np.random.default_rng(2), 200, (16,) * 3, style=style, cross_fraction=0.5, dead_fraction=0.5)
        found = frames.frames(made)[:, None].expand(-1, 16, -1, -1)
        assert (found.numpy() == made.masks()).all()


def test_bridged_and_turned_as_the_network_does_it():
    made = gaps.draw(np.random.default_rng(3), 200, (32,) * 3, cross_fraction=0.5, dead_fraction=0.5)
    frame = frames.frames(made)
    values = torch.rand((200, 2, 32, 32), generator=torch.Generator().manual_seed(0)) * 5
    torch.testing.assert_close(frames.bridge(values, frame), bridge(values, frame[:, None].expand_as(values)))
    frame = frames.facing(frame[:6])
    network = build("braggfill", channels=[4, 8]).eval()
    values = torch.rand((6, 32, 32, 32), generator=torch.Generator().manual_seed(1)) * 5
    mask = frame[:, None].expand_as(values)
    with torch.no_grad():
        found, wanted = network._forward(frames.bridge(values, frame), mask), network.predict(values, mask)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_patches_are_turned_parts_of_the_patterns(drawer):
    wanted = drawer.patterns.unfold(1, 16, 1).unfold(2, 16, 1).unfold(3, 16, 1)
    sums = wanted.double().sum((4, 5, 6)).flatten()
    found = drawer.patches(40)
    for patch in found:
        near = int((sums - patch.double().sum()).abs().argmin())
        index = np.unravel_index(near, wanted.shape[:4])
        part = wanted[index].reshape(-1)
        assert (part[drawer.turns].sort(1).values[0] == patch.flatten().sort().values).all()
        assert (part[drawer.turns] == patch.flatten()).all(1).any()


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_places_are_as_often_drawn_as_the_stage_extract_draws_them(share, drawer, monkeypatch):
    settings = ExtractSettings(shape=(16,) * 3, near_peak_share=share, near_peak_radius_voxels=6)
    wanted = places.probabilities(settings, (32,) * 3, (16,) * 3)[::4, ::4, ::4]
    monkeypatch.setattr(drawer, "options", replace(SMALL, near_peak_share=share))
    bright = torch.full((1, 32, 32, 32), 100.0)
    found = drawer._probability(bright).view(5, 5, 5).numpy()
    np.testing.assert_allclose(found, wanted / wanted.sum(), rtol=1e-5)
    bright[:, :, :, 24:] = 0.1  # too dark for patches that lie in it with more than 97 of 100 voxels
    bright[:, :, :, :23] = 0.1
    dark = drawer._probability(bright).view(5, 5, 5)
    assert float(dark.sum()) == pytest.approx(1, abs=1e-5)
    assert (dark[:, :, :2] == 0).all()
    assert (dark[:, :, 2:] > 0).any()


def test_exposures(drawer):
    batch = drawer.batch(400)
    rate, counts = batch.truth.double().expm1(), batch.counted.double().expm1()
    assert float(((counts - rate) ** 2).sum() / rate.sum()) == pytest.approx(1, rel=0.1)
    clean = (batch.seen == batch.truth).flatten(1).all(1)
    assert (clean | (batch.seen == batch.counted).flatten(1).all(1)).all()
    assert float(clean.float().mean()) == pytest.approx(SMALL.noise_free_fraction, abs=0.06)
    assert batch.mask.shape == batch.truth.shape
    assert 0.1 < float(batch.mask.float().mean()) < 0.5
    assert float(rate.mean((1, 2, 3)).log10().std()) > 1.0


def test_a_stream_goes_on_while_a_process_draws(relaxed, capfd):
    batches = drawn.stream(particles.find([relaxed]), SMALL, HELD, 5, 1)
    first, second = next(batches), next(batches)
    assert first.truth.shape == (5, 16, 16, 16)
    assert not torch.equal(first.truth, second.truth)
    batches.close()
    assert capfd.readouterr().err == ""


def test_the_fixed_set_is_always_the_same(relaxed):
    one, two = (drawn.fixed(particles.find([relaxed]), SMALL, 9, 3) for _ in range(2))
    assert len(one) == 9
    assert one.checksum() == two.checksum()
