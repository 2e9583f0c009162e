"""A picture of what was recorded: every call, what came out of it, and when backward visits it.

The layout is that of Sugiyama, Tagawa and Toda (1981), in four steps:

layers       a box stands above all that were computed from it: its layer is its longest way to the output
waypoints    an edge that crosses a layer gets a place of its own there, so that it runs through no box
order        in each layer, by the mean place of the neighbours (barycentre), down and up; the order with the fewest
             crossings is kept
places       x near the mean of the neighbours, no two closer than they are wide: a least-squares problem that pooling
             of neighbours solves exactly
"""

from __future__ import annotations

from bisect import bisect, insort
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from .. import svg
from ..errors import NoGradient, WrongValue, explain
from .core import Leaf, Node, Tensor, unwrap
from .primitive import passes

LIMIT = 300  # boxes: what a page can hold and a reader follow
HEIGHT, GAP, BETWEEN, MARGIN = 44, 46, 22, 24  # of a box, between layers, between boxes, around all
SWAPPABLE = {"add", "multiply", "maximum", "minimum"}  # which argument is which does not matter
BLUE, ORANGE, GREY, GREEN = svg.COLOURS[:4]


class Graph:
    """The record behind a Tensor, drawn: `t.graph(names={"w": w})`.

    Data flows downwards. A box is one recorded call: its function with the arguments that are constants (a dot stands
    for each recorded one), the dtype and shape of its result, and in the corner when backward visits it, 1 being the
    first. Round boxes are leaves. A dashed edge takes no gradient back, because its rule is None. Small numbers say
    which argument an edge is, and in brackets which of several outputs. A Graph keeps the record alive.

    Attributes:
        order: the nodes in the order in which backward visits them.
        svg: the picture, an SVG document.
    """

    def __init__(self, output: Tensor, names: Mapping[str, Any] | None = None):
        if output._node is None:
            raise NoGradient(
                explain(
                    "Nothing was recorded behind this Tensor.",
                    got=repr(output),
                    fix="compute it from ml.tensor(x, requires_grad=True), outside ml.no_grad()",
                )
            )
        self._output = output
        self._boxes = _reachable(output, all_edges=True)
        if len(self._boxes) > LIMIT:
            raise WrongValue(
                explain(
                    f"A picture shows at most {LIMIT} boxes.",
                    got=f"{len(self._boxes)}",
                    fix="draw a smaller case: fewer tokens, one layer; or an inner Tensor",
                )
            )
        self._reached = set(_reachable(output))
        self.order = sorted((n for n in self._reached if type(n) is Node), key=lambda n: -n.id)
        named = dict(names or {}).items()
        self._names = {_identity(value): name for name, value in named}
        self.svg = self._draw()

    def save(self, path: str | Path) -> None:
        """Write the picture to a file; whoever reads it meanwhile finds the old one or the new one, whole."""
        svg.save(self.svg, path)

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return f"Graph({len(self.order)} calls, {sum(type(b) is Leaf for b in self._boxes)} leaves)"

    # What stands in a box

    def _title(self, box) -> str:
        if type(box) is Leaf:
            return self._names.get((box, 0), "leaf")
        recorded = set(box.wants)
        inputs = ["·" if i in recorded else self._constant(x) for i, x in enumerate(box.inputs)]
        options = [f"{name}={_short(value)}" for name, value in box.static.items()]
        plain = not options and len(recorded) == len(inputs)
        call = box.primitive.name + ("" if plain else f"({', '.join(inputs + options)})")
        name = self._names.get((box, 0)) if len(box.outputs) == 1 else None  # of several, the edges bear the names
        return _cut(f"{name} = {call}" if name else call, 34)

    def _constant(self, x) -> str:
        return self._names.get(_identity(x)) or _short(unwrap(x))

    def _detail(self, box, used) -> str:
        if type(box) is Leaf:
            return _shape(self._leaves[box])
        outputs = [box.outputs[i] for i in sorted(used)] or list(box.outputs)
        shapes = list(dict.fromkeys(map(_shape, outputs)))
        several = f"{len(outputs)} × " if len(outputs) > 1 and len(shapes) == 1 else ""
        return _cut(several + ", ".join(shapes), 40)

    # The picture

    def _draw(self) -> str:
        boxes = self._boxes
        edges = [  # (from, its output, to, its argument)
            (node.inputs[i]._node, node.inputs[i]._index, node, i)
            for node in boxes
            if type(node) is Node
            for i in node.wants
        ]
        self._leaves = {node.inputs[i]._node: node.inputs[i] for _, _, node, i in edges}
        self._leaves[self._output._node] = self._output
        used: dict[Any, set] = {box: set() for box in boxes}
        used[self._output._node].add(self._output._index)
        for source, k, _, _ in edges:
            used[source].add(k)
        titles = {box: self._title(box) for box in boxes}
        details = {box: self._detail(box, used[box]) for box in boxes}
        widths = {b: max(svg.width(titles[b], 13, bold=True), svg.width(details[b], 11)) + 30 for b in boxes}
        place = Layout(boxes, [(source, target) for source, _, target, _ in edges], widths)
        self._visit = {node: i + 1 for i, node in enumerate(self.order)}
        parts = [self._edge(edge, path, used) for edge, path in zip(edges, place.paths)]
        parts += [self._box(box, *place.corner[box], widths[box], titles[box], details[box]) for box in boxes]
        return svg.document(parts, place.width, place.height)

    def _edge(self, edge, path, used) -> str:
        source, k, target, i = edge
        (x0, y0), (x1, y1) = path[0], path[-1]
        dashed = "" if target in self._visit and passes(target.primitive, i) else ' stroke-dasharray="4 4"'
        parts = [
            f'<path d="{svg.curve(path)}" fill="none" stroke="{GREY}" stroke-width="1.3"{dashed}/>',
            f'<path d="M{x1 - 4:.1f} {y1 - 7:.1f}h8l-4 7z" fill="{GREY}"/>',
        ]
        if len(target.wants) > 1 and target.primitive.name not in SWAPPABLE:
            parts.append(svg.text(x1 + 5, y1 - 4, str(i), size=10, fill=ORANGE))
        if len(used[source]) > 1:
            parts.append(svg.text(x0 + 4, y0 + 11, self._names.get((source, k), f"[{k}]"), size=10, fill=BLUE))
        return "\n".join(parts)

    def _box(self, box, x, y, w, title, detail) -> str:
        leaf, gets = type(box) is Leaf, box in self._reached
        fill, stroke = ("#eef5f9", BLUE) if not leaf else ("#f0f6ea", GREEN) if gets else ("#f4f4f4", GREY)
        more = ' stroke-dasharray="4 4"' if not gets else ' stroke-width="2.5"' if box is self._output._node else ""
        parts = [
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{HEIGHT}" rx="{HEIGHT / 2 if leaf else 5}" '
            f'fill="{fill}" stroke="{stroke}"{more}/>',
            svg.text(x + w / 2, y + 19, title, anchor="middle", weight="bold"),
            svg.text(x + w / 2, y + 35, detail, anchor="middle", size=11, fill="#555555"),
        ]
        if number := self._visit.get(box):
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{9 if number < 100 else 12}" fill="{BLUE}"/>')
            parts.append(svg.text(x, y + 3.5, str(number), anchor="middle", size=10, weight="bold", fill="#ffffff"))
        return "\n".join(parts)


