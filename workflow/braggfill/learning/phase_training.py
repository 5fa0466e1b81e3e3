"""Trains the default network of phase retrieval on patterns that are drawn as they are needed.

``python -m braggfill.learning.phase_training FOLDER`` starts a training in a folder, or goes on with the one that is
there.  The folder holds ``state.safetensors`` (everything that is needed to go on), ``braggphase.safetensors`` (the
averaged network with its card) and ``curve.csv``, each whole at any time.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from braggfill.errors import BraggfillError
from braggfill.learning import muon, phase_data, phase_device
from braggfill.learning.phase_device import DeviceBatch
from braggfill.learning.phase_losses import amplitude_weights, coherence, log_weights
from braggfill.learning.phase_options import TrainingOptions
from braggfill.networks import build, load, save
from braggfill.runs import device as devices
from braggfill.runs import seeds, storage
from braggfill.runs.fingerprint import code

COLUMNS = ("step", "patterns", "hours", "rate", "loss", "wca", "wca_log", *phase_data.TRAINED[0].kinds)
"""Of the learning curve: WCA with square-root weights, with logarithmic ones, and the former for each kind of phase."""
NLL_WEIGHT = 0.05
DIVERGED = 1.25
"""Times the least mean loss between two checkpoints before from which on a training has diverged."""
LEAST_SHARE = 1 / 64
"""Of the learning rate, halved each time that a training diverges, at which it is given up."""
AT_THE_ENDS = ("enter", "leave", "place")
"""Parts of the network that read the data and write the result: AdamW trains them, Muon the inner ones."""
STATES = (("momentum",), ("step", "exp_avg", "exp_avg_sq"))
"""What the optimisers hold for each weight."""


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


def arithmetic(device: torch.device) -> torch.autocast:
    """bfloat16 for what bears it on CUDA, single precision elsewhere.

    Nothing is cached: the weights of a pass without gradients would serve the one with them.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda", cache_enabled=False)


