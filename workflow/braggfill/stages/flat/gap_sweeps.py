"""Accuracy against the place of a gap and against the oversampling (Masto, thesis, section 3.3.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from braggfill.learning import planar_gap, planar_sets
from braggfill.networks import planar
from braggfill.networks.gap.bridge import bridge
from braggfill.patterns.gaps import plane
from braggfill.physics.crystals import CrystalOptions, draw
from braggfill.physics.diffraction import amplitude, expose
from braggfill.runs import seeds, storage
from braggfill.settings.flat import FlatGaps, FlatSettings
from braggfill.stages.flat import sets

Filler = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def position(settings: FlatSettings, seed: int, models: list[Path], out: Path, code: str = "") -> None:
    """PCC over a vertical gap against its place: columns ``network``, ``place_px`` (from the centre to the middle of
    the gap), ``patterns``, ``pcc``, ``pcc_std``, ``photons`` (mean over the gap, photons a voxel)."""
    gaps = settings.gaps
    own = sets.study_seed(seed, "position")
    made = [planar_sets.pattern(sets.options(gaps), own, i)[0] for i in range(gaps.position_patterns)]
    truth, best = (torch.log1p(torch.from_numpy(np.stack(x).astype(np.float32)))
                   for x in ([p.counts for p in made], [p.expectation for p in made]))  # fmt: skip
    rows = []
    for start, mask in _places(gaps):
        masks = mask.expand(len(truth), -1, -1)
        photons = float(torch.expm1(best)[masks].mean())
        place = start + gaps.example_width_px / 2 - gaps.side_px / 2
        for name, filler in _fillers(models, best):
            found = planar_gap.pcc(filler(truth, masks), truth, masks).numpy()
            rows.append({"network": name, "place_px": place, "patterns": int(np.isfinite(found).sum()),
                         "pcc": np.nanmean(found), "pcc_std": np.nanstd(found), "photons": photons})  # fmt: skip
    storage.write_table(out, pd.DataFrame(rows))


def oversampling(settings: FlatSettings, seed: int, models: list[Path], out: Path, code: str = "") -> None:
    """PCC over a vertical gap, mean over its places, against the oversampling of one object: columns ``network``,
    ``oversampling``, ``places``, ``pcc``."""
    gaps = settings.gaps
    own = sets.study_seed(seed, "oversampling")
    rng = seeds.generator(own, "flat/object")
    side = (gaps.side_px,) * 2
    extent = gaps.side_px / gaps.oversampling[0]
    made = draw(rng, (extent, extent), CrystalOptions(range=gaps.phase_range_radians))
    rows = []
    for i, ratio in enumerate(np.linspace(*gaps.oversampling, gaps.oversampling_patterns)):
        period = max(round(float(ratio * made.extent.max())), *side, *made.object.shape)
        noise = seeds.generator(own, "flat/noise", i)
        one = expose(amplitude(made.object, side, period), float(10 ** np.mean(gaps.photons_exponent)), noise)
        truth, best = (torch.log1p(torch.from_numpy(x.astype(np.float32)))[None] for x in (one.counts, one.expectation))
        masks = torch.cat([mask for _, mask in _places(gaps)])
        truth, best = (x.expand(len(masks), -1, -1) for x in (truth, best))
        for name, filler in _fillers(models, best):
            found = planar_gap.pcc(filler(truth, masks), truth, masks).numpy()
            rows.append({"network": name, "oversampling": period / made.extent.max(),
                         "places": int(np.isfinite(found).sum()), "pcc": np.nanmean(found)})  # fmt: skip
    storage.write_table(out, pd.DataFrame(rows))


def _places(gaps: FlatGaps) -> Iterator[tuple[int, torch.Tensor]]:
    """First column and mask, (1, side, side), of every place of the gap."""
    width = gaps.example_width_px
    for start in range(0, gaps.side_px - width + 1, gaps.spacing_px):
        yield start, torch.from_numpy(plane((gaps.side_px,) * 2, width, axis=1, start=start))[None]


def _fillers(models: list[Path], best: torch.Tensor) -> Iterator[tuple[str, Filler]]:
    """Networks by the name of their files, linear interpolation, and the expectation behind the counts."""
    for path in models:
        network = planar.load(path)
        name, loss = path.stem.removeprefix("gap-").split("-")[:2]
        label = f"{name} ({loss})" if loss == planar_gap.OWN else name
        yield label, partial(planar_gap.fill, network)
    yield "linear", lambda truth, mask: bridge(truth[:, None].contiguous(), mask[:, None].contiguous())[:, 0]
    yield "ceiling", lambda truth, mask: best
