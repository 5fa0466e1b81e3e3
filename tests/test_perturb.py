"""Laws of the perturbation: fields, blur, counting, and the files that perturb writes."""

import json
import math

import numpy as np
import pytest
from braggfill.errors import BraggfillError
from braggfill.physics import fourier
from braggfill.runs import seeds, storage
from braggfill.settings.perturb import PerturbSettings
from braggfill.stages import perturb
from hypothesis import given, settings
from hypothesis import strategies as st
from patterns import ellipsoid as pattern
from pydantic import ValidationError

few = settings(max_examples=15, deadline=None)
numbers = st.integers(0, 2**32 - 1)
shapes = st.tuples(*[st.integers(16, 33)] * 3)


def run(seed=0, amplitude=None, **changes):
    """Parameters and steps of one pattern with some settings changed."""
    own = PerturbSettings(**changes)
    rng = np.random.default_rng(seed)
    parameters = perturb.draw(own, rng)
    return parameters, perturb.steps(pattern() if amplitude is None else amplitude, parameters, rng)


# Real space ---------------------------------------------------------------------------------------------------------


@given(shapes, numbers)
@few
def test_nothing_lies_between_zero_and_the_threshold(shape, seed):
    _, done = run(seed, pattern(shape, seed), modulus_noise=(0, 0), support_threshold=0.1)
    modulus = np.abs(done.smoothed)
    inside = modulus > 0
    assert 0 < inside.mean() < 0.2
    assert modulus[inside].min() >= 0.0999 * modulus.max()
    assert not np.abs(done.perturbed)[~inside].any()


@given(shapes, numbers, st.floats(0.3, 1.5))
@few
def test_smoothing_keeps_the_sum_and_the_phase_and_rounds(shape, seed, sigma):
    ideal = fourier.inverse(pattern(shape, seed))
    smoothed = perturb.smooth(ideal, sigma, 0.0)
    assert np.abs(smoothed).sum() == pytest.approx(np.abs(ideal).sum(), rel=1e-4)
    assert np.abs(smoothed).max() <= np.abs(ideal).max() * 1.0001
    assert np.std(np.diff(np.abs(smoothed), axis=0)) < np.std(np.diff(np.abs(ideal), axis=0))
    solid = np.abs(ideal) > 0.1 * np.abs(ideal).max()
    np.testing.assert_allclose(np.angle(smoothed[solid] / ideal[solid]), 0, atol=1e-5)


@given(numbers, st.floats(0.5, 3.0))
@few
def test_the_modulus_field_lies_between_zero_and_its_span(seed, span):
    _, done = run(seed, modulus_noise=(span, span), phase_replaced_share=0)
    inside = np.abs(done.smoothed) > 0
    factor = np.abs(done.perturbed[inside]) / np.abs(done.smoothed[inside])
    assert factor.min() >= 1 - 1e-5
    assert factor.max() <= 1 + span + 1e-5
    assert np.ptp(factor) > 0.2 * span
    np.testing.assert_allclose(np.angle(done.perturbed[inside] / done.smoothed[inside]), 0, atol=1e-5)


@given(numbers, st.floats(0.5, 9.0))
@few
def test_a_replaced_phase_keeps_the_modulus_and_stays_in_its_range(seed, span):
    amplitude = pattern((48, 40, 32))
    _, kept = run(seed, amplitude, phase_range_radians=(span, span), phase_replaced_share=0)
    _, replaced = run(seed, amplitude, phase_range_radians=(span, span), phase_replaced_share=1)
    np.testing.assert_allclose(np.abs(replaced.perturbed), np.abs(kept.perturbed), rtol=1e-5)
    inside = np.abs(replaced.perturbed) > 0
    wrapped = np.abs(np.angle(replaced.perturbed[inside]))
    assert wrapped.max() <= min(span / 2, np.pi) + 1e-5
    assert wrapped.max() > 0.15 * min(span / 2, np.pi)
    assert not np.allclose(np.angle(replaced.perturbed[inside]), np.angle(kept.perturbed[inside]), atol=0.1)


def test_the_share_of_replaced_phases_is_the_settings():
    rng = np.random.default_rng(0)
    drawn = [perturb.draw(PerturbSettings(phase_replaced_share=0.3), rng).phase_replaced for _ in range(2000)]
    assert np.mean(drawn) == pytest.approx(0.3, abs=5 * math.sqrt(0.3 * 0.7 / 2000))


def test_without_any_change_the_intensity_is_the_squared_amplitude():
    amplitude = pattern()
    _, done = run(
        0,
        amplitude,
        smoothing_sigma_voxels=(0, 0),
        support_threshold=0,
        modulus_noise=(0, 0),
        phase_replaced_share=0,
        blur_sigma_voxels=(0, 0),
    )
    exact = np.abs(amplitude) ** 2
    np.testing.assert_allclose(done.expectation / done.expectation.max(), exact / exact.max(), atol=2e-4)


