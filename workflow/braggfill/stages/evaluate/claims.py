"""Published statements on the accuracy, each beside the value from this run's tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from braggfill.filling.methods import INTERPOLATIONS
from braggfill.runs import storage

if TYPE_CHECKING:
    import pandas as pd

CLAIM_COLUMNS = ["claim", "source", "published", "ours", "holds", "method", "table"]
WIDTHS = (3, 6, 9, 12)
BRIGHT = 1.0
"""Photons a voxel above which a bin of intensity counts."""
FINE = 2.5
"""Oversampling from which on the network is to be ahead."""


def claims_table(tables: Mapping[str, Path], out: Path) -> None:
    """What the texts claim, beside what the tables say: see :func:`claims`."""
    import pandas as pd

    found = claims({name: pd.read_csv(path) for name, path in tables.items()})
    storage.write_table(out, pd.DataFrame(found), columns=CLAIM_COLUMNS)


def claims(tables: Mapping[str, pd.DataFrame]) -> list[dict[str, Any]]:
    """A row a claim: what was published, what this run has, and whether it ``holds`` (yes, no, or partly: how often).

    The method is the network that comes with the package, or else the run's own.  Claims whose sweep did not run, or
    has no data, are left out.

    Parameters
    ----------
    tables : ``measured``, ``simulated``, ``intensity``, ``oversampling``, ``position``, ``skip``, ``gaps``.
    """
    found: list[dict[str, Any]] = []
    for make in (_table_1, _falls_with_gap, _intensity, _oversampling, _skip, _position, _ahead):
        found += make(tables)
    return found


def _claim(claim: str, source: str, published: str, ours: str, holds: bool | str, method: str, table: str) -> dict:
    said = holds if isinstance(holds, str) else ("yes" if holds else "no")
    values = (claim, source, published, ours, said, method, f"evaluate/{table}.csv")
    return dict(zip(CLAIM_COLUMNS, values, strict=True))


def _ours(table: pd.DataFrame) -> str | None:
    """The network that a table is about."""
    if not len(table):
        return None
    return next((name for name in ("braggfill", "network") if name in set(table.method)), None)


def _table_1(tables: Mapping[str, pd.DataFrame]) -> Iterator[dict]:
    table = tables["measured"]
    method = _ours(table)
    rows = table[table.published.notna() & (table.method == method)]
    for row in rows.sort_values("gap_px").itertuples():
        ours = f"{row.pcc_binned:.3f}, ceiling {row.ceiling_binned:.3f}"
        claim = f"PCC over a gap of {row.gap_px} px, mean of 20 bins of intensity"
        holds = row.pcc_binned >= row.published
        yield _claim(claim, "paper, Table 1", f"{row.published:.3f}", ours, bool(holds), str(method), "measured")


def _falls_with_gap(tables: Mapping[str, pd.DataFrame]) -> Iterator[dict]:
    for name, against in (("measured", "counts"), ("simulated", "counts"), ("simulated", "expectation")):
        table = tables[name]
        method = _ours(table)
        if method is None:
            continue
        part = table[(table.method == method) & (table.against == against) & (table.selection == "all")]
        part = part[part.gap_axis == part.gap_axis.iloc[0]] if len(part) else part
        line = part[part.gap_px.isin(WIDTHS)].sort_values("gap_px")
        if len(line) > 1:
            said = " → ".join(f"{value:.3f}" for value in line.pcc_mean)
            falls = bool((np.diff(line.pcc_mean) <= 0).all())
            claim = f"The accuracy falls as the gap grows ({name}, against {against})"
            yield _claim(claim, "paper, section 2.3", "0.989 → 0.946", said, falls, method, name)


def _intensity(tables: Mapping[str, pd.DataFrame]) -> Iterator[dict]:
    table = tables["intensity"]
    method = _ours(table)
    if method is None:
        return
    for source, part in table[(table.method == method) & (table.against == "counts")].groupby("source", sort=False):
        part = part[(part.gap_axis == part.gap_axis.iloc[0]) & (part.patches >= 3)]
        ranks, spreads = [], {}
        for width, line in part.groupby("gap_px"):
            if len(line) > 2:
                ranks.append((width, _rank(line.bin, line.pcc_mean)))
        if ranks:
            worst = min(ranks, key=lambda pair: pair[1])
            said = f"rank correlation {worst[1]:.2f} or more ({worst[0]} px the least)"
            claim = f"The accuracy rises with the intensity of the patch ({source})"
            yield _claim(claim, "paper, Fig. 5", "a trend", said, worst[1] > 0.8, method, "intensity")
        wide = part[part.gap_px.isin(WIDTHS)].pivot_table("pcc_mean", "bin", "gap_px")
        if {3, 12} <= set(wide.columns) and len(wide.dropna()) > 3:
            spread = (wide[3] - wide[12]).dropna()
            half = len(spread) // 2
            spreads = {"dark": spread.iloc[:half].mean(), "bright": spread.iloc[half:].mean()}
            said = (
                f"3 px ahead of 12 px by {spreads['dark']:.3f} in the darker half, {spreads['bright']:.3f} in the other"
            )
            claim = f"The spread between gap widths narrows with the intensity ({source})"
            holds = abs(spreads["bright"]) < abs(spreads["dark"])
            yield _claim(claim, "thesis, section 3.7", "a trend", said, bool(holds), method, "intensity")


def _oversampling(tables: Mapping[str, pd.DataFrame]) -> Iterator[dict]:
    table = tables["oversampling"]
    method = _ours(table)
    if method is None:
        return
    mean = table[(table.method == method) & (table.against == "counts")]
    mean = mean.assign(oversampling=mean.oversampling.round(2)).pivot_table("pcc", "oversampling", "gap_px")
    if len(mean) > 1:
        lows, highs = mean.iloc[0], mean.iloc[-1]
        said = "; ".join(f"{width} px {lows[width]:.3f} → {highs[width]:.3f}" for width in mean.columns)
        rises = all(_rank(mean.index, mean[width]) > 0.8 for width in mean.columns)
        claim = f"The accuracy rises with the oversampling ({mean.index[0]:g} → {mean.index[-1]:g})"
        yield _claim(claim, "paper, Fig. 6c", "a trend", said, rises, method, "oversampling")
    if len(mean.columns) > 1:
        ordered = (np.diff(mean.to_numpy(), axis=1) <= 0).all(axis=1)
        said = f"at {int(ordered.sum())} of {len(mean)} oversamplings"
        claim = "Smaller gaps are predicted better at each oversampling"
        yield _claim(claim, "paper, Fig. 6c", "a trend", said, bool(ordered.all()), method, "oversampling")


def _skip(tables: Mapping[str, pd.DataFrame]) -> Iterator[dict]:
    table = tables["skip"]
    names = set(table.method) if len(table) else set()
    for method in (name for name in ("paper", "braggfill", "network") if name in names):
        line = table[table.method == method].set_index("skip_px").sort_index()
        if {0, 4} <= set(line.index):
            first, fifth = line.loc[0], line.loc[4]
            said = f"{first.seconds:.1f} s → {fifth.seconds:.1f} s, a factor {first.seconds / fifth.seconds:.1f}"
            said += f", PCC {first.pcc:.4f} → {fifth.pcc:.4f} ({first.edge_px:.0f}³ voxels)"
            claim = "Skipping 4 pixels takes an eighth of the time without visible change"
            holds = bool(first.seconds > 4 * fifth.seconds and fifth.pcc > first.pcc - 0.005)
            yield _claim(claim, "supplement, S5", "716 s → 91 s (128³, GPU)", said, holds, method, "skip")
        if len(line) > 2:
            power = np.polyfit(np.log(line.index.to_numpy() + 1.0), np.log(line.seconds.to_numpy()), 1)[0]
            claim = "The time falls as a power of the step"
            said = f"exponent {power:.2f}"
            yield _claim(claim, "supplement, Fig. S10", "a trend", said, bool(power < -1), method, "skip")
            worse = line.log_absolute_error_sum.iloc[-1] / line.log_absolute_error_sum.iloc[0] - 1
            claim = f"The error grows with the pixels skipped ({line.index[0]} → {line.index[-1]})"
            yield _claim(claim, "supplement, Fig. S12", "a trend", f"{worse:+.1%}", bool(worse > 0), method, "skip")


def _position(tables: Mapping[str, pd.DataFrame]) -> Iterator[dict]:
    table = tables["position"]
    method = _ours(table)
    if method is None:
        return
    for width, part in table[table.method == method].groupby("gap_px"):
        far = part.distance_px.abs()
        near, outer = part[far <= far.max() / 3].pcc.mean(), part[far > 2 * far.max() / 3].pcc.mean()
        said = f"{near:.3f} in the inner third, {outer:.3f} in the outer"
        claim = f"Gaps near the peak are predicted better than those far from it ({width} px)"
        yield _claim(claim, "thesis, Fig. 3.6 (2D)", "a trend", said, bool(near > outer), method, "position")


def _ahead(tables: Mapping[str, pd.DataFrame]) -> Iterator[dict]:
    """Ahead of each other method at every width, intensity and oversampling."""
    for name, part, keys, where in _fields(tables):
        method = _ours(part)
        if method is None:
            continue
        scores = part.pivot_table("score", keys, "method")
        for other in ("paper", *INTERPOLATIONS):
            if other in scores:
                pair = scores[[method, other]].dropna()
                won = pair[method] > pair[other]
                said = f"at {int(won.sum())} of {len(pair)}, mean difference {(pair[method] - pair[other]).mean():+.3f}"
                lost = ", ".join(_place(keys, index) for index in pair.index[~won][:4])
                said += f"; not at {lost}" + (" …" if (~won).sum() > 4 else "") if lost else ""
                claim = f"Ahead of {other} at each {where}"
                published = "in all cases" if other in ("linear", "cubic", "nearest") else "–"
                yield _claim(claim, "paper, section 2.4", published, said, bool(won.all()), method, name)


def _fields(tables: Mapping[str, pd.DataFrame]) -> Iterator[tuple[str, pd.DataFrame, list[str], str]]:
    """Table, its rows with a column ``score``, what names a place in it, and that in words."""
    for name in ("measured", "simulated"):
        table = tables[name]
        if len(table):
            rows = table[table.selection == "all"].assign(score=lambda t: t.pcc_mean)
            yield name, rows, ["against", "gap_axis", "gap_px"], f"gap width, {name} patches"
    table = tables["intensity"]
    if len(table):
        rows = table[(table.photons_per_voxel_from >= BRIGHT) & (table.patches >= 5)].assign(score=lambda t: t.pcc_mean)
        for source, part in rows.groupby("source", sort=False):
            keys = ["against", "gap_axis", "gap_px", "bin"]
            yield "intensity", part, keys, f"width and bin above 1 photon per voxel, {source} patches"
    table = tables["oversampling"]
    if len(table):
        rows = table[table.oversampling >= FINE - 0.01].assign(
            score=lambda t: t.pcc, oversampling=lambda t: t.oversampling.round(2)
        )
        yield "oversampling", rows, ["against", "oversampling", "gap_px"], "width and oversampling from 2.5 up"
    table = tables["gaps"]
    if len(table):
        yield "gaps", table.assign(score=lambda t: t.pcc), ["gap"], "unequal cross and wide gap of the scan"


def _place(keys: list[str], index: Any) -> str:
    values = index if isinstance(index, tuple) else (index,)
    said = {"gap_px": "{} px", "gap_axis": "axis {}", "bin": "bin {}", "oversampling": "oversampling {:g}"}
    return " ".join(said.get(key, "{}").format(value) for key, value in zip(keys, values, strict=True))


def _rank(x: Any, y: Any) -> float:
    """Spearman's rank correlation."""
    import pandas as pd

    return float(pd.Series(np.asarray(x, float)).corr(pd.Series(np.asarray(y, float)), method="spearman"))
