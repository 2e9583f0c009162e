import re
import xml.etree.ElementTree as ET

import numpy as np

from minilinear.figures.overwrite import overwrite, states, writes
from minilinear.recurrence import delta_rule, gated_linear_attention


def test_the_states_are_those_of_the_recurrences_of_the_library():
    k, v = writes()
    replaced, added = states()
    for t in range(3):
        tokens = [x[:, : t + 1] for x in (k, k, v)]
        beta = np.ones(tokens[0].shape[:3])
        assert np.allclose(delta_rule(*tokens, beta=beta)[1][0, 0], replaced[t])
        assert np.allclose(gated_linear_attention(*tokens)[1][0, 0], added[t])


def test_the_finding_is_that_of_the_data():
    (k, v), (replaced, added) = writes(), states()
    key, value = k[0, 2, 0], v[0, 2, 0]
    off = [float(number) for number in re.findall(r"off by ([\d.]+)", overwrite().alt)]
    assert off == [round(np.linalg.norm(value - key @ S[2]), 2) for S in (replaced, added)]
    assert off[0] == 0 and np.isclose(off[1], np.linalg.norm(v[0, 0, 0]), atol=0.005)


def test_a_sign_is_seen_without_colour():
    drawing = ET.fromstring(overwrite().svg)
    squares = [r for r in drawing.iter("{http://www.w3.org/2000/svg}rect") if r.get("rx") == "1.5"]
    replaced, added = states()
    shown = [*writes()[1][0, :, 0], *writes()[0][0, :, 0], *writes()[0][0, :, 0], replaced, added]
    shown += [replaced[2, 1], added[2, 1]]  # the two answers
    negative = sum(int((x < 0).sum()) for x in shown)
    assert negative == sum(r.get("fill") == "none" for r in squares) > 0
    assert len(squares) == sum(int((x != 0).sum()) for x in shown)
