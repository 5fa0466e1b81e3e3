"""Laws of the objects that the stage ``crystal`` draws."""

from __future__ import annotations

import json

import numpy as np
import pytest
from braggfill.errors import BraggfillError
from braggfill.physics import crystals, fields, fourier, polyhedra, shapes
from braggfill.runs import storage
from braggfill.settings.crystal import CrystalSettings
from braggfill.settings.particle import ParticleSettings
from braggfill.stages import crystal
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

few = settings(max_examples=20, deadline=None)
seeds_ = st.integers(0, 2**31)
SMALL = CrystalSettings(number=7, chunk=3, extent_voxels=14.0, bodies=("hull", "cube", "random"))


def contents(path):
    with storage.read(path) as file:
        return {name: storage.array(file, name) for name in file}


# Bodies -------------------------------------------------------------------------------------------------------------


@given(seeds_, st.sampled_from([2, 3]))
@few
def test_a_hull_is_convex_and_centred_on_its_volume(seed, dimensions):
    rng = np.random.default_rng(seed)
    body = shapes.random_hull(rng, dimensions)
    assert (body.distances > 0).all()
    np.testing.assert_allclose(np.linalg.norm(body.normals, axis=1), 1)
    assert ((body.corners @ body.normals.T) <= body.distances + 1e-9).all()
    fine = shapes.cut(body.resized((60.0,) * dimensions), (96,) * dimensions)
    assert np.abs(crystals.centre_of_mass(fine)).max() < 0.02


@given(seeds_, st.sampled_from([2, 3]), st.floats(1, 3))
@few
def test_a_cut_body_has_its_volume_whatever_the_edge(seed, dimensions, edge):
    from scipy.spatial import ConvexHull

    rng = np.random.default_rng(seed)
    body = shapes.random_hull(rng, dimensions).resized((40.0,) * dimensions)
    found = shapes.cut(body, (72,) * dimensions, rng.uniform(-1, 1, dimensions), edge)
    assert found.min() == 0
    assert found.max() == 1
    # Only at corners does a soft edge take more than it gives.
    assert found.sum() == pytest.approx(ConvexHull(body.corners).volume, rel=0.03 * edge)


def test_a_box_is_cut_exactly():
    cube = polyhedra.Polyhedron(np.concatenate([np.eye(3), -np.eye(3)]), np.array([2.5, 3.0, 1.5] * 2))
    found = shapes.cut(shapes.Body(cube.normals, cube.distances, cube.vertices()), (9, 9, 8))
    assert found[4, 4, 4] == 1
    assert (found > 0).any(axis=(1, 2)).sum() == 5
    np.testing.assert_array_equal(found[:, 4, 4], [0, 0, 1, 1, 1, 1, 1, 0, 0])
    np.testing.assert_array_equal(found[4, :, 4], [0, 0.5, 1, 1, 1, 1, 1, 0.5, 0])


@pytest.mark.parametrize("name", polyhedra.FAMILIES)
def test_the_families_are_turned_and_keep_their_shape(name):
    body = shapes.family(np.random.default_rng(3), name)
    assert ((body.corners @ body.normals.T) <= body.distances + 1e-9).all()
    touched = (np.abs(body.corners @ body.normals.T - body.distances) < 1e-9).sum(axis=0)
    assert (touched >= 3).all()


def test_the_shape_options_are_those_of_the_particles():
    own, theirs = polyhedra.ShapeOptions(), ParticleSettings()
    assert {name: getattr(theirs, name) for name in vars(own)} == vars(own)


def test_rotations_have_every_direction_alike():
    turned = np.stack([shapes.rotation(np.random.default_rng(i)) for i in range(2000)])
    np.testing.assert_allclose(np.linalg.det(turned), 1)
    assert np.abs(turned.mean(axis=0)).max() < 0.06
    np.testing.assert_allclose((turned**2).mean(axis=0), 1 / 3, atol=0.03)


# Fields and objects -------------------------------------------------------------------------------------------------


@given(seeds_, st.sampled_from(fields.KINDS), st.sampled_from([(40, 37), (20, 18, 21)]), st.floats(0.5, 15))
@few
def test_the_phase_spans_what_is_asked_for_within_the_body(seed, kind, shape, span):
    rng = np.random.default_rng(seed)
    inside = shapes.cut(shapes.random_hull(rng, len(shape)).resized([n / 2 for n in shape]), shape) > 0.5
    phase = fields.scaled(fields.phase_field(rng, kind, shape, [n / 2 for n in shape]), inside, span)
    assert phase.shape == shape
    assert np.ptp(phase[inside]) == pytest.approx(0 if kind == "none" else span, rel=1e-4)
    assert phase[inside].mean() == pytest.approx(0, abs=1e-4)


