"""The table of what is measured. A row is one computation in several implementations, ours first; a new row is a
function that makes its inputs, a function for each implementation, and an entry of ROWS.

An implementation gets the inputs and returns `compute`, a function without arguments that computes once and returns the
arrays that all implementations have to agree on. The inputs that it is checked with are harder than those it is timed
with: they hold resets (a gate of -1e4), a head that hardly forgets and a stretch of equal keys, so that a peer which is
fast because it is only valid for gentle gates is found out. Such a peer is unsafe: its time is shown, and compared with
no goal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from ...autograd import cross_entropy, grad, no_grad, tensor
from ...mlp import SwiGLU
from ...models import PRESETS, LanguageModel, ModelConfig
from ...norms import l2_norm, rms_norm
from ...randomness import stream
from ...recurrence import delta_product, delta_rule, gated_linear_attention
from ...training import Run, RunConfig, RunFolder
from ...training.recipes import MODEL
from . import jax_peers, torch_layers, torch_peers

Compute = Callable[[], Sequence[np.ndarray]]


@dataclass(frozen=True)
class Implementation:
    """One way to compute a row.

    Args:
        prepare: inputs -> `compute`.
        needs: a package of the `peers` extra.
        goal, floor: how many times as fast as this one the row's first implementation should be, and must be.
        footnote: worth knowing, but no comparison of equals.
        unsafe: known to fail on hard inputs, and why. A peer that is not known to, and does, is said to be unsafe too.
    """

    prepare: Callable[[Any], Compute]
    needs: str | None = None
    goal: float | None = None
    floor: float | None = None
    footnote: bool = False
    unsafe: str | None = None


@dataclass(frozen=True)
class Row:
    """One line of the benchmark.

    Args:
        title: what is computed, and how large it is.
        inputs: (quick, hard) -> what every implementation is prepared with; quick is small, hard is for checking.
        implementations: by name, ours first.
        group: rows of a kind; the ratios of a group are put together in a geometric mean.
        checked: whether the implementations are to agree.
        threads: how many, whatever was asked for.
        tokens: how many tokens one run makes, where speed is counted in tokens per second.
        memory: measures bytes instead of time: "peak", the most at one time; "kept", what the result keeps alive.
        sizes: one for each implementation, where memory is measured.
        growth: what memory does with these sizes: "constant", "linear" or "quadratic".
    """

    title: str
    inputs: Callable[[bool, bool], Any]
    implementations: Mapping[str, Implementation]
    group: str | None = None
    checked: bool = True
    threads: int | None = None
    tokens: int | None = None
    memory: str | None = None
    sizes: tuple[int, ...] = ()
    growth: str | None = None


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
# Layers for each token by itself.


def forward_and_backward(function: Callable[[], Any], leaves: Sequence[Any], d_out: np.ndarray) -> Compute:
    def compute() -> list[np.ndarray]:
        y = function()
        return [y.data, *(x.data for x in grad(y, leaves, d_out))]

    return compute


def layer_inputs(quick: bool, hard: bool, *, shape: tuple[int, ...], weight: bool = False) -> dict[str, np.ndarray]:
    """x, the cotangent of what comes out, and perhaps a weight for each channel."""
    shape = (2, 16, 32) if quick else shape
    rng = stream(0, "bench layers")
    draw: Callable[..., np.ndarray] = lambda *shape: rng.standard_normal(shape, np.float32)
    return {"x": draw(*shape), "d_out": draw(*shape)} | ({"weight": draw(shape[-1])} if weight else {})


def swiglu_inputs(quick: bool, hard: bool) -> dict[str, np.ndarray]:
    x = layer_inputs(quick, hard, shape=(8, 128, 512))
    layer = SwiGLU(x["x"].shape[-1], rng=stream(0, "bench weights"))
    return x | {"gate_up": layer.gate_up.weight.numpy(), "down": layer.down.weight.numpy()}


def cross_entropy_inputs(quick: bool, hard: bool) -> dict[str, np.ndarray]:
    x = layer_inputs(quick, hard, shape=(8, 1024, 96))["x"]
    targets = stream(0, "bench targets").integers(x.shape[-1], size=x.shape[:-1])
    return {"logits": x, "targets": targets, "d_out": np.ones((), np.float32)}


def layer(inputs: dict[str, np.ndarray], *, function: Callable[..., Any]) -> Compute:
    """A function of arrays by name; integers have no gradient."""
    arguments = {name: x for name, x in inputs.items() if name != "d_out"}
    leaves = {name: tensor(x, requires_grad=True) for name, x in arguments.items() if x.dtype.kind == "f"}
    return forward_and_backward(lambda: function(**(arguments | leaves)), [*leaves.values()], inputs["d_out"])


def swiglu(inputs: dict[str, np.ndarray]) -> Compute:
    feed_forward = SwiGLU(inputs["x"].shape[-1], rng=stream(0, "bench weights"))
    feed_forward.load_state_dict({"gate_up.weight": inputs["gate_up"], "down.weight": inputs["down"]})
    leaves = x, *_ = [tensor(inputs["x"], requires_grad=True), *feed_forward.parameters()]
    return forward_and_backward(lambda: feed_forward(x), leaves, inputs["d_out"])


def layer_row(title: str, inputs: Callable[[bool, bool], Any], ours: Any, theirs: Any) -> Row:
    implementations = {"minilinear": Implementation(ours), "torch eager": Implementation(theirs, needs="torch")}
    return Row(f"{title}, forward and backward", inputs, implementations, group="layers")


# ---------------------------------------------------------------------------------------------------------------------
# Chunk forms, forward and backward.


def chunk_inputs(
    quick: bool,
    hard: bool,
    *,
    beta: bool,
    gate: str | None = None,
    R: int | None = None,
    T: int = 1024,
    shape: tuple[int, int, int] = (2, 4, 64),
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """q (B, T, H, K), k and v (B, T, H, K) or with R steps (B, T, R, H, K), for the delta rule beta alike, g, and the
    cotangent of o.
    """
    (B, H, K), T = ((1, 2, 16), min(T, 192)) if quick else (shape, T)
    rng = stream(0, "bench delta rule")
    draw: Callable[..., np.ndarray] = lambda *shape: rng.standard_normal(shape, np.float32)
    steps = () if R is None else (R,)
    q, k, v = draw(B, T, H, K), draw(B, T, *steps, H, K), draw(B, T, *steps, H, K)
    strength, d_out = 2 / (1 + np.exp(-draw(B, T, *steps, H))), draw(B, T, H, K)
    if hard:
        k[:, T // 4 : T // 2] = k[:, :1]  # one key again and again
    k /= np.linalg.norm(k, axis=-1, keepdims=True)
    inputs = {"q": q, "k": k, "v": v} | ({"beta": strength} if beta else {})
    if gate is not None:
        g = -0.2 * np.exp(draw(B, T, H, K) if gate == "vector" else draw(B, T, H))
        if hard:
            g[:, :, 0] *= 0.01  # one head remembers from chunk to chunk,
            g[:, 5::37, 1:] = -1e4  # the others forget everything again and again
        inputs["g"] = g
    return inputs, d_out


def recurrence(inputs: tuple[dict[str, np.ndarray], np.ndarray], *, form: str = "chunk") -> Compute:
    """Linear attention; with beta delta_rule; and delta_product where the keys have an axis for R."""
    arrays, d_out = inputs
    linear = gated_linear_attention if "beta" not in arrays else delta_rule
    operator: Any = delta_product if arrays["k"].ndim == 5 else linear
    leaves = {name: tensor(x, requires_grad=True) for name, x in arrays.items()}
    q, k, v = (leaves[name] for name in "qkv")
    options = {name: leaves[name] for name in ("beta", "g") if name in leaves}
    return forward_and_backward(lambda: operator(q, k, v, **options, form=form, chunk=64)[0], [*leaves.values()], d_out)


def chunk_row(title: str, *, beta: bool, gate: str | None = None, R: int | None = None) -> Row:
    """Linear attention, or with beta the delta rule, and its peers."""
    theirs = torch_peers.delta if beta else torch_peers.linear
    by_hand = torch_peers.delta_by_hand if beta else torch_peers.linear_by_hand
    compiled = torch_peers.delta_compiled if beta else torch_peers.linear_compiled
    implementations = {
        "minilinear": Implementation(recurrence),
        "torch eager": Implementation(theirs, needs="torch", goal=2.0, floor=1.3),
        "torch eager, our backward": Implementation(by_hand, needs="torch"),
        "torch.compile": Implementation(compiled, needs="torch", goal=1.0, floor=0.7),
        "jax.jit": Implementation(jax_peers.chunk_form, needs="jax", goal=1.5, floor=1.0),
        "torch, token by token": Implementation(
            torch_peers.one_token_at_a_time, needs="torch", goal=30, floor=20, footnote=True
        ),
    }
    if gate == "vector" and not beta:
        implementations["torch eager, one cut"] = Implementation(
            torch_peers.linear_one_cut, needs="torch", unsafe="for gentle gates only"
        )
    return Row(
        f"{title}, chunk 64, B2 H4 T1024 K=V=64, forward and backward",
        partial(chunk_inputs, beta=beta, gate=gate, R=R),
        implementations,
        group="chunk forms",
    )


# ---------------------------------------------------------------------------------------------------------------------
# A model: one step of training, one step of decoding, memory.


def language_model_config(mixer: str = "delta_product", preset: str = "language", D: int = 128) -> ModelConfig:
    """The size of what `minilinear train text` trains, for 96 characters, with a mixer's preset."""
    shape: dict[str, Any] = {**MODEL["language"], "D": D}
    return ModelConfig(96, mixer=mixer, mixer_options=PRESETS[mixer][preset], **shape)


