"""Laws of the patches: where they lie, which split they go to, and that they are what the pattern holds."""

import numpy as np
import pytest
from braggfill.errors import BraggfillError
from braggfill.patterns.patching import window
from braggfill.runs import storage
from braggfill.runs.splits import RESERVED, TEST, TRAIN, VALIDATION, split_of
from braggfill.settings.extract import ExtractSettings, ScanSource
from braggfill.stages.extract.chunk import extract_chunk
from braggfill.stages.extract.places import distances, draw_origins, probabilities
from braggfill.stages.extract.scan import extract_scan, free_places, read_scan
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

few = settings(max_examples=25, deadline=None)
numbers = st.integers(0, 2**32 - 1)
SHAPE = (24, 22, 27)
SMALL = ExtractSettings(shape=(8, 8, 8), patches=6, min_photons=1, split_train=0.6, split_validation=0.2)


def change(**values):
    return ExtractSettings(**(SMALL.model_dump() | values))


def write_patterns(path, particles, views=(0, 1), photons=5.0):
    with storage.create(path) as file:
        for particle in particles:
            for view in views:
                rng = np.random.default_rng([particle, view])
                group = file.create_group(f"{particle:06d}/{view:02d}")
                group["expectation"] = rng.uniform(0, photons, SHAPE).astype(np.float32)
                group["counts"] = rng.poisson(group["expectation"][...]).astype(np.uint32)
                group.attrs.update({"particle": particle, "view": view, "oversampling": [2.0, 3.0, particle]})
    return path


def contents(path):
    with storage.read(path) as file:
        return {name: storage.array(file, name) for name in file} | {"source": file.attrs["source"]}


# Splits -------------------------------------------------------------------------------------------------------------


@given(numbers, st.integers(1, 30), st.integers(0, 30), st.integers(0, 30), st.integers(0, 5))
@few
def test_every_round_holds_every_split_and_the_shares_are_exact(seed, train, validation, test, rounds):
    parts = np.array([train + validation + test, validation, test])
    fractions = parts / parts.sum()
    length = int(np.ceil(1 / fractions[fractions > 0].min() - 1e-6))
    found = np.array([split_of(fractions, seed, i) for i in range((rounds + 1) * length)])
    counted = np.bincount(found, minlength=3)
    np.testing.assert_allclose(counted, fractions * len(found), atol=1.01)
    for start in range(0, len(found), length):
        assert set(found[start : start + length]) == {i for i in range(3) if parts[i]}


def test_the_evaluations_own_particles_are_never_trained_on():
    assert {split_of((1.0, 0.0, 0.0), seed, RESERVED + i) for seed in range(3) for i in range(50)} == {TEST}


def test_the_published_split_of_two_hundred_particles():
    found = [split_of(ExtractSettings().fractions, 1, i) for i in range(200)]
    assert [found.count(split) for split in (TRAIN, VALIDATION, TEST)] == [187, 8, 5]


def test_the_split_changes_with_the_seed_and_has_no_pattern():
    places = [[i for i in range(400) if split_of((0.9, 0.05, 0.05), seed, i) == TEST][:20] for seed in range(3)]
    assert places[0] != places[1] != places[2]
    assert len(set(np.diff(places[0]))) > 3


# Places -------------------------------------------------------------------------------------------------------------


@given(numbers, st.floats(-2, 3), st.floats(0, 1))
@few
def test_the_probability_is_that_of_the_equation(seed, power, near):
    peak = np.random.default_rng(seed).integers(0, SHAPE)
    own = change(periphery=power, near_peak_share=near, near_peak_radius_voxels=6)
    got = probabilities(own, SHAPE, peak)
    assert got.shape == tuple(n - 7 for n in SHAPE)
    centres = np.stack(np.meshgrid(*(np.arange(n - 7) + 3.5 for n in SHAPE), indexing="ij"), -1)
    distance = np.sqrt(((centres - peak) ** 2).sum(-1))
    outer = np.maximum(distance, 0.5) ** power
    inner = distance <= 6
    expected = outer / outer.sum()
    if inner.any():
        expected = (1 - near) * expected + near * inner / inner.sum()
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-12)


