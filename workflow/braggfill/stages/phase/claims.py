"""What the thesis says of phases by networks, each statement beside the value from this run's tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from braggfill.phasing.score import RIGHT
from braggfill.runs import storage

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["claim", "source", "published", "ours", "holds"]
LOW, HIGH = 0.3, 0.6
"""Validation losses of the published central networks."""
RUNS = 60
"""Random runs of the published comparison; fewer of them are scaled to so many."""


def claims_table(
    models: list[Path], compared: Path | None, assess: Path | None, patches: list[Path], refine: Path | None, out: Path
) -> None:
    """A row a statement: what was published, what this run has, whether it holds.

    Parameters
    ----------
    models : learning curves of the networks for whole patterns.  compared, assess, refine : tables of these tasks, None
        for those that do not belong to the run.
    patches : tables of stitched patterns, one a strain; their learning curves lie beside them.
    """
    import pandas as pd

    curves = {path.stem: pd.read_csv(path) for path in models}
    rows = list(_learning(curves, None if compared is None else pd.read_csv(compared)))
    rows += [] if assess is None else _assessed(pd.read_csv(assess))
    for path in patches:
        history = path.with_name(f"{path.stem}-history.csv")
        rows += _patches(path.stem, pd.read_csv(path), pd.read_csv(history))
    rows += [] if refine is None else _refined(pd.read_csv(refine))
    storage.write_table(out, pd.DataFrame(rows, columns=COLUMNS), columns=COLUMNS)


def _claim(claim: str, source: str, published: str, ours: str, holds: bool) -> dict[str, Any]:
    return dict(zip(COLUMNS, (claim, source, published, ours, "yes" if holds else "no"), strict=True))


def _learning(curves: dict[str, pd.DataFrame], compared: pd.DataFrame | None) -> Iterator[dict[str, Any]]:
    means = {} if compared is None else compared.groupby("network").accuracy.mean().to_dict()
    best = {name: float(curve.wca.min()) for name, curve in curves.items()}
    ours = next((name for name in ("braggphase", "rsp", "central") if name in best), None)
    for other in ("complex", "autophasenn"):
        if ours and other in best:
            said = f"WCA {best[ours]:.3f} ({ours}), {best[other]:.3f} ({other})"
            claim = f"Predicting the phase is better than predicting the object ({other}), both trained on the same"
            yield _claim(claim, "thesis, section 4.11", "wrong shapes and phases", said, best[ours] < best[other])
        if ours in means and other in means:
            said = f"accuracy {means[ours]:.3f} ({ours}), {means[other]:.3f} ({other})"
            claim = f"Its objects are more accurate than those of the network for objects ({other})"
            yield _claim(claim, "thesis, Fig. 4.52", "wrong shapes and phases", said, means[ours] > means[other])


def _assessed(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    alone = table[(table.study == "particles") & (table.method == "network")]
    means = alone.groupby("kind").accuracy.mean()
    if {"gaussians", "cosines", "correlated"} <= set(means.index):
        said = ", ".join(f"{kind} {value:.3f}" for kind, value in means.items())
        others = max(means["cosines"], means["correlated"])
        claim = "The network is better on phases of two Gaussians than on the others"
        yield _claim(claim, "thesis, Fig. 4.46", "a trend", said, bool(means["gaussians"] > others))
    for kind, part in alone.groupby("kind"):
        line = part.groupby("range_radians").accuracy.mean().sort_index()
        if len(line) > 1:
            said = f"{line.iloc[0]:.3f} at {line.index[0]:.1f} rad, {line.iloc[-1]:.3f} at {line.index[-1]:.1f} rad"
            claim = f"The accuracy falls as the phase range grows ({kind})"
            yield _claim(claim, "thesis, Figs. 4.43 to 4.46", "a trend", said, bool(line.iloc[-1] < line.iloc[0]))
    odd = alone[(alone.kind == "gaussians") & alone.body.isin(["hull", "random"])]
    scores = odd.pivot_table("accuracy", "particle", "range_radians")
    if len(scores) and len(scores.columns) > 1:
        better = int((scores.iloc[:, 1:].max(axis=1) > scores.iloc[:, 0]).sum())
        claim = "A body without symmetry may be better under a stronger phase, whose RSP is more symmetric"
        said = f"{better} of {len(scores)} bodies are better at some range above {scores.columns[0]:.1f} rad"
        yield _claim(claim, "thesis, Figs. 4.50 and 4.51", "one example", said, better > 0)
    for study, axis in (("oversampling", "oversampling"), ("photons", "photons_exponent"), ("gap", "gap_px")):
        part = table[(table.study == study) & (table.method == "network")]
        usual = _usual(table, part)
        if len(part):
            line = part.groupby(axis).accuracy.mean()
            said = ", ".join(f"{value:.3f} at {x:g}" for x, value in line.items())
            claim = f"The network's objects hold their accuracy with another {axis.replace('_', ' ')} (within 0.05)"
            yield _claim(claim, "thesis, section 4.9: by hand", f"{usual:.3f} as usual", said,
                         bool((line >= usual - 0.05).all()))  # fmt: skip
    compared = table[table.study == "compared"]
    for kind, part in compared.groupby("kind"):
        scores = part.pivot_table("accuracy", "range_radians", "method")
        for refined in ("network_er", "network_run"):
            if {refined, "network", "run"} <= set(scores.columns):
                best = scores[["network", "run"]].max(axis=1)
                ahead = int((scores[refined] >= best).sum())
                arrived = {name: int((scores[name] >= RIGHT).sum()) for name in (refined, "run")}
                said = (
                    f"ahead of both in {ahead} of {len(scores)}; right in {arrived[refined]}, "
                    f"one random run in {arrived['run']}"
                )
                claim = f"The network's object, refined ({refined}), is ahead of it and of one random run ({kind})"
                yield _claim(claim, "thesis, Figs. 4.47 to 4.49", "in all cases", said, ahead == len(scores))


def _usual(table: pd.DataFrame, other: pd.DataFrame) -> float:
    """Mean accuracy of the network at the strength nearest to that of a study under other conditions."""
    alone = table[(table.study == "particles") & (table.method == "network")]
    if not len(alone) or not len(other):
        return float("nan")
    nearest = (alone.range_radians - other.range_radians.iloc[0]).abs()
    return float(alone[nearest == nearest.min()].accuracy.mean())


def _patches(strain: str, table: pd.DataFrame, history: pd.DataFrame) -> Iterator[dict[str, Any]]:
    last = history[history.network == "central"].val_loss.min()
    published = LOW if strain == "low" else HIGH
    yield _claim(
        f"Validation loss of the central patches, {strain} strain", "thesis, Figs. 4.18 and 4.25", f"{published:g}",
        f"{last:.3f}", bool(last <= published),
    )  # fmt: skip
    means = table.groupby(["guess", "way"], dropna=False).accuracy.mean()
    alone = table[table.way == "central"]
    for (guess, way), value in means.items():
        if way in ("central", "truth"):
            continue
        own = alone.guess == "expected" if guess == "expected" else alone.guess != "expected"
        central = float(alone[own].accuracy.mean())
        expected = "fails" if guess == "truth" and way != "solved" else "an idea"
        yield _claim(
            f"Stitched, {way}, outer network trained on {guess}, {strain} strain: ahead of the central patch alone",
            "thesis, sections 4.6.5 and 4.7", expected, f"{value:.3f}, central {central:.3f}", bool(value > central),
        )  # fmt: skip


def _refined(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for case, part in table.groupby("case"):
        runs = part[part.method == "runs"].sort_values("accuracy")
        for method in ("network_er", "network_run"):
            own = part[part.method == method]
            if not len(own) or not len(runs):
                continue
            one, many = own.iloc[0], runs.iloc[-1]
            published = many.cpu_seconds * RUNS / max(many.runs, 1)
            faster = published / max(one.cpu_seconds, 1e-9)
            said = f"{one.cpu_seconds:.2g} s; {many.runs:.0f} random runs {many.cpu_seconds:.2g} s, so {RUNS} "
            said += f"{published:.2g} s: {faster:.2g} times"
            claim = f"Network and one run ({method}) are 40 to 50 times as fast as 60 runs ({case})"
            yield _claim(claim, "thesis, Table 4.2", "40 to 50", said, bool(faster >= 40))
            said = (
                f"accuracy {one.accuracy:.3f} against {many.accuracy:.3f}; "
                f"mismatch {one.mismatch:.3g} against {many.mismatch:.3g}"
            )
            claim = f"It explains the pattern better than the best random runs taken together ({method}, {case})"
            yield _claim(claim, "thesis, Fig. 4.42", "a smaller mismatch", said, bool(one.mismatch < many.mismatch))
