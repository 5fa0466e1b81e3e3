"""From the network's object to a refined one, against many random starts: Table 4.2 (thesis, sections 4.8.2, 4.9)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from braggfill import networks
from braggfill.phasing import modes, pynx, score
from braggfill.phasing.pattern import crop, prepare
from braggfill.phasing.recipe import Schedule
from braggfill.physics import fourier
from braggfill.physics.crystals import CrystalOptions, draw
from braggfill.physics.diffraction import amplitude, expose
from braggfill.runs import external, seeds, storage
from braggfill.settings.phase import PhaseSettings, RefineSettings
from braggfill.stages.phase import measured_object
from braggfill.stages.phase.assess import load_network
from braggfill.stages.phase.starts import THRESHOLDS, Found, Starts

if TYPE_CHECKING:
    from braggfill.networks.phase.predicts import PhaseNetwork

COLUMNS = [
    "case", "method", "engine", "runs", "accuracy", "llk_free", "mismatch", "cpu_seconds", "seconds",
]  # fmt: skip
STAND_INS = {
    "particle_1": ((1.0, 1.0, 0.6), 3.5 * np.pi),
    "particle_2": ((0.6, 1.0, 0.9), 4.5 * np.pi),
}
"""Proportions of the simulated particles along the axes, and range of their phase."""
FILLS = 2.6
"""Oversampling along the longest axis."""
BEST = 3
"""So many random starts are taken together."""


def refine(
    settings: PhaseSettings, seed: int, case: str, model: Path | None, obj: Path | None, out: Path, code: str = ""
) -> None:
    """Table 4.2 and the objects of one case.

    Parameters
    ----------
    model : the run's network where ``settings.assess.network`` is trained.  obj : from ``fetch``, for id01.

    ``out`` : HDF5 with ``truth``, ``counts``, a group a method with ``obj``, complex64, the projections of its
    intensity along each axis, ``projection_0`` …, and the row of the table as attributes: ``mismatch`` is the mean
    square of log(1 + I) of these projections against those of the counts (Fig. 4.42).  Where no network is shipped and
    the shipped one is asked for, there are random starts alone.

    Raises
    ------
    BraggfillError : a file is missing or damaged.
    """
    import torch

    torch.set_num_threads(1)
    chosen = settings.refine
    reason = storage.left_out(obj) if case == "id01" and obj is not None else None
    with storage.create(out, settings=settings, seed=seed, code=code, left_out=reason, case=case) as file:
        if reason is not None:
            return
        truth, counts = pattern(chosen, seed, case, obj)
        file["truth"], file["counts"] = truth.astype(np.complex64), counts
        if "pynx" in chosen.engines and not external.have_pynx():
            file.attrs["left_out_pynx"] = "PyNX is not installed (bash envs/pynx.sh .venv installs it)"
        network = None
        if settings.assess.network == "shipped" and not networks.is_shipped("braggphase"):
            file.attrs["left_out_network"] = "no network for phases comes with this version; random starts alone"
        else:
            network, _ = load_network(settings.assess, model)
        for row, made in _methods(chosen, seed, counts, network):
            group = file.create_group(row["method"] if not row["engine"] else f"{row['method']}_{row['engine']}")
            group["obj"] = made.astype(np.complex64)
            sides = projections(made, counts)
            for axis, side in enumerate(sides):
                group[f"projection_{axis}"] = side.astype(np.float32)
            figures = {"accuracy": score.accuracy(made, truth), "mismatch": mismatch(sides, counts)}
            group.attrs.update({"case": case, **row, **figures})


def table(files: list[Path], out: Path) -> None:
    """Table 4.2: a row a case and method."""
    import pandas as pd

    rows = []
    for path in files:
        with storage.read(path) as file:
            groups = [one for one in file.values() if isinstance(one, h5py.Group)]
            rows += [{name: group.attrs[name] for name in COLUMNS} for group in groups]
    storage.write_table(out, pd.DataFrame(rows, columns=COLUMNS), columns=COLUMNS)


def pattern(chosen: RefineSettings, seed: int, case: str, obj: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Object and counts of a case, each a cube of ``chosen.box_px``."""
    shape = (chosen.box_px,) * 3
    if case == "id01":
        assert obj is not None
        found = crop(fourier.forward(measured_object.embedded_well(obj, chosen.box_px, FILLS)), shape)
    else:
        proportions, span = STAND_INS[case]
        options = CrystalOptions(bodies=("winterbottom",), kinds=("gaussians",), range=float(span))
        extent = np.asarray(proportions) * chosen.box_px / FILLS
        made = draw(seeds.generator(seed, f"phase/refine/{case}"), extent, options)
        found = amplitude(made.object, shape, chosen.box_px)
    counts = expose(found, 10.0**chosen.photons_exponent, seeds.generator(seed, f"phase/refine/counts/{case}")).counts
    return fourier.inverse(found), counts.astype(np.float32)


