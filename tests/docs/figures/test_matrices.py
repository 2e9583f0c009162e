"""T x T matrices: valid pictures, weights that are those of the layers, findings that are those of the weights."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from minilinear.figures.matrices import (
    LEVELS,
    layer_weights,
    looks_back,
    matrices,
    mixer_matrices,
    mixer_weights,
    three_forms,
)
from minilinear.models import MIXERS, PRESETS, TRANSITIONS

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def weights():
    return mixer_weights("abcabc")


def test_every_mixer_has_a_causal_matrix(weights):
    assert list(weights) == list(MIXERS)
    for name, W in weights.items():
        R = W.shape[1] // 6
        assert W.shape == (6, 6 * (2 if "product" in name else 1)), name
        assert not W[np.repeat(~np.tri(6, dtype=bool), R, axis=1)].any(), f"{name} sees the future"
        assert np.abs(np.diagonal(W[:, R - 1 :: R])).min() > 0, name


@pytest.mark.parametrize("name", [name for name in TRANSITIONS if "product" not in name])
def test_weights_are_those_of_the_transitions(name):
    """W_ts = scale q_t^T A_t ... A_{s+1} (what s writes for a value of 1)."""
    layer = MIXERS[name](8, **PRESETS[name]["recall"], rng=np.random.default_rng(0))
    x = np.random.default_rng(1).standard_normal((1, 5, 8)).astype(np.float32)
    inputs, _ = layer.prepare(x)
    q = inputs.pop("q").data[0, :, 0]
    inputs["v"] = np.ones_like(inputs["v"].data[..., :1])
    A, B = (np.asarray(getattr(x, "data", x))[0, :, 0] for x in layer.transitions(**inputs))
    expected = np.zeros((5, 5))
    for s in range(5):
        written = B[s, :, 0]
        for t in range(s, 5):
            written = A[t] @ written if t > s else written
            expected[t, s] = q[t] @ written
    scale = q.shape[-1] ** -0.5 if layer.scale is None else layer.scale
    assert np.allclose(layer_weights(layer, x), scale * expected, atol=1e-5)


def test_softmax_rows_and_normalised_linear_rows_sum_to_one():
    x = np.random.default_rng(1).standard_normal((1, 5, 8)).astype(np.float32)
    for name in ("softmax", "linear"):
        layer = MIXERS[name](8, heads=2, rng=np.random.default_rng(0))
        assert np.allclose(layer_weights(layer, x).sum(1), 1, atol=1e-5), name


def test_the_finding_is_that_of_the_last_row(weights):
    alt = mixer_matrices("abcabc").alt
    found = dict(re.findall(r"(\w+) (\d\.\d\d)", alt.split(": ")[1]))
    for name, W in weights.items():
        R = W.shape[1] // 6
        assert found[name] == f"{W[5, 3 * R - 1] / W[5, 6 * R - 1]:.2f}", name
    assert found["linear"] == "1.00" and float(found["delta_net"]) < 0.6


def test_cells_are_as_dark_as_their_weights_and_bars_mark_those_below_zero():
    W = np.array([[1, 0, 0], [-0.5, 0.25, 0], [0.001, -1, 0.5]])
    picture = matrices({"one": W}, tokens="xyz")
    root = ET.fromstring(picture.svg)
    dark = {
        float(path.get("fill-opacity")): path.get("d").count("z")
        for path in root.iter(f"{SVG}path")
        if path.get("fill-opacity")
    }
    assert dark == {1.0: 2, 4 / LEVELS: 2, 2 / LEVELS: 1}
    (bars,) = [path for path in root.iter(f"{SVG}path") if path.get("stroke")]
    assert bars.get("d").count("M") == 2
    words = [text.text for text in root.iter(f"{SVG}text")]
    assert words[0] == "one" and words.count("x") == 2
    assert not re.search(r'(fill|stroke)="#', picture.svg), "a colour that does not follow the page"


def test_how_far_an_output_looks_back():
    assert looks_back(np.eye(4)) == 0
    assert looks_back(np.eye(4, k=-2)) == 2
    assert looks_back(np.kron(np.eye(3, k=-1), [[0.5, -2]])) == 1, "two writes a token"
    assert "one 0.0, two 2.0 tokens" in matrices({"one": np.eye(4), "two": np.eye(4, k=-2)}).alt


def test_three_forms_count_their_pairs():
    picture = three_forms(8, 4)
    ET.fromstring(picture.svg)
    assert "Of the 36 pairs" in picture.alt and "for 20: the other 16 go through 1 state." in picture.alt
    cells = [d.count("z") for d in re.findall(r'<path d="([^"]*z)"', picture.svg)]
    assert cells == [36, 36, 20, 16]  # recurrent, parallel, and both kinds of the chunk form
