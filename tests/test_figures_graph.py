"""The picture of the rules, and how numbers are written."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from braggfill.stages.figures import graph, record, style
from braggfill.stages.figures import table as tables
from workflow_helpers import Project

# The graph ------------------------------------------------------------------------------------------------------------


RULES = {
    "fetch": [],
    "particle": [],
    "scatter": ["particle"],
    "train": ["fetch", "scatter"],
    "evaluate_patches": ["train", "fetch"],
    "evaluate_whole": ["train", "scatter", "no rule"],
    "report": ["evaluate_patches", "evaluate_whole", "particle"],
    "alone": [],
}


def boxes(svg: str) -> dict[str, tuple[float, float, float, float]]:
    found = re.findall(
        r'<rect x="([\d.-]+)" y="([\d.]+)" width="([\d.]+)" height="(\d+)"[^>]*/><text[^>]*>([^<]+)', svg
    )
    return {name: (float(x), float(y), float(x) + float(w), float(y) + float(h)) for x, y, w, h, name in found}


def test_the_report_is_given_the_rules_as_snakemake_has_them(top, tmp_path):
    """The parameter of the rule against the graph that Snakemake itself prints."""
    project = Project.copy(top, tmp_path / "project")
    with open(project.folder / "Snakefile", "a") as snakefile:
        snakefile.write('\nimport json\nwith open("told.json", "w") as file:\n')
        snakefile.write('    json.dump(workflow.get_rule("report").params.rules, file)\n')
    said = project.snakemake("--rulegraph", "--forceall")
    told = json.loads((project.folder / "told.json").read_text())
    names = dict(re.findall(r'(\d+)\[label = "(\w+)"', said))
    wanted = {(names[one], names[two]) for one, two in re.findall(r"(\d+) -> (\d+)", said)}
    assert {(need, name) for name, needs in told.items() for need in needs} == {e for e in wanted if e[1] != "all"}
    assert len(wanted) > 30


def test_boxes_do_not_overlap_and_needs_stand_to_the_left():
    svg = graph.dag_svg(RULES)
    found = boxes(svg)
    assert set(found) == set(RULES)
    names = list(found)
    for i, one in enumerate(names):
        for two in names[:i]:
            a, b = found[one], found[two]
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1], f"{one} over {two}"
    for name, needs in RULES.items():
        for need in set(needs) & set(RULES):
            assert found[need][2] < found[name][0]
    width, height = map(float, re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)', svg).groups())
    assert all(box[0] >= 0 and box[1] >= 0 and box[2] <= width and box[3] <= height for box in found.values())


def test_the_picture_is_the_same_each_time():
    draw = f"from braggfill.stages.figures.graph import dag_svg; print(dag_svg({RULES}))"
    runs = {subprocess.run([sys.executable, "-c", draw], capture_output=True, check=True).stdout for _ in range(3)}
    assert len(runs) == 1


def test_an_edge_that_a_longer_way_replaces_is_not_drawn():
    assert graph.dag_svg({"a": [], "b": ["a"], "c": ["a", "b"]}).count("<path d=") == 2
    assert graph.dag_svg({"a": [], "b": [], "c": ["a", "b", "not a rule"]}).count("<path d=") == 2


def test_no_rules_are_an_empty_picture():
    assert graph.dag_svg({}).count("<rect") == 0


# Small parts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.3412, "0.34"), (5.2, "5.2"), (254, "250"), (1234, "1.2k"), (58_000, "58k"), (999.9, "1k"), (1.2e6, "1.2M")],
)
def test_compact_numbers(value, said):
    assert style.compact(value) == said


@pytest.mark.parametrize(
    ("value", "said"), [(2.3e-8, "2.3·10⁻⁸"), (0.012, "0.012"), (1234.0, "1\u202f234"), (0.0, "0"), (float("nan"), "–")]
)
def test_significant_figures(value, said):
    assert tables.figures(value, 2) == said


@pytest.mark.parametrize(
    ("seconds", "said"), [(3.21, "3.2 s"), (59.4, "59 s"), (125, "2 min 05 s"), (4320, "1 h 12 min")]
)
def test_times_are_read_easily(seconds, said):
    assert record.clock(seconds) == said
