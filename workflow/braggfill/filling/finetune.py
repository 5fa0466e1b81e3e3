r"""Fine-tuning: a trained network learns on from the scan that it is to fill (paper, section 2.7).

Patches that hold no missing voxel get artificial gaps, drawn afresh each time, and the network is trained on them for
a few epochs with the loss that it was first trained with.  A slab of the scan is set apart beforehand: no voxel of it
is in any training patch, and artificial gaps in patches of it tell whether it helped.  It did if the PCC over these
gaps rose by more than what depends on which patches they are: the 95 % bootstrap interval of the mean gain is above 0.
"""

from __future__ import annotations

import copy
import itertools
import math
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from braggfill.errors import BraggfillError
from braggfill.filling import heldout
from braggfill.patterns import gaps, metrics, patching
from braggfill.runs import interrupts, seeds
from braggfill.settings.train import GapSettings, TrainSettings

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

PATCHES, EPOCHS = 6400, 3
LEARNING_RATE = 2e-4
"""A fifth of what the network is first trained with: it knows already what to do."""
BATCH = 32
HELD_GAPS = 6
"""Artificial gaps in each patch that judges."""


@dataclass(frozen=True)
class Report:
    """What a fine-tuning did; PCC are means over patches of what was set apart."""

    patches: int
    """Different patches that were trained on, and (``wanted``) that were asked for."""
    wanted: int
    epochs: int
    held: int
    """Patches that judge."""
    linear: float
    """PCC of linear interpolation there, of the network ``before``, and ``after``."""
    before: float
    after: float
    gain_low: float
    gain_high: float
    """95 % bootstrap interval of the mean of after - before over them."""
    loss_before: float
    loss_after: float
    kept: bool
    seconds: float

    def asdict(self) -> dict[str, Any]:
        """Plain values, for a file."""
        return asdict(self)


def finetune(
    network: Module,
    intensity: np.ndarray,
    missing: np.ndarray,
    *,
    epochs: int = EPOCHS,
    patches: int = PATCHES,
    seed: int = 0,
    learning_rate: float = LEARNING_RATE,
    progress: bool = False,
) -> tuple[Module, Report]:
    """Train a copy of a network on a scan.

    On the processor the same call gives the same bits for the same number of threads.

    Parameters
    ----------
    network : as :func:`braggfill.networks.load` gives it; it is not changed.
    intensity : photons, three axes; missing : boolean, same shape, True where missing.
    epochs : how often each patch is seen, 1 to 100; the paper has 2 to 5.
    patches : how many are drawn, brighter places more often; fewer where the scan has fewer places.

    Returns
    -------
    The network that is better on what was set apart, the given one or the new one, and what was found.

    Raises
    ------
    BraggfillError : the scan has too few whole patches, or what the network was trained with is not installed.
    """
    import torch

    if not 1 <= epochs <= 100:
        raise BraggfillError(f"--finetune {epochs}: give 1 to 100 epochs; 2 to 5 are usual")
    if patches < 1:
        raise BraggfillError(f"--patches {patches}: give at least one")
    started = time.perf_counter()
    size = int(network.size)
    logs = np.log1p(np.where(missing, 0, intensity).astype(np.float32))
    held, origins = heldout.split(logs, missing, size, patches, seed)
    settings = _settings(network)
    judge = _Judge(logs, held, size, settings.gaps(), seed)
    before = judge.scores(network, settings)
    learner = copy.deepcopy(network)
    with _Deterministic():
        _train(learner, logs, origins, settings, epochs, seed, learning_rate, progress)
        after = judge.scores(learner.eval(), settings)
    gain = after.pcc - before.pcc
    low, high = metrics.bootstrap(gain, seeds.generator(seed, "finetune/bootstrap"))
    kept = bool(low > 0) and all(bool(torch.isfinite(p).all()) for p in learner.parameters())
    report = Report(
        patches=len(origins),
        wanted=patches,
        epochs=epochs,
        held=len(held),
        linear=_mean(judge.linear()),
        before=_mean(before.pcc),
        after=_mean(after.pcc),
        gain_low=low,
        gain_high=high,
        loss_before=before.loss,
        loss_after=after.loss,
        kept=kept,
        seconds=time.perf_counter() - started,
    )
    if not kept:
        return network, report
    learner.card = {**getattr(network, "card", {}), "finetuned": report.asdict()}
    return learner, report


def _settings(network: Module) -> TrainSettings:
    """What the network was trained with, as far as its card tells."""
    card = getattr(network, "card", {})
    known = card.get("settings") if isinstance(card.get("settings"), dict) else {}
    try:
        return TrainSettings(**{"network": network.name, **known})
    except ValueError:  # of another version
        return TrainSettings(network=network.name)


@dataclass(frozen=True)
class _Scores:
    pcc: np.ndarray
    """A patch: mean over its gaps."""
    loss: float


