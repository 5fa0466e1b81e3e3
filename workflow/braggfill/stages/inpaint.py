"""Put artificial gaps into a measured scan and fill them by every method."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from braggfill.errors import BraggfillError
from braggfill.filling import inpaint, methods
from braggfill.patterns import gaps
from braggfill.runs import storage
from braggfill.settings.inpaint import InpaintSettings


def fill_cases(
    settings: InpaintSettings, seed: int, scan: Path, masks: Path | None, model: Path, out: Path, code: str = ""
) -> None:
    """Put artificial gaps and a real detector's mask on a measured scan, and fill them by every method.

    The scan is cut to a cube around its brightest voxel; the gaps lie ``offset_px`` from it (paper, Figs 3 and 4).

    ``out`` has the attributes ``crop_origin``, ``crop_shape`` and ``peak`` (voxels of the whole scan), and a group a
    case (``plane-03`` … ``cross-12``, ``detector-maxipix``) with the attributes ``kind`` and ``width_px``, and

    - ``mask``: boolean, the cube's shape, True where missing;
    - ``truth``: (n,) the counts in the gap, in the order of ``cube[mask]``;
    - ``filled/<method>``: (n,) float32 photons, with the attribute ``seconds``;
    - ``sigma/<method>``: (n,) float32 photons, for a method that has an uncertainty;
    - ``central/axis0``, ``axis1``, ``axis2``: the counts of the cube's slices through the peak.

    A scan that was left out leaves this step out; masks that were left out leave the detector's case out, told in the
    attribute ``without_detector``.

    Raises
    ------
    BraggfillError : a file is missing or damaged; a gap does not fit into the cube.
    """
    reason = storage.left_out(scan)
    with storage.create(out, settings=settings, seed=seed, code=code, left_out=reason) as target:
        if reason is not None:
            return
        with storage.read(scan) as source:
            counts = storage.array(source, "data")
        peak = np.array(np.unravel_index(int(counts.argmax()), counts.shape))
        shape = np.minimum(settings.crop_px, counts.shape)
        origin = np.clip(peak - shape // 2, 0, np.array(counts.shape) - shape)
        counts = counts[tuple(slice(o, o + n) for o, n in zip(origin, shape, strict=True))]
        target.attrs.update(crop_origin=origin, crop_shape=shape, peak=peak)
        centre = tuple(int(p) for p in peak - origin)
        ready = _prepare(settings, model)
        for name, kind, width, mask in _cases(settings, counts.shape, centre, masks, target):
            _fill_case(target.create_group(name), settings, ready, counts, mask, centre, kind, width)


def _prepare(settings: InpaintSettings, model: Path) -> dict[str, Any]:
    """The methods, and for those with a network the network, loaded once for all the cases."""
    names = methods.available(settings.methods)
    if set(names) & set(methods.WITH_NETWORK):
        import torch

        torch.set_num_threads(settings.threads)
    return {name: methods.network(name, model if name == "network" else None) for name in names}


def _cases(
    settings: InpaintSettings, shape: tuple[int, ...], centre: tuple[int, ...], masks: Path | None, target: h5py.File
) -> Iterator[tuple[str, str, int, np.ndarray]]:
    """Name, kind, width and mask of each case."""
    for kind in settings.kinds:
        for width in settings.gap_widths_px:
            starts = [centre[a] + settings.offset_px[a - 1] - width // 2 for a in (1, 2)]
            try:
                if kind == "plane":
                    mask = gaps.plane(shape, width, axis=2, start=starts[1])
                else:
                    mask = gaps.cross(shape, width, starts)
            except BraggfillError as error:
                raise BraggfillError(f"inpaint.offset_px: the {kind} gap of {width} does not fit: {error}") from None
            yield f"{kind}-{width:02d}", kind, width, mask
    if not settings.detector:
        return
    reason = "no masks file" if masks is None else storage.left_out(masks)
    if masks is None or reason is not None:
        target.attrs["without_detector"] = reason
        return
    with storage.read(masks) as source:
        if settings.detector not in source:
            raise BraggfillError(
                f"inpaint.detector: {settings.detector!r} is not in {masks}; use one of {', '.join(sorted(source))}"
            )
        detector = storage.array(source, settings.detector).astype(bool)
    row, column = gaps.detector_centre(detector)
    corner = (
        round(row - centre[1] - settings.detector_offset_px[0]),
        round(column - centre[2] - settings.detector_offset_px[1]),
    )
    mask = gaps.place_detector(detector, shape, corner)
    yield f"detector-{settings.detector}", "detector", int(detector.all(axis=0).sum()), mask


def _fill_case(
    group: h5py.Group,
    settings: InpaintSettings,
    ready: dict[str, Any],
    counts: np.ndarray,
    mask: np.ndarray,
    centre: tuple[int, ...],
    kind: str,
    width: int,
) -> None:
    group.attrs.update(kind=kind, width_px=width)
    group.create_dataset("mask", data=mask, chunks=True, compression="gzip", compression_opts=1)
    group["truth"] = counts[mask]
    for axis in range(3):
        group[f"central/axis{axis}"] = counts.take(centre[axis], axis)
    for method, network in ready.items():
        started = time.perf_counter()
        filled = inpaint(
            counts,
            mask,
            method=method,
            network=network,
            step=settings.step_px,
            batch=settings.batch_size,
            most_missing=True,
        )
        seconds = time.perf_counter() - started
        group[f"filled/{method}"] = filled.data[mask].astype(np.float32)
        group[f"filled/{method}"].attrs.update(seconds=seconds, corrected=filled.corrected)
        sigma = filled.sigma[mask]
        if np.isfinite(sigma).any():
            group[f"sigma/{method}"] = sigma