# Reciprocal space ---------------------------------------------------------------------------------------------------


@given(numbers, st.floats(0.0, 9.0))
@few
def test_the_brightest_voxel_has_the_photons_drawn(seed, exponent):
    parameters, done = run(seed, photons_exponent=(exponent, exponent))
    assert parameters.photons == pytest.approx(10**exponent)
    assert done.expectation.max() == pytest.approx(parameters.photons, rel=2e-4)
    assert done.expectation.min() >= 0
    assert done.expectation.dtype == np.float32
    assert done.counts.dtype == np.uint32


def test_counts_are_poisson_numbers_of_the_expectation():
    bright, dark = [], []
    for seed in range(4):
        _, done = run(seed, photons_exponent=(6, 6))
        mean = done.expectation.astype(float)
        large = mean > 20
        bright.append((done.counts[large] - mean[large]) / np.sqrt(mean[large]))
        some = (mean > 0.05) & ~large
        dark.append((np.mean(done.counts[some] == 0), np.mean(np.exp(-mean[some])), some.sum()))
    normal = np.concatenate(bright)
    assert len(normal) > 10_000
    assert normal.mean() == pytest.approx(0, abs=5 / math.sqrt(len(normal)))
    assert normal.var() == pytest.approx(1, abs=8 / math.sqrt(len(normal)))
    for empty, expected, number in dark:
        assert empty == pytest.approx(expected, abs=5 * math.sqrt(0.25 / number))


def test_the_blur_lowers_contrast_and_keeps_the_total():
    parameters, done = run(3, blur_sigma_voxels=(1.0, 1.0), photons_exponent=(6, 6))
    assert perturb.blur_sigmas(parameters, (3, 3, 3)).tolist() == [1, 1, 1]
    assert done.expectation.sum() == pytest.approx(done.intensity.sum(), rel=0.02)
    assert done.expectation.max() < done.intensity.max()
    assert done.expectation.std() < done.intensity.std()


def test_partial_coherence_multiplies_the_autocorrelation():
    """A Gaussian mutual coherence of c extents: exp(-d² / 2 c²) on the autocorrelation of the object."""
    shape, extents, oversampling = (40, 36, 45), (0.5, 0.7, 0.6), np.array([2.5, 3.0, 3.5])
    own = {"blur_sigma_voxels": (0, 0), "coherence": False, "modulus_noise": (0, 0), "phase_replaced_share": 0}
    parameters = perturb.draw(PerturbSettings(**own), np.random.default_rng(0))
    parameters = perturb.Parameters(**{**vars(parameters), "coherence_extents": extents})
    done = perturb.steps(pattern(shape), parameters, np.random.default_rng(1), oversampling)
    lengths = np.array(extents) * np.array(shape) / oversampling
    damping = np.exp(-sum((g / c) ** 2 for g, c in zip(fourier.grid(shape), lengths, strict=True)) / 2)
    blurred = fourier.forward(fourier.inverse(done.intensity) * damping).real
    mine = done.expectation * (blurred.max() / done.expectation.max())
    middle = tuple(slice(6, -6) for _ in shape)
    np.testing.assert_allclose(mine[middle], blurred[middle], atol=0.01 * blurred.max())


def test_a_background_is_added_before_counting():
    _, plain = run(5, photons_exponent=(4, 4))
    _, done = run(5, photons_exponent=(4, 4), background_photons=(2.5, 2.5))
    np.testing.assert_allclose(done.expectation, plain.expectation + 2.5, rtol=3e-4)
    weak = plain.expectation < 0.1
    number, expected = np.count_nonzero(weak), done.expectation[weak].mean()
    assert number > 500
    assert done.counts[weak].mean() == pytest.approx(expected, abs=5 * math.sqrt(expected / number))


def test_what_air_scatters_is_the_same_in_every_frame_and_uneven_over_them():
    _, plain = run(6, photons_exponent=(4, 4))
    parameters, done = run(6, photons_exponent=(4, 4), background_exponent=(0, 0), background_unevenness=(0.5, 0.5))
    added = done.expectation - plain.expectation
    frame = added[0]
    assert np.abs(added - frame).max() < 3e-4 * done.expectation.max()
    assert parameters.air_photons == 1
    assert 0.2 < frame.min() < 0.8 * frame.max() < 8
    assert (run(6, photons_exponent=(4, 4), background_exponent=None)[1].expectation == plain.expectation).all()


