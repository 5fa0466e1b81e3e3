"""What the network of gaps might see, be asked for, or be combined with: one thing changed at a time, at equal work.

Every training sees the same patches of a run (``results/paper`` after ``make run CONFIG=config/paper.yaml``) once, with
the same gaps, turns and exposures, in the same order, from the same first weights:

- seen: the distance of each voxel from the peak (and the oversampling) as further channels;
- asked for: other weights of the loss of amplitudes; the square root of counts, whose noise is even, instead of the
  logarithm; the likelihood of a negative binomial distribution, for expectation and variance together.

The network that comes along stands beside them, and what can be done with it without training: larger patches around
the same gap, mirrored views averaged, another network (``--other``) averaged with it.

Judged by gaps of 3 to 12 voxels in test patches against their noise-free expectation, and in the measured scan against
its counts, patches of at least one count a voxel: PCC of log(1 + photons), and the relative error of the amplitude over
all gaps together, which the brightest voxels rule, as they rule strain.  ideas.csv: a row an idea, source and gap.
What is already in the folder is not trained again.

About six minutes of one core a training of 4,800 patches.

Usage: gap_ideas.py results/paper OUT [--patches 4800] [--only distance …] [--other NAME=model.safetensors]
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from braggfill import networks
from braggfill.learning import symmetries
from braggfill.learning.gap import losses
from braggfill.learning.gap.scores import gap_mean, pcc
from braggfill.learning.schedule import cosine_rate
from braggfill.networks.folding import fold
from braggfill.networks.gap.bridge import bridge
from braggfill.networks.gap.orient import orders
from braggfill.patterns import gaps, oversampling, patching
from braggfill.runs import storage
from braggfill.stages.evaluate.cut import crop_around_peak
from torch import Tensor, nn

WIDTHS = (3, 6, 9, 12)
SIDE, PATTERN = 32, 128
BATCH, RATE = 16, 1e-3
Loss = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
"""Prediction, log variance, truth, counted, mask to a number."""


@dataclass(frozen=True)
class Patches:
    """counts, expectation : (n, s, s, s) photons.  origin : (n, 3) in a pattern of 128.  oversampling : (n,)."""

    counts: np.ndarray
    expectation: np.ndarray
    origin: np.ndarray
    oversampling: np.ndarray


@dataclass(frozen=True)
class Idea:
    """What is changed: channels that are shown, or the loss."""

    loss: Loss
    shown: tuple[str, ...] = field(default=())


def weighed(**weights: float) -> Loss:
    """The package's losses."""
    return lambda y, v, truth, counted, mask: losses.total(weights, y, v, truth, counted, counted, mask)


