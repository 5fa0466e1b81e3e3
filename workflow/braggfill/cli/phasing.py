"""``braggfill phase``."""

from __future__ import annotations

import argparse
import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from braggfill.cli import batch, filling, geometry, live, networks, talk
from braggfill.cli.texts import PHASE
from braggfill.errors import BraggfillError

if TYPE_CHECKING:
    import numpy as np

    from braggfill.phasing.gap import Given
    from braggfill.phasing.realspace import RealSpace
    from braggfill.phasing.result import Phased

FAILED = 3
"""Exit status where nothing was reconstructed that could be trusted."""
GAPS = ("auto", "free", "filled", "sure", "soft")
UNITS = {"": 1, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600}


def add(commands: Any, parents: list[argparse.ArgumentParser], plain: Any) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser(
        "phase",
        epilog=PHASE,
        description="Reconstruct the object, and its strain, from a scan with or without gaps; say how sure it is.",
        parents=parents,
        formatter_class=plain,
    )
    add = parser.add_argument
    add("-o", "--out", metavar="OUT", required=True, help="the file to write; for several scans a folder/, see below")
    add("--force", action="store_true", help="overwrite OUT if it exists")
    add("--preview", metavar="PNG", help="also draw slices of the object")
    add("--report", metavar="HTML", help="also write a report: one file that opens in any browser")
    add("--time", metavar="TIME", help="end after so long with the best so far: 90s, 2min, 1h")
    add("--keep", action="store_true", help="on Ctrl-C write the best so far instead of nothing")
    add("--write-failed", action="store_true", help="write OUT even if phase retrieval failed (it says so inside)")
    add("--seed", type=int, default=0, metavar="N", help="the same seed gives the same object; default 0")
    add("--starts", type=int, metavar="N", help="most starts (default: as many as it takes for them to agree)")
    add("--engine", default="auto", metavar="NAME", help="auto (default), projections, convex, pynx")
    add(
        "--support-threshold", type=float, metavar="T", help="one threshold of the support, 0 to 1, relative to the rms"
        " of the modulus; by default several are tried and measured voxels that were kept out choose",
    )  # fmt: skip
    add(
        "--start-from", dest="start", choices=("auto", "random", "network"), default="auto",
        help="where it begins: random objects, what a network expects of the pattern, or both (auto) if there is one",
    )  # fmt: skip
    add("--phase-network", metavar="FILE", help="that network; by default the one that comes with braggfill, if any")
    add("--device", default="auto", help="auto (default), cpu, cuda, cuda:1 …")
    gap = parser.add_argument_group("what is missing")
    gap.add_argument(
        "--gap", choices=GAPS, default="auto",
        help="soft (default of a network that states its uncertainty): filled, with the weight that its uncertainty "
        "allows; filled (default of the interpolations): filled, as if measured; sure: filled where the filling is "
        "certain, else free; free: missing voxels have no constraint",
    )  # fmt: skip
    gap.add_argument("--method", default="braggfill", metavar="METHOD", help="that fills, as of inpaint (braggfill)")
    gap.add_argument("--network", metavar="FILE", help="the network that fills, as of inpaint")
    gap.add_argument("--most-missing", action="store_true", help="go on although more than half is missing")
    geometry.add(parser)
    parser.set_defaults(run=lambda options: batch.run(options, run))


def run(options: argparse.Namespace) -> int:
    """Phase the scan; returns the exit status."""
    say, detail = talk.remarks(options)
    budget = _check(options)
    counts, mask, scan, told = _read(options, say)
    measured, spacing, remark = geometry.of(options, getattr(scan, "experiment", None))
    if remark:
        say(remark)
    if measured is not None:
        measured.voxels(counts.shape)  # an error now, and not after the work
    shown = live.Live(talk.shows_progress(options), budget)
    with live.interruptible(shown, options.keep):
        given = _treat(options, counts, mask, say)
        found = _phase(options, counts, mask, given, budget, shown)
    for note in found.notes:
        say(f"warning: {note}")
    if found.failed and not options.write_failed:
        at = f"{options.scan}: " if getattr(options, "brief", False) else ""
        talk.say(f"{at}{found.verdict}; nothing was written (--write-failed writes it all the same)")
        return FAILED
    from braggfill.phasing.realspace import real_space

    real = None if measured is None else real_space(found, measured, spacing)
    settings = {
        name: getattr(options, name)
        for name in ("engine", "start", "starts", "time", "seed", "support_threshold", "device", "gap", "write_failed")
    }
    told |= {"gap": given.treatment, "filled_by": given.method, "settings": settings}
    told |= _expected_by(options)
    if measured is not None:
        told["geometry"] = dataclasses.asdict(measured)
    _write(options, found, real, told)
    _conclude(options, found, real, say, detail)
    return FAILED if found.failed else 0


def _expected_by(options: argparse.Namespace) -> dict[str, Any]:
    """The network whose objects were tried as starts, if any."""
    from braggfill.phasing import named

    file = named.file(options.phase_network, options.start)
    if file is None:
        return {}
    about = networks.provenance(file)
    return {"phase_network": about["network"], "phase_network_sha256": about["network_sha256"]}


