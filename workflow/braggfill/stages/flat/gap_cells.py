"""One network trained to fill gaps with one loss, and its scores."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch

from braggfill.learning import planar_gap
from braggfill.learning.planar_gap import GapOptions
from braggfill.networks import planar
from braggfill.networks.gap.bridge import bridge
from braggfill.networks.unets import parameters
from braggfill.runs import seeds, storage
from braggfill.settings.flat import FlatGaps, FlatSettings
from braggfill.stages.flat import sets

SHAPES = ("vertical", "cross")
EXAMPLES = 3
"""Test patterns whose fillings are kept for figures."""


def network(settings: FlatGaps, name: str, seed: int, loss: str) -> torch.nn.Module:
    """A new network, the same first weights for every loss."""
    torch.manual_seed(seeds.integer(seed, "flat/weights"))
    options = {"channels": list(settings.channels)} if name == "braggfill" else {"width": settings.width}
    return planar.build(name, **options)


def gap_cell(
    settings: FlatSettings, seed: int, patterns: Path, model: Path, out: Path, cell: str, code: str = ""
) -> None:
    """Train the network of ``cell``, ``<network>-<loss>-<widths of its gaps>``, and score it.

    ``out`` holds ``history`` (columns), ``scores/<width>/<shape>`` (n) PCC over the gap of each test pattern, for the
    widths that it was trained on, and
    ``examples/filled`` (n, side, side) log(1 + photons) with crosses of ``example_width_px``.
    """
    name, loss, drawn = cell.split("-")
    gaps, own = settings.gaps, sets.study_seed(seed, "gaps")
    learning, validation = sets.read(patterns, "train").logarithm, sets.read(patterns, "validation").logarithm
    made = network(gaps, name, seed, loss)
    options = GapOptions(tuple(map(int, drawn.split("_"))), gaps.cross_fraction)
    fixed = planar_gap.masks(options, gaps.side_px, range(len(validation)), own, 1_000_000)
    rows: dict[str, list[float]] = {name: [] for name in ("epoch", "loss", "validation_pcc", "cpu_seconds")}
    start = time.process_time()

    def told(epoch: int, found: float) -> None:
        spent = time.process_time() - start
        score = planar_gap.pcc(planar_gap.fill(made, validation, fixed), validation, fixed)
        for column, number in zip(rows, (epoch, found, float(score.nanmean()), spent), strict=True):
            rows[column].append(number)

    planar_gap.train(
        made,
        loss,
        learning,
        options,
        gaps.epochs,
        batch=gaps.batch,
        rate=gaps.own_rate if name == "braggfill" else gaps.rate,
        decay=True,
        seed=own,
        told=told,
    )
    build = {"channels": list(gaps.channels)} if name == "braggfill" else {"width": gaps.width}
    planar.save(model, made, name, **build)
    test = sets.read(patterns, "test")
    with storage.create(out, settings=settings, seed=seed, code=code, parameters=parameters(made)) as file:
        sets.write_columns(file.create_group("history"), rows)
        for width in sorted(options.widths):
            for shape in SHAPES:
                mask = test_masks(gaps, own, len(test.kind), width, shape)
                filled = planar_gap.fill(made, test.logarithm, mask)
                file[f"scores/{width}/{shape}"] = planar_gap.pcc(filled, test.logarithm, mask).numpy()
        mask = example_masks(gaps, own, test.logarithm)
        file["examples/filled"] = planar_gap.fill(made, test.logarithm[: len(mask)], mask).numpy()


def test_masks(gaps: FlatGaps, seed: int, number: int, width: int, shape: str) -> torch.Tensor:
    """The gaps that every network is scored with, (n, side, side)."""
    crossed = shape == "cross"
    rngs = [seeds.generator(seed, "flat/test-gap", i, width, int(crossed)) for i in range(number)]
    return torch.from_numpy(np.stack([planar_gap.mask(rng, gaps.side_px, width, crossed) for rng in rngs]))


def example_masks(gaps: FlatGaps, seed: int, logarithm: torch.Tensor) -> torch.Tensor:
    """Crosses near the peak, for the figures."""
    from braggfill.patterns.gaps import cross

    middle, found = gaps.side_px // 2, []
    for i in range(min(EXAMPLES, len(logarithm))):
        near = seeds.generator(seed, "flat/example", i).integers(3, gaps.side_px // 6, 2)
        starts = [int(middle + n) for n in near]
        found.append(cross((gaps.side_px,) * 2, gaps.example_width_px, starts, axes=(0, 1)))
    return torch.from_numpy(np.stack(found))


def baseline(settings: FlatSettings, seed: int, patterns: Path, out: Path, code: str = "") -> None:
    """Linear interpolation, and the expectation behind the counts, the most that a prediction can reach: ``scores`` as
    :func:`gap_cell`, in the groups ``linear`` and ``ceiling``; ``examples`` with ``seen``, ``mask`` and both."""
    gaps, own = settings.gaps, sets.study_seed(seed, "gaps")
    test = sets.read(patterns, "test")
    truth, best = test.logarithm, torch.log1p(test.expectation)

    def linear(mask: torch.Tensor) -> torch.Tensor:
        return bridge(truth[: len(mask), None], mask[:, None])[:, 0]

    with storage.create(out, settings=settings, seed=seed, code=code) as file:
        for width in sorted({w for one in gaps.widths_px for w in one}):
            for shape in SHAPES:
                mask = test_masks(gaps, own, len(truth), width, shape)
                file[f"linear/scores/{width}/{shape}"] = planar_gap.pcc(linear(mask), truth, mask).numpy()
                file[f"ceiling/scores/{width}/{shape}"] = planar_gap.pcc(best, truth, mask).numpy()
        mask = example_masks(gaps, own, truth)
        file["examples/seen"], file["examples/mask"] = truth[: len(mask)].numpy(), mask.numpy()
        file["examples/linear"] = linear(mask).numpy()
