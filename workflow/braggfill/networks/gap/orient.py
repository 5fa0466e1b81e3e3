"""Every gap seen from the same side: what a network learns about one axis then serves all three."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def orders(mask: Tensor) -> Tensor:
    """For each pattern the order of its axes, (B, 3): by how many of their planes are wholly missing, the most last.

    Of two gaps of the same width the one nearer to the middle comes last; where nothing tells axes apart they stay in
    their order.

    Parameters
    ----------
    mask : boolean (B, n0, n1, n2), True where missing.
    """
    scores = []
    for axis in (1, 2, 3):
        planes = mask.movedim(axis, 1).flatten(2).all(2).double()
        number, length = planes.sum(1), planes.shape[1]
        place = torch.arange(length, device=mask.device, dtype=torch.float64) - (length - 1) / 2
        offset = ((planes * place).sum(1) / number.clamp(min=1)).abs()
        scores.append(number - offset / length)
    return torch.stack(scores, dim=1).argsort(dim=1, stable=True)


def oriented(
    compute: Callable[[Tensor, Tensor], tuple[Tensor, ...]], values: Tensor, mask: Tensor
) -> tuple[Tensor, ...]:
    """``compute(values, mask)`` with the axes of each pattern in the order of :func:`orders`, and then back.

    ``compute`` takes and returns tensors (B, n0, n1, n2); patterns that end up with the same shape share one call.
    """
    codes = (orders(mask) * torch.tensor([9, 3, 1], device=mask.device)).sum(1)  # CUDA has no product of whole numbers
    found = [int(code) for code in codes.unique()]
    groups = [((codes == code).nonzero()[:, 0], (code // 9, code // 3 % 3, code % 3)) for code in found]
    turned = [(_turn(values[index], order), _turn(mask[index], order)) for index, order in groups]
    if len({x.shape[1:] for x, _ in turned}) == 1:
        whole = compute(torch.cat([x for x, _ in turned]), torch.cat([m for _, m in turned]))
        parts = list(zip(*(out.split([len(index) for index, _ in groups]) for out in whole), strict=True))
    else:
        parts = [compute(x, m) for x, m in turned]
    back = torch.cat([index for index, _ in groups]).argsort()
    return tuple(
        torch.cat([_turn(out, _inverse(order)) for out, (_, order) in zip(outs, groups, strict=True)])[back]
        for outs in zip(*parts, strict=True)
    )


def _turn(x: Tensor, order: tuple[int, ...]) -> Tensor:
    return x.permute(0, *(axis + 1 for axis in order))


def _inverse(order: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(order.index(axis) for axis in range(3))
