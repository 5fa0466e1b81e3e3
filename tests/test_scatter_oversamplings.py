"""The same view at several oversamplings."""

import numpy as np
import pytest
from braggfill.physics.views import next_peak
from braggfill.settings.scatter import ScatterSettings
from braggfill.stages.scatter import sampling, views


def test_every_oversampling_reaches_over_the_same_extent_and_sees_the_same_particle():
    """Where grids of two oversamplings share points of reciprocal space, the amplitudes there are the same."""
    rng = np.random.default_rng(0)
    constant = 4.0
    positions = rng.uniform(-1, 1, (400, 3)) * np.array([40.0, 30.0, 25.0])
    own = ScatterSettings()
    turn = views.random_rotation(rng)
    made = sampling.views(own, positions, turn, constant, (2.0, 4.0), 8.0)
    size = views.extents(positions, turn, constant)
    for (view, shape), wanted in zip(made, (2.0, 4.0), strict=True):
        assert view.oversampling.min() == pytest.approx(wanted)
        np.testing.assert_allclose(view.oversampling, 1 / (view.step_inverse_angstrom * size))
        np.testing.assert_allclose(
            np.array(shape) * view.step_inverse_angstrom * size.max(), [8, 8, 8 + 2 * sampling.MARGIN]
        )
    coarse, fine = (
        views.pattern(own.model_copy(update={"shape": shape}), view, positions, constant) for view, shape in made
    )
    np.testing.assert_allclose(fine[::2, ::2, ::2], coarse, atol=2e-5 * np.abs(coarse).max())


def test_a_small_particle_is_seen_over_a_smaller_extent():
    own = ScatterSettings()
    positions = np.random.default_rng(0).uniform(-10, 10, (60, 3))
    ((view, shape),) = sampling.views(own, positions, np.eye(3), 4.0, (3.0,), 14.0)
    assert shape[0] < 3 * 14
    assert shape[2] * view.step_inverse_angstrom[2] / 2 <= 1.05 * own.reach * next_peak(4.0)
