"""Oversampling from the autocorrelation, against objects of known size."""

from __future__ import annotations

import numpy as np
import pytest
from braggfill.patterns import gaps, oversampling
from braggfill.physics import fourier
from braggfill.runs.seeds import generator

GRID = np.stack(np.meshgrid(*[np.arange(32) - 15.5] * 3, indexing="ij"))
BALL = (GRID**2).sum(0) <= 16**2
OBJECTS = {
    "cube": np.ones((32, 32, 32)),
    "ball": BALL.astype(float),
    "octahedron": (np.abs(GRID).sum(0) <= 16).astype(float),
    "plate": np.ones((14, 32, 24)),
    "strained": BALL * np.exp(3j * np.sin(GRID[0] / 5) * np.cos(GRID[1] / 6)),
}


def pattern(obj, edge, peak=1e6):
    """Counts of an object in a larger box, and its oversampling along each axis."""
    box = np.zeros((edge,) * 3, complex)
    box[tuple(slice((edge - n) // 2, (edge - n) // 2 + n) for n in obj.shape)] = obj
    intensity = np.abs(fourier.forward(box)) ** 2
    inside = np.abs(obj) > 0
    extent = [np.ptp(np.flatnonzero(inside.any(tuple(a for a in range(3) if a != axis)))) + 1 for axis in range(3)]
    counts = generator(1, "test/oversampling").poisson(intensity * peak / intensity.max())
    return counts, edge / np.array(extent)


@pytest.mark.parametrize("edge", [72, 97])
@pytest.mark.parametrize("name", OBJECTS)
def test_it_is_found_within_the_stated_tolerance(name, edge):
    counts, truth = pattern(OBJECTS[name], edge)
    found = np.array(oversampling.estimate(counts), float)
    assert (np.abs(found / truth - 1) < oversampling.TOLERANCE).all(), (found, truth)


def test_a_gap_hardly_changes_it():
    counts, truth = pattern(OBJECTS["ball"], 96)
    mask = gaps.cross(counts.shape, 6, (62, 30))
    found = np.array(oversampling.estimate(np.where(mask, 10**9, counts), mask), float)
    assert (np.abs(found / truth - 1) < oversampling.TOLERANCE).all(), (found, truth)


def test_where_nothing_can_be_told_nothing_is():
    assert oversampling.estimate(np.zeros((20, 20, 20))) == (None,) * 3
    flat = generator(1, "test/oversampling/flat").poisson(1.0, (40, 40, 40))  # noise without a pattern
    assert oversampling.estimate(flat) == (None,) * 3
