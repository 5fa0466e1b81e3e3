r"""The losses of the networks that fill gaps, by name: the only registry, one file a loss.

A loss is a function of tensors (B, n0, n1, n2) to one number for the batch.  By the names of its parameters it asks for
what it looks at:

- ``prediction``: what the network says, :math:`\hat y = \log(1 + \hat I)`;
- ``log_variance``: the logarithm of its variance; a network without one is not trained by this loss;
- ``truth``: what is to be predicted, :math:`y = \log(1 + I)`; ``counted``: the same of what the detector counted;
- ``scaled_prediction``, ``scaled_truth``: both normalised to 0 to 1 by the measured voxels of what the network was
  shown, as in the paper;
- ``mask``: boolean, True in the gap.

Every mean over the gap is taken patch by patch first (:func:`braggfill.learning.gap.scores.gap_mean`), so that narrow
gaps count as much as wide ones.  To add a loss, write its file and a line in ``REGISTRY``.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

REGISTRY = {
    "mse": "braggfill.learning.gap.losses.mse:mse",
    "amplitude": "braggfill.learning.gap.losses.amplitude:amplitude",
    "nll": "braggfill.learning.gap.losses.nll:nll",
    "mae": "braggfill.learning.gap.losses.mae:mae",
    "ssim": "braggfill.learning.gap.losses.ssim:ssim",
    "gradient": "braggfill.learning.gap.losses.gradient:gradient",
}
"""The losses by name, module and function, in the order in which they are summed."""
NAMES = tuple(REGISTRY)
DEFAULT = {"mse": 1.0, "amplitude": 1.0, "nll": 0.1}
"""The weights of the default network; another loss has weight 0 where it is not named."""
VARIANCE = frozenset({"nll"})
"""Those that train the variance and not the prediction."""


def modules(weights: Mapping[str, float]) -> list[str]:
    """The modules of the losses whose weight is not 0, for the fingerprint of a task."""
    return [place.partition(":")[0] for name, place in REGISTRY.items() if weights.get(name)]


def function(name: str) -> Callable[..., Tensor]:
    """The loss of a name; its module is loaded now."""
    return pkgutil.resolve_name(REGISTRY[name])


def total(
    weights: Mapping[str, float],
    prediction: Tensor,
    log_variance: Tensor | None,
    truth: Tensor,
    counted: Tensor,
    seen: Tensor,
    mask: Tensor,
) -> Tensor:
    """The weighed sum of the losses, a number.

    Parameters
    ----------
    weights : by name; a loss of weight 0, or that is not named, is left out.
    prediction, log_variance, truth, counted, mask : what losses ask for, see above.
    seen : what the network was shown, log(1 + photons).
    """
    from braggfill.patterns.normalise import fit_log

    given = {"prediction": prediction, "truth": truth, "counted": counted, "mask": mask}
    if log_variance is not None:
        given["log_variance"] = log_variance
    found = prediction.new_zeros(())
    for name in (name for name in REGISTRY if weights.get(name)):
        loss = function(name)
        wanted = inspect.signature(loss).parameters
        if log_variance is None and "log_variance" in wanted:
            continue
        if "scaled_truth" in wanted and "scaled_truth" not in given:
            scale = fit_log(seen, mask)
            given |= {"scaled_prediction": scale.apply_log(prediction), "scaled_truth": scale.apply_log(truth)}
        found = found + weights[name] * loss(*(given[each] for each in wanted))
    return found
