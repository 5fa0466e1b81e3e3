"""What the thesis says of automatic differentiation, and further comparisons, each beside this run's values."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from braggfill.phasing.score import RIGHT
from braggfill.runs import storage
from braggfill.stages.phase import convex

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["claim", "source", "published", "ours", "holds"]
NONE = "–"
"""``published`` of a statement that the thesis does not make; its sections 5.3.1 and 5.3.2 are headings alone."""
GOOD_LOSS = 0.1
"""A loss that the public code calls good."""
SAME = 0.02
"""Accuracies that differ by less are taken for equal."""
LOW, HIGH = ("low",), ("high", "higher")


def table(files: list[Path], out: Path, claims: Path) -> None:
    """A row a case, variant and stage, and what the thesis says beside it.

    Parameters
    ----------
    out, claims : CSV, :data:`braggfill.stages.phase.convex.COLUMNS` and :data:`COLUMNS`.
    """
    import pandas as pd

    rows = []
    for path in files:
        with storage.read(path) as file:
            groups = [one for one in file.values() if isinstance(one, h5py.Group)]
            rows += [{name: group.attrs[name] for name in convex.COLUMNS} for group in groups]
    whole = pd.DataFrame(rows, columns=convex.COLUMNS)
    storage.write_table(out, whole, columns=convex.COLUMNS)
    storage.write_table(claims, compared(whole), columns=COLUMNS)


def compared(table: pd.DataFrame) -> pd.DataFrame:
    """A row a statement; ``table`` has the columns of :data:`braggfill.stages.phase.convex.COLUMNS`."""
    import pandas as pd

    scores = table.assign(way=table.variant + "_" + table.stage).pivot_table("accuracy", "case", "way")
    rows = [*_recovered(table), *_against_others(scores, table), *_shape(table), *_variants(table)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _claim(claim: str, source: str, published: str, ours: str, holds: bool) -> dict[str, Any]:
    return dict(zip(COLUMNS, (claim, source, published, ours, "yes" if holds else "no"), strict=True))


def _listed(values: pd.Series) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in values.items())


def _recovered(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Sections 5.3.1 and 5.3.2, and the experimental patterns that the chapter's introduction promises."""
    usual = table[(table.variant == "default") & (table.stage == "refined")].set_index("case")
    for said, source, strains in (
        ("Objects with little strain are recovered", "section 5.3.1 (title)", LOW),
        ("Strongly strained objects are recovered", "section 5.3.2 (title)", HIGH),
        ("Objects reconstructed from measurements are recovered from simulated counts", "chapter 5, introduction",
         ("reconstructed",)),
        ("Two runs on a measured scan give the same object", "chapter 5, introduction", ("scan",)),
    ):  # fmt: skip
        part = usual[usual.strain.isin(strains)].accuracy
        if len(part):
            yield _claim(f"{said} (accuracy {RIGHT} or more)", f"thesis, {source}", NONE, _listed(part),
                         bool((part >= RIGHT).all()))  # fmt: skip


