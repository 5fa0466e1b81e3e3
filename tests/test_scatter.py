"""Laws of the kinematic sum, and of the files that scatter writes."""

import csv

import numpy as np
import pytest
from braggfill.errors import BraggfillError
from braggfill.physics import fourier
from braggfill.physics.views import next_peak
from braggfill.runs import external, seeds, storage
from braggfill.settings.scatter import ScatterSettings
from braggfill.stages.scatter import backends, check, chunk, views
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

A = 4.08
PEAK = np.array([2, 0, 0]) / A
BASIS = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])

sizes = st.tuples(*[st.integers(8, 19)] * 3)
numbers = st.integers(0, 2**32 - 1)
few = settings(max_examples=20, deadline=None)
needs_pynx = pytest.mark.skipif(
    not (external.have_pynx() and external.have_opencl()), reason="PyNX or a device for it is not installed"
)


def block(cells):
    """An FCC block of cells[0] x cells[1] x cells[2] cubic cells, not centred."""
    corners = np.stack(np.meshgrid(*(np.arange(n) for n in cells), indexing="ij"), -1).reshape(-1, 1, 3)
    return (corners + BASIS).reshape(-1, 3) * A


def octahedron(radius):
    """A centrosymmetric crystal, centred on an atom."""
    atoms = block([9, 9, 9]) - 4 * A
    return atoms[np.abs(atoms).sum(axis=1) <= radius]


def strained(seed=0):
    atoms = octahedron(17)
    return atoms + 0.15 * np.sin(atoms[:, [1, 2, 0]] / 5 + seed)


def write_atoms(path, indices, atoms=None, **attributes):
    with storage.create(path) as file:
        for index in indices:
            group = file.create_group(f"{index:06d}")
            group["positions"] = strained(index) if atoms is None else atoms
            group.attrs.update(
                {"index": index, "lattice_constant_angstrom": A, "element": "Au", "shape": "octahedron"} | attributes
            )
    return path


# The sum ------------------------------------------------------------------------------------------------------------


@given(sizes, numbers)
@few
def test_nufft_equals_direct_to_a_millionth_of_the_maximum(shape, seed):
    rng = np.random.default_rng(seed)
    rotation, atoms = views.random_rotation(rng), strained(rng.uniform(0, 6))
    step = rng.uniform(0.2, 1, 3) / (2 * views.extents(atoms, rotation, A))
    exact = backends.amplitude(atoms, PEAK, rotation, step, shape, backend="direct")
    fast = backends.amplitude(atoms, PEAK, rotation, step, shape, backend="nufft", device="cpu")
    assert fast.shape == exact.shape == shape
    assert np.abs(fast - exact).max() <= 1e-6 * np.abs(exact).max()