def test_an_unknown_kind_is_told():
    with pytest.raises(ValueError, match="'plaid' is unknown; use one of correlated"):
        fields.phase_field(np.random.default_rng(0), "plaid", (8, 8), (4, 4))


@given(seeds_, st.sampled_from([(64, 64), (63, 52), (32, 35, 32)]), st.sampled_from(fields.KINDS), st.floats(2, 5))
@few
def test_an_object_is_centred_in_both_spaces_and_as_large_as_asked_for(seed, shape, kind, oversampling):
    made = crystals.draw_object(np.random.default_rng(seed), shape, kind=kind, oversampling=oversampling)
    assert made.shape == shape
    assert made.dtype == np.complex64
    modulus = np.abs(made)
    assert np.abs(crystals.centre_of_mass(modulus)).max() < 0.1
    intensity = np.abs(fourier.forward(made.astype(complex))) ** 2
    for axis, n in enumerate(shape):
        waves = np.exp(2j * np.pi * (np.arange(n) - n // 2) / n)
        line = intensity.sum(axis=tuple(a for a in range(len(shape)) if a != axis))
        assert np.angle(line @ waves) == pytest.approx(0, abs=1e-3)
    inside = modulus > 0.5 * modulus.max()
    widths = [np.ptp(np.flatnonzero(inside.any(axis=tuple(b for b in range(len(shape)) if b != a)))) + 1
              for a in range(len(shape))]  # fmt: skip
    assert max(w * oversampling / n for w, n in zip(widths, shape, strict=True)) == pytest.approx(1, abs=0.35)


def test_an_object_of_no_phase_and_no_noise_is_real():
    made = crystals.draw_object(np.random.default_rng(1), (48, 48), kind="none", noise=0.0)
    np.testing.assert_allclose(made.imag, 0, atol=1e-6)
    assert made.real.max() == pytest.approx(1, abs=1e-3)


def test_what_does_not_fit_is_told():
    with pytest.raises(ValueError, match="does not fit"):
        crystals.draw_object(np.random.default_rng(0), (32, 32), oversampling=0.9)


# The stage ----------------------------------------------------------------------------------------------------------


def test_the_same_objects_whatever_the_chunks(tmp_path):
    crystal.crystal_chunk(SMALL, 5, range(7), tmp_path / "all.h5")
    crystal.crystal_chunk(SMALL, 5, [0, 1, 2], tmp_path / "a.h5")
    crystal.crystal_chunk(SMALL, 5, [3, 4, 5, 6], tmp_path / "b.h5")
    whole, first, second = (contents(tmp_path / name) for name in ("all.h5", "a.h5", "b.h5"))
    for name, values in whole.items():
        np.testing.assert_array_equal(values, np.concatenate([first[name], second[name]]))
    crystal.crystal_chunk(SMALL, 6, range(2), tmp_path / "other.h5")
    assert not np.array_equal(contents(tmp_path / "other.h5")["object"], whole["object"][:2])
    assert {json.loads(p)["body"] for p in whole["parameters"]} <= set(SMALL.bodies)


@given(seeds_, st.sampled_from([2, 3]), st.floats(4, 30))
@settings(max_examples=10, deadline=None)
def test_the_box_holds_every_object(seed, dimensions, extent):
    chosen = CrystalSettings(dimensions=dimensions, extent_voxels=extent, bodies=("hull", "octahedron", "random"))
    made = crystal.make(chosen, seed, 0)
    np.testing.assert_array_equal(
        np.abs(crystals.embedded(made.object, crystal.box(chosen))).sum(dtype=float),
        np.abs(made.on(crystal.box(chosen))).sum(dtype=float),
    )
    assert made.extent.max() == pytest.approx(extent)


def test_two_dimensions_have_polygons_alone():
    assert crystal.make(CrystalSettings(dimensions=2), 1, 1).parameters["body"] == "hull"
    with pytest.raises(ValidationError, match="only 'hull'"):
        CrystalSettings(dimensions=2, bodies=("cube",))


def test_an_object_that_cannot_be_drawn_is_named(monkeypatch):
    def fail(*_):
        raise BraggfillError("no such body")

    monkeypatch.setattr(crystal, "draw", fail)
    with pytest.raises(BraggfillError, match="crystal 000004: no such body"):
        crystal.make(SMALL, 1, 4)
