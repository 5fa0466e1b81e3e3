"""What a gap network is trained with, and what each kind of network has where nobody says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from braggfill.learning.gap import losses


@dataclass(frozen=True)
class Gaps:
    """The gaps that are put into training patches (:func:`braggfill.patterns.gaps.draw`)."""

    style: str = "any"
    width_px: tuple[int, int] = (1, 16)
    cross_fraction: float = 0.2
    dead_fraction: float = 0.1


@dataclass(frozen=True)
class Options:
    """How patches are shown to a network and what is asked of it; the meaning of each is told in the settings of the
    train stage."""

    gap: Gaps = field(default_factory=Gaps)
    loss: Mapping[str, float] = field(default_factory=lambda: dict(losses.DEFAULT))
    """Weights by name (:data:`braggfill.learning.gap.losses.REGISTRY`)."""
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
        loss=dict.fromkeys(losses.DEFAULT, 0.0) | {"mae": 1.0, "ssim": 1.0, "gradient": 1.0},
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
    if (gap := given.pop("gap", None)) is not None:
        given["gap"] = Gaps(**_tuples(gap))
    if (weights := given.pop("loss", None)) is not None:
        given["loss"] = losses.DEFAULT | {name: float(weight) for name, weight in dict(weights).items()}
        if unknown := given["loss"].keys() - losses.REGISTRY.keys():
            raise ValueError(f"no loss is called {', '.join(sorted(unknown))}")
    if given.get("schedule") is None:
        given.pop("schedule", None)
    return replace(own, **_tuples(given))


def of_card(network: str, card: Mapping[str, Any]) -> Options:
    """What a network was trained with, as far as its file's card tells (:func:`braggfill.networks.card`)."""
    known = card.get("settings")
    try:
        return options(network, known if isinstance(known, dict) else None)
    except (TypeError, ValueError):  # of another version
        return options(network)


def _tuples(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
