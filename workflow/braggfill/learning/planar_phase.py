"""Phases in two dimensions: sets of patterns, a training with one loss, scores (Masto, thesis, sections 4.4 and 4.5).

A network takes log(1 + photons) scaled to 0 to 1, (B, 1, n, n), and gives the phase, (B, 1, n, n).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from braggfill.learning import phase_losses as losses
from braggfill.physics.crystals import CrystalOptions, draw
from braggfill.physics.diffraction import amplitude, expose
from braggfill.runs import seeds

BROKEN_AT = (5, 3)
"""Voxels from the centre at which the phase is not negative, where the symmetry of the set is broken."""


@dataclass(frozen=True)
class SetOptions:
    """A set of patterns; ranges are (lowest, highest).

    side : voxels.  range : of the objects' phase, peak to valley, radians.  oversampling : along the longest axis.
    photons_exponent : of ten, in the brightest voxel; None: no noise.  kinds : of phase fields.
    """

    side: int = 64
    range: tuple[float, float] = (0.0, np.pi / 2)
    oversampling: tuple[float, float] = (2.0, 4.0)
    photons_exponent: tuple[float, float] | None = None
    kinds: tuple[str, ...] = ("correlated", "gaussians", "cosines")


LOW_STRAIN = SetOptions()
"""Low strain, without noise (section 4.4)."""
HIGH_STRAIN = SetOptions(range=(2 * np.pi, 5 * np.pi), photons_exponent=(4.5, 7.0))
"""High strain with Poisson noise (section 4.5)."""
BRIGHT = 1e6


@dataclass(frozen=True)
class PlanarSet:
    """Patterns of a set: intensity, photons, and phase, radians, zero at the centre; float32 (n, side, side)."""

    intensity: Tensor
    phase: Tensor

    def __len__(self) -> int:
        return len(self.phase)

    def inputs(self, some: Tensor | slice) -> Tensor:
        """What a network is shown of some patterns, (B, 1, side, side): the logarithm, 0 to 1."""
        return scaled(self.intensity[some])[:, None]


def scaled(intensity: Tensor) -> Tensor:
    """log(1 + photons), its greatest value in each pattern 1."""
    values = torch.log1p(intensity)
    return values / values.flatten(1).amax(1).clamp(min=losses.TINY).view(-1, 1, 1)


def patterns(number: int, options: SetOptions = LOW_STRAIN, seed: int = 1, first: int = 0) -> PlanarSet:
    """Patterns ``first`` to ``first + number`` of a set; each depends on the seed and its own number alone."""
    made = [_pattern(seeds.generator(seed, "planar/phase", first + i), options) for i in range(number)]
    intensity, phase = (torch.from_numpy(np.stack(values)) for values in zip(*made, strict=True))
    return PlanarSet(intensity, phase)


def _pattern(rng: np.random.Generator, options: SetOptions) -> tuple[np.ndarray, np.ndarray]:
    side = (options.side,) * 2
    extent = options.side / rng.uniform(*options.oversampling)
    made = draw(rng, (extent, extent), CrystalOptions(kinds=options.kinds, range=options.range))
    found = amplitude(made.object, side, max(*side, *made.object.shape))
    exponent = options.photons_exponent
    pattern = expose(found, BRIGHT if exponent is None else 10 ** rng.uniform(*exponent), rng)
    seen = pattern.expectation if exponent is None else pattern.counts
    return seen.astype(np.float32), pattern.phase


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


def train(
    network: nn.Module,
    loss: str,
    learning: PlanarSet,
    steps: int,
    *,
    batch: int = 32,
    rate: float = 3e-4,
    seed: int = 1,
) -> list[float]:
    """Train with Adam for a number of steps; the loss of each.  Every pass over the set has an order of its own."""
    optimiser = torch.optim.Adam(network.parameters(), lr=rate)
    batch = min(batch, len(learning))
    passes = len(learning) // batch
    curve = []
    network.train()
    for step in range(steps):
        if step % passes == 0:
            order = torch.from_numpy(seeds.generator(seed, "planar/order", step // passes).permutation(len(learning)))
        some = order[step % passes * batch : (step % passes + 1) * batch]
        optimiser.zero_grad(set_to_none=True)
        prediction = network(learning.inputs(some))[:, 0]
        found = LOSSES[loss](prediction, learning.intensity[some], learning.phase[some]).mean()
        found.backward()
        optimiser.step()
        curve.append(float(found.detach()))
    return curve


@torch.no_grad()
def scores(network: nn.Module, test: PlanarSet, batch: int = 64) -> dict[str, Tensor]:
    r"""Scores of each pattern, (n,): ``accuracy`` of the object (Eq. 4.5), ``wca`` (square-root weights), ``broken``.

    ``broken`` tells how far the ambiguity of object and twin is broken, 1 for either of them and 0 for a mixture that
    resembles both alike: :math:`|a - a'| / (1 - a_0)`, with a and a' the accuracies against the truth and against its
    twin, and a_0 that of the truth against its own twin.
    """
    network.eval()
    found: dict[str, list[Tensor]] = {"accuracy": [], "wca": [], "broken": []}
    for start in range(0, len(test), batch):
        some = slice(start, start + batch)
        intensity, phase = test.intensity[some], test.phase[some]
        prediction = network(test.inputs(some))[:, 0]
        guess, truth = (losses.objects(intensity, p) for p in (prediction, phase))
        one, other = losses.agreement(guess, truth), losses.agreement(guess, losses.twin_of(truth))
        apart = 1 - losses.agreement(truth, losses.twin_of(truth))
        found["accuracy"].append(torch.maximum(one, other))
        weights = losses.amplitude_weights(intensity)
        found["wca"].append(losses.wca(losses.phasor(prediction), phase, weights))
        found["broken"].append(((one - other).abs() / apart.clamp(min=1e-3)).clamp(max=1))
    return {name: torch.cat(values) for name, values in found.items()}
