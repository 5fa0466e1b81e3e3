"""Converged, uncertain or failed: what several runs and the voxels kept out say about a result."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from braggfill.phasing import modes
from braggfill.phasing.result import CONVERGED, FAILED, UNCERTAIN, Run, Verdict

AGREE = 0.95
"""Runs whose correlation is at least this are the same object."""
COMPARABLE = 2.0
"""A run of up to so many times the best free log-likelihood is taken into the result, and confirms it where it is the
same object."""
SUPPORTING = 6.0
"""A run of up to so many times the best free log-likelihood supports it."""
FITS = 2.5
"""Up to so many times what counting noise gives, a free log-likelihood speaks for an object.  Starts may well agree on
a wrong one, the same each time, which does not fit."""
RIVAL = 1.3
"""One of up to so many times the best, and another object, is a rival."""
NOISE = 1.2
"""Up to so many times what counting noise gives, a free log-likelihood leaves nothing to explain."""
HOPELESS = 0.5
"""Where the best two runs correlate by less, they found nothing."""
BOUNDS = (2e-4, 0.3)
"""Smallest and largest share of the array that a support may take up."""
NEAR = 0.8
"""Where fewer than :data:`SEVERAL` runs agree, those of at least this correlation are taken, too: their scatter is the
result's uncertainty."""
SEVERAL = 3
WORTH = 0.97
"""A fit is better than another if its free log-likelihood is below so much of the other's."""
FLOOR = 1.1
"""Where :data:`SEVERAL` independent starts end within so many times the lowest free log-likelihood, it has a floor:
what is left is in the data (a flat field, background, blur), and no start gets below it."""
SEEN = 1.6
"""Starts that come from one network are not independent of each other.  What they alone agree on has converged where it
fits within so many times what counting noise gives, and"""
ALIKE = 0.98
"""where they correlate by at least this: they begin alike, so that two wrong ones stay close."""
FEWEST_VOXELS = 40
"""Of a support: fewer are a point, as the object of an even background is."""
THINNEST = 1.5
"""Least thickness of an object, voxels: where a pattern does not fall off along an axis some plane of voxels explains
it."""
MOST = 12
"""So many of the best runs are compared."""