def _reachable(output: Tensor, all_edges: bool = False) -> list:
    """What the output was computed from, and itself: what backward reaches, or with `all_edges` all of it."""
    found = {output._node: None}
    waiting = [output._node]
    while waiting:
        node = waiting.pop()
        for i in node.wants if type(node) is Node else ():
            source = node.inputs[i]._node
            if source not in found and (all_edges or passes(node.primitive, i)):
                found[source] = None
                waiting.append(source)
    return list(found)


def _identity(x: Any) -> Any:
    """What stays the same of a named thing: where a recorded Tensor came from, and the array of any other."""
    if isinstance(x, Tensor) and x._node is not None:
        return x._node, x._index
    return id(unwrap(x))


def _short(x: Any) -> str:
    if hasattr(x, "shape") and x.shape != ():
        return f"array{tuple(x.shape)}"
    if isinstance(x, slice):
        return ":".join("" if part is None else str(part) for part in (x.start, x.stop)) + (
            f":{x.step}" if x.step else ""
        )
    if isinstance(x, tuple):
        return "(" + ", ".join(map(_short, x)) + (",)" if len(x) == 1 else ")")
    if x is Ellipsis:
        return "..."
    return f"{x:.4g}" if isinstance(x, float) else _cut(str(x), 16)


def _shape(x: Any) -> str:
    return f"{x.dtype} {x.shape}"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