def training_inputs(quick: bool, hard: bool, *, mixer: str, preset: str) -> dict[str, Any]:
    """A run that trains on one batch again and again; peers take the weights it starts with, and its settings."""
    model = language_model_config(mixer, preset, D=32 if quick else 128).to_json()
    ids = stream(0, "bench batch").integers(96, size=(2, 65) if quick else (8, 257))
    batch = {"inputs": ids[:, :-1], "targets": ids[:, 1:]}
    task: Any = SimpleNamespace(batch=lambda rng, size: tuple(batch.values()))
    settings: Any = {"steps": 10**6, "batch": len(ids), "lr": 1e-3, "warmup": 0, "weight_decay": 0.1}
    config = RunConfig(task={}, model=model, preset=preset, **settings)
    return {"run": Run(config, RunFolder("."), task), **batch}


def training_step(inputs: dict[str, Any]) -> Compute:
    """Forward, backward, clip, AdamW; what has to agree is the loss, the gradient's length and AdamW's averages."""
    run = inputs["run"]

    def compute() -> list[Any]:
        progress = run.advance()
        return [np.array([progress.loss, progress.gradient_norm]), *run.optimizer.m]

    return compute


def training_row(mixer: str, preset: str = "language") -> Row:
    """Ours and the same model in torch, with each form of its layer that torch_layers.py has."""
    theirs = {
        form: Implementation(partial(torch_layers.training_step, mixer=mixer, form=form), needs="torch")
        for form in torch_layers.LAYERS[mixer].forms
    }
    theirs["torch eager"] = replace(theirs["torch eager"], goal=1.5, floor=1.0)
    return Row(
        f"one training step, two layers of {mixer} ({preset}), D=128, T=256, batch 8",
        partial(training_inputs, mixer=mixer, preset=preset),
        {"minilinear": Implementation(training_step), **theirs},
        group="training step",
    )


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
SMALL = (1, 2, 16)  # B, H and K where a form is slow


