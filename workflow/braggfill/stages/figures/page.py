"""The report: one HTML file that holds everything, and the short table that a run ends with."""

from __future__ import annotations

import base64
import json
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from braggfill.runs import storage
from braggfill.settings.figures import FiguresSettings
from braggfill.stages import ORDER
from braggfill.stages.figures import flat_tables, tables
from braggfill.stages.figures.graph import dag_svg

SECTIONS = {
    "simulation": (
        "Simulated patterns",
        "Atoms to particles, particles to diffraction, diffraction to what a detector would have counted.",
    ),
    "training": ("Training", "A network learns to fill gaps from patches of the simulated patterns."),
    "patterns": ("Filled patterns", "What the network and the interpolations put into gaps, beside the truth."),
    "accuracy": ("Accuracy", "How far the filled voxels agree with the truth, and how far they could."),
    "claims": ("Claims", "What the published texts say of the accuracy, and whether this run bears it out."),
    "real space": ("Real space", "What gaps and fillings do to the object that is reconstructed."),
    "flat gaps": (
        "Gaps in two dimensions",
        "The study that chose loss and network (Masto, thesis, section 3.3), at the sizes of this run's settings.",
    ),
    "flat phases": (
        "Phases in two dimensions, low and high strain",
        "The phase of a pattern predicted in reciprocal space (Masto, thesis, sections 4.4 and 4.5), at the sizes "
        "of this "
        "run's settings.",
    ),
}
LEADS = {
    "gaps": "Filling of detector gaps in 3D Bragg coherent diffraction patterns.",
    "flat": "Gaps and phases of coherent diffraction in two dimensions, by several networks and losses.",
}
"""What each chapter of the settings is about."""


def report(
    settings: FiguresSettings,
    run: Mapping[str, Any],
    folder: Path,
    out: Path,
    rules: Mapping[str, Sequence[str]],
) -> None:
    """Write the report of a run as one HTML file, figures embedded, nothing fetched from anywhere.

    Parameters
    ----------
    run : the run's settings, plain.
    folder : the run's folder; what is there is shown, what was left out is told in one line each.
    rules : rule → rules that it needs, for the picture of the DAG.

    Raises
    ------
    BraggfillError : the report cannot be written.
    """
    from jinja2 import Environment, StrictUndefined

    place = files("braggfill.stages.figures")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["clock"] = clock
    template = environment.from_string(place.joinpath("page.html").read_text(encoding="utf-8"))
    made = _figures(folder)
    ready = tables.every(folder)
    sections = [
        {
            "key": key.replace(" ", "-"),
            "title": title,
            "about": about,
            "figures": [figure for figure in made if figure["section"] == key],
            "tables": ready.get(key, []),
        }
        for key, (title, about) in SECTIONS.items()
    ]
    html = template.render(
        lead=" ".join(LEADS[chapter] for chapter in settings.chapters),
        css=place.joinpath("page.css").read_text(encoding="utf-8"),
        title=settings.title,
        run=str(run.get("run", folder.name)),
        seed=run.get("seed"),
        sections=[section for section in sections if section["figures"] or section["tables"]],
        summary=summary(folder),
        left_out=left_out(folder),
        dag=dag_svg(rules),
        stages=stages(folder),
        network=_network(folder),
        settings=_yaml(run),
        codes=_codes(folder),
        versions={**storage.versions(), "Python": platform.python_version()},
        data=_sources(folder),
    )
    storage.write_text(out, html)


def left_out(folder: Path) -> list[tuple[str, str]]:
    """What was left out and why, each reason once: (the files or steps, the reason)."""
    found: dict[str, list[str]] = {}
    for path in storage.files(folder, "**/*.h5"):
        name = str(path.relative_to(folder))
        with storage.read(path) as file:
            for key, value in file.attrs.items():
                if key == "left_out" or key.startswith(("left_out_", "without_")):
                    what = key.removeprefix("left_out").removeprefix("without").strip("_")
                    found.setdefault(str(value), []).append(f"{name} ({what})" if what else name)
    check = tables.read(folder / "scatter/check.csv")
    if check is not None and "left_out" in check:
        for row in check[check.left_out.notna()].itertuples():
            found.setdefault(str(row.left_out), []).append(f"scatter/check.csv ({row.backend} against {row.against})")
    for entry in _index(folder):
        if entry["left_out"] and entry["left_out"] not in found:
            found.setdefault(entry["left_out"], []).append(f"figure “{entry['title']}”")
    return [(", ".join(names), reason) for reason, names in found.items()]


