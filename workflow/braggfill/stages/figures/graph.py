"""The graph of the rules as an SVG picture, from left to right: Snakemake's own graph, laid out by a library."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from html import escape

HEIGHT, ROW, COLUMN, CHARACTER, MARGIN = 24, 32, 44, 6.6, 10
"""Pixels: height of a box, from row to row, between columns, width of a character, around everything."""
STYLE = (
    "path{fill:none;stroke:#8a94a0;stroke-width:1.2}rect{fill:#eef3f8;stroke:#40607f;stroke-width:1}"
    "text{font:12px system-ui,sans-serif;fill:#1a1a1a;text-anchor:middle}"
)


def dag_svg(rules: Mapping[str, Sequence[str]]) -> str:
    """An SVG element of the rules: a box each, a line from what a rule needs to the rule.

    Parameters
    ----------
    rules : rule → rules that it needs; needs that are no key are ignored, and so is an edge that a longer way
        replaces.
    """
    cells, links = _layout(rules)
    columns = sorted({column for column, _ in cells.values()})
    widths = {c: max(_width(name) for name, (column, _) in cells.items() if column == c) for c in columns}
    left = {c: MARGIN + sum(widths[d] + COLUMN for d in columns if d < c) for c in columns}

    def place(name: Hashable) -> tuple[float, float, float]:
        """Left and right end of a column, and the height of what lies in it: a box, or a line that passes."""
        column, row = cells[name]
        return left[column], left[column] + widths[column], MARGIN + HEIGHT / 2 + row * ROW

    lines, boxes = [], []
    for one, two in links:
        (begin, x0, y0), (x1, end, y1) = place(one), place(two)
        begin, half = (begin + x0) / 2 if one in rules else x0, (x0 + x1) / 2
        end = (x1 + end) / 2 if two in rules else end
        curve = f"C{half:.1f} {y0:.1f} {half:.1f} {y1:.1f} {x1:.1f} {y1:.1f}"
        lines.append(f'<path d="M{begin:.1f} {y0:.1f}H{x0:.1f}{curve}H{end:.1f}"/>')
    for name in rules:
        x0, x1, y = place(name)
        x = (x0 + x1) / 2
        boxes.append(
            f'<rect x="{x - _width(name) / 2:.1f}" y="{y - HEIGHT / 2:.1f}" width="{_width(name):.1f}" '
            f'height="{HEIGHT}" rx="5"/><text x="{x:.1f}" y="{y + 4:.1f}">{escape(name)}</text>'
        )
    width = max((left[c] + widths[c] for c in columns), default=0.0) + MARGIN
    height = max((row for _, row in cells.values()), default=0.0) * ROW + HEIGHT + 2 * MARGIN
    return (
        f'<svg class="dag" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" role="img" '
        f'aria-label="graph of the rules"><style>{STYLE}</style>{"".join(lines)}{"".join(boxes)}</svg>'
    )


def _width(name: Hashable) -> float:
    return len(name) * CHARACTER + 16 if isinstance(name, str) else 0.0


def _layout(
    rules: Mapping[str, Sequence[str]],
) -> tuple[dict[Hashable, tuple[float, float]], list[tuple[Hashable, Hashable]]]:
    """Column and row of each rule, and of each bend of a line that passes a column; and the pieces of the lines.

    Layers by Sugiyama's method; each part of the graph that hangs together lies below the one before.
    """
    import networkx
    from fast_sugiyama import from_edges

    graph = networkx.DiGraph()
    graph.add_nodes_from(rules)
    graph.add_edges_from((need, name) for name, needs in rules.items() for need in needs if need in rules)
    cells: dict[Hashable, tuple[float, float]] = {}
    links: list[tuple[Hashable, Hashable]] = []
    below = 0.0
    for number, part in enumerate(sorted(map(sorted, networkx.weakly_connected_components(graph)))):
        whole = networkx.transitive_reduction(graph.subgraph(part))
        # By number, in an order that depends on nothing else: by name the layout would differ from run to run.
        names = list(networkx.lexicographical_topological_sort(whole))
        edges = sorted((names.index(one), names.index(two)) for one, two in whole.edges)
        ((places, across, along, pieces),) = (
            from_edges(edges, vertex_spacing=1, dummy_vertices=True) if edges else [([(0, (0, 0))], 0, 0, [])]
        )
        own: dict[int | str, Hashable] = {n: names[int(n)] if int(n) < len(names) else (number, n) for n, _ in places}
        cells |= {own[n]: (along - layer, below + row) for n, (row, layer) in places}
        links += [(own[one], own[two]) for one, two in sorted(pieces or ())]
        below += across + 1
    return cells, links