class Training:
    """One training: network, average of its weights, optimiser, step, learning curve."""

    def __init__(self, folder: Path, options: TrainingOptions, device: torch.device | str = "cpu", **network: object):
        torch.manual_seed(options.seed)
        self.folder, self.options, self.device = folder, options, torch.device(device)
        self.begun = time.monotonic()
        self.network, self.average = (build("braggphase", **network) for _ in range(2))
        self.average.load_state_dict(self.network.state_dict())
        for one in (self.network, self.average):
            one.to(self.device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # torch's stub has no memory_format
        matrices, others = muon.split(self.network, AT_THE_ENDS)
        self.optimisers = (
            muon.Muon(matrices, options.rate, weight_decay=options.decay),
            torch.optim.AdamW(others, options.rate, betas=(0.9, 0.98), weight_decay=options.decay),
        )
        self.code = code("learning.phase_training")
        self.step, self.hours, self.before = 0, 0.0, 0
        self.share = 1.0
        """Of the learning rate: halved each time that the training diverges."""
        self.curve: list[dict] = []

    @property
    def state(self) -> Path:
        return self.folder / "state.safetensors"

    def rate(self) -> float:
        """Learning rate of this step: a linear warm-up, then half a cosine."""
        options = self.options
        if self.step < options.warm_up:
            return self.share * options.rate * (self.step + 1) / options.warm_up
        if options.seconds is not None:
            done = min(3600 * self.hours_now() / options.seconds, 1.0)
        else:
            whole = max(options.patterns / options.batch - options.warm_up, 1)
            done = min((self.step - options.warm_up) / whole, 1.0)
        return options.last_rate + (self.share * options.rate - options.last_rate) * (1 + math.cos(math.pi * done)) / 2

    def hours_now(self) -> float:
        """Hours of training, those of calls before this one included."""
        return self.hours + (time.monotonic() - self.begun) / 3600

    def over(self, last: int) -> bool:
        """Whether the training has ended."""
        seconds = self.options.seconds
        return self.step >= last or (seconds is not None and 3600 * self.hours_now() >= seconds)

    def learn(self, batch: phase_data.Batch | DeviceBatch) -> Tensor:
        """One step; its loss.  A step whose gradient is not finite learns nothing."""
        log_intensity, mask, phase, intensity = (torch.as_tensor(x, device=self.device) for x in vars(batch).values())
        self.network.zero_grad(set_to_none=True)
        with arithmetic(self.device):
            direction, log_concentration = self.network(log_intensity, mask)
        found = loss(direction, log_concentration, phase, intensity)
        found.backward()
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        share = torch.where(norm.isfinite(), (self.options.clip / norm).clamp(max=1), 0)  # no waiting for the device
        for gradient in gradients:
            gradient.nan_to_num_(0, 0, 0)
        torch._foreach_mul_(gradients, share)
        rate = self.rate()
        for optimiser, part in zip(self.optimisers, (1.0, self.options.ends), strict=True):
            for group in optimiser.param_groups:
                group["lr"] = part * rate
            optimiser.step()
        self.step += 1
        kept = min(self.options.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.network.parameters()), 1 - kept)
        return found.detach()

    def diverged(self, mean: float) -> bool:
        """Whether the mean loss since the last checkpoint is far above what it was before."""
        return bool(self.curve) and not mean <= DIVERGED * min(float(row["loss"]) for row in self.curve)

    def back(self) -> None:
        """Go back to the last checkpoint, and on with half the learning rate.

        Raises
        ------
        BraggfillError : that was done often enough.
        """
        hours, share = self.hours_now(), self.share / 2
        self.load()
        self.hours, self.begun, self.share = hours, time.monotonic(), share
        if share < LEAST_SHARE:
            raise BraggfillError(f"{self.folder}: the training diverges again and again; begin anew, --rate lower")

    def begin_with(self, path: str | Path) -> None:
        """Take the weights of a network that was trained before.

        Raises
        ------
        BraggfillError : it cannot be read, or is another network.
        """
        given = load(path)
        if given.name != self.network.name or given.options != self.network.options:
            raise BraggfillError(
                f"{path}: a network {given.name} with {given.options}; begin with one of {self.network.name} "
                f"with {self.network.options}"
            )
        for one in (self.network, self.average):
            one.load_state_dict(given.state_dict())
        seen = given.card.get("patterns", given.card.get("patches_seen", 0))  # of a file that may be anybody's
        self.before = seen if isinstance(seen, int) and seen > 0 else 0

    def tensors(self) -> dict[str, Tensor]:
        """All tensors of the training, by name."""
        found = {f"network.{n}": p.detach() for n, p in self.network.named_parameters()}
        found |= {f"average.{n}": p.detach() for n, p in self.average.named_parameters()}
        for name, parameter in self.network.named_parameters():
            for optimiser in self.optimisers:
                for key, value in optimiser.state.get(parameter, {}).items():
                    found[f"{key}.{name}"] = value
        return found

    def save(self) -> None:
        """Write state, network and curve."""
        import pandas
        from safetensors.torch import save as pack

        about = {
            "step": self.step,
            "hours": self.hours,
            "options": asdict(self.options),
            "patterns_before": self.before,
            "share": self.share,
            "device": self.device.type,
        }
        tensors = {name: value.cpu().contiguous() for name, value in self.tensors().items()}
        with storage.replacing(self.state) as temporary:
            temporary.write_bytes(pack(tensors, metadata={"training": json.dumps(about)}))
        figures = self.curve[-1] if self.curve else {}
        card = {
            "training": about,
            "validation": figures,
            "patterns": self.before + self.step * self.options.batch,
            "code": self.code,
        }
        save(self.folder / "braggphase.safetensors", self.average, card)
        storage.write_table(self.folder / "curve.csv", pandas.DataFrame(self.curve), columns=list(COLUMNS))

    def load(self) -> None:
        """Go on with what the folder holds.

        Raises
        ------
        BraggfillError : it is damaged, or of another network.
        """
        import pandas
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(self.state), framework="pt") as file:
                about = json.loads(file.metadata()["training"])
                stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no mapping
            for prefix, network in (("network", self.network), ("average", self.average)):
                for name, parameter in network.named_parameters():
                    parameter.data.copy_(stored[f"{prefix}.{name}"])
            names = {parameter: name for name, parameter in self.network.named_parameters()}
            for optimiser, keys in zip(self.optimisers, STATES, strict=True):
                for parameter in (p for group in optimiser.param_groups for p in group["params"]):
                    held = {key: stored[f"{key}.{names[parameter]}"].clone() for key in keys}
                    optimiser.state[parameter] = {  # numbers of steps are on the processor
                        key: value if key == "step" else value.to(self.device) for key, value in held.items()
                    }
            self.step, self.hours = int(about["step"]), float(about["hours"])
            self.before, self.share = int(about.get("patterns_before", 0)), float(about.get("share", 1.0))
            if not LEAST_SHARE <= self.share <= 1:
                raise ValueError("share")
            self.curve = pandas.read_csv(self.folder / "curve.csv").to_dict("records")
        except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError, OSError) as error:
            raise BraggfillError(f"{self.state}: damaged, or of another network; choose another folder") from error


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
    fixed, drawn = phase_data.validation(options.validation)
    last = options.patterns // options.batch
    last = last if steps is None else min(last, training.step + steps)
    training.begun = time.monotonic()
    while not training.over(last):
        _learn(training, last, workers, fixed, drawn)
    return training


def _learn(training: Training, last: int, workers: int, fixed: phase_data.Batch, drawn: list[dict]) -> None:
    """Steps and checkpoints, to the end or until the training diverges and is back at the last checkpoint."""
    losses: list[Tensor] = []
    saved = time.monotonic()
    for batch in _stream(training, workers):
        losses.append(training.learn(batch))
        over = training.over(last)
        if time.monotonic() - saved < 60 * training.options.minutes and not over:
            continue
        mean = float(torch.stack(losses).mean())
        if training.diverged(mean):
            training.back()
            print(f"diverged, loss {mean:.5g}: back to step {training.step}, rate {training.rate():.5g}", flush=True)
            return
        training.hours, training.begun = training.hours_now(), time.monotonic()
        row = {"step": training.step, "patterns": training.step * training.options.batch, "hours": training.hours}
        row |= {"rate": training.rate(), "loss": mean, **validate(training.average, fixed, drawn)}
        training.curve.append(row)
        training.save()
        print(" ".join(f"{k} {v:.5g}" for k, v in row.items()), flush=True)
        if over:
            return
        losses, saved = [], time.monotonic()


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
