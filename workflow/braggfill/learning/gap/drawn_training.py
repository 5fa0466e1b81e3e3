"""Trains the default network of gaps on patches that are drawn as they are needed, of relaxed particles.

``python -m braggfill.learning.gap.drawn_training FOLDER --particles RELAX.h5 ...`` starts a training in a folder, or
goes on with the one that is there.  The folder holds ``state.safetensors`` (everything that is needed to go on), and
what the stage ``train`` leaves: ``model.safetensors`` (the averaged network with its card) and ``history.csv``, each
whole at any time.  An epoch in it is the time between two checkpoints; no patch comes twice.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from braggfill.errors import BraggfillError
from braggfill.learning import trainer
from braggfill.learning.gap import drawn, losses, particles, validating
from braggfill.learning.gap.data import Patches
from braggfill.learning.gap.drawn_options import SMALL_BUFFER, BufferOptions, DrawnOptions, TrainingOptions
from braggfill.learning.gap.frames import bridge
from braggfill.learning.gap.options import Options
from braggfill.learning.gap.task import GapTask
from braggfill.learning.ongoing import Ongoing, arithmetic, optimisers, same_network, seen_by
from braggfill.networks import build, load, save
from braggfill.networks.gap.unet import Braggfill
from braggfill.networks.gap.widening import widened
from braggfill.runs import device as devices
from braggfill.runs import seeds, splits, storage
from braggfill.runs.fingerprint import code

NAME = "braggfill"
AT_THE_ENDS = ("trunk.enter", "trunk.leave")
"""Parts of the network that read the data and write the result: AdamW trains them, Muon the inner ones."""


class Training(Ongoing):
    """One training: network, average of its weights, optimiser, step, history."""

    amount, curve_file, loss_column = "patches", "history.csv", "train_loss"

    def __init__(
        self,
        folder: Path,
        options: TrainingOptions,
        drawing: DrawnOptions,
        validation: Patches,
        device: torch.device | str = "cpu",
    ) -> None:
        torch.manual_seed(seeds.integer(options.seed, "train/weights"))
        self.options, self.drawing, self.validation = options, drawing, validation
        pair = build(NAME, channels=list(options.channels)), build(NAME, channels=list(options.channels))
        for one in pair:
            one.to(torch.device(device), memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # torch's stub has no memory_format
        super().__init__(folder, options, pair, optimisers(pair[0], options, AT_THE_ENDS, options.optimiser), device)
        self.shown = Options(
            gap=drawing.gap,
            loss=losses.DEFAULT | options.loss,
            batch_size=options.batch,
            clip_norm=options.clip,
            noise_free_fraction=drawing.noise_free_fraction,
            brightness_exponent=drawing.brightness_exponent,
            validation_max=options.validation,
        )
        self.columns = trainer.columns(GapTask(NAME, self.shown, options.seed, validation, validation))
        self.code = code("learning.gap.drawn_training", *losses.modules(options.loss))

    def objective(self, truth: Tensor, counted: Tensor, seen: Tensor, frame: Tensor) -> Tensor:  # type: ignore[override]
        assert isinstance(self.network, Braggfill)
        batch = drawn.DrawnBatch(truth, counted, seen, frame)
        with arithmetic(self.device):  # the frames are turned already as the network would turn them
            prediction, log_variance = self.network._forward(bridge(seen, frame), batch.mask)
        return losses.total(
            self.options.loss, prediction.float(), log_variance.float(), truth, counted, seen, batch.mask
        )

    def row(self, middle: float) -> dict[str, Any]:
        found: dict[str, Any] = {"epoch": len(self.curve) + 1, "train_loss": middle}
        found |= validating.validate(self.average, self.validation, self.shown, self.options.seed)
        return found | {"learning_rate": self.rate(), "seconds": 3600 * self.hours}

    def begin_with(self, path: str | Path) -> None:
        """Take the weights of a network that was trained before, or of one with fewer channels at the coarsest level.

        Raises
        ------
        BraggfillError : it cannot be read, or is another network.
        """
        given, channels = load(path), self.options.channels
        same = {**given.options, "channels": list(channels)} == self.network.options
        if isinstance(given, Braggfill) and same and _narrower(given.channels, channels):
            torch.manual_seed(seeds.integer(self.options.seed, "train/weights", 1))
            weights = widened(given, channels[-1]).state_dict()
        else:
            weights = same_network(path, self.network).state_dict()
        for one in (self.network, self.average):
            one.load_state_dict(weights)
        self.before = seen_by(given.card, "patches_seen")

    def publish(self, about: dict[str, Any]) -> None:
        last = self.curve[-1] if self.curve else {}
        metrics = {name: last[name] for name in self.columns[:-1] if last.get(name, float("nan")) == last.get(name)}
        drawing = asdict(self.drawing)
        settings = {"network": NAME, "channels": list(self.options.channels)} | asdict(self.shown)
        settings |= {"learning_rate": self.options.rate, "optimiser": self.options.optimiser}
        settings |= {"average": self.options.average, "schedule": "cosine", "kinds": drawing["kinds"]}
        settings |= {"shares": drawing["shares"], "least_photons": drawing["least_photons"]}
        card = {
            "settings": settings,
            "seed": self.options.seed,
            "code": self.code,
            "versions": storage.versions(),
            "patches": {"train": self.seen, "validation": len(self.validation)},
            "patches_seen": self.seen + self.before,
            "metrics": metrics | {"epoch": 1},  # each patch is seen once
            "uncertainty": any(self.options.loss.get(name) for name in losses.VARIANCE),
            "device": about["device"],
            "training": {name: value for name, value in about.items() if name != "options"},
        }
        save(self.folder / "model.safetensors", self.average, card)


def train(
    folder: str | Path,
    paths: Sequence[str | Path],
    options: TrainingOptions | None = None,
    *,
    drawing: DrawnOptions | None = None,
    held: BufferOptions | None = None,
    validation: Sequence[str | Path] = (),
    fractions: Sequence[float] = (0.935, 0.04, 0.025),
    steps: int | None = None,
    start: str | Path | None = None,
    device: torch.device | str = "cpu",
    workers: int = 1,
) -> Training:
    """Train until ``options.patches`` were seen or the time is over, from scratch or from where the folder is.

    Parameters
    ----------
    paths : files of the stage ``relax``; only particles that the stage ``extract`` would train on are drawn.
    validation : files of the stage ``extract``, whose validation patches are taken.  Without any a fixed set is drawn:
        of the files' validation particles, or where there are none of those that are trained on.
    fractions : of training, validation and test among the particles, as in the run that the files are of.
    steps : end after as many steps of this call, with a checkpoint.
    start : a network whose weights a new training begins with; one that goes on has its own.
    workers : processes that draw objects.

    Raises
    ------
    BraggfillError : a file is missing, damaged or of another kind; the folder holds a damaged training; a process
        failed.
    """
    options = options or TrainingOptions()
    drawing = drawing or DrawnOptions(shares=(1 - options.realistic, options.realistic))
    held = held or (SMALL_BUFFER if torch.device(device).type == "cpu" else BufferOptions())
    found = particles.find(paths, fractions)
    trained, validated = ([one for one in found if one.split == split] for split in (splits.TRAIN, splits.VALIDATION))
    if not trained:
        raise BraggfillError(f"--particles: all {len(found)} particles are for validation or test; give more files")
    if validation:
        patches = validating.load(validation, Options(validation_max=options.validation), drawing.size)
    else:
        patches = drawn.fixed(validated or trained, drawing, options.validation, options.seed)
    training = Training(Path(folder), options, drawing, patches, device)
    if training.state.exists():
        training.load()
    elif start is not None:
        training.begin_with(start)
    torch.backends.cudnn.benchmark = training.device.type == "cuda"
    last = options.steps if steps is None else min(options.steps, training.step + steps)
    training.begun = time.monotonic()
    while not training.over(last):
        batches = drawn.stream(
            trained,
            drawing,
            held,
            options.batch,
            options.seed,
            device=training.device,
            workers=workers,
            first=training.step,
        )
        training.follow(batches, last)
    return training


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of this module."""
    own = TrainingOptions()
    parser = argparse.ArgumentParser(prog="python -m braggfill.learning.gap.drawn_training", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the training is, or will be")
    parser.add_argument("--particles", type=Path, nargs="+", required=True, metavar="RELAX.h5", help="of stage relax")
    parser.add_argument("--validation", type=Path, nargs="+", default=[], metavar="PATCHES.h5", help="of stage extract")
    parser.add_argument("--patches", type=int, default=own.patches, help="end after so many")
    parser.add_argument("--seconds", type=float, help="end after so long, the learning rate by the clock")
    parser.add_argument("--batch", type=int, default=own.batch, help="patches a step")
    parser.add_argument("--rate", type=float, default=own.rate, help="learning rate after the warm-up")
    parser.add_argument("--warm-up", type=int, default=own.warm_up, help="steps over which the rate rises")
    parser.add_argument("--optimiser", default=own.optimiser, help="muon or adam")
    parser.add_argument("--average", type=float, default=own.average, help="of the weights, a step")
    parser.add_argument("--channels", default=",".join(map(str, own.channels)), help="of each level")
    parser.add_argument("--realistic", type=float, default=own.realistic, help="share of realistic patterns")
    parser.add_argument("--split-train", type=float, default=0.935, help="share of particles, as extract has it")
    parser.add_argument("--split-validation", type=float, default=0.04, help="share of particles, as extract has it")
    parser.add_argument("--start", type=Path, metavar="NETWORK", help="a trained network to begin with (.safetensors)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, or auto: a GPU where there is one")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw objects")
    parser.add_argument("--threads", type=int, default=1, help="threads of the processor")
    parser.add_argument("--minutes", type=float, default=own.minutes, help="between two checkpoints")
    parser.add_argument("--steps", type=int, help="end after so many steps of this call")
    parser.add_argument("--seed", type=int, default=own.seed, help="of weights and patches")
    given = parser.parse_args(arguments)
    try:
        for name, least in (("threads", 1), ("workers", 1), ("warm_up", 0), ("seed", 0)):
            if getattr(given, name) < least:
                raise BraggfillError(f"--{name.replace('_', '-')} {getattr(given, name)}: give {least} or more")
        if not 0.5 <= given.split_train <= 1 - given.split_validation <= 1:
            raise BraggfillError("--split-train and --split-validation: give at least 0.5, and together at most 1")
        torch.set_num_threads(given.threads)
        options = replace(
            own,
            **{
                name: getattr(given, name)
                for name in ("patches", "seconds", "batch", "rate", "warm_up", "optimiser", "average")
            },
            channels=_channels(given.channels),
            realistic=given.realistic,
            minutes=given.minutes,
            seed=given.seed,
        )
        train(
            given.folder,
            given.particles,
            options,
            validation=given.validation,
            fractions=(given.split_train, given.split_validation, 1 - given.split_train - given.split_validation),
            steps=given.steps,
            start=given.start,
            device=devices.choose(given.device, "--device"),
            workers=given.workers,
        )
    except BraggfillError as error:
        print(f"braggfill: error: {error}", file=sys.stderr)
        return 2
    return 0


def _narrower(channels: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether there are fewer channels at the coarsest level, and as many at the others."""
    return channels[:-1] == wanted[:-1] and channels[-1] < wanted[-1]


def _channels(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise BraggfillError(f"--channels {text}: give whole numbers with commas, such as 32,64,96") from error


if __name__ == "__main__":
    sys.exit(main())
