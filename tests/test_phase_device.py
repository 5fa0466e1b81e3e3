"""Patterns drawn on a device: those of the processor, with other random numbers."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from braggfill.errors import BraggfillError
from braggfill.learning import phase_data, phase_device, phase_training
from braggfill.learning.phase_data import CLEAN, TRAINED

HULLS = replace(TRAINED[0], bodies=("hull",))


@pytest.fixture(scope="module")
def crystals():
    return [phase_data.crystal(1, i, HULLS) for i in range(24)]


@pytest.fixture(scope="module")
def stacked(crystals):
    box = (phase_device.BOX,) * 3
    objects = torch.from_numpy(np.stack([made.on(box) for made in crystals]))
    return objects, torch.from_numpy(np.stack([made.extent for made in crystals]).astype(np.float32))


def test_intensity_and_phase_are_those_of_the_processor(crystals, stacked):
    options = replace(CLEAN, turned=False, oversampling=(2.5, 2.5))
    found = phase_device.Exposer(options, 1).expose(*stacked)
    for i, made in enumerate(crystals[:4]):
        _, _, phase, intensity = phase_data.exposure(made, np.random.default_rng(0), options)
        np.testing.assert_allclose(found.intensity[i], intensity, atol=1e-5 * intensity.max())
        seen = intensity > 1e-6 * intensity.max()
        apart = np.abs(np.exp(1j * found.phase[i].numpy()) - np.exp(1j * phase))
        assert np.quantile(apart[seen], 0.99) < 1e-2
    counts = np.expm1(found.log_intensity[0].numpy())
    expected = found.intensity[0].numpy()
    assert ((counts - expected) ** 2).sum() == pytest.approx(expected.sum(), rel=0.1)
    assert not found.mask.any()


def test_turned_patterns_are_those_of_turned_crystals(crystals, stacked):
    """Mirrored or turned, a pattern's sorted intensities stay what they were."""
    options = replace(CLEAN, oversampling=(2.5, 2.5))
    plain = phase_device.Exposer(replace(options, turned=False, side=33), 1).expose(*stacked).intensity
    turned = phase_device.Exposer(replace(options, side=33), 2).expose(*stacked).intensity
    whole = [(one.flatten(1).sort(1).values) for one in (plain, turned)]
    torch.testing.assert_close(whole[0], whole[1], rtol=1e-3, atol=1e-3 * 1e6)
    other = (plain - turned).abs().flatten(1).amax(1) > 1
    assert int(other.sum()) >= len(other) - 4  # one of 48 is as it was


def test_what_is_seen_is_as_often_there_as_on_the_processor(crystals, stacked):
    times = 8
    theirs = [
        phase_data.exposure(made, np.random.default_rng(100 * k + i), TRAINED[1])
        for k in range(times)
        for i, made in enumerate(crystals)
    ]
    ours = [phase_device.Exposer(TRAINED[1], k).expose(*stacked) for k in range(times)]

    def close(a, b, spread):
        a, b = np.asarray(a, float), np.asarray(b, float)
        assert abs(a.mean() - b.mean()) < 4 * np.hypot(a.std(), b.std()) / np.sqrt(len(a)) < spread

    close([x[1].any() for x in theirs], torch.cat([x.mask.flatten(1).any(1) for x in ours]), 0.25)
    close([x[1].mean() for x in theirs], torch.cat([x.mask.float().mean((1, 2, 3)) for x in ours]), 0.05)
    close([x[0].mean() for x in theirs], torch.cat([x.log_intensity.mean((1, 2, 3)) for x in ours]), 2)
    close([np.log10(x[3].max()) for x in theirs], torch.cat([x.intensity.amax((1, 2, 3)).log10() for x in ours]), 0.7)


def test_a_blur_keeps_the_photons_and_spreads_the_peak(stacked):
    blurred = replace(CLEAN, blurred=1.0, blur=(0.5, 0.5), turned=False, oversampling=(3.0, 3.0))
    exposer = phase_device.Exposer(blurred, 1)
    values = torch.zeros(1, 12, 12, 12)
    values[0, 5, 6, 7] = values[0, 0, 0, 0] = 1
    found = exposer._blurred(values)
    assert float(found.sum()) == pytest.approx(2, rel=1e-5)
    from scipy.ndimage import gaussian_filter

    np.testing.assert_allclose(found[0], gaussian_filter(values[0].numpy(), 0.5, truncate=3.0), atol=1e-6)


def test_a_pool_gives_batches_while_processes_draw(capfd):
    pool = phase_device.Pool(3, 5, crystals=HULLS, workers=1, most=64, least=8)
    batches = iter(pool)
    first = next(batches)
    assert first.log_intensity.shape == first.mask.shape == (5, 32, 32, 32)
    training = phase_training.Training(
        None, phase_training.TrainingOptions(batch=5), channels=(4, 6, 8), blocks=1, heads=2
    )
    assert np.isfinite(float(training.learn(next(batches))))
    assert pool.drawn >= 8
    batches.close()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("least", [1, 10_000])
def test_a_process_that_fails_ends_the_training(least, stacked):
    """At once, before the first batch as well as after it: without new crystals the old ones are learnt by heart."""
    pool = phase_device.Pool(3, 2, crystals=replace(HULLS, bodies=("pebble",)), workers=1, most=64, least=least)
    if least == 1:
        pool._put(*stacked)
    with pytest.raises(BraggfillError, match=r"a process that draws crystals failed: [\s\S]*pebble"):
        list(islice(pool, 2000))
