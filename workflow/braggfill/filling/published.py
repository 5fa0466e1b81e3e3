"""The published way: one patch's gap in its middle, slid along the gap (paper, section 2.4; supplement, S5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from braggfill.errors import BraggfillError
from braggfill.filling.sliding import bar, bridged, logarithms, places
from braggfill.patterns import patching

if TYPE_CHECKING:
    from braggfill.filling.methods import Options
    from braggfill.networks.network import Network


def published(seen: np.ndarray, mask: np.ndarray, network: Network, options: Options) -> tuple[np.ndarray, None]:
    """The published method, see :data:`braggfill.filling.methods.Filler`."""
    logs, limit = logarithms(seen)
    return np.expm1(fill_published(logs, mask, network, options.skip, options.batch, options.progress, limit)), None


def fill_published(
    logs: np.ndarray,
    mask: np.ndarray,
    model: Network,
    skip: int,
    batch: int,
    progress: bool,
    limit: float,
) -> np.ndarray:
    """log(1 + photons) of the missing voxels, in their order.

    A patch of 32 x 32 x 32 voxels, a plane of the gap in its middle, is shifted along the gap by ``skip`` + 1
    voxels at a time, each arm of a cross in turn, and all that the patches predict of a voxel is averaged with equal
    weights.  (The paper predicts one patch a call; here they go in batches, which changes nothing but the time.)

    Where the published code stops, this goes on:

    - a gap less than 16 voxels from the border, and a pattern smaller than a patch, are continued beyond the border
      by their mirror image, so that the gap is in the patch's middle;
    - the network knows gaps of one width. A narrower arm is widened to it, for the network only: measured voxels
      beside it are hidden and stay as they are. A wider one is an error;
    - what is no plane (dead pixels, a beamstop) is interpolated linearly.

    Parameters
    ----------
    logs : log(1 + photons), float32; anything in the gap.
    skip : voxels between one patch and the next that are skipped, 0 and up.
    batch, progress, limit : see :func:`braggfill.filling.sliding.slide`.

    Raises
    ------
    BraggfillError : a gap wider than what the network was trained with, or nothing measured beside it.
    """
    import torch

    size = int(model.size)
    start = bridged(logs, mask)
    found = start[mask]
    width = trained_width(model)
    arms = [_arms(mask, axis, width, size) for axis in range(3)]
    if not any(arms):
        return found
    # Mirrored by so much that every gap has its place in the middle of a patch, and every axis room for one.
    pads = [(size // 2 + width_ // 2 + 1,) * 2 if a else _room(n, size) for a, n, width_ in _lengths(arms, mask.shape)]
    grown = np.pad(start, pads, mode="symmetric")
    hidden = np.zeros(grown.shape, dtype=bool)
    for axis, runs in enumerate(arms):
        line = np.moveaxis(hidden, axis, 0)
        for first, count in runs:
            line[first + pads[axis][0] : first + pads[axis][0] + count] = True
    front = np.array([pad[0] for pad in pads])
    origins = _origins(arms, mask.shape, size, skip + 1, front, pads)
    missing = np.flatnonzero(mask)
    total, norm = np.zeros(len(missing)), np.zeros(len(missing))
    wanted = np.pad(mask, pads)
    device = next(model.parameters()).device
    for part in bar(len(origins), batch, progress):
        chosen = origins[part : part + batch]
        gaps = patching.cut(hidden, chosen, size)
        x, m = torch.from_numpy(patching.cut(grown, chosen, size)).to(device), torch.from_numpy(gaps).to(device)
        with torch.inference_mode():
            mean = model.predict(x, m)[0].float().clamp(0, limit).cpu().numpy()
        asked = patching.cut(wanted, chosen, size) & gaps
        for k, origin in enumerate(chosen):
            inside, index = places(asked[k], origin - front, mask.shape, missing)
            total[index] += mean[k][inside]
            norm[index] += 1
    return np.where(norm > 0, total / np.maximum(norm, 1), found)


def trained_width(model: Network) -> int | None:
    """The width of the gaps that a published network was trained with, voxels; None where its file does not say."""
    settings = getattr(model, "card", {}).get("settings")
    if not isinstance(settings, dict):
        return None
    gap = settings.get("gap") or {"style": "paper", "width_px": (6, 6)}
    narrow, wide = gap.get("width_px", (0, 1))
    return int(wide) if narrow == wide else None


def _arms(mask: np.ndarray, axis: int, width: int | None, size: int) -> list[tuple[int, int]]:
    """First plane and number of planes of each gap across an axis, as the network is to see them."""
    others = tuple(a for a in range(3) if a != axis)
    planes = np.flatnonzero(mask.mean(axis=others) > 0.5)
    length = mask.shape[axis]
    if len(planes) in (0, length):
        return []
    arms = []
    for run in np.split(planes, np.flatnonzero(np.diff(planes) > 1) + 1):
        first, count = int(run[0]), len(run)
        most = size - 2 if width is None else width
        if count > most:
            known = f"the {most} that this network was trained for" if width else "a patch of the paper's can bridge"
            raise BraggfillError(
                f"mask: a gap of {count} voxels (axis {axis}, from {first}) is wider than {known}; "
                "use method braggfill, or a network for that width"
            )
        more = 0 if width is None else width - count
        arms.append((first - more // 2, count + more))
    return arms


def _lengths(arms: list[list[tuple[int, int]]], shape: tuple[int, ...]):
    """For each axis whether it has gaps, its length, and its widest gap."""
    return [(bool(runs), n, max((count for _, count in runs), default=0)) for runs, n in zip(arms, shape, strict=True)]


def _room(length: int, size: int) -> tuple[int, int]:
    lack = max(0, size - length)
    return lack // 2, lack - lack // 2


def _origins(
    arms: list[list[tuple[int, int]]],
    shape: tuple[int, ...],
    size: int,
    step: int,
    front: np.ndarray,
    pads: list[tuple[int, int]],
) -> np.ndarray:
    """Origins in the mirrored array: a gap in the middle across its axis; along the others ``step`` apart, inside."""
    kept: set[tuple[int, ...]] = set()
    for axis, runs in enumerate(arms):
        lines = []
        for n, pad in zip(shape, pads, strict=True):
            inside = n >= size
            line = patching.line_origins(n if inside else n + sum(pad), size, min(step, size))
            lines.append(line + pad[0] if inside else line)
        for first, count in runs:
            lines[axis] = np.array([first + front[axis] + count // 2 - size // 2])
            grid = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, 3)
            kept.update(tuple(int(v) for v in origin) for origin in grid)
    return np.array(sorted(kept), dtype=np.int64).reshape(-1, 3)
