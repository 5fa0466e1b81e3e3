"""A small run's folder, for the tests of figures and report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from braggfill import networks
from braggfill.physics import fourier
from braggfill.runs import storage
from braggfill.settings.root import Settings
from braggfill.stages import inpaint, particle, perturb, relax
from braggfill.stages.evaluate.calibration import calibration_table
from braggfill.stages.evaluate.cases import case_table
from braggfill.stages.evaluate.claims import claims_table
from braggfill.stages.evaluate.join import COLUMNS, join_tables
from braggfill.stages.evaluate.patches import gap_table, simulated_table
from braggfill.stages.evaluate.realism import realism_table
from braggfill.stages.evaluate.scan import gaps_table, skip_table
from braggfill.stages.evaluate.whole import oversampling_table, position_table
from braggfill.stages.extract.chunk import extract_chunk
from braggfill.stages.reconstruct import finetuning, true_phase
from braggfill.stages.scatter import chunk, sampling

SETTINGS = Settings.model_validate(
    {
        "run": "small",
        "seed": 5,
        "particle": {"elements": ["Au", "Pt"], "min_atoms": 250, "max_atoms": 500},
        "scatter": {"shape": [40, 40, 40], "views": 1, "check_voxels": 8, "check_side": 4},
        "extract": {"patches": 4, "min_photons": 10, "split_train": 0.5, "split_validation": 0.0},
        "inpaint": {"crop_px": 36, "gap_widths_px": [3, 6], "kinds": ["cross"], "offset_px": [5, 6], "threads": 1},
        "evaluate": {
            "measured": {"patches": 20},
            "crop_px": 40,
            "patches": {"gap_widths_px": [3, 6]},
            "bootstrap_draws": 100,
            "ceiling_draws": 1,
            "methods": ["network", "braggfill", "linear", "cubic", "nearest"],
            "whole": {"methods": ["network", "linear"]},
            "oversampling": {"oversamplings": [2, 3], "fringes": 5, "gap_widths_px": [3, 6]},
            "position": {"gap_widths_px": [3]},
            "skip": {"steps_px": [9, 31], "crop_px": 36},
            "gaps": {"widths_px": [[6, 3], [0, 12]], "offset_px": [5, 6]},
        },
        "reconstruct": {
            "true_phase": {
                "oversamplings": [4],
                "zoom": 1.0,
                "box_px": 40,
                "gap_widths_px": [3, 9],
                "particle_gap_widths_px": [3],
                "offset_px": [6, 7],
                "methods": ["linear", "network", "braggfill"],
            },
            "finetune": {"cases": ["measured"], "distance_px": 6},
            "threads": 1,
        },
        "figures": {"dpi": 50, "patch_examples": 2, "slice_gap_widths_px": [6], "gallery_particles": 3},
    }
)
RULES = {"fetch": [], "train": ["fetch"], "figures": ["train"], "report": ["figures"]}
RUN = SETTINGS.model_dump(mode="json")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run's folder as the workflow leaves it, made by the stages themselves.  What needs long computations or PyNX is
    missing, as it may be."""
    top = tmp_path_factory.mktemp("run") / "small"
    file = {stage: top / stage / "chunk-0000.h5" for stage in ("particle", "relax", "scatter", "perturb", "extract")}
    for path in (*file.values(), *(top / stage / "x" for stage in ("train", "inpaint", "evaluate", "reconstruct"))):
        path.parent.mkdir(parents=True, exist_ok=True)
    seed = SETTINGS.seed
    particle.particle_chunk(SETTINGS.particle, seed, [0, 1, 2], file["particle"])
    relax.relax_chunk(SETTINGS.relax, seed, file["particle"], file["relax"])
    chunk.scatter_chunk(SETTINGS.scatter, seed, file["relax"], file["scatter"], code="0123456789abcdef")
    perturb.perturb_chunk(SETTINGS.perturb, seed, file["scatter"], file["perturb"])
    perturb.perturb_steps(SETTINGS.perturb, seed, file["scatter"], top / "perturb/steps.h5")
    extract_chunk(SETTINGS.extract, seed, file["perturb"], file["extract"])
    scan, obj = top / f"fetch/{SETTINGS.inpaint.scan}.h5", top / "fetch/id01_s11.h5"
    with storage.read(file["scatter"]) as source:
        amplitude = storage.array(source["000000/00"], "amplitude")
    with storage.read(file["perturb"]) as source, storage.create(scan, source="a stage", license="none") as target:
        target["data"] = storage.array(source["000000/00"], "counts").astype(np.int32)
    with storage.create(obj) as target:
        target["obj"] = fourier.inverse(amplitude)
    with storage.create(top / "fetch/detector_masks.h5") as target:
        mask = np.zeros((80, 80), bool)
        mask[37:43], mask[:, 37:43], mask[10, 20] = True, True, True
        target["maxipix"] = mask
    model = _network(top)
    inpaint.fill_cases(SETTINGS.inpaint, seed, scan, top / "fetch/detector_masks.h5", model, top / "inpaint/cases.h5")
    names = (*COLUMNS, "claims", "calibration", "cases", "realism")
    tables_ = {name: top / f"evaluate/{name}.csv" for name in names}
    _sweeps(top, file, scan, model, tables_)
    calibration_table(SETTINGS.evaluate, seed, [file["extract"]], scan, model, tables_["calibration"])
    case_table(SETTINGS.evaluate, seed, scan, top / "inpaint/cases.h5", tables_["cases"])
    realism_table(
        SETTINGS.evaluate, seed, file["perturb"], scan, tables_["realism"], steps=top / "perturb/steps.h5", obj=obj
    )
    true_phase.true_phase(
        SETTINGS.reconstruct, seed, obj, model, top / "reconstruct/true_phase.h5", top / "reconstruct/true_phase.csv"
    )
    true_phase.particles(
        SETTINGS.reconstruct,
        seed,
        [file["scatter"]],
        model,
        top / "reconstruct/particles.csv",
        top / "reconstruct/particles_mean.csv",
        chosen=[0, 1],
    )
    finetuning.finetuned(  # too small a scan to learn from, which the table says
        SETTINGS.reconstruct,
        seed,
        obj,
        obj,
        scan,
        model,
        top / "reconstruct/finetune.h5",
        top / "reconstruct/finetune.csv",
    )
    with storage.create(top / "reconstruct/retrieval.h5", left_out="PyNX is not <installed>"):
        pass
    _benchmarks(top)
    return top


