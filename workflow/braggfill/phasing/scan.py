"""``braggfill.phase``: from counts, with gaps or without, to an object."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from braggfill import scans
from braggfill.errors import BraggfillError
from braggfill.phasing import gap as gaps
from braggfill.phasing import named
from braggfill.phasing.context import Progress
from braggfill.phasing.phase import phase_pattern
from braggfill.phasing.recipe import Recipe
from braggfill.phasing.result import Phased
from braggfill.runs import device as devices
from braggfill.scans import flatfield

if TYPE_CHECKING:
    from torch.nn import Module

    from braggfill.networks.phase.predicts import PhaseNetwork


def phase(
    counts: np.ndarray,
    mask: np.ndarray | None = None,
    *,
    photons_per_unit: float | None = None,
    flat_field: np.ndarray | None = None,
    gap: str = "auto",
    method: str = "braggfill",
    network: str | Path | Module | None = None,
    engine: str = "auto",
    starts: int | None = None,
    budget_s: float | None = None,
    seed: int = 0,
    support_threshold: float | None = None,
    recipe: Recipe | None = None,
    start: str = "auto",
    phase_network: str | Path | PhaseNetwork | None = None,
    device: str = "auto",
    threads: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Phased:
    """Reconstruct the object of a 3D Bragg coherent diffraction pattern, and say how far it is to be trusted.

    Missing voxels are filled first (:func:`braggfill.inpaint`), then several independent starts are run until they
    agree.  The result always says how that went: ``found.verdict`` is *converged*, *uncertain* or *failed*, with the
    reason.  A failed result raises nothing; look at ``found.failed``.

    Parameters
    ----------
    counts : photons, three axes (rocking angle, vertical, horizontal), 8 voxels or more along each.
    mask : True where missing, same shape; or one detector frame, which then holds for all; None for nowhere.
    photons_per_unit : photons in one unit of ``counts``; None: one, refused where the values cannot be photons.
    flat_field : what each pixel counts of an even beam, one frame; counts are divided by it over its median, and its
        dead pixels are missing (:mod:`braggfill.scans.flatfield`).
    gap : what is given for missing voxels: ``"free"`` (nothing), ``"filled"``, ``"sure"``, ``"soft"``, or ``"auto"``,
        see :mod:`braggfill.phasing.gap`.
    method, network : what fills, see :func:`braggfill.inpaint`.
    engine : ``"auto"``, or a name of :data:`braggfill.phasing.engines.ENGINES`.
    starts : most starts on the whole array; by default as many as it takes.
    budget_s : seconds after which no start is begun and running ones are ended; filling is not counted.
    seed : the same seed gives the same bits on a processor, unless time or ``should_stop`` ended the search.
    support_threshold : one threshold of the support, relative to the rms of the modulus, instead of several.
    recipe : cycles and schedules, :class:`braggfill.phasing.recipe.Recipe`.
    start : ``"random"`` objects to begin with, what a ``"network"`` expects of the pattern, or ``"auto"``: both, where
        there is a network.  phase_network : that network or its file, if not the one that comes with the package.
    device : ``"auto"`` (a GPU where there is one), ``"cpu"``, ``"cuda"`` …; threads : starts at a time on a processor.
    progress : called between rounds; should_stop : asked in every cycle, True ends with the best so far.

    Returns
    -------
    :class:`braggfill.phasing.result.Phased`: object, support, verdict, spread, modes, runs.  Array axes are those of
    ``counts``, origin at ``n // 2``; ``counts`` is the squared modulus of the object's centred, unitary Fourier
    transform with ``exp(-2 pi i q r)``.

    Raises
    ------
    BraggfillError : the input is no pattern, its values cannot be photons; an engine or a treatment is unknown,
        memory does not suffice.

    Example
    -------
    >>> found = phase(np.zeros((16, 16, 16)))
    >>> found.failed
    True
    """
    counts = np.asarray(counts)
    missing = None if mask is None else np.asarray(mask).astype(bool)
    if missing is not None and counts.ndim == 3 and missing.shape == counts.shape[1:]:
        missing = np.broadcast_to(missing, counts.shape)
    if missing is not None and missing.shape != counts.shape:
        raise BraggfillError(f"mask: shape {missing.shape} against the pattern's {counts.shape}; use equal ones")
    if counts.ndim == 3 and counts.dtype.kind in "iuf":  # what else there is is refused below
        nowhere = np.zeros(counts.shape, bool) if missing is None else missing
        given = scans.photons(
            counts, nowhere, scans.marked(counts), photons_per_unit, "counts", option="photons_per_unit"
        )
        for line in filter(None, (*given.remarks, given.noise_remark(int(np.count_nonzero(~nowhere))))):
            warnings.warn(line, stacklevel=2)
        counts = given.values
        if flat_field is not None:
            field = flatfield.of(flat_field, counts.shape)
            counts = field.photons(counts)
            if field.bad.any():
                missing = nowhere | field.bad
    expects = named.network(phase_network, start)
    treated = gaps.treat(counts, missing, gap=gap, method=method, network=network, device=device)
    return phase_pattern(
        counts,
        missing,
        filled=treated.filled,
        sigma=treated.sigma,
        engine=engine,
        seed=seed,
        budget_s=budget_s,
        starts=starts,
        support_threshold=support_threshold,
        recipe=recipe,
        start=start,
        network=expects,
        device=devices.choose(device),
        threads=threads,
        progress=progress,
        should_stop=should_stop,
    )