def test_a_flat_field_multiplies_each_pixel_alike_in_every_frame():
    _, plain = run(8)
    _, done = run(8, flat_field=(0.1, 0.1))
    gains = done.expectation / plain.expectation
    assert np.ptp(gains, axis=0).max() < 2e-3
    assert np.log(gains[0]).std() == pytest.approx(0.1, rel=0.15)
    assert abs(np.log(gains[0]).mean()) < 0.02


def test_the_point_spread_blurs_along_the_detector_alone():
    parameters, done = run(7, blur_sigma_voxels=(0.6, 0.6), point_spread_pixels=(0.8, 0.8))
    assert perturb.blur_sigmas(parameters, (3, 3, 3)) == pytest.approx([0.6, 1.0, 1.0])
    assert done.expectation.max() < done.intensity.max()


# Settings -----------------------------------------------------------------------------------------------------------


def test_parameters_are_uniform_in_their_ranges():
    rng, own = np.random.default_rng(0), PerturbSettings(background_photons=(1, 2), coherence=False)
    drawn = [perturb.draw(own, rng) for _ in range(1500)]
    values = {
        "smoothing_sigma_voxels": [p.smoothing_sigma_voxels for p in drawn],
        "modulus_noise": [p.modulus_noise for p in drawn],
        "modulus_correlation": [p.modulus_correlation for p in drawn],
        "phase_range_radians": [p.phase_range_radians for p in drawn],
        "phase_correlation": [p.phase_correlation for p in drawn],
        "blur_sigma_voxels": [p.blur_sigma_voxels for p in drawn],
        "photons_exponent": [math.log10(p.photons) for p in drawn],
        "background_photons": [p.background_photons for p in drawn],
        "coherence_extents": [c for p in drawn for c in p.coherence_extents],
    }
    for name, found in values.items():
        low, high = getattr(own, name)
        assert low <= min(found) < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < max(found) <= high
        quarters = np.histogram(found, 4, (low, high))[0] / len(found)
        np.testing.assert_allclose(quarters, 0.25, atol=0.06)


def test_the_defaults_are_the_published_ranges():
    own = PerturbSettings()
    assert own.smoothing_sigma_voxels == (0.45, 0.75)
    assert own.support_threshold == 0.1
    assert own.modulus_noise == (0.5, 3.0)
    assert own.modulus_correlation == own.phase_correlation == (0.01, 0.1)
    assert own.phase_range_radians == pytest.approx((math.pi / 3, 3 * math.pi))
    assert own.blur_sigma_voxels == (0.5, 1.1)
    assert own.photons_exponent == (5.0, 6.3)
    assert own.background_photons == (0, 0)
    assert own.coherence


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"blur_sigma_voxels": (2, 1)}, "blur_sigma_voxels.*must not go down"),
        ({"photons_exponent": (5, 12)}, r"photons_exponent.*must lie within \[0, 9.3\]"),
        ({"phase_range_radians": (-1, 1)}, "phase_range_radians.*must lie within"),
        ({"support_threshold": 1.0}, "support_threshold"),
        ({"phase_replaced_share": 1.5}, "phase_replaced_share"),
    ],
)
def test_ranges_that_make_no_sense_are_named(wrong, words):
    with pytest.raises(ValidationError, match=f"(?s){words}"):
        PerturbSettings(**wrong)


# Files --------------------------------------------------------------------------------------------------------------

SHAPE = (24, 20, 21)


def write_patterns(path, particles, views=(0, 1), **changes):
    with storage.create(path) as file:
        for particle in particles:
            for view in views:
                group = file.create_group(f"{particle:06d}/{view:02d}")
                group["amplitude"] = pattern(SHAPE, 10 * particle + view) * changes.get("scale", 1)
                group.attrs.update(
                    {
                        "particle": particle,
                        "view": view,
                        "hkl": (2, 0, 0),
                        "element": "Au",
                        "shape": "wulff",
                        "lattice_constant_angstrom": 4.08,
                        "rotation": np.eye(3),
                        "step_inverse_angstrom": np.full(3, 0.01),
                        "oversampling": np.array([3.0, 3.1, 3.2]),
                    }
                )
    return path


def contents(path):
    with storage.read(path) as file:
        groups = {f"{particle}/{view}": file[particle][view] for particle in file for view in file[particle]}
        return {
            name: (
                storage.array(group, "counts"),
                storage.array(group, "expectation"),
                {key: np.asarray(value).tolist() for key, value in group.attrs.items()},
            )
            for name, group in groups.items()
        }


