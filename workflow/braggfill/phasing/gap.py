"""What phase retrieval is given for missing voxels: decided here for the command line and Python alike.

========  =============================================================================================================
``free``    nothing: missing voxels are without a constraint
``filled``  what was filled, as if measured
``sure``    what was filled, but for voxels whose filling is too uncertain, which are without a constraint
``soft``    what was filled, with the weight that its uncertainty allows (:func:`braggfill.phasing.pattern.gap_weight`)
========  =============================================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from braggfill.errors import BraggfillError
from braggfill.filling import trust
from braggfill.phasing.phase import FEWEST

if TYPE_CHECKING:
    from torch.nn import Module

    from braggfill.filling import Filled

TREATMENTS = ("free", "filled", "sure", "soft")
AUTO = "soft"
"""What ``auto`` stands for where the filling states its uncertainty, else ``filled``: in simulation as good as ``free``
near the peak, where ``filled`` ruins the strain, and on a measured scan, where ``free`` and ``sure`` lose, near
``filled`` (``docs/realspace.md``)."""


@dataclass(frozen=True)
class Given:
    """What phase retrieval is given for the gap; arrays of the pattern's shape, None for nothing."""

    treatment: str
    """One of :data:`TREATMENTS`; ``none`` where nothing is missing or there is too little to fill from."""
    filled: np.ndarray | None = field(default=None, repr=False)
    """Photons; NaN where phase retrieval has no constraint."""
    sigma: np.ndarray | None = field(default=None, repr=False)
    """Standard deviation of ``filled`` without counting noise, photons."""
    method: str = ""
    """That the gap was filled with; empty if it was not."""


def treat(
    counts: np.ndarray,
    mask: np.ndarray | None,
    *,
    gap: str = "auto",
    method: str = "braggfill",
    network: str | Path | Module | None = None,
    device: str = "auto",
    progress: bool = False,
) -> Given:
    """Fill the gap as the treatment has it.

    Parameters
    ----------
    counts : photons, three axes; mask : True where missing, or None.
    gap : one of :data:`TREATMENTS`, or auto (:data:`AUTO`).
    method, network, device, progress : of :func:`braggfill.filling.inpaint`.

    Raises
    ------
    BraggfillError : there is no such treatment, the gap cannot be filled, or the method states no uncertainty, which
        ``sure`` and ``soft`` go by.
    """
    chosen = AUTO if gap == "auto" else gap
    if chosen not in TREATMENTS:
        raise BraggfillError(f"gap: {gap!r} is unknown; use one of auto, {', '.join(TREATMENTS)}")
    if mask is None or not mask.any() or mask.all() or counts[~mask].sum(dtype=float) < FEWEST:
        return Given("none")
    if chosen == "free":
        return Given("free")
    from braggfill import filling

    found = filling.inpaint(
        counts, mask, method=method, network=network, device=device, progress=progress, most_missing=True
    )
    if gap == "auto" and not trust.states_uncertainty(found.sigma, found.mask):
        chosen = "filled"
    return given(found, chosen, method)


def given(found: Filled, treatment: str, method: str) -> Given:
    """What phase retrieval is given of a filled pattern.

    Parameters
    ----------
    found : the filled pattern; treatment : one of :data:`TREATMENTS`; method : that it was filled with.

    Raises
    ------
    BraggfillError : there is no such treatment, or the method states no uncertainty, which ``sure`` and ``soft`` go by.
    """
    if treatment not in TREATMENTS:
        raise BraggfillError(f"gap: {treatment!r} is unknown; use one of auto, {', '.join(TREATMENTS)}")
    if treatment == "free":
        return Given("free")
    if treatment == "filled":
        return Given(treatment, found.for_phasing(), method=method)
    if not trust.states_uncertainty(found.sigma, found.mask):
        raise BraggfillError(
            f"gap: {treatment} goes by the uncertainty of the filling, and method {method} states none"
        )
    if treatment == "sure":
        return Given(treatment, np.where(found.mask_for_phasing(), np.nan, found.for_phasing()), method=method)
    held = found.for_phasing()
    return Given(treatment, held, trust.held_std(found.data, found.sigma, held), method)
