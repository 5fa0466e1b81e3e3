"""The methods that fill a gap, by name: the only registry.

The command line (``--method``), Python (``inpaint(method=…)``), the settings of the workflow and its tables use these
names.  To add a method, write its :data:`Filler` in a file of its own and a line in ``METHODS``.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from braggfill import networks
from braggfill.errors import BraggfillError
from braggfill.runs import device as devices

if TYPE_CHECKING:
    import numpy as np
    from torch.nn import Module

GIVEN = "given"
"""The network of a method that comes with none: whoever fills has to give one."""


@dataclass(frozen=True)
class Options:
    """What methods may be told; each takes what concerns it, see :func:`braggfill.filling.inpaint`."""

    step: int = 9
    skip: int = 4
    batch: int = 32
    progress: bool = False

    def __post_init__(self) -> None:
        for name, least in (("step", 1), ("skip", 0), ("batch", 1)):
            number = getattr(self, name)
            if isinstance(number, bool) or int(number) != number or number < least:
                raise BraggfillError(f"{name}: {number!r} is no whole number of at least {least}")


Filler = Callable[["np.ndarray", "np.ndarray", Any, Options], "tuple[np.ndarray, np.ndarray | None]"]
"""(photons as float32, zero where missing, which it may overwrite; mask, True = missing; the network on its device, or
None; options) to the photons of the missing voxels in their order, and the standard deviation of what would be counted
there, or None."""


@dataclass(frozen=True)
class Method:
    """A way of filling."""

    filler: str
    """Module and function of its :data:`Filler`; a task's fingerprint has the modules of those that it uses
    (:func:`module_of`)."""
    network: str | None = None
    """The network that it takes by default, by the name of the weights that come with the package; or ``GIVEN``."""
    finite: bool = False
    """Whether the filling is corrected to that of a finite crystal (:mod:`braggfill.filling.finite`)."""
    variant: bool = False
    """Whether it is another method with another network or with a correction."""


METHODS: dict[str, Method] = {
    "network": Method("braggfill.filling.wide:overlapping", GIVEN, variant=True),
    "braggfill": Method("braggfill.filling.wide:overlapping", "braggfill"),
    "finite": Method("braggfill.filling.wide:overlapping", "braggfill", finite=True, variant=True),
    "paper": Method("braggfill.filling.published:published", "paper"),
    "linear": Method("braggfill.filling.interpolated:linear"),
    "cubic": Method("braggfill.filling.interpolated:cubic"),
    "nearest": Method("braggfill.filling.interpolated:nearest"),
    "idw": Method("braggfill.filling.interpolated:idw"),
    "biharmonic": Method("braggfill.filling.interpolated:biharmonic"),
}
"""``network``: a network that is given, in the workflow that which the run trained.  ``braggfill``: the one that comes
with the package.  ``finite``: the same, corrected to a finite crystal.  ``paper``: a published network.  The others
interpolate."""
NAMES = tuple(METHODS)
WITH_NETWORK = tuple(name for name, method in METHODS.items() if method.network)
INTERPOLATIONS = tuple(name for name, method in METHODS.items() if not method.network)


def get(name: str) -> Method:
    """The method of a name.

    Raises
    ------
    BraggfillError : there is none.
    """
    if name not in METHODS:
        raise BraggfillError(f"method: {name!r} is unknown; use one of {', '.join(NAMES)}")
    return METHODS[name]


def module_of(name: str) -> str:
    """The module that a method is written in, e.g. ``braggfill.filling.wide``.

    Raises
    ------
    BraggfillError : there is no such method.
    """
    return get(name).filler.partition(":")[0]


def filler(name: str) -> Filler:
    """The function that fills by a method; its module is loaded now.

    Raises
    ------
    BraggfillError : there is no such method.
    """
    return pkgutil.resolve_name(get(name).filler)


def available(names: Iterable[str], given: Collection[str] = ("network",)) -> list[str]:
    """Those of the names that can fill here: without methods whose network neither came with the package nor is among
    ``given``.  Names of no method are kept."""
    return [name for name in names if name not in METHODS or name in given or _comes(METHODS[name].network)]


def _comes(network: str | None) -> bool:
    return network is None or (network != GIVEN and networks.is_shipped(network))


def network_file(name: str, given: str | Path | None = None) -> Path | None:
    """The file of the network that a method takes: the one that is given, else the one that comes with the package;
    None for a method without a network.

    Raises
    ------
    BraggfillError : there is no such method, or no network for it.
    """
    wanted = get(name).network
    if wanted is None:
        return None
    if given is not None:
        return Path(given)
    if wanted == GIVEN:
        raise BraggfillError(f"method {name}: it takes a network that is given, and there is none; give a trained one")
    return networks.shipped(wanted)


def network(name: str, given: str | Path | Module | None = None, device: str = "auto") -> Module | None:
    """The network that a method takes, loaded, on its device; None for a method without one.

    Raises
    ------
    BraggfillError : there is no such method or no network for it, its file is damaged, or it is of the wrong kind.
    """
    if get(name).network is None:
        return None
    place = devices.choose(device)
    file = network_file(name, given) if given is None or isinstance(given, str | Path) else None
    model = networks.load(file, place) if file is not None else given.to(place).eval()  # type: ignore[union-attr]
    if name == "paper" and model.uncertain:
        raise BraggfillError(f"network: it is a {model.name} network; use method {model.name}, or another network")
    import torch

    # Channels last: a third less time on a processor.
    return model.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # torch's stub has no memory_format
