"""``braggfill inpaint``."""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from braggfill.cli import batch, networks, talk
from braggfill.cli.options import Finetune, Options
from braggfill.cli.texts import INPAINT
from braggfill.errors import BraggfillError
from braggfill.filling import methods

if TYPE_CHECKING:
    import numpy as np
    from torch.nn import Module

    from braggfill.cli.preparing import Prepared
    from braggfill.filling import Filled
    from braggfill.filling.finite import Finite
    from braggfill.filling.trust import ForPhasing
    from braggfill.scans import Loaded, Missing


def add(commands: Any, parents: list[argparse.ArgumentParser], plain: Any) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser(
        "inpaint",
        epilog=INPAINT,
        description="Fill the missing voxels of a scan. Measured voxels come back exactly as they went in.",
        parents=parents,
        formatter_class=plain,
    )
    add = parser.add_argument
    add("-o", "--out", metavar="OUT", required=True, help="the file to write; for several scans a folder/, see below")
    add("--force", action="store_true", help="overwrite OUT if it exists")
    add(
        "--method",
        choices=methods.NAMES,
        default="braggfill",
        metavar="METHOD",
        help="the network that came with braggfill (braggfill, the default; finite: with --finite), one that you name "
        f"(network), a published one (paper), or an interpolation ({', '.join(methods.INTERPOLATIONS)})",
    )
    add("--network", metavar="FILE", help="the trained network, a .safetensors file, see below")
    add("--skip", type=int, default=4, metavar="N", help="voxels that --method paper jumps between patches (default 4)")
    add("--device", default="auto", help="auto (default), cpu, cuda, cuda:1 …")
    add("--preview", metavar="PNG", help="also draw the slices through the peak, before and after")
    add("--report", metavar="HTML", help="also write a report with slices to move through, for any browser")
    add(
        "--masked",
        metavar="none|uncertain|filled",
        help="filled voxels that are masked in phase retrieval: none (default of the interpolations), the uncertain "
        "ones (default of a network that states its uncertainty), or all that was filled",
    )
    add(
        "--value",
        metavar="expectation|amplitude",
        help="what filled voxels hold: the expected photons (default of .npz and .npy), or the square of the expected "
        "amplitude of counts, which is what phase retrieval compares with (default of .cxi and .h5)",
    )
    add("--most-missing", action="store_true", help="fill although more than half is missing, without asking")
    add(
        "--finite",
        action="store_true",
        help="correct the filling to that of a finite crystal, if that predicts measured voxels better; takes longer",
    )
    add(
        "--noise",
        action="store_true",
        help="draw random counts for the filled voxels: for display only, and marked in OUT",
    )
    add("--seed", type=int, default=0, metavar="N", help="of random numbers (--noise, --finetune); default 0")
    learn = parser.add_argument_group("fine-tuning, on the scan itself")
    learn.add_argument(
        "--finetune",
        nargs="?",
        const=3,
        type=int,
        metavar="EPOCHS",
        help="train the network on the scan for EPOCHS (default 3) before filling; kept only if it helps. Of several "
        "scans on each by itself; for one network for all fine-tune on one with --save-network, then use --network",
    )
    learn.add_argument("--patches", type=int, metavar="N", help="patches of the scan to train on (default 6400)")
    learn.add_argument(
        "--save-network", metavar="FILE", help="keep the fine-tuned network for the particle's other scans"
    )
    parser.set_defaults(run=lambda options: batch.run(options, run))


