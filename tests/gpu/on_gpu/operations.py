"""What is timed and compared: every mirrored function at the size of a real layer, and small for the simulator.

An operation is made from a generator of random numbers and sizes; its bytes are those of its inputs and outputs, read
or written once, and its flops those of its equations: both are what an ideal kernel could not do without.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from minilinear import current_backend
from minilinear.attention import rotate
from minilinear.attention.softmax import softmax_attention
from minilinear.autograd import cross_entropy, log_softmax, softmax
from minilinear.kan import BSpline, group_rational
from minilinear.mlp.glu import gelu_glu, relu_glu, silu_glu
from minilinear.nn.activations import silu_times
from minilinear.nn.convolution import causal_convolution
from minilinear.norms import gated_rms_norm, l2_norm, layer_norm, rms_norm
from minilinear.recurrence import delta_product, delta_rule, diagonal_scan, gated_linear_attention

FULL = {"B": 8, "T": 2048, "H": 16, "K": 128, "V": 128, "D": 2048, "E": 4096, "vocabulary": 32000, "C": 64}
SMALL = {"B": 1, "T": 65, "H": 2, "K": 24, "V": 20, "D": 48, "E": 64, "vocabulary": 101, "C": 64}
Draw = Callable[..., np.ndarray]


@dataclass(frozen=True)
class Operation:
    """One function.

    Attributes:
        run: takes the arrays of `make` by position; the first output is the one that counts.
        make: (normal, sizes) -> arrays by name, where normal(*shape) draws; float arrays get gradients.
        flops: of the forward, by sizes; the backward has about twice as many.
        chunked: it takes form=, and its definition is form="recurrent".
        precision: of its products.
        steps: corrections a token has an axis for, in keys, values and betas; 0 for no such axis.
    """

    run: Callable[..., Any]
    make: Callable[[Draw, Mapping[str, int]], dict[str, np.ndarray]]
    flops: Callable[[Mapping[str, int]], float]
    chunked: bool = False
    precision: str = "fp32"
    steps: int = 0


def rows(*names: str) -> Callable[[Draw, Mapping[str, int]], dict[str, np.ndarray]]:
    """x (B T, D), and vectors (D) by name."""
    return lambda n, s: {"x": n(s["B"] * s["T"], s["D"])} | {name: n(s["D"]) for name in names}


def streams(n: Draw, s: Mapping[str, int], gate: str = "") -> dict[str, np.ndarray]:
    """q, k of unit length and v of a recurrence, and a gate in (-1, 0) for each head or channel."""
    B, T, H, K, V = (s[name] for name in "BTHKV")
    arrays = {"q": l2_norm(n(B, T, H, K)), "k": l2_norm(n(B, T, H, K)), "v": n(B, T, H, V)}
    if gate:
        arrays["g"] = -np.abs(n(B, T, H, *([K] if gate == "vector" else []))) / 10
    return arrays


def with_beta(n: Draw, s: Mapping[str, int], gate: str = "", R: int = 0) -> dict[str, np.ndarray]:
    arrays = streams(n, s, gate)
    B, T, H = (s[name] for name in "BTH")
    steps = [R] if R else []
    if R:
        arrays["k"], arrays["v"] = l2_norm(n(B, T, R, H, s["K"])), n(B, T, R, H, s["V"])
    return arrays | {"beta": 1 / (1 + np.exp(-n(B, T, *steps, H)))}


def one_token(arrays: dict[str, np.ndarray], n: Draw) -> dict[str, np.ndarray]:
    """The first token of a sequence, and the state that it meets: a step of decoding."""
    (B, _, H, K), V = arrays["q"].shape, arrays["v"].shape[-1]
    return {name: x[:, :1] for name, x in arrays.items()} | {"S": n(B, H, K, V)}


@cache
def spline(D: int, degree: int, backend: str) -> BSpline:
    """A grid for each channel. A uniform cubic one has kernels of its own; another degree is computed by recursion."""
    return BSpline(D, degree=degree)


def on_grid(degree: int, slope: bool = False) -> Callable[..., Any]:
    """B(x) or B'(x) of all channels of x (N, D)."""

    def run(x: Any) -> Any:
        basis = spline(x.shape[1], degree, current_backend())
        return basis.derivative(x) if slope else basis(x)

    return run


