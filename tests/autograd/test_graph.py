"""The picture of the record: what is in it, the order of backward, and a layout without overlaps."""

import re
import xml.etree.ElementTree as ET
from itertools import combinations

import numpy as np
import pytest

import minilinear as ml
from minilinear import autograd as ag
from minilinear import svg
from minilinear.autograd import Primitive
from minilinear.autograd import backward as engine
from minilinear.autograd.core import Leaf, Node
from minilinear.autograd.graph import LIMIT, Layout
from minilinear.errors import NoGradient
from tests.autograd.cases import leaf

rng = np.random.default_rng(0)


def perceptron():
    w1, b1, w2 = leaf(rng.standard_normal((4, 8))), leaf(np.zeros(8)), leaf(rng.standard_normal((8, 3)))
    h = ag.silu(ag.linear(rng.standard_normal((6, 4)), w1, b1))
    return ag.cross_entropy(h @ w2, np.array([0, 1, 2, 0, 1, 2]))


def attention():
    x, *weights = [leaf(rng.standard_normal((4, 4))) for _ in range(4)]
    q, k, v = (x @ w for w in weights)
    scores = np.where(np.tri(4, dtype=bool), q @ k.mT / 2, -1e30)
    out = ag.softmax(scores) @ v
    return (out * out).sum()


def shared():
    w = leaf(np.ones(3))
    return (w * w * np.exp(w) + w / w.sum()).sum()


def over_time():
    x, a = leaf(rng.standard_normal((5, 3))), leaf(np.ones(3))
    state = 0.0
    for x_t in x:
        state = np.tanh(a * state + x_t)
    return (state * state).sum()


def second_derivative():
    w = leaf(np.array([1.0, 2.0]))
    return (ml.grad((np.sin(w) * w).sum(), w, create_graph=True) ** 2).sum()


def blocked():
    """Half of it lies behind a rule that is None."""
    h = leaf(np.ones(3))
    soft = ag.softmax(h)
    return (ag.straight_through(np.exp(h) * leaf(np.ones(3)), soft) * soft).sum()


def fused_second():
    w = leaf(rng.standard_normal((4, 3)))
    loss = ag.cross_entropy(np.tanh(rng.standard_normal((5, 4)) @ w), np.array([0, 1, 2, 0, 1]))
    return (ml.grad(loss, w, create_graph=True) ** 2).sum()


EXAMPLES = [perceptron, attention, shared, over_time, second_derivative, blocked, fused_second]


def visited(output, monkeypatch):
    """The nodes that backward takes from its heap, in its order."""
    taken, heappop = [], engine.heappop

    def spy(queue):
        item = heappop(queue)
        taken.append(item[1])
        return item

    monkeypatch.setattr(engine, "heappop", spy)
    found = engine.backpropagate([output], [None])
    return taken, found


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_order_is_that_of_backward(example, monkeypatch):
    output = example()
    taken, found = visited(output, monkeypatch)
    graph = output.graph()
    assert graph.order == taken
    leaves = {box for box in graph._reached if isinstance(box, Leaf)}
    assert leaves == set(found)


