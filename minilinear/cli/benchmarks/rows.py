"""The table of what is measured. A row is one computation in several implementations, ours first; a new row is a
function that makes its inputs, a function for each implementation, and an entry of ROWS.

An implementation gets the inputs and returns `compute`, a function without arguments that computes once and returns the
arrays that all implementations have to agree on. The inputs that it is checked with are harder than those it is timed
with: they hold resets (a gate of -1e4) and a stretch of equal keys, so that a peer which is fast because it is only
valid for gentle gates is found out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from ...autograd import grad, no_grad, tensor
from ...models import PRESETS, LanguageModel, LanguageModelConfig
from ...randomness import stream
from ...recurrence import delta_product, delta_rule
from ...training import Run, RunConfig, RunFolder
from ...training.recipes import MODEL
from . import peers

Compute = Callable[[], Sequence[np.ndarray]]


@dataclass(frozen=True)
class Implementation:
    """One way to compute a row.

    Args:
        prepare: inputs -> `compute`.
        needs: a package of the `peers` extra.
        goal, floor: how many times as fast as this one the row's first implementation should be, and must be.
        footnote: worth knowing, but no comparison of equals.
    """

    prepare: Callable[[Any], Compute]
    needs: str | None = None
    goal: float | None = None
    floor: float | None = None
    footnote: bool = False


@dataclass(frozen=True)
class Row:
    """One line of the benchmark.

    Args:
        title: what is computed, and how large it is.
        inputs: (quick, hard) -> what every implementation is prepared with; quick is small, hard is for checking.
        implementations: by name, ours first.
        group: rows whose ratios are put together in a geometric mean.
        checked: whether the implementations are to agree.
        threads: how many, whatever was asked for.
        tokens: how many tokens one run makes, where speed is counted in tokens per second.
        sizes: one for each implementation, where the peak of memory is measured instead of time.
    """

    title: str
    inputs: Callable[[bool, bool], Any]
    implementations: Mapping[str, Implementation]
    group: str | None = None
    checked: bool = True
    threads: int | None = None
    tokens: int | None = None
    sizes: tuple[int, ...] | None = None


# ---------------------------------------------------------------------------------------------------------------------
# The engine: a graph of small arrays, where what counts is the time per operation.


def perceptron_inputs(quick: bool, hard: bool) -> dict[str, Any]:
    rng = stream(0, "bench perceptron")
    draw: Callable[..., np.ndarray] = lambda *shape: rng.standard_normal(shape, np.float32)
    weights, biases = [draw(64, 64) / 8 for _ in range(4)], [draw(64) for _ in range(4)]
    return {"weights": weights, "biases": biases, "x": draw(32, 64), "y": draw(32, 64)}


def perceptron(inputs: dict[str, Any]) -> Compute:
    """h <- tanh(h W + b), four times; then the squared error."""
    weights = [tensor(w, requires_grad=True) for w in inputs["weights"]]
    biases = [tensor(b, requires_grad=True) for b in inputs["biases"]]

    def compute() -> list[np.ndarray]:
        h = inputs["x"]
        for w, b in zip(weights, biases):
            h = np.tanh(h @ w + b)
        d = h - inputs["y"]
        loss = (d * d).sum()
        return [loss.data, *(g.data for g in grad(loss, [*weights, *biases]))]

    return compute


def perceptron_by_hand(inputs: dict[str, Any]) -> Compute:
    """The same in plain NumPy, with the gradient written out."""
    weights, biases, x, y = (inputs[name] for name in ("weights", "biases", "x", "y"))

    def compute() -> list[np.ndarray]:
        hs = [x]
        for w, b in zip(weights, biases):
            hs.append(np.tanh(hs[-1] @ w + b))
        d = hs[-1] - y
        loss, g, d_weights, d_biases = (d * d).sum(), 2 * d, [], []
        for i in reversed(range(len(weights))):
            g = g * (1 - hs[i + 1] * hs[i + 1])
            d_weights.append(hs[i].T @ g)
            d_biases.append(g.sum(0))
            if i:
                g = g @ weights[i].T
        return [loss, *reversed(d_weights), *reversed(d_biases)]

    return compute


# ---------------------------------------------------------------------------------------------------------------------
# Chunk forms, forward and backward.


def delta_inputs(quick: bool, hard: bool, *, gate: str | None = None, R: int | None = None, T: int = 1024) -> Any:
    """q (B, T, H, K), k and v (B, T, H, K) or with R steps (B, T, R, H, K), beta alike, g, and the cotangent of o."""
    B, H, K = (1, 2, 16) if quick else (2, 4, 64)
    T = min(T, 192) if quick else T
    rng = stream(0, "bench delta rule")
    draw: Callable[..., np.ndarray] = lambda *shape: rng.standard_normal(shape, np.float32)
    steps = () if R is None else (R,)
    q, k, v = draw(B, T, H, K), draw(B, T, *steps, H, K), draw(B, T, *steps, H, K)
    beta, d_out = 2 / (1 + np.exp(-draw(B, T, *steps, H))), draw(B, T, H, K)
    if hard:
        k[:, T // 4 : T // 2] = k[:, :1]  # one key again and again
    k /= np.linalg.norm(k, axis=-1, keepdims=True)
    inputs = {"q": q, "k": k, "v": v, "beta": beta}
    if gate is not None:
        g = -0.2 * np.exp(draw(B, T, H, K) if gate == "vector" else draw(B, T, H))
        if hard:
            g[:, 5::37] = -1e4  # everything is forgotten
        inputs["g"] = g
    return inputs, d_out


def delta(inputs: tuple[dict[str, np.ndarray], np.ndarray]) -> Compute:
    """delta_rule, or delta_product where the keys have an axis for R."""
    arrays, d_out = inputs
    operator = delta_product if arrays["k"].ndim == 5 else delta_rule
    leaves = {name: tensor(x, requires_grad=True) for name, x in arrays.items()}

    def compute() -> list[np.ndarray]:
        q, k, v, *_ = leaves.values()
        o, _ = operator(q, k, v, beta=leaves["beta"], g=leaves.get("g"), chunk=64)
        return [o.data, *(x.data for x in grad(o, list(leaves.values()), d_out))]

    return compute


def chunk_row(title: str, **options: Any) -> Row:
    return Row(
        f"{title}, chunk 64, B2 H4 T1024 K=V=64, forward and backward",
        partial(delta_inputs, **options),
        {
            "minilinear": Implementation(delta),
            "torch eager": Implementation(peers.delta, needs="torch", goal=2.0, floor=1.3),
            "torch eager, our backward": Implementation(peers.delta_by_hand, needs="torch"),
            "torch.compile": Implementation(peers.delta_compiled, needs="torch", goal=1.0, floor=0.7),
            "torch, token by token": Implementation(
                peers.delta_token_by_token, needs="torch", goal=30, floor=20, footnote=True
            ),
        },
        group="chunk forms",
    )


# ---------------------------------------------------------------------------------------------------------------------
# A model: one step of training, one step of decoding, memory.


def language_model_config(D: int = 128) -> LanguageModelConfig:
    """What `minilinear train text` trains, for 96 characters."""
    shape: dict[str, Any] = {**MODEL["language"], "D": D}
    return LanguageModelConfig(96, mixer_options=PRESETS["delta_product"]["language"], **shape)


def training_inputs(quick: bool, hard: bool) -> dict[str, Any]:
    """A run that trains on one batch again and again; peers take the weights it starts with, and its settings."""
    model = language_model_config(D=32 if quick else 128).to_json()
    ids = stream(0, "bench batch").integers(96, size=(2, 65) if quick else (8, 257))
    batch = {"inputs": ids[:, :-1], "targets": ids[:, 1:]}
    task: Any = SimpleNamespace(batch=lambda rng, size: tuple(batch.values()))
    settings: Any = {"steps": 10**6, "batch": len(ids), "lr": 1e-3, "warmup": 0, "weight_decay": 0.1}
    config = RunConfig(task={}, model=model, preset="language", **settings)
    return {"run": Run(config, RunFolder("."), task), **batch}


def training_step(inputs: dict[str, Any]) -> Compute:
    """Forward, backward, clip, AdamW; what has to agree is the loss, the gradient's length and AdamW's averages."""
    run = inputs["run"]

    def compute() -> list[Any]:
        progress = run.advance()
        return [np.array([progress.loss, progress.gradient_norm]), *run.optimizer.m]

    return compute


DECODED = 32  # tokens in one run


def decoding(tokens: int, *, past: int) -> Compute:
    """Token after token, from the state that `past` tokens have left."""
    model = LanguageModel(language_model_config(), rng=stream(0, "bench weights"))
    ids = stream(0, "bench decoding").integers(96, size=(1, past))
    with no_grad():
        state = model(ids)[1] if past else model.initial_state(1)

    def compute() -> list[np.ndarray]:
        now = state
        with no_grad():
            for i in range(tokens):
                logits, now = model.step(np.array([i]), now)
        return [logits.data]

    return compute


LENGTHS = (512, 1024, 2048, 4096, 8192)


def delta_of_length(quick: bool, *, T: int) -> Compute:
    return delta(delta_inputs(False, False, T=T // 16 if quick else T))


# ---------------------------------------------------------------------------------------------------------------------

ROWS: dict[str, Row] = {
    "engine": Row(
        "four tanh layers, batch 32, width 64, squared error, forward and backward",
        perceptron_inputs,
        {
            "minilinear": Implementation(perceptron),
            "NumPy, by hand": Implementation(perceptron_by_hand, goal=1 / 1.8, floor=1 / 2.0),
            "torch eager": Implementation(peers.perceptron, needs="torch", goal=1.15, floor=1.0),
        },
        threads=1,  # nothing here is worth a second one; on a busy machine torch waits for it a thousand times as long
    ),
    "delta_rule": chunk_row("delta rule"),
    "delta_rule_scalar_gate": chunk_row("delta rule with a gate for each head", gate="scalar"),
    "delta_rule_vector_gate": chunk_row("delta rule with a gate for each channel", gate="vector"),
    "delta_product": chunk_row("two delta steps per token", R=2),
    "training": Row(
        "one training step, two layers of DeltaProduct, D=128, T=256, batch 8",
        training_inputs,
        {
            "minilinear": Implementation(training_step),
            "torch eager": Implementation(peers.training_step, needs="torch", goal=1.5, floor=1.0),
            "torch eager, our backward": Implementation(peers.training_step_by_hand, needs="torch"),
        },
    ),
    "decoding": Row(
        "one token after another, two layers of DeltaProduct, D=128: as fast after any number of tokens",
        lambda quick, hard: DECODED,
        {
            "from the start": Implementation(partial(decoding, past=0)),
            "after 4096 tokens": Implementation(partial(decoding, past=4096)),
        },
        checked=False,
        tokens=DECODED,
    ),
    "memory": Row(
        "peak of the delta rule, forward and backward, B2 H4 K=V=64",
        lambda quick, hard: quick,
        {f"T = {T}": Implementation(partial(delta_of_length, T=T)) for T in LENGTHS},
        checked=False,
        sizes=LENGTHS,
    ),
}
