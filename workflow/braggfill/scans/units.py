r"""Whether the values of a scan are photons, and if not, how many photons a unit is.

Counts are whole.  Values that were divided by a monitor or by their maximum, or that a camera gives in its own units,
are multiples of a step s: :math:`v = s\,k` with k photons, and 1/s photons a unit.  Where noise or a correction has
blurred the steps, the variance tells: of k photons it is k, so that :math:`\operatorname{var} v = s\,\langle v\rangle`
plus the noise of the readout (the photon transfer method).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from braggfill.errors import BraggfillError

SMALL = 4096
"""Different values from the smallest on that are looked at: there a step is seen best."""
TIGHT = 0.05
"""Steps by which multiples may miss, root mean square; values that are no multiples miss by 0.29."""
MOST = 2.0**53
"""Photons in a voxel; more were never counted."""
ENOUGH = 8_000_000
"""Voxels that are looked at, at least 16 frames."""
QUICK = 2_000_000
"""The same for the variance of whole numbers."""
APART = 3.0
"""Factor from which on an estimate by the variance, good to a tenth where there is light, speaks against photons."""
SMOOTH = 100.0
"""Photons a unit by the variance from which on it is rather that there is no noise."""
FAINT = 20.0
"""Greatest value of a scan that is no pattern if values are photons, and next to noiseless if it is."""
PEDESTAL = 5
"""Counts that nearly every voxel has where a dark level was not subtracted."""
BLOCK = (4, 8, 8)


class Unit(NamedTuple):
    """What the values of a scan are."""

    photons: float | None
    """Photons a unit, an estimate; 1 for photons, None where nothing tells."""
    by: str
    """``whole``, ``steps``, ``frames`` (steps that differ from frame to frame), ``variance`` or ``""``."""
    impossible: str
    """Why the values cannot be photons; empty where they can."""
    remark: str
    """What is to be said though they can; empty for nothing."""


def unit(intensity: np.ndarray, missing: np.ndarray) -> Unit:
    """Look at the measured values.

    Parameters
    ----------
    intensity : three axes, real numbers; missing : True where a voxel is not to be looked at, same shape.
    """
    intensity, missing = _part(intensity, missing)
    bad = missing if intensity.dtype.kind != "f" else missing | ~np.isfinite(intensity)
    values = intensity[~bad]
    values = values[values > 0]
    if not values.size:
        return Unit(None, "", "", "")
    top = float(values.max())
    if top > MOST:
        return Unit(None, "", f"values reach {top:.3g}, more photons than can be counted", "")
    whole = intensity.dtype.kind in "iu" or bool((values == np.rint(values)).all())
    step = float(_common(values)) if whole else _step(values)
    if whole and step == 1:
        return Unit(1.0, "whole", "", _of_whole(*_part(intensity, bad, QUICK), top))
    if not whole and (less := _offset(values)):
        return Unit(1.0, "whole", "", f"the values are whole numbers less {less:.4g}, a constant; taken as photons")
    if step is not None:
        return _of_step(step, top)
    if per := _frame_steps(intensity, bad):
        low, high = 1 / max(per), 1 / min(per)
        middle = 1 / float(np.median(per))
        if high / low < 1.001 and abs(middle - 1) < 1e-3:
            return Unit(1.0, "steps", "", "")
        why = f"each frame was scaled by itself ({low:.4g} to {high:.4g} photons a unit; by a monitor?)"
        if low > 0.5 and high < 2:  # a monitor around one: nearly photons
            return Unit(middle, "frames", "", f"{why}; taken as photons all the same")
        return Unit(middle, "frames", why, "")
    if what := _transformed(values):
        return Unit(None, "", f"every value is {what} of a whole number", "")
    found = _variance(intensity, bad)
    if found is None:
        if top <= 1:
            return Unit(None, "", f"no value is above {top:.3g}, and none is whole", "")
        return Unit(None, "", "", "the values are not whole numbers; taken as photons all the same")
    if top * found < 20 or top <= 1:
        why = f"no value is above {top:.3g}, and none is whole" if top <= 1 else ""
        return Unit(found, "variance", why, "" if why else "the values are not whole numbers; taken as photons")
    if 1 / APART < found < APART:
        return Unit(found, "variance", "", "")
    if found > SMOOTH and top < FAINT:
        return Unit(found, "variance", f"no value is above {top:.3g}, with the noise of far more photons", "")
    if found > SMOOTH:
        told = "the values bear far less noise than counts (smoothed, or a simulation without noise?); taken as photons"
        return Unit(None, "", "", told)
    line = (
        f"by their variance the values hold about {found:.2g} photons a unit, but are taken as photons; "
        f"--photons-per-unit {found:.2g} if that is so, 1 if not"
    )
    return Unit(found, "variance", "", line)


def _of_whole(intensity: np.ndarray, bad: np.ndarray, top: float) -> str:
    """What is to be said of whole numbers whose variance is far from that of counts: ADU, or scaled and rounded."""
    found = _variance(intensity, bad, pedestal=bool(np.quantile(intensity[~bad], 0.05) >= PEDESTAL))
    if found is None or top * found < 20 or 1 / APART < found < APART:
        return ""
    if found > APART:
        return (
            "the values are whole but bear less noise than counts (scaled and rounded, smoothed, or a simulation "
            "without noise?); taken as photons"
        )
    return (
        f"the values are whole, but by their variance hold about {found:.2g} photons a unit (ADU?); taken as photons; "
        f"--photons-per-unit {found:.2g} if that is so, 1 if not"
    )


def _part(intensity: np.ndarray, missing: np.ndarray, enough: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The frames around the brightest, as many as are ``enough``: all of a small scan."""
    number = max(16, (enough or ENOUGH) // max(intensity[0].size, 1))
    if len(intensity) <= number:
        return intensity, missing
    light = [float(np.where(m, 0, f).max()) for f, m in zip(intensity[::4], missing[::4], strict=True)]
    middle = 4 * int(np.nanargmax(np.where(np.isfinite(light), light, -1)))
    first = min(max(middle - number // 2, 0), len(intensity) - number)
    return intensity[first : first + number], missing[first : first + number]


def refuse(found: Unit, where: str) -> None:
    """Stop where the values cannot be photons.

    Raises
    ------
    BraggfillError : says why, and how to tell the unit.
    """
    if found.impossible:
        raise BraggfillError(f"{where}: {_advice(found)}")


def _advice(found: Unit) -> str:
    if found.impossible.startswith("every value is the "):
        return f"{found.impossible}, so that they are no photons, which filling needs; give the counts themselves"
    guess = f"{found.photons:.6g}" if found.photons else "X"
    return (
        f"{found.impossible}, so that they are no photons, which filling needs; give counts, or tell the unit with "
        f"--photons-per-unit {guess}{' (an estimate)' if found.photons else ''}; 1 takes the values as photons"
    )


def lines(found: Unit) -> list[str]:
    """Warnings, for those who only look."""
    return [line for line in (_advice(found) if found.impossible else "", found.remark) if line]


def _of_step(step: float, top: float) -> Unit:
    if abs(step - 1) < 1e-4:
        return Unit(1.0, "steps", "", "")
    return Unit(1 / step, "steps", f"every value is a multiple of {step:.6g}, up to {top:.6g}", "")


def _offset(values: np.ndarray) -> float:
    """The constant that was subtracted from whole numbers, between 0 and 1; 0 for none."""
    several = np.unique(values)[:SMALL].astype(np.float64)
    several = several[several * float(np.finfo(values.dtype).eps) < 1e-3]
    steps = several - several[0] if len(several) else several
    if len(several) < 8 or np.abs(steps - np.rint(steps)).max() > 0.01:
        return 0.0
    less = float(-several[0] % 1)
    return less if 0.01 < less < 0.99 else 0.0


def _transformed(values: np.ndarray) -> str:
    """Which function of counts the values are, if every one comes out whole; empty for none."""
    several = np.unique(values)[:SMALL].astype(np.float64)
    precise = 8 * float(np.finfo(values.dtype).eps)
    if len(several) < 8:
        return ""
    for name, undone, slope in (
        ("the square root", np.square, lambda v: 2 * v**2),
        ("the logarithm (of one more)", np.expm1, lambda v: v * np.exp(v)),
        ("the decimal logarithm (of one more)", lambda v: np.expm1(v * np.log(10)), lambda v: v * np.log(10) * 10**v),
        ("the decimal logarithm", lambda v: 10**v, lambda v: v * np.log(10) * 10**v),
    ):
        with np.errstate(over="ignore"):
            counts, blurred = undone(several), np.abs(slope(several)) * precise
        clear = blurred < 0.02  # beyond, the type does not tell counts apart
        counts = counts[clear]
        near = np.abs(counts - np.rint(counts))
        if len(near) >= 8 and len(near) > len(several) // 4 and near.max() < 0.02 and counts.max() > 5:
            return name
    return ""


def _common(values: np.ndarray) -> int:
    """Greatest common divisor of whole numbers; 1 where too few of them differ to tell."""
    several = np.unique(values[: 1 << 20])[: 4 * SMALL]
    if len(several) < 8:
        return 1
    several = several.astype(np.float64)
    several = several[several < MOST].astype(np.int64)
    first = int(np.gcd.reduce(several))
    return first if first > 1 and int(np.gcd.reduce(np.unique(values).astype(np.int64))) == first else 1


def _step(values: np.ndarray) -> float | None:
    """The number of which all values are multiples; None if there is none."""
    several = np.unique(values)[:SMALL].astype(np.float64)
    precise = float(np.finfo(values.dtype).eps)
    if len(several) < 8:
        return None
    differences = np.diff(np.concatenate([[0.0], several]))
    real = differences[differences > 16 * precise * several]
    if len(real) < 8:
        return None
    step = float(np.quantile(real, 0.02, method="lower"))
    for factor in (1, 2, 3):  # the smallest difference may be of two or three steps
        if (found := _refined(several, step / factor, precise)) is not None:
            return found
    return None


def _refined(values: np.ndarray, step: float, precise: float) -> float | None:
    """The step, made exact from the smallest values to the greatest; None where they are no multiples of it."""
    used = 8
    while True:
        some = values[: used + 1]
        counts = np.rint(some / step)
        if not counts.any():
            return None
        step = float((some * counts).sum() / (counts * counts).sum())
        if used >= len(values):
            break
        used *= 2
    counts = values / step
    clear = counts * precise < 0.02  # beyond, the type does not tell steps apart
    counts = counts[clear]
    if len(counts) < 8 or np.unique(np.rint(counts)).size < 6:
        return None
    return step if float(np.sqrt(np.mean((counts - np.rint(counts)) ** 2))) < TIGHT else None


def _frame_steps(intensity: np.ndarray, bad: np.ndarray) -> list[float]:
    """Steps of single frames, if nearly each of a dozen has one."""
    if intensity.dtype.kind != "f" or len(intensity) < 3:
        return []
    light = np.array([np.count_nonzero(~b) for b in bad])
    chosen = np.flatnonzero(light)[:: max(1, len(intensity) // 12)]
    found = []
    for k in chosen:
        values = intensity[k][~bad[k]]
        found.append(_step(values[values > 0]))
    steps = [step for step in found if step]
    return steps if len(steps) >= max(3, 0.6 * len(found)) else []


def _variance(intensity: np.ndarray, bad: np.ndarray, pedestal: bool = False) -> float | None:
    """Photons a unit by the photon transfer method; None where the photons' noise is not what is seen most.
    With a ``pedestal`` the darkest voxels hold no photons.

    The variance is that of second differences along all three axes, d = D⊗D⊗D I with D = (1, -2, 1): an oversampled
    pattern has next to nothing that changes so quickly along every axis, while noise has.  Of photons it is the mean of
    the same voxels with the squares of their weights.  Of blocks of 4 x 8 x 8 voxels, in the order of their means, 40
    groups are made, ``var = readout + s mean + shape mean²``; the last term takes what is left of the pattern.
    """
    from scipy.optimize import nnls

    if min(intensity.shape) < 3:
        return None
    data = np.where(bad, np.nan, intensity).astype(np.float64)
    bent = data
    for axis in range(3):
        one, two, three = (np.moveaxis(bent, axis, 0)[k : len(np.moveaxis(bent, axis, 0)) - 2 + k] for k in range(3))
        bent = np.moveaxis((one - 2 * two + three) / 6**0.5, 0, axis)
        one, two, three = (np.moveaxis(data, axis, 0)[k : len(np.moveaxis(data, axis, 0)) - 2 + k] for k in range(3))
        data = np.moveaxis((one + 4 * two + three) / 6, 0, axis)
    bent = bent**2
    number = [n // e for n, e in zip(data.shape, BLOCK, strict=True)]
    if np.prod(number) < 80:
        return None

    def blocks(array: np.ndarray) -> np.ndarray:
        cut = array[tuple(slice(0, n * e) for n, e in zip(number, BLOCK, strict=True))]
        parts = cut.reshape([x for pair in zip(number, BLOCK, strict=True) for x in pair])
        return parts.transpose(0, 2, 4, 1, 3, 5).reshape(-1, int(np.prod(BLOCK)))

    means, variances = blocks(data), blocks(bent)
    whole = np.isfinite(means).sum(1) >= np.prod(BLOCK) // 2
    if np.count_nonzero(whole) < 80:
        return None
    mean, variance = np.nanmean(means[whole], axis=1), np.nanmean(variances[whole], axis=1)
    order = np.argsort(mean)
    size = max(len(order) // 40, 2)
    groups = order[: len(order) // size * size].reshape(-1, size)
    mean, variance = mean[groups].mean(1), variance[groups].mean(1)
    if not (variance > 0).all():
        mean, variance = mean[variance > 0], variance[variance > 0]
    if len(mean) < 10:
        return None
    if pedestal:  # it has no noise of photons
        mean = mean - mean.min()
    scale = float(np.abs(mean).max())
    if not scale > 0:
        return None
    design = np.stack([np.ones_like(mean), mean / scale, (mean / scale) ** 2], axis=1) / variance[:, None]
    (readout, slope, _), _ = nnls(design, np.ones_like(variance))
    bright = float(np.quantile(mean, 0.75)) / scale
    return scale / float(slope) if slope > 0 and slope * bright > 3 * readout else None


def to_photons(values: np.ndarray, photons_per_unit: float) -> np.ndarray:
    """Values in photons, whole where they come so close to it that only rounding keeps them apart; as they are for a
    factor of one."""
    if photons_per_unit == 1:
        return values
    found = values * np.float64(photons_per_unit)
    with np.errstate(invalid="ignore"):
        whole = np.rint(found)
        close = np.abs(found - whole) <= 0.01 + 1e-5 * np.abs(whole)
    usable = np.isfinite(found)
    return np.where(usable, whole, found) if close[usable].mean() > 0.999 else found
