"""Where computing is done: the one place that chooses a processor or a GPU."""

from __future__ import annotations

import re

from braggfill.errors import BraggfillError
from braggfill.runs import interrupts

_KNOWN = re.compile(r"auto|cpu|gpu|mps|(cuda|xpu)(:\d+)?")


def check(name: str, what: str = "device") -> str:
    """The name of a device, if there is such a kind; nothing is loaded, and whether it is there is not looked at.

    Parameters
    ----------
    name : ``auto`` (a GPU where there is one), ``cpu``, ``gpu`` or ``cuda``, ``cuda:1`` … ; PyTorch's ``xpu``, ``mps``.
    what : the option or setting that named it, for the error.

    Raises
    ------
    BraggfillError : there is no such kind of device.
    """
    if not isinstance(name, str) or not _KNOWN.fullmatch(name):
        raise BraggfillError(f"{what}: {name!r} is unknown; use auto, cpu, cuda or cuda:1")
    return name


def choose(name: str = "auto", what: str = "device") -> str:
    """PyTorch's name of the device to compute on; parameters as of :func:`check`.

    Raises
    ------
    BraggfillError : there is no such kind of device, or it cannot be used here.
    """
    check(name, what)
    with interrupts.held():
        import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    found = "cuda" if name == "gpu" else name
    try:
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise BraggfillError(f"{what}: {name!r} cannot be used here; use auto or cpu") from error
    return found


def gpus(name: str = "auto") -> int:
    """How many GPUs may be used: those that PyTorch sees, none where ``name`` is ``cpu``."""
    if name == "cpu":
        return 0
    import torch

    return torch.cuda.device_count()
