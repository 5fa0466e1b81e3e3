"""Accuracy of the network's object, and of what becomes of it, against the strength of the phase (section 4.10)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from braggfill import networks
from braggfill.errors import BraggfillError
from braggfill.phasing import score
from braggfill.physics.crystals import CrystalOptions, draw
from braggfill.physics.diffraction import amplitude, expose
from braggfill.runs import seeds, storage
from braggfill.settings.phase import AssessSettings, PhaseSettings
from braggfill.stages.phase.starts import Starts

if TYPE_CHECKING:
    from braggfill.networks.phase.predicts import PhaseNetwork

COLUMNS = [
    "study", "kind", "particle", "body", "range_radians", "oversampling", "photons_exponent", "gap_px", "method",
    "accuracy", "llk_free", "cpu_seconds", "network",
]  # fmt: skip
BODIES = ("hull", "wulff", "winterbottom", "cube", "octahedron", "random")
GAP_FROM_PEAK = 8


def assess(settings: PhaseSettings, seed: int, kind: str, model: Path | None, out: Path, code: str = "") -> None:
    """A table of accuracies for one kind of phase field.

    Parameters
    ----------
    model : the run's network where ``settings.assess.network`` is trained.

    ``out`` : CSV, a row a pattern and method; ``study`` is particles, compared, oversampling, photons or gap.

    Raises
    ------
    BraggfillError : the network that is asked for is not there.
    """
    import pandas as pd
    import torch

    torch.set_num_threads(1)
    chosen = settings.assess
    network, told = load_network(chosen, model)
    rows = [row | {"network": told} for row in _rows(chosen, seed, kind, network)]
    storage.write_table(out, pd.DataFrame(rows), columns=COLUMNS)


def join(tables: list[Path], out: Path) -> None:
    """The tables of all kinds in one."""
    import pandas as pd

    whole = pd.concat([pd.read_csv(path) for path in tables], ignore_index=True)
    storage.write_table(out, whole, columns=COLUMNS)


def load_network(chosen: AssessSettings, model: Path | None) -> tuple[PhaseNetwork, str]:
    """The network that is judged, and whose it is."""
    if chosen.network == "trained":
        if model is None:
            raise BraggfillError(
                "phase.assess.network: trained needs braggphase in phase.learn.networks; name it there"
            )
        return cast("PhaseNetwork", networks.load(model)), "trained"
    if not networks.is_shipped("braggphase"):
        raise BraggfillError("phase.assess.network: no weights of braggphase come with this version; set it to trained")
    return cast("PhaseNetwork", networks.load(networks.shipped("braggphase"))), "shipped"


def _rows(chosen: AssessSettings, seed: int, kind: str, network: PhaseNetwork) -> Iterator[dict[str, Any]]:
    most, usual = max(chosen.strengths_radians), (chosen.oversampling, chosen.photons_exponent, 0)
    for particle in range(chosen.particles):
        body = BODIES[particle % len(BODIES)]
        for span in chosen.strengths_radians:
            yield from _cell("particles", seed, kind, particle, body, span, *usual, chosen.methods, chosen, network)
        for study, values in _conditions(chosen):
            yield from _cell(study, seed, kind, particle, body, most / 2, *values, ("network",), chosen, network)
    for step in range(chosen.compared_strengths):
        span = most * (step + 1) / chosen.compared_strengths
        yield from _cell(
            "compared", seed, kind, -1, chosen.compared, span, *usual, chosen.compared_methods, chosen, network
        )


def _conditions(chosen: AssessSettings) -> Iterator[tuple[str, tuple[float, float, int]]]:
    """Studies of one particle beside its strengths: oversampling, photons' exponent, width of the gap."""
    sampling, photons = chosen.oversampling, chosen.photons_exponent
    for other in chosen.oversamplings:
        yield "oversampling", (other, photons, 0)
    for exponent in chosen.photons_exponents:
        yield "photons", (sampling, exponent, 0)
    for width in chosen.gap_widths_px:
        yield "gap", (sampling, photons, width)


def _cell(
    study: str,
    seed: int,
    kind: str,
    particle: int,
    body: str,
    span: float,
    sampling: float,
    exponent: float,
    gap: int,
    methods: tuple[str, ...],
    chosen: AssessSettings,
    network: PhaseNetwork,
) -> Iterator[dict[str, Any]]:
    """A row a method for one pattern."""
    truth, counts = pattern(seed, kind, particle, body, span, sampling, exponent, chosen.box_px)
    mask = None
    if gap:
        mask = np.zeros(counts.shape, bool)
        first = chosen.box_px // 2 + GAP_FROM_PEAK - gap // 2
        mask[:, :, first : first + gap] = True
        counts = np.where(mask, 0, counts)
    ways = Starts(counts, mask, network, seeds.integer(seed, "phase/assess/starts", particle + 1))
    for method in methods:
        found = ways.by(method)
        values = (
            study, kind, particle, body, span, sampling, exponent, gap, method, score.accuracy(found.obj, truth),
            found.llk_free, found.cpu_seconds,
        )  # fmt: skip
        yield dict(zip(COLUMNS, values, strict=False))


def pattern(
    seed: int, kind: str, particle: int, body: str, span: float, sampling: float, exponent: float, box: int
) -> tuple[np.ndarray, np.ndarray]:
    """Object and counts of a particle: one body and one field, whatever ``span``, the range of its phase in radians."""
    rng = seeds.generator(seed, "phase/assess", particle + 1)
    options = CrystalOptions(bodies=(body,), kinds=(kind,), range=float(span))
    made = draw(rng, (box / sampling,) * 3, options)
    truth = made.on((box,) * 3)
    noise = seeds.generator(seed, "phase/assess/counts", particle + 1, round(1000 * span))
    counts = expose(amplitude(made.object, truth.shape, box), 10.0**exponent, noise).counts
    return truth, counts.astype(np.float32)
