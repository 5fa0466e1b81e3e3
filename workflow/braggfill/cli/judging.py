"""``braggfill info`` and ``braggfill compare``: what a scan holds, and how far its filling can be trusted."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from braggfill.cli import geometry, networks, talk
from braggfill.cli.texts import COMPARE, INFO
from braggfill.errors import BraggfillError
from braggfill.filling import methods as registry
from braggfill.runs import device as devices

if TYPE_CHECKING:
    import numpy as np

    from braggfill.scans import Missing
    from braggfill.scans.flatfield import FlatField


def add(commands: Any, parents: list[argparse.ArgumentParser], plain: Any) -> None:
    """Add the commands to the parser's."""
    common: dict[str, Any] = {"parents": parents, "formatter_class": plain}
    told = "Print what a scan holds, what is missing in it, and what filling it takes."
    info = commands.add_parser("info", epilog=INFO, description=told, **common)
    info.add_argument("--network", metavar="FILE", help="the network to time (default as of inpaint)")
    info.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:1 …")
    info.set_defaults(run=_info)

    told = "Put artificial gaps into a scan's own good region, fill them by each method, and tell how well that went."
    compare = commands.add_parser("compare", epilog=COMPARE, description=told, **common)
    add = compare.add_argument
    add("-o", "--out", metavar="CSV", help="also write the table to this .csv file")
    add("--figure", metavar="PNG", help="also draw it")
    add("--force", action="store_true", help="overwrite CSV and PNG if they exist")
    add("--width", type=int, nargs="+", metavar="PX", help="widths of the gaps (default 3 6 9 12)")
    add("--axis", type=int, choices=(1, 2), default=2, help="1: horizontal gaps of the detector; 2 (default): vertical")
    add("--patches", type=int, default=100, metavar="N", help="patches to look at (default 100)")
    add("--method", choices=registry.NAMES, action="append", metavar="METHOD", help="may be given again (default: all)")
    add("--network", metavar="FILE", help="the trained network (default as of inpaint)")
    add("--device", default="auto", help="auto (default), cpu, cuda, cuda:1 …")
    add("--seed", type=int, default=0, metavar="N", help="of the places of the gaps; default 0")
    compare.set_defaults(run=_compare)


def _info(options: argparse.Namespace) -> int:
    from braggfill import scans
    from braggfill.filling.describe import describe, effort
    from braggfill.scans import flatfield, listing

    devices.check(options.device, "--device")
    holds = listing.lines(options.scan)
    try:
        scan = scans.load(options.scan)
    except listing.Ambiguous as error:
        _print([*holds, ("choice", str(error))])
        return 0
    missing = talk.missing(options, scan)
    lines = [*holds, ("scan", scan.where)]
    remarks = (*scan.remarks, *(missing.remarks if missing else ()))
    lines += [("warning", remark.removeprefix("warning: ")) for remark in remarks]
    if scan.experiment:
        lines += scan.experiment.lines()
    if lacking := geometry.lacking(scan.experiment):
        told = f"not in the file: {', '.join(lacking)}; needed for nanometres and strain alone (braggfill phase)"
        lines.append(("geometry", told))
    if missing is not None and not missing.where:
        missing = None
    if missing is not None:
        lines += [("mask", part) for part in missing.where.split("; ")]
    array, factor = scan.array, options.photons_per_unit
    if factor is not None:
        known = scans.marked(array)._replace(noise=None)  # which is told as it is
        array = scans.photons(array, known.array, known, factor, scan.where).values
    gain = None
    if flat := talk.flat_field(options, scan):
        lines += _flat_field(flat, array, missing)
        gain = flat.gain
    elif near := flatfield.beside(scan.where):
        lines.append(("flat", f"a flat field lies beside the scan and is not applied: --flat-field {near}"))
    lines += describe(array, None if missing is None else missing.array, photons=factor is not None, gain=gain)
    if missing is None:
        lines.append(("missing", "nothing says so; name a mask with --mask, or the detector with --detector"))
    elif missing.array.any() and not missing.array.all():
        try:
            file = networks.choose(options.network, "braggfill", _nothing)
        except BraggfillError as error:
            if options.network:
                raise
            lines.append(("plan", str(error)))
        else:
            lines += effort(array, missing.array, file, options.device) if file is not None else []
    _print(lines)
    return 0


def _flat_field(flat: FlatField, counts: np.ndarray, missing: Missing | None) -> list[tuple[str, str]]:
    """What is told of a flat field."""
    import numpy as np

    from braggfill.scans import flatfield

    dead = int(flat.bad.sum())
    told = f"{flat.where}: pixels count {flat.gain[~flat.bad].std():.1%} more or less; {dead} dead"
    mask = np.zeros(counts.shape, bool) if missing is None else missing.array
    doubt = flatfield.doubts(flat, counts, mask)
    return [("flat", told), *([("warning", doubt)] if doubt else [])]


def _print(lines: list[tuple[str, str]]) -> None:
    for what, value in lines:
        print(f"{what:<9} {talk.printable(value)}")


def _compare(options: argparse.Namespace) -> int:
    from braggfill.cli.preparing import prepare

    say, detail = talk.remarks(options)
    _check(options)
    ready = prepare(options, say, outputs=(options.out, options.figure))
    scan, mask = ready.scan, ready.mask
    methods = _methods(options, say)
    from braggfill.filling import compare

    rows = compare.compare(
        ready.photons,
        mask,
        methods,
        widths=options.width or compare.WIDTHS,
        axis=options.axis,
        patches=options.patches,
        seed=options.seed,
        progress=talk.shows_progress(options),
        say=say,
    )
    found = max(row.patches for row in rows)
    if found < options.patches:
        say(f"only {found} patches near the peak are wholly measured and hold light; {options.patches} were asked for")
    if options.out:  # before anything is printed, which may fail
        compare.write(options.out, rows)
        options.written = True
        detail(f"table {options.out}")
    print(compare.table(rows))
    if options.figure:
        compare.draw(options.figure, rows, talk.name(scan.where))
        options.written = True
        detail(f"figure {options.figure}")
    return 0


def _check(options: argparse.Namespace) -> None:
    from pathlib import Path

    from braggfill import scans
    from braggfill.cli import preview

    devices.check(options.device, "--device")
    if options.patches < 1 or options.seed < 0:
        raise BraggfillError("--patches, --seed: give at least one patch, and a seed that is not negative")
    if options.out:
        if Path(options.out).suffix.lower() != ".csv":
            raise BraggfillError(f"{options.out}: the table is a .csv file; give it that suffix")
        scans.check_place(options.out, force=options.force)
    if options.figure:
        preview.check(options.figure, force=options.force)


def _methods(options: argparse.Namespace, say: talk.Say) -> dict[str, Any]:
    """A function for each method that is asked for; by default all that there are networks for."""
    from braggfill import filling

    fills: dict[str, Any] = {}
    for name in options.method or [name for name, method in registry.METHODS.items() if not method.variant]:
        named = options.network if options.method or name == networks.OURS else None
        try:
            network = registry.network(name, networks.choose(named, name, say), options.device)
        except BraggfillError as error:
            if options.method or named:
                raise
            say(f"without {name}: {error}")
            continue

        def fill(intensity: Any, mask: Any, method: str = name, network: Any = network) -> Any:
            return filling.inpaint(intensity, mask, method=method, network=network, most_missing=True).data

        fills[name] = fill
    return fills


def _nothing(line: str) -> None:
    pass
