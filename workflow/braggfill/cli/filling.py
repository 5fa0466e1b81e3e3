"""``braggfill inpaint``."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from braggfill.cli import batch, networks, talk
from braggfill.cli.texts import INPAINT
from braggfill.errors import BraggfillError

if TYPE_CHECKING:
    import numpy as np
    from torch.nn import Module

    from braggfill.filling import Filled
    from braggfill.filling.finite import Finite

METHODS = ("braggfill", "paper", "linear", "cubic", "nearest", "idw", "biharmonic")
WITH_NETWORK = ("braggfill", "paper")


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
        choices=METHODS,
        default="braggfill",
        metavar="METHOD",
        help=f"a network (braggfill, the default, or paper) or an interpolation ({', '.join(METHODS[2:])})",
    )
    add("--network", metavar="FILE", help="the trained network, a .safetensors file, see below")
    add("--skip", type=int, default=4, metavar="N", help="voxels that --method paper jumps between patches (default 4)")
    add("--device", default="auto", help="auto (default), cpu, cuda, cuda:1 …")
    add("--preview", metavar="PNG", help="also draw the slices through the peak, before and after")
    add(
        "--free",
        choices=("none", "unsure", "filled"),
        help="what the mask for phase retrieval leaves free: nothing (default of the interpolations), what the filling "
        "is unsure of (default of a network that states its uncertainty), or all that was filled",
    )
    add(
        "--value",
        choices=("expectation", "amplitude"),
        help="what filled voxels hold: the expected photons (default of .npz and .npy), or the square of the expected "
        "amplitude of counts, which is what phase retrieval compares with (default of .cxi and .h5)",
    )
    add("--most-missing", action="store_true", help="fill although more than half is missing, without asking")
    add(
        "--finite",
        action="store_true",
        help="correct the filling to that of a finite crystal, if that predicts measured voxels better; takes longer",
    )
    add("--noise", action="store_true", help="draw counts from what was filled: for looks only, and marked in OUT")
    add("--seed", type=int, default=0, metavar="N", help="of random numbers (--noise, --finetune); default 0")
    learn = parser.add_argument_group("fine-tuning, on the scan itself")
    learn.add_argument(
        "--finetune",
        nargs="?",
        const=3,
        type=int,
        metavar="EPOCHS",
        help="train the network on the scan for EPOCHS (default 3) before filling; kept only if it helps",
    )
    learn.add_argument("--patches", type=int, metavar="N", help="patches of the scan to train on (default 6400)")
    learn.add_argument(
        "--save-network", metavar="FILE", help="keep the fine-tuned network for the particle's other scans"
    )
    parser.set_defaults(run=lambda options: batch.run(options, run))


def run(options: argparse.Namespace) -> int:
    """Fill the scan; returns the exit status."""
    import numpy as np

    from braggfill import scans
    from braggfill.cli.preparing import prepare

    say, detail = talk.remarks(options)
    _check(options)
    uses_network = options.method in WITH_NETWORK
    file = networks.choose(options.network, options.method, say) if uses_network else None
    written = (options.out, options.preview, options.save_network)
    ready = prepare(options, say, outputs=written)
    scan, missing, mask = ready.scan, ready.missing, ready.mask
    if missing is None:
        raise BraggfillError(
            f"{scan.where}: nothing says what is missing: no mask lies beside the scan in its file or at a detector of "
            "its entry, and every voxel may be a count; name a mask with --mask, or the detector with --detector"
        )
    if mask.mean() > 0.5 and not options.most_missing:
        share = f"{mask.mean():.0%} of the scan is missing"
        if not talk.agreed(f"{share}: is the mask inverted? Fill it all the same?"):
            raise BraggfillError(
                f"{missing.where}: {share}; is the mask inverted? (--invert-mask); --most-missing fills it all the same"
            )

    # The network is loaded only now: everything above is told without waiting for it.
    from braggfill import filling

    network: Path | Module | None = None if file is None else networks.once(file)
    told: dict[str, Any] = {} if file is None else networks.provenance(file)
    for name in ("network", "network_sha256") if told else ():
        detail(f"{name} {told[name]}")
    if file is not None and options.finetune is not None:
        network, report = _finetune(options, file, ready.photons, mask, say)
        told["finetuned"] = report
    start = time.perf_counter()
    filled = filling.inpaint(
        ready.photons,
        mask,
        method=options.method,
        network=network,
        device=options.device,
        skip=options.skip,
        progress=talk.shows_progress(options),
        most_missing=True,
        finite=options.finite,
    )
    if filled.finite is not None:
        say(_told(filled.finite))
        told["finite"] = asdict(filled.finite, dict_factory=_plain)
    seconds = time.perf_counter() - start
    detail(f"filled {int(mask.sum())} voxels in {seconds:.2f} s on {options.device}")
    hdf5 = Path(options.out).suffix.lower() in scans.HDF5
    uncertain = bool(np.isfinite(filled.sigma[filled.mask]).any())
    value = options.value or ("amplitude" if hdf5 and uncertain else "expectation")
    if value == "amplitude" and not uncertain:
        say(f"warning: --method {options.method} states no uncertainty; filled voxels hold the expected photons")
        value = "expectation"
    data = filled.for_phasing() if value == "amplitude" and not options.noise else filled.data
    chosen = options.free or ("unsure" if uncertain else "none")
    free = _free(chosen, filled, say)
    if options.noise:
        data = _noisy(filled.data, filled.mask, options.seed)
        say("noise: the filled voxels are random counts drawn from what was predicted; for looks only")
    provenance = {
        "scan": talk.name(scan.where),
        "mask": "; ".join(talk.name(part) for part in missing.where.split("; ")),
        "mask_inverted": options.invert_mask,
        "method": options.method,
        **told,
        "noise": options.noise,
        "value": "counts" if options.noise else value,
        **({"seed": options.seed} if options.noise or options.finetune is not None else {}),
        **({"skip": options.skip} if options.method == "paper" else {}),
        "free": chosen,
        "free_voxels": int(np.count_nonzero(free)) if free is not None else 0,
        "filled_voxels": int(mask.sum()),
        **ready.provenance(),
        "seconds": round(seconds, 2),
    }
    scans.write(
        options.out,
        ready.restored(data),
        filled.mask,
        ready.in_units(filled.sigma),
        free=free,
        expectation=ready.in_units(np.where(filled.mask, filled.data, np.nan).astype(np.float32)) if hdf5 else None,
        provenance=provenance,
        force=options.force,
        like=options.scan,
        experiment=scan.experiment,
    )
    options.written = True
    if options.preview:
        from braggfill.cli import preview

        preview.save(options.preview, ready.photons, data if options.noise else filled.data, filled.mask, filled.sigma)
        detail(f"preview {options.preview}")
    say(f"filled {provenance['filled_voxels']} voxels in {seconds:.1f} s: {options.out}")
    return 0


def _check(options: argparse.Namespace) -> None:
    """What can be told before anything is read."""
    from braggfill import scans

    inputs = tuple(filter(None, (options.scan, options.mask, options.network)))
    scans.check_output(options.out, force=options.force, inputs=inputs)
    if options.preview:
        from braggfill.cli import preview

        preview.check(options.preview, force=options.force)
    if options.skip < 0:
        raise BraggfillError(f"--skip {options.skip}: give 0 (every voxel) or more")
    if options.noise and options.value:
        raise BraggfillError(f"--value {options.value}: with --noise filled voxels hold random counts; leave one out")
    if options.seed < 0:
        raise BraggfillError(f"--seed {options.seed}: give a whole number that is not negative")
    if options.finetune is None:
        for name in ("patches", "save_network"):
            if getattr(options, name) is not None:
                option = name.replace("_", "-")
                raise BraggfillError(f"--{option}: goes with --finetune only; add it, or leave this out")
    elif options.method not in WITH_NETWORK:
        raise BraggfillError(f"--finetune: --method {options.method} has no network to train; leave one of them out")
    if options.save_network:
        if Path(options.save_network).suffix != ".safetensors":
            raise BraggfillError(f"{options.save_network}: a network is a .safetensors file; give it that suffix")
        scans.check_place(options.save_network, force=options.force)
    written = [Path(p).absolute() for p in (options.out, options.preview, options.save_network) if p]
    if len(set(written)) < len(written):
        raise BraggfillError(f"{written[-1].name}: two outputs have this name; give each its own")


def _finetune(
    options: argparse.Namespace, file: Path, intensity: np.ndarray, mask: np.ndarray, say: Any
) -> tuple[Module, dict[str, Any]]:
    """The network, fine-tuned if that helps, and what was found."""
    from braggfill import networks
    from braggfill.filling import finetune

    network, report = finetune.finetune(
        finetune.load(file, options.device),
        intensity,
        mask,
        epochs=options.finetune,
        patches=options.patches or finetune.PATCHES,
        seed=options.seed,
        progress=talk.shows_progress(options),
    )
    fewer = "" if report.patches == report.wanted else f" (the scan has no more; {report.wanted} were asked for)"
    say(f"fine-tuned on {report.patches} patches{fewer}, {report.epochs} epochs, in {report.seconds:.0f} s")
    say(
        f"PCC over artificial gaps in {report.held} patches set apart: linear {report.linear:.4f}, network "
        f"{report.before:.4f}, fine-tuned {report.after:.4f} (gain {report.after - report.before:+.4f}, 95 % interval "
        f"{report.gain_low:+.4f} to {report.gain_high:+.4f}): "
        f"{'kept' if report.kept else 'no sure help, the network stays as it was'}"
    )
    if options.save_network and report.kept:
        card = {k: v for k, v in network.card.items() if k not in ("format", "network", "options")}
        networks.save(options.save_network, network, {**card, "finetuned_from": file.name})
        say(f"fine-tuned network: {options.save_network}")
    elif options.save_network:
        say(f"warning: {options.save_network} is not written, because fine-tuning did not help")
    return network, report.asdict()


def _free(wanted: str, filled: Filled, say: Any) -> np.ndarray | None:
    """What phase retrieval shall find itself; None for nothing."""
    from braggfill.filling import advice

    if wanted == "unsure":
        say(advice.summary(filled.data, filled.sigma, filled.mask))
        return advice.unsure(filled.data, filled.sigma, filled.mask)
    return filled.mask if wanted == "filled" else None


def _told(found: Finite) -> str:
    """What holding the filling to a finite crystal came to."""
    import math

    errors = f"error of the amplitude of hidden voxels {found.error_before:.3f} interpolated"
    if math.isnan(found.support):
        rest = "" if math.isnan(found.error_after) else f" ({errors}, {found.error_after:.3f} corrected)"
        return f"finite crystal: no sure help, the filling stays as it was{rest}"
    return (
        f"finite crystal: corrected; the autocorrelation ends within {found.support:.1%} of the array "
        f"({errors}, {found.error_after:.3f} corrected)"
    )


def _plain(items: list[tuple[str, Any]]) -> dict[str, Any]:
    """What a file's provenance can hold: numbers, and no arrays."""
    import math

    return {k: None if math.isnan(v) else round(v, 6) for k, v in items if k != "values"}


def _noisy(data: np.ndarray, mask: np.ndarray, seed: int) -> np.ndarray:
    """Filled voxels as Poisson counts of the expectation that was predicted."""
    import numpy as np

    from braggfill.runs import seeds

    noisy = data.copy()
    noisy[mask] = seeds.generator(seed, "inpaint/noise").poisson(np.minimum(data[mask], 1e15))
    return noisy