class _Judge:
    """Artificial gaps in the patches that judge, always the same ones."""

    def __init__(self, logs: np.ndarray, held: np.ndarray, size: int, wish: GapSettings, seed: int):
        self.truth = np.repeat(patching.cut(logs, held, size), HELD_GAPS, axis=0)
        self.patches = len(held)
        rng = seeds.generator(seed, "finetune/held")
        self.masks = _gaps(rng, len(self.truth), size, wish)

    def scores(self, network: Module, settings: TrainSettings) -> _Scores:
        import torch

        values, losses = [], []
        device = next(network.parameters()).device
        with torch.inference_mode():
            for part in _parts(len(self.truth)):
                truth, mask = _to(device, self.truth[part], self.masks[part])
                guess, log_variance = network.predict(truth.masked_fill(mask, 0), mask)
                losses.append(float(_loss(settings, guess, log_variance, truth, mask)) * len(truth))
                values.append(self._pcc(guess, truth, mask))
        return _Scores(self._by_patch(np.concatenate(values)), sum(losses) / len(self.truth))

    def linear(self) -> np.ndarray:
        """PCC of linear interpolation, a patch."""
        import torch

        from braggfill.networks.gap.bridge import bridge

        values = []
        for part in _parts(len(self.truth)):
            truth, mask = _to(torch.device("cpu"), self.truth[part], self.masks[part])
            values.append(self._pcc(bridge(truth, mask), truth, mask))
        return self._by_patch(np.concatenate(values))

    def _pcc(self, guess: Tensor, truth: Tensor, mask: Tensor) -> np.ndarray:
        from braggfill.learning import losses

        return losses.pcc(guess, truth, mask).cpu().numpy()

    def _by_patch(self, values: np.ndarray) -> np.ndarray:
        values = values.reshape(self.patches, HELD_GAPS)
        good = np.isfinite(values)
        return np.where(good, values, 0).sum(1) / np.where(good.any(1), good.sum(1), np.nan)


def _train(
    learner: Module,
    logs: np.ndarray,
    origins: np.ndarray,
    settings: TrainSettings,
    epochs: int,
    seed: int,
    learning_rate: float,
    progress: bool,
) -> None:
    import torch
    from tqdm import tqdm

    device = next(learner.parameters()).device
    learner.train().to(memory_format=torch.channels_last_3d)
    optimizer = torch.optim.Adam(learner.parameters(), lr=learning_rate)
    size = int(learner.size)
    steps = epochs * len(_parts(len(origins)))
    turns = list(itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)))
    step = 0
    with tqdm(total=steps, desc="fine-tune", unit="step", disable=not progress, leave=False) as bar:
        for epoch in range(epochs):
            rng = seeds.generator(seed, "finetune/epoch", epoch)
            order = rng.permutation(len(origins))
            turned = rng.integers(0, len(turns) if settings.symmetries else 1, len(origins))
            for part in _parts(len(origins)):
                cut = patching.cut(logs, origins[order[part]], size)
                for k, turn in enumerate(turned[part]):
                    axes, flips = turns[turn]
                    cut[k] = cut[k].transpose(axes)[:: flips[0], :: flips[1], :: flips[2]]
                truth, mask = _to(device, cut, _gaps(rng, len(cut), size, settings.gaps()))
                for group in optimizer.param_groups:
                    group["lr"] = _rate(learning_rate, step, steps)
                guess, log_variance = learner.predict(truth.masked_fill(mask, 0), mask)
                loss = _loss(settings, guess, log_variance, truth, mask)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                if settings.clip_norm:
                    torch.nn.utils.clip_grad_norm_(learner.parameters(), settings.clip_norm)
                optimizer.step()
                step += 1
                bar.update()


def _loss(settings: TrainSettings, guess: Tensor, log_variance: Tensor | None, truth: Tensor, mask: Tensor) -> Tensor:
    """The loss that the network was first trained with, against the counts: nobody knows their expectation."""
    from braggfill.learning import losses

    try:
        return losses.total(settings.weights(), guess, log_variance, truth, truth, truth, mask)
    except ImportError as error:
        raise BraggfillError(
            "--finetune: the loss of this network needs torchmetrics; pip install 'braggfill[train]'"
        ) from error


def _rate(highest: float, step: int, steps: int) -> float:
    """Up over the first twentieth of the steps, then down along half a cosine."""
    warm = max(1, round(0.05 * steps))
    if step < warm:
        return highest * (step + 1) / warm
    return highest * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def _gaps(rng: np.random.Generator, number: int, size: int, wish: GapSettings) -> np.ndarray:
    drawn = gaps.draw(
        rng,
        number,
        (size,) * 3,
        style=wish.style,
        widths=wish.width_px,
        cross_fraction=wish.cross_fraction,
        dead_fraction=wish.dead_fraction,
    )
    return drawn.masks()


def _to(device: Any, logs: np.ndarray, masks: np.ndarray) -> tuple[Tensor, Tensor]:
    import torch

    return torch.from_numpy(np.ascontiguousarray(logs)).to(device), torch.from_numpy(masks).to(device)


def _parts(number: int) -> list[slice]:
    return [slice(first, first + BATCH) for first in range(0, number, BATCH)]


def _mean(values: np.ndarray) -> float:
    good = values[np.isfinite(values)]
    return float(good.mean()) if len(good) else float("nan")


class _Deterministic:
    """Deterministic algorithms inside, as before outside; a GPU warns of what it has none for."""

    def __enter__(self) -> None:
        import torch

        self.before = torch.are_deterministic_algorithms_enabled()
        self.warned = torch.is_deterministic_algorithms_warn_only_enabled()
        torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())

    def __exit__(self, *_: Any) -> None:
        import torch

        torch.use_deterministic_algorithms(self.before, warn_only=self.warned)


def load(path: Any, device: str = "auto") -> Module:
    """A network on its device, ready for :func:`finetune`."""
    with interrupts.held():
        import torch

        from braggfill import networks

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device="cuda" if device == "gpu" else device)
    except (RuntimeError, AssertionError) as error:
        raise BraggfillError(f"device: {device!r} cannot be used here; use auto or cpu") from error
    return networks.load(path, "cuda" if device == "gpu" else device)
