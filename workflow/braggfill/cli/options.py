"""What ``braggfill inpaint`` is asked for: its arguments sorted by what they are about, and checked before any file is
read."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from braggfill.cli import talk
from braggfill.errors import BraggfillError
from braggfill.filling import methods
from braggfill.runs import device as devices


@dataclass(frozen=True)
class Fill:
    """How the gap is filled, see :func:`braggfill.filling.inpaint`."""

    method: str
    network: str | None
    """The network's file, if it is named."""
    device: str
    skip: int
    finite: bool


@dataclass(frozen=True)
class Finetune:
    """How the network is trained on the scan before."""

    epochs: int
    patches: int | None
    save: str | None
    """File to keep the network in."""


@dataclass(frozen=True)
class Output:
    """What is written."""

    path: str
    force: bool
    value: str | None
    """What filled voxels hold, one of :data:`braggfill.filling.trust.VALUES`; None: what suits the file."""
    masked: str | None
    """What phase retrieval masks, one of :data:`braggfill.filling.trust.MASKED`; None: what suits the filling."""
    noise: bool
    """Whether filled voxels are random counts instead."""
    preview: str | None
    report: str | None

    @property
    def hdf5(self) -> bool:
        """Whether the file is one that phase retrieval opens as it is."""
        from braggfill import scans

        return Path(self.path).suffix.lower() in scans.HDF5


@dataclass(frozen=True)
class Options:
    """Everything that ``braggfill inpaint`` is asked for, but for what says which voxels are missing."""

    scan: str
    mask_inverted: bool
    most_missing: bool
    seed: int
    progress: bool
    fill: Fill
    finetune: Finetune | None
    output: Output

    @classmethod
    def of(cls, given: argparse.Namespace) -> Options:
        """The arguments of a command line.

        Raises
        ------
        BraggfillError : one is out of bounds, two exclude each other, or an output cannot be written where it should.
        """
        _check(given)
        return cls(
            scan=given.scan,
            mask_inverted=given.invert_mask,
            most_missing=given.most_missing,
            seed=given.seed,
            progress=talk.shows_progress(given),
            fill=Fill(given.method, given.network, given.device, given.skip, given.finite),
            finetune=None if given.finetune is None else Finetune(given.finetune, given.patches, given.save_network),
            output=Output(given.out, given.force, given.value, given.masked, given.noise, given.preview, given.report),
        )


def _check(given: argparse.Namespace) -> None:
    from braggfill import scans
    from braggfill.filling import trust

    inputs = tuple(filter(None, (given.scan, given.mask, given.network)))
    scans.check_output(given.out, force=given.force, inputs=inputs)
    if given.preview:
        from braggfill.cli import preview

        preview.check(given.preview, force=given.force)
    if given.report:
        from braggfill.cli import preview

        preview.check_report(given.report, force=given.force)
    devices.check(given.device, "--device")
    trust.check(given.value, given.masked, "--")
    if given.skip < 0:
        raise BraggfillError(f"--skip {given.skip}: give 0 (every voxel) or more")
    if given.noise and given.value:
        raise BraggfillError(f"--value {given.value}: with --noise filled voxels hold random counts; leave one out")
    if given.seed < 0:
        raise BraggfillError(f"--seed {given.seed}: give a whole number that is not negative")
    if given.finetune is None:
        for name in ("patches", "save_network"):
            if getattr(given, name) is not None:
                option = name.replace("_", "-")
                raise BraggfillError(f"--{option}: goes with --finetune only; add it, or leave this out")
    elif methods.get(given.method).network is None:
        raise BraggfillError(f"--finetune: --method {given.method} has no network to train; leave one of them out")
    if given.save_network:
        if Path(given.save_network).suffix != ".safetensors":
            raise BraggfillError(f"{given.save_network}: a network is a .safetensors file; give it that suffix")
        scans.check_place(given.save_network, force=given.force)
    written = [Path(p).absolute() for p in (given.out, given.preview, given.report, given.save_network) if p]
    if len(set(written)) < len(written):
        raise BraggfillError(f"{written[-1].name}: two outputs have this name; give each its own")
