"""The graph of the rules as an SVG picture, in layers from top to bottom, edges bent around boxes."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from html import escape

RULES: dict[str, tuple[str, ...]] = {
    "fetch": (),
    "particle": (),
    "relax": ("particle",),
    "scatter": ("relax",),
    "scatter_check": ("relax",),
    "scatter_oversampling": ("relax",),
    "perturb": ("scatter",),
    "perturb_steps": ("scatter",),
    "perturb_oversampling": ("scatter_oversampling",),
    "extract": ("perturb",),
    "extract_scan": ("fetch",),
    "train": ("extract", "extract_scan"),
    "inpaint": ("fetch", "train"),
    "evaluate_measured": ("fetch", "train"),
    "evaluate_simulated": ("extract", "train"),
    "evaluate_oversampling": ("perturb_oversampling", "train"),
    "evaluate_position": ("perturb", "train"),
    "evaluate_skip": ("fetch", "train"),
    "evaluate_gaps": ("fetch", "train"),
    "evaluate_patches": ("evaluate_measured", "evaluate_simulated"),
    "evaluate_whole": ("evaluate_oversampling", "evaluate_position", "evaluate_skip", "evaluate_gaps"),
    "evaluate_claims": ("evaluate_patches", "evaluate_whole"),
    "evaluate_calibration": ("fetch", "extract", "train"),
    "evaluate_cases": ("fetch", "inpaint"),
    "evaluate_realism": ("fetch", "perturb", "perturb_steps"),
    "reconstruct_true_phase": ("fetch", "train"),
    "reconstruct_particles": ("scatter", "train"),
    "reconstruct_prepare": ("fetch", "scatter", "train"),
    "reconstruct_phase": ("reconstruct_prepare",),
    "reconstruct_retrieval": ("reconstruct_prepare", "reconstruct_phase"),
    "reconstruct_map_cell": ("fetch", "train"),
    "reconstruct_map": ("reconstruct_map_cell",),
    "reconstruct_finetune": ("fetch", "train"),
    "figures": (
        "relax",
        "perturb_steps",
        "extract",
        "train",
        "inpaint",
        "evaluate_claims",
        "evaluate_calibration",
        "reconstruct_true_phase",
        "reconstruct_particles",
        "reconstruct_retrieval",
        "reconstruct_map",
        "reconstruct_finetune",
    ),
    "report": ("figures", "scatter_check", "evaluate_cases", "evaluate_realism"),
}
"""The rules of the workflow and what each needs."""

HEIGHT, GAP, LAYER, CHARACTER, MARGIN = 26, 16, 50, 7.0, 10


def dag_svg(rules: Mapping[str, Sequence[str]] | None = None) -> str:
    """An SVG element of the rules: a box each, a line from what a rule needs to the rule.

    Parameters
    ----------
    rules : rule → rules that it needs; needs that are no key are ignored, and so is an edge that a longer way
        replaces.  The project's own by default.

    Raises
    ------
    ValueError : the rules need each other in a circle.
    """
    rules = RULES if rules is None else rules
    needs = _reduced({name: [n for n in dict.fromkeys(found) if n in rules] for name, found in rules.items()})
    layers, links = _layers(needs)
    _order(layers, links)
    places = _places(layers, links)
    width = max(x + _width(name) / 2 for (name, _), x in places.items()) + MARGIN
    height = len(layers) * LAYER - (LAYER - HEIGHT) + 2 * MARGIN
    lines, boxes = [], []
    for name, found in needs.items():
        for need in found:
            way = _way(need, name, layers)
            lines.append(f'<path d="{_curve([(places[point], point[1]) for point in way])}"/>')
    for (name, layer), x in places.items():
        if name.startswith("|"):
            continue
        left, top = x - _width(name) / 2, MARGIN + layer * LAYER
        boxes.append(
            f'<rect x="{left:.1f}" y="{top}" width="{_width(name):.1f}" height="{HEIGHT}" rx="5"/>'
            f'<text x="{x:.1f}" y="{top + HEIGHT / 2 + 4:.1f}">{escape(name)}</text>'
        )
    style = (
        "path{fill:none;stroke:#8a94a0;stroke-width:1.2}rect{fill:#eef3f8;stroke:#40607f;stroke-width:1}"
        "text{font:12px system-ui,sans-serif;fill:#1a1a1a;text-anchor:middle}"
    )
    return (
        f'<svg class="dag" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" role="img" '
        f'aria-label="graph of the rules"><style>{style}</style>{"".join(lines)}{"".join(boxes)}</svg>'
    )


_Point = tuple[str, int]
"""A rule, or a bend ``|from|to``, and its layer."""


def _width(name: str) -> float:
    return 2.0 if name.startswith("|") else len(name) * CHARACTER + 18


def _reduced(needs: dict[str, list[str]]) -> dict[str, list[str]]:
    """Without needs that another need brings along."""
    reach: dict[str, set[str]] = {}

    def all_needs(name: str, above: tuple[str, ...]) -> set[str]:
        if name in above:
            raise ValueError(f"the rules need each other in a circle: {' → '.join((*above, name))}")
        if name not in reach:
            reach[name] = (
                set().union(*({n} | all_needs(n, (*above, name)) for n in needs[name])) if needs[name] else set()
            )
        return reach[name]

    for name in needs:
        all_needs(name, ())
    return {
        name: [n for n in found if not any(n in reach[m] for m in found if m != n)] for name, found in needs.items()
    }


def _layers(needs: dict[str, list[str]]) -> tuple[list[list[_Point]], list[tuple[_Point, _Point]]]:
    """Rules and bends layer by layer, and the links between neighbouring layers."""
    depth: dict[str, int] = {}

    def place(name: str) -> int:
        if name not in depth:
            depth[name] = 1 + max((place(n) for n in needs[name]), default=-1)
        return depth[name]

    for name in needs:
        place(name)
    # What needs nothing sits just above the first that needs it.
    users = {name: [other for other, found in needs.items() if name in found] for name in needs}
    for name in needs:
        if not needs[name] and users[name]:
            depth[name] = min(depth[other] for other in users[name]) - 1
    layers: list[list[_Point]] = [[] for _ in range(max(depth.values(), default=0) + 1)]
    for name, layer in depth.items():
        layers[layer].append((name, layer))
    links = []
    for name, found in needs.items():
        for need in found:
            way: list[_Point] = [(need, depth[need])]
            for layer in range(depth[need] + 1, depth[name]):
                way.append((f"|{need}|{name}", layer))
                layers[layer].append(way[-1])
            way.append((name, depth[name]))
            links += list(itertools.pairwise(way))
    return layers, links


def _order(layers: list[list[_Point]], links: list[tuple[_Point, _Point]]) -> None:
    """Order each layer by the mean place of its neighbours, down and up a few times: fewer crossings."""
    above: dict[_Point, list[_Point]] = {}
    below: dict[_Point, list[_Point]] = {}
    for one, two in links:
        below.setdefault(one, []).append(two)
        above.setdefault(two, []).append(one)
    for turn in range(12):
        near, sequence = (above, layers[1:]) if turn % 2 == 0 else (below, layers[-2::-1])
        place = {point: i / max(len(layer), 1) for layer in layers for i, point in enumerate(layer)}
        for layer in sequence:
            weight = {
                point: sum(place[n] for n in near[point]) / len(near[point]) if near.get(point) else place[point]
                for point in layer
            }
            layer.sort(key=weight.__getitem__)
            place |= {point: i / len(layer) for i, point in enumerate(layer)}


def _places(layers: list[list[_Point]], links: list[tuple[_Point, _Point]]) -> dict[_Point, float]:
    """Horizontal middle of each box: drawn towards its neighbours, never overlapping, order kept."""
    near: dict[_Point, list[_Point]] = {}
    for one, two in links:
        near.setdefault(one, []).append(two)
        near.setdefault(two, []).append(one)
    x: dict[_Point, float] = {}
    for layer in layers:
        at = 0.0
        for point in layer:
            x[point] = at + _width(point[0]) / 2
            at += _width(point[0]) + GAP
    for _ in range(60):
        for layer in layers:
            wish = [sum(x[n] for n in near[p]) / len(near[p]) if near.get(p) else x[p] for p in layer]
            x |= dict(zip(layer, _spread(layer, wish), strict=True))
    left = min(x[p] - _width(p[0]) / 2 for p in x)
    return {point: value - left + MARGIN for point, value in x.items()}


def _spread(layer: list[_Point], wish: list[float]) -> list[float]:
    """Places close to the wished ones with the distances kept: blocks that collide settle at their mean."""
    blocks: list[list[float]] = []  # [sum of wishes less offsets, number, width so far]
    offsets: list[float] = []
    for i, (point, w) in enumerate(zip(layer, wish, strict=True)):
        step = 0.0 if i == 0 else (_width(layer[i - 1][0]) + _width(point[0])) / 2 + GAP
        offsets.append((offsets[-1] if offsets else 0.0) + step)
        blocks.append([w - offsets[-1], 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            total, number = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += number
    found: list[float] = []
    for total, number in blocks:
        found += [total / number + offsets[len(found) + k] for k in range(int(number))]
    return found


def _way(need: str, name: str, layers: list[list[_Point]]) -> list[_Point]:
    """A link's points from box to box, its bends between them."""
    bend = f"|{need}|{name}"
    return [point for layer in layers for point in layer if point[0] in (need, bend, name)]


def _curve(way: list[tuple[float, int]]) -> str:
    """A smooth line from the lower edge of the first box to the upper edge of the last."""
    points = []
    for i, (x, layer) in enumerate(way):
        top = MARGIN + layer * LAYER
        points += [(x, top + HEIGHT)] if i == 0 else [(x, top)] if i == len(way) - 1 else [(x, top), (x, top + HEIGHT)]
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        middle = (y0 + y1) / 2
        path += f"L{x1:.1f} {y1:.1f}" if x0 == x1 else f"C{x0:.1f} {middle:.1f} {x1:.1f} {middle:.1f} {x1:.1f} {y1:.1f}"
    return path
