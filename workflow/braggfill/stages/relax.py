"""relax: atom positions -> positions of least energy (LAMMPS, embedded-atom potentials; supplement S2.1, thesis 3.4.1).

The surface of a small crystal contracts and its edges and corners contract more, which is the strain that a Bragg peak
shows.  A Winterbottom particle is also held by its substrate: the layer that touches it keeps a lattice of its own, a
little larger or smaller than the crystal's (thesis Fig. 3.8).
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from braggfill.errors import BraggfillError
from braggfill.physics.elements import METALS
from braggfill.runs import external, seeds, storage
from braggfill.settings.relax import RelaxSettings

CONVERGED = ("energy tolerance", "force tolerance", "forces are zero", "linesearch alpha is zero")
RESTARTS = 3
SKIN_ANGSTROM = 0.5
MARGIN_ANGSTROM = 10.0
DECAY = 0.6


@dataclass(frozen=True)
class Relaxed:
    """A particle at rest.

    positions : (n, 3) Å, in the order given, centred on the centre of mass.
    displacement : (n, 3) Å, from the positions given to these, with zero mean.
    steps : iterations of conjugate gradients.
    energy_initial, energy_final : eV; the first with the interface layer already at its misfit.
    force_max : the largest force on an atom that was free to move, eV/Å.
    converged : whether a tolerance of the settings was met and no force is above ``max_force_ev_per_angstrom``.
    stopping : LAMMPS's own words for why it stopped, the last time.
    """

    positions: np.ndarray
    displacement: np.ndarray
    steps: int
    energy_initial: float
    energy_final: float
    force_max: float
    converged: bool
    stopping: str


def relax(
    positions: np.ndarray,
    element: str,
    settings: RelaxSettings,
    *,
    start: np.ndarray | None = None,
    held: np.ndarray | None = None,
) -> Relaxed:
    """Move atoms to a minimum of the energy E(r) = Σ_i [F(Σ_j ρ(r_ij)) + ½ Σ_j φ(r_ij)] by conjugate gradients.

    The box has open boundaries, one thread does the work, and equal input gives equal bits.  Where a force is still
    above ``settings.max_force_ev_per_angstrom`` when the energy hardly changes any more, as when one atom of a rough
    surface slides slowly towards its place, the minimisation goes on until it is not.

    Parameters
    ----------
    positions : (n, 3) float64 Å, from which displacements are counted.
    element : one of Au, Pt, Pd, Ni, Cu, Ag.
    start : (n, 3) Å, where the minimisation begins, if not at ``positions``.
    held : (n,) bool, atoms that stay where they start.

    Raises
    ------
    BraggfillError : LAMMPS cannot be loaded, or ended with an error.
    """
    lammps = external.load_lammps()
    potential = external.potentials(lammps) / METALS[element].potential
    begin = positions if start is None else start
    low, high = begin.min(axis=0) - MARGIN_ANGSTROM, begin.max(axis=0) + MARGIN_ANGSTROM
    count = len(begin)
    types = np.ones(count, int) if held is None else 1 + held.astype(int)
    box = " ".join(f"{a:.6f} {b:.6f}" for a, b in zip(low, high, strict=True))
    with tempfile.TemporaryDirectory(prefix="braggfill-") as folder:
        log = Path(folder) / "log"
        engine = lammps.lammps(cmdargs=["-log", str(log), "-screen", "none", "-nocite"])
        try:
            engine.commands_list(
                [
                    "units metal",
                    "atom_style atomic",
                    "atom_modify map array",
                    "boundary f f f",
                    f"region box block {box}",
                    "create_box 2 box",
                ]
            )
            engine.create_atoms(count, range(1, count + 1), types.tolist(), begin.ravel().tolist())
            engine.commands_list(
                [
                    f"pair_style {'eam/opt' if engine.has_style('pair', 'eam/opt') else 'eam'}",
                    f'pair_coeff * * "{potential}"',
                    f"neighbor {SKIN_ANGSTROM} bin",
                    "neigh_modify every 1 delay 0 check yes",
                    "group held type 2",
                    "fix held held setforce 0 0 0",
                    "min_style cg",
                    "min_modify norm max",
                    f"thermo {settings.max_steps}",
                ]
            )
            tolerances = settings.energy_tolerance, settings.force_tolerance_ev_per_angstrom
            _minimise(engine, *tolerances, settings.max_steps)
            force_max, steps = _largest_force(engine), int(engine.get_thermo("step"))
            # The last gain may be small while a single atom is still on its way: go on until its force is small too.
            for _ in range(RESTARTS):
                if force_max <= settings.max_force_ev_per_angstrom or steps >= settings.max_steps:
                    break
                _minimise(engine, 0, settings.max_force_ev_per_angstrom, settings.max_steps - steps)
                force_max, steps = _largest_force(engine), int(engine.get_thermo("step"))
            final = np.array(engine.gather_atoms("x", 1, 3), dtype=float).reshape(count, 3)
        except Exception as error:  # LAMMPS raises plain Exception, and its own class for an abort
            reason = " ".join(str(error).split()) or type(error).__name__
            raise BraggfillError(f"LAMMPS ended with {reason!r}; try a smaller relax.max_misfit") from error
        finally:
            engine.close()
        stopping, energies = _outcome(log)
    displacement = final - positions
    displacement -= displacement.mean(axis=0)
    return Relaxed(
        positions=positions + displacement,
        displacement=displacement,
        steps=steps,
        energy_initial=energies[0],
        energy_final=energies[1],
        force_max=force_max,
        # A line search that finds nothing lower has converged as well, if the forces say so.
        converged=stopping in CONVERGED and force_max <= settings.max_force_ev_per_angstrom,
        stopping=stopping,
    )


def strained(positions: np.ndarray, interface: np.ndarray, normal: np.ndarray, misfit: float) -> np.ndarray:
    """Positions with the interface layer stretched in its plane, fading into the particle.

    An atom at r moves by misfit · w · (r - c)_∥, where c is the centre of the layer, ∥ the part in its plane and w = 1
    in the layer, exp(-depth / (0.6 R)) above it, R being the layer's root-mean-square radius.  The fading only starts
    the minimisation near its end; without it, atoms of a wide layer would begin beside the wrong neighbours.

    Parameters
    ----------
    positions : (n, 3) Å.
    interface : (n,) bool, the layer.
    normal : (3,) unit vector from the particle into the substrate.
    misfit : strain of the layer, positive when stretched.
    """
    relative = positions - positions[interface].mean(axis=0)
    height = relative @ normal
    along = relative - height[:, None] * normal
    radius = np.sqrt((along[interface] ** 2).sum(axis=1).mean())
    weight = np.exp(np.minimum(height - height[interface].min(), 0) / max(DECAY * radius, 1.0))
    weight[interface] = 1.0
    return positions + misfit * weight[:, None] * along


def relax_chunk(settings: RelaxSettings, seed: int, particles: Path, out: Path, code: str = "") -> None:
    """Relax every particle of a file and write them to another.

    Each particle keeps its group and attributes; it has ``positions`` (relaxed) and ``displacement``, both (n, 3)
    float64 Å, and ``interface`` where it had one.  Attributes added: steps, energy_initial_ev, energy_final_ev,
    force_max_ev_per_angstrom, converged, stopping, and misfit (0 where nothing was held).  The file's attribute
    ``skipped`` lists, as JSON, the particles that did not converge and were left out.

    Raises
    ------
    BraggfillError : the file cannot be read, or a particle did not converge and ``on_unconverged`` is ``error``.
    """
    from tqdm import tqdm

    missing = storage.left_out(particles)
    skipped: list[str] = []
    with (
        storage.read(particles) as source,
        storage.create(out, settings=settings, seed=seed, code=code, left_out=missing) as target,
    ):
        for name in tqdm(sorted(source), desc="relax", unit="particle", mininterval=2.0):
            group, attributes = _read(particles, source, name)
            held = start = None
            misfit = 0.0
            if settings.substrate and "interface" in group:
                rng = seeds.generator(seed, "relax", int(attributes["index"]))
                misfit = float(rng.uniform(settings.min_misfit, settings.max_misfit))
                held = group["interface"]
                normal = np.array(json.loads(attributes["parameters"])["interface_normal"])
                start = strained(group["positions"], held, normal, misfit)
            try:
                result = relax(group["positions"], str(attributes["element"]), settings, start=start, held=held)
            except BraggfillError as error:
                raise BraggfillError(f"{_called(name, attributes)}: {error}") from error
            if not result.converged:
                what = (
                    f"{_called(name, attributes)} did not converge: {result.stopping} after {result.steps} steps, "
                    f"largest force {result.force_max:.2g} eV/Å"
                )
                if settings.on_unconverged == "error":
                    raise BraggfillError(
                        f"{what}; raise relax.max_steps or relax.max_force_ev_per_angstrom, "
                        "or set relax.on_unconverged to skip"
                    )
                print(f"braggfill: warning: {what}; left out", file=sys.stderr)
                skipped.append(name)
                continue
            _write(target.create_group(name), attributes, group, result, misfit)
        target.attrs["skipped"] = json.dumps(skipped)


def _called(name: str, attributes: dict[str, Any]) -> str:
    return f"particle {name} ({attributes['element']}, {attributes['shape']}, {attributes['n_atoms']:,} atoms)"


def _read(path: Path, source: Any, name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and attributes of one particle, or one line about what is wrong with them."""
    try:
        arrays = {key: np.asarray(source[name][key][()]) for key in source[name]}
        attributes = dict(source[name].attrs)
        positions = arrays["positions"]
        known = attributes["element"] in METALS and {"index", "shape", "n_atoms", "parameters"} <= set(attributes)
    except (OSError, KeyError, RuntimeError) as error:
        raise BraggfillError(f"{path}: particle {name} cannot be read; delete the file and make it again") from error
    if not known or positions.ndim != 2 or positions.shape[1:] != (3,) or not np.isfinite(positions).all():
        raise BraggfillError(f"{path}: particle {name} is not what the stage particle writes; make the file again")
    return arrays, attributes


