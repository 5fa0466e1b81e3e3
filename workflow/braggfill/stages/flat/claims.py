"""Published statements on gaps and phases in two dimensions, each beside the value of this run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braggfill.runs import storage
from braggfill.settings.flat import FINAL, OWN
from braggfill.stages.flat.tables import BROKEN

COLUMNS = ["chapter", "claim", "source", "published", "ours", "holds", "table"]
RIGHT = 0.95
"""Accuracy from which on an object is right."""


def claims(
    gaps: Path, position: Path, oversampling: Path, full: Path, phases: Path, fitted: Path, starts: Path,
    histories: list[Path], out: Path,
) -> None:  # fmt: skip
    """A row a statement: what was published, what this run has, and whether it holds (yes, no, partly)."""
    table = pd.read_csv(gaps)
    rows = [*_sizes(pd.read_csv(full)), *_losses(table), *_networks(table, pd.read_csv(full)), *_ours(table)]
    rows += [*_position(pd.read_csv(position)), *_oversampling(pd.read_csv(oversampling))]
    scores = pd.read_csv(phases)
    rows += [*_curves(histories), *_twin(scores), *_grid(scores), *_fit(fitted), *_high(scores)]
    rows += _starts(pd.read_csv(starts))
    storage.write_table(out, pd.DataFrame(rows), columns=COLUMNS)


def _row(chapter: str, claim: str, source: str, published: str, ours: str, holds: bool | str, table: str) -> dict:
    said = holds if isinstance(holds, str) else ("yes" if holds else "no")
    values = (chapter, claim, f"thesis, {source}", published, ours, said, f"flat/{table}")
    return dict(zip(COLUMNS, values, strict=True))


def _mean(table: pd.DataFrame, **chosen: Any) -> float:
    """Mean PCC over all widths and shapes of the rows with these values; NaN where there is none."""
    some = np.logical_and.reduce([table[name] == value for name, value in chosen.items()])
    return float(table[some].pcc.mean()) if some.any() else float("nan")


def _sizes(table: pd.DataFrame) -> Iterator[dict]:
    for row in table.itertuples():
        exact = row.network != "phase_large"
        source = "Table 3.1" if exact else "Fig. 4.11"
        chapter = "gaps" if exact else "phases"
        said = f"{row.parameters:,}; trained {row.steps} steps at full size"
        close = row.parameters == row.published if exact else abs(row.parameters / row.published - 1) < 0.005
        published = f"{row.published:,}" if exact else "27.5 million"
        yield _row(chapter, f"Parameters of {row.network}", source, published, said, bool(close), "full.csv")


def _losses(table: pd.DataFrame) -> Iterator[dict]:
    found = {loss: _mean(table, network="unet", loss=loss) for loss in set(table.loss.dropna())}
    pairs = [
        ("ssim", "mae", "SSIM yields better results than MAE", "section 3.3.2, Fig. 3.4"),
        ("mse", "mae", "MAE fails where MSE does not: it was discarded", "section 3.3.2, Fig. 3.4"),
        ("ssim", "mse", "SSIM yields better results than MSE", "Fig. 3.4"),
        ("mse_ssim", "mae", "The sum of MSE and SSIM is ahead of MAE", "section 3.3.2"),
        (FINAL, "mse_ssim", "Gradients in the loss do not harm", "section 3.3.2"),
    ]
    for better, worse, claim, source in pairs:
        if better in found and worse in found and np.isfinite([found[better], found[worse]]).all():
            said = f"PCC {found[better]:.3f} against {found[worse]:.3f}"
            slack = 0.005 if better == FINAL else 0.0
            yield _row("gaps", claim, source, "in words", said, found[better] >= found[worse] - slack, "gaps.csv")


def _networks(table: pd.DataFrame, full: pd.DataFrame) -> Iterator[dict]:
    found = {name: _mean(table, network=name, loss=FINAL) for name in ("unet", "unet_mod", "msd")}
    if np.isfinite([found["unet"], found["msd"]]).all():
        best = found["unet"]
        said = f"PCC {found['msd']:.3f} against {found['unet']:.3f}"
        if np.isfinite(found["unet_mod"]):
            said += f" and {found['unet_mod']:.3f}"
            best = min(found["unet"], found["unet_mod"])
        claim = "MSD-Net is poor beside the two U-Nets, at equal epochs"
        yield _row("gaps", claim, "section 3.3.2, Fig. 3.5", "in words", said, found["msd"] < best, "gaps.csv")
    if np.isfinite([found["unet"], found["unet_mod"]]).all():
        said = f"PCC {found['unet_mod']:.3f} against {found['unet']:.3f}"
        claim = "The modified U-Net is slightly more accurate than the U-Net"
        yield _row("gaps", claim, "section 3.3.2, Fig. 3.5", "in words", said, found["unet_mod"] >= found["unet"],
                   "gaps.csv")  # fmt: skip
    spent = full.set_index("network").cpu_seconds
    if not {"msd", "unet"} <= set(spent.index):
        return
    said = f"{spent['msd']:.2f} s a pattern and step against {spent['unet']:.2f} s (processor, full size)"
    claim = "Fewer parameters make MSD-Net quicker to train"
    yield _row("gaps", claim, "section 3.3.2", "in words", said, bool(spent["msd"] < spent["unet"]), "full.csv")


def _ours(table: pd.DataFrame) -> Iterator[dict]:
    ours = table[table.network == "braggfill"]
    if not len(ours):
        return
    loss = OWN if (ours.loss == OWN).any() else FINAL
    mean, size = _mean(table, network="braggfill", loss=loss), int(ours.parameters.iloc[0])
    others = table[table.network.isin(["unet", "unet_mod", "msd"]) & (table.loss == FINAL)]
    for name, part in others.groupby("network", sort=False):
        keys = ["gap_px", "shape"]
        pair = ours[ours.loss == loss].set_index(keys).pcc - part.groupby(keys).pcc.mean()
        ratio = size / part.parameters.iloc[0]
        said = f"PCC {mean:.3f} against {part.pcc.mean():.3f}; ahead at {int((pair > 0).sum())} of {len(pair)} gaps, "
        said += f"with {100 * ratio:.3g} % of the parameters ({size:,})"
        yield _row("gaps", f"braggfill in 2D is ahead of {name}", "not in it: a target", "–", said,
                   bool((pair > 0).all()), "gaps.csv")  # fmt: skip
    line = _linear(table, "linear")
    said = f"PCC {mean:.3f}; linear interpolation {line:.3f}, perfect expectation {_linear(table, 'ceiling'):.3f}"
    yield _row("gaps", "braggfill in 2D is ahead of linear interpolation", "not in it: a target", "–", said,
               mean > line, "gaps.csv")  # fmt: skip


def _linear(table: pd.DataFrame, name: str) -> float:
    return float(table[table.network == name].pcc.mean())


def _position(table: pd.DataFrame) -> Iterator[dict]:
    for name, part in table.groupby("network", sort=False):
        if name in ("linear", "ceiling"):
            continue
        far = part.place_px.abs()
        near, outer = part[far <= far.max() / 3].pcc.mean(), part[far > 2 * far.max() / 3].pcc.mean()
        said = f"PCC {near:.3f} in the inner third, {outer:.3f} in the outer"
        yield _row("gaps", f"Gaps in bright places, near the peak, are filled better ({name})", "Fig. 3.6", "a curve",
                   said, bool(near > outer), "position.csv")  # fmt: skip


def _oversampling(table: pd.DataFrame) -> Iterator[dict]:
    for name, part in table.groupby("network", sort=False):
        if name in ("linear", "ceiling") or len(part) < 3:
            continue
        rank = part.oversampling.corr(part.pcc, method="spearman")
        third = max(1, len(part) // 3)
        part = part.sort_values("oversampling")
        said = (
            f"PCC {part.pcc.iloc[:third].mean():.3f} → {part.pcc.iloc[-third:].mean():.3f}, rank correlation {rank:.2f}"
        )
        yield _row("gaps", f"The accuracy rises with the oversampling ({name})", "Fig. 3.7", "a curve", said,
                   bool(rank > 0.5), "oversampling.csv")  # fmt: skip


def _curves(histories: list[Path]) -> Iterator[dict]:
    """Learning curves of low strain with the smallest set and network (Figs 4.2 and 4.8)."""
    late = {}
    for path in histories:
        study, loss, *_ = path.stem.removeprefix("phase-").split("-")
        if study != "low" or loss not in ("real_space", "wca_amplitude") or loss in late:
            continue
        with storage.read(path) as file:
            trained, checked = file["history/loss"][...], file["history/validation_loss"][...]
        half = len(checked) // 2
        late[loss] = (checked[half] - checked.min()) / max(checked[0] - checked.min(), 1e-9)
        said = f"training {trained[0]:.3f} → {trained[-1]:.3f}, validation {checked[0]:.3f} → {checked[-1]:.3f}"
        if loss == "real_space":
            claim = "With MSE both losses fall and the validation follows the training"
            holds = trained[-1] < trained[0] and checked[-1] < checked[0] and checked[-1] < 1.25 * trained[-1]
            yield _row("phases", claim, "Fig. 4.2", "a curve", said, bool(holds), path.name)
    if len(late) == 2:
        said = f"second half of the steps: {100 * late['wca_amplitude']:.0f} % of the fall, with MSE "
        said += f"{100 * late['real_space']:.0f} %"
        yield _row("phases", "With WCA the loss goes on falling for longer", "Figs 4.2 and 4.8", "a curve", said,
                   bool(late["wca_amplitude"] > late["real_space"]), "phases.csv")  # fmt: skip


def _twin(scores: pd.DataFrame) -> Iterator[dict]:
    low = scores[scores.study == "low"]
    first = low[(low.patterns == low.patterns.min()) & (low.width == low.width.min())].set_index("loss")
    if "real_space" not in first.index:
        return
    mse = first.loc["real_space"]
    said = f"ambiguity of object and twin resolved (index ≥ {BROKEN:g}) for {100 * mse.resolved:.0f} % of the patterns"
    yield _row("phases", "Trained with MSE, the network mixes object and twin", "section 4.4.4, Fig. 4.4", "in words",
               f"{said}; accuracy {mse.accuracy:.3f}", bool(mse.resolved < 0.5), "phases.csv")  # fmt: skip
    if "real_space_broken" in first.index:
        other = first.loc["real_space_broken"]
        said = f"accuracy {mse.accuracy:.3f} → {other.accuracy:.3f}, resolved {100 * mse.resolved:.0f} → "
        said += f"{100 * other.resolved:.0f} %"
        holds = other.accuracy - mse.accuracy < 0.03 and other.resolved - mse.resolved < 0.1
        yield _row("phases", "Breaking the symmetries of the set brings no significant improvement", "Figs 4.5, 4.6",
                   "in words", said, bool(holds), "phases.csv")  # fmt: skip
    for loss in ("wca_amplitude", "wca_log"):
        if loss in first.index:
            wca = first.loc[loss]
            said = f"resolved {100 * wca.resolved:.0f} % of the patterns, with MSE {100 * mse.resolved:.0f} %"
            yield _row("phases", f"The mixture is less pronounced with WCA ({loss.removeprefix('wca_')} weights)",
                       "section 4.4.5, Fig. 4.10", "in words", said, bool(wca.resolved > mse.resolved),
                       "phases.csv")  # fmt: skip


def _grid(scores: pd.DataFrame) -> Iterator[dict]:
    low = scores[scores.study == "low"]
    cells = low.pivot_table(["accuracy", "resolved", "cpu_seconds"], ["width", "patterns"], "loss")
    if not {"real_space", "wca_amplitude"} <= set(low.loss):
        return
    cells = cells.dropna(subset=[("accuracy", "real_space"), ("accuracy", "wca_amplitude")])
    for (width, patterns), row in cells.iterrows():
        wca, mse = row["accuracy", "wca_amplitude"], row["accuracy", "real_space"]
        spent = row["cpu_seconds"]
        said = f"accuracy {100 * wca:.1f} against {100 * mse:.1f} in {spent['wca_amplitude']:.0f} s against "
        said += f"{spent['real_space']:.0f} s"
        yield _row("phases", f"WCA is ahead of MSE: {patterns:,} patterns, network of {width:g} of the full width",
                   "Fig. 4.11", "in each cell", said, bool(wca > mse), "phases.csv")  # fmt: skip
    said = (
        f"{cells['cpu_seconds', 'wca_amplitude'].sum():.0f} s against {cells['cpu_seconds', 'real_space'].sum():.0f} s"
    )
    less = cells["cpu_seconds", "wca_amplitude"].sum() < cells["cpu_seconds", "real_space"].sum()
    yield _row("phases", "WCA takes less time, without a transform", "section 4.4.5", "in words", said, bool(less),
               "phases.csv")  # fmt: skip
    accuracy = cells["accuracy"]
    small = accuracy.loc[accuracy.index.get_level_values(0).min()]
    if len(small) > 1:
        wca, mse = (small[loss].iloc[-1] - small[loss].iloc[0] for loss in ("wca_amplitude", "real_space"))
        said = f"accuracy {100 * wca:+.1f} with WCA, {100 * mse:+.1f} with MSE"
        verdict = "yes" if wca > 0 >= mse - 0.005 else "partly" if wca > 0 else "no"
        claim = "More patterns improve what WCA learns, and not what MSE does"
        yield _row("phases", claim, "Fig. 4.11", "in words", said, verdict, "phases.csv")
    resolved = cells["resolved"]["wca_amplitude"]
    said = " → ".join(f"{100 * value:.0f} %" for value in (resolved.iloc[0], resolved.iloc[-1]))
    yield _row("phases", "With more patterns and parameters WCA removes the mixture", "section 4.4.5",
               "completely", f"resolved {said} of the patterns",
               "yes" if resolved.iloc[-1] > 0.95 else "partly" if resolved.iloc[-1] > resolved.iloc[0] else "no",
               "phases.csv")  # fmt: skip


def _fit(path: Path) -> Iterator[dict]:
    with storage.read(path) as file:
        coherence = file["coherence"][...]
        steps = file["steps"][...]
    said = ", ".join(f"{coherence[s]:.3f} after {s} steps" for s in steps)
    yield _row("phases", "In the fit of one pattern the phasors align: |⟨z⟩| grows to 1", "Fig. 4.7", "in words", said,
               bool(coherence[steps[-1]] > 0.9), "fit.h5")  # fmt: skip


def _high(scores: pd.DataFrame) -> Iterator[dict]:
    high = scores[scores.study == "high"].drop_duplicates("loss").set_index("loss")
    if not {"real_space", "wca_amplitude"} <= set(high.index):
        return
    mse = high.loc["real_space"]
    for loss in high.index:
        if loss.startswith("wca"):
            row = high.loc[loss]
            said = f"WCA {row.wca:.3f} against {mse.wca:.3f}, accuracy {100 * row.accuracy:.1f} against "
            said += f"{100 * mse.accuracy:.1f}"
            claim = f"Under high strain the phase is predicted better with WCA ({loss})"
            source = "Figs 4.12–4.15" if loss == "wca_amplitude" else "not in it: a variant"
            published = "in words" if loss == "wca_amplitude" else "–"
            holds = row.wca < mse.wca and row.accuracy > mse.accuracy
            yield _row("phases", claim, source, published, said, bool(holds), "phases.csv")
    said = f"rank correlation of accuracy and symmetry of the object: {mse.symmetry_rank:.2f}"
    claim = "With MSE, objects that are symmetric about the centre come out better"
    yield _row("phases", claim, "Fig. 4.13", "in words", said, bool(mse.symmetry_rank > 0.2), "phases.csv")


def _starts(table: pd.DataFrame) -> list[dict]:
    chance = table.start.str.startswith("random")
    best = table[chance].sort_values("residual").drop_duplicates("pattern").set_index("pattern")
    one = table[table.start == "random-0"]
    number, each = table[chance].start.nunique(), table[chance].cpu_seconds.mean()
    rows = []
    for name, part in table[~chance].groupby("start", sort=False):
        right, alone = (part.accuracy >= RIGHT).mean(), (part.alone >= RIGHT).mean()
        said = f"right for {100 * right:.0f} % in {part.cpu_seconds.mean():.2f} s (the prediction alone "
        said += f"{100 * alone:.0f} %, "
        said += (
            f"mean accuracy {part.alone.mean():.2f}); one random start {100 * (one.accuracy >= RIGHT).mean():.0f} % in "
        )
        said += (
            f"{each:.2f} s, the best of {number} {100 * (best.accuracy >= RIGHT).mean():.0f} % in {number * each:.2f} s"
        )
        rows.append(_row("phases", f"One start from the prediction ({name}) beats one random start",
                         "not in it: a target", "–", said, bool(right > (one.accuracy >= RIGHT).mean()),
                         "starts.csv"))  # fmt: skip
    return rows
