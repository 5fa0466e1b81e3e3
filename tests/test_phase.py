"""Laws of the stage ``phase``: its networks learn, patches are stitched, starts are judged, statements are told."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from braggfill import networks
from braggfill.errors import BraggfillError
from braggfill.learning import phase_losses, phase_patches
from braggfill.learning.phase_patches import PatchOptions
from braggfill.learning.phase_task import PhaseTask, loss
from braggfill.networks.phase.braggphase import Braggphase
from braggfill.phasing import stitching
from braggfill.runs import storage
from braggfill.settings.phase import (
    AssessSettings,
    LearnSettings,
    PatchSettings,
    PhaseSettings,
    RefineSettings,
)
from braggfill.stages.phase import assess, claims, compared, learn, patches, refine
from braggfill.stages.phase.starts import Starts
from phasing_objects import counted, crystal
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

SMALL = {"channels": (4, 6, 8), "blocks": 1, "heads": 2}
LEARN = LearnSettings(
    networks=("braggphase",), patterns=8, exposures=4, batch_size=4, validation=3, threads=1, device="cpu", **SMALL
)
CUT = PatchOptions(box=64, step=10, shells=2)
PATCHES = PatchSettings(
    strains=("low",), box_px=48, step_px=8, shells=1, central=4, outer=4, exposures=4, epochs=2, batch_size=4,
    width=0.2, tested=1, per_shell=6,
)  # fmt: skip


# Networks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", networks.PHASE_NAMES)
def test_every_network_has_a_loss_that_it_can_lower_and_gives_phases(name):
    side = 64 if name == "rsp" else 32
    network = Braggphase(**SMALL) if name == "braggphase" else networks.build(name, **narrow(name))
    assert network.size == side
    log_intensity = 5 * torch.rand(2, side, side, side)
    mask = torch.zeros(log_intensity.shape, dtype=torch.bool)
    phase = 0.3 * torch.randn(log_intensity.shape)
    found = loss(network, network(log_intensity, mask), phase, torch.expm1(log_intensity))
    found.backward()
    used = [p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in network.parameters()]
    assert all(used)
    told, concentration = network.eval().predict(log_intensity, mask)
    assert told.shape == concentration.shape == log_intensity.shape
    assert torch.allclose(told[:, side // 2, side // 2, side // 2], torch.zeros(2), atol=1e-5)


def narrow(name):
    return {"width": 0.05} if name in ("rsp", "central") else {}


def test_the_losses_are_zero_for_the_truth():
    """Of the networks that give objects: for the object, and for whatever has its amplitudes."""
    truth = torch.from_numpy(crystal())[None]
    shifted = torch.fft.fftshift(torch.fft.fftn(torch.fft.ifftshift(truth), norm="ortho"))
    intensity, phase = shifted.abs().square(), torch.angle(shifted)
    top = intensity.amax()
    made = phase_losses.objects(intensity / top, phase)
    for name in ("complex", "autophasenn"):
        network = networks.build(name)
        assert loss(network, made / made.abs().amax(), phase, intensity) < 1e-4
        assert loss(network, torch.roll(made.conj(), 3, 1), phase, intensity) > 1e-3 * (name == "complex")


def test_training_is_the_same_again_and_ends_in_a_file(tmp_path):
    for name in ("one", "two"):
        card = learn.learn(
            PhaseSettings(learn=LEARN), 3, "braggphase", tmp_path / f"{name}.safetensors", tmp_path / f"{name}.csv",
            tmp_path / name,
        )  # fmt: skip
    assert card["patterns_seen"] == 8
    one, two = (networks.load(tmp_path / f"{name}.safetensors") for name in ("one", "two"))
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    assert {"wca", "wca_log"} <= set(pd.read_csv(tmp_path / "one.csv").columns)


def test_a_task_is_the_same_in_another_process_and_its_parts_make_a_batch(tmp_path):
    task = learn.task_of(LEARN, 5, "braggphase")
    task.save(tmp_path)
    again = PhaseTask.load(tmp_path)
    assert again == task
    (whole, *_), parts = list(task.training(1)), [next(iter(again.training(1, rank, 3))) for rank in range(3)]
    assert sum(part["share"] for part in parts) == pytest.approx(3)
    torch.testing.assert_close(whole["phase"][1::3], parts[1]["phase"])
    assert not torch.equal(whole["phase"], next(iter(task.training(0)))["phase"])


# Patches ------------------------------------------------------------------------------------------------------------


class Central(torch.nn.Module):
    """Knows the phase of the central patch, with the other sign and a constant."""

    def __init__(self, phase):
        super().__init__()
        self.said = torch.from_numpy(phase)

    def forward(self, x):
        return self.said[None, None]


class Outer(torch.nn.Module):
    """Knows the phases of all patches by their intensity, each with a constant of its own, plus noise."""

    def __init__(self, one, constants, noise):
        super().__init__()
        self.one, self.constants, self.noise, self.turn = one, constants, noise, 0

    def forward(self, intensity, phase, known):
        found = []
        for seen in intensity:
            logs = [stitching._logs([phase_patches.cut(self.one.counts, c)])[0] for c in self.places]
            place = next(c for c, log in zip(self.places, logs, strict=True) if torch.equal(log, seen))
            rng = np.random.default_rng(list(place))
            told = phase_patches.cut(self.one.phase, place) + self.noise * rng.normal(size=(32,) * 3)
            found.append(torch.from_numpy((told + self.constants * rng.normal()).astype(np.float32)))
        return torch.where(known, phase, torch.stack(found))


@pytest.fixture(scope="module")
def one():
    return phase_patches.whole(1, "test", 0, CUT)


def stitched(one, way, constants=0.0, noise=0.0):
    places = stitching.shells(64, 10, 2, 20)
    outer = Outer(one, constants, noise)
    outer.places = [c for shell in places for c in shell]
    central = Central(phase_patches.cut(one.phase, np.array([32, 32, 32])))
    return patches._judged(one, phasors(*stitching.stitch(central, outer, one.counts, places, way)))


def phasors(phase, there=True):
    return np.where(there, np.exp(1j * phase), 0)


@pytest.mark.parametrize("way", stitching.WAYS)
def test_right_patches_give_the_right_phase(one, way):
    found = stitched(one, way)
    assert found["wca"] < 1e-3
    assert found["predicted_share"] > 0.5
    assert found["accuracy"] > patches._judged(one, phasors(*central_alone(one)))["accuracy"]


def central_alone(one):
    central = Central(phase_patches.cut(one.phase, np.array([32, 32, 32])))
    return stitching.stitch(central, central, one.counts, [])


def test_means_of_patches_are_better_than_the_last_of_them(one):
    found = {way: stitched(one, way, noise=1.2)["wca"] for way in stitching.WAYS}
    assert found["solved"] < found["overwrite"]
    assert found["average"] < found["overwrite"]


def test_a_patch_knows_where_it_overlaps():
    some = phase_patches.outer_patches(1, "x", range(2), CUT, 3)
    assert some.phase.shape == (6, 32, 32, 32)
    for i in range(6):
        shift, inner = some.shift[i], some.inner
        there = tuple(slice(max(-v, 0), 32 + min(-v, 0)) for v in shift)
        here = tuple(slice(max(v, 0), 32 + min(v, 0)) for v in shift)
        torch.testing.assert_close(some.photons[i][there], inner.photons[i][here])
        assert some.known[i][there].all()
        assert some.known[i].sum() == some.photons[i][there].numel()


def test_own_guesses_are_the_truth_if_the_networks_are_right():
    """Whatever sign and constant they have: intensities do not tell them."""
    some = phase_patches.outer_patches(2, "x", range(2), CUT, 3)
    truth = some.inner.phase

    class Right(torch.nn.Module):
        def forward(self, intensity, phase=None, known=None):
            return (2 - truth)[:, None] if phase is None else truth

    guess = phase_patches.own_guess(Right(), Right(), some)
    error = torch.angle(torch.polar(torch.ones_like(guess), guess - some.phase))[some.known]
    assert error.abs().max() < 1e-3


def test_patches_are_learned_and_stitched(tmp_path):
    settings = PhaseSettings(learn=LEARN, patches=PATCHES)
    patches.learn(settings, 1, "low", tmp_path / "low.safetensors", tmp_path / "low-history.csv")
    history = pd.read_csv(tmp_path / "low-history.csv")
    assert set(history.network) == {"central", "outer, truth", "outer, own", "outer, expected"}
    assert history.val_loss.notna().all()
    stitch_low(settings, tmp_path)
    table = pd.read_csv(tmp_path / "low.csv")
    assert len(table) == 2 + 2 * len(stitching.WAYS) + 3
    assert set(table[table.guess == "expected"].way) == {"central", "expected", "angles"}
    assert table[table.way == "truth"].accuracy.iloc[0] > 0.8
    assert table[table.way == "truth"].wca.iloc[0] < 1e-5
    stored = load_file(tmp_path / "low.safetensors")
    stored["expected.leave.bias"] = torch.full_like(stored["expected.leave.bias"], torch.nan)
    save_file(stored, tmp_path / "low.safetensors")
    with pytest.raises(BraggfillError, match="damaged"):
        stitch_low(settings, tmp_path)
    (tmp_path / "low.safetensors").write_bytes(b"no")
    with pytest.raises(BraggfillError, match="damaged"):
        stitch_low(settings, tmp_path)


def stitch_low(settings, place):
    made = {"out": "low.csv", "shells": "low-shells.csv", "slices": "low-slices.h5"}
    files = {name: place / file for name, file in made.items()}
    patches.stitch(settings, 1, "low", place / "low.safetensors", **files)


def test_what_each_shell_brings_is_judged_by_itself(one):
    """A constant of its own costs the shell nothing, and the whole everything."""
    places = stitching.shells(64, 10, 2, 20)
    brought = patches._brought(64, places)
    assert set(np.unique(brought)) == {-1, 0, 1, 2}
    assert (brought[16:48, 16:48, 16:48] == 0).all()
    there = brought >= 0
    wrong = np.where(brought == 2, one.phase + 2.0, -one.phase + 1.0)
    rows = list(patches._by_shell(one, phasors(wrong, there), brought, 0.5))
    assert [row["shell"] for row in rows] == [0, 1, 2]
    assert rows[-1]["accuracy"] == 0.5
    assert max(row["wca"] for row in rows) < 1e-6
    assert rows[1]["wca_joined"] == pytest.approx(0, abs=1e-6)
    assert rows[2]["wca_joined"] > 0.3


# Starts -------------------------------------------------------------------------------------------------------------


def test_a_particle_stays_the_same_as_its_phase_grows():
    args = ("gaussians", 2, "hull")
    weak, strong = (assess.pattern(1, *args, span, 2.6, 6.0, 32)[0] for span in (1.0, 3.0))
    np.testing.assert_allclose(np.abs(weak), np.abs(strong), atol=1e-5)
    inside = np.abs(weak) > 0.5
    one, three = (np.angle(x[inside] * np.conj(x[inside].mean())) for x in (weak, strong))
    assert np.corrcoef(one, three)[0, 1] > 0.9
    assert np.ptp(three) > 2 * np.ptp(one)


def test_starts_are_judged_by_what_they_do_not_see():
    truth = crystal()
    counts = counted(truth, 1e5)[0]
    ways = Starts(counts, None, Braggphase(**SMALL), 1)
    found = {method: ways.by(method) for method in ("network", "network_er", "run")}
    assert np.isnan(found["network"].llk_free)
    assert np.isfinite(found["network_er"].llk_free)
    assert found["run"].cpu_seconds > 0
    with pytest.raises(ValueError, match="no method"):
        ways.by("hope")


def test_the_mismatch_is_that_of_the_intensity():
    truth = crystal()
    counts, expected = counted(truth, 1e6)

    def mismatch(obj, seen):
        return refine.mismatch(refine.projections(obj, seen), seen)

    assert mismatch(truth, expected) < 1e-6
    assert mismatch(np.conj(truth), counts) < 1.0 < mismatch(np.abs(truth) + 0j, counts) * 1e6
    assert mismatch(truth, counts) < mismatch(np.abs(truth) + 0j, counts)
    sides = refine.projections(truth, counts)
    assert [side.sum() for side in sides] == pytest.approx([counts.sum()] * 3, rel=1e-5)


def test_tables_and_statements(tmp_path):
    """The whole stage from its functions: every table is there, and statements stand beside their values."""
    settings = PhaseSettings(
        learn=LEARN,
        assess=AssessSettings(
            kinds=("gaussians",), particles=1, strengths_radians=(1.0, 3.0), compared_strengths=1, box_px=32,
            compared_methods=("network", "run", "network_er"), oversamplings=(), photons_exponents=(4.0,),
            gap_widths_px=(3,),
        ),
        patches=PATCHES,
        refine=RefineSettings(
            cases=("particle_1",), box_px=32, engines=("projections",), runs=3, hio_cycles=20, raar_cycles=20,
            er_cycles=10,
        ),
    )  # fmt: skip
    model = tmp_path / "braggphase.safetensors"
    learn.learn(settings, 1, "braggphase", model, tmp_path / "braggphase.csv", tmp_path / "work")
    assess.assess(settings, 1, "gaussians", model, tmp_path / "gaussians.csv")
    assess.join([tmp_path / "gaussians.csv"], tmp_path / "assess.csv")
    table = pd.read_csv(tmp_path / "assess.csv")
    assert set(table.study) == {"particles", "compared", "photons", "gap"}
    assert table.accuracy.between(0, 1).all()
    refine.refine(settings, 1, "particle_1", model, None, tmp_path / "p.h5")
    refine.table([tmp_path / "p.h5"], tmp_path / "refine.csv")
    assert set(pd.read_csv(tmp_path / "refine.csv").method) == {"network", "network_er", "network_run", "runs"}
    with storage.read(tmp_path / "p.h5") as file:
        assert file["runs_projections/obj"].shape == (32, 32, 32)
        assert file["runs_projections/projection_1"].shape == (32, 32)
    patches.learn(settings, 1, "low", tmp_path / "low.safetensors", tmp_path / "low-history.csv")
    stitch_low(settings, tmp_path)
    out = tmp_path / "summary.csv"
    claims.claims_table([tmp_path / "braggphase.csv"], None, tmp_path / "assess.csv", [tmp_path / "low.csv"],
                        tmp_path / "refine.csv", out)  # fmt: skip
    found = pd.read_csv(out)
    assert set(found.holds) <= {"yes", "no"}
    for source in ("Figs. 4.18", "Table 4.2", "4.6.5", "Figs. 4.47"):
        assert found.source.str.contains(source, regex=False).any(), source


def test_wrong_settings_are_told():
    with pytest.raises(BraggfillError, match="trained needs braggphase"):
        assess.load_network(AssessSettings(), None)
    with pytest.raises(ValidationError, match="multiple of heads"):
        LearnSettings(channels=(4, 6, 9), heads=2)


def test_a_run_without_some_parts_has_fewer_statements(tmp_path):
    claims.claims_table([], None, None, [], None, tmp_path / "none.csv")
    assert list(pd.read_csv(tmp_path / "none.csv").columns) == claims.COLUMNS


def test_without_a_network_there_are_random_starts_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(networks, "is_shipped", lambda name: False)
    settings = PhaseSettings(
        assess=AssessSettings(network="shipped"),
        refine=RefineSettings(box_px=32, engines=("projections",), runs=2, hio_cycles=5, raar_cycles=5, er_cycles=5),
    )
    refine.refine(settings, 1, "particle_1", None, None, tmp_path / "p.h5")
    refine.table([tmp_path / "p.h5"], tmp_path / "p.csv")
    assert list(pd.read_csv(tmp_path / "p.csv").method) == ["runs"]
    with storage.read(tmp_path / "p.h5") as file:
        assert "random starts alone" in file.attrs["left_out_network"]


def test_networks_are_compared_on_the_same_patterns(tmp_path):
    models = [tmp_path / f"{name}.safetensors" for name in ("braggphase", "autophasenn")]
    networks.save(models[0], Braggphase(**SMALL), {})
    networks.save(models[1], networks.build("autophasenn"), {})
    settings = PhaseSettings(
        learn=LEARN.model_copy(update={"tested": 2}), assess=AssessSettings(kinds=("gaussians",), box_px=32)
    )
    compared.compare(settings, 1, models, tmp_path / "c.csv", tmp_path / "c.h5")
    table = pd.read_csv(tmp_path / "c.csv")
    assert table.groupby("network").range_radians.apply(tuple).nunique() == 1
    assert table[table.network == "autophasenn"].parameters.iloc[0] == 6_975_362
    assert table.accuracy.between(0, 1).all()
    with storage.read(tmp_path / "c.h5") as file:
        assert set(file["001"]) == {"truth", "braggphase", "autophasenn"}
