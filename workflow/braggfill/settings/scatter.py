"""Settings of the stage ``scatter``: which Bragg peak, seen how finely and from how many sides."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import field_validator

from braggfill.settings.base import Field, StageSettings
from braggfill.settings.ranges import Range, within

Side = Annotated[int, Field(ge=8, le=1024)]


class ScatterSettings(StageSettings):
    """The kinematic sum over the atoms around one Bragg peak (supplement S2.1, thesis 3.4.1)."""

    hkl: tuple[int, int, int] = (2, 0, 0)
    """Miller indices of the Bragg peak at the centre of the array. A face-centred cubic crystal has only peaks whose
    indices are all even or all odd: [1, 1, 1], [2, 0, 0], [2, 2, 0] …"""

    shape: tuple[Side, Side, Side] = (128, 128, 128)
    """Voxels of the pattern along axis 0 (rocking), 1 (vertical) and 2 (horizontal); even or odd, equal or not. The
    cost grows a little faster than their product."""

    views: int = Field(10, ge=1, le=1000)
    """Patterns of each particle, each with its own random orientation and oversampling."""

    oversampling_min: float = Field(2.0, ge=2.0, le=50.0)
    """Lowest oversampling drawn: the size of the array over the size of the crystal in direct space, along the axis
    where the crystal is longest. Under 2 the fringes cannot be sampled (Nyquist)."""

    oversampling_max: float = Field(5.0, ge=2.0, le=50.0)
    """Highest oversampling drawn. Larger values show fewer and wider fringes in the same array."""

    equal_steps: bool = True
    """Whether the reciprocal-space step is the same along the three axes. If false, each axis draws its own
    oversampling, because rocking step and pixel size are independent in an experiment."""

    tilt_degrees: Annotated[Range, within(0.0, 60.0)] = (0.0, 0.0)
    """Angle between the rocking axis of the array and the normal of the detector's axes, in a random direction. In an
    experiment the axes are oblique by about half the diffraction angle. Off by default."""

    reach: float = Field(0.75, gt=0.0, le=1.0)
    """Largest half width of the array, as a fraction of the distance to the next Bragg peak. For small particles the
    oversampling is raised until the array is within it."""

    isolate: bool = True
    """Whether the amplitude is faded out towards the neighbouring Bragg peaks, which are not on the detector: factor 1
    up to half the distance, 0 from nine tenths of it. For large particles this affects only the corners of the array.
    If false, the amplitude is the kinematic sum itself."""

    backend: Literal["nufft", "pynx", "direct"] = "nufft"
    """Method of summation: `nufft` (non-uniform fast Fourier transform, a thousand times faster), `pynx` (PyNX on
    OpenCL or CUDA) or `direct` (term by term, the reference, for small cases)."""

    tolerance: float = Field(1e-6, ge=1e-14, le=1e-3)
    """Relative precision of the `nufft` back end. The largest error is well below it (5e-8 of the peak at 1e-6);
    each further digit costs about a tenth of the time."""

    device: Literal["auto", "cpu", "gpu"] = "auto"
    """Where the `nufft` back end runs. `auto`: a GPU if CUDA and the package cufinufft are found, else the
    processor. The two agree to `tolerance`, not bit by bit: choose one if a run uses different machines."""

    check_voxels: int = Field(64, ge=1, le=100_000)
    """Voxels in which one pattern of the run is summed term by term to check the fast transform."""

    check_side: int = Field(24, ge=4, le=128)
    """Side, in voxels, of the block around the peak in which the same pattern is compared with PyNX."""

    @field_validator("hkl")
    @classmethod
    def _allowed(cls, hkl: tuple[int, int, int]) -> tuple[int, int, int]:
        if not any(hkl):
            raise ValueError("hkl [0, 0, 0] is the direct beam and not a Bragg peak; try [2, 0, 0]")
        if len({index % 2 for index in hkl}) > 1:
            raise ValueError(
                f"a face-centred cubic crystal has no Bragg peak at hkl {list(hkl)}: "
                "its indices must be all even or all odd, as in [1, 1, 1] or [2, 0, 0]"
            )
        return hkl

    @field_validator("oversampling_max")
    @classmethod
    def _ordered(cls, highest: float, info) -> float:
        lowest = info.data.get("oversampling_min")
        if lowest is not None and highest < lowest:
            raise ValueError(f"oversampling_max {highest:g} is lower than oversampling_min {lowest:g}")
        return highest
