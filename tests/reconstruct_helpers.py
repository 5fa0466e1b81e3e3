"""What the tests of real space share: small settings, a particle, files as the stages write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas
import pytest
from braggfill.physics import fourier
from braggfill.runs import external, storage
from braggfill.settings.reconstruct import MapSettings, ReconstructSettings, RetrievalSettings, TruePhaseSettings
from braggfill.stages.reconstruct import objects, phasing, true_phase

needs_pynx = pytest.mark.skipif(not external.have_pynx(), reason="PyNX is not installed")

SETTINGS = ReconstructSettings(
    true_phase=TruePhaseSettings(
        oversamplings=(4,),
        zoom=0.4,
        box_px=48,
        gap_widths_px=(2, 5),
        offset_px=(6, 8),
        methods=("linear",),
        particle_gap_widths_px=(3,),
    ),
    retrieval=RetrievalSettings(
        cases=("simulated", "known"),
        simulated_particles=1,
        box_px=32,
        zoom=0.3,
        gap_width_px=2,
        offset_px=(6, 8),
        treatments=("free", "zeros"),
        starts=2,
        hio_cycles=100,
        raar_cycles=60,
        late_cycles=30,
        er_cycles=20,
    ),
    map=MapSettings(
        box_px=32,
        gap_widths_px=(2, 3),
        distances_px=(5,),
        photons_at_peak=(1e5,),
        oversamplings=(4,),
        treatments=("free", "linear"),
        filled_by="linear",
        starts=1,
        hio_cycles=60,
        raar_cycles=40,
        er_cycles=20,
    ),
    threads=1,
)
NO_MODEL = Path("no-such-model.safetensors")


def particle() -> np.ndarray:
    """A lopsided particle of about 30 voxels with a phase of its own, as a reconstruction gives it."""
    z, y, x = fourier.grid((34, 36, 38))
    inside = ((z / 15) ** 2 + (y / 14) ** 2 + (x / 16) ** 2 < 1) & (x + 0.7 * y < 9) & (z - 0.4 * x > -11)
    return (inside * (1 + 0.01 * z) * np.exp(1j * (0.004 * z**2 + 0.003 * y * x))).astype(np.complex64)


@pytest.fixture
def obj(tmp_path) -> Path:
    path = tmp_path / "id01_s11.h5"
    with storage.create(path) as file:
        file["obj"] = particle()
    return path


def describe(group, **attributes) -> None:
    group.attrs.update(
        {
            "hkl": (1, 1, 1),
            "rotation": np.eye(3),
            "lattice_constant_angstrom": 4.0,
            "step_inverse_angstrom": np.full(3, 2e-3),
            "oversampling": np.full(3, 4.0),
            "view": 0,
            "element": "Pt",
            "shape": "cube",
            **attributes,
        }
    )


@pytest.fixture
def scattered(tmp_path) -> Path:
    """A file as `scatter` writes it, of one particle."""
    path = tmp_path / "scatter.h5"
    amplitude = fourier.forward(objects.prepare(particle(), zoom=0.3, box=32, threshold=0.3, keep_phase=True))
    with storage.create(path) as file:
        group = file.create_group("000000/00")
        group["amplitude"] = amplitude.astype(np.complex64)
        describe(group)
    return path


def left_out(path: Path, reason: str) -> Path:
    with storage.create(path, left_out=reason):
        return path


def run_true_phase(folder: Path, obj: Path, settings=SETTINGS, model=NO_MODEL) -> pandas.DataFrame:
    true_phase.true_phase(settings, 3, obj, model, folder / "true.h5", folder / "true.csv", code="c0de")
    return pandas.read_csv(folder / "true.csv")


def run_retrieve(folder: Path, patterns: Path, obj: Path, settings=SETTINGS) -> pandas.DataFrame:
    made, out, table = folder / "cases.h5", folder / "retrieval.h5", folder / "retrieval.csv"
    phasing.prepare(settings, 3, [patterns], obj, obj, obj, NO_MODEL, made, code="c0de")
    starts = [folder / f"start-{number}.h5" for number in range(settings.retrieval.starts)]
    for number, path in enumerate(starts):
        phasing.phase(settings, 3, made, number, path, code="c0de")
    phasing.collect(settings, 3, made, starts, out, table, code="c0de")
    return pandas.read_csv(table)


def with_retrieval(**changes) -> ReconstructSettings:
    return SETTINGS.model_copy(update={"retrieval": SETTINGS.retrieval.model_copy(update=changes)})
