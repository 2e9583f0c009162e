"""What a forward and a backward of the recurrences and of attention hold at most: docs/kernels.md, measured."""

import tracemalloc

import numpy as np
import pytest

import minilinear as ml
from minilinear.attention import softmax_attention
from minilinear.precision import products_in
from minilinear.recurrence import delta_product, gated_linear_attention

pytestmark = pytest.mark.kernels

# Of Python and the text of kernels it is 60 KB: the shapes are so large that this is 1 %.
GATES = {"none": lambda K: 0, "scalar": lambda K: 1, "vector": lambda K: K}  # numbers for each token and head


def diagonal(B, T, H, K, V, gates):
    """Bytes of linear attention with decay."""
    states = (B * -(-T // 64) + B) * H * K * V
    return 4 * 2 * (B * T * H * (2 * K + V + gates) + B * T * H * V + states)


def householder(B, T, H, R, K, V, gates, *, erase=False, precision="fp32"):
    """Bytes of the delta rule with R corrections. T and M are made once for bfloat16 and kept, else made twice."""
    N = B * -(-T // (64 // R))
    inputs = B * T * H * (K + R * (K + V + 1 + erase * K) + gates)
    kept = B * T * H * (V + R * V) + N * H * K * V + B * H * K * V
    if R > 1:
        kept += B * -(-T // 64) * H * K * V  # the states that entered the chunks of the caller, of 64 tokens
    TM = N * H * 64 * 64
    kept, again = (kept + TM, 0) if precision == "bf16" else (kept, TM)
    back = B * T * H * (V + R * V) + N * H * K * V + max(again, inputs)
    return 4 * (inputs + kept + back)


def attention(B, T, H, G, K, V):
    """Bytes of attention: inputs, scaled queries, o and log Z, and backward as many and Delta."""
    return 4 * 2 * (B * T * (2 * H * K + G * (K + V)) + B * T * H * (V + 1))


def peak(function, arrays, precision="fp32"):
    """Bytes of all inputs, and of a forward and a backward."""

    def both():
        leaves = {name: ml.tensor(x.copy(), requires_grad=True) for name, x in arrays.items()}
        o, *_ = function(**leaves)
        return ml.grad(o, list(leaves.values()), np.ones_like(o.data))

    with ml.use("cpucuda"), products_in(precision):
        both()  # compiles
        tracemalloc.start()
        both()
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return most


def drawn(rng, gate, rows, gates, **shapes):
    arrays = {name: rng.standard_normal(shape, np.float32) / 8 for name, shape in shapes.items()}
    if gate != "none":
        arrays["g"] = -rng.random(rows if gate == "scalar" else (*rows, gates), np.float32)
    return arrays


@pytest.mark.parametrize(
    ("gate", "precision"), [("none", "fp32"), ("scalar", "fp32"), ("vector", "fp32"), ("scalar", "bf16")]
)
def test_linear_attention_with_decay(gate, precision):
    (B, T, H, K, V), gates = (2, 1024, 2, 32, 48), GATES[gate](32)
    rows = B, T, H
    arrays = drawn(np.random.default_rng(0), gate, rows, gates, q=(*rows, K), k=(*rows, K), v=(*rows, V))
    most = peak(gated_linear_attention, arrays, precision)
    assert most == pytest.approx(diagonal(B, T, H, K, V, gates), rel=0.02)


@pytest.mark.parametrize(
    ("R", "gate", "erase", "precision"),
    [(1, "none", False, "fp32"), (2, "vector", True, "fp32"), (1, "scalar", False, "bf16"), (2, "none", True, "bf16")],
)
def test_the_delta_rule(R, gate, erase, precision):
    (B, T, H, K, V), gates = (2, 1024, 2, 32, 48), GATES[gate](32)
    steps = B, T, R, H
    keys = {"k": (*steps, K)} | ({"erase_key": (*steps, K)} if erase else {})
    arrays = drawn(np.random.default_rng(0), gate, (B, T, H), gates, q=(B, T, H, K), v=(*steps, V), beta=steps, **keys)
    formula = householder(B, T, H, R, K, V, gates, erase=erase, precision=precision)
    assert peak(delta_product, arrays, precision) == pytest.approx(formula, rel=0.02)


@pytest.mark.parametrize(("G", "window"), [(4, None), (1, 100)])
def test_attention(G, window):
    B, T, H, K, V = 2, 1024, 4, 32, 48
    arrays = drawn(np.random.default_rng(0), "none", None, 0, q=(B, T, H, K), k=(B, T, G, K), v=(B, T, G, V))
    most = peak(lambda **x: (softmax_attention(**x, window=window),), arrays)
    assert most == pytest.approx(attention(B, T, H, G, K, V), rel=0.02)


def test_the_figures_of_the_page():
    shape = {"B": 8, "T": 2048, "H": 16, "K": 128, "V": 128}
    figures = {gate: f"{diagonal(**shape, gates=of(128)) / 1e9:.2f}" for gate, of in GATES.items()}
    assert figures == {"none": "1.63", "scalar": "1.63", "vector": "1.90"}
    figures = {gate: f"{householder(**shape, R=1, gates=of(128)) / 1e9:.2f}" for gate, of in GATES.items()}
    assert figures == {"none": "1.89", "scalar": "1.89", "vector": "2.16"}
    assert f"{householder(**shape, R=1, gates=1, precision='bf16') / 1e9:.2f}" == "1.96"
    assert f"{attention(**shape, G=16) / 1e9:.2f}" == "1.34"