@given(sizes, numbers)
@few
def test_direct_equals_its_equation(shape, seed):
    rng = np.random.default_rng(seed)
    rotation, atoms = views.random_rotation(rng), strained()
    step = rng.uniform(0.003, 0.02, 3)
    exact = backends.amplitude(atoms, PEAK, rotation, step, shape, backend="direct")
    voxel = rng.integers(0, shape)
    turned = atoms @ rotation.T
    phase = atoms @ PEAK + turned @ (step * (voxel - np.array(shape) // 2))
    assert exact[tuple(voxel)] == pytest.approx(np.exp(-2j * np.pi * phase).sum(), abs=1e-9 * len(atoms))
    q = PEAK + (step * (voxel - np.array(shape) // 2)) @ rotation
    assert backends.direct_at(atoms, q[None])[0] == pytest.approx(exact[tuple(voxel)], abs=1e-9 * len(atoms))


@pytest.mark.pynx
@needs_pynx
@pytest.mark.parametrize("hkl", [(2, 0, 0), (1, 1, 1), (-3, 1, 1)])
def test_nufft_equals_pynx_to_a_thousandth_of_the_maximum(hkl):
    atoms, rotation = strained(), views.random_rotation(np.random.default_rng(3))
    arguments = atoms, np.array(hkl) / A, rotation, 0.008, (17, 16, 12)
    fast = backends.amplitude(*arguments)
    theirs = backends.amplitude(*arguments, backend="pynx")
    assert np.abs(fast - theirs).max() <= 1e-3 * np.abs(fast).max()


def test_a_block_gives_the_product_of_three_fringe_functions():
    cells, shape, step = np.array([3, 4, 5]), (15, 16, 17), 0.007
    rotation = views.random_rotation(np.random.default_rng(5))
    got = backends.amplitude(block(cells), PEAK, rotation, step, shape)
    mesh = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij"), -1) * step
    x = (PEAK + mesh @ rotation) * A
    cell = np.exp(-2j * np.pi * (x @ BASIS.T)).sum(-1)
    one = np.sin(np.pi * x)
    ratio = np.where(np.abs(one) < 1e-9, cells, np.sin(np.pi * x * cells) / np.where(one == 0, 1, one))
    half = np.exp(-1j * np.pi * x * (cells - 1)) * ratio
    assert np.abs(got - cell * half.prod(-1)).max() < 1e-6 * 4 * cells.prod()


@given(sizes, numbers)
@few
def test_friedel_symmetry_of_an_unstrained_centrosymmetric_particle(shape, seed):
    shape = tuple(n | 1 for n in shape)
    arguments = PEAK, views.random_rotation(np.random.default_rng(seed)), 0.012, shape
    even = np.abs(backends.amplitude(octahedron(17), *arguments))
    np.testing.assert_allclose(even, even[::-1, ::-1, ::-1], atol=1e-6 * even.max())
    assert even[tuple(n // 2 for n in shape)] == pytest.approx(len(octahedron(17)))
    odd = np.abs(backends.amplitude(strained(), *arguments))
    assert np.abs(odd - odd[::-1, ::-1, ::-1]).max() > 0.01 * odd.max()


@given(sizes, numbers)
@few
def test_shift_theorem(shape, seed):
    rng = np.random.default_rng(seed)
    rotation, shift, step, atoms = views.random_rotation(rng), rng.uniform(-200, 200, 3), 0.01, strained()
    here = backends.amplitude(atoms, PEAK, rotation, step, shape)
    there = backends.amplitude(atoms + shift, PEAK, rotation, step, shape)
    mesh = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij"), -1) * step
    ramp = np.exp(-2j * np.pi * ((PEAK + mesh @ rotation) @ shift))
    assert np.abs(there - here * ramp).max() <= 2e-6 * np.abs(here).max()


@pytest.mark.parametrize("sides", [(16, 16, 16), (15, 18, 17)])
def test_the_total_is_parsevals(sides):
    """Atoms on the grid that the array spans: the sum of |A|² is (number of voxels) x (number of atoms)."""
    atoms = block([3, 3, 3])
    step = 1 / (np.array(sides) * A / 2)
    got = backends.amplitude(atoms, PEAK, np.eye(3), step, sides)
    assert np.sum(np.abs(got) ** 2) == pytest.approx(len(atoms) * np.prod(sides), rel=1e-6)


def test_turning_the_crystal_turns_the_pattern():
    quarter = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]])
    plain = backends.amplitude(strained(), PEAK, np.eye(3), 0.01, (11, 11, 11))
    turned = backends.amplitude(strained(), PEAK, quarter, 0.01, (11, 11, 11))
    np.testing.assert_allclose(turned, plain.transpose(1, 2, 0), atol=1e-5 * np.abs(plain).max())


def test_what_cannot_be_summed_is_told():
    arguments = PEAK, np.eye(3), 0.01, (8, 8, 8)
    for atoms, words in [(np.zeros((0, 3)), "at least one atom"), (np.full((4, 3), np.nan), "NaN")]:
        with pytest.raises(BraggfillError, match=words):
            backends.amplitude(atoms, *arguments)
    with pytest.raises(BraggfillError, match=r"scatter.backend.*'dft'"):
        backends.amplitude(strained(), *arguments, backend="dft")


def test_a_gpu_that_is_not_there_is_told():
    if backends.on_gpu("auto"):
        pytest.skip("there is a GPU")
    with pytest.raises(BraggfillError, match=r"scatter\.device"):
        backends.amplitude(strained(), PEAK, np.eye(3), 0.01, (8, 8, 8), device="gpu")


# Views --------------------------------------------------------------------------------------------------------------


def test_rotations_are_rotations_and_have_no_preferred_direction():
    rng = np.random.default_rng(0)
    turns = np.stack([views.random_rotation(rng) for _ in range(4000)])
    np.testing.assert_allclose(turns @ turns.transpose(0, 2, 1), np.broadcast_to(np.eye(3), turns.shape), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(turns), 1)
    assert np.abs(turns.mean(axis=0)).max() < 5 * np.sqrt(1 / 3 / len(turns))
    np.testing.assert_allclose((turns**2).mean(axis=0), 1 / 3, atol=0.03)
    angle = np.degrees(np.arccos((np.trace(turns, axis1=1, axis2=2) - 1) / 2))
    assert angle.mean() == pytest.approx(90 + 360 / np.pi**2, abs=2.5)  # 126.5 degrees for uniform rotations


@given(numbers, st.booleans(), st.floats(2, 4), st.floats(0, 3))
@few
def test_the_oversampling_is_array_over_crystal(seed, equal, lowest, span):
    atoms = octahedron(17) * 20  # as large as a real one: no limit but the settings'
    own = ScatterSettings(
        shape=(24, 32, 28), oversampling_min=lowest, oversampling_max=lowest + span, equal_steps=equal
    )
    view = views.draw_view(own, np.random.default_rng(seed), atoms, A)
    size = np.ptp(atoms @ view.rotation.T, axis=0) + A / np.sqrt(2)
    np.testing.assert_allclose(view.oversampling, 1 / (view.step_inverse_angstrom * size))
    drawn = view.oversampling.min(keepdims=True) if equal else view.oversampling
    assert (drawn >= lowest - 1e-9).all()
    assert (drawn <= lowest + span + 1e-9).all()
    assert np.ptp(view.step_inverse_angstrom) == 0 or not equal


def test_a_tilted_view_is_the_sum_at_oblique_places(tmp_path):
    """Axis 0 leans by what was asked for, the others stay at right angles, and each voxel is the sum at its own q."""
    own = ScatterSettings(shape=(9, 10, 11), views=1, tilt_degrees=(25, 25), isolate=False)
    atoms = strained()
    view = views.draw_view(own, np.random.default_rng(4), atoms, A)
    cosines = view.rotation @ view.rotation.T
    assert np.diag(cosines) == pytest.approx([1, 1, 1])
    assert cosines[1, 2] == pytest.approx(0, abs=1e-12)
    assert np.hypot(cosines[0, 1], cosines[0, 2]) == pytest.approx(np.sin(np.radians(25)))
    voxels = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in own.shape), indexing="ij"), -1).reshape(-1, 3)
    places = np.array([2, 0, 0]) / A + (voxels * view.step_inverse_angstrom) @ view.rotation
    summed = backends.direct_at(atoms, places).reshape(own.shape)
    found = views.pattern(own, view, atoms, A)
    assert np.abs(found - summed).max() < 1e-5 * np.abs(summed).max()
    straight = views.draw_view(ScatterSettings(shape=own.shape), np.random.default_rng(4), atoms, A)
    assert straight.rotation @ straight.rotation.T == pytest.approx(np.eye(3))


