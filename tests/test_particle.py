"""Laws of the crystals that the stage ``particle`` cuts."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
from braggfill.errors import BraggfillError
from braggfill.physics import polyhedra as shapes
from braggfill.physics.elements import METALS
from braggfill.settings.particle import SHAPES, ParticleSettings
from braggfill.stages import particle
from braggfill.stages.particle import lattice
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

CUBE = shapes.Polyhedron(np.concatenate([np.eye(3), -np.eye(3)]), np.ones(6))
OCTAHEDRON = shapes.Polyhedron(shapes.equivalents((1, 1, 1)) / np.sqrt(3), np.ones(8))
SMALL = {"min_atoms": 300, "max_atoms": 3000}


def energies_of(body: shapes.Polyhedron) -> np.ndarray:
    """(k,) the surface energy drawn for the family of each facet, NaN for a facet of no family."""
    energies = np.full(len(body.normals), np.nan)
    for name, value in body.parameters["surface_energies"].items():
        family = shapes.equivalents(tuple(int(x) for x in name.split()))
        family /= np.linalg.norm(family, axis=1, keepdims=True)
        energies[(body.normals @ family.T).max(axis=1) > 1 - 1e-9] = value
    return energies


def lattice_points_inside(parameters: dict, constant: float) -> int:
    """How many FCC points a particle's facets hold, counted one by one in a box."""
    normals, distances = np.array(parameters["normals"]), np.array(parameters["distances_angstrom"])
    reach = int(np.ceil(2 * 4 * distances.max() / constant)) + 4
    sites = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    points = sites[sites.sum(axis=1) % 2 == 0] * constant / 2 - np.array(parameters["offset"]) * constant
    return int((points @ normals.T <= distances).all(axis=1).sum())


# --- every particle of every family -------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(index=st.integers(0, 10_000), seed=st.integers(0, 2**31), atoms=st.integers(60, 6000))
def test_a_particle_is_a_whole_piece_of_crystal(index, seed, atoms):
    made = particle.make(ParticleSettings(min_atoms=atoms, max_atoms=atoms), seed, index)
    constant = METALS[made.element].lattice_constant_angstrom
    positions, cut = made.positions, made.parameters
    assert np.abs(positions.mean(axis=0)).max() < 1e-9 * len(positions)
    # Facets: no atom beyond, and none missing within but the loose ones.
    heights = (positions - cut["origin_angstrom"]) @ np.array(cut["normals"]).T
    assert (heights <= np.array(cut["distances_angstrom"]) + 1e-9).all()
    # The number wanted, to a layer of the largest facet either way and the loose atoms.
    assert abs(len(positions) + cut["strays_removed"] - atoms) <= 2.5 * atoms ** (2 / 3)
    # Neighbours at a/√2, three at least for each, and one can walk from any atom to any other.
    tree = cKDTree(positions)
    nearest = tree.query(positions, k=2)[0][:, 1]
    np.testing.assert_allclose(nearest, constant / np.sqrt(2), rtol=1e-9)
    bonds = tree.query_pairs(constant * 0.75, output_type="ndarray")
    assert np.bincount(bonds.ravel(), minlength=len(positions)).min() >= lattice.MIN_NEIGHBOURS
    graph = coo_array((np.ones(len(bonds)), bonds.T), shape=(len(positions),) * 2)
    assert connected_components(graph, directed=False)[0] == 1
    # Only Winterbottom particles touch a substrate, with their outermost atoms.
    assert made.interface.any() == (made.shape == "winterbottom")
    if made.interface.any():
        depth = positions @ np.array(cut["interface_normal"])
        assert depth[made.interface].min() > depth[~made.interface].max()


@pytest.mark.parametrize("index", range(10))
def test_facets_hold_exactly_the_atoms_and_the_strays(index):
    made = particle.make(ParticleSettings(min_atoms=400, max_atoms=900), 11, index)
    constant = METALS[made.element].lattice_constant_angstrom
    inside = lattice_points_inside(made.parameters, constant)
    assert inside == len(made.positions) + made.parameters["strays_removed"]


