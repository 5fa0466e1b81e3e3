"""Phases in two dimensions: a training with one loss, scores (Masto, thesis, sections 4.4 and 4.5).

A network takes log(1 + photons) scaled to 0 to 1, (B, 1, n, n), and gives the phase, (B, 1, n, n), or the cosine and
the sine of it, (B, 2, n, n).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from braggfill.learning import phase_losses as losses
from braggfill.learning import planar_real_space as real
from braggfill.learning.planar_sets import PlanarSet
from braggfill.learning.schedule import cosine_rate
from braggfill.runs import seeds

BROKEN_AT = (5, 3)
"""Voxels from the centre at which the phase is not negative, where the symmetry of the set is broken."""
CONSISTENT = 0.5
"""Weight of the intensity outside the support beside WCA."""

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def _real_space(prediction: Tensor, intensity: Tensor, phase: Tensor) -> Tensor:
    unit = _unit(intensity)
    return losses.real_space(losses.objects(unit, prediction), losses.objects(unit, phase))


def _real_space_broken(prediction: Tensor, intensity: Tensor, phase: Tensor) -> Tensor:
    at = tuple(n // 2 + d for n, d in zip(phase.shape[1:], BROKEN_AT, strict=True))
    return _real_space(prediction, intensity, losses.symmetry_broken(phase, at))


def _unit(intensity: Tensor) -> Tensor:
    """The intensity scaled so that the mean square of its object's modulus is 1 over a sixteenth of the array."""
    whole = intensity.flatten(1).sum(1).clamp(min=losses.TINY).view(-1, 1, 1)
    return intensity / whole * (intensity[0].numel() / 16)


LOSSES: dict[str, Loss] = {
    "real_space": _real_space,
    "real_space_broken": _real_space_broken,
    "wca_amplitude": lambda p, i, t: losses.wca(losses.phasor(p), t, losses.amplitude_weights(i)),
    "wca_log": lambda p, i, t: losses.wca(losses.phasor(p), t, losses.log_weights(i)),
}
"""Losses by name, of predicted phase, intensity and true phase, (B, n, n), each (B,): the objects' (Eq. 4.2), the same
with the set's symmetries broken, and WCA with its two weightings."""


def _coherences(direction: Tensor, intensity: Tensor, phase: Tensor) -> tuple[Tensor, Tensor]:
    """Coherence with the truth and with its twin, mean of both weightings."""
    weights = losses.amplitude_weights(intensity), losses.log_weights(intensity)
    pairs = [losses.coherence(direction, phase, w) for w in weights]
    return (pairs[0][0] + pairs[1][0]) / 2, (pairs[0][1] + pairs[1][1]) / 2


def _wca_cos_sin(direction: Tensor, intensity: Tensor, phase: Tensor) -> Tensor:
    return 1 - torch.maximum(*_coherences(direction, intensity, phase))


def _wca_consistent(direction: Tensor, intensity: Tensor, phase: Tensor) -> Tensor:
    same, twin = _coherences(direction, intensity, phase)
    truth = losses.objects(intensity, phase)
    out = real.outside(real.waves(direction, intensity), truth, twin > same)
    return 1 - torch.maximum(same, twin) + CONSISTENT * out


DIRECTED: dict[str, Loss] = {"wca_cos_sin": _wca_cos_sin, "wca_consistent": _wca_consistent}
"""Losses of a network that gives cosines and sines, (B, 2, n, n), shorter than 1 where it is not sure: WCA, the mean of
both weightings; and the same with the share of the object's intensity outside its support."""


def outputs(loss: str) -> int:
    """How many channels a network has that is trained with a loss."""
    return 2 if loss in DIRECTED else 1


def direction(output: Tensor) -> Tensor:
    r"""Cosines and sines, (B, 2, n, n), of an output of as many channels: :math:`x / \sqrt{1 + |x|^2}`."""
    return output / (1 + output.square().sum(1, keepdim=True)).sqrt()