def test_any_chunking_gives_the_same_arrays(tmp_path):
    perturb.perturb_chunk(PerturbSettings(), 3, write_patterns(tmp_path / "in.h5", [0, 1, 5]), tmp_path / "all.h5")
    together, parts = contents(tmp_path / "all.h5"), {}
    for chunk in ([5, 0], [1]):
        out = tmp_path / f"{chunk[0]}.h5"
        perturb.perturb_chunk(PerturbSettings(), 3, write_patterns(tmp_path / f"in{chunk[0]}.h5", chunk), out)
        parts |= contents(out)
    assert together.keys() == parts.keys()
    for name, (counts, expectation, attributes) in together.items():
        assert np.array_equal(counts, parts[name][0])
        assert np.array_equal(expectation, parts[name][1])
        assert attributes == parts[name][2]
    assert not np.array_equal(together["000000/00"][0], together["000000/01"][0])


def test_every_drawn_parameter_is_kept_and_gives_the_pattern_again(tmp_path):
    own = PerturbSettings(coherence=False)
    perturb.perturb_chunk(own, 3, write_patterns(tmp_path / "in.h5", [2]), tmp_path / "out.h5", code="abc")
    counts, expectation, attributes = contents(tmp_path / "out.h5")["000002/01"]
    assert (counts.dtype, expectation.dtype) == (np.uint32, np.float32)
    assert attributes["oversampling"] == [3.0, 3.1, 3.2]
    assert attributes["element"] == "Au"
    drawn = json.loads(attributes["parameters"])
    assert all(attributes[name] == pytest.approx(value) for name, value in drawn.items())
    rng = seeds.generator(3, "perturb", 2, 1)
    parameters = perturb.draw(own, rng)
    assert json.loads(json.dumps(vars(parameters))) == drawn
    again = perturb.steps(pattern(SHAPE, 21), parameters, rng, [3.0, 3.1, 3.2])
    assert np.array_equal(again.counts, counts)
    assert np.array_equal(again.expectation, expectation)


def test_damaged_files_give_one_line_and_no_output(tmp_path):
    whole = write_patterns(tmp_path / "in.h5", [0])
    cut, out = tmp_path / "cut.h5", tmp_path / "out.h5"
    cut.write_bytes(whole.read_bytes()[:-4000])
    dark = write_patterns(tmp_path / "dark.h5", [4], scale=0)
    bare = tmp_path / "bare.h5"
    with storage.create(bare) as file:
        file["000001/00/amplitude"] = pattern(SHAPE)
    lost = tmp_path / "lost.h5"
    with storage.create(lost) as file:
        file.create_group("000001/00")
    for path, words in [
        (cut, "cut.h5.*truncated"),
        (dark, "dark.h5: pattern 000004/00: .*zero everywhere"),
        (bare, "bare.h5: pattern 000001/00 lacks its description"),
        (lost, "lost.h5: /000001/00/amplitude is missing or damaged"),
        (tmp_path / "none.h5", "none.h5: no such file"),
    ]:
        with pytest.raises(BraggfillError, match=words) as caught:
            perturb.perturb_chunk(PerturbSettings(), 1, path, out)
        assert "\n" not in str(caught.value)
        assert not out.exists()


def test_a_step_left_out_stays_left_out(tmp_path):
    with storage.create(tmp_path / "in.h5", left_out="no atoms to be had"):
        pass
    perturb.perturb_chunk(PerturbSettings(), 1, tmp_path / "in.h5", tmp_path / "out.h5")
    assert storage.left_out(tmp_path / "out.h5") == "no atoms to be had"


def test_the_steps_for_the_figures_are_those_of_the_chunk(tmp_path):
    patterns = write_patterns(tmp_path / "in.h5", [0, 4])
    perturb.perturb_chunk(PerturbSettings(), 3, patterns, tmp_path / "out.h5")
    perturb.perturb_steps(PerturbSettings(), 3, patterns, tmp_path / "steps.h5")
    whole = contents(tmp_path / "out.h5")
    with storage.read(tmp_path / "steps.h5") as file:
        assert [f"{particle}/{view}" for particle in file for view in file[particle]] == ["000000/00", "000004/00"]
        for name in ("000000/00", "000004/00"):
            counts, expectation, attributes = whole[name]
            assert np.array_equal(storage.array(file[name], "counts")[0], counts.sum(axis=0))
            assert np.array_equal(storage.array(file[name], "expectation")[1], expectation[SHAPE[0] // 2])
            assert {key: np.asarray(value).tolist() for key, value in file[name].attrs.items()} == attributes
            ideal, intensity = storage.array(file[name], "intensity_ideal"), storage.array(file[name], "intensity")
            assert ideal.shape == intensity.shape == (2, *SHAPE[1:])
            objects = [storage.array(file[name], step) for step in ("ideal", "smoothed", "perturbed")]
            assert len({found.shape for found in objects}) == 1
            support = [found != 0 for found in objects[1:]]
            assert np.array_equal(*support)
            assert not support[0][0].any()
            assert not support[0][-1].any()
