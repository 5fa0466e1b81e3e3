"""The command line, ``braggfill``.

Exit status: 0 done; 1 a fault of braggfill itself; 2 something that the user can put right, told in one line;
3 (``verify`` alone) a bundle is whole, but stages would run again here; 130 interrupted.  Whatever happens, the output
is whole or absent.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from braggfill import sharing
from braggfill.errors import BraggfillError

if TYPE_CHECKING:
    from braggfill.scans import Loaded

METHODS = ("braggfill", "linear", "cubic", "nearest")
NETWORK = "BRAGGFILL_NETWORK"
HIDDEN = argparse.SUPPRESS

TOP = """\
Fills the gaps that detectors leave in 3D Bragg coherent diffraction patterns,
so that phase retrieval gives the true strain.

commands:
  braggfill inpaint SCAN --mask MASK -o OUT    fill a scan
  braggfill info SCAN [--mask MASK]            size, counts, and what is missing
  braggfill bundle RUN                         pack a run of the workflow to share it
  braggfill verify BUNDLE                      is it whole, and what would run again here
  braggfill unpack BUNDLE FOLDER               go on with it in another folder

'braggfill inpaint --help' has file formats and examples."""

FILES = """\
files:
  SCAN is a 3D array of photon counts (axes: rocking angle, detector vertical,
  detector horizontal), MASK an array of the same shape, or one frame for all,
  that is not zero where the detector saw nothing.

    scan.npz  scan.npz::name     the array of that name, else 'data' (of a mask
                                 'mask'), else the first
    scan.npy
    scan.h5::/path/in/file       HDF5, NeXus, CXI; without a path CXI's or
                                 NeXus' default, else the largest 3D dataset
    stack.tif  folder/  "folder/*.tif"

  Without --mask, the mask that the scan's own file holds is taken, if any."""

INPAINT = f"""\
{FILES}

  OUT is .npz (data, mask: True where filled, sigma: standard deviation, NaN
  where there is none), .npy (data alone), or .cxi, .h5 (opens in PyNX;
  /entry_1/data_1 holds data, filled and sigma). Measured voxels are unchanged.

network:
  --network, else the file that {NETWORK} names, else the one that came
  with braggfill, else the newest that a run trained under ./results. The
  interpolations (--method linear, cubic, nearest) need none.

examples:
  braggfill inpaint scan.npz --mask mask.npy -o filled.npz --preview filled.png
  braggfill inpaint S11.cxi -o S11_filled.cxi
  braggfill inpaint scan.h5::/1.1/measurement/mpx1x4 --mask maxipix.npy -o filled.cxi
  braggfill inpaint frames/ --mask gaps.tif -o filled.npz --method linear"""

INFO = f"""\
{FILES}

examples:
  braggfill info scan.h5::/1.1/measurement/mpx1x4
  braggfill info scan.npz --mask mask.npy"""


INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        print(f"braggfill: error: {message}; see '{self.prog} --help'", file=sys.stderr)
        raise SystemExit(2)


class _Version(argparse.Action):
    def __init__(self, **arguments: Any):
        super().__init__(nargs=0, default=argparse.SUPPRESS, **arguments)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        import importlib.metadata

        print(f"braggfill {importlib.metadata.version('braggfill')}")
        parser.exit()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        _end_on_terminate()
        return options.run(options)
    except BraggfillError as error:
        _say(f"error: {' '.join(str(error).split())}")
        return 2
    except KeyboardInterrupt:
        _say("interrupted" if getattr(options, "written", False) else "interrupted; nothing was written")
        return INTERRUPTED
    except BrokenPipeError:  # e.g. `braggfill info … | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MemoryError:
        if options.debug:
            raise
        _say("error: not enough memory; crop the scan, or use a machine with more")
        return 2
    except Exception as error:
        if options.debug:
            raise
        told = " ".join(str(error).split()) or "no message"
        _say(f"error: unexpected {type(error).__name__} ({told}); add --debug for the whole story")
        return 1


def _parser() -> argparse.ArgumentParser:
    plain = argparse.RawDescriptionHelpFormatter
    parser = _Parser(prog="braggfill", description=TOP, formatter_class=plain, usage="braggfill COMMAND …")
    parser.add_argument("--version", action=_Version, help="print the version and exit")
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, prog="braggfill", help=argparse.SUPPRESS
    )

    both = argparse.ArgumentParser(add_help=False)
    both.add_argument("scan", metavar="SCAN", help="the scan, see below")
    both.add_argument("--mask", metavar="MASK", help="what is missing, see below")
    both.add_argument("--invert-mask", action="store_true", help="the mask file is zero where a voxel is missing")
    both.add_argument("--debug", action="store_true", help="show the traceback of an unexpected error")

    common: dict[str, Any] = {"parents": [both], "formatter_class": plain}
    filling = "Fill the missing voxels of a scan. Measured voxels come back exactly as they went in."
    inpaint = commands.add_parser("inpaint", epilog=INPAINT, description=filling, **common)
    inpaint.add_argument("-o", "--out", metavar="OUT", required=True, help="the file to write, see below")
    inpaint.add_argument(
        "--method", choices=METHODS, default="braggfill", help="the network (braggfill, default) or an interpolation"
    )
    inpaint.add_argument("--network", metavar="FILE", help="the trained network, a .safetensors file, see below")
    inpaint.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:1 …")
    inpaint.add_argument("--preview", metavar="PNG", help="also draw the slices through the peak, before and after")
    inpaint.add_argument("--force", action="store_true", help="overwrite OUT if it exists")
    inpaint.add_argument("--quiet", action="store_true", help="no progress bar, no remarks; errors only")
    inpaint.set_defaults(run=_inpaint)

    info = commands.add_parser("info", epilog=INFO, description="Print what a scan and its mask hold.", **common)
    info.set_defaults(run=_info)
    sharing.add(commands, plain, say=_say)
    return parser