@pytest.mark.parametrize("shape", SHAPES)
def test_atoms_fill_the_volume_of_the_facets(shape):
    made = particle.make(ParticleSettings(shapes=(shape,), min_atoms=30_000, max_atoms=30_000), 5, 1)
    constant = METALS[made.element].lattice_constant_angstrom
    body = shapes.Polyhedron(np.array(made.parameters["normals"]), np.array(made.parameters["distances_angstrom"]))
    volume, centre = body.volume_and_centre()
    assert len(made.positions) * constant**3 / 4 == pytest.approx(volume, rel=0.03)
    assert np.linalg.norm(centre) < 1e-6
    assert np.linalg.norm(made.parameters["origin_angstrom"]) < constant


# --- known crystals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "atoms"),
    [
        (CUBE, 63),
        (CUBE, 365),  # 4n³ + 6n² + 3n + 1, n = 2 and 4
        (OCTAHEDRON, 19),
        (OCTAHEDRON, 85),
        (OCTAHEDRON, 231),  # m(2m² + 1)/3, m = 3, 5, 7
        (OCTAHEDRON.cut(shapes.equivalents((1, 0, 0)), 1 / 2), 55),
        (OCTAHEDRON.cut(shapes.equivalents((1, 0, 0)), 1 / 2), 147),
        (CUBE.cut(shapes.equivalents((1, 1, 1)), 1 / 3), 309),  # cuboctahedra: both ways of cutting
    ],
)
def test_magic_numbers(body, atoms):
    positions, _, parameters = particle.build(body, "Au", atoms)
    assert len(positions) == atoms
    assert parameters["strays_removed"] == 0


@pytest.mark.parametrize("body", [CUBE, OCTAHEDRON])
def test_a_crystal_centred_on_an_atom_is_its_own_mirror_image(body):
    positions = particle.build(body, "Pt", 3000)[0]
    distance = cKDTree(positions).query(-positions)[0]
    assert distance.max() < 1e-9


def test_coordination_of_the_atoms_of_a_cube():
    positions = particle.build(CUBE, "Au", 365)[0]
    sites = np.rint((positions - positions.min(axis=0)) * 2 / METALS["Au"].lattice_constant_angstrom).astype(int)
    count = np.bincount(lattice.neighbours(sites), minlength=13)
    assert count[3] == 8  # corners
    assert count[5] == 12 * 3  # edges of n = 4: three atoms besides the corners
    assert count[8] == 6 * (3**2 + 4**2)  # faces: (n - 1)² + n² each
    assert count[12] == 365 - 8 - 36 - 150


def test_loose_atoms_and_pieces_are_taken_away():
    block = np.array([s for s in np.ndindex(5, 5, 5) if sum(s) % 2 == 0])
    loose = np.array([[6, 0, 0], [30, 30, 30], [31, 31, 30]])
    kept = lattice._without_strays(np.concatenate([loose, block]))
    assert {tuple(site) for site in kept} == {tuple(site) for site in block}
    smaller = np.array([s for s in np.ndindex(3, 3, 3) if sum(s) % 2 == 0])
    kept = lattice._without_strays(np.concatenate([smaller + np.array([40, 0, 0]), block]))
    assert {tuple(site) for site in kept} == {tuple(site) for site in block}
    assert len(lattice._without_strays(loose)) == 0


def test_corners_of_a_polyhedron_and_its_volume():
    assert len(np.unique(CUBE.vertices().round(9), axis=0)) == 8
    assert CUBE.volume_and_centre()[0] == pytest.approx(8)
    assert OCTAHEDRON.volume_and_centre()[0] == pytest.approx(4 * np.sqrt(3))
    cuboctahedron = CUBE.cut(shapes.equivalents((1, 1, 1)), 1 / 3)
    assert cuboctahedron.volume_and_centre()[0] == pytest.approx(8 - 8 / 6)
    moved = shapes.Polyhedron(CUBE.normals, CUBE.distances + CUBE.normals @ [0.3, -0.2, 0.1])
    np.testing.assert_allclose(moved.volume_and_centre()[1], [0.3, -0.2, 0.1], atol=1e-12)
    np.testing.assert_allclose(np.sort(moved.centred().distances), np.ones(6))
    with pytest.raises(ValueError, match="unbounded"):
        shapes.Polyhedron(CUBE.normals[:5], CUBE.distances[:5]).vertices()


