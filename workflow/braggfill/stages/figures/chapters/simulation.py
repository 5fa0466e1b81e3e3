"""Chapter: particles, their diffraction, and what a detector counts of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from braggfill.settings.figures import FiguresSettings
from braggfill.stages.figures.chapter import Chapter, Figure, Number, Verdict
from braggfill.stages.figures.table import Table, figures, number, read, whole


def drawn(settings: FiguresSettings, run: Mapping[str, Any]) -> list[Figure]:
    from braggfill.stages.figures import particles, perturbation

    return [
        Figure(
            "perturbation",
            "",
            "From a scattered amplitude to what a detector counts",
            "One pattern of the run. (a–c) Modulus of the object behind the amplitude, after smoothing and the cut to "
            "the support, and after correlated noise: supplement, Figs S3a and S4. (d, e) Its phase from the relaxed "
            "atoms, and the one that it is given: Fig. S5. (f, g) Projection along the rocking angle and central "
            "slice of the intensity as scattered, from the changed object, blurred, and counted with Poisson noise: "
            "Fig. S6. Far from the peak most voxels end up empty, as in a measurement.",
            perturbation.steps,
            {"steps": "perturb/steps.h5"},
        ),
        Figure(
            "particles",
            "",
            "Particles and their displacement fields",
            "Above: particles as built, one sphere per atom, all on one scale. Below: a slice through the middle of "
            "each after energy minimisation, coloured by how far its atoms moved; white arrows give the direction "
            "within the slice. Corners and edges relax most; the atoms at the foot of a Winterbottom particle are "
            "held at the misfit of its substrate. Compare with the thesis, Fig. 3.8.",
            particles.gallery,
            {"relax": "relax/chunk-[0-9]*.h5"},
        ),
    ]


def told(folder: Path) -> list[Table | None]:
    from braggfill.stages.figures import tables

    return tables.simulation(folder)


def verdict(folder: Path) -> Verdict | None:
    """How many particles, how large, how exact their scattering, and how like a measurement."""
    from braggfill.stages.figures import tables

    found = tables.relaxed(folder)
    if not found:
        return None
    atoms = [int(one["n_atoms"]) for one in found]
    shapes = len({str(one["shape"]) for one in found})
    numbers = [Number(whole(len(found)), f"relaxed particles of {shapes} shapes")]
    numbers.append(Number(f"{whole(min(atoms))} to {whole(max(atoms))}", "atoms each"))
    text = f"{len(found)} particles were built, relaxed and scattered."
    check = read(folder / "scatter/check.csv")
    if check is not None and check.max_error_relative.notna().any():
        worst = float(check.max_error_relative.max())
        numbers.append(Number(figures(worst, 2), "largest scattering error, of the peak's modulus"))
        text += (
            " Their scattering agrees with independent sums over the atoms"
            if worst < 1e-3
            else (" Their scattering DISAGREES with independent sums over the atoms")
        )
        text += f" to {figures(worst, 1)} of the largest modulus."
    real = read(folder / "evaluate/realism.csv")
    if real is not None:
        slopes = real[real.quantity == "radial_exponent"].set_index("source")["mean"]
        slopes = slopes.rename({"simulated, perturbed": "simulated"})
        if {"simulated", "measured"} <= set(slopes.index):
            numbers.append(
                Number(
                    f"{number(slopes.simulated, 2)} / {number(slopes.measured, 2)}",
                    "exponent of the decay with q, simulated / measured",
                )
            )
    return Verdict(text, tuple(numbers))


CHAPTER = Chapter(
    "simulation",
    "Simulation",
    "Atoms to particles, particles to diffraction, diffraction to what a detector would have counted.",
    drawn,
    told,
    verdict,
)