def _inpaint(options: argparse.Namespace) -> int:
    from braggfill import scans

    say = _nothing if options.quiet else _say
    inputs = tuple(filter(None, (options.scan, options.mask, options.network)))
    scans.check_output(options.out, force=options.force, inputs=inputs)
    if options.preview:
        from braggfill import preview

        preview.check(options.preview, force=options.force)
        if Path(options.preview).absolute() == Path(options.out).absolute():
            raise BraggfillError(f"{options.preview}: is the output, too; give the preview another name")
    network = _network(options, say) if options.method == "braggfill" else None
    scan = scans.load(options.scan)
    mask = _mask(options, scan)
    if mask is None:
        raise BraggfillError(f"{scan.where}: its file holds no mask; name one with --mask")
    say(f"scan {scan.where}, {_size(scan)}; mask {mask.where}, {mask.array.mean():.2%} missing")
    scans.check(scan.array, mask.array, scan.where, mask.where)
    if mask.array.mean() > 0.5:
        say("warning: more than half is missing; is the mask inverted? (--invert-mask)")

    # The network's room is loaded only now: everything above is told without waiting for it.
    from braggfill import inpaint

    start = time.perf_counter()
    filled = inpaint.fill_scan(
        scan.array,
        mask.array,
        method=options.method,
        network=network,
        device=options.device,
        progress=not options.quiet,
    )
    seconds = time.perf_counter() - start
    provenance = {
        "scan": _name(scan.where),
        "mask": _name(mask.where),
        "mask_inverted": options.invert_mask,
        "method": options.method,
        **({} if network is None else {"network": network.name, "network_sha256": _sha256(network)}),
        "filled_voxels": int(mask.array.sum()),
        "seconds": round(seconds, 2),
    }
    scans.write(
        options.out,
        filled.data,
        filled.mask,
        filled.sigma,
        provenance=provenance,
        force=options.force,
        like=options.scan,
    )
    options.written = True
    if options.preview:
        preview.save(options.preview, scan.array, filled.data, filled.mask, filled.sigma)
    say(f"filled {provenance['filled_voxels']} voxels in {seconds:.1f} s: {options.out}")
    return 0


def _info(options: argparse.Namespace) -> int:
    from braggfill import scans
    from braggfill.describe import describe

    scan = scans.load(options.scan)
    mask = _mask(options, scan)
    lines = [("scan", scan.where)]
    if mask is not None:
        lines.append(("mask", mask.where))
    for what, value in [*lines, *describe(scan.array, None if mask is None else mask.array)]:
        print(f"{what:<9} {value}")
    return 0


def _mask(options: argparse.Namespace, scan: Loaded) -> Loaded | None:
    from braggfill import scans

    if options.mask:
        return scans.load_mask(options.mask, scan.array.shape, invert=options.invert_mask)
    own = scans.own_mask(options.scan, scan.array.shape)
    return own if own is None or not options.invert_mask else own._replace(array=~own.array)


def _network(options: argparse.Namespace, say: Any) -> Path:
    """The network to use: named, in the environment, shipped, or trained here; says which it took."""
    if options.network:
        return _existing(options.network, "--network")
    if os.environ.get(NETWORK):
        network = _existing(os.environ[NETWORK], NETWORK)
        say(f"network {network} (from {NETWORK})")
        return network
    shipped = Path(__file__).parent / "weights" / "braggfill.safetensors"
    if shipped.is_file():
        return shipped
    results = Path("results")
    trained = [*results.glob("*/train/model.safetensors"), *results.glob("*/train/*/model.safetensors")]
    if trained:
        network = max(trained, key=lambda file: file.stat().st_mtime)
        say(f"network {network} (the newest under ./results)")
        return network
    raise BraggfillError(
        "no network: none came with braggfill and none was trained under ./results; "
        "train one with 'make run', name one with --network, or use --method linear"
    )


def _existing(name: str, given_by: str) -> Path:
    path = Path(name).expanduser()
    if not path.is_file():
        raise BraggfillError(f"{path}: no such network file (given by {given_by}); check the path")
    return path


def _sha256(path: Path) -> str:
    import hashlib

    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _name(where: str) -> str:
    """Where an array came from, without the folder: results are shared, and folders are nobody's business."""
    path, separator, inside = where.partition("::")
    return f"{Path(path).name}{separator}{inside}"


def _size(scan: Loaded) -> str:
    return f"{' × '.join(map(str, scan.array.shape))} {scan.array.dtype}"


def _say(line: str) -> None:
    print(f"braggfill: {line}", file=sys.stderr, flush=True)


def _nothing(line: str) -> None:
    pass


def _end_on_terminate() -> None:
    """Let SIGTERM, which a batch system sends, clean up as Ctrl-C does."""

    def stop(*_: Any) -> NoReturn:
        raise KeyboardInterrupt

    try:
        signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not in the main thread
        return


def program() -> NoReturn:
    """Run the command line and end the process with its exit status."""
    status = main()
    if status == INTERRUPTED:
        # An interrupt that came while an extension module was loading makes Python end by the signal, although it
        # was caught and everything is cleaned up: leave by the status.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


if __name__ == "__main__":
    program()
