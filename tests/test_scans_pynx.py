"""What is written opens in PyNX as it is, and phase retrieval runs on it."""

from __future__ import annotations

import os
import subprocess
import sys

import h5py
import numpy as np
import pytest
from braggfill import scans
from braggfill.cli import main
from braggfill.patterns import gaps
from braggfill.physics import fourier
from braggfill.runs.seeds import generator

pytestmark = pytest.mark.pynx
EDGE = 48


SEEDED = """
import runpy, sys
import numpy
numpy.random.seed(3)
runpy.run_module("pynx.cdi.scripts.pynx_id01cdi", run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """A scan of a small cuboid, with a gap."""
    crystal = np.zeros((EDGE,) * 3)
    crystal[17:31, 18:30, 19:29] = 1
    intensity = np.abs(fourier.forward(crystal)) ** 2
    counts = generator(1, "test/pynx").poisson(1e6 * intensity / intensity.max()).astype(np.int32)
    folder = tmp_path_factory.mktemp("pynx")
    np.savez(folder / "scan.npz", data=counts, mask=gaps.plane(counts.shape, 3, axis=2, start=36))
    return folder / "scan.npz", crystal > 0


@pytest.mark.parametrize(("out", "free"), [("out.cxi", "none"), ("out.cxi", "filled"), ("out.npz", "none")])
def test_phase_retrieval_runs_and_finds_the_object(scan, tmp_path, monkeypatch, out, free):
    """The best of five starts, which PyNX would draw anew each time: a single one may stall, and all three of three
    have."""
    pytest.importorskip("pynx.cdi.runner.runner")
    path, crystal = scan
    monkeypatch.chdir(tmp_path)
    assert main(["inpaint", str(path), "-o", out, "--method", "linear", "--masked", free, "-q"]) == 0
    recipe = "--nb_hio 100 --nb_raar 100 --nb_er 20 --nb_ml 0 --nb_run 5 --nb_run_keep 1 --support_threshold 0.3"
    done = subprocess.run(
        [sys.executable, "-c", SEEDED, "--data", out, *recipe.split()],
        env={**os.environ, "PYNX_PU": "cpu", "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    masked = int((scans.load_mask(out, (EDGE,) * 3).array).sum()) if free == "filled" else 0
    if out.endswith(".cxi"):
        assert f"loading mask, with {masked} pixels masked" in " ".join(done.stdout.split())
    (result,) = list(tmp_path.glob("*LLK*.cxi"))
    with h5py.File(result) as file:
        found = np.abs(file["entry_1/image_1/data"][()])
    found = found.reshape(found.shape[-3:])
    inside = found > 0.3 * found.max()
    assert inside.sum() == pytest.approx(crystal.sum(), rel=0.4)
