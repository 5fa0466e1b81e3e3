"""The options that say how a scan was measured, and the geometry that they and the scan's file make."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from braggfill.errors import BraggfillError

if TYPE_CHECKING:
    from braggfill.physics.geometry import Geometry

MOTORS = {
    "horizontal": ("eta", "th", "theta", "om", "omega", "gontheta", "samth", "sampleth"),
    "vertical": ("phi", "mu", "gonphi"),
}
"""Names of circles that turn about each axis when the others are near zero."""
CIRCLES = {"delta": ("delta", "del"), "nu": ("nu", "gamma", "gam")}
"""Names of the detector's circles."""


def add(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    group = parser.add_argument_group(
        "geometry, for nanometres and strain (what the scan's file tells need not be given)"
    )
    add = group.add_argument
    add("--energy", type=float, metavar="KEV", help="photon energy")
    add("--distance", type=float, metavar="M", help="from sample to detector")
    add("--pixel", metavar="UM", help="pitch of the detector's pixels: one number, or VERTICAL,HORIZONTAL")
    add("--rocking-step", type=float, metavar="DEG", help="between frames, with its sign (see the docs)")
    add("--rocking-axis", metavar="AXIS", help="horizontal (eta, theta), vertical (phi, mu), or X,Y,Z")
    add("--delta", type=float, metavar="DEG", help="elevation of the detector")
    add("--nu", "--gamma", type=float, metavar="DEG", help="its azimuth, positive to the right along the beam")
    add("--detector-axes", metavar="V,H", help="where array axes 1 and 2 point, arm at zero (default y-,x-)")
    add("--spacing", type=float, metavar="A", help="lattice spacing of the reflection")
    add("--hkl", metavar="H,K,L", help="the reflection (write --hkl=-1,1,1 if it begins with a minus)")
    add("--lattice", type=float, metavar="A", help="cubic lattice constant, for --hkl")
    add("--element", metavar="EL", help="or the metal: Au, Pt, Pd, Ni, Cu, Ag")


def spacing(options: argparse.Namespace) -> float | None:
    """The lattice spacing in Å that is given, or follows from reflection and lattice; None where nothing is.

    Raises
    ------
    BraggfillError : it cannot follow, or is no length.
    """
    from braggfill.physics import elements, geometry

    if options.spacing is not None:
        if options.hkl:
            raise BraggfillError("--spacing, --hkl: both say what the lattice spacing is; give one of them")
        if not 0.1 < options.spacing < 1000:
            raise BraggfillError(f"--spacing {options.spacing:g}: give ångströms, such as 2.265")
        return float(options.spacing)
    if not options.hkl:
        if options.lattice or options.element:
            raise BraggfillError("--lattice, --element: go with --hkl, which says which planes")
        return None
    indices = _numbers(options.hkl, 3, "--hkl", "three integers, such as 1,1,1")
    if any(i != int(i) for i in indices):
        raise BraggfillError(f"--hkl {options.hkl}: give three integers, such as 1,1,1")
    if options.element and options.lattice is None:
        if options.element not in elements.METALS:
            raise BraggfillError(f"--element {options.element}: is none of {', '.join(elements.METALS)}; use --lattice")
        options.lattice = elements.METALS[options.element].lattice_constant_angstrom
    if options.lattice is None:
        raise BraggfillError("--hkl: needs the lattice constant as well, --lattice (Å, cubic) or --element")
    if not options.lattice > 0:
        raise BraggfillError(f"--lattice {options.lattice:g}: give ångströms, such as 3.924")
    return geometry.cubic_spacing(options.lattice, indices)


def lacking(told: Any) -> list[str]:
    """Options that a geometry needs and the scan's file does not tell, for those who only look."""
    angles = getattr(told, "angles", None) or {}
    known = {
        "--energy": getattr(told, "energy_ev", None),
        "--distance": getattr(told, "distance_m", None),
        "--pixel": getattr(told, "pixel_m", None),
        "--rocking-step": getattr(told, "rocking_step_deg", None),
        "--delta, --nu or --hkl": [name for names in CIRCLES.values() for name in names if name in angles] or None,
    }
    return [name for name, value in known.items() if value is None]


def of(options: argparse.Namespace, told: Any = None) -> tuple[Geometry | None, float | None, str]:
    """Geometry, lattice spacing, and a remark about what is missing for a geometry (empty if nothing is).

    Parameters
    ----------
    told : what the scan's file tells: ``energy_ev``, ``distance_m``, ``pixel_m``, ``rocking_step_deg``,
        ``rocking_motor``, ``angles``; None for nothing.  Options count before it.

    Raises
    ------
    BraggfillError : options contradict each other or are no geometry.
    """
    from braggfill.physics.geometry import Geometry, two_theta

    d = spacing(options)
    angles = dict(getattr(told, "angles", None) or {})
    energy = options.energy * 1e3 if options.energy is not None else getattr(told, "energy_ev", None)
    if options.energy is not None and not 0.5 <= options.energy <= 500:
        raise BraggfillError(f"--energy {options.energy:g}: give keV, such as 9")
    distance = options.distance if options.distance is not None else getattr(told, "distance_m", None)
    pixel = _pixel(options.pixel) if options.pixel else getattr(told, "pixel_m", None)
    step = options.rocking_step if options.rocking_step is not None else getattr(told, "rocking_step_deg", None)
    delta, nu = (_circle(getattr(options, name), CIRCLES[name], angles) for name in CIRCLES)
    axis, tilt = _axis(options, getattr(told, "rocking_motor", None), angles, delta, nu)
    if delta is None and nu is None and d is not None and energy:
        angle = two_theta(energy, d)
        delta, nu = (0.0, angle) if axis == "vertical" else (angle, 0.0)
    given = {
        "--energy": energy, "--distance": distance, "--pixel": pixel, "--rocking-step": step,
        "--delta, --nu or the lattice spacing": None if delta is None and nu is None else 0.0,
    }  # fmt: skip
    missing = [name for name, value in given.items() if value is None]
    if missing or energy is None or distance is None or pixel is None or step is None:
        asked = d is not None or len(missing) < len(given)
        return None, d, f"no nanometres and no strain: {', '.join(missing)} not known" if asked else ""
    made = Geometry(
        float(energy), float(distance), (float(pixel[0]), float(pixel[1])), float(step), delta or 0.0, nu or 0.0,
        tilt if tilt is not None else _named(axis), _directions(options.detector_axes),
    )  # fmt: skip
    if d is not None and abs(made.spacing / d - 1) > 0.05:
        return made, d, (
            f"warning: by the detector's angles the lattice spacing is {made.spacing:.4g} Å, and {d:.4g} Å is given; "
            "check angles, energy and reflection"
        )  # fmt: skip
    return made, d, ""


def _axis(
    options: argparse.Namespace, motor: str | None, angles: dict[str, float], delta: float | None, nu: float | None
) -> tuple[str, tuple[float, float, float] | None]:
    """Name of the rocking axis, and its direction where that is none of the named ones."""
    import numpy as np

    if options.rocking_axis:
        if options.rocking_axis in MOTORS:
            return options.rocking_axis, None
        wanted = "horizontal, vertical, or three numbers X,Y,Z"
        x, y, z = _numbers(options.rocking_axis, 3, "--rocking-axis", wanted)
        return "given", (x, y, z)
    if motor:
        axis = next((name for name, known in MOTORS.items() if motor.lower() in known), None)
        if axis is None:
            raise BraggfillError(f"rocking motor {motor}: its axis is not known; say it with --rocking-axis")
        eta = angles.get("eta", 0.0)
        if motor.lower() == "phi" and eta:  # phi's axis is carried by eta, which turns it about the horizontal one
            turn = np.radians(eta)
            return axis, (0.0, float(-np.cos(turn)), float(np.sin(turn)))
        return axis, None
    if delta and nu and options.rocking_step is not None:
        raise BraggfillError("--rocking-axis: say whether the crystal turned about the horizontal or vertical axis")
    return ("vertical" if nu and not delta else "horizontal"), None


def _named(axis: str) -> tuple[float, float, float]:
    from braggfill.physics import geometry

    return geometry.VERTICAL if axis == "vertical" else geometry.HORIZONTAL


def _circle(given: float | None, names: tuple[str, ...], angles: dict[str, float]) -> float | None:
    if given is not None:
        return given
    return next((angles[name] for name in names if name in angles), None)


def _directions(text: str | None) -> tuple[str, str]:
    parts = (text or "y-,x-").split(",")
    if len(parts) != 2:
        raise BraggfillError(f"--detector-axes {text}: give two directions, such as y-,x-")
    return parts[0].strip(), parts[1].strip()


def _pixel(text: str) -> tuple[float, float]:
    number = 2 if "," in text else 1
    pitches = _numbers(text, number, "--pixel", "micrometres, such as 55 or 55,55")
    return pitches[0] * 1e-6, pitches[-1] * 1e-6


def _numbers(text: str, number: int, name: str, wanted: str) -> tuple[float, ...]:
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if len(found) != number:
        raise BraggfillError(f"{name} {text}: give {wanted}")
    return found
