"""Gaps on a device, without waiting for it: masks that are the same in every frame, their orientation and bridging.

The results are those of :mod:`braggfill.patterns.gaps`, :mod:`braggfill.networks.gap.orient` and
:mod:`braggfill.networks.gap.bridge`, which look at every mask and so wait for the device many times a batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from braggfill.networks.gap.orient import orders
from braggfill.patterns.gaps import Gaps

PASSES = 4
"""Of :func:`bridge`: after these nothing is missing that random gaps can hold."""


def frames(drawn: Gaps, device: torch.device | str = "cpu") -> Tensor:
    """Masks of the frames, boolean (B, n1, n2), of gaps that are across axes 1 and 2 (not ``turned``)."""
    _, rows, columns = drawn.shape
    start, width, dead = (
        torch.from_numpy(x).to(device, non_blocking=True) for x in (drawn.start, drawn.width, drawn.dead)
    )

    def between(first: Tensor, number: Tensor, length: int) -> Tensor:
        line = torch.arange(length, device=device)
        return (line >= first[..., None]) & (line < (first + number)[..., None])

    across = [between(start[:, axis], width[:, axis], drawn.shape[axis]) for axis in (1, 2)]
    spots = (
        between(dead[..., 0], dead[..., 2], rows)[..., None]
        & between(dead[..., 1], dead[..., 2], columns)[..., None, :]
    )
    return across[0][:, :, None] | across[1][:, None, :] | spots.any(1)


def facing(frame: Tensor) -> Tensor:
    """Square frames turned so that the network finds their axes in its own order
    (:func:`braggfill.networks.gap.orient.orders`): the wider gap across the last one."""
    swapped = orders(frame[:, None].expand(-1, 2, -1, -1))[:, 1] == 2
    return torch.where(swapped[:, None, None], frame.mT, frame)


def bridge(log_intensity: Tensor, frame: Tensor) -> Tensor:
    """:func:`braggfill.networks.gap.bridge.bridge` of patterns (B, n0, n1, n2) whose frames (B, n1, n2) all have the
    same mask."""
    values, missing = log_intensity.masked_fill(frame[:, None], 0.0), frame
    for _ in range(PASSES):
        if _done(missing):
            break
        sides = [_sides(missing, axis) for axis in (1, 2)]
        both = torch.stack([missing & (left >= 0) & (right < missing.shape[axis]) for axis, left, right in sides])
        one = torch.stack([missing & ((left >= 0) != (right < missing.shape[axis])) for axis, left, right in sides])
        used = torch.where(both.flatten(2).any(2).any(0)[:, None, None], both, one)
        total, norm = torch.zeros_like(values), torch.zeros_like(values[:, 0])
        for (axis, left, right), chosen in zip(sides, used, strict=True):
            place, last = _line(missing, axis), missing.shape[axis] - 1
            before, after = ((left, right)[k].clamp(0, last)[:, None].expand_as(values) for k in (0, 1))
            first, second = (values.gather(axis + 1, index) for index in (before, after))
            width = torch.where(left < 0, right - place, torch.where(right > last, place - left, right - left))
            share = ((place - left) / width).masked_fill(right > last, 0).masked_fill(left < 0, 1)
            weight = chosen / width.clamp(min=1).to(values.dtype)
            total += torch.lerp(first, second, share[:, None].to(values.dtype)) * weight[:, None]
            norm += weight
        done = norm > 0
        values = torch.where(done[:, None], total / norm.clamp(min=1e-9)[:, None], values)
        missing = missing & ~done
    return values


def _done(missing: Tensor) -> bool:
    """Whether nothing is missing any more, where that can be known without waiting."""
    return missing.device.type == "cpu" and not bool(missing.any())


def _line(missing: Tensor, axis: int) -> Tensor:
    """Place along an axis, broadcasting over frames."""
    line = torch.arange(missing.shape[axis], device=missing.device)
    return line[:, None] if axis == 1 else line


def _sides(missing: Tensor, axis: int) -> tuple[int, Tensor, Tensor]:
    """The axis, and where along it the nearest measured pixels before (-1: none) and after (its length: none) are."""
    length, place = missing.shape[axis], _line(missing, axis)
    place = place.expand_as(missing)
    left = place.masked_fill(missing, -1).cummax(axis).values
    right = place.masked_fill(missing, length).flip(axis).cummin(axis).values.flip(axis)
    return axis, left, right