@pytest.mark.parametrize(("direction", "count"), [((1, 0, 0), 6), ((1, 1, 1), 8), ((1, 1, 0), 12), ((3, 1, 1), 24)])
def test_multiplicity_of_families(direction, count):
    assert len(shapes.equivalents(direction)) == count


# --- the families -------------------------------------------------------------------------------------------------


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_wulff_distances_are_in_the_ratio_of_the_surface_energies(seed):
    body = shapes.draw("wulff", ParticleSettings(), np.random.default_rng(seed))
    ratios = body.distances / energies_of(body)
    np.testing.assert_allclose(ratios, ratios[0], rtol=1e-6)


@pytest.mark.parametrize("energy", [-0.9, -0.3, 0.0, 0.2, 0.9])
@pytest.mark.parametrize("seed", [1, 2])
def test_winterbottom_interface_lies_as_deep_as_its_energy_says(energy, seed):
    chosen = ParticleSettings(min_interface_energy=energy, max_interface_energy=energy)
    body = shapes.draw("winterbottom", chosen, np.random.default_rng(seed))
    assert body.parameters["interface_energy_relative"] == energy
    drawn = body.parameters
    side = np.array(drawn["interface_direction"]) / np.linalg.norm(drawn["interface_direction"])
    np.testing.assert_allclose(body.normals[body.interface], side, atol=1e-9)
    # Distances from the Wulff point, wherever it lies: d_k = c γ_k + n_k · p for one c and one p.
    others = np.arange(len(body.normals)) != body.interface
    energies = np.full(len(others), drawn["interface_energy_relative"] * min(drawn["surface_energies"].values()))
    energies[others] = energies_of(body)[others]
    system = np.column_stack([energies, body.normals])
    solution = np.linalg.lstsq(system, body.distances, rcond=None)[0]
    np.testing.assert_allclose(system @ solution, body.distances, rtol=1e-6, atol=1e-6)
    assert solution[0] > 0


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), facets=st.integers(10, 60))
def test_random_polyhedra_are_compact(seed, facets):
    chosen = ParticleSettings(min_facets=facets, max_facets=facets, max_elongation=2.3)
    body = shapes.draw("random", chosen, np.random.default_rng(seed))
    assert body.elongation() <= 2.3
    assert len(body.normals) <= facets + 1
    assert (body.distances > 0).all()


# --- runs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("elements", "shape_count"), [(6, 5), (5, 5), (3, 5), (4, 2), (1, 5), (6, 3)])
def test_every_pair_of_element_and_shape_has_its_turn(elements, shape_count):
    chosen = ParticleSettings(elements=tuple(METALS)[:elements], shapes=SHAPES[:shape_count])
    pairs = [particle.turn(chosen, i) for i in range(elements * shape_count)]
    assert len(set(pairs)) == elements * shape_count
    few = pairs[: max(elements, shape_count)]
    assert len({e for e, _ in few}) == elements
    assert len({s for _, s in few}) == shape_count


