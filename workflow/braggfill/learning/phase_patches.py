"""Phases of patches: a network for the central one, and one for those away from it, which is told the phase where an
inner patch overlaps (Masto, thesis, sections 4.6 and 4.7).

Patches lie on shells around the centre, ``step`` voxels apart; the patch of shell k overlaps with that of shell k - 1
in the same direction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from braggfill.learning import phase_losses as losses
from braggfill.networks.phase.published import Outer, patch
from braggfill.networks.unets import UNet, scaled
from braggfill.physics.crystals import CrystalOptions, draw
from braggfill.physics.diffraction import amplitude, expose
from braggfill.runs import seeds

SIDE = 32
BODIES = ("hull", "hull", "cube", "octahedron", "random", "wulff", "winterbottom")


@dataclass(frozen=True)
class PatchOptions:
    """What patches are cut from, and how.

    box : edge of the patterns.  step, shells : of the patches.  range : of the phase, peak to valley, radians.
    """

    box: int = 128
    step: int = 10
    shells: int = 5
    range: tuple[float, float] = (0.0, np.pi)
    oversampling: tuple[float, float] = (2.0, 4.0)
    photons_exponent: tuple[float, float] = (4.5, 7.0)


@dataclass(frozen=True)
class Whole:
    """A whole pattern: object (complex), counts (float32 photons) and phase (radians), each (box, box, box)."""

    obj: np.ndarray
    counts: np.ndarray
    phase: np.ndarray


@dataclass(frozen=True)
class Patches:
    """Some patches, float32 (B, 32, 32, 32).

    intensity : logarithm of the photons, 0 to 1 in each patch.  photons : counted.  phase : the truth.
    inner : the same of the inner patches in the same direction, None for central ones; known : where those overlap, and
    inner_known : where they are themselves told the truth; shift : (B, 3) voxels from inner to outer patch.
    """

    intensity: Tensor
    photons: Tensor
    phase: Tensor
    known: Tensor | None = None
    inner: Patches | None = None
    shift: np.ndarray | None = None
    shell: np.ndarray | None = None


def whole(seed: int, purpose: str, index: int, options: PatchOptions) -> Whole:
    """Pattern ``index`` for a purpose."""
    rng = seeds.generator(seed, f"phase/patches/{purpose}", index)
    extent = options.box / rng.uniform(*options.oversampling)
    made = draw(rng, (extent,) * 3, CrystalOptions(bodies=BODIES, range=options.range))
    shape = (options.box,) * 3
    found = expose(amplitude(made.object, shape, options.box), 10 ** rng.uniform(*options.photons_exponent), rng)
    return Whole(made.on(shape), found.counts.astype(np.float32), found.phase)


def cut(values: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """The patch whose origin ``n // 2`` is a voxel."""
    return values[tuple(slice(c - SIDE // 2, c + SIDE // 2) for c in centre)]


def place(options: PatchOptions, direction: np.ndarray, shell: int) -> np.ndarray:
    """Voxel at the centre of a patch, moved inwards where it would reach out of the box."""
    middle = options.box // 2
    wanted = np.rint(middle + shell * options.step * direction).astype(int)
    return np.clip(wanted, SIDE // 2, options.box - SIDE // 2)


def overlap(shift: np.ndarray) -> np.ndarray:
    """Where a patch that lies ``shift`` voxels away from another one overlaps with it, in its own voxels."""
    found = np.zeros((SIDE,) * 3, bool)
    found[tuple(slice(max(-s, 0), SIDE + min(-s, 0)) for s in shift)] = True
    return found


def log_scaled(photons: Tensor) -> Tensor:
    """log(1 + photons), 0 to 1 in each patch."""
    values = torch.log1p(photons)
    return values / values.flatten(1).amax(1).clamp(min=losses.TINY).view(-1, 1, 1, 1)


def central_patches(seed: int, purpose: str, indices: range, options: PatchOptions) -> Patches:
    """The central patches of some patterns."""
    middle = np.array([options.box // 2] * 3)
    made = [whole(seed, purpose, i, options) for i in indices]
    return _patches([cut(one.counts, middle) for one in made], [cut(one.phase, middle) for one in made])


def outer_patches(seed: int, purpose: str, indices: range, options: PatchOptions, each: int) -> Patches:
    """``each`` patches from shells at random of every one of some patterns."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in ("photons", "phase", "inner", "inner_phase")}
    known, inner_known, shifts, shells = [], [], [], []
    for index in indices:
        one = whole(seed, purpose, index, options)
        rng = seeds.generator(seed, f"phase/patches/{purpose}/shell", index)
        for _ in range(each):
            shell = int(rng.integers(1, options.shells + 1))
            direction = rng.normal(size=3)
            direction /= np.linalg.norm(direction)
            centres = [place(options, direction, max(shell - back, 0)) for back in (0, 1, 2)]
            for names, centre in zip((("photons", "phase"), ("inner", "inner_phase")), centres, strict=False):
                found[names[0]].append(cut(one.counts, centre))
                found[names[1]].append(cut(one.phase, centre))
            known.append(overlap(centres[0] - centres[1]))
            inner_known.append(overlap(centres[1] - centres[2]) if shell > 1 else np.zeros((SIDE,) * 3, bool))
            shifts.append(centres[0] - centres[1])
            shells.append(shell)
    inner = _patches(found["inner"], found["inner_phase"], np.stack(inner_known))
    made = _patches(found["photons"], found["phase"], np.stack(known))
    return Patches(made.intensity, made.photons, made.phase, made.known, inner, np.stack(shifts), np.array(shells))


def _patches(photons: list[np.ndarray], phase: list[np.ndarray], known: np.ndarray | None = None) -> Patches:
    seen, truth = (torch.from_numpy(np.stack(values)) for values in (photons, phase))
    return Patches(log_scaled(seen), seen, truth, None if known is None else torch.from_numpy(known))


@torch.no_grad()
def own_guess(central: nn.Module, outer: nn.Module, some: Patches) -> Tensor:
    """What the networks say of the inner patches, moved to the outer ones: the central network of the first shell's,
    the outer one, told the truth farther inside, of the others'.

    Sign and constant are those that suit the truth best: intensities do not tell them.
    """
    inner, shift = some.inner, some.shift
    assert inner is not None
    assert inner.known is not None
    assert shift is not None
    first = ~inner.known.flatten(1).any(1)
    said = torch.where(
        first.view(-1, 1, 1, 1),
        central(inner.intensity[:, None])[:, 0],
        outer(inner.intensity, inner.phase, inner.known),
    )
    said = _suiting(said, inner.phase, losses.amplitude_weights(inner.photons))
    found = torch.zeros_like(said)
    for i, s in enumerate(shift):
        there = tuple(slice(max(-v, 0), SIDE + min(-v, 0)) for v in s)
        here = tuple(slice(max(v, 0), SIDE + min(v, 0)) for v in s)
        found[i][there] = said[i][here]
    return found


def _suiting(said: Tensor, truth: Tensor, weights: Tensor) -> Tensor:
    """Phases, or their negative, plus the constant by which they come nearest to the truth."""
    turns = [(torch.polar(weights, sign * said - truth)).flatten(1).sum(1) for sign in (1, -1)]
    same = (turns[0].abs() >= turns[1].abs()).view(-1, 1, 1, 1)
    constant = [torch.angle(t).view(-1, 1, 1, 1) for t in turns]
    return torch.where(same, said - constant[0], -said - constant[1])


def new_loss(prediction: Tensor, some: Patches) -> Tensor:
    """WCA of the voxels that were not known, the sign being fixed, (B,)."""
    assert some.known is not None
    weights = losses.amplitude_weights(some.photons.masked_fill(some.known, 0.0))
    return losses.wca(losses.phasor(prediction), some.phase, weights, twin=False)


def train_central(
    seed: int,
    options: PatchOptions,
    number: int,
    epochs: int,
    *,
    batch: int,
    rate: float,
    width: float,
    validating: int,
) -> tuple[nn.Module, list[dict[str, float]]]:
    """The network for central patches, and its learning curve, a row an epoch."""
    network = _made(seed, "central", lambda: UNet(scaled(patch(1), width)))

    def loss(some: Patches) -> Tensor:
        found = losses.phasor(network(some.intensity[:, None])[:, 0])
        return losses.wca(found, some.phase, losses.amplitude_weights(some.photons))

    def batches(purpose: str, first: int, last: int) -> Iterator[Patches]:
        for start in range(first, last, batch):
            yield central_patches(seed, purpose, range(start, min(start + batch, last)), options)

    return network, _train(network, loss, batches, number, epochs, rate, validating)


def train_outer(
    seed: int,
    options: PatchOptions,
    number: int,
    epochs: int,
    central: nn.Module | None,
    *,
    batch: int,
    rate: float,
    width: float,
    validating: int,
    each: int,
) -> tuple[nn.Module, list[dict[str, float]]]:
    """The network for patches away from the centre; ``number`` counts patches, ``each`` of every pattern.

    central : the trained network, where the phase that is told is to be what the networks predict; None for the truth.
    """
    network = _made(seed, "outer", lambda: Outer(width))

    def loss(some: Patches) -> Tensor:
        told = some.phase if central is None else own_guess(central, network, some)
        return new_loss(network(some.intensity, told, some.known), some)

    def batches(purpose: str, first: int, last: int) -> Iterator[Patches]:
        whole_batch = max(1, batch // each)
        for start in range(first // each, -(-last // each), whole_batch):
            indices = range(start, min(start + whole_batch, -(-last // each)))
            yield outer_patches(seed, f"outer/{purpose}", indices, options, each)

    return network, _train(network, loss, batches, number, epochs, rate, validating)


def _made(seed: int, name: str, build: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.integer(seed, f"phase/patches/{name}"))
        return build().to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]


def _train(
    network: nn.Module,
    loss: Callable[[Patches], Tensor],
    batches: Callable[[str, int, int], Iterator[Patches]],
    number: int,
    epochs: int,
    rate: float,
    validating: int,
) -> list[dict[str, float]]:
    """Adam; every epoch sees ``number`` new patches."""
    optimiser = torch.optim.Adam(network.parameters(), lr=rate)
    fixed = list(batches("validation", 0, validating))
    curve = []
    for epoch in range(epochs):
        network.train()
        learned = []
        for some in batches("train", epoch * number, (epoch + 1) * number):
            optimiser.zero_grad(set_to_none=True)
            found = loss(some).mean()
            found.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            learned.append(float(found.detach()))
        network.eval()
        with torch.no_grad():
            seen = [float(value) for some in fixed for value in loss(some)]
        curve.append({"epoch": epoch + 1, "train_loss": float(np.mean(learned)), "val_loss": float(np.mean(seen))})
    return curve