def test_drawn_places_follow_the_probability_and_prefer_the_periphery():
    counts = np.full((12, 12, 12), 9, np.uint32)
    own = change(periphery=1.0)
    chances = probabilities(own, counts.shape, (6, 6, 6))
    cumulative, hits = np.cumsum(chances), np.zeros(chances.shape)
    for seed in range(3000):
        rng = np.random.default_rng(seed)
        for origin in draw_origins(rng, cumulative, counts, own, 1):
            hits[tuple(origin)] += 1
    chi = ((hits - 3000 * chances) ** 2 / (3000 * chances)).sum()
    assert chi == pytest.approx(chances.size - 1, abs=6 * np.sqrt(2 * chances.size))
    distance = distances((12, 12, 12), (8, 8, 8), (6, 6, 6))
    means = [np.sum(distance * probabilities(change(periphery=k), (12, 12, 12), (6, 6, 6))) for k in (-2, 0, 1, 3)]
    assert means == sorted(means)
    assert means[0] < means[-1] - 0.5


@given(numbers, st.tuples(*[st.integers(1, 4)] * 3))
@few
def test_free_places_hold_no_missing_voxel(seed, size):
    missing = np.random.default_rng(seed).random((7, 6, 9)) < 0.03
    free = free_places(missing, size)
    for origin in np.ndindex(free.shape):
        assert free[origin] == (not missing[window(origin, size)].any())


def test_dark_places_are_drawn_again_and_a_dark_pattern_gives_fewer():
    counts = np.zeros(SHAPE, np.uint32)
    counts[:, :, 20] = 2
    own = change(min_photons=100)
    cumulative = np.cumsum(probabilities(own, SHAPE, (12, 11, 13)))
    origins = draw_origins(np.random.default_rng(0), cumulative, counts, own, 12)
    assert len(origins) == len(np.unique(origins, axis=0)) == 12
    assert ((origins[:, 2] > 12) & (origins[:, 2] <= 20)).all()
    assert len(draw_origins(np.random.default_rng(0), cumulative, counts * 0, own, 5)) == 0
    single = change(shape=(24, 22, 26))
    two = np.cumsum(probabilities(single, SHAPE, (12, 11, 13)))
    assert len(draw_origins(np.random.default_rng(0), two, counts, single, 5)) == 2


# Simulated patterns -------------------------------------------------------------------------------------------------


def test_patches_are_what_the_pattern_holds(tmp_path):
    source = write_patterns(tmp_path / "in.h5", [3, 4, 8])
    extract_chunk(SMALL, 5, source, tmp_path / "out.h5")
    got = contents(tmp_path / "out.h5")
    assert got["source"] == "simulated"
    assert got["counts"].shape == got["expectation"].shape == (3 * 2 * 6, 8, 8, 8)
    kinds = {"counts": "u4", "expectation": "f4", "origin": "i4", "particle": "i4", "view": "i2", "split": "u1"}
    assert {name: got[name].dtype.str[1:] for name in kinds} == kinds
    with storage.read(source) as file:
        for i, origin in enumerate(got["origin"]):
            group = file[f"{got['particle'][i]:06d}/{got['view'][i]:02d}"]
            assert np.array_equal(got["counts"][i], group["counts"][window(origin, 8)])
            assert np.array_equal(got["expectation"][i], group["expectation"][window(origin, 8)])
            assert got["oversampling"][i].tolist() == [2, 3, got["particle"][i]]
            assert got["split"][i] == split_of(SMALL.fractions, 5, int(got["particle"][i]))
    for particle in (3, 4, 8):
        places = got["origin"][(got["particle"] == particle) & (got["view"] == 0)]
        assert len(np.unique(places, axis=0)) == 6


