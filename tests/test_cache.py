"""Simulated chunks shared between folders through Snakemake's cache: fetched, not made again."""

from __future__ import annotations

import re
import shutil

import pytest
from workflow_helpers import Project, arrays, same

pytestmark = pytest.mark.dag

STAGES = ("particle", "relax", "scatter", "perturb", "extract")
TINY = "size: {particles: 1, particles_per_chunk: 1}\nextract: {patches: 2}\n"
TARGET = "results/test/extract/chunk-0000.h5"


def copy(top, folder, cache) -> Project:
    project = Project.copy(top, folder)
    project.write("tiny.yaml", TINY)
    if cache:
        project.environment["SNAKEMAKE_OUTPUT_CACHE"] = str(cache)
    return project


def made(output: str) -> set[str]:
    """The stages that were run: their output was moved to the cache."""
    return set(re.findall(r"Moving output file results/test/(\w+)/", output))


def fetched(output: str) -> set[str]:
    """The stages whose output was there already."""
    return set(re.findall(r"Symlinking output file results/test/(\w+)/", output)) - made(output)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("shared") / "cache"


@pytest.fixture(scope="module")
def first(top, cache, tmp_path_factory) -> Project:
    project = copy(top, tmp_path_factory.mktemp("first") / "project", cache)
    assert made(project.snakemake(TARGET, "--cache", configs=("tiny.yaml",))) == set(STAGES)
    return project


def test_what_was_made_is_in_the_cache(first, cache):
    assert len([file for file in cache.rglob("*.h5") if file.is_file()]) == len(STAGES)


def test_another_folder_fetches_it(cache, first, tmp_path):
    second = copy(first.folder, tmp_path / "elsewhere", cache)
    output = second.snakemake(TARGET, "--cache", configs=("tiny.yaml",))
    assert fetched(output) == set(STAGES)
    for stage in STAGES:
        one, two = (arrays(project.folder / "results/test", f"{stage}/*.h5") for project in (first, second))
        assert one
        assert not same(one, two)
    assert "Nothing to be done" in second.snakemake("-n", TARGET, configs=("tiny.yaml",))


def test_only_what_changed_is_made(cache, first, tmp_path):
    other = copy(first.folder, tmp_path / "other", cache)
    change = other.write("change.yaml", "perturb: {support_threshold: 0.11}\n")
    output = other.snakemake(TARGET, "--cache", configs=("tiny.yaml", change))
    assert made(output) == {"perturb", "extract"}
    assert fetched(output) == {"particle", "relax", "scatter"}


def test_a_copy_without_links_needs_the_cache_no_more(first, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(first.folder, moved)  # follows the links
    assert not [path for path in (moved / "results").rglob("*") if path.is_symlink()]
    assert "Nothing to be done" in Project(moved, first.environment).snakemake("-n", TARGET, configs=("tiny.yaml",))


def test_without_a_folder_it_is_one_clear_line(top, tmp_path):
    project = copy(top, tmp_path / "project", None)
    project.environment.pop("SNAKEMAKE_OUTPUT_CACHE", None)
    output = project.snakemake("-n", TARGET, "--cache", configs=("tiny.yaml",), check=False)
    assert "SNAKEMAKE_OUTPUT_CACHE" in output
    assert "Traceback" not in output
