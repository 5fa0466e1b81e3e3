"""A training on data that are drawn as they are needed: steps, checkpoints, and what becomes of it when disturbed.

What is learned is a subclass's: :class:`braggfill.learning.phase_training.Training`,
:class:`braggfill.learning.gap.drawn_training.Training`.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from braggfill.errors import BraggfillError
from braggfill.learning import muon
from braggfill.learning.replay import Replay
from braggfill.learning.run_options import RunOptions
from braggfill.networks import load
from braggfill.networks.network import Network
from braggfill.runs import storage

DIVERGED = 1.25
"""Times the least loss of former checkpoints, the median over the steps before each, from which on a training has
diverged.  The median: of a few patches in a million the prediction is off by orders of magnitude, and by the loss of
one the mean over a thousand steps is that of a diverged training; its gradient is shortened like others."""
LEAST_SHARE = 1 / 64
"""Of the learning rate, halved each time that a training diverges, at which it is given up."""
STATES: dict[type, tuple[str, ...]] = {
    muon.Muon: ("momentum",),
    torch.optim.AdamW: ("step", "exp_avg", "exp_avg_sq"),
}
"""What each optimiser holds for each weight."""


def arithmetic(device: torch.device) -> torch.autocast:
    """bfloat16 for what bears it on CUDA, single precision elsewhere.

    Nothing is cached: the weights of a pass without gradients would serve the one with them.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda", cache_enabled=False)


def optimisers(
    network: torch.nn.Module, options: RunOptions, ends: Sequence[str], kind: str = "muon"
) -> tuple[torch.optim.Optimizer, ...]:
    """Muon for the inner weights and AdamW for the others (those of ``ends`` among them), or AdamW for all of them.

    On CUDA their learning rates and numbers of steps are tensors of the device, so that a step can be recorded.
    """
    place = next(network.parameters()).device
    recorded = place.type == "cuda"

    def rate() -> float | Tensor:
        return torch.tensor(options.rate, device=place) if recorded else options.rate

    def adam(weights: Iterable[Tensor]) -> torch.optim.Optimizer:
        decay = options.decay
        return torch.optim.AdamW(weights, rate(), betas=(0.9, 0.98), weight_decay=decay, capturable=recorded)

    if kind == "adam":
        return (adam(network.parameters()),)
    matrices, others = muon.split(network, tuple(ends))
    return muon.Muon(matrices, rate(), weight_decay=options.decay), adam(others)