def run(arguments: argparse.Namespace) -> int:
    """Fill the scan; returns the exit status."""
    from braggfill.cli.preparing import prepare

    say, detail = talk.remarks(arguments)
    options = Options.of(arguments)
    file = networks.choose(options.fill.network, options.fill.method, say)
    ready = prepare(
        arguments, say, outputs=(arguments.out, arguments.preview, arguments.report, arguments.save_network)
    )
    scan, missing = ready.scan, ready.missing
    if missing is None:
        raise BraggfillError(
            f"{scan.where}: nothing says what is missing: no mask lies beside the scan in its file or at a detector of "
            "its entry, and every voxel may be a count; name a mask with --mask, or the detector with --detector"
        )
    confirm(options, missing, ready.mask)
    network, told = _network(options, file, ready.photons, ready.mask, say, detail)
    start = time.perf_counter()
    filled = _fill(options, network, ready.photons, ready.mask, say, told)
    seconds = time.perf_counter() - start
    detail(f"filled {filled.mask.sum()} voxels in {seconds:.2f} s on {options.fill.device}")
    given, data, value = _values(options, filled, say)
    made = {**_provenance(options, scan, missing, filled, given, value), **ready.provenance()}
    _write(options, ready, filled, given, data, {**made, **told, "seconds": round(seconds, 2)})
    arguments.written = True
    if options.output.preview:
        from braggfill.cli import preview

        shown = data if options.output.noise else filled.data
        preview.save(options.output.preview, ready.photons, shown, filled.mask, filled.sigma)
        detail(f"preview {options.output.preview}")
    if options.output.report:
        from braggfill.filling import report

        report.write(options.output.report, filled, title=talk.name(scan.where), provenance={**made, **told})
        detail(f"report {options.output.report}")
    say(f"filled {filled.mask.sum()} voxels in {seconds:.1f} s: {options.output.path}")
    return 0


def confirm(options: Any, missing: Missing, mask: np.ndarray) -> None:
    """Ask before most of a scan is filled: the mask may be inverted."""
    share = mask.mean()
    if share <= 0.5 or options.most_missing:
        return
    told = f"{share:.0%} of the scan is missing"
    if not talk.agreed(f"{told}: is the mask inverted? Fill it all the same?"):
        raise BraggfillError(
            f"{missing.where}: {told}; is the mask inverted? (--invert-mask); --most-missing fills it all the same"
        )


def _network(
    options: Options, file: Path | None, intensity: np.ndarray, mask: np.ndarray, say: talk.Say, detail: talk.Say
) -> tuple[Path | Module | None, dict[str, Any]]:
    """The network, fine-tuned if that is asked for, and what is told of it.  It is loaded only after the scan was
    checked: everything before is told without waiting for it."""
    if file is None:
        return None, {}
    told = networks.provenance(file)
    for name in ("network", "network_sha256"):
        detail(f"{name} {told[name]}")
    if options.finetune is None:
        return networks.once(file), told
    network, report = _finetune(options, options.finetune, file, intensity, mask, say)
    return network, told | {"finetuned": report}


def _fill(
    options: Options,
    network: Path | Module | None,
    intensity: np.ndarray,
    mask: np.ndarray,
    say: talk.Say,
    told: dict[str, Any],
) -> Filled:
    """The filling; what a correction to a finite crystal came to is said, and told."""
    from braggfill import filling

    chosen = options.fill
    filled = filling.inpaint(
        intensity,
        mask,
        method=chosen.method,
        network=network,
        device=chosen.device,
        skip=chosen.skip,
        progress=options.progress,
        most_missing=True,
        finite=chosen.finite,
    )
    if filled.finite is not None:
        say(_told(filled.finite))
        told["finite"] = asdict(filled.finite, dict_factory=_plain)
    return filled


def _values(options: Options, filled: Filled, say: talk.Say) -> tuple[ForPhasing, np.ndarray, str]:
    """What phase retrieval is given, what the file's voxels hold, and its name."""
    from braggfill.filling import trust

    wanted = options.output
    given = filled.phasing(value=wanted.value or (None if wanted.hdf5 else "expectation"), masked=wanted.masked)
    if wanted.value not in (None, given.value):
        say(f"warning: --method {options.fill.method} states no uncertainty; filled voxels hold the expected photons")
    if given.rule == "uncertain":
        say(trust.summary(filled.data, filled.sigma, filled.mask))
    if not wanted.noise:
        return given, given.data, given.value
    say("noise: the filled voxels are random counts drawn from the prediction; for display only")
    return given, _noisy(filled.data, filled.mask, options.seed), "counts"


