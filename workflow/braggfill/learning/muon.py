r"""Muon: descent along the orthogonal matrix that is nearest to the momentum.

For a weight seen as a matrix (outputs, everything else), with gradient g and momentum m,

.. math:: m \leftarrow \mu m + g, \qquad w \leftarrow (1 - \eta\lambda) w - 0.2 \eta \sqrt{\max(\mathrm{shape})}\;
          \mathrm{orthogonal}(g + \mu m),

whose step has the root mean square of one of AdamW with the same rate :math:`\eta`.  Every direction of the matrix
learns as fast as any other one, which takes a network of convolutions and transformers further with each pattern.

Source: K. Jordan et al., Muon (2024); J. Liu et al., arXiv 2502.16982 (the factor 0.2).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients of the iteration that drives all singular values to about 1."""
TURNS = 5


def orthogonal(matrix: Tensor) -> Tensor:
    r"""About :math:`U V^T` of matrices :math:`U \Sigma V^T`, (..., m, n): singular values of 0.7 to 1.2, zero excepted.

    With :math:`G = X X^T` each turn of the iteration multiplies X by :math:`P = a + b G + c G^2`, a polynomial in the
    first G, so that all of it but the first and the last product has the matrix's shorter side.
    """
    a, b, c = QUINTIC
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.mT if tall else matrix
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    gram = x @ x.mT
    one = torch.eye(gram.shape[-1], dtype=x.dtype, device=x.device)
    whole = one
    for turn in range(TURNS):
        factor = a * one + b * gram + c * (gram @ gram)
        whole = factor @ whole
        if turn < TURNS - 1:
            gram = factor @ gram @ factor
    found = whole @ x
    return found.mT if tall else found


class Muon(torch.optim.Optimizer):
    """Muon for weights of two or more axes; the others belong to another optimiser (:func:`split`)."""

    def __init__(
        self, weights: Iterable[Tensor], lr: float | Tensor, momentum: float = 0.95, weight_decay: float = 0.0
    ):
        """``lr``: a tensor of the weights' device where steps are recorded."""
        super().__init__(list(weights), {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step along the gradients that the weights hold; matrices of one shape together."""
        for group in self.param_groups:
            rate, mu = group["lr"], group["momentum"]
            alike: dict[torch.Size, list[Tensor]] = {}
            for weight in group["params"]:
                if weight.grad is not None:
                    alike.setdefault(weight.shape, []).append(weight)
            for weights in alike.values():
                for weight in weights:
                    if "momentum" not in self.state[weight]:
                        self.state[weight]["momentum"] = torch.zeros_like(weight)
                gradients = [weight.grad for weight in weights if weight.grad is not None]
                momenta = [self.state[weight]["momentum"] for weight in weights]
                torch._foreach_mul_(momenta, mu)
                torch._foreach_add_(momenta, gradients)
                ahead = torch._foreach_add(gradients, momenta, alpha=mu)
                matrices = torch.stack([one.flatten(1) for one in ahead])
                size = 0.2 * max(matrices.shape[1:]) ** 0.5
                steps = [one.view(weights[0].shape) for one in orthogonal(matrices)]
                torch._foreach_mul_(weights, 1 - rate * group["weight_decay"])
                torch._foreach_mul_(steps, -rate * size)
                torch._foreach_add_(weights, steps)


def split(network: nn.Module, first_and_last: tuple[str, ...] = ()) -> tuple[list[Tensor], list[Tensor]]:
    """Weights for Muon, and the others: those of one axis, and of the modules named, which read and write the data."""
    matrices: list[Tensor] = []
    others: list[Tensor] = []
    for name, weight in network.named_parameters():
        inner = weight.ndim >= 2 and not name.startswith(first_and_last)
        (matrices if inner else others).append(weight)
    return matrices, others