class Ongoing:
    """One training: network, average of its weights, optimisers, step, learning curve.

    A subclass says with ``amount`` what is seen (``"patterns"``), with ``curve_file`` and ``columns`` where the curve
    is and what it has, with ``loss_column`` where in it the loss is, and has ``row`` and ``publish``.
    """

    amount = "patterns"
    curve_file = "curve.csv"
    columns: tuple[str, ...] = ()
    loss_column = "loss"

    def __init__(
        self,
        folder: Path,
        options: RunOptions,
        networks: tuple[Network, Network],
        optimisers: Sequence[torch.optim.Optimizer],
        device: torch.device | str = "cpu",
    ) -> None:
        """``networks``: the one that learns, and that which will hold the average of its weights."""
        self.folder, self.device = folder, torch.device(device)
        self.begun = time.monotonic()
        self._told = options
        self.network, self.average = networks
        self.average.load_state_dict(self.network.state_dict())
        self.optimisers = tuple(optimisers)
        self.step, self.hours, self.before = 0, 0.0, 0
        self.share = 1.0
        """Of the learning rate: halved each time that the training diverges."""
        self.curve: list[dict] = []
        self._step = Replay(self._descend) if self.device.type == "cuda" else self._descend

    def row(self, middle: float) -> dict[str, Any]:
        """A row of the curve: the median loss of the steps since the last one, and the validation of now."""
        raise NotImplementedError

    def publish(self, about: dict[str, Any]) -> None:
        """Write the averaged network with its card."""
        raise NotImplementedError

    @property
    def state(self) -> Path:
        return self.folder / "state.safetensors"

    @property
    def seen(self) -> int:
        """Patterns or patches that this training has had."""
        return self.step * self._told.batch

    def rate(self) -> float:
        """Learning rate of this step: a linear warm-up, then half a cosine."""
        options = self._told
        if self.step < options.warm_up:
            return self.share * options.rate * (self.step + 1) / options.warm_up
        if options.seconds is not None:
            done = min(3600 * self.hours_now() / options.seconds, 1.0)
        else:
            done = min((self.step - options.warm_up) / max(options.steps - options.warm_up, 1), 1.0)
        return options.last_rate + (self.share * options.rate - options.last_rate) * (1 + math.cos(math.pi * done)) / 2

    def hours_now(self) -> float:
        """Hours of training, those of calls before this one included."""
        return self.hours + (time.monotonic() - self.begun) / 3600

    def over(self, last: int) -> bool:
        """Whether the training has ended."""
        seconds = self._told.seconds
        return self.step >= last or (seconds is not None and 3600 * self.hours_now() >= seconds)

    def objective(self, *parts: Tensor) -> Tensor:
        """The loss of a batch, whose parts are the attributes of what is learned from, in their order."""
        raise NotImplementedError

    def learn(self, batch: Any) -> Tensor:
        """One step, without waiting for the device; its loss without its graph.

        A step whose gradient is not finite learns nothing.
        """
        rate = self.rate()
        for optimiser, part in zip(self.optimisers, (1.0, self._told.ends), strict=False):
            for group in optimiser.param_groups:
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(part * rate)
                else:
                    group["lr"] = part * rate
        found = self._step(*(torch.as_tensor(x, device=self.device) for x in vars(batch).values()))
        self.step += 1
        kept = min(self._told.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.network.parameters()), 1 - kept)
        return found

    def _descend(self, *parts: Tensor) -> Tensor:
        """Along the gradient of a batch's loss; what comes out is that loss."""
        self.network.zero_grad(set_to_none=True)
        found = self.objective(*parts)
        found.backward()
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        share = (self._told.clip / norm).clamp(max=1).nan_to_num(0)  # nothing of a gradient that is not finite
        for gradient in gradients:
            gradient.nan_to_num_(0, 0, 0)
        torch._foreach_mul_(gradients, share)
        for optimiser in self.optimisers:
            optimiser.step()
        return found.detach()

    def follow(self, batches: Iterable[Any], last: int) -> None:
        """Steps and checkpoints, to the end or until the training diverges and is back at the last checkpoint.

        Raises
        ------
        BraggfillError : it has diverged often enough.
        """
        losses: list[Tensor] = []
        saved = time.monotonic()
        for batch in batches:
            losses.append(self.learn(batch))
            over = self.over(last)
            few = len(losses) * self._told.batch < self._told.least
            if (few or time.monotonic() - saved < 60 * self._told.minutes) and not over:
                continue
            middle = float(torch.stack(losses).nan_to_num(math.inf, math.inf, math.inf).median())
            if self.diverged(middle):
                self.back()
                print(f"diverged, loss {middle:.5g}: back to step {self.step}, rate {self.rate():.5g}", flush=True)
                return
            self.hours, self.begun = self.hours_now(), time.monotonic()
            row = self.row(middle)
            self.curve.append(row)
            self.save()
            print(" ".join(f"{k} {v:.5g}" for k, v in row.items()), flush=True)
            if over:
                return
            losses, saved = [], time.monotonic()

    def diverged(self, middle: float) -> bool:
        """Whether the median loss since the last checkpoint is far above what it was before."""
        return bool(self.curve) and not middle <= DIVERGED * min(float(row[self.loss_column]) for row in self.curve)

    def back(self) -> None:
        """Go back to the average of the weights at the last checkpoint, and on with half the learning rate.

        The weights themselves may have been about to diverge there, and the momentum with them: what begins with those
        diverges again, however small the rate.

        Raises
        ------
        BraggfillError : that was done often enough.
        """
        hours, share = self.hours_now(), self.share / 2
        self.load()
        self.hours, self.begun, self.share = hours, time.monotonic(), share
        self.network.load_state_dict(self.average.state_dict())
        for optimiser in self.optimisers:
            optimiser.state.clear()
        self._forget()
        if share < LEAST_SHARE:
            raise BraggfillError(f"{self.folder}: the training diverges again and again; begin anew, --rate lower")

    def _forget(self) -> None:
        """What the optimisers hold is another one now."""
        if isinstance(self._step, Replay):
            self._step.reset()

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
        """Write state, network and curve, each whole."""
        import pandas
        from safetensors.torch import save as pack

        about = {
            "step": self.step,
            "hours": self.hours,
            "options": asdict(self._told),
            f"{self.amount}_before": self.before,
            "share": self.share,
            "device": self.device.type,
        }
        tensors = {name: value.cpu().contiguous() for name, value in self.tensors().items()}
        with storage.replacing(self.state) as temporary:
            temporary.write_bytes(pack(tensors, metadata={"training": json.dumps(about)}))
        self.publish(about)
        storage.write_table(self.folder / self.curve_file, pandas.DataFrame(self.curve), columns=list(self.columns))

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
                    parameter.data.copy_(_sound(stored[f"{prefix}.{name}"], parameter.shape))
            names = {parameter: name for name, parameter in self.network.named_parameters()}
            for optimiser in self.optimisers:
                for parameter in (p for group in optimiser.param_groups for p in group["params"]):
                    held = {key: stored[f"{key}.{names[parameter]}"] for key in STATES[type(optimiser)]}
                    shapes = {key: torch.Size() if key == "step" else parameter.shape for key in held}
                    optimiser.state[parameter] = {
                        key: _sound(value, shapes[key]).to(self.device, copy=True) for key, value in held.items()
                    }
            self._forget()
            self.step, self.hours = int(about["step"]), float(about["hours"])
            self.before, self.share = int(about.get(f"{self.amount}_before", 0)), float(about.get("share", 1.0))
            if not LEAST_SHARE <= self.share <= 1:
                raise ValueError("share")
            self.curve = pandas.read_csv(self.folder / self.curve_file).to_dict("records")
        except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError, OSError) as error:
            raise BraggfillError(f"{self.state}: damaged, or of another network; choose another folder") from error


def _sound(values: Tensor, shape: torch.Size) -> Tensor:
    """Numbers of that shape; a ValueError where they are not."""
    if values.shape != shape or not bool(values.isfinite().all()):
        raise ValueError("not of that shape, or not finite")
    return values


def seen_by(card: dict[str, Any], *names: str) -> int:
    """How much a network had seen by the card of its file, which may be anybody's."""
    seen = next((card[name] for name in names if name in card), 0)
    return seen if isinstance(seen, int) and not isinstance(seen, bool) and seen > 0 else 0


def same_network(path: str | Path, network: Network) -> Network:
    """A trained network, of the same kind and size.

    Raises
    ------
    BraggfillError : it cannot be read, or is another network.
    """
    given = load(path)
    if given.name != network.name or given.options != network.options:
        raise BraggfillError(
            f"{path}: a network {given.name} with {given.options}; begin with one of {network.name} "
            f"with {network.options}"
        )
    return given