def _provenance(
    options: Options, scan: Loaded, missing: Missing, filled: Filled, given: ForPhasing, value: str
) -> dict[str, Any]:
    """What the output tells of how it was made."""
    seeded = options.output.noise or options.finetune is not None
    return {
        "scan": talk.name(scan.where),
        "mask": "; ".join(talk.name(part) for part in missing.where.split("; ")),
        "mask_inverted": options.mask_inverted,
        "method": options.fill.method,
        "noise": options.output.noise,
        "value": value,
        **({"seed": options.seed} if seeded else {}),
        **({"skip": options.fill.skip} if options.fill.method == "paper" else {}),
        "masked": given.rule,
        "masked_voxels": int(given.masked.sum()),
        "filled_voxels": int(filled.mask.sum()),
    }


def _write(
    options: Options, ready: Prepared, filled: Filled, given: ForPhasing, data: np.ndarray, told: dict[str, Any]
) -> None:
    import numpy as np

    from braggfill import scans

    output = options.output
    expectation = np.where(filled.mask, filled.data, np.nan).astype(np.float32)
    scans.write(
        output.path,
        ready.restored(data),
        filled.mask,
        ready.in_units(filled.sigma),
        free=given.masked,
        expectation=ready.in_units(expectation) if output.hdf5 else None,
        provenance=told,
        force=output.force,
        like=options.scan,
        experiment=ready.scan.experiment,
    )


def _finetune(
    options: Options, chosen: Finetune, file: Path, intensity: np.ndarray, mask: np.ndarray, say: talk.Say
) -> tuple[Module, dict[str, Any]]:
    """The network, fine-tuned if that helps, and what was found."""
    from braggfill import networks
    from braggfill.filling import finetune
    from braggfill.runs import device

    network, report = finetune.finetune(
        networks.load(file, device.choose(options.fill.device, "--device")),
        intensity,
        mask,
        epochs=chosen.epochs,
        patches=chosen.patches or finetune.PATCHES,
        seed=options.seed,
        progress=options.progress,
    )
    fewer = "" if report.patches == report.wanted else f" (the scan has no more; {report.wanted} were asked for)"
    say(f"fine-tuned on {report.patches} patches{fewer}, {report.epochs} epochs, in {report.seconds:.0f} s")
    say(
        f"PCC over artificial gaps in {report.held} patches set apart: linear {report.linear:.4f}, network "
        f"{report.before:.4f}, fine-tuned {report.after:.4f} (gain {report.after - report.before:+.4f}, 95 % interval "
        f"{report.gain_low:+.4f} to {report.gain_high:+.4f}): "
        f"{'kept' if report.kept else 'no significant improvement; network unchanged'}"
    )
    if chosen.save and report.kept:
        card = {k: v for k, v in network.card.items() if k not in ("format", "network", "options")}
        networks.save(chosen.save, network, {**card, "finetuned_from": file.name})
        say(f"fine-tuned network: {chosen.save}")
    elif chosen.save:
        say(f"warning: {chosen.save} is not written, because fine-tuning did not help")
    return network, report.asdict()


def _told(found: Finite) -> str:
    """What holding the filling to a finite crystal came to."""
    errors = f"error of the amplitude of hidden voxels {found.error_before:.3f} interpolated"
    if not found.accepted:
        rest = "" if math.isnan(found.error_after) else f" ({errors}, {found.error_after:.3f} corrected)"
        return f"finite crystal: no significant improvement; filling unchanged{rest}"
    return (
        f"finite crystal: corrected; the autocorrelation ends within {found.support:.1%} of the array "
        f"({errors}, {found.error_after:.3f} corrected)"
    )


def _plain(items: list[tuple[str, Any]]) -> dict[str, Any]:
    """What a file's provenance can hold: numbers, and no arrays."""
    return {k: None if math.isnan(v) else round(v, 6) for k, v in items if k != "values"}


def _noisy(data: np.ndarray, mask: np.ndarray, seed: int) -> np.ndarray:
    """Filled voxels as Poisson counts of the expectation that was predicted."""
    import numpy as np

    from braggfill.runs import seeds

    noisy = data.copy()
    noisy[mask] = seeds.generator(seed, "inpaint/noise").poisson(np.minimum(data[mask], 1e15))
    return noisy
