"""Values that are no photons, signs and noise, and frames and pixels that look wrong."""

from __future__ import annotations

import time

import numpy as np
import pytest
from braggfill import scans
from braggfill.physics import fourier
from braggfill.runs.seeds import generator
from braggfill.scans import units
from scan_files import told

SHAPE = (40, 48, 44)
GAP = np.zeros(SHAPE, bool)
GAP[:, :, 30:33] = True


def pattern(light):
    box = np.zeros(SHAPE)
    box[14:26, 17:31, 15:29] = 1
    intensity = np.abs(fourier.forward(box)) ** 2
    return light * intensity / intensity.max() + 0.2


def counts(light=2e5):
    return generator(3, "test/units").poisson(pattern(light)).astype(float)


# Units --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize("photons", [3.1e4, 2e5 / 3, 0.01, 1 / 1.5, 7.3])
def test_scaled_counts_are_refused_with_their_unit(photons, kind):
    found = scans.unit((counts() / photons).astype(kind), GAP)
    assert found.photons == pytest.approx(photons, rel=1e-3)
    line = told(lambda: units.refuse(found, "scan.npz"), "scan.npz", "multiple of", "--photons-per-unit")
    assert float(line.partition("--photons-per-unit ")[2].split()[0]) == pytest.approx(photons, rel=1e-3)
    back = units.to_photons((counts() / photons).astype(kind), found.photons)
    np.testing.assert_array_equal(back, counts())


def test_whole_numbers_in_steps_are_no_photons_either():
    found = scans.unit((counts() * 12).astype("u4"), GAP)
    assert (found.photons, found.by) == (1 / 12, "steps")
    told(lambda: units.refuse(found, "a"), "multiple of 12")


@pytest.mark.parametrize("kind", ["u2", "u4", "i4", "f4", "f8"])
def test_counts_are_photons(kind):
    found = scans.unit(np.minimum(counts(), 65000).astype(kind), GAP)
    assert found == (1.0, "whole", "", "")


@pytest.mark.parametrize("adu", [7, 20, 250])
@pytest.mark.parametrize("pedestal", [None, 0, 100])
def test_whole_numbers_are_no_photons_if_their_variance_is_another(adu, pedestal):
    values = np.rint(counts() * adu * 1.003 + generator(2, "noise").normal(0, 0.2 * adu, SHAPE))
    data = values.astype("i4") if pedestal is None else np.maximum(values + pedestal, 0).astype("u4")
    found = scans.unit(data, GAP)
    assert found.by == "whole"
    told_unit = float(found.remark.partition("--photons-per-unit ")[2].split()[0])
    assert 0.4 < told_unit * adu < 2
    assert "less noise than counts" in scans.unit(np.rint(counts() / 10).astype("u4"), GAP).remark


def test_frames_that_were_scaled_each_by_its_monitor():
    monitor = generator(1, "monitor").uniform(2.5e4, 3.5e4, (SHAPE[0], 1, 1))
    found = scans.unit(counts() / monitor, GAP)
    assert found.by == "frames"
    assert 2.5e4 < found.photons < 3.5e4
    told(lambda: units.refuse(found, "a"), "each frame was scaled by itself")
    found = scans.unit(counts() / monitor * 3e4, GAP)
    assert not found.impossible  # nearly photons: said, not refused
    assert "each frame was scaled" in found.remark


@pytest.mark.parametrize("photons", [0.01, 5.0, 1.0])
def test_where_noise_blurs_the_steps_the_variance_tells(photons):
    noisy = (counts() + generator(2, "noise").normal(0, 0.2, SHAPE)) / photons
    found = scans.unit(noisy, GAP)
    assert found.by == "variance"
    assert found.photons == pytest.approx(photons, rel=0.5)
    assert bool(found.remark) == (photons != 1.0)


@pytest.mark.parametrize("values", [pattern(0.5) - 0.2, pattern(1.0) * 1e30])
def test_values_that_no_detector_counts_are_refused(values):
    told(lambda: units.refuse(scans.unit(values, GAP), "a"), "no photons")


# Signs and noise ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spread", [0.3, 3.0, 40.0])
@pytest.mark.parametrize("whole", [False, True])
def test_noise_below_zero_is_measured(spread, whole):
    dark = counts() * spread / 0.3 + generator(4, "dark").normal(0, spread, SHAPE)
    dark = np.rint(dark).astype("i4") if whole and spread > 1 else dark.astype("f4")
    found = scans.marked(dark)
    assert not found.array.any()
    np.testing.assert_array_equal(found.noise, dark < 0)
    scans.check(dark, GAP)