def _check(options: argparse.Namespace) -> float | None:
    """What can be told before anything is read; the seconds that it may take."""
    from braggfill.filling import methods
    from braggfill.phasing import engines, named, output
    from braggfill.runs import device
    from braggfill.scans import check_output

    output.check(options.out, force=options.force)
    check_output(options.out, force=options.force, inputs=tuple(filter(None, (options.scan, options.mask))))
    if options.preview:
        from braggfill.cli import preview

        preview.check(options.preview, force=options.force)
    if options.report:
        from braggfill.cli import preview

        preview.check_report(options.report, force=options.force)
    written = [Path(p).absolute() for p in (options.out, options.preview, options.report) if p]
    if len(set(written)) < len(written):
        raise BraggfillError(f"{written[-1].name}: two outputs have this name; give each its own")
    if options.seed < 0:
        raise BraggfillError(f"--seed {options.seed}: give a whole number that is not negative")
    if options.starts is not None and options.starts < 1:
        raise BraggfillError(f"--starts {options.starts}: give 1 or more")
    if options.support_threshold is not None and not 0 < options.support_threshold < 1:
        raise BraggfillError(f"--support-threshold {options.support_threshold:g}: give a number between 0 and 1")
    geometry.spacing(options)
    device.check(options.device, "--device")
    methods.get(options.method)
    engines.engine(options.engine)
    named.file(options.phase_network, options.start)
    return None if options.time is None else seconds(options.time)


def seconds(text: str) -> float:
    """A time in words: 90, 90s, 2min, 1.5h.

    Raises
    ------
    BraggfillError : it is none, or not above zero.
    """
    parts = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)\s*", text.lower())
    if parts is None or parts[2] not in UNITS or float(parts[1]) <= 0:
        raise BraggfillError(f"--time {text}: give a time, such as 90s, 2min or 1h")
    return float(parts[1]) * UNITS[parts[2]]


def _read(options: argparse.Namespace, say: talk.Say) -> tuple[np.ndarray, np.ndarray | None, Any, dict[str, Any]]:
    """Photons, mask (None where nothing is missing), the scan, and what to tell of both."""
    from braggfill.cli.preparing import prepare

    ready = prepare(options, say, outputs=(options.out, options.preview, options.report))
    told = {"scan": talk.name(ready.scan.where), "missing_voxels": int(ready.mask.sum()), **ready.provenance()}
    if ready.missing is None or not ready.mask.any():
        return ready.photons, None, ready.scan, told
    filling.confirm(options, ready.missing, ready.mask)
    told |= {
        "mask": "; ".join(talk.name(part) for part in ready.missing.where.split("; ")),
        "mask_inverted": options.invert_mask,
    }
    return ready.photons, ready.mask, ready.scan, told


def _treat(options: argparse.Namespace, counts: np.ndarray, mask: np.ndarray | None, say: talk.Say) -> Given:
    """What phase retrieval is given for the gap."""
    from braggfill.phasing import gap

    network = None
    if mask is not None and options.gap != "free":
        file = networks.choose(options.network, options.method, say)
        network = None if file is None else networks.once(file)
    given = gap.treat(
        counts, mask, gap=options.gap, method=options.method, network=network, device=options.device,
        progress=talk.shows_progress(options),
    )  # fmt: skip
    if given.method and mask is not None:
        say(f"{int(mask.sum())} voxels filled by {given.method}; phase retrieval takes them as {given.treatment}")
    return given


def _phase(
    options: argparse.Namespace,
    counts: np.ndarray,
    mask: np.ndarray | None,
    given: Given,
    budget: float | None,
    shown: live.Live,
) -> Phased:
    from braggfill.phasing import named
    from braggfill.phasing.phase import phase_pattern
    from braggfill.runs import device

    expects = named.file(options.phase_network, options.start)
    return phase_pattern(
        counts,
        mask,
        filled=given.filled,
        sigma=given.sigma,
        engine=options.engine,
        seed=options.seed,
        budget_s=budget,
        starts=options.starts,
        support_threshold=options.support_threshold,
        start=options.start,
        network=None if expects is None else networks.once(expects),
        device=device.choose(options.device),
        progress=shown.told,
        should_stop=shown.should_stop,
    )


def _write(options: argparse.Namespace, found: Phased, real: RealSpace | None, told: dict[str, Any]) -> None:
    """The result, the picture, the report."""
    from braggfill.phasing import output

    output.write(options.out, found, real, provenance=told, force=options.force)
    options.written = True
    if options.preview:
        from braggfill.phasing import drawing

        drawing.save(options.preview, found, real)
    if options.report:
        from braggfill.phasing import report

        report.write(options.report, found, real, title=told["scan"], provenance=told)


def _conclude(
    options: argparse.Namespace, found: Phased, real: RealSpace | None, say: talk.Say, detail: talk.Say
) -> None:
    """Say what came of it: the verdict, where it is doubtful, what was written."""
    from braggfill.phasing import summary

    brief = getattr(options, "brief", False)
    if not brief:
        for what, value in summary.facts(found, real):
            detail(f"{what}: {value}")
        if real is not None:
            told = dict(summary.facts(found, real))
            say("; ".join(f"{name} {told[name]}" for name in ("size", "voxels", "strain") if name in told))
        if not found.failed and (doubt := summary.disagreement(found)):
            say(doubt)
    say(f"{found.verdict}; {found.seconds:.0f} s: {options.out}")
