"""How each method fills: the gap of many patches at once, or a gap of a whole pattern."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from braggfill import filling, networks
from braggfill.filling import methods as registry
from braggfill.patterns.interpolate import MOST, interpolate
from braggfill.runs import device as devices

Fill = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Methods:
    """The methods that are at hand, and the files of their networks.

    names : in the order of the settings; ``braggfill`` only where weights came with the package, ``paper`` only where
        published networks are given, each left out in one line otherwise.
    model : the network of the run.
    paper : width in voxels → a published network that was trained for it.
    """

    names: tuple[str, ...]
    model: Path
    paper: Mapping[int, Path]

    @classmethod
    def of(cls, names: Iterable[str], model: Path, paper: Mapping[int, str | Path]) -> Methods:
        names = list(names)
        if "paper" in names and not paper:
            print("braggfill: left out: method paper: evaluate.paper_networks names no network", file=sys.stderr)
            names.remove("paper")
        wanted = registry.available(names, given=("network", "paper"))
        return cls(tuple(wanted), Path(model), {int(width): Path(path) for width, path in paper.items()})

    def at(self, width: int) -> list[str]:
        """Those that can fill a gap of this width."""
        return [name for name in self.names if name != "paper" or width in self.paper]

    def network(self, method: str, width: int) -> Path | None:
        """The file of a method's network; None for an interpolation."""
        return registry.network_file(method, {"network": self.model, "paper": self.paper.get(width)}.get(method))


def patches_fill(methods: Methods, method: str, width: int, batch: int) -> Fill:
    """A function (counts (n, …), mask) -> photons in the gap (n, voxels missing), for gaps of ``width`` voxels."""
    path = methods.network(method, width)
    return interpolation_fill(method, batch) if path is None else network_fill(path, batch)


class WholeFill:
    """Fills gaps of whole patterns by :func:`braggfill.filling.inpaint`; each network is loaded once."""

    def __init__(self, methods: Methods, step: int, batch: int):
        self.methods, self.step, self.batch = methods, step, batch
        self.loaded: dict[Path, Any] = {}

    def __call__(
        self, method: str, width: int, counts: np.ndarray, mask: np.ndarray, step: int | None = None
    ) -> np.ndarray:
        """The filled pattern, photons; nothing where there is not one photon to start from.

        Parameters
        ----------
        width : of the gap, which says what published network is taken.
        step : voxels between neighbouring patches, if not as usual.
        """
        if not counts[~mask].any():
            return np.where(mask, 0, counts).astype(np.float32)
        path = self.methods.network(method, width)
        options: dict[str, Any] = {"method": method}
        if path is not None:
            step = step or self.step
            options |= {"network": self.network(path), "step": step, "skip": step - 1}
        return filling.inpaint(counts, mask, batch=self.batch, most_missing=True, **options).data

    def network(self, path: Path) -> Any:
        """The network of a file, loaded."""
        if path not in self.loaded:
            self.loaded[path] = networks.load(path, devices.choose())
        return self.loaded[path]


def network_fill(model: Path, batch: int) -> Fill:
    """A function (counts (n, …), mask) -> what a trained network predicts in the gap, photons (n, voxels missing)."""
    import torch

    device = devices.choose()
    network = networks.load(model, device)
    network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # torch's stub has no memory_format

    def fill(counts: np.ndarray, mask: np.ndarray) -> np.ndarray:
        # The published network knows gaps across the last axis only.
        axis = _gap_axis(mask) if getattr(network, "name", "") == "paper" else mask.ndim - 1
        found = []
        for part in _parts(len(counts), batch):
            logs = np.log1p(counts[part]).astype(np.float32).swapaxes(axis + 1, -1)
            missing = np.broadcast_to(mask.swapaxes(axis, -1), logs.shape)
            with torch.inference_mode():
                x = torch.from_numpy(np.ascontiguousarray(np.where(missing, 0, logs))).to(device)
                m = torch.from_numpy(missing.copy()).to(device)
                predicted = network.predict(x, m)[0].float().cpu().numpy()
            logs = predicted.swapaxes(axis + 1, -1)[:, mask].astype(np.float64)
            found.append(np.expm1(np.clip(logs, 0, MOST)))
        return np.concatenate(found)

    return fill


def interpolation_fill(method: str, batch: int) -> Fill:
    """The same for an interpolation."""

    def fill(counts: np.ndarray, mask: np.ndarray) -> np.ndarray:
        # Along the axes no method looks further than two voxels beyond a plane, the others as far as they say.
        reach = 2 if method in ("linear", "cubic", "nearest") else 8
        axis = _gap_axis(mask)
        places = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        near = (slice(None),) * axis + (slice(max(places[0] - reach, 0), places[-1] + 1 + reach),)
        part = mask[near]
        return np.concatenate(
            [interpolate(counts[(p, *near)], part, method)[:, part] for p in _parts(len(counts), batch)]
        )

    return fill


def _gap_axis(mask: np.ndarray) -> int:
    """The axis that a plane gap interrupts."""
    for axis in range(mask.ndim):
        others = tuple(a for a in range(mask.ndim) if a != axis)
        if mask.all(axis=others).any():
            return axis
    return mask.ndim - 1


def _parts(total: int, size: int) -> list[slice]:
    return [slice(first, first + size) for first in range(0, total, size)]