def test_the_object_fills_its_share_of_the_array():
    own = ScatterSettings(shape=(48, 48, 48), oversampling_min=2.5, oversampling_max=2.5)
    atoms = block([8, 8, 8]) - 4 * A
    view = views.draw_view(own, np.random.default_rng(1), atoms, A)
    obj = np.abs(fourier.inverse(views.pattern(own, view, atoms, A)))
    for axis in range(3):
        others = tuple(i for i in range(3) if i != axis)
        wide = np.count_nonzero(obj.max(axis=others) > 0.3 * obj.max())
        assert wide == pytest.approx(48 / view.oversampling[axis], abs=2)


@given(numbers, st.sampled_from([(64, 64, 64), (64, 40, 33)]), st.booleans())
@few
def test_a_small_particle_does_not_reach_the_next_peak(seed, shape, equal):
    own = ScatterSettings(shape=shape, equal_steps=equal)
    view = views.draw_view(own, np.random.default_rng(seed), octahedron(9), A)
    reach = view.step_inverse_angstrom * np.array(shape) / 2
    assert (reach <= own.reach * next_peak(A) * (1 + 1e-12)).all()


def test_fading_leaves_the_peak_and_removes_its_neighbours():
    atoms = octahedron(17)
    shape, step = (41, 41, 41), np.full(3, 1.1 * next_peak(A) / np.sqrt(3) / 20)
    window = views.fade(shape, step, A)
    distance = step[0] * np.sqrt(sum(g**2 for g in fourier.grid(shape)))
    assert (window[distance <= 0.5 * next_peak(A)] == 1).all()
    assert (window[distance >= 0.9 * next_peak(A) + 1e-9] == 0).all()
    assert window.min() == 0
    bare = np.abs(backends.amplitude(atoms, PEAK, np.eye(3), step, shape))
    far = distance > 0.8 * next_peak(A)
    assert bare[far].max() > 0.9 * bare.max()
    assert (bare * window)[far].max() < 0.02 * bare.max()