def root(prediction: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Squared error of the square root of photons in units of its counting noise, a quarter; log(1 + its mean)."""

    def amplitude(y: Tensor) -> Tensor:
        return (torch.expm1(y.clamp(0, 40)) + 0.375).sqrt()

    guess, true = amplitude(torch.minimum(prediction, truth + 3)), amplitude(truth)
    return gap_mean(4 * (guess - true).square(), mask).log1p()


def negative_binomial(prediction: Tensor, log_variance: Tensor, counted: Tensor, mask: Tensor) -> Tensor:
    """Minus its logarithm, of counts whose expectation and relative variance the network states; mean over a gap."""
    mean, count = torch.expm1(prediction.clamp(1e-3, 20)), torch.expm1(counted)
    size = torch.exp(-log_variance.clamp(-9, 5))
    found = torch.lgamma(count + size) - torch.lgamma(size) - torch.lgamma(count + 1)
    found = found + size * torch.log(size / (size + mean)) + count * torch.log(mean / (size + mean))
    return gap_mean(-found, mask)


def rooted(y: Tensor, v: Tensor, truth: Tensor, counted: Tensor, mask: Tensor) -> Tensor:
    return root(y, truth, mask) + 0.1 * losses.total({"nll": 1.0}, y, v, truth, counted, counted, mask)


def likely(y: Tensor, v: Tensor, truth: Tensor, counted: Tensor, mask: Tensor) -> Tensor:
    amplitude = losses.total({"amplitude": 1.0}, y, v, truth, counted, counted, mask)
    return 0.3 * negative_binomial(y, v, counted, mask) + amplitude


USUAL = {"mse": 1.0, "amplitude": 1.0, "nll": 0.1}
IDEAS = {
    "as it is": Idea(weighed(**USUAL)),
    "amplitude 0": Idea(weighed(mse=1.0, nll=0.1)),
    "amplitude 6": Idea(weighed(mse=1.0, amplitude=6.0, nll=0.1)),
    "square root": Idea(rooted),
    "negative binomial": Idea(likely),
    "distance": Idea(weighed(**USUAL), ("distance",)),
    "distance and oversampling": Idea(weighed(**USUAL), ("distance", "oversampling")),
}


class Shown(nn.Module):
    """A trunk that is shown further channels."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk
        self.more: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        return self.trunk(torch.cat([x, *self.more], dim=1))


def made(shown: tuple[str, ...]) -> nn.Module:
    """The default network, its first convolution widened by what is shown."""
    torch.manual_seed(1)
    network = networks.build("braggfill", channels=[32, 64, 96])
    enter = network.trunk.enter
    wider = nn.Conv3d(enter.in_channels + len(shown), enter.out_channels, 3, padding=1)
    with torch.no_grad():  # the same first weights, and nothing is heard of what is new
        wider.weight.zero_()[:, : enter.in_channels] = enter.weight
        wider.bias.copy_(enter.bias)
    network.trunk.enter = wider
    network.trunk = Shown(network.trunk)
    return network


def volumes(patches: Patches, index: np.ndarray, shown: tuple[str, ...]) -> list[Tensor]:
    """What is shown of each voxel, (B, s, s, s) each."""
    found = []
    for name in shown:
        if name == "distance":
            line = np.arange(SIDE) - PATTERN // 2
            square = [(patches.origin[index, axis, None] + line).astype(np.float32) ** 2 for axis in range(3)]
            total = square[0][:, :, None, None] + square[1][:, None, :, None] + square[2][:, None, None, :]
            found.append(torch.from_numpy(np.log1p(np.sqrt(total)) / 2 - 1))
        else:
            value = torch.from_numpy(patches.oversampling[index].astype(np.float32)) / 3 - 1
            found.append(value.view(-1, 1, 1, 1).expand(-1, SIDE, SIDE, SIDE))
    return found


def predicted(network: nn.Module, seen: Tensor, mask: Tensor, more: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Of patches whose axes are in the network's order."""
    network.trunk.more = [fold(one[:, None]).mean(1, keepdim=True) for one in more]
    return network._forward(bridge(seen, mask), mask)


def turned(values: Tensor, order: Tensor) -> Tensor:
    return torch.stack([one.permute(*axes) for one, axes in zip(values, order.tolist(), strict=True)])


def trained(idea: Idea, patches: Patches, path: Path) -> tuple[nn.Module, float]:
    """One pass; the network, and its seconds."""
    network, began = made(idea.shown), time.process_time()
    if path.is_file():
        network.load_state_dict(torch.load(path, weights_only=True))
        return network.eval(), float("nan")
    adam = torch.optim.Adam(network.parameters(), RATE)
    rng, noise = np.random.default_rng(1), torch.Generator().manual_seed(1)
    table, order = symmetries.tables(SIDE), rng.permutation(len(patches.counts))
    masks = gaps.draw(rng, len(order), style="any", widths=(1, 16), cross_fraction=0.2, dead_fraction=0.1)
    steps = len(order) // BATCH
    for step in range(steps):
        index = order[step * BATCH : (step + 1) * BATCH]
        place = np.arange(step * BATCH, (step + 1) * BATCH)
        light = torch.from_numpy(10 ** rng.uniform(-0.5, 2, (BATCH, 1, 1, 1))).float()
        rate = torch.from_numpy(patches.expectation[index]).float() * light
        turn = table[torch.from_numpy(rng.integers(0, 48, BATCH))]
        mask = torch.from_numpy(masks.masks(place))
        axes = orders(mask)

        def same(x: Tensor, turn: Tensor = turn, axes: Tensor = axes) -> Tensor:
            return turned(x.flatten(1).gather(1, turn).view_as(x), axes)

        counted, truth = (same(torch.log1p(x)) for x in (torch.poisson(rate, noise), rate))
        more = [same(one.contiguous()) for one in volumes(patches, index, idea.shown)]
        mask = turned(mask, axes)
        clean = torch.from_numpy(rng.random((BATCH, 1, 1, 1)) < 0.1)
        prediction, log_variance = predicted(network, torch.where(clean, truth, counted), mask, more)
        adam.zero_grad()
        idea.loss(prediction, log_variance, truth, counted, mask).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        adam.param_groups[0]["lr"] = cosine_rate(RATE, step, steps, 20)
        adam.step()
        if step % 50 == 0:
            print(f"  step {step} of {steps}, {time.process_time() - began:.0f} s", flush=True)
    torch.save(network.state_dict(), path)
    return network.eval(), time.process_time() - began


def patches_of(files: list[Path], split: int, most: int) -> Patches:
    """Patches of one split, for training equally many of each file."""
    found: list[list[np.ndarray]] = [[], [], [], []]
    for path in files:
        with storage.read(path) as file:
            chosen = np.flatnonzero(storage.array(file, "split") == split)
            chosen = chosen[: -(-most // len(files))] if split == 0 else chosen
            for kept, name in zip(found, ("counts", "expectation", "origin", "oversampling"), strict=True):
                kept.append(storage.array(file, name)[chosen])
    counts, expectation, origin, over = (np.concatenate(one)[:most] for one in found)
    return Patches(counts, expectation, origin, np.exp(np.log(over).mean(1)))


def judged(run: Path, files: list[Path], most: int) -> dict[str, tuple[Patches, np.ndarray, int, np.ndarray]]:
    """Patches, what they are compared with, the axis that the gap is across, and where they lie in the whole scan."""
    tests = [*files, *sorted((run / "extract").glob("chunk-test*.h5"))]
    test = patches_of(tests, 2, 4 * most)
    good = np.flatnonzero(test.counts.reshape(len(test.counts), -1).mean(1) >= 1)[:most]
    some = Patches(*(one[good] for one in vars(test).values()))
    found = {"simulated": (some, some.expectation, 2, np.zeros((0, 0, 0)))}
    scan = next((run / "fetch").glob("aps*.h5"), None)
    if scan is not None and storage.left_out(scan) is None:
        with storage.read(scan) as file:
            cube = np.clip(crop_around_peak(storage.array(file, "data"), PATTERN), 0, None)
        origins = patching.random_origins(np.random.default_rng(0), cube.shape, 4 * most, SIDE)
        cut = patching.cut(cube, origins, SIDE)
        good = np.flatnonzero(cut.reshape(len(cut), -1).mean(1) >= 1)[:most]
        over = np.exp(np.mean(np.log([s or 3.0 for s in oversampling.estimate(cube)])))
        some = Patches(cut[good], cut[good], origins[good], np.full(len(good), over))
        for axis in (1, 2):
            found[f"measured, axis {axis}"] = (some, some.counts, axis, cube)
    return found


Fill = Callable[[Patches, np.ndarray, Tensor, Tensor, int, np.ndarray], Tensor]
"""Patches, which of them, log(1 + counts), mask, the gap's axis, the whole scan: to log(1 + photons)."""


def by(network: nn.Module, shown: tuple[str, ...]) -> Fill:
    """A network of an idea: the gap's axis last, and back."""

    def fill(patches: Patches, index: np.ndarray, seen: Tensor, mask: Tensor, axis: int, _: np.ndarray) -> Tensor:
        more = [one.transpose(axis + 1, 3) for one in volumes(patches, index, shown)]
        found = predicted(network, seen.transpose(axis + 1, 3), mask.transpose(axis + 1, 3), more)[0]
        return found.transpose(axis + 1, 3)

    return fill


def mirrored(network: nn.Module, number: int) -> Fill:
    """The mean over so many mirrored views."""
    flips = [tuple(a for a in (1, 2, 3) if way[a - 1]) for way in itertools.product((0, 1), repeat=3)][:number]

    def fill(_: Patches, __: np.ndarray, seen: Tensor, mask: Tensor, ___: int, ____: np.ndarray) -> Tensor:
        views = [network.predict(seen.flip(f), mask.flip(f))[0].flip(f) for f in flips]
        return torch.stack(views).mean(0)

    return fill


def larger(network: nn.Module, side: int) -> Fill:
    """With as much of the scan around as makes ``side`` voxels, the gap going on in it."""

    def fill(patches: Patches, index: np.ndarray, seen: Tensor, mask: Tensor, axis: int, cube: np.ndarray) -> Tensor:
        if not cube.size:
            return torch.full_like(seen, torch.nan)
        line = mask[0].flatten(0, 1).all(0) if axis == 2 else mask[0].transpose(1, 2).flatten(0, 1).all(0)
        found = []
        for i in index:
            first = [min(max(int(o) - (side - SIDE) // 2, 0), PATTERN - side) for o in patches.origin[i]]
            own = [int(o) - f for o, f in zip(patches.origin[i], first, strict=True)]
            whole = torch.from_numpy(np.log1p(cube[patching.window(first, (side,) * 3)].astype(np.float32)))
            missing = torch.zeros(side, dtype=torch.bool)
            missing[own[axis] : own[axis] + SIDE] = line
            missing = missing.view([side if a == axis else 1 for a in range(3)]).expand(side, side, side)
            made = network.predict(whole[None], missing[None])[0][0]
            found.append(made[tuple(slice(o, o + SIDE) for o in own)])
        return torch.stack(found)

    return fill


@torch.no_grad()
def rows(name: str, fill: Fill, sources: dict, seconds: float) -> Iterator[dict]:
    """PCC over the gap, mean over the patches, and the amplitude's relative error over all of them."""
    for source, (patches, truth, axis, cube) in sources.items():
        for width in WIDTHS:
            mask = torch.from_numpy(gaps.plane((SIDE,) * 3, width, axis=axis))
            scores, error, size = [], 0.0, 0.0
            for start in range(0, len(truth), BATCH):
                index = np.arange(start, min(start + BATCH, len(truth)))
                true = torch.log1p(torch.from_numpy(truth[index].astype(np.float32)))
                seen = torch.log1p(torch.from_numpy(patches.counts[index].astype(np.float32)))
                missing = mask.expand_as(seen)
                guess = fill(patches, index, seen.masked_fill(missing, 0), missing, axis, cube)
                scores.append(pcc(guess, true, missing))
                a, b = (torch.expm1(x.clamp(min=0))[:, mask].sqrt() for x in (guess, true))
                error, size = error + float((a - b).square().sum()), size + float(b.square().sum())
            found = torch.cat(scores)
            row = {"idea": name, "source": source, "gap_px": width, "pcc": float(found.nanmean())}
            yield row | {"amplitude": (error / size) ** 0.5, "patches": len(truth), "cpu_seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run with its patches")
    parser.add_argument("out", type=Path, help="folder of the trained networks and of ideas.csv")
    parser.add_argument("--patches", type=int, default=4800, help="patches that each network sees")
    parser.add_argument("--judged", type=int, default=200, help="most patches of each source that it is judged by")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=[], help="ideas whose name begins so; all by default")
    parser.add_argument(
        "--other", default="", help="NAME=model.safetensors, averaged with the network that comes along"
    )
    wanted = parser.parse_args()
    torch.set_num_threads(wanted.threads)
    wanted.out.mkdir(parents=True, exist_ok=True)
    files = [path for path in sorted((wanted.run / "extract").glob("chunk-*.h5")) if "test" not in path.name]
    sources = judged(wanted.run, files, wanted.judged)
    table = pd.read_csv(wanted.out / "ideas.csv").to_dict("records") if (wanted.out / "ideas.csv").is_file() else []

    def told(name: str, fill: Fill, seconds: float) -> None:
        table.extend(rows(name, fill, sources, seconds))
        storage.write_table(wanted.out / "ideas.csv", pd.DataFrame(table))
        print(name, flush=True)

    def due(name: str) -> bool:
        return name not in {row["idea"] for row in table} and (not wanted.only or name.startswith(tuple(wanted.only)))

    patches = patches_of(files, 0, wanted.patches)
    for name, idea in IDEAS.items():
        if due(name):
            network, seconds = trained(idea, patches, wanted.out / f"{name.replace(' ', '-')}.pt")
            told(name, by(network, idea.shown), seconds)
    whole = networks.load(networks.shipped()).eval()
    for number in (1, 2, 4, 8):
        if due(f"shipped, views {number}"):
            told(f"shipped, views {number}", mirrored(whole, number), float("nan"))
    for side in (48, 64):
        if due(f"shipped, patches of {side}"):
            told(f"shipped, patches of {side}", larger(whole, side), float("nan"))
    if wanted.other and due("shipped and another"):
        one, other = mirrored(whole, 1), mirrored(networks.load(wanted.other.partition("=")[2]).eval(), 1)
        told("shipped and another", lambda *given: (one(*given) + other(*given)) / 2, float("nan"))
    found = pd.DataFrame(table)
    print(found.pivot_table(index="idea", columns=["source", "gap_px"], values="pcc", sort=False).round(4).T)
    print(found.pivot_table(index="idea", columns=["source", "gap_px"], values="amplitude", sort=False).round(4).T)


if __name__ == "__main__":
    main()
