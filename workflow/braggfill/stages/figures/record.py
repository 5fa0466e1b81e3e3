"""What a run's folder tells of how it was made: what was left out, times, code, data, network, machine."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from braggfill.runs import storage
from braggfill.stages import ORDER
from braggfill.stages.figures import table as tables


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
    for entry in index(folder):
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


def _stage(rule: str) -> int:
    first = rule.split("_")[0]
    return ORDER.index(first) if first in ORDER else len(ORDER)


def index(folder: Path) -> list[dict[str, Any]]:
    """The entries of ``figures/figures.json``; none where there is no such file."""
    path = folder / "figures/figures.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []


def network(folder: Path) -> dict[str, str]:
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


def codes(folder: Path) -> dict[str, str]:
    """The code fingerprints of each stage's tasks, from their files."""
    found: dict[str, dict[str, None]] = {}
    for path in storage.files(folder, "*/*.h5"):
        with storage.read(path) as file:
            found.setdefault(path.parent.name, {})[str(file.attrs.get("code", "")) or "–"] = None
    return {stage: " ".join(found[stage]) for stage in sorted(found, key=_stage)}


def sources(folder: Path) -> list[dict[str, str]]:
    """Name, source and licence of the measured data sets."""
    found = []
    for path in storage.files(folder, "fetch/*.h5"):
        with storage.read(path) as file:
            if "left_out" not in file.attrs:
                wanted = ("source", "license", "sha256")
                found.append({"name": path.stem, **{key: str(file.attrs.get(key, "")) for key in wanted}})
    return found


def as_yaml(run: Mapping[str, Any]) -> str:
    """The settings as a configuration file would have them."""
    import yaml

    return yaml.safe_dump(
        json.loads(json.dumps(dict(run), default=str)), sort_keys=False, allow_unicode=True, width=100
    )


def revision() -> str:
    """The code's git revision, and whether files of it differ from it; empty outside a checkout."""
    top = Path(__file__).parents[4]

    def git(*arguments: str) -> str:
        command = ["git", "-c", "core.fsmonitor=false", "-C", str(top), *arguments]
        return subprocess.run(command, capture_output=True, text=True, errors="replace", check=True).stdout.strip()

    try:
        if not (top / "Snakefile").is_file() or git("rev-parse", "--show-prefix"):
            return ""
        return git("rev-parse", "--short=12", "HEAD") + (", modified" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def machine() -> str:
    """Processor, cores, memory and system that the report was written on."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        found = re.search(r"(?m)^model name\s*:\s*(.+)$", cpuinfo.read_text(encoding="utf-8", errors="replace"))
        name = found[1] if found else name
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{name}, {cores} core{'s' * (cores != 1)}, {memory:.0f} GiB, {platform.system()} {platform.release()}"
