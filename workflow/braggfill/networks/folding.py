"""Cells of 2 x 2 x 2 voxels as channels, and back."""

from __future__ import annotations

from torch import Tensor


def fold(x: Tensor) -> Tensor:
    """(B, C, 2n0, 2n1, 2n2) to (B, 8C, n0, n1, n2)."""
    b, c, n0, n1, n2 = x.shape
    x = x.reshape(b, c, n0 // 2, 2, n1 // 2, 2, n2 // 2, 2)
    return x.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(b, c * 8, n0 // 2, n1 // 2, n2 // 2)


def unfold(x: Tensor) -> Tensor:
    """(B, 8C, n0, n1, n2) to (B, C, 2n0, 2n1, 2n2), the inverse of :func:`fold`."""
    b, c, n0, n1, n2 = x.shape
    x = x.reshape(b, c // 8, 2, 2, 2, n0, n1, n2)
    return x.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(b, c // 8, n0 * 2, n1 * 2, n2 * 2)