def _against_others(scores: pd.DataFrame, table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    ways = set(scores.columns)
    if {"default_refined", "projections_free"} <= ways:
        both = scores[["default_refined", "projections_free"]].dropna()
        ours, theirs = both.default_refined >= RIGHT, both.projections_free >= RIGHT
        won = list(both.index[ours & ~theirs])
        lost = list(both.index[theirs & ~ours])
        if len(both[~theirs]):
            said = f"{len(won)} of {len(both[~theirs])} ({', '.join(won) or 'none'})"
            yield _claim(
                "Cases in which alternating projections fail are resolved", "thesis, chapter 5, introduction",
                "what it was made for", said, bool(won),
            )  # fmt: skip
        said = f"right {int(ours.sum())} and {int(theirs.sum())} of {len(both)}; behind in {', '.join(lost) or 'none'}"
        if theirs.any():
            yield _claim("Right where projections are, in equal time", "own", NONE, said, not lost)
    if {"default_convex", "voxels_free"} <= ways:
        both = scores[["default_convex", "voxels_free"]].dropna()
        ahead = int((both.default_convex > both.voxels_free).sum())
        said = f"ahead in {ahead} of {len(both)}; mean {both.default_convex.mean():.3f}, {both.voxels_free.mean():.3f}"
        yield _claim(
            "A modulus and a phase a voxel are not the best parameters: half-spaces come closer", "thesis, section 5.2",
            "not optimal", said, ahead == len(both),
        )  # fmt: skip
    if {"default_refined", "published_refined"} <= ways:
        both = scores[["default_refined", "published_refined"]].dropna()
        right = int((both.published_refined >= RIGHT).sum())
        steps = int(table[table.variant == "published"].steps.max())
        yield _claim(
            "The published form, one resolution from random phases, recovers the object", "public code",
            "up to 5000 steps", f"{right} of {len(both)} after {steps} steps", right == len(both),
        )  # fmt: skip
        ahead = both.default_refined - both.published_refined
        said = f"mean {both.default_refined.mean():.3f}, {both.published_refined.mean():.3f}; "
        said += f"ahead by more than {SAME} in {int((ahead > SAME).sum())}, behind in {int((ahead < -SAME).sum())}"
        yield _claim("From coarse to fine is nowhere behind the published form", "own", NONE, said,
                     bool((ahead >= -SAME).all()))  # fmt: skip
    if {"default_refined", "default_convex"} <= ways:
        gain = (scores.default_refined - scores.default_convex).dropna()
        yield _claim(
            "The second stage improves the convex object", "public code", "a second stage",
            f"by {gain.mean():.3f} on average, {gain.min():.3f} to {gain.max():.3f}", bool((gain > 0).all()),
        )  # fmt: skip
    small = table[(table.loss <= GOOD_LOSS) & (table.against == "truth") & (table.stage == "convex")]
    if len(small):
        right = int((small.accuracy >= RIGHT).sum())
        yield _claim(
            f"A loss of {GOOD_LOSS} or less tells a right convex object", "public code", "about 0.1 is good",
            f"{right} of {len(small)} objects are right", right == len(small),
        )  # fmt: skip


def _shape(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    known = table[(table.against == "truth") & (table.study == "methods") & (table.stage != "convex")]
    right, wrong = (part.mean_to_max.mean() for part in (known[known.accuracy >= RIGHT], known[known.accuracy < RIGHT]))
    if np.isfinite(right) and np.isfinite(wrong):
        yield _claim(
            "Right objects have an even modulus (mean over maximum)", "thesis, section 5.2.1", "usually",
            f"right {right:.3f}, wrong {wrong:.3f}", bool(right > wrong),
        )  # fmt: skip
    first = table[(table.variant == "default") & (table.stage == "convex") & (table.against == "truth")]
    if len(first):
        number = round(first.parameters.iloc[0])
        voxels = table[table.variant == "voxels"].parameters
        if len(voxels):
            yield _claim(
                "Half-spaces need far fewer parameters than voxels", "thesis, section 5.2.1", "significantly fewer",
                f"{number}, {round(voxels.iloc[0])}", bool(number < voxels.iloc[0] / 2),
            )  # fmt: skip
        told = table[table.variant.eq("default") & (table.stage == "convex")].alike
        # Of 64 random normals 38 % have another within 10 degrees, whose offset starts out equal.
        yield _claim(
            "Half-spaces beyond the faces come to coincide with others", "thesis, section 5.2.1", "many",
            f"{100 * told.mean():.0f} % coincide", bool(told.mean() > 0.5),
        )  # fmt: skip


def _variants(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    refined = table[table.stage == "refined"]
    cases = sorted(set(refined[refined.study == "phase"].case))
    own = refined[refined.case.isin(cases)]
    scores = own.pivot_table("accuracy", "variant", "case")
    numbers = [name for name in scores.index if name.startswith("halfspaces_")]
    if numbers:
        part = scores.loc[["default", *numbers]]
        part = part.rename(index=lambda name: name.removeprefix("halfspaces_").replace("default", "as set"))
        said = "; ".join(f"{name}: {_listed(row)}" for name, row in part.iterrows())
        yield _claim(
            f"The number of half-spaces need not be that of the faces (within {SAME})", "thesis, section 5.2.1",
            "need not be precise", said, bool((part.max() - part.min() <= SAME).all()),
        )  # fmt: skip
    for claim, first, second in (("Missing voxels are better masked than taken as zeros", "gap_masked", "gap_zeros"),):
        if {first, second} <= set(scores.index):
            said = f"masked: {_listed(scores.loc[first])}; zeros: {_listed(scores.loc[second])}"
            yield _claim(claim, "own (public code: no mask)", NONE, said,
                         bool((scores.loc[first] >= scores.loc[second]).all()))  # fmt: skip
    projected = table[(table.variant == "gap_projections") & table.case.isin(cases)].set_index("case").accuracy
    if "gap_masked" in scores.index and len(projected):
        ours = scores.loc["gap_masked"]
        said = f"{_listed(ours)}; projections: {_listed(projected)}"
        yield _claim("With missing voxels no worse than projections in equal time", "own", NONE, said,
                     bool((ours - projected >= -SAME).all()))  # fmt: skip