class Layout:
    """Places for boxes and ways for edges.

    Args:
        boxes: hashable, each once; all of them lead to the first, the output.
        edges: (from, to), without circles; any number between the same two.
        widths: of each box.

    Attributes:
        corner: the upper left corner of each box.
        paths: for each edge, the points that it goes through, from the lower side of one box to the upper of another.
        width, height: of the whole.
    """

    def __init__(self, boxes: list, edges: list[tuple], widths: Mapping[Any, float]):
        self.widths = dict(widths)
        layer = _layers(boxes, edges)
        rows: list[list] = [[] for _ in range(max(layer.values()) + 1)]
        for box in boxes:
            rows[layer[box]].append(box)
        chains = []
        for e, (source, target) in enumerate(edges):
            between = [("way", e, level) for level in range(layer[source] + 1, layer[target])]
            for way in between:
                self.widths[way] = 1.0
                rows[way[2]].append(way)
            chains.append([source, *between, target])
        self.above: dict[Any, list] = {v: [] for row in rows for v in row}
        self.below: dict[Any, list] = {v: [] for row in rows for v in row}
        for chain in chains:
            for a, b in pairwise(chain):
                self.below[a].append(b)
                self.above[b].append(a)
        self.rows = self._ordered(rows)
        self.x = self._placed()
        self._finish(chains)

    def _ordered(self, rows) -> list[list]:
        """Sweeps by barycentre, down and up in turns; the best order met is kept."""
        best, fewest = rows, self._crossings(rows)
        for sweep in range(16):
            if not fewest:
                break
            down = sweep % 2 == 0
            rows, neighbours = [list(row) for row in rows], self.above if down else self.below
            for i in range(1, len(rows)) if down else range(len(rows) - 2, -1, -1):
                at = {v: k for k, v in enumerate(rows[i - 1 if down else i + 1])}
                means = [_mean([at[u] for u in neighbours[v]], k) for k, v in enumerate(rows[i])]
                rows[i] = [v for _, v in sorted(zip(means, rows[i]), key=lambda pair: pair[0])]
            crossings = self._crossings(rows)
            if crossings < fewest:
                best, fewest = rows, crossings
        return best

    def _crossings(self, rows) -> int:
        """Pairs of edges between neighbouring rows that are in the other order below than above."""
        total = 0
        for upper, lower in pairwise(rows):
            at = {v: k for k, v in enumerate(lower)}
            seen: list[int] = []
            for v in upper:
                ends = [at[u] for u in self.below[v]]
                total += sum(len(seen) - bisect(seen, end) for end in ends)
                for end in ends:
                    insort(seen, end)
        return total

    def _placed(self) -> dict[Any, float]:
        """Centres: every row in turn, near the mean of its neighbours above or below, at last of both."""
        x: dict[Any, float] = {}
        for row in self.rows:
            x.update(zip(row, self._spread(row, [0.0] * len(row))))
        for sweep in range(64):
            sides = [self.above, self.below] if sweep >= 16 else [self.above] if sweep % 2 == 0 else [self.below]
            for row in self.rows if sweep % 2 == 0 else self.rows[::-1]:
                near = [[u for side in sides for u in side[v]] for v in row]
                for i, v in enumerate(row):
                    if type(v) is tuple:  # a long edge bends at its ends, if it must, and is straight between them
                        near[i] = [u for u in near[i] if type(u) is tuple] or near[i]
                wanted = [_mean([x[u] for u in us], x[v]) for v, us in zip(row, near)]
                x.update(zip(row, self._spread(row, wanted)))
        return x

    def _spread(self, row, wanted) -> list[float]:
        """The places nearest to those wanted, in least squares, that keep the order and the distances. With the
        distances taken out of it this is a monotone regression: neighbours in the wrong order move to their mean.
        """
        distance = [0.0]
        for a, b in pairwise(row):
            distance.append(distance[-1] + (self.widths[a] + self.widths[b]) / 2 + BETWEEN)
        pools: list[list[float]] = []  # [sum of weights, sum of weighted places, how many]
        for v, place, d in zip(row, wanted, distance):
            weight = 4.0 if type(v) is tuple else 1.0  # a long edge should be straight
            pools.append([weight, weight * (place - d), 1])
            while len(pools) > 1 and pools[-2][1] * pools[-1][0] > pools[-1][1] * pools[-2][0]:
                last = pools.pop()
                pools[-1] = [a + b for a, b in zip(pools[-1], last)]
        flat = [total / weight for weight, total, n in pools for _ in range(int(n))]
        return [place + d for place, d in zip(flat, distance)]

    def _finish(self, chains) -> None:
        """From centres to corners and paths. Ends that share a side stand beside each other, in order of where their
        edges come from, so that they do not cross in front of the box.
        """
        left = min(self.x[v] - self.widths[v] / 2 for v in self.x)
        x = {v: place - left + MARGIN for v, place in self.x.items()}
        top = {v: MARGIN + i * (HEIGHT + GAP) for i, row in enumerate(self.rows) for v in row}
        self.width = max(x[v] + self.widths[v] / 2 for v in x) + MARGIN
        self.height = MARGIN * 2 + len(self.rows) * (HEIGHT + GAP) - GAP
        self.corner = {v: (x[v] - self.widths[v] / 2, top[v]) for v in x if type(v) is not tuple}
        start = self._ends(chains, x, 0, 1)
        end = self._ends(chains, x, -1, -2)
        self.paths = []
        for e, chain in enumerate(chains):
            points = [(start[e], top[chain[0]] + HEIGHT)]
            for way in chain[1:-1]:
                points += [(x[way], top[way]), (x[way], top[way] + HEIGHT)]
            self.paths.append([*points, (end[e], top[chain[-1]])])

    def _ends(self, chains, x, here, next_) -> dict[int, float]:
        sides: dict[Any, list[int]] = {}
        for e, chain in enumerate(chains):
            sides.setdefault(chain[here], []).append(e)
        ends = {}
        for box, side in sides.items():
            side.sort(key=lambda e: (x[chains[e][next_]], e))
            step = min(18.0, (self.widths[box] - 24) / len(side))
            for k, e in enumerate(side):
                ends[e] = x[box] + (k - (len(side) - 1) / 2) * step
        return ends


def _mean(places: list, otherwise: float) -> float:
    return sum(places) / len(places) if places else otherwise


def _layers(boxes, edges) -> dict[Any, int]:
    """From 0 at the top: the longest way to the output decides, so that a leaf stands just above its use."""
    used_by: dict[Any, list] = {box: [] for box in boxes}
    for source, target in edges:
        used_by[source].append(target)
    ways: dict[Any, int] = {}
    for box in sorted(boxes, key=lambda b: -b.id):  # ids grow with time: what uses a box comes before it
        ways[box] = 1 + max((ways[target] for target in used_by[box]), default=-1)
    deepest = max(ways.values())
    return {box: deepest - way for box, way in ways.items()}
