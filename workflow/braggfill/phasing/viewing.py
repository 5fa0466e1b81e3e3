"""What of a phased pattern is looked at in the browser: slices of the object, and its surface."""

from __future__ import annotations

import numpy as np

from braggfill.phasing import summary
from braggfill.phasing.realspace import RealSpace
from braggfill.phasing.result import Phased
from braggfill.physics import support
from braggfill.viewing.surface import Colour, Surface
from braggfill.viewing.volumes import Layer, Stack

MARGIN = 4
"""Voxels around the object that are shown."""
DETECTOR = ("rocking", "vertical", "horizontal")
LABORATORY = ("z", "y", "x")


def views(found: Phased, real: RealSpace | None = None) -> tuple[list[Stack], list[Surface]]:
    """Slices of modulus, phase, its spread and, with a geometry, strain and displacement; the surface coloured by them.

    With a geometry both are in the laboratory's frame, in nanometres.  Nothing where there is no object.
    """
    obj, inside = (found.obj, found.support) if real is None else (real.obj, real.support)
    if not inside.any():
        return [], []
    box = support.bounding_box(inside)
    cut = tuple(slice(max(b.start - MARGIN, 0), b.stop + MARGIN) for b in box)
    start = tuple(c.start for c in cut)
    bright = summary.core(obj, inside)

    def shown(values: np.ndarray) -> np.ndarray:
        return np.where(bright, values, np.nan)[cut]

    layers = [Layer("modulus", np.abs(obj)[cut], top=float(np.percentile(np.abs(obj)[inside], 99.5)))]
    layers.append(Layer("phase", shown(np.angle(obj)), "rad", "cyclic"))
    colours = [Colour("phase", shown(np.angle(obj)), "rad", cyclic=True)]
    if real is not None:
        layers.insert(0, Layer("strain along Q", shown(real.strain * 1e4), "10⁻⁴", "signed"))
        layers.append(Layer("displacement along Q", shown(real.displacement_pm), "pm", "signed"))
        colours.insert(0, Colour("strain along Q", shown(real.strain), "10⁻⁴", factor=1e4))
        colours.append(Colour("displacement along Q", shown(real.displacement_pm), "pm"))
    if len(found.chosen) > 1:
        spread = found.phase_std if real is None else real.phase_std
        layers.append(Layer("phase spread between runs", shown(spread), "rad", top=1.0))
    axes, unit, step = (DETECTOR, "voxels", 1.0) if real is None else (LABORATORY, "nm", real.voxel_nm)
    origin = tuple(float(n // 2 - s) for n, s in zip(inside.shape, start, strict=True))
    middle = tuple((b.start + b.stop) // 2 - s for b, s in zip(box, start, strict=True))
    stack = Stack("Slices of the object", layers, axes, unit, (step,) * 3, origin, start=middle)  # type: ignore[arg-type]
    surface = Surface("The object", inside[cut], tuple(colours), axes, unit, (step,) * 3)
    return [stack], [surface]