def recurrence_of_length(quick: bool, *, T: int, form: str, **options: Any) -> Compute:
    return recurrence(chunk_inputs(False, False, T=T // 16 if quick else T, **options), form=form)


def memory_row(
    title: str, *, form: str = "chunk", growth: str = "linear", sizes: tuple[int, ...] = LENGTHS, **options: Any
) -> Row:
    prepare = partial(recurrence_of_length, form=form, **options)
    B, H, K = options.get("shape", (2, 4, 64))
    return Row(
        f"peak of {title}, {form} form, forward and backward, B{B} H{H} K=V={K}",
        lambda quick, hard: quick,
        {f"T = {T}": Implementation(partial(prepare, T=T)) for T in sizes},
        group="memory",
        checked=False,
        memory="peak",
        sizes=sizes,
        growth=growth,
    )


def decode_state(quick: bool, *, T: int) -> Callable[[], Any]:
    """What is carried from token to token, after a prompt of T - 1 tokens and one more."""
    model = LanguageModel(language_model_config(), rng=stream(0, "bench weights"))
    ids = stream(0, "bench decoding").integers(96, size=(1, (T // 16 if quick else T) - 1))

    def compute() -> Any:
        with no_grad():
            return model.step(ids[:, -1], model(ids)[1])[1]

    return compute


# ---------------------------------------------------------------------------------------------------------------------

ROWS: dict[str, Row] = {
    "engine": Row(
        "four tanh layers, batch 32, width 64, squared error, forward and backward",
        perceptron_inputs,
        {
            "minilinear": Implementation(perceptron),
            "NumPy, by hand": Implementation(perceptron_by_hand, goal=1 / 1.8, floor=1 / 2.0),
            "torch eager": Implementation(torch_peers.perceptron, needs="torch", goal=1.15, floor=1.0),
        },
        group="engine",
        threads=1,  # nothing here is worth a second one; on a busy machine torch waits for it a thousand times as long
    ),
    "rms_norm": layer_row(
        "RMSNorm of (8, 1024, 512)",
        partial(layer_inputs, shape=(8, 1024, 512), weight=True),
        partial(layer, function=rms_norm),
        torch_peers.rms_norm,
    ),
    "l2_norm": layer_row(
        "unit vectors along the last axis of (8, 1024, 512)",
        partial(layer_inputs, shape=(8, 1024, 512)),
        partial(layer, function=l2_norm),
        torch_peers.l2_norm,
    ),
    "swiglu": layer_row("SwiGLU of (8, 128, 512)", swiglu_inputs, swiglu, torch_peers.swiglu),
    "cross_entropy": layer_row(
        "cross entropy of logits (8, 1024, 96)",
        cross_entropy_inputs,
        partial(layer, function=cross_entropy),
        torch_peers.cross_entropy,
    ),
    "linear_attention": chunk_row("linear attention", beta=False),
    "linear_attention_scalar_gate": chunk_row("linear attention with a gate for each head", beta=False, gate="scalar"),
    "linear_attention_vector_gate": chunk_row(
        "linear attention with a gate for each channel", beta=False, gate="vector"
    ),
    "delta_rule": chunk_row("delta rule", beta=True),
    "delta_rule_scalar_gate": chunk_row("delta rule with a gate for each head", beta=True, gate="scalar"),
    "delta_rule_vector_gate": chunk_row("delta rule with a gate for each channel", beta=True, gate="vector"),
    "delta_product": chunk_row("two delta steps per token", beta=True, R=2),
    **{f"training_{mixer}_language": training_row(mixer) for mixer in torch_layers.LAYERS},
    "training_delta_product_state_tracking": training_row("delta_product", "state_tracking"),
    "decoding": Row(
        "one token after another, two layers of DeltaProduct, D=128: as fast after any number of tokens",
        lambda quick, hard: DECODED,
        {
            "from the start": Implementation(partial(decoding, past=0)),
            "after 4096 tokens": Implementation(partial(decoding, past=4096)),
        },
        group="decoding",
        checked=False,
        tokens=DECODED,
    ),
    "memory_linear_attention_scalar_gate": memory_row(
        "linear attention with a gate for each head", beta=False, gate="scalar"
    ),
    "memory_linear_attention_vector_gate": memory_row(
        "linear attention with a gate for each channel", beta=False, gate="vector"
    ),
    "memory_delta_rule": memory_row("the delta rule", beta=True),
    "memory_delta_rule_recurrent": memory_row("the delta rule", beta=True, form="recurrent", shape=SMALL),
    "memory_delta_rule_parallel": memory_row(
        "the delta rule", beta=True, form="parallel", shape=SMALL, sizes=(256, 512, 1024, 2048), growth="quadratic"
    ),
    "memory_decode_state": Row(
        "state that decoding carries, two layers of DeltaProduct, D=128, batch 1",
        lambda quick, hard: quick,
        {f"T = {T}": Implementation(partial(decode_state, T=T)) for T in (512, 8192)},
        group="memory",
        checked=False,
        memory="kept",
        sizes=(512, 8192),
        growth="constant",
    ),
}
