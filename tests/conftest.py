"""Shared by every test: one thread, and where the measured data lie."""

from __future__ import annotations

import os
import signal
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("MPLBACKEND", "Agg")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job; programs that tests start inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest
from hypothesis import settings

TOP = Path(__file__).resolve().parents[1]

# The same examples every time, so that a change that passes here passes elsewhere; HYPOTHESIS_PROFILE=explore looks
# for new ones.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None, max_examples=300)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


LONGEST = (
    "test_dag",
    "test_cache",
    "test_phasing",
    "test_bundle_verdict",
    "test_bundle",
    "test_viewing",
    "test_figures_real",
    "test_flat",
    "test_phase",
    "test_phasing_convex",
    "test_cli_phase",
    "test_docs_site",
    "test_docs",
    "test_examples",
    "test_tasks",
    "test_reconstruct",
    "test_plan",
    "test_finetune",
    "test_finite",
)
"""Files of tests that take longest, which begin first, so that no process is left with one of them at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, the others as they are."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(LONGEST)))


@pytest.fixture(scope="session")
def top() -> Path:
    """The project's root."""
    return TOP


@pytest.fixture(scope="session")
def measured() -> Path:
    """The folder of the measured data; tests that need it are skipped where it is not at hand."""
    named = os.environ.get("BRAGGFILL_DATA")
    for place in filter(None, [named, TOP / "data", TOP.parent / "shared" / "data"]):
        if (Path(place) / "aps34idc_Staff20-1a_S0054.npz").is_file():
            return Path(place)
    pytest.skip("the measured data are not at hand (set BRAGGFILL_DATA)")
