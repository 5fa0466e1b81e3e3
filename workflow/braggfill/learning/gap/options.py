"""What a gap network is trained with, and what each kind of network has where nobody says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any


@dataclass(frozen=True)
class Gaps:
    """The gaps that are put into training patches (:func:`braggfill.patterns.gaps.draw`)."""

    style: str = "any"
    width_px: tuple[int, int] = (1, 16)
    cross_fraction: float = 0.2
    dead_fraction: float = 0.1


@dataclass(frozen=True)
class Weights:
    """Weights of the terms of the loss (:mod:`braggfill.learning.gap.losses`); 0 leaves a term out."""

    mse: float = 1.0
    mae: float = 0.0
    amplitude: float = 1.0
    nll: float = 0.1
    ssim: float = 0.0
    gradient: float = 0.0


@dataclass(frozen=True)
class Options:
    """How patches are shown to a network and what is asked of it; the meaning of each is told in the settings of the
    train stage."""

    gap: Gaps = field(default_factory=Gaps)
    loss: Weights = field(default_factory=Weights)
    schedule: str = "cosine"
    target: str = "expectation"
    batch_size: int = 32
    clip_norm: float = 1.0
    symmetries: bool = True
    noise_free_fraction: float = 0.0
    brightness_exponent: tuple[float, float] | None = None
    patches_max: int | None = None
    validation_max: int = 1200
    photons_min: float = 0.0


OWN = {
    "braggfill": Options(),
    "paper": Options(
        gap=Gaps(style="paper", width_px=(6, 6), dead_fraction=0.0),
        loss=Weights(mse=0, mae=1, amplitude=0, nll=0, ssim=1, gradient=1),
        schedule="plateau",
    ),
}
"""By network; ``paper`` as Masto et al. (2024), section 2.3, has it."""


def options(network: str, known: Mapping[str, Any] | None = None) -> Options:
    """The options of a network, with those that are ``known``: the settings of the train stage, or those in a network's
    card. None stands for the network's own; other keys are passed over.

    Raises
    ------
    TypeError, ValueError : what is known is of another form.
    """
    known = known or {}
    own = OWN.get(network, Options())
    given: dict[str, Any] = {f.name: known[f.name] for f in fields(Options) if f.name in known}
    for name, kind in (("gap", Gaps), ("loss", Weights)):
        value = given.pop(name, None)
        if value is not None:
            given[name] = kind(**_tuples(value))
    if given.get("schedule") is None:
        given.pop("schedule", None)
    return replace(own, **_tuples(given))


def _tuples(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
