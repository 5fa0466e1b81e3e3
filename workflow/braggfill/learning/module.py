"""The Lightning module: how a batch becomes a loss, and how the learning rate goes."""

from __future__ import annotations

import math

import lightning
import torch
from torch import Tensor

from braggfill.learning import losses
from braggfill.learning.data import decode, symmetries
from braggfill.networks.gap.bridge import bridge
from braggfill.settings.train import TrainSettings

FACTOR, PATIENCE, FLOOR = 0.15, 4, 1e-6
"""The paper's ReduceLROnPlateau: after 4 epochs with no better validation loss the rate is multiplied by 0.15."""


class Learner(lightning.LightningModule):
    """Trains a network on batches of :class:`braggfill.learning.data.Batches`."""

    def __init__(self, network: torch.nn.Module, settings: TrainSettings, size: int, steps: int):
        """``size``: edge of the patches; ``steps``: steps of the whole training."""
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last_3d)
        self.settings = settings
        self.weights = settings.weights()
        self.steps = steps
        self.register_buffer("turns", symmetries(size) if settings.symmetries else None, persistent=False)
        self.sums: dict[str, list[Tensor]] = {}
        self.past: list[float] = []
        """Validation losses of the epochs so far, for the plateau schedule."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.network.parameters(), lr=self.settings.learning_rate)

    def rate(self) -> float:
        """The learning rate of the step to come, from the step's number and the past losses alone."""
        if self.settings.schedule_name() == "plateau":
            return plateau_rate(self.settings.learning_rate, self.past)
        return cosine_rate(self.settings.learning_rate, self.global_step, self.steps)

    def on_train_batch_start(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        for group in self.optimizers().param_groups:
            group["lr"] = self.rate()

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        loss = self.loss(batch)["loss"]
        self._note("train_loss", loss.detach(), len(batch["mask"]) if batch["share"] else 0)
        return loss * batch["share"]

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        if not batch["share"]:
            return
        found = self.loss(batch)
        self._note("val_loss", found["loss"], len(batch["mask"]))
        # Patches of at least one count a voxel, as the tables have it; the darker ones are nothing but noise.
        bright = torch.expm1(found["counted"]).flatten(1).mean(1) >= 1
        for name, guess in (("val_pcc", found["prediction"]), ("linear_pcc", found["linear"])):
            value = losses.pcc(guess, found["truth"], found["mask"])
            good = bright & torch.isfinite(value)
            if bool(good.any()):
                self._note(name, value[good].mean(), int(good.sum()))

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The weighed loss of a batch, and what it was made of (logarithms of photons)."""
        counted, truth = decode(batch["counted"]), decode(batch["wanted"])
        mask = batch["mask"]
        counted, truth = relight(counted, truth, batch["brightness"], batch["noise"])
        if bool((batch["symmetry"] >= 0).all()):
            table = self.turns[batch["symmetry"]]
            counted, truth = (x.flatten(1).gather(1, table).view_as(x) for x in (counted, truth))
        seen = torch.where(batch["clean"][:, None, None, None], truth, counted)
        # The published network does without an interpolation; it is only compared with one.
        linear = bridge(seen, mask) if self.network.uncertain or not self.training else seen
        if self.network.uncertain:
            prediction, log_variance = self.network(linear, mask)
        else:
            prediction, log_variance = self.network.predict(seen, mask)
        total = losses.total(self.weights, prediction, log_variance, truth, counted, seen, mask)
        return {
            "loss": total,
            "prediction": prediction.detach(),
            "linear": linear,
            "truth": truth,
            "counted": counted,
            "mask": mask,
        }

    def _note(self, name: str, value: Tensor, number: int) -> None:
        self.sums.setdefault(name, []).append(torch.stack([value.double() * number, value.new_tensor(number).double()]))

    def means(self) -> dict[str, float]:
        """Means over the epoch, and over all processes, of what was noted, which is then forgotten; NaN for what was
        not."""
        names = ("train_loss", "val_loss", "val_pcc", "linear_pcc")
        nothing = torch.zeros(2, dtype=torch.float64, device=self.device)
        sums = torch.stack([torch.stack(self.sums[n]).sum(0) if n in self.sums else nothing for n in names])
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(sums)
        self.sums = {}
        return {
            n: total / number if number else math.nan for n, (total, number) in zip(names, sums.tolist(), strict=True)
        }


def relight(counted: Tensor, truth: Tensor, brightness: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    r"""Counts and expectation of the same patches in another exposure, as log(1 + photons), (B, n0, n1, n2).

    .. math:: \lambda' = e^b \lambda, \qquad n' \sim \mathrm{Poisson}(\lambda')

    Patches whose ``brightness`` :math:`b`, (B,), is not a number stay as they are.
    """
    chosen = torch.isfinite(brightness).nonzero()[:, 0]
    if len(chosen) == 0:
        return counted, truth
    generator = torch.Generator(truth.device).manual_seed(seed)
    rate = torch.expm1(truth[chosen]) * torch.exp(brightness[chosen])[:, None, None, None]
    drawn = torch.poisson(rate, generator)
    return counted.index_copy(0, chosen, torch.log1p(drawn)), truth.index_copy(0, chosen, torch.log1p(rate))


def cosine_rate(highest: float, step: int, steps: int) -> float:
    """Up in a straight line over the first 3 % of the steps, then down along half a cosine to nothing."""
    warm = max(1, round(0.03 * steps))
    if step < warm:
        return highest * (step + 1) / warm
    return highest * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def plateau_rate(highest: float, past: list[float]) -> float:
    """The rate after these validation losses, by torch's ReduceLROnPlateau with the paper's numbers.

    The published training used Keras, which reduces in the epoch in which its patience is reached; torch only after
    it, hence one less here.
    """
    from torch.optim.lr_scheduler import ReduceLROnPlateau

    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=highest)
    scheduler = ReduceLROnPlateau(
        optimizer, factor=FACTOR, patience=PATIENCE - 1, threshold=1e-4, threshold_mode="abs", min_lr=FLOOR
    )
    for loss in past:
        scheduler.step(loss)
    return optimizer.param_groups[0]["lr"]
