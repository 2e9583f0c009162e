"""The computation graph of numbers, and how gradients go back through it: visit by visit, part by part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from minilinear import Tensor, svg
from minilinear.autograd.backward import backpropagate
from minilinear.autograd.core import Leaf
from minilinear.autograd.graph import HEIGHT, Layout
from minilinear.errors import WrongValue, explain

from .picture import FAINT, INK, PALETTE, Picture, Scrubber, by_hand, scrubber

BACK = PALETTE["q"]


class Part(NamedTuple):
    """What one visit hands to one of its inputs."""

    visit: int  # from 1
    source: Any  # who gets it
    amount: float


class Flow:
    """The way back through a graph of single numbers.

    Attributes:
        order: the calls, as backward visits them.
        leaves: where gradients end.
        parts: everything that is handed on, in the order in which it is.
        gradient: of every call and leaf, from the engine itself.
    """

    def __init__(self, output: Tensor, names: Mapping[str, Tensor]):
        self.order = output.graph().order
        sizes = {node.outputs[0].size for node in self.order}
        if sizes != {1} or not all(node.primitive.rules for node in self.order):
            raise WrongValue(
                explain(
                    "This figure follows single numbers through simple rules.",
                    got=f"results of {max(sizes)} numbers",
                    fix="numbers, ml.tensor(0.5, requires_grad=True); t.graph() draws any graph",
                )
            )
        found = backpropagate([output], [None], keep=set(self.order))
        self.gradient = {box: float(gs[0]) for box, gs in found.items()}
        self.leaves = [box for box in found if type(box) is Leaf]
        self.names = {t._node: name for name, t in names.items()}
        self.value = {node: node.outputs[0].item() for node in self.order}
        self.parts, self.edges = [], []
        for visit, node in enumerate(self.order, 1):
            for i in node.wants:
                source, g = node.inputs[i]._node, found[node][0]
                self.value.setdefault(source, node.inputs[i].item())
                amount = node.primitive.rules[i](g, node.outputs[0], *node.raw, **node.static)
                self.parts.append(Part(visit, source, float(amount)))
                self.edges.append((source, node))

    def named(self, box: Any) -> str:
        """What a box is called in a sentence."""
        return self.names.get(box) or ("a leaf" if type(box) is Leaf else box.primitive.name)

    def drawing(self, visits: int, alt: str) -> Picture:
        """The graph after so many visits."""
        boxes = [*self.order, *self.leaves]
        titles = {box: self.named(box) for box in boxes}
        titles |= {b: f"{self.names[b]} = {b.primitive.name}" for b in self.order if b in self.names}
        details = {box: self._detail(box, visits) for box in boxes}
        widest = {box: max(svg.width(titles[box], 13, bold=True), 20 * 7.0) + 26 for box in boxes}
        place = Layout(boxes, self.edges, widest)
        landing: dict[
            int, list[float]
        ] = {}  # where the edges of a call reach it: the first of two has its label on its left
        for part, path in zip(self.parts, place.paths):
            landing.setdefault(part.visit, []).append(path[-1][0])
        drawn = ['<g transform="translate(12 0)">']  # room for the number of a box at the left edge
        drawn += [
            self._edge(part, path, visits, left=path[-1][0] < max(landing[part.visit]))
            for part, path in zip(self.parts, place.paths)
        ]
        for box in boxes:
            x, y = place.corner[box]
            reached = any(part.source is box and part.visit <= visits for part in self.parts) or box is self.order[0]
            leaf, stroke = type(box) is Leaf, f'stroke="{BACK}" stroke-width="2.5"' if reached else f'stroke="{FAINT}"'
            drawn.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{widest[box]:.1f}" height="{HEIGHT}" '
                f'rx="{HEIGHT / 2 if leaf else 5}" fill="none" {stroke}/>'
            )
            middle = x + widest[box] / 2
            drawn.append(svg.text(middle, y + 18, titles[box], anchor="middle", weight="bold", fill=INK))
            drawn.append(svg.text(middle, y + 35, details[box], anchor="middle", size=12, fill=INK))
            if not leaf:
                visit = self.order.index(box) + 1
                at, width = f'cx="{x - 14:.1f}" cy="{y + HEIGHT / 2:.1f}"', 2.5 if visit <= visits else 1
                drawn.append(f'<circle {at} r="10" fill="none" stroke="{BACK}" stroke-width="{width}"/>')
                drawn.append(svg.text(x - 14, y + HEIGHT / 2 + 4, str(visit), anchor="middle", size=12, fill=INK))
        drawn.append("</g>")
        return by_hand(drawn, place.width + 12, place.height, alt)

    def _detail(self, box: Any, visits: int) -> str:
        got = [part for part in self.parts if part.source is box]
        arrived = sum(part.amount for part in got if part.visit <= visits)
        if box is self.order[0]:
            return f"{self.value[box]:.2f}, gradient 1"
        if not any(part.visit <= visits for part in got):
            return f"{self.value[box]:.2f}"
        whole = all(part.visit <= visits for part in got)
        return f"{self.value[box]:.2f}, gradient {arrived:.2f}" + ("" if whole else " so far")

    def _edge(self, part: Part, path: Sequence[tuple[float, float]], visits: int, *, left: bool) -> str:
        (x0, y0), (x1, y1) = path[0], path[-1]
        path = [*path[:-1], (x1, y1 - 18), (x1, y1)]  # upright beside its label
        if part.visit > visits:  # data only, downwards
            return (
                f'<path d="{svg.curve(path)}" fill="none" stroke="{FAINT}" stroke-dasharray="4 4"/>'
                f'<path d="M{x1 - 4:.1f} {y1 - 7:.1f}h8l-4 7z" fill="{FAINT}"/>'
            )
        x, anchor = (x1 - 7, "end") if left else (x1 + 7, "start")
        return (
            f'<path d="{svg.curve(path)}" fill="none" stroke="{BACK}" stroke-width="2.5"/>'
            f'<path d="M{x0 - 5:.1f} {y0 + 9:.1f}h10l-5 -9z" fill="{BACK}"/>'
            + svg.text(x, y1 - 6, f"{part.amount:+.2f}", anchor=anchor, size=12, fill=INK)
        )


def gradient_order(output: Tensor, names: Mapping[str, Tensor]) -> Picture:
    """The whole way back: the numbers beside the boxes are the order of the visits, those at the edges what is handed
    on.

    Args:
        output: a single number, computed from single numbers with functions that have a rule for each argument.
        names: name -> Tensor, for the labels.
    """
    flow = Flow(output, names)
    calls = ", ".join(node.primitive.name for node in flow.order)
    alt = f"Backward visits the {len(flow.order)} calls youngest first: {calls}."
    shared = {node: [p.amount for p in flow.parts if p.source is node] for node in flow.order}
    most = max(flow.order, key=lambda node: len(shared[node]))
    if len(shared[most]) > 1:
        sum_ = " ".join(f"{'+' if a >= 0 else '-'} {abs(a):.2f}" for a in shared[most]).removeprefix("+ ")
        alt += (
            f" The gradient of {flow.named(most)} comes in {len(shared[most])} parts, "
            f"{sum_} = {flow.gradient[most]:.2f}, and it hands on nothing before the last has come."
        )
    return flow.drawing(len(flow.order), alt)


def gradient_steps(output: Tensor, names: Mapping[str, Tensor]) -> Scrubber:
    """The same, one frame for each visit."""
    flow = Flow(output, names)
    frames = []
    for visit, node in enumerate(flow.order, 1):
        handed = []
        for source, parts in groupby((p for p in flow.parts if p.visit == visit), key=lambda p: p.source):
            amounts = " and ".join(f"{part.amount:.2f}" for part in parts)
            whole = all(p.visit <= visit for p in flow.parts if p.source is source)
            state = f"which makes its gradient {flow.gradient[source]:.2f}" if whole else "which still waits for more"
            handed.append(f"{amounts} to {flow.named(source)}, {state}")
        alt = f"Visit {visit} of {len(flow.order)}: {node.primitive.name} hands {'; '.join(handed)}."
        frames.append(flow.drawing(visit, alt))
    return scrubber(frames, label="visit")