def test_any_chunking_gives_the_same_patches(tmp_path):
    extract_chunk(SMALL, 5, write_patterns(tmp_path / "in.h5", range(6)), tmp_path / "all.h5")
    parts = []
    for chunk in (range(2), range(2, 5), range(5, 6)):
        out = tmp_path / f"{chunk.start}.h5"
        extract_chunk(SMALL, 5, write_patterns(tmp_path / f"in{chunk.start}.h5", chunk), out)
        parts.append(contents(out))
    whole = contents(tmp_path / "all.h5")
    for name in set(whole) - {"source"}:
        assert np.array_equal(whole[name], np.concatenate([part[name] for part in parts]))
    assert len(set(whole["split"])) == 3
    for particle in range(6):
        assert len(set(whole["split"][whole["particle"] == particle])) == 1


def test_damaged_files_give_one_line_and_no_output(tmp_path):
    whole, out = write_patterns(tmp_path / "in.h5", [0]), tmp_path / "out.h5"
    cut = tmp_path / "cut.h5"
    cut.write_bytes(whole.read_bytes()[:-2000])
    bare = tmp_path / "bare.h5"
    with storage.create(bare) as file:
        file["000001/00/counts"] = np.ones(SHAPE, np.uint32)
        file["000001/00/expectation"] = np.ones(SHAPE, np.float32)
    for path, own, words in [
        (cut, SMALL, "cut.h5.*truncated"),
        (bare, SMALL, "bare.h5: pattern 000001/00 lacks its description"),
        (whole, change(shape=(8, 8, 30)), r"extract\.shape: patches of \(8, 8, 30\) do not fit"),
    ]:
        with pytest.raises(BraggfillError, match=words) as caught:
            extract_chunk(own, 1, path, out)
        assert "\n" not in str(caught.value)
        assert not out.exists()


def test_a_step_left_out_stays_left_out(tmp_path):
    with storage.create(tmp_path / "in.h5", left_out="no LAMMPS"):
        pass
    extract_chunk(SMALL, 1, tmp_path / "in.h5", tmp_path / "out.h5")
    extract_scan(SMALL, 1, tmp_path / "in.h5", "any", tmp_path / "scan.h5")
    assert storage.left_out(tmp_path / "out.h5") == storage.left_out(tmp_path / "scan.h5") == "no LAMMPS"


# Measured scans -----------------------------------------------------------------------------------------------------


@pytest.fixture
def scan(tmp_path):
    counts = np.random.default_rng(1).poisson(3, SHAPE).astype(np.int32)
    counts[12, 11, 5] = 900
    np.savez(tmp_path / "scan.npz", data=counts)
    mask = np.zeros(SHAPE[1:], np.uint8)
    mask[:, 13:15] = 1
    np.save(tmp_path / "mask.npy", mask)
    return tmp_path / "scan.npz", counts, mask


def listed(**entry):
    return SMALL.model_copy(update={"scans": {"mine": ScanSource(**({"path": "scan.npz"} | entry))}})


def test_measured_patches_avoid_the_mask_and_share_one_split(scan, tmp_path):
    path, counts, mask = scan
    own = listed(mask=str(tmp_path / "mask.npy"), source="my beamline", split="validation")
    extract_scan(own, 2, path, "mine", tmp_path / "out.h5", patches=40)
    got = contents(tmp_path / "out.h5")
    assert len(got["counts"]) == 40
    assert got["source"] == "my beamline"
    assert got["counts"].dtype == np.uint32
    assert np.isnan(got["expectation"]).all()
    assert set(got["split"]) == {VALIDATION}
    assert set(got["particle"]) == set(got["view"]) == {-1}
    for patch, origin in zip(got["counts"], got["origin"], strict=True):
        assert np.array_equal(patch, counts[window(origin, 8)])
        assert not mask[window(origin[1:], 8)].any()


def test_a_scan_that_is_not_listed_goes_to_the_test(scan, tmp_path):
    extract_scan(SMALL, 2, scan[0], "other", tmp_path / "out.h5", patches=5)
    got = contents(tmp_path / "out.h5")
    assert set(got["split"]) == {TEST}
    assert got["source"] == "other"