def texts(picture: str) -> list[str]:
    return [element.text for element in ET.fromstring(picture).iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_box_is_there_with_its_number(example):
    graph = example().graph()
    words = texts(graph.svg)
    for i, node in enumerate(graph.order):
        assert str(i + 1) in words
        assert any(word.startswith(node.primitive.name) for word in words)
    drawn = len(re.findall("<rect ", graph.svg)) - 1  # but the page
    assert drawn == len(graph._boxes)
    assert graph.svg.count('fill="none"') == sum(len(node.wants) for node in graph._boxes if isinstance(node, Node))


def test_what_a_picture_says():
    w, x = leaf(np.ones((3, 4), np.float32)), np.ones((2, 3), np.float32)
    h = x @ w
    words = texts((np.where(h > 0, h, 0.1)[:, 1:] ** 2).sum(axis=(0,)).sum().graph(names={"w": w, "x": x, "h": h}).svg)
    for word in ("w", "float32 (3, 4)", "h = matmul(x, ·)", "float32 (2, 4)", "where(array(2, 4), ·, 0.1)"):
        assert word in words
    for word in ("getitem(·, (:, 1:))", "power(·, 2)", "sum(·, axis=(0,))", "sum", "float32 ()"):
        assert word in words
    assert texts(leaf(1.0).graph().svg) == ["leaf", "float32 ()"]


def test_arguments_and_outputs_are_numbered_where_it_matters():
    a, b = leaf(np.ones(3)), leaf(np.ones(3))
    assert {"0", "1"} <= set(texts((a / b).graph().svg))
    assert not {"0"} & set(texts((a + b).graph().svg))
    first, _, third = a
    words = texts((first - third).graph().svg)
    assert {"[0]", "[2]", "2 × float64 ()"} <= set(words)
    assert "[1]" not in words
    named = set(texts((first - third).graph(names={"first": first, "last": third}).svg))
    assert {"first", "last"} <= named
    assert not {"[0]", "[2]"} & named
    assert "unstack" in named


def test_leaves_without_a_gradient_are_grey_and_their_edges_dashed():
    graph = blocked().graph()
    assert "f4f4f4" in graph.svg
    assert graph.svg.count('fill="none" stroke="#777777" stroke-width="1.3" stroke-dasharray') == 4
    assert "f4f4f4" not in shared().graph().svg
    assert "dasharray" not in shared().graph().svg


def test_names_are_escaped():
    w = leaf(np.ones(2))
    graph = (w * 2).graph(names={"<w & b>": w})
    assert "<w & b>" in texts(graph.svg)


def test_notebooks_and_files(tmp_path, monkeypatch):
    graph = shared().graph()
    assert graph._repr_svg_() == graph.svg
    assert repr(graph) == "Graph(7 calls, 1 leaves)"
    graph.save(tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text("utf-8") == graph.svg
    monkeypatch.setattr(svg.os, "replace", lambda *_: (_ for _ in ()).throw(OSError))
    with pytest.raises(OSError):
        perceptron().graph().save(tmp_path / "a.svg")
    assert [path.name for path in tmp_path.iterdir()] == ["a.svg"]
    assert (tmp_path / "a.svg").read_text("utf-8") == graph.svg


def test_the_same_record_gives_the_same_picture():
    draw = lambda: second_derivative().graph().svg
    assert draw() == draw()


def test_what_cannot_be_drawn():
    with pytest.raises(NoGradient, match="Nothing was recorded"):
        ml.tensor(1.0).graph()
    t = leaf(1.0)
    for _ in range(LIMIT):
        t = t + 1
    with pytest.raises(ValueError, match=rf"at most {LIMIT} boxes\.\n  got: {LIMIT + 1}\n  fix: "):
        t.graph()


# The layout


def box(i):
    leaf = Leaf()
    leaf.id = i
    return leaf


@pytest.mark.parametrize("seed", range(12))
def test_boxes_do_not_overlap_and_edges_go_down_around_them(seed):
    draw = np.random.default_rng(seed)
    boxes = [box(i) for i in range(40, 0, -1)]
    edges = []
    for k, source in enumerate(boxes[1:], 1):
        edges += [(source, boxes[draw.integers(0, k)]) for _ in range(draw.integers(1, 4))]
    widths = {b: float(draw.integers(30, 200)) for b in boxes}
    layout = Layout(boxes, edges, widths)
    corner = layout.corner
    for a, b in combinations(boxes, 2):
        (xa, ya), (xb, yb) = corner[a], corner[b]
        assert ya != yb or xa + widths[a] < xb or xb + widths[b] < xa
    rows = {y for _, y in corner.values()}
    for (source, target), path in zip(edges, layout.paths):
        ys = [y for _, y in path]
        assert ys == sorted(ys)
        assert corner[source][0] < path[0][0] < corner[source][0] + widths[source]
        assert corner[target][0] < path[-1][0] < corner[target][0] + widths[target]
        for x, y in path[1:-1]:  # where it crosses a row it stands in nobody's way
            top = y if y in rows else y - 44
            assert not any(yb == top and xb <= x <= xb + widths[b] for b, (xb, yb) in corner.items())
    for b in boxes:
        assert corner[b][0] > 0 and corner[b][0] + widths[b] < layout.width and corner[b][1] + 44 < layout.height


def test_parallel_edges_stay_apart():
    a, b = box(1), box(2)
    layout = Layout([b, a], [(a, b)] * 3, {a: 60.0, b: 60.0})
    assert len({path[0] for path in layout.paths}) == len({path[-1] for path in layout.paths}) == 3


def test_crossings_that_can_be_avoided_are():
    """Three pairs, given in an order that crosses them all."""
    out, uppers, lowers = box(100), [box(i) for i in range(1, 4)], [box(i) for i in range(11, 14)]
    edges = [(u, v) for u, v in zip(uppers, lowers[::-1])] + [(v, out) for v in lowers]
    layout = Layout([out, *lowers, *uppers], edges, dict.fromkeys([out, *lowers, *uppers], 50.0))
    assert layout._crossings(layout.rows) == 0


def test_a_leaf_stands_just_above_its_use():
    w = leaf(1.0)
    t = leaf(1.0)
    for _ in range(5):
        t = np.tanh(t)
    graph = (t * w).graph()
    assert isinstance(graph, ag.Graph)
    tops = sorted(float(y) for y in re.findall(r'<rect x="[\d.]+" y="([\d.]+)"', graph.svg))
    assert tops[-3] == tops[-2] < tops[-1]  # w beside the last tanh


def test_a_primitive_of_ones_own_is_drawn_by_its_name():
    cube = Primitive(lambda x: x**3, lambda g, out, x: 3 * g * x * x, name="cube")
    assert "cube" in texts(cube(leaf(2.0)).graph().svg)