class Agreement:
    """Correlations between runs, each calculated once."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], tuple[float, Run, Run]] = {}

    def __call__(self, run: Run, best: Run) -> float:
        if run is best:
            return 1.0
        key = (id(run), id(best))
        if key not in self._known:  # The runs are kept, so that no other one can get their id.
            found = modes.correlation(run.obj, best.obj, best.support)
            self._known[key] = (found, run, best)
        return self._known[key][0]


def independent(runs: Sequence[Run]) -> list[Run]:
    """Those that know nothing of each other: none that was bred, and the first of those that a network gave."""
    seen = [run for run in runs if run.origin == "network"][1:]
    return [run for run in runs if run.origin != "bred" and not any(run is one for one in seen)]


def ordered(runs: Sequence[Run], agreement: Agreement) -> list[Run]:
    """Runs with the best one first.

    That is the one of lowest free log-likelihood; of those that fit no worse than that (:data:`WORTH`), the first that
    several other starts come close to, where there is one.  A support that is too loose fits a little better where the
    pattern holds what no crystal explains, and no other start gives the same object.

    Parameters
    ----------
    runs : the lowest free log-likelihood first.
    """
    usable = [run for run in runs if not run.problem][:MOST]
    for run in usable:
        if usable[0].llk_free < WORTH * run.llk_free:
            break
        others = [one for one in independent([run, *usable]) if one is not run]
        near = [one for one in others if one.llk_free <= COMPARABLE * run.llk_free and agreement(one, run) >= NEAR]
        if len(near) >= SEVERAL - 1:
            return [run, *(one for one in runs if one is not run)]
    return list(runs)


def floor(runs: Sequence[Run]) -> bool:
    """Whether independent starts, even of different objects, no longer tell themselves apart by their fits: see
    :data:`FLOOR`."""
    found = sorted(run.llk_free for run in independent([run for run in runs if not run.problem]))
    return len(found) >= SEVERAL and found[SEVERAL - 1] <= FLOOR * found[0]


def group(runs: Sequence[Run], agreement: Agreement) -> list[int]:
    """Which runs (sorted, the best first) are the same object as the best one and fit comparably well."""
    best = runs[0]
    comparable = [i for i, run in enumerate(runs[:MOST]) if run.llk_free <= COMPARABLE * best.llk_free]
    same = [i for i in comparable if agreement(runs[i], best) >= AGREE]
    if len(same) < SEVERAL:
        same = [i for i in comparable if agreement(runs[i], best) >= NEAR]
    return same


def support_of(runs: Sequence[Run], agreement: Agreement) -> float:
    """Mean correlation with the best run of the runs that support it; NaN for none."""
    best = runs[0]
    found = [agreement(run, best) for run in runs[1:MOST] if run.llk_free <= SUPPORTING * best.llk_free]
    found = [one for one in found if one >= AGREE] or [one for one in found if one >= NEAR]
    return sum(found) / len(found) if found else float("nan")


def thickness(run: Run) -> list[float]:
    r"""Of an object along each axis, voxels: :math:`(\sum p)^2 / \sum p^2` of what its planes hold, p, of
    :math:`|O|^2`."""
    squares = np.abs(run.obj) ** 2
    planes = [squares.sum(axis=tuple(b for b in range(squares.ndim) if b != a), dtype=float) for a in range(3)]
    return [float(p.sum() ** 2 / max((p**2).sum(), 1e-300)) for p in planes]


def judge(runs: Sequence[Run], agreement: Agreement, expected: float) -> Verdict:
    """What runs, the best free log-likelihood first, say together.

    Parameters
    ----------
    expected : free log-likelihood that counting noise alone would give.
    """
    usable = [run for run in runs if not run.problem]
    if not usable:
        return Verdict(FAILED, "no start ended with an object", "check the pattern and its mask")
    best = usable[0]
    share = float(best.support.mean())
    few = best.support.sum() < FEWEST_VOXELS
    if few or not 1.5 * BOUNDS[0] < share < 0.8 * BOUNDS[1]:
        what = "shrank to a few voxels" if share < BOUNDS[1] / 2 else "grew without end"
        return Verdict(
            FAILED,
            f"the support {what}, as where no isolated crystal scattered",
            "check centring and mask, and crop to the peak",
        )
    widths = thickness(best)
    if min(widths) < THINNEST:
        axis = int(np.argmin(widths))
        return Verdict(
            FAILED,
            f"the object is {widths[axis]:.1f} voxels thick along axis {axis}: the pattern does not fall off there",
            "check that one peak with its fringes is inside, and crop less",
        )
    tried = usable[:MOST]
    same = [run for run in tried if run.llk_free <= COMPARABLE * best.llk_free and agreement(run, best) >= AGREE]
    several = independent(same)
    seen = [run for run in same if run.origin == "network"]
    rivals = _rivals(tried, agreement, AGREE)
    figure = f"free log-likelihood {best.llk_free:.3g} (counting noise alone: {expected:.2g})"
    closest = sorted((agreement(run, best) for run in several), reverse=True)[1:2]
    if len(several) >= 2 and not rivals and fits(best, expected):
        return Verdict(CONVERGED, f"{len(several)} independent starts gave the same object; {figure}")
    alike = [run for run in seen if agreement(run, best) >= ALIKE]
    if len(alike) >= 2 and not rivals and fits(best, expected, SEEN):
        return Verdict(CONVERGED, f"{len(alike)} starts from a network gave the same object; {figure}")
    if best.llk_free <= NOISE * expected + 0.1 and not rivals:
        return Verdict(CONVERGED, f"one start explains all but counting noise; {figure}")
    close = max((agreement(run, best) for run in usable[1:MOST]), default=float("nan"))
    if len(usable) > 2 and close < HOPELESS:
        return Verdict(
            FAILED,
            f"{len(usable)} starts gave as many objects (correlation up to {close:.2f}); {figure}",
            "check centring and mask, crop to the peak, or give more time",
        )
    if len(several) >= 2 and not rivals:
        how = f"gave the same object (correlation {closest[0]:.2f})"
        why = f"{len(several)} starts {how}, but it does not fit voxels kept out; {figure}"
    elif rivals and min(agreement(run, best) for run in rivals) >= NEAR:
        how = _range(rivals, best, agreement)
        why = f"{len(rivals) + 1} starts are close (correlation {how}), not the same; {figure}"
        if len(several) >= 2:
            others = f"{len(rivals)} that fit as well only come close (correlation {how})"
            why = f"{len(several)} starts gave the same object, {others}; {figure}"
    elif rivals:
        near = [run for run in (*several, *rivals) if run is not best and agreement(run, best) >= NEAR]
        why = f"{len(rivals) + 1} different objects fit about equally well; {figure}"
        if near:
            how, far = _range(near, best, agreement), sum(agreement(run, best) < NEAR for run in rivals)
            why = f"{len(near) + 1} starts are close (correlation {how}), {far} that fit as well gave something else"
            why += f"; {figure}"
    elif np.isnan(close):
        why = f"only one start was made; {figure}"
    elif len(seen) >= 2 and len(several) == 1:
        how = f"(correlation {max(agreement(run, best) for run in seen if run is not best):.2f})"
        why = f"starts from one network gave the same object {how}, and no other start did; {figure}"
    else:
        why = f"no other start gave the same object (correlation up to {close:.2f}); {figure}"
    return Verdict(UNCERTAIN, why, "give more starts or time")


def fits(run: Run, expected: float, within: float = FITS) -> bool:
    """Whether a run fits the voxels that were kept out within so many times what counting noise gives, ``expected``."""
    return run.llk_free <= within * expected + 0.1


def _rivals(runs: Sequence[Run], agreement: Agreement, least: float) -> list[Run]:
    """Those that fit about as well as the best one, the first, and correlate with it by less than ``least``."""
    best = runs[0]
    return [run for run in runs if run.llk_free < RIVAL * best.llk_free and agreement(run, best) < least]


def _range(runs: Sequence[Run], best: Run, agreement: Agreement) -> str:
    found = [agreement(run, best) for run in runs]
    return f"{min(found):.2f}" if len(found) == 1 else f"{min(found):.2f} to {max(found):.2f}"


def close(runs: Sequence[Run], agreement: Agreement) -> bool:
    """Whether so many independent starts come close to the best run that its scatter is known: more rounds are worth
    little where they do not bring a better fit.  Not so if another one that is nothing like it fits about as well: then
    either may be wrong, or both."""
    usable = independent([run for run in runs if not run.problem])
    if len(usable) < SEVERAL or len(group(usable, agreement)) < SEVERAL:
        return False
    return not _rivals(usable[:MOST], agreement, NEAR)
