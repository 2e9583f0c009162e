import re
import xml.etree.ElementTree as ET

import numpy as np

from minilinear.figures.online_regression import BETAS, CHANGE, NOISE, K, errors, online_regression, settled, tokens
from minilinear.recurrence import delta_rule


def test_the_memory_is_that_of_the_library():
    k, v, W = tokens()
    for beta, curve in zip(BETAS, errors()):
        strength = np.full((len(k), CHANGE, 1), beta)
        before = [x[:, :CHANGE, None] for x in (k, v[..., None])]
        _, S = delta_rule(before[0], *before, beta=strength)
        assert np.isclose(np.sum((S[:, 0, :, 0] - W[:, CHANGE - 1]) ** 2, -1).mean(), curve[CHANGE - 1])


def test_the_error_shrinks_by_the_factor_of_the_derivation_and_settles_where_it_says():
    curves = errors()
    assert np.allclose(curves[2:, -50:].mean(1), [settled(beta) for beta in BETAS[2:]], rtol=0.05)
    for beta, curve in zip(BETAS, curves):
        kept, noise = 1 - beta * (2 - beta) / K, beta**2 * NOISE**2
        expected = 1.0  # |W|^2
        for t in range(CHANGE):
            expected = kept * expected + noise
            assert np.isclose(curve[t], expected, rtol=0.25)


def test_the_finding_is_that_of_the_data():
    picture = online_regression()
    said = [float(x) for x in re.findall(r"(\d\.\d{3}) at", picture.alt)]
    assert said == [round(x, 3) for x in errors()[:, CHANGE - 20 : CHANGE].mean(1).tolist()]
    ET.fromstring(picture.svg)
    dashes = re.findall(r"stroke-dasharray: ([\d.,\s]+)", picture.svg)
    assert len({*dashes}) >= 3  # beside the one whole line
