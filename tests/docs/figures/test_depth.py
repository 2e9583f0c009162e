import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from minilinear.figures.depth import laws, stream
from minilinear.mlp import MLP
from minilinear.models import Block
from minilinear.norms import RMSNorm

D, L, C = 64, 16, 0.32  # of an MLP with ReLU and Xavier's start: 0.4 / 2 * 1.6


def measured(placement, seed):
    """Mean squares of the stream, at the start of training."""
    rng = np.random.default_rng(seed)
    norm = (lambda: lambda x: x) if placement == "none" else (lambda: RMSNorm(D))
    wiring = "pre" if placement == "none" else placement
    x, sizes = rng.standard_normal((1, 64, D)).astype(np.float32), [1.0]
    for layer in range(1, L + 1):
        mlp = MLP(D, activation="relu", rng=rng)
        x = Block(None, mlp, norm, placement=wiring, layer=layer, layers=L)(x, form="chunk", chunk=64)[0].data
        sizes.append(float((x * x).mean()))
    return sizes


@pytest.mark.parametrize("placement", list(laws(1, C)))
def test_the_laws_hold_on_average(placement):
    mean = np.mean([measured(placement, seed) for seed in range(6)], 0)
    assert np.allclose(mean, laws(L, C)[placement], rtol=0.25 if placement == "none" else 0.08)


def test_the_finding_is_that_of_the_data():
    sizes = {"none": [1, 2, 345.6], "layer_norm_scaling": [1, 1.5, 1.66], "post": [1, 1, 1.0]}
    picture = stream(sizes, C)
    assert picture.alt.startswith("Mean square of the stream after 2 blocks")
    found = re.findall(r"([\d.]+) \(([^)]+)\)", picture.alt)
    assert found == [("346", "no norm"), ("1.7", "LayerNorm scaling"), ("1.0", "post")]


def test_curves_differ_without_colour():
    drawing = stream(laws(L, C), C).svg
    ET.fromstring(drawing)
    assert (
        len(set(re.findall(r"stroke-dasharray: ([^;\"]*)", drawing))) >= 4
    )  # four of five are dashed, each in its way
