"""A folder with a sound scan and mask, and the command line to fill it, for tests."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from braggfill import networks
from braggfill.cli import main
from braggfill.patterns import gaps
from braggfill.runs.seeds import generator

SHAPE = (34, 36, 40)
MASK = gaps.cross(SHAPE, 4, (8, 24))
FRAME = MASK[0]


def counts(shape=SHAPE, peak=1e4):
    grids = np.ix_(*(np.arange(n) - n // 2 for n in shape))
    return generator(1, "test/cli").poisson(peak / (1 + 0.05 * sum(g**2 for g in grids)) ** 1.5).astype(np.int32)


COUNTS = counts()


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder with a sound scan and mask, the current one."""
    np.savez(tmp_path / "scan.npz", data=COUNTS)
    np.save(tmp_path / "mask.npy", FRAME)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BRAGGFILL_NETWORK", raising=False)
    monkeypatch.setattr(networks, "WEIGHTS", tmp_path / "weights")
    return tmp_path


@pytest.fixture(scope="session")
def network(tmp_path_factory):
    """A small network, never trained."""
    import torch

    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("network") / "small.safetensors"
    networks.save(path, networks.build("braggfill", channels=[4, 8]), {"uncertainty": True})
    return path


def fill(*arguments, out="out.npz", method="linear"):
    return main(["inpaint", "scan.npz", "--mask", "mask.npy", "-o", out, "--method", method, *map(str, arguments)])


def run(*arguments, **options):
    """The real program, in a process of its own."""
    return subprocess.run([sys.executable, "-m", "braggfill", *arguments], capture_output=True, text=True, **options)
