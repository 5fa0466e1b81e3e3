"""The examples of docs/examples run as they stand, each on a small scan."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from braggfill.physics.crystals import draw_object
from braggfill.physics.diffraction import amplitude, expose

SHAPE = (40, 40, 40)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    rng = np.random.default_rng(5)
    made = draw_object(rng, SHAPE, range=1.0, oversampling=3.5)
    counts = expose(amplitude(made, SHAPE, SHAPE), 1e6, rng).counts
    missing = np.zeros(SHAPE, bool)
    missing[:, 26:28] = True
    (folder / "scans").mkdir()
    for name in ("scan.npz", "scans/a.npz", "scans/b.npz"):
        np.savez_compressed(folder / name, data=np.where(missing, 0, counts))
    np.savez_compressed(folder / "whole.npz", data=counts)
    np.save(folder / "mask.npy", missing)
    return folder


EXAMPLES = {
    "fill": (["scan.npz", "mask.npy", "filled.npz"], ["filled.npz", "filled.html"], "Filled("),
    "phase": (["scan.npz", "mask.npy", "object.npz"], [], "start"),
    "compare": (["whole.npz"], [], "braggfill"),
    "batch": (["scans", "mask.npy", "out"], ["out/a.npz", "out/b.npz"], "b.npz Filled("),
    "own_network": (["scan.npz", "mask.npy"], [], "Filled("),
    "own_particle": (["own.npz"], ["own.npz"], "sphere: "),
}


def test_every_example_is_tried(top):
    assert {path.stem for path in (top / "docs/examples").glob("*.py")} == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs(top, place, name):
    arguments, made, said = EXAMPLES[name]
    done = subprocess.run(
        [sys.executable, str(top / f"docs/examples/{name}.py"), *arguments],
        cwd=place, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert said in done.stdout
    assert all((place / file).is_file() for file in made)
