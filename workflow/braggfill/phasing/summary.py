"""What a phased pattern comes to, in words and numbers: for the terminal, the report, notebooks."""

from __future__ import annotations

import math

import numpy as np

from braggfill.phasing.realspace import RealSpace
from braggfill.phasing.result import Phased
from braggfill.physics import support

APART = 0.5
"""Radians by which runs may scatter before a voxel counts as one where they disagree."""


FAINT = 0.15
"""Voxels below this share of the object's modulus (its 95th percentile) have next to no phase, and are left out of what
is said and drawn about phases."""


def core(obj: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The support without its faintest voxels; same shape, boolean."""
    if not inside.any():
        return inside
    modulus = np.abs(obj)
    return inside & (modulus > FAINT * np.percentile(modulus[inside], 95))


def disagreement(found: Phased) -> str:
    """Where the chosen runs disagree, in a sentence; empty where there is nothing to say."""
    if not found.support.any():
        return ""
    if len(found.chosen) < 2:
        return "there is no second run of the same object, so its spread is not known"
    bright = core(found.obj, found.support)
    bad = bright & (found.phase_std > APART)
    share = bad.sum() / bright.sum()
    if not bad.any():
        return f"runs scatter by less than {APART:g} rad everywhere in the object"
    place = ", ".join(f"{n:.0f}" for n in np.argwhere(bad).mean(axis=0))
    part = f"{share:.0%}" if share >= 0.01 else "less than 1%"
    return f"phases of the runs scatter by more than {APART:g} rad in {part} of the object, about voxel ({place})"


def facts(found: Phased, real: RealSpace | None = None) -> list[tuple[str, str]]:
    """(what, value) of a result, what is not known left out."""
    lines = [("free log-likelihood", f"{found.llk_free:.3g} (counting noise alone: {found.llk_expected:.2g})")]
    if len(found.chosen) > 1:
        lines.append(("agreement", f"correlation {found.agreement:.3f} between {len(found.chosen)} runs"))
    lines.append(("runs", f"{len(found.runs)}, {found.cycles} cycles, {found.seconds:.0f} s"))
    if found.support.any():
        bright = core(found.obj, found.support)
        voxels = " × ".join(map(str, support.extent(found.support)))
        factors = ", ".join(f"{f:.1f}" for f in support.oversampling(found.support))
        lines.append(
            ("object", f"{voxels} voxels of {' × '.join(map(str, found.support.shape))} (oversampling {factors})")
        )
    several = found.support.any() and len(found.chosen) > 1  # one run alone has no spread and no resolution
    if several:
        lines.append(("phase spread", f"{float(found.phase_std[bright].mean()):.2f} rad on average over the object"))
        if math.isfinite(found.resolution):
            lines.append(("resolution", f"{found.resolution:.1f} voxels (PRTF at 1/e)"))
    if several:
        lines.append(("first mode", f"{found.weights[0]:.1%} of the photons"))
    if found.blur:
        lines.append(("blur of the pattern", f"{found.blur}, partial coherence"))
    if real is not None:
        known = real.strain[np.isfinite(real.strain) & core(real.obj, real.support)]
        lines.append(("size", " × ".join(f"{s:.0f}" for s in real.size_nm) + " nm (z, y, x)"))
        lines.append(("voxels", f"{real.voxel_nm:.2f} nm, orthogonal frame"))
        if several and math.isfinite(found.resolution):
            lines.append(("resolution, length", f"{found.resolution * real.voxel_nm:.1f} nm"))
        lines.append(("lattice spacing", f"{real.spacing_angstrom:.4f} Å; {real.geometry.spacing:.4f} Å by the angles"))
        if known.size:
            low, high = np.percentile(known, [1, 99])
            lines.append(("strain", f"rms {known.std():.2e}, 98 % of the object between {low:+.1e} and {high:+.1e}"))
        if real.defects:
            lines.append(
                ("defects", f"the phase winds around {real.defects} squares of voxels; displacement jumps there")
            )
    return lines