def _write(
    group: Any, attributes: dict[str, Any], arrays: dict[str, np.ndarray], result: Relaxed, misfit: float
) -> None:
    group.create_dataset("positions", data=result.positions, fletcher32=True)
    group.create_dataset("displacement", data=result.displacement, fletcher32=True)
    if "interface" in arrays:
        group.create_dataset("interface", data=arrays["interface"])
    for key, value in attributes.items():
        group.attrs[key] = value
    group.attrs["misfit"] = misfit
    group.attrs["steps"] = result.steps
    group.attrs["energy_initial_ev"] = result.energy_initial
    group.attrs["energy_final_ev"] = result.energy_final
    group.attrs["force_max_ev_per_angstrom"] = result.force_max
    group.attrs["converged"] = result.converged
    group.attrs["stopping"] = result.stopping


def _minimise(engine: Any, energy_tolerance: float, force_tolerance: float, most_steps: int) -> None:
    """One run of LAMMPS's minimiser, in its own units (metal: eV, Å)."""
    engine.command(f"minimize {energy_tolerance} {force_tolerance} {most_steps} {100 * most_steps}")


def _largest_force(engine: Any) -> float:
    forces = np.array(engine.gather_atoms("f", 1, 3), dtype=float).reshape(-1, 3)
    return float(np.sqrt((forces**2).sum(axis=1).max()))


def _outcome(log: Path) -> tuple[str, tuple[float, float]]:
    """Why LAMMPS stopped the last time, and the energies at the first start and the last end, from its log."""
    text = log.read_text()
    reasons = re.findall(r"Stopping criterion = (.+)", text)
    energies = re.findall(r"Energy initial, next-to-last, final =\s*\n\s*(\S+)\s+\S+\s+(\S+)", text)
    if not reasons or len(reasons) != len(energies):
        raise BraggfillError("LAMMPS left no summary of its minimisation; use the version pinned in pyproject.toml")
    return reasons[-1].strip(), (float(energies[0][0]), float(energies[-1][1]))