def stages(folder: Path) -> list[dict[str, Any]]:
    """Time and memory of each rule, from Snakemake's benchmark files: jobs, seconds in all, longest job, megabytes."""
    import pandas as pd

    found: dict[str, list[Any]] = {}
    for path in storage.files(folder, "benchmarks/**/*.tsv"):
        rule = re.split(r"-[0-9a-z_]*$", path.stem)[0]
        try:
            table = pd.read_csv(path, sep="\t", na_values=["-", "NA"])
        except (pd.errors.ParserError, pd.errors.EmptyDataError):
            continue
        if len(table) and "s" in table:
            found.setdefault(rule, []).append(table.iloc[0])
    rows = [
        {
            "rule": rule,
            "jobs": len(jobs),
            "seconds": sum(float(job["s"]) for job in jobs),
            "longest": max(float(job["s"]) for job in jobs),
            "megabytes": max((float(job.get("max_rss", 0) or 0) for job in jobs), default=0.0),
        }
        for rule, jobs in found.items()
    ]
    return sorted(rows, key=lambda row: (_stage(row["rule"]), row["rule"]))


def clock(seconds: float) -> str:
    """Seconds as they are read: 8 s, 2 min 05 s, 1 h 12 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    return (
        f"{whole // 60} min {whole % 60:02d} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    )


def summary(folder: Path) -> str:
    """The short table of results that a run ends with: plain text, aligned."""
    return "\n".join(_summary(folder))


def _summary(folder: Path) -> Iterator[str]:
    measured, simulated = (tables.read(folder / f"evaluate/{name}.csv") for name in ("measured", "simulated"))
    parts = []
    if measured is not None:
        parts += [
            (f"measured, gap across axis {axis}", part) for axis, part in measured.groupby("gap_axis", sort=False)
        ]
    if simulated is not None:
        parts += [(f"simulated, against {name}", part) for name, part in simulated.groupby("against", sort=False)]
    if parts:
        widths = sorted({int(w) for _, part in parts for w in part.gap_px})
        widths = widths if len(widths) <= 6 else [w for w in widths if w in tables.PUBLISHED_PX]
        yield "PCC over the gap, patches of at least 1 count per voxel"
        yield _line("", [f"{w} px" for w in widths])
        for title, part in parts:
            bright = part[part.selection == ("ge1" if (part.selection == "ge1").any() else part.selection.iloc[0])]
            yield title
            for method in ("braggfill", "network", "linear"):
                rows = bright[bright.method == method].set_index("gap_px")
                if len(rows):
                    yield _line(f"  {method}", [tables.number(_at(rows, w, "pcc_mean")) for w in widths])
            rows = bright.drop_duplicates("gap_px").set_index("gap_px")
            yield _line("  ceiling", [tables.number(_at(rows, w, "ceiling")) for w in widths])
    told = tables.read(folder / "evaluate/claims.csv")
    if told is not None:
        yield ""
        reproduced = int((told.holds == "yes").sum())
        yield f"{reproduced} of {len(told)} published statements on accuracy reproduced (see the report)"
    exact = tables.read(folder / "reconstruct/true_phase.csv")
    if exact is not None:
        exact = exact[exact.gap_px > 0]
        exact = exact[exact.oversampling == min(set(exact.oversampling), key=lambda value: abs(value - 4))]
        sampling = " x ".join(tables.number(exact.iloc[0][f"oversampling_{axis}"], 1) for axis in range(3))
        widths = sorted({int(w) for w in exact.gap_px})
        yield ""
        yield f"Strain RMSE (1e-4), true phase, cross gap, oversampling {sampling}"
        yield _line("", [f"{w} px" for w in widths])
        for method, part in exact.groupby("method", sort=False):
            rows = part.set_index("gap_px")
            yield _line(f"  {tables.NAMES.get(method, method)}", [_strain(rows, w) for w in widths])
    retrieval = tables.read(folder / "reconstruct/retrieval.csv")
    if retrieval is not None:
        yield ""
        yield "Phase retrieval, cross gap: phase error (rad)"
        for case, part in retrieval.groupby("case", sort=False):
            found = [
                f"{tables.NAMES.get(row.treatment, row.treatment)} {_error(row)}"
                for row in part.itertuples()
                if row.treatment != row.reference
            ]
            yield f"  {case}, {int(part.gap_px.iloc[0])} px: {', '.join(found)}"
    yield from flat_tables.summary(folder)
    check = tables.read(folder / "scatter/check.csv")
    if check is not None and check.max_error_relative.notna().any():
        yield ""
        yield "Scattering, largest error as a share of the peak"
        for row in check[check.max_error_relative.notna()].itertuples():
            yield f"  {row.backend} against {row.against}: {row.max_error_relative:.1e} over {int(row.voxels)} voxels"
    times = stages(folder)
    if times:
        yield ""
        slowest = sorted(times, key=lambda row: -row["seconds"])[:3]
        told = ", ".join(f"{row['rule']} {clock(row['seconds'])}" for row in slowest)
        yield f"Jobs took {clock(sum(row['seconds'] for row in times))} in all; the longest: {told}"
    missing = left_out(folder)
    if missing:
        yield ""
        yield "Left out"
        yield from (f"  {what}: {reason}" for what, reason in missing)


def _line(label: str, cells: list[str]) -> str:
    return f"{label:<34}" + "".join(f"{cell:>9}" for cell in cells)


def _at(rows: Any, width: int, column: str) -> float | None:
    return float(rows.at[width, column]) if width in rows.index else None


def _strain(rows: Any, width: int) -> str:
    value = _at(rows, width, "strain_rmse")
    return "–" if value is None else f"{value * 1e4:.3f}"


def _error(row: Any) -> str:
    return f"{row.phase_rmse_rad:.3f}" if str(row.converged) == "True" else "did not converge"


def _stage(rule: str) -> int:
    first = rule.split("_")[0]
    return ORDER.index(first) if first in ORDER else len(ORDER)


def _index(folder: Path) -> list[dict[str, Any]]:
    path = folder / "figures/figures.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []


def _figures(folder: Path) -> list[dict[str, Any]]:
    """The figures that were drawn, each with its picture as a data URI."""
    kinds = {".png": "image/png", ".svg": "image/svg+xml"}
    made: list[dict[str, Any]] = []
    for entry in _index(folder):
        names = sorted(entry["files"], key=lambda name: list(kinds).index(Path(name).suffix))
        if not names:
            continue
        content = base64.b64encode((folder / "figures" / names[0]).read_bytes()).decode()
        made.append({**entry, "number": len(made) + 1, "uri": f"data:{kinds[Path(names[0]).suffix]};base64,{content}"})
    return made


def _network(folder: Path) -> dict[str, str]:
    """What the trained network says about itself."""
    path = folder / "train/model.safetensors"
    if not path.is_file():
        return {}
    from braggfill import networks

    card = networks.card(path)
    told = {"network": card["network"], **card["options"]}
    told |= {name: card[name] for name in ("patches", "patches_seen", "metrics", "uncertainty") if name in card}
    return {name.replace("_", " "): _plain(value) for name, value in told.items()}


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key.replace('_', ' ')} {_plain(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _codes(folder: Path) -> dict[str, str]:
    """The code fingerprints of each stage's tasks, from their files."""
    found: dict[str, dict[str, None]] = {}
    for path in storage.files(folder, "*/*.h5"):
        with storage.read(path) as file:
            found.setdefault(path.parent.name, {})[str(file.attrs.get("code", "")) or "–"] = None
    return {stage: " ".join(found[stage]) for stage in sorted(found, key=_stage)}


def _sources(folder: Path) -> list[dict[str, str]]:
    """Name, source and licence of the measured data sets."""
    found = []
    for path in storage.files(folder, "fetch/*.h5"):
        with storage.read(path) as file:
            if "left_out" not in file.attrs:
                wanted = ("source", "license", "sha256")
                found.append({"name": path.stem, **{key: str(file.attrs.get(key, "")) for key in wanted}})
    return found


def _yaml(run: Mapping[str, Any]) -> str:
    """The settings as a configuration file would have them."""
    import yaml

    return yaml.safe_dump(
        json.loads(json.dumps(dict(run), default=str)), sort_keys=False, allow_unicode=True, width=100
    )
