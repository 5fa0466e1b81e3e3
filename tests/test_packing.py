"""Laws of storage: rounding says how much it changes, and compression changes nothing."""

import h5py
import numpy as np
import pytest
from braggfill.runs import packing, storage
from braggfill.runs.packing import round_digits, round_to_peak
from hypothesis import given, settings
from hypothesis import strategies as st

few = settings(max_examples=25, deadline=None)
numbers = st.integers(0, 2**32 - 1)


@given(numbers, st.integers(4, 20))
@few
def test_rounding_says_how_much_it_changes(seed, bits):
    rng = np.random.default_rng(seed)
    values = np.exp(rng.uniform(-40, 20, 500)).astype(np.float32)
    values[:5] = 0
    rounded = round_digits(values, bits)
    assert np.abs(rounded - values).max(initial=0, where=values == 0) == 0
    assert (np.abs(rounded[5:] / values[5:].astype(float) - 1) <= 2.0 ** -(bits + 1) * 1.001).all()
    assert np.array_equal(round_digits(rounded, bits), rounded)
    amplitude = (rng.standard_normal(300) + 1j * rng.standard_normal(300)).astype(np.complex64) * values[7]
    error = round_to_peak(amplitude, bits) - amplitude
    allowed = 2.0 ** -(bits + 1) * np.abs(amplitude).max() * (1 + 1e-6)
    assert max(np.abs(error.real).max(), np.abs(error.imag).max()) <= allowed


@pytest.mark.parametrize("kind", ["uint32", "float32", "complex64", "bool"])
def test_what_is_written_is_read(tmp_path, kind):
    array = (np.random.default_rng(0).standard_normal((5, 6, 7)) * 9).astype(kind)
    with storage.create(tmp_path / "a.h5") as file:
        packing.write(file, "whole", array)
        packing.write(file, "pieces", array, chunks=(2, 3, 4))
    with storage.read(tmp_path / "a.h5") as file:
        for name in ("whole", "pieces"):
            assert file[name].dtype == array.dtype
            assert np.array_equal(storage.array(file, name), array)


def test_rounding_is_what_makes_files_small(tmp_path):
    values = np.random.default_rng(0).lognormal(size=(32, 32, 32)).astype(np.float32)
    for name, array in (("raw", values), ("rounded", round_digits(values))):
        with storage.create(tmp_path / name) as file:
            packing.write(file, "array", array)
    assert (tmp_path / "rounded").stat().st_size < 0.75 * (tmp_path / "raw").stat().st_size


def test_an_amplitude_of_zeros_stays_as_it_is():
    assert not round_to_peak(np.zeros((3, 3), np.complex64)).any()


def test_a_piece_that_a_full_disk_left_empty_is_found(tmp_path):
    values = np.random.default_rng(1).standard_normal((8, 64, 64)).astype(np.float32)
    path = tmp_path / "some.h5"
    with h5py.File(path, "w") as file:
        place = packing.write(file, "values", values, chunks=(1, 64, 64)).id.get_chunk_info(4)
    raw = bytearray(path.read_bytes())
    start = place.byte_offset + place.size // 2
    raw[start : start + 2000] = bytes(2000)
    path.write_bytes(raw)
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["values"][:4], values[:4])
        with pytest.raises(OSError, match="read"):
            file["values"][4]
