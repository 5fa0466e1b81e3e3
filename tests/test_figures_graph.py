"""The picture of the rules, and how numbers are written."""

from __future__ import annotations

import re

import pytest
from braggfill.stages.figures import graph, page, style, tables

# The graph ------------------------------------------------------------------------------------------------------------


def boxes(svg: str) -> dict[str, tuple[float, float, float, float]]:
    found = re.findall(r'<rect x="([\d.-]+)" y="(\d+)" width="([\d.]+)" height="(\d+)"[^>]*/><text[^>]*>([^<]+)', svg)
    return {name: (float(x), float(y), float(x) + float(w), float(y) + float(h)) for x, y, w, h, name in found}


def test_the_graph_has_the_rules_of_the_workflow(top):
    text = "".join(path.read_text() for path in (top / "workflow/rules").glob("*.smk"))
    assert set(graph.RULES) == set(re.findall(r"^rule (\w+):", text, flags=re.MULTILINE))


def test_boxes_do_not_overlap_and_needs_stand_above():
    svg = graph.dag_svg()
    found = boxes(svg)
    assert set(found) == set(graph.RULES)
    names = list(found)
    for i, one in enumerate(names):
        for two in names[:i]:
            a, b = found[one], found[two]
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1], f"{one} over {two}"
    for name, needs in graph.RULES.items():
        for need in needs:
            assert found[need][3] < found[name][1]
    width = float(re.search(r'viewBox="0 0 ([\d.]+)', svg).group(1))
    assert all(box[0] >= 0 and box[2] <= width for box in found.values())


def test_an_edge_that_a_longer_way_replaces_is_not_drawn():
    assert graph.dag_svg({"a": [], "b": ["a"], "c": ["a", "b"]}).count("<path d=") == 2
    assert graph.dag_svg({"a": [], "b": [], "c": ["a", "b", "not a rule"]}).count("<path d=") == 2


def test_a_circle_is_told():
    with pytest.raises(ValueError, match="circle"):
        graph.dag_svg({"a": ["b"], "b": ["a"]})


# Small parts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.3412, "0.34"), (5.2, "5.2"), (254, "250"), (1234, "1.2k"), (58_000, "58k"), (999.9, "1k"), (1.2e6, "1.2M")],
)
def test_compact_numbers(value, said):
    assert style.compact(value) == said


@pytest.mark.parametrize(
    ("value", "said"), [(2.3e-8, "2.3·10⁻⁸"), (0.012, "0.012"), (1234.0, "1 234"), (0.0, "0"), (float("nan"), "–")]
)
def test_significant_figures(value, said):
    assert tables.figures(value, 2) == said


@pytest.mark.parametrize(
    ("seconds", "said"), [(3.21, "3.2 s"), (59.4, "59 s"), (125, "2 min 05 s"), (4320, "1 h 12 min")]
)
def test_times_are_read_easily(seconds, said):
    assert page.clock(seconds) == said