# Settings -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"hkl": (1, 1, 0)}, "hkl.*all even or all odd"),
        ({"hkl": (2, 1, 0)}, "hkl.*all even or all odd"),
        ({"hkl": (0, 0, 0)}, "hkl.*direct beam"),
        ({"oversampling_min": 1.9}, "oversampling_min"),
        ({"oversampling_max": 1.5}, "oversampling_max"),
        ({"oversampling_min": 4, "oversampling_max": 3}, "oversampling_max 3 is lower than oversampling_min 4"),
        ({"shape": (128, 128, 4)}, "shape"),
    ],
)
def test_settings_that_make_no_sense_are_named(wrong, words):
    with pytest.raises(ValidationError, match=f"(?s){words}"):
        ScatterSettings(**wrong)


def test_a_forbidden_peak_is_dark():
    """Why 110 is refused: its four atoms a cell cancel."""
    dark = backends.direct_at(block([4, 4, 4]), np.array([[1, 1, 0]]) / A)
    assert abs(dark[0]) < 1e-9


# Files --------------------------------------------------------------------------------------------------------------

SMALL = ScatterSettings(shape=(20, 22, 17), views=2, check_voxels=20, check_side=8)


def contents(path):
    with storage.read(path) as file:
        return {
            f"{p}/{v}": (
                storage.array(file[p][v], "amplitude"),
                {k: np.asarray(x) for k, x in file[p][v].attrs.items()},
            )
            for p in file
            for v in file[p]
        }


def test_any_chunking_gives_the_same_arrays(tmp_path):
    whole, parts = tmp_path / "whole.h5", {}
    chunk.scatter_chunk(SMALL, 7, write_atoms(tmp_path / "atoms.h5", [0, 1, 2]), whole)
    for few in ([2], [0, 1]):
        out = tmp_path / f"{few[0]}.h5"
        chunk.scatter_chunk(SMALL, 7, write_atoms(tmp_path / f"atoms{few[0]}.h5", few), out)
        parts |= contents(out)
    together = contents(whole)
    assert list(together) == [f"{p:06d}/{v:02d}" for p in range(3) for v in range(2)]
    for name, (array, attributes) in together.items():
        assert np.array_equal(array, parts[name][0])
        assert attributes.keys() == parts[name][1].keys()
        assert all(np.array_equal(value, parts[name][1][key]) for key, value in attributes.items())
    assert not np.allclose(together["000000/00"][0], together["000000/01"][0])
    other = tmp_path / "seed.h5"
    chunk.scatter_chunk(SMALL, 8, tmp_path / "atoms.h5", other)
    assert not np.array_equal(contents(other)["000000/00"][0], together["000000/00"][0])


def test_what_is_stored_is_the_sum(tmp_path):
    own = SMALL.model_copy(update={"isolate": False})
    chunk.scatter_chunk(own, 1, write_atoms(tmp_path / "atoms.h5", [4]), tmp_path / "out.h5")
    array, attributes = contents(tmp_path / "out.h5")["000004/01"]
    atoms = strained(4) - strained(4).mean(axis=0)
    exact = backends.amplitude(
        atoms, PEAK, attributes["rotation"], attributes["step_inverse_angstrom"], own.shape, backend="direct"
    )
    assert array.dtype == np.complex64
    assert np.abs(array - exact).max() < 1e-6 * np.abs(exact).max()
    assert attributes["particle"] == 4
    assert attributes["view"] == 1
    assert attributes["element"] == "Au"
    assert attributes["hkl"].tolist() == [2, 0, 0]


