"""Trains the default network of phase retrieval on patterns that are drawn as they are needed.

``python -m braggfill.learning.phase_training FOLDER`` starts a training in a folder, or goes on with the one that is
there.  The folder holds ``state.safetensors`` (everything that is needed to go on), ``braggphase.safetensors`` (the
averaged network with its card) and ``curve.csv``, each whole at any time.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from braggfill.errors import BraggfillError
from braggfill.learning import phase_data, phase_device
from braggfill.learning.ongoing import Ongoing, arithmetic, optimisers, same_network, seen_by
from braggfill.learning.phase_device import DeviceBatch
from braggfill.learning.phase_losses import amplitude_weights, coherence, log_weights
from braggfill.learning.phase_options import TrainingOptions
from braggfill.networks import build, save
from braggfill.runs import device as devices
from braggfill.runs import seeds
from braggfill.runs.fingerprint import code

COLUMNS = ("step", "patterns", "hours", "rate", "loss", "wca", "wca_log", *phase_data.TRAINED[0].kinds)
"""Of the learning curve: WCA with square-root weights, with logarithmic ones, and the former for each kind of phase."""
NLL_WEIGHT = 0.05
AT_THE_ENDS = ("enter", "leave", "place")
"""Parts of the network that read the data and write the result: AdamW trains them, Muon the inner ones."""


def loss(direction: Tensor, log_concentration: Tensor, phase: Tensor, intensity: Tensor) -> Tensor:
    r"""WCA with both weightings, the better of truth and twin for each pattern, and the likelihood of the error.

    .. math:: L = 1 - \max_\pm \tfrac12 (C_\pm^{\sqrt I} + C_\pm^{\log I})
              + \lambda \sum_k w_k \left(\log I_0(\kappa_k) - \kappa_k \cos\Delta_k\right)

    with :math:`\Delta` the error after the constant and the sign that fit best.  The directions are held fixed in the
    second term, which trains the concentration alone.

    Parameters
    ----------
    direction (B, 2, n...), log_concentration (B, n...) : from the network.  phase, intensity (B, n...) : the truth.
    """
    weights = log_weights(intensity)
    pairs = [coherence(direction, phase, w) for w in (amplitude_weights(intensity), weights)]
    same, twin = ((a + b) / 2 for a, b in zip(*pairs, strict=True))
    found = 1 - torch.maximum(same, twin)
    error = _error(direction.detach(), phase, weights, twin > same)
    kappa = log_concentration.exp()
    likelihood = torch.special.i0e(kappa).log() + kappa * (1 - torch.cos(error))
    return (found + NLL_WEIGHT * (weights * likelihood).flatten(1).sum(1)).mean()


def _error(direction: Tensor, phase: Tensor, weights: Tensor, twin: Tensor) -> Tensor:
    """Error of the phase after the best constant, against the truth or its twin, (B, n...)."""
    shape = (-1, *[1] * (phase.ndim - 1))
    truth = torch.where(twin.view(shape), -phase, phase)
    error = torch.atan2(direction[:, 1], direction[:, 0]) - truth
    turns = torch.polar(weights, error).flatten(1).sum(1)
    return error - torch.angle(turns).view(shape)


@torch.no_grad()
def validate(network: torch.nn.Module, batch: phase_data.Batch, drawn: list[dict], together: int = 20) -> dict:
    """WCA over a set, mean over its patterns: ``wca`` (square-root weights), ``wca_log``, and the first by kind."""
    network.eval()
    device = next(network.parameters()).device
    found: dict[str, list[Tensor]] = {"wca": [], "wca_log": []}
    for start in range(0, len(batch.phase), together):
        some = slice(start, start + together)
        log_intensity, mask, phase, intensity = (torch.from_numpy(x[some]).to(device) for x in vars(batch).values())
        with arithmetic(device):
            direction, _ = network(log_intensity, mask)
        for name, weigh in (("wca", amplitude_weights), ("wca_log", log_weights)):
            found[name].append(1 - torch.maximum(*coherence(direction, phase, weigh(intensity))))
    network.train()
    wca = torch.cat(found["wca"]).cpu()
    kinds = np.array([one["kind"] for one in drawn])
    by_kind = {kind: float(wca[torch.from_numpy(kinds == kind)].mean()) for kind in dict.fromkeys(kinds.tolist())}
    return {"wca": float(wca.mean()), "wca_log": float(torch.cat(found["wca_log"]).mean()), **by_kind}


class Training(Ongoing):
    """One training: network, average of its weights, optimiser, step, learning curve."""

    columns = COLUMNS

    def __init__(self, folder: Path, options: TrainingOptions, device: torch.device | str = "cpu", **network: object):
        torch.manual_seed(options.seed)
        self.options = options
        pair = build("braggphase", **network), build("braggphase", **network)
        for one in pair:
            one.to(torch.device(device), memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # torch's stub has no memory_format
        super().__init__(folder, options, pair, optimisers(pair[0], options, AT_THE_ENDS), device)
        self.code = code("learning.phase_training")
        self.validating: tuple[phase_data.Batch, list[dict]] | None = None

    def objective(self, log_intensity: Tensor, mask: Tensor, phase: Tensor, intensity: Tensor) -> Tensor:  # type: ignore[override]
        with arithmetic(self.device):
            direction, log_concentration = self.network(log_intensity, mask)
        return loss(direction, log_concentration, phase, intensity)

    def row(self, middle: float) -> dict[str, Any]:
        self.validating = self.validating or phase_data.validation(self.options.validation)
        found = {"step": self.step, "patterns": self.seen, "hours": self.hours, "rate": self.rate(), "loss": middle}
        return found | validate(self.average, *self.validating)

    def begin_with(self, path: str | Path) -> None:
        """Take the weights of a network that was trained before.

        Raises
        ------
        BraggfillError : it cannot be read, or is another network.
        """
        given = same_network(path, self.network)
        for one in (self.network, self.average):
            one.load_state_dict(given.state_dict())
        self.before = seen_by(given.card, "patterns", "patches_seen")

    def publish(self, about: dict[str, Any]) -> None:
        card = {
            "training": about,
            "validation": self.curve[-1] if self.curve else {},
            "patterns": self.before + self.seen,
            "code": self.code,
        }
        save(self.folder / "braggphase.safetensors", self.average, card)


def train(
    folder: str | Path,
    options: TrainingOptions | None = None,
    *,
    steps: int | None = None,
    start: str | Path | None = None,
    device: torch.device | str = "cpu",
    workers: int = 1,
    **network: object,
) -> Training:
    """Train until ``options.patterns`` were seen, from scratch or from where the folder's training is.

    Parameters
    ----------
    steps : end after as many steps of this call, with a checkpoint.
    start : a network whose weights a new training begins with; one that goes on has its own.
    device : where it is trained; elsewhere than on a processor the patterns are drawn there, too, of crystals that
        ``workers`` processes draw.
    network : options of the network.

    Raises
    ------
    BraggfillError : the folder holds a damaged training; ``start`` cannot be read, or is another network.
    """
    options = options or TrainingOptions()
    training = Training(Path(folder), options, device, **network)
    if training.state.exists():
        training.load()
    elif start is not None:
        training.begin_with(start)
    torch.backends.cudnn.benchmark = training.device.type == "cuda"
    last = options.steps if steps is None else min(options.steps, training.step + steps)
    training.begun = time.monotonic()
    while not training.over(last):
        training.follow(_stream(training, workers), last)
    return training


def _stream(training: Training, workers: int) -> Iterable[phase_data.Batch | DeviceBatch]:
    """Batches from the training's step on."""
    options = training.options
    crystals = replace(phase_data.TRAINED[0], range=(0.0, options.highest * math.pi))
    if training.device.type == "cpu":
        return phase_data.Stream(options.seed, training.step, options.batch, options.exposures, options.pool, crystals)
    seed = seeds.integer(options.seed, "phase/device", training.step)
    return phase_device.Pool(seed, options.batch, crystals=crystals, device=training.device, workers=workers)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m braggfill.learning.phase_training", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the training is, or will be")
    parser.add_argument("--patterns", type=int, default=TrainingOptions.patterns, help="end after so many")
    parser.add_argument("--seconds", type=float, help="end after so long, the learning rate by the clock")
    parser.add_argument("--rate", type=float, default=TrainingOptions.rate, help="learning rate after the warm-up")
    parser.add_argument("--average", type=float, default=TrainingOptions.average, help="of the weights, a step")
    parser.add_argument("--batch", type=int, default=TrainingOptions.batch, help="patterns a step")
    parser.add_argument(
        "--range", type=float, default=TrainingOptions.highest, help="of the phase at the most, units of pi"
    )
    parser.add_argument("--start", type=Path, metavar="NETWORK", help="a trained network to begin with (.safetensors)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, or auto: a GPU where there is one")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw crystals for a device")
    parser.add_argument("--threads", type=int, default=1, help="threads of the processor")
    parser.add_argument("--minutes", type=float, default=TrainingOptions.minutes, help="between two checkpoints")
    parser.add_argument("--steps", type=int, help="end after so many steps of this call")
    given = parser.parse_args(arguments)
    try:
        for name in ("threads", "workers"):
            if getattr(given, name) < 1:
                raise BraggfillError(f"--{name} {getattr(given, name)}: give 1 or more")
        torch.set_num_threads(given.threads)
        options = TrainingOptions(
            patterns=given.patterns,
            batch=given.batch,
            pool=max(given.batch, TrainingOptions.pool),
            rate=given.rate,
            average=given.average,
            minutes=given.minutes,
            highest=given.range,
            seconds=given.seconds,
        )
        where = devices.choose(given.device, "--device")
        train(given.folder, options, steps=given.steps, start=given.start, device=where, workers=given.workers)
    except BraggfillError as error:
        print(f"braggfill: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