@pytest.mark.parametrize("spread", [0.35, 0.45])
@pytest.mark.parametrize("light", [0.003, 0.2])
def test_noise_that_was_rounded_to_minus_one_is_measured(spread, light):
    photons = generator(3, "rounded").poisson(pattern(2e5) - 0.2 + light)
    dark = np.rint(photons + generator(4, "dark").normal(0, spread, SHAPE)).astype("i4")
    dark[GAP] = -1
    found = scans.marked(dark)
    np.testing.assert_array_equal(found.array, GAP)
    np.testing.assert_array_equal(found.noise, (dark < 0) & ~GAP)


def test_regions_and_pixels_of_minus_one_stay_signs():
    data = counts().astype("i4")
    data[GAP], data[5:9] = -1, -1  # frames
    data[20:30, 3:20, 5:20] = -2  # a region of some frames
    np.testing.assert_array_equal(scans.marked(data).array, data < 0)


def test_signs_among_noise_stay_signs():
    dark = (counts() + generator(4, "dark").normal(0, 0.3, SHAPE)).astype("f4")
    dark[GAP] = -1  # one value, in every frame
    dark[5, 6, 7], dark[8, 9, 10] = np.nan, -9999
    found = scans.marked(dark)
    expected = GAP.copy()
    expected[5, 6, 7] = expected[8, 9, 10] = True
    np.testing.assert_array_equal(found.array, expected)
    assert found.noise.any()


@pytest.mark.parametrize("sign", [-1, -2, -5.0])
@pytest.mark.parametrize("kind", ["i4", "f4"])
def test_a_few_negative_voxels_or_one_value_are_signs(sign, kind):
    data = counts().astype(kind)
    data[GAP] = sign
    data[3, 4, 5] = -7
    found = scans.marked(data)
    assert found.noise is None or not found.noise.any()
    assert found.array.sum() == GAP.sum() + 1


@pytest.mark.parametrize(("kind", "sign"), [("i4", 2**16 - 1), ("f4", 2**32 - 1), ("f8", 2**32 - 1), ("i8", 2**32 - 1)])
def test_the_largest_integer_of_another_type_marks_pixels_that_bear_it_in_every_frame(kind, sign):
    data = np.minimum(counts(), 60000).astype(kind)
    data[GAP] = sign
    found = scans.marked(data)
    np.testing.assert_array_equal(found.array, GAP)
    data = np.minimum(counts(), 60000).astype(kind)
    data[3, 4, 5] = 65535  # a count like any other
    assert not scans.marked(data).array.any()


@pytest.mark.parametrize("kind", ["u4", "u8", "f4", "f8", "u2"])
def test_the_sign_below_the_largest_integer_marks_bad_pixels(kind):
    top = 2**16 if kind == "u2" else 2**32
    data = np.minimum(counts(), 60000).astype(kind)
    bad = GAP.copy()
    bad[:, 5, 6] = True
    data[GAP], data[:, 5, 6] = top - 1, top - 2
    if kind == "u8":
        data[GAP], data[:, 5, 6] = 2**64 - 1, 2**64 - 2
    np.testing.assert_array_equal(scans.marked(data).array, bad)
    told(lambda: scans.check(data, GAP, "a.npz"), "40 measured voxels are", "--join")


def test_check_and_marked_have_one_rule():
    data = np.minimum(counts(), 60000).astype("u2")
    data[:, 20, 20] = 65535
    told(lambda: scans.check(data, GAP, "a.npz"), "40 measured voxels are the largest integer", "--join")


# Frames and pixels --------------------------------------------------------------------------------------------------


def frames(change):
    data = counts(1e4).astype("u2")
    change(data)
    return scans.suspicions(data, GAP)


def put(place, value):
    def change(data):
        data[place] = data[value] if isinstance(value, slice) else value

    return change