def test_a_step_left_out_stays_left_out(tmp_path):
    with storage.create(tmp_path / "atoms.h5", left_out="LAMMPS is not installed"):
        pass
    chunk.scatter_chunk(SMALL, 1, tmp_path / "atoms.h5", tmp_path / "out.h5")
    assert storage.left_out(tmp_path / "out.h5") == "LAMMPS is not installed"
    check.check_backends(SMALL, 1, tmp_path / "atoms.h5", tmp_path / "out.csv")
    assert "LAMMPS is not installed" in (tmp_path / "out.csv").read_text()


def test_damaged_files_give_one_line_and_no_output(tmp_path):
    whole = write_atoms(tmp_path / "atoms.h5", [0, 1])
    cut = tmp_path / "cut.h5"
    cut.write_bytes(whole.read_bytes()[:3000])
    text = tmp_path / "text.h5"
    text.write_text("not HDF5")
    empty = write_atoms(tmp_path / "empty.h5", [3], np.zeros((0, 3)))
    infinite = write_atoms(tmp_path / "infinite.h5", [5], np.full((5, 3), np.inf))
    bare = tmp_path / "bare.h5"
    with storage.create(bare) as file:
        file.create_group("000009")["positions"] = strained()
    out = tmp_path / "out.h5"
    cases = [
        (tmp_path / "none.h5", "none.h5: no such file"),
        (cut, "cut.h5.*truncated"),
        (text, "text.h5.*not a readable HDF5"),
        (empty, "empty.h5: particle 000003 has no usable atoms"),
        (infinite, "infinite.h5: particle 000005 has no usable atoms"),
        (bare, "bare.h5: particle 000009 lacks its description"),
    ]
    for path, words in cases:
        with pytest.raises(BraggfillError, match=words) as caught:
            chunk.scatter_chunk(SMALL, 1, path, out)
        assert "\n" not in str(caught.value)
        assert not out.exists()


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_the_check_finds_the_back_ends_equal(tmp_path):
    atoms = write_atoms(tmp_path / "atoms.h5", [2])
    check.check_backends(SMALL, 1, atoms, tmp_path / "check.csv")
    table = rows(tmp_path / "check.csv")
    assert list(table[0]) == check.CHECK_COLUMNS
    assert (table[0]["backend"], table[0]["against"], table[0]["voxels"]) == ("nufft", "direct", "20")
    assert 0 < float(table[0]["max_error_relative"]) < 1e-6
    assert int(table[0]["atoms"]) == len(strained())
    if external.have_pynx() and external.have_opencl():
        assert [(r["backend"], r["against"]) for r in table[1:]] == [("nufft", "pynx"), ("pynx", "direct")]
        assert all(0 < float(r["max_error_relative"]) < 1e-3 for r in table[1:])


def test_without_pynx_the_check_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(external, "have_pynx", lambda: False)
    check.check_backends(SMALL, 1, write_atoms(tmp_path / "atoms.h5", [2]), tmp_path / "check.csv")
    first, second = rows(tmp_path / "check.csv")
    assert float(first["max_error_relative"]) < 1e-6
    assert (second["against"], second["max_error_relative"]) == ("pynx", "")
    assert "PyNX is not installed" in second["left_out"]


def test_views_do_not_depend_on_the_size_of_the_array():
    rng = [seeds.generator(1, "scatter", 3, 0) for _ in range(2)]
    shapes = [ScatterSettings(shape=s, reach=1.0) for s in ((16, 16, 16), (17, 12, 9))]
    first, second = (views.draw_view(s, r, octahedron(17) * 10, A) for s, r in zip(shapes, rng, strict=True))
    assert np.array_equal(first.rotation, second.rotation)
    assert np.array_equal(first.oversampling, second.oversampling)