def test_voxels_that_are_no_counts_are_masked(scan, tmp_path):
    counts = scan[1].astype(np.float32)
    counts[5, 5, 5], counts[20, 20, 20], counts[3, 18, 2] = np.nan, -1, np.inf
    np.save(tmp_path / "float.npy", counts)
    got, missing = read_scan(tmp_path / "float.npy", ScanSource(path="float.npy"))
    assert got.dtype == np.float32
    assert np.argwhere(missing).tolist() == [[3, 18, 2], [5, 5, 5], [20, 20, 20]]
    assert not got[missing].any()
    eiger = scan[1].astype(np.uint32)
    eiger[4, 4, 4] = 2**32 - 1
    np.save(tmp_path / "eiger.npy", eiger)
    got, missing = read_scan(tmp_path / "eiger.npy", ScanSource(path="eiger.npy"))
    assert np.argwhere(missing).tolist() == [[4, 4, 4]]
    assert np.array_equal(got[~missing], eiger[~missing])


def test_the_peak_is_the_brightest_voxel_or_the_one_named(scan, tmp_path):
    path, _, _ = scan
    own = {"periphery": 0, "near_peak_share": 1.0, "near_peak_radius_voxels": 4}
    for entry, peak in [({}, (12, 11, 5)), ({"peak": (10, 10, 20)}, (10, 10, 20))]:
        chosen = change(**own).model_copy(update={"scans": listed(**entry).scans})
        extract_scan(chosen, 2, path, "mine", tmp_path / "out.h5", patches=20)
        centres = contents(tmp_path / "out.h5")["origin"] + 3.5
        assert (np.linalg.norm(centres - peak, axis=1) <= 4).all()


def test_what_is_wrong_with_a_scan_is_told_in_one_line(scan, tmp_path):
    path, _, _ = scan
    np.save(tmp_path / "other.npy", np.zeros((5, 6), bool))
    np.save(tmp_path / "full.npy", np.ones(SHAPE, bool))
    for entry, words in [
        ({"mask": str(tmp_path / "other.npy")}, "other.npy.*does not fit"),
        ({"mask": str(tmp_path / "full.npy")}, "scan.npz: every place for a patch overlaps masked voxels"),
        ({"peak": (99, 0, 0)}, r"extract\.scans\.mine\.peak: .*outside"),
        ({"dataset": "nothing"}, "no array 'nothing'"),
    ]:
        with pytest.raises(BraggfillError, match=words) as caught:
            extract_scan(listed(**entry), 1, path, "mine", tmp_path / "out.h5")
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "out.h5").exists()
    with pytest.raises(BraggfillError, match=r"none\.npz: no such file"):
        extract_scan(SMALL, 1, tmp_path / "none.npz", "mine", tmp_path / "out.h5")


def test_a_measured_scan_gives_its_patches(measured, tmp_path):
    own = ExtractSettings()
    path = measured / "aps34idc_Staff20-1a_S0054.npz"
    extract_scan(own, 1, path, "aps_staff20_s0054", tmp_path / "out.h5", patches=20)
    got = contents(tmp_path / "out.h5")
    assert got["counts"].shape == (20, 32, 32, 32)
    assert (got["counts"].sum(axis=(1, 2, 3)) >= own.min_photons).all()
    assert (got["split"] == TEST).all()


# Settings -----------------------------------------------------------------------------------------------------------


def test_the_published_proportion_of_measured_patches():
    own = ExtractSettings(scans={"a": {"path": "a.h5"}, "b": {"path": "b.h5"}})
    assert own.patches_per_scan(15_000) == 7_500
    assert own.model_copy(update={"measured_share": 0.2}).patches_per_scan(15_000) == 1_875
    assert ExtractSettings().patches_per_scan(15_000) == 0


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"split_train": 0.9, "split_validation": 0.2}, "split_validation.*add up to more than 1"),
        ({"scans": {"a": {"path": "a.h5", "data": "x"}}}, "data"),
        ({"patches": 0}, "patches"),
        ({"near_peak_share": 2}, "near_peak_share"),
    ],
)
def test_settings_that_make_no_sense_are_named(wrong, words):
    with pytest.raises(ValidationError, match=f"(?s){words}"):
        ExtractSettings(**wrong)
