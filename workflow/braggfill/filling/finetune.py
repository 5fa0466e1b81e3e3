r"""Fine-tuning: a trained network learns on from the scan that it is to fill (paper, section 2.7).

Patches that hold no missing voxel get artificial gaps, drawn afresh each time, and the network is trained on them for
a few epochs with the loss that it was first trained with.  A slab of the scan is set apart beforehand: no voxel of it
is in any training patch, and artificial gaps in patches of it tell whether it helped.  It did if the PCC over these
gaps rose by more than what depends on which patches they are: the 95 % bootstrap interval of the mean gain is above 0.
"""

from __future__ import annotations

import copy
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from braggfill.errors import BraggfillError
from braggfill.filling import partition
from braggfill.learning import trainer
from braggfill.learning.gap.options import Options, of_card
from braggfill.learning.task import Plan
from braggfill.patterns import metrics, patching
from braggfill.runs import seeds

if TYPE_CHECKING:
    from torch import Tensor

    from braggfill.networks.network import Network

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
    network: Network,
    intensity: np.ndarray,
    missing: np.ndarray,
    *,
    epochs: int = EPOCHS,
    patches: int = PATCHES,
    seed: int = 0,
    learning_rate: float = LEARNING_RATE,
    progress: bool = False,
) -> tuple[Network, Report]:
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

    from braggfill.learning.gap.scan import ScanTask

    if not 1 <= epochs <= 100:
        raise BraggfillError(f"--finetune {epochs}: give 1 to 100 epochs; 2 to 5 are usual")
    if patches < 1:
        raise BraggfillError(f"--patches {patches}: give at least one")
    started = time.perf_counter()
    size = int(network.size)
    logs = np.log1p(np.where(missing, 0, intensity).astype(np.float32))
    held, origins = partition.split(logs, missing, size, patches, seed)
    chosen = of_card(network.name, getattr(network, "card", {}))
    judge = _Judge(logs, held, size, chosen, seed)
    before = judge.scores(network)
    device = next(network.parameters()).device
    plan = Plan(
        epochs=epochs,
        learning_rate=learning_rate,
        warm_up=0.05,
        clip_norm=chosen.clip_norm,
        batch_size=BATCH,
        precision="32",
        device="gpu" if device.type == "cuda" else "cpu",
        title="fine-tune",
        progress=progress,
    )
    learner = copy.deepcopy(network)
    found = trainer.fit(learner.train(), ScanTask(logs, origins, size, chosen, seed, BATCH), plan)
    learner.load_state_dict(found.best)
    learner = learner.to(device).eval()
    after = judge.scores(learner)
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


@dataclass(frozen=True)
class _Scores:
    pcc: np.ndarray
    """A patch: mean over its gaps."""
    loss: float


class _Judge:
    """Artificial gaps in the patches that judge, always the same ones."""

    def __init__(self, logs: np.ndarray, held: np.ndarray, size: int, chosen: Options, seed: int):
        from braggfill.learning.gap import scan

        self.truth = np.repeat(patching.cut(logs, held, size), HELD_GAPS, axis=0)
        self.patches = len(held)
        rng = seeds.generator(seed, "finetune/held")
        self.options = chosen
        self.masks = scan.gap_masks(rng, len(self.truth), size, chosen)

    def scores(self, network: Network) -> _Scores:
        import torch

        from braggfill.learning.gap import scan

        values, losses = [], []
        device = next(network.parameters()).device
        with torch.inference_mode():
            for part in scan.parts(len(self.truth), BATCH):
                truth, mask = scan.tensors(device, self.truth[part], self.masks[part])
                guess, log_variance = network.predict(truth.masked_fill(mask, 0), mask)
                losses.append(float(scan.loss(self.options, guess, log_variance, truth, mask)) * len(truth))
                values.append(self._pcc(guess, truth, mask))
        return _Scores(self._by_patch(np.concatenate(values)), sum(losses) / len(self.truth))

    def linear(self) -> np.ndarray:
        """PCC of linear interpolation, a patch."""
        import torch

        from braggfill.learning.gap import scan
        from braggfill.networks.gap.bridge import bridge

        values = []
        for part in scan.parts(len(self.truth), BATCH):
            truth, mask = scan.tensors(torch.device("cpu"), self.truth[part], self.masks[part])
            values.append(self._pcc(bridge(truth, mask), truth, mask))
        return self._by_patch(np.concatenate(values))

    def _pcc(self, guess: Tensor, truth: Tensor, mask: Tensor) -> np.ndarray:
        from braggfill.learning.gap import scores

        return scores.pcc(guess, truth, mask).cpu().numpy()

    def _by_patch(self, values: np.ndarray) -> np.ndarray:
        values = values.reshape(self.patches, HELD_GAPS)
        good = np.isfinite(values)
        return np.where(good, values, 0).sum(1) / np.where(good.any(1), good.sum(1), np.nan)


def _mean(values: np.ndarray) -> float:
    good = values[np.isfinite(values)]
    return float(good.mean()) if len(good) else float("nan")
