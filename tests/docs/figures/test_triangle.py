import re
import xml.etree.ElementTree as ET

import numpy as np

from minilinear.figures.triangle import matrices, triangle
from minilinear.recurrence import delta_rule, gated_linear_attention


def test_what_is_read_is_what_the_recurrences_read():
    keys = "abacabaa"
    k = np.eye(3)[["abc".index(key) for key in keys]][None, :, None]
    q = np.broadcast_to(np.eye(3)[0], k.shape)
    found = matrices(keys)
    v = np.eye(8)[None, :, None]  # the answers are then the matrix itself
    assert np.allclose(gated_linear_attention(q, k, v, scale=1)[0][0, :, 0], found["added"])
    beta = np.ones(k.shape[:3])
    assert np.allclose(delta_rule(q, k, v, beta=beta, scale=1)[0][0, :, 0], found["replaced"])
    assert np.allclose(found["inverse"] @ (np.eye(8) + found["A"]), np.eye(8))


def test_the_finding_is_that_of_the_data():
    again, all_tokens, pairs, kept, added, replaced = map(int, re.findall(r"\d+", triangle().alt))
    found = matrices()
    assert (pairs, kept) == (found["A"].sum(), (found["inverse"] == -1).sum())
    assert (again, all_tokens) == (5, 8) and again == kept
    assert (added, replaced) == (found["added"][-1].sum(), found["replaced"][-1].sum()) == (5, 1)


def test_a_sign_is_seen_without_colour():
    drawing = ET.fromstring(triangle("abab").svg)
    squares = [r for r in drawing.iter("{http://www.w3.org/2000/svg}rect") if r.get("rx") == "1.5"]
    found = matrices("abab").values()
    assert sum(r.get("fill") == "none" for r in squares) == sum((x < 0).sum() for x in found) == 2
    assert len(squares) == sum((x != 0).sum() for x in found)