def test_chunks_change_nothing(tmp_path):
    chosen = ParticleSettings(**SMALL)
    particle.particle_chunk(chosen, 3, [0, 1, 2, 3, 4, 5], tmp_path / "all.h5", code="abc")
    particle.particle_chunk(chosen, 3, [5, 1], tmp_path / "some.h5")
    particle.particle_chunk(chosen, 4, [5, 1], tmp_path / "other.h5")
    with (
        h5py.File(tmp_path / "all.h5") as a,
        h5py.File(tmp_path / "some.h5") as b,
        h5py.File(tmp_path / "other.h5") as c,
    ):
        assert a.attrs["code"] == "abc"
        assert sorted(a) == [f"{i:06d}" for i in range(6)]
        for name in ("000001", "000005"):
            np.testing.assert_array_equal(a[name]["positions"][()], b[name]["positions"][()])
            assert dict(a[name].attrs) == dict(b[name].attrs)
            assert a[name].attrs["parameters"] != c[name].attrs["parameters"]
        group = a["000001"]
        assert group.attrs["n_atoms"] == len(group["positions"]) == len(group["interface"])
        assert group.attrs["lattice_constant_angstrom"] == METALS[group.attrs["element"]].lattice_constant_angstrom
        assert {"target_atoms", "normals", "distances_angstrom", "surface_energies"} <= set(
            json.loads(group.attrs["parameters"])
        )
        assert "interface" not in a["000000"]


@settings(max_examples=15, deadline=None)
@given(index=st.integers(0, 1000), diameter=st.floats(2.0, 6.0))
def test_a_size_can_be_a_diameter(index, diameter):
    chosen = ParticleSettings(size_by="diameter", min_diameter_nm=diameter, max_diameter_nm=diameter)
    made = particle.make(chosen, 0, index)
    assert made.parameters["diameter_nm"] == pytest.approx(diameter, abs=0.35)


def test_sizes_span_their_range_evenly_in_the_logarithm():
    chosen = ParticleSettings(shapes=("random",), min_atoms=100, max_atoms=1000)
    drawn = np.array([particle.make(chosen, 1, i).parameters["target_atoms"] for i in range(60)])
    assert drawn.min() >= 100
    assert drawn.max() <= 1000
    assert 0.3 < (drawn < np.sqrt(100 * 1000)).mean() < 0.7


# --- what it must stand up to -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"elements": ["Fe"]}, "element 'Fe' has no potential"),
        ({"elements": ["au"]}, "did you mean 'Au'"),
        ({"shapes": ["wolff"]}, "did you mean 'wulff'"),
        ({"elements": []}, "at least 1"),
        ({"shapes": ["cube", "cube"]}, "once"),
        ({"min_atoms": 10, "max_atoms": 9}, "min_atoms .10. is larger than max_atoms"),
        ({"min_diameter_nm": 30}, "max_diameter_nm"),
        ({"families": [[0, 0, 0]]}, "no direction"),
        ({"families": [[1, 0, 0], [0, 0, -1]]}, "same family"),
        ({"atoms": 10}, "Extra inputs"),
    ],
)
def test_wrong_settings_are_named(wrong, said):
    with pytest.raises(ValidationError, match=said):
        ParticleSettings(**wrong)


def test_a_size_without_atoms_names_the_particle_and_the_setting(tmp_path):
    tiny = ParticleSettings(size_by="diameter", min_diameter_nm=0.05, max_diameter_nm=0.05)
    with pytest.raises(BraggfillError, match=r"particle 000004 .*no atoms; raise particle.min_diameter_nm"):
        particle.particle_chunk(tiny, 0, [4], tmp_path / "out.h5")
    assert not list(tmp_path.iterdir())
    with pytest.raises(BraggfillError, match=r"particle 000002 .*raise particle.min_atoms"):
        particle.make(ParticleSettings(min_atoms=1, max_atoms=1), 0, 2)


def test_a_size_beyond_the_memory_limit_names_the_particle_and_the_setting():
    big = ParticleSettings(min_atoms=10**9, max_atoms=10**9)
    with pytest.raises(BraggfillError, match=r"particle 000007 .*particle.memory_limit_mb"):
        particle.make(big, 0, 7)


def test_settings_that_allow_no_random_polyhedron_say_so():
    flat = ParticleSettings(min_facets=4, max_facets=4, max_elongation=1.8, shapes=("random",))
    with pytest.raises(BraggfillError, match=r"particle 000000 .*raise particle.max_elongation"):
        particle.make(flat, 0, 0)