def grid_points(n: Draw, s: Mapping[str, int]) -> dict[str, np.ndarray]:
    """(T, D) numbers, most of them inside the grid; the output has 7 or 8 for each."""
    return {"x": n(s["T"], s["D"]) / 2}


def by_token_flops(R: int) -> Callable[[Mapping[str, int]], float]:
    """Of a recurrence with R corrections, without its chunks."""
    return lambda s: (4.0 * R + 5) * s["B"] * s["T"] * s["H"] * s["K"] * s["V"]


def halves(n: Draw, s: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Gate and value side by side, (B T, 2 E)."""
    return {"x": n(s["B"] * s["T"], 2 * s["E"])}


def linear_flops(s: Mapping[str, int]) -> float:
    """In chunks of C: scores and their product with the values, half of C each; the state, read and written."""
    return 2.0 * s["B"] * s["H"] * s["T"] * (s["C"] / 2 * (s["K"] + s["V"]) + 2 * s["K"] * s["V"])


def delta_flops(s: Mapping[str, int]) -> float:
    """Twice the scores, the inverse, its product, and one more product with the state."""
    more = s["C"] / 2 * (s["K"] + s["V"]) + s["C"] ** 2 / 3 + s["K"] * s["V"]
    return linear_flops(s) + 2.0 * s["B"] * s["H"] * s["T"] * more


def elements(each: float, last: str = "D") -> Callable[[Mapping[str, int]], float]:
    """So many operations for each of B T D numbers."""
    return lambda s: each * s["B"] * s["T"] * s[last]


OPERATIONS = {
    "linear_attention": Operation(gated_linear_attention, streams, linear_flops, chunked=True),
    "scalar_gate": Operation(
        lambda q, k, v, g, **how: gated_linear_attention(q, k, v, g=g, **how),
        lambda n, s: streams(n, s, "scalar"), linear_flops, chunked=True,
    ),
    "vector_gate": Operation(
        lambda q, k, v, g, **how: gated_linear_attention(q, k, v, g=g, **how),
        lambda n, s: streams(n, s, "vector"), linear_flops, chunked=True,
    ),
    "delta_rule": Operation(
        lambda q, k, v, beta, **how: delta_rule(q, k, v, beta=beta, **how), with_beta, delta_flops, chunked=True
    ),
    "gated_delta_rule": Operation(
        lambda q, k, v, g, beta, **how: delta_rule(q, k, v, beta=beta, g=g, **how),
        lambda n, s: with_beta(n, s, "scalar"), delta_flops, chunked=True,
    ),
    "delta_rule_vector_gate": Operation(
        lambda q, k, v, g, beta, **how: delta_rule(q, k, v, beta=beta, g=g, **how),
        lambda n, s: with_beta(n, s, "vector"), delta_flops, chunked=True,
    ),
    "delta_product_2": Operation(
        lambda q, k, v, beta, **how: delta_product(q, k, v, beta=beta, **how),
        lambda n, s: with_beta(n, s, R=2), lambda s: 2 * delta_flops(s), chunked=True, steps=2,
    ),
    "softmax_attention": Operation(
        lambda q, k, v, **how: (softmax_attention(q, k, v, **how),), streams,
        lambda s: s["B"] * s["H"] * s["T"] ** 2 * (s["K"] + s["V"]), chunked=True,
    ),
    "rms_norm": Operation(rms_norm, rows("weight"), elements(4)),
    "layer_norm": Operation(layer_norm, rows("weight", "bias"), elements(7)),
    "l2_norm": Operation(l2_norm, rows(), elements(3)),
    "gated_rms_norm": Operation(
        lambda x, gate, weight: gated_rms_norm(x, gate, weight, norm_before_gate=True),
        lambda n, s: {"x": n(s["B"] * s["T"], s["D"]), "gate": n(s["B"] * s["T"], s["D"]), "weight": n(s["D"])},
        elements(9),
    ),
    "softmax": Operation(softmax, rows(), elements(6)),
    "log_softmax": Operation(log_softmax, rows(), elements(6)),
    "silu_times": Operation(
        silu_times, lambda n, s: {name: n(s["B"] * s["T"], s["E"]) for name in "ab"}, elements(6, "E")
    ),
    "silu_glu": Operation(silu_glu, halves, elements(6, "E")),
    "gelu_glu": Operation(gelu_glu, halves, elements(8, "E")),
    "relu_glu": Operation(relu_glu, halves, elements(2, "E")),
    "cross_entropy": Operation(
        lambda logits, targets: cross_entropy(logits, targets),
        lambda n, s: {
            "logits": n(s["T"], s["vocabulary"]), "targets": np.arange(s["T"]) % s["vocabulary"],
        },
        lambda s: 4.0 * s["T"] * s["vocabulary"],
    ),
    "causal_convolution": Operation(
        lambda x, weight: causal_convolution(x, weight, activation="silu"),
        lambda n, s: {"x": n(s["B"], s["T"], s["D"]), "weight": n(4, s["D"])}, elements(12),
    ),
    "diagonal_scan": Operation(
        diagonal_scan,
        lambda n, s: {"a": 1 / (1 + np.exp(-n(s["B"], s["T"], s["D"]))), "b": n(s["B"], s["T"], s["D"])},
        elements(2),
    ),
    "group_rational": Operation(
        group_rational,
        lambda n, s: {"x": n(s["B"] * s["T"], s["D"]), "a": n(8, 6), "b": n(8, 4)}, elements(22),
    ),
    "scalar_gate_recurrent": Operation(
        lambda q, k, v, g: gated_linear_attention(q, k, v, g=g, form="recurrent"),
        lambda n, s: streams(n, s, "scalar"), by_token_flops(0),
    ),
    "gated_delta_rule_recurrent": Operation(
        lambda q, k, v, g, beta: delta_rule(q, k, v, g=g, beta=beta, form="recurrent"),
        lambda n, s: with_beta(n, s, "scalar"), by_token_flops(1),
    ),
    "scalar_gate_step": Operation(
        lambda q, k, v, g, S: gated_linear_attention(q, k, v, g=g, initial_state=S, form="recurrent"),
        lambda n, s: one_token(streams(n, s, "scalar"), n), lambda s: by_token_flops(0)(s) / s["T"],
    ),
    "gated_delta_rule_step": Operation(
        lambda q, k, v, g, beta, S: delta_rule(q, k, v, g=g, beta=beta, initial_state=S, form="recurrent"),
        lambda n, s: one_token(with_beta(n, s, "scalar"), n), lambda s: by_token_flops(1)(s) / s["T"],
    ),
    "rotate": Operation(
        lambda x: rotate(x, np.arange(x.shape[1])), lambda n, s: {"x": n(*(s[each] for each in "BTHK"))},
        lambda s: 3.0 * s["B"] * s["T"] * s["H"] * s["K"],
    ),
    "cox_de_boor": Operation(on_grid(2), grid_points, lambda s: 24.0 * 7 * s["T"] * s["D"]),
    "cox_de_boor_slope": Operation(on_grid(2, slope=True), grid_points, lambda s: 32.0 * 7 * s["T"] * s["D"]),
    "cubic_spline": Operation(on_grid(3), grid_points, lambda s: 12.0 * 8 * s["T"] * s["D"]),
    "cubic_spline_slope": Operation(on_grid(3, slope=True), grid_points, lambda s: 12.0 * 8 * s["T"] * s["D"]),
}  # fmt: skip
OPERATIONS |= {
    f"{name}_bf16": replace(OPERATIONS[name], precision="bf16")
    for name in ("linear_attention", "scalar_gate", "delta_rule", "gated_delta_rule")
}