def phase_of(output: Tensor) -> Tensor:
    """The phase, (B, n, n), of a network's output of one channel or two."""
    return output[:, 0] if output.shape[1] == 1 else torch.atan2(output[:, 1], output[:, 0])


def value(loss: str, output: Tensor, intensity: Tensor, phase: Tensor) -> Tensor:
    """A loss of a network's output, (B,)."""
    if loss in DIRECTED:
        return DIRECTED[loss](direction(output), intensity, phase)
    return LOSSES[loss](output[:, 0], intensity, phase)


def train(
    network: nn.Module,
    loss: str,
    learning: PlanarSet,
    steps: int,
    *,
    batch: int = 32,
    rate: float = 3e-4,
    decay: bool = False,
    seed: int = 1,
    told: Callable[[int, float], None] | None = None,
) -> list[float]:
    """Train with Adam for a number of steps; the loss of each.  Every pass over the set has an order of its own.

    Parameters
    ----------
    decay : whether the rate follows :func:`braggfill.learning.schedule.cosine_rate`.
    told : called after each step with its number, from 1 on, and its loss.
    """
    optimiser = torch.optim.Adam(network.parameters(), lr=rate)
    batch = min(batch, len(learning))
    passes = len(learning) // batch
    curve = []
    for step in range(steps):
        network.train()
        if step % passes == 0:
            order = torch.from_numpy(seeds.generator(seed, "planar/order", step // passes).permutation(len(learning)))
        some = order[step % passes * batch : (step % passes + 1) * batch]
        optimiser.param_groups[0]["lr"] = cosine_rate(rate, step, steps) if decay else rate
        optimiser.zero_grad(set_to_none=True)
        found = value(loss, network(learning.inputs(some)), learning.intensity[some], learning.phase[some]).mean()
        found.backward()
        optimiser.step()
        curve.append(float(found.detach()))
        if told is not None:
            told(step + 1, curve[-1])
    return curve


@torch.no_grad()
def predict(network: nn.Module, some: PlanarSet, batch: int = 64) -> Tensor:
    """The network's output for every pattern of a set."""
    network.eval()
    found = [network(some.inputs(slice(first, first + batch))) for first in range(0, len(some), batch)]
    return torch.cat(found)


def validate(loss: str, network: nn.Module, some: PlanarSet) -> float:
    """Mean loss over a set."""
    with torch.no_grad():
        return float(value(loss, predict(network, some), some.intensity, some.phase).mean())


@torch.no_grad()
def scores(network: nn.Module, test: PlanarSet, batch: int = 64) -> dict[str, Tensor]:
    r"""Scores of each pattern, (n,): ``accuracy`` of the object (Eq. 4.5), ``wca`` (square-root weights), ``broken``,
    ``symmetry``.

    ``broken`` tells how far the ambiguity of object and twin is broken, 1 for either of them and 0 for a mixture that
    resembles both alike: :math:`|a - a'| / (1 - a_0)`, with a and a' the accuracies against the truth and against its
    twin, and a_0 that of the truth against its own twin: ``symmetry``.
    """
    found: dict[str, list[Tensor]] = {"accuracy": [], "wca": [], "broken": [], "symmetry": []}
    predicted = phase_of(predict(network, test, batch))
    for start in range(0, len(test), batch):
        some = slice(start, start + batch)
        intensity, phase, prediction = test.intensity[some], test.phase[some], predicted[some]
        guess, truth = (losses.objects(intensity, p) for p in (prediction, phase))
        one, other = losses.agreement(guess, truth), losses.agreement(guess, losses.twin_of(truth))
        symmetry = losses.agreement(truth, losses.twin_of(truth))
        found["accuracy"].append(torch.maximum(one, other))
        weights = losses.amplitude_weights(intensity)
        found["wca"].append(losses.wca(losses.phasor(prediction), phase, weights))
        found["broken"].append(((one - other).abs() / (1 - symmetry).clamp(min=1e-3)).clamp(max=1))
        found["symmetry"].append(symmetry)
    return {name: torch.cat(values) for name, values in found.items()}
