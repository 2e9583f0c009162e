import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import minilinear as ml
from minilinear.figures.graph import Flow, gradient_order, gradient_steps

SVG = "{http://www.w3.org/2000/svg}"


def example():
    """tanh(w x) twice in a product, once in a sum: one value with three parts of its gradient."""
    w, x = (ml.tensor(number, dtype=np.float64, requires_grad=True) for number in (0.8, 0.5))
    u = np.tanh(w * x)
    output = u * u + u
    return output, {"w": w, "x": x, "u": u}


def test_gradients_and_parts_are_those_of_the_engine():
    output, names = example()
    flow = Flow(output, names)
    for t, g in zip(names.values(), ml.grad(output, list(names.values()))):
        assert flow.gradient[t._node] == g.item()
    for box, gradient in flow.gradient.items():
        if box is not output._node:
            assert np.isclose(sum(p.amount for p in flow.parts if p.source is box), gradient)


def test_the_order_is_the_one_that_waits():
    output, names = example()
    flow = Flow(output, names)
    assert [n.primitive.name for n in flow.order] == ["add", "multiply", "tanh", "multiply"]
    for visit, node in enumerate(flow.order, 1):
        assert all(part.visit < visit for part in flow.parts if part.source is node)


def test_the_finding_is_that_of_the_data():
    output, names = example()
    u, one = names["u"].item(), 1.0
    alt = gradient_order(output, names).alt
    found = re.search(r"u comes in 3 parts, ([\d.]+) \+ ([\d.]+) \+ ([\d.]+) = ([\d.]+)", alt)
    assert found and sorted(map(float, found.groups())) == sorted(round(v, 2) for v in (u, u, one, 2 * u + 1))


def test_each_frame_says_what_its_visit_hands_on():
    output, names = example()
    frames = gradient_steps(output, names).frames
    assert [frame.alt.split(":")[0] for frame in frames] == [f"Visit {n} of 4" for n in (1, 2, 3, 4)]
    assert "1.00 to u, which still waits for more" in frames[0].alt
    assert f"to u, which makes its gradient {2 * names['u'].item() + 1:.2f}" in frames[1].alt
    dashed = [frame.svg.count("stroke-dasharray") for frame in frames]
    assert dashed == [5, 3, 2, 0]  # edges that no gradient has gone along yet are dashed; 7 in all
    for frame, parts in zip(frames, (2, 4, 5, 7)):
        words = [text.text for text in ET.fromstring(frame.svg).iter(f"{SVG}text")]
        assert sum(bool(re.fullmatch(r"[+-]\d+\.\d\d", word)) for word in words) == parts


def test_arrays_are_refused():
    w = ml.tensor(np.ones(3), requires_grad=True)
    with pytest.raises(ValueError, match="single numbers"):
        gradient_order((w * w).sum(), {"w": w})
