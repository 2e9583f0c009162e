"""How far the chunk form is from the truth: `python -m tests.recurrence.errors_table` prints the table.

The truth is the definition, token by token, in NumPy's long double, on the very same inputs (rounded to float32
first), differentiated by the engine. What is shown is the relative RMS, RMS(x - truth) / RMS(truth), of the output, the
final state and the gradient of every input, for a random cotangent on the output and on the final state.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import minilinear as ml
from minilinear.recurrence import delta_product, gated_linear_attention
from tests.recurrence.cases import gradients, leaves, relative_rms

T, K, V = 192, 16, 16  # three chunks of 64
COLUMNS = ("o", "final_state", "q", "k", "v", "beta", "g", "initial_state")


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


# The keys of which the triangular system is made, and their strengths: rng, shape (..., K) -> keys, strengths.


def random_keys(rng, shape):
    return unit(rng.standard_normal(shape)), rng.uniform(0, 1, shape[:-1])


def positive_keys(rng, shape):
    """Of positive mean, as after SiLU."""
    return unit(rng.standard_normal(shape) + 1), np.ones(shape[:-1])


def two_keys(rng, shape):
    choice = rng.integers(0, 2, shape[:-1])
    return unit(rng.standard_normal((2, shape[-1])))[choice], np.ones(shape[:-1])


def one_key(strength: float) -> Callable:
    def keys(rng, shape):
        return unit(np.ones(shape)), np.full(shape[:-1], strength)

    return keys


def transpositions(rng, shape):
    """The three reflections of S3, (e_i - e_j) / sqrt 2, in any order."""
    three = np.zeros((3, shape[-1]))
    for row, (i, j) in zip(three, ((0, 1), (0, 2), (1, 2))):
        row[i], row[j] = 0.5**0.5, -(0.5**0.5)
    return three[rng.integers(0, 3, shape[:-1])], np.full(shape[:-1], 2.0)


KEYS: dict[str, Callable] = {
    "random unit keys, beta U(0, 1)": random_keys,
    "positive-mean keys, beta 1": positive_keys,
    "two keys repeated, beta 1": two_keys,
    "one key repeated, beta 1": one_key(1),
    "one key repeated, beta 1.9": one_key(1.9),
    "one key repeated, beta 2": one_key(2),
    "the transpositions of S3, beta 2": transpositions,
}


# Gates: rng, the shape of a scalar or a vector gate -> g.


def mild(rng, shape):
    return -0.1 * rng.exponential(size=shape)


def limit(rng, shape):
    """As strong as one cut in the middle of a chunk allows: a chunk of 64 decays by exp(-59)."""
    return np.full(shape, -59 / 64)


def strong(rng, shape):
    return -10 * rng.exponential(size=shape)


def resets(rng, shape):
    """A mild gate that forgets everything at one token in eight (in a vector gate, in that channel)."""
    return np.where(rng.random(shape) < 1 / 8, -1e4, mild(rng, shape))


GATES: dict[str, Callable] = {
    f"{name}, {kind} gate": (lambda rng, head, make=make, rest=rest: make(rng, (*head, *rest)))
    for kind, rest in {"scalar": (), "vector": (K,)}.items()
    for name, make in {"mild": mild, "exp(-59) a chunk": limit, "strong": strong, "resets of -1e4": resets}.items()
}


def inputs(keys: Callable, gate: Callable | None, R: int, *, T: int = T) -> dict[str, np.ndarray]:
    """In float32: what both precisions start from."""
    rng = np.random.default_rng(0)
    k, beta = keys(rng, (1, T, R, 2, K))
    arrays = {
        "q": rng.standard_normal((1, T, 2, K)),
        "k": k,
        "v": rng.standard_normal((1, T, R, 2, V)),
        "beta": beta,
        "initial_state": rng.standard_normal((1, 2, K, V)),
    }
    if gate is not None:
        arrays["g"] = gate(rng, (1, T, 2))
    return {name: x.astype(np.float32) for name, x in arrays.items()}


def without_delta(gate: Callable | None) -> dict[str, np.ndarray]:
    """The inputs of linear attention."""
    found = inputs(random_keys, gate, 1)
    return {name: x[:, :, 0] if name in ("k", "v") else x for name, x in found.items() if name != "beta"}


def cases() -> dict[str, dict[str, np.ndarray]]:
    """The name of a row, and its inputs."""
    rows = {"linear attention": without_delta(None)}
    rows |= {f"linear attention, {name}": without_delta(gate) for name, gate in GATES.items()}
    rows |= {name: inputs(keys, None, 1) for name, keys in KEYS.items()}
    rows |= {name: inputs(random_keys, gate, 1) for name, gate in GATES.items()}
    for name in ("random unit keys, beta U(0, 1)", "one key repeated, beta 2", "the transpositions of S3, beta 2"):
        rows[f"R = 2, {name}"] = inputs(KEYS[name], None, 2)
    for name in ("resets of -1e4, scalar gate", "resets of -1e4, vector gate"):
        rows[f"R = 2, {name}"] = inputs(random_keys, GATES[name], 2)
        rows[f"R = 2, {name}, one key repeated, beta 2"] = inputs(one_key(2), GATES[name], 2)
    return rows


def run(arrays: dict[str, np.ndarray], dtype, form: str) -> dict[str, np.ndarray]:
    """Output, final state and gradients, by the name of their column."""
    tensors = leaves({name: x.astype(dtype) for name, x in arrays.items()})
    function = delta_product if "beta" in arrays else gated_linear_attention
    outs, rng = function(**tensors, form=form), np.random.default_rng(1)
    weights = [rng.standard_normal(y.shape).astype(np.float32).astype(dtype) for y in outs]
    return {"o": outs[0].data, "final_state": outs[1].data} | gradients(outs, weights, tensors)


def errors(arrays: dict[str, np.ndarray], form: str = "chunk") -> dict[str, dict[str, float]]:
    """dtype -> column -> relative RMS."""
    truth = run(arrays, np.longdouble, "recurrent")
    return {
        dtype: {column: relative_rms(x, truth[column]) for column, x in run(arrays, dtype, form).items()}
        for dtype in ("float64", "float32")
    }


def error_table() -> str:
    """The table in Markdown: case x dtype x (output, final state, each gradient)."""
    head = ["keys, strengths and gates", "dtype", "o", "final state", *(f"d {c}" for c in COLUMNS[2:])]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, arrays in cases().items():
        for dtype, found in errors(arrays).items():
            cells = [f"{found[column]:.1e}" if column in found else "" for column in COLUMNS]
            lines.append(f"| {name} | {dtype} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    with ml.use("numpy"):
        print(error_table())
