r"""A convex shape as a product of half-spaces, differentiable, in memory that does not grow with their number.

.. math::
    S(x) = \prod_i \sigma\!\left(\frac{d_i - n_i \cdot x}{\epsilon}\right)
         = \exp \sum_i \log \sigma\!\left(\frac{d_i - n_i \cdot x}{\epsilon}\right)

with unit normals :math:`n_i`, offsets :math:`d_i` and the softness :math:`\epsilon` of the surface.  An array of voxels
times half-spaces is never held: :class:`HalfSpaces` keeps :math:`S` alone and computes the rest anew for the gradient,
a block of voxels at a time.

Source: Masto, thesis, section 5.2.1, eqs. 5.1 and 5.2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

BLOCK = {"cpu": 2**18, "cuda": 2**25}
"""Voxels times half-spaces (times starts) that are computed at a time."""


class HalfSpaces(torch.autograd.Function):
    r"""Product of the half-spaces of several starts on one grid; called as ``HalfSpaces.apply(n, d, x, eps)``.

    With :math:`g = \partial L / \partial S` the gradients are

    .. math::
        \frac{\partial L}{\partial d_i} = \frac{1}{\epsilon} \sum_x g\, S\, \sigma(-z_i), \qquad
        \frac{\partial L}{\partial n_i} = -\frac{1}{\epsilon} \sum_x g\, S\, \sigma(-z_i)\, x, \qquad
        z_i = \frac{d_i - n_i \cdot x}{\epsilon}

    Parameters
    ----------
    n : normals, (starts, half-spaces, 3).
    d : offsets, (starts, half-spaces), in units of ``x``.
    x : coordinates of the voxels, (voxels, 3).
    eps : softness in units of ``x``, above 0.

    Returns
    -------
    S, (starts, voxels), from 0 to 1.
    """

    @staticmethod
    def forward(ctx: Any, n: torch.Tensor, d: torch.Tensor, x: torch.Tensor, eps: float) -> torch.Tensor:
        shape = torch.empty(len(n), len(x), dtype=n.dtype, device=n.device)
        for part in _blocks(n, x):
            shape[:, part] = torch.sigmoid_(_distances(n, d, x[part], eps)).prod(1)
        ctx.save_for_backward(n, d, x, shape)
        ctx.eps = eps
        return shape

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None, None]:
        n, d, x, shape = ctx.saved_tensors
        pulled = gradients[0] * shape / ctx.eps
        total = torch.zeros(*d.shape, 4, dtype=n.dtype, device=n.device)
        for part in _blocks(n, x):
            outside = torch.sigmoid_(_distances(n, d, x[part], ctx.eps).neg_())
            columns = torch.cat([torch.ones_like(x[part, :1]), -x[part]], 1)
            total += outside @ (pulled[:, part, None] * columns)
        return total[..., 1:], total[..., 0], None, None


def random_normals(count: int, rng: np.random.Generator) -> np.ndarray:
    """Unit vectors spread evenly at random over the sphere, (count, 3), as normalised Gaussian numbers."""
    drawn = rng.standard_normal((count, 3))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def tangent(gradient: torch.Tensor, n: torch.Tensor) -> torch.Tensor:
    r"""The part of a gradient that lies in the sphere, :math:`g - (g \cdot n)\, n`; (…, 3) each."""
    return gradient - (gradient * n).sum(-1, keepdim=True) * n


def retract(n: torch.Tensor) -> torch.Tensor:
    """Normals put back on the unit sphere, (…, 3)."""
    return n / n.norm(dim=-1, keepdim=True).clamp_min(1e-12)


def _distances(n: torch.Tensor, d: torch.Tensor, x: torch.Tensor, eps: float) -> torch.Tensor:
    """z of each start, half-space and voxel of a block."""
    return torch.baddbmm(d[:, :, None] / eps, n, x.T.expand(len(n), 3, len(x)), alpha=-1 / eps)


def _blocks(n: torch.Tensor, x: torch.Tensor) -> list[slice]:
    """Slices of voxels small enough to be computed at once."""
    step = max(1, BLOCK.get(n.device.type, BLOCK["cuda"]) // (n.shape[0] * n.shape[1]))
    return [slice(start, start + step) for start in range(0, len(x), step)]