def _methods(
    chosen: RefineSettings, seed: int, counts: np.ndarray, network: PhaseNetwork | None
) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """The row of the table, but for what needs the truth, and the object of every method."""
    ways = Starts(counts, None, network, seeds.integer(seed, "phase/refine/starts"))

    def row(method: str, engine: str, runs: int, found: Found, seconds: float) -> tuple[dict[str, Any], np.ndarray]:
        told = {"method": method, "engine": engine, "runs": runs, "llk_free": found.llk_free}
        return told | {"cpu_seconds": found.cpu_seconds, "seconds": seconds}, found.obj

    if network is not None:
        began = time.perf_counter()
        first = ways.expected()
        asked = time.perf_counter() - began
        yield row("network", "", 0, first, asked)
        polish = Schedule((("ER", chosen.er_cycles),), 0, (0.8, 0.8), border=1)
        for method in ("network_er", "network_run"):
            began = time.perf_counter()
            found = ways.refined(polish) if method == "network_er" else ways.one_run()
            yield row(method, "projections", 1, found, asked + time.perf_counter() - began)
    for engine in chosen.engines:
        if engine == "pynx" and not external.have_pynx():
            continue
        began = time.perf_counter()
        found = _many(chosen, ways) if engine == "projections" else _many_pynx(chosen, seed, counts)
        yield row("runs", engine, chosen.runs, found, time.perf_counter() - began)


def _many(chosen: RefineSettings, ways: Starts) -> Found:
    """The best three of many random starts taken together, by the engine ``projections``."""
    schedule = Schedule((("HIO", chosen.hio_cycles), ("RAAR", chosen.raar_cycles)), chosen.er_cycles, (2.0, 1.0))
    runs = ways.runs(chosen.runs, schedule)
    spent = sum(run.cpu_seconds for run in runs)
    best = sorted(runs, key=lambda run: run.llk_free)[:BEST]
    return Found(_together([run.obj for run in best]), spent, best[0].llk_free)


def _many_pynx(chosen: RefineSettings, seed: int, counts: np.ndarray) -> Found:
    """The same by PyNX."""
    given = prepare(counts, seed=seed).centred()
    began = time.process_time()
    runs = []
    for number in range(chosen.runs):
        recipe = pynx.Recipe(
            support_threshold=THRESHOLDS[number % len(THRESHOLDS)], support_smooth_px=(2.0, 1.0),
            hio_cycles=chosen.hio_cycles, raar_cycles=chosen.raar_cycles, late_cycles=0, er_cycles=chosen.er_cycles,
        )  # fmt: skip
        rng = seeds.generator(seed, "phase/refine/pynx", number)
        runs += pynx.retrieve([pynx.Start(given.intensity, rng, None, given.free, number)], recipe)
    spent = time.process_time() - began
    best = sorted(runs, key=lambda run: (not run.converged, run.llk_free))[:BEST]
    arrived = [run for run in best if run.converged]
    if not arrived:
        return Found(np.zeros(counts.shape, np.complex64), spent, float("nan"))
    return Found(_together([run.obj for run in arrived]), spent, arrived[0].llk_free)


def _together(objects: list[np.ndarray]) -> np.ndarray:
    """The first orthogonal mode of some objects, the best first."""
    reference = objects[0]
    if not reference.any():
        return reference
    aligned, _ = modes.align_all(objects, reference, np.abs(reference) > 0)
    return modes.modes(aligned)[0][0]


def projections(obj: np.ndarray, counts: np.ndarray) -> list[np.ndarray]:
    """The intensity of an object, scaled to the photons counted and laid over the counts, summed along each axis."""
    intensity = np.abs(fourier.forward(obj)) ** 2
    intensity = intensity * counts.sum(dtype=np.float64) / max(float(intensity.sum(dtype=np.float64)), 1e-30)
    # What was made canonical has lost the ramp that says where its pattern lies.
    here, there = (np.array(np.unravel_index(np.argmax(values), counts.shape)) for values in (counts, intensity))
    intensity = np.roll(intensity, here - there, axis=(0, 1, 2))
    return [intensity.sum(axis=axis) for axis in range(3)]


def mismatch(sides: list[np.ndarray], counts: np.ndarray) -> float:
    """Mean square difference of log(1 + photons) between :func:`projections` and those of the counts."""
    squares = [(np.log1p(side) - np.log1p(counts.sum(axis=axis))) ** 2 for axis, side in enumerate(sides)]
    return float(np.mean([one.mean() for one in squares]))