SUSPECT = {
    "sound": (lambda data: None, None),
    "a frame lost": (put(slice(18, 19), 0), "frame 18 holds no count at all; if not recorded, add mask[18] = True"),
    "stopped": (put(slice(30, 40), 0), "stopped after 30 of 40"),
    "padded": (put(slice(35, 40), 65535), "frames missing as a whole: 35 to 39"),
    "repeated": (put(slice(20, 21), slice(19, 20)), "repeat the one before: 20;"),
    "a dead row": (put((slice(None), 24), 0), "rows without a count in any frame: 24; if dead, add mask[:, 24] = True"),
    "dead columns": (
        put((slice(None), slice(None), slice(20, 22)), 0),
        "columns without a count in any frame: 20 to 21",
    ),
    "a dead row at the border": (put((slice(None), 0), 0), "rows without a count in any frame: 0; if dead"),
    "the first frame lost": (put(slice(0, 1), 0), "frame 0 holds no count at all; if not recorded, add mask[0] = True"),
    "the last frame lost": (put(slice(39, 40), 0), "frame 39 holds no count at all (the scan seems to have stopped"),
    "dead pixels": (put((slice(None), slice(23, 25), slice(21, 23)), 0), "look dead, no count among neighbours"),
    "hot pixels": (put((slice(None), 5, 6), 400), "look hot, bright in every frame: 1;"),
}


@pytest.mark.parametrize("how", SUSPECT)
def test_what_looks_wrong_is_said_and_nothing_else(how):
    change, part = SUSPECT[how]
    lines = frames(change)
    assert len(lines) == (part is not None), lines
    if part:
        assert part in lines[0]


def test_a_pedestal_in_every_pixel_takes_no_time():
    """300 frames of a whole Maxipix with 100 ADU in every pixel, as many seconds as single passes over it take."""
    data = generator(5, "pedestal").poisson(0.3, (100, 516, 516)).astype("u2") + np.uint16(100)
    mask = np.zeros(data.shape, bool)
    mask[:, 255:261] = True
    started = time.process_time()
    for _ in range(4):
        data.max()
        (data == 3).any()
    once = (time.process_time() - started) / 4
    started = time.process_time()
    assert not scans.hot(data, mask).any()
    assert time.process_time() - started < 20 * once + 1


# Other instances ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize(
    ("change", "name"), [(np.sqrt, "square root"), (np.log1p, "logarithm"), (lambda v: np.log10(v + 1), "decimal")]
)
def test_amplitudes_and_logarithms_are_no_photons(change, name, kind):
    found = scans.unit(change(counts()).astype(kind), GAP)
    told(lambda: units.refuse(found, "scan.npz"), name, "give the counts themselves")


def test_flat_field_corrected_and_divided_by_a_monitor():
    flat = generator(5, "test/units").normal(1, 0.03, SHAPE[1:])
    assert not scans.unit(counts() / flat, GAP).impossible
    found = scans.unit((counts() / flat / 3e4).astype("f4"), GAP)
    assert found.impossible
    assert found.photons == pytest.approx(3e4, rel=0.3)


def test_numbers_of_half_precision(recwarn):
    assert scans.unit(np.minimum(counts(), 6e4).astype("f2"), GAP).photons == 1
    assert not recwarn.list


@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize("less", [0.3, 1.25])
def test_counts_less_a_constant_are_measured_and_photons(kind, less):
    array = (counts() - less).astype(kind)
    array[GAP] = -1
    found = scans.marked(array)
    np.testing.assert_array_equal(found.array, GAP)
    np.testing.assert_array_equal(found.noise, (array < 0) & ~GAP)
    told_unit = scans.unit(array, GAP)
    assert told_unit.photons == 1
    assert "a constant" in told_unit.remark


def test_whole_counts_less_a_whole_constant_are_measured():
    array = generator(6, "test/units").poisson(pattern(2e5) / 2).astype("i4") - 2
    assert not scans.marked(array).kinds
    array[GAP] = -2  # a sign of the gap in every frame, and the background's value by chance
    assert not (scans.marked(array).array & ~GAP).any()


def test_parts_of_frames_that_were_lost_and_saturation_are_said():
    array = counts()
    none = np.zeros(SHAPE, bool)
    usual = scans.suspicions(array, none)

    def line(*place, value=0.0):
        changed = array.copy()
        changed[place] = value
        (more,) = [line for line in scans.suspicions(changed, none) if line not in usual]
        return more

    everything = slice(None)
    rows = line(slice(18, 21), slice(24))
    assert "rows without a count in some frames only" in rows
    assert "mask[18:21, 1:24] = True" in rows  # row 0 is too dim to tell
    assert "mask[20:21, :, 15:25] = True" in line(20, everything, slice(15, 25))
    full = line(slice(19, 22), slice(23, 26), slice(21, 24), value=2**20 - 1)
    assert "1048575, stands in 27 voxels" in full
    dead = line(everything, slice(22, 25), slice(20, 23))
    assert "look dead" in dead
    assert ": 9;" in dead