def _sweeps(top: Path, file: dict[str, Path], scan: Path, model: Path, out: dict[str, Path]) -> None:
    """Every sweep's table, from parts as the workflow makes them."""
    own, seed = SETTINGS.evaluate, SETTINGS.seed
    part = {name: [top / f"evaluate/parts/{name}.csv"] for name in COLUMNS}
    part["intensity"].append(top / "evaluate/parts/intensity-simulated.csv")
    gap_table(own, seed, scan, model, part["measured"][0], part["intensity"][0])
    simulated_table(own, seed, [file["extract"]], model, part["simulated"][0], part["intensity"][1])
    amplitudes, patterns = top / "scatter/oversampling-test0000.h5", top / "perturb/oversampling-test0000.h5"
    sampling.oversampling_chunk(SETTINGS.scatter, seed, file["relax"], amplitudes, own.oversampling.oversamplings, 5)
    perturb.perturb_chunk(SETTINGS.perturb, seed, amplitudes, patterns)
    images = top / "evaluate/oversampling-test0000.h5"
    oversampling_table(own, seed, patterns, model, part["oversampling"][0], images)
    position_table(own, seed, file["perturb"], model, part["position"][0])
    skip_table(own, seed, scan, model, part["skip"][0], top / "evaluate/skip.h5")
    gaps_table(own, seed, scan, model, part["gaps"][0])
    join_tables(own, part, {name: out[name] for name in part})
    claims_table({name: out[name] for name in part}, out["claims"])


def _network(top: Path) -> Path:
    import torch

    torch.manual_seed(0)
    path = top / "train/model.safetensors"
    networks.save(path, networks.build("braggfill", channels=(4, 8)), {"metrics": {"val_pcc": 0.75}})
    return path


def _benchmarks(top: Path) -> None:
    (top / "benchmarks/evaluate").mkdir(parents=True)
    head = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
    for name, seconds, memory in (
        ("scatter-0000", 12.5, 300),
        ("scatter-0001", 70, 500),
        ("evaluate/measured", 8, "-"),
    ):
        (top / f"benchmarks/{name}.tsv").write_text(head + f"{seconds}\t0:00:12\t{memory}\t1\t1\t1\t0\t0\t95\t12\n")
    (top / "benchmarks/killed.tsv").write_text("")
