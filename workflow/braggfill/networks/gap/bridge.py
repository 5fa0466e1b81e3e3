"""What the network starts from, in batches and on any device: the log intensity across gaps, interpolated linearly,
and the photons around, averaged."""

from __future__ import annotations

import torch
from torch import Tensor

FLAT = torch.contiguous_format
WIDTHS = (1.0, 3.0)
"""Standard deviations in voxels of the Gaussians that :func:`averaged` sums."""
DEEP = 0.02
"""Weight of the interpolation in it: as much as half a space of measured voxels has that begins 8 voxels away."""
MOST = 60.0
"""Natural logarithm of the most photons that are averaged: their sums stay within single precision."""


def bridge(log_intensity: Tensor, mask: Tensor) -> Tensor:
    r"""Fill the missing voxels of each pattern of a batch by linear interpolation along the axes.

    Along each axis the run of missing voxels through a voxel lies between measured ones at :math:`l < r`:

    .. math:: y(x) = \frac{r - x}{r - l}\, y_l + \frac{x - l}{r - l}\, y_r,

    averaged over the axes with weights :math:`1 / (r - l)`.  What no axis bounds on both sides (the centre of a
    cross) is filled in a later pass from what was filled before; where nothing is bounded (a gap at the border) the
    measured ends of the runs are copied, with weights 1 / distance.  The same numbers as ``interpolate(…, "linear")``.

    Parameters
    ----------
    log_intensity : (B, n0, n1, n2), log(1 + photons) or any scale linear in it; missing voxels are not looked at.
    mask : boolean, same shape, True where missing.  A pattern with no measured voxel becomes 0.

    Returns
    -------
    Tensor of the same shape; measured voxels as they were.
    """
    values = log_intensity.masked_fill(mask, 0.0)
    # An axis along which no mask changes (the rocking axis of a detector's gap) is carried along, not looked at.
    constant = [axis for axis in (1, 2, 3) if bool((mask == mask.narrow(axis, 0, 1)).all())]
    if constant:
        values = values.movedim(constant[0], -1).contiguous()
        rows, missing = values.view(-1, values.shape[-1]), mask.select(constant[0], 0).clone(memory_format=FLAT)
    else:
        values = values.contiguous()
        rows, missing = values.view(-1, 1), mask.clone(memory_format=FLAT)
    while bool(missing.any()):
        total, norm = torch.zeros_like(rows), torch.zeros_like(rows[:, :1])
        runs = [_runs(missing, axis) for axis in range(1, missing.ndim)]
        for one_sided in (False, True):
            for run in runs:
                _add(total, norm, rows, run, one_sided)
            done = (norm[:, 0] > 0).nonzero()[:, 0]
            if len(done):
                break
        else:
            break
        rows[done] = total[done] / norm[done]
        missing.view(-1)[done] = False
    return values.movedim(-1, constant[0]) if constant else values


_Run = tuple[Tensor, int, Tensor, Tensor]


def _runs(missing: Tensor, axis: int) -> _Run:
    """Flat indices of the missing voxels in the order of the lines along ``axis``, the stride of that axis, and the
    distances in voxels to the known voxel before and after, 0 where there is none."""
    length = missing.shape[axis]
    stride = missing.stride(axis)
    # Flat index (a, i, b) of the axis' own split becomes (a, b, i): each line is then a stretch of neighbours.
    line = missing.reshape(-1, length, stride).transpose(1, 2).reshape(-1).nonzero()[:, 0]
    at = line % length
    rest = line // length
    place = (rest // stride) * (length * stride) + at * stride + rest % stride
    new = torch.ones_like(line, dtype=torch.bool)
    new[1:] = (line[1:] != line[:-1] + 1) | (at[1:] == 0)
    run = new.cumsum(0) - 1
    last = torch.ones_like(new)
    last[:-1] = new[1:]
    first, final = at[new][run], at[last][run]
    before = torch.where(first > 0, at - first + 1, 0)
    after = torch.where(final < length - 1, final - at + 1, 0)
    return place, stride, before, after


def _add(total: Tensor, norm: Tensor, rows: Tensor, run: _Run, one_sided: bool) -> None:
    """Add one axis' values and weights: of the runs with two measured ends, or of those with one."""
    place, stride, before, after = run
    good = ((before > 0) != (after > 0)) if one_sided else ((before > 0) & (after > 0))
    good = good.nonzero()[:, 0]
    if len(good) == 0:
        return
    place, before, after = place[good], before[good], after[good]
    # Of a one-sided run the missing end has distance 0 and reads the voxel itself, with weight 0.
    width = (before + after).to(rows.dtype)[:, None]
    left, right = rows[place - before * stride], rows[place + after * stride]
    if one_sided:
        value = torch.where(before[:, None] > 0, left, right)
    else:
        value = torch.lerp(left, right, before.to(rows.dtype)[:, None] / width)
    total[place] += value / width
    norm[place] += 1.0 / width


def averaged(bridged: Tensor, mask: Tensor) -> Tensor:
    r"""log(1 + the mean of the photons measured around), near ones counting more.

    .. math:: \bar y(x) = \log\Bigl(1 + \frac{\sum_{x'} w(x - x') k(x') I(x') + \epsilon \tilde I(x)}
              {\sum_{x'} w(x - x') k(x') + \epsilon}\Bigr), \qquad
              w(d) = \sum_s \frac{1}{s^4} e^{-d^2 / 2 s^2} \sim \frac{1}{d^4},

    k being 1 where a voxel was measured, the widths s :data:`WIDTHS`, :math:`\tilde I` the interpolation and
    :math:`\epsilon` = :data:`DEEP`, so that deep in a gap the interpolation is all there is.  A mean of photons is less
    noisy than what two voxels interpolate, and unlike one of logarithms not lowered by counting noise.

    Parameters
    ----------
    bridged : (B, n0, n1, n2), log(1 + photons), its gaps filled by :func:`bridge` or otherwise.
    mask : boolean, same shape, True where missing.

    Returns
    -------
    Tensor of the same shape; measured voxels are averaged with those around them.
    """
    with torch.autocast(bridged.device.type, enabled=False):
        photons, known = torch.expm1(bridged.float().clamp(max=MOST)), (~mask).float()
        both = torch.stack([photons * known, known])
        total = torch.stack([DEEP * photons, torch.full_like(known, DEEP)])
        for width in WIDTHS:
            total += _blurred(both, width) / width**4
        return torch.log1p((total[0] / total[1]).clamp(min=0)).to(bridged.dtype)


def _blurred(x: Tensor, width: float) -> Tensor:
    """Sums over the last three axes, weighted by a Gaussian whose greatest value is 1."""
    for axis in (-3, -2, -1):
        place = torch.arange(x.shape[axis], device=x.device, dtype=x.dtype)
        weights = torch.exp(-0.5 * ((place[:, None] - place) / width) ** 2)
        x = (x.movedim(axis, -1) @ weights).movedim(-1, axis)
    return x
