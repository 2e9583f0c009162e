"""The same operations in torch and in flash-linear-attention, where they are installed and see the GPU.

Each gets the same numbers; a warm-up lets fla choose its kernels. What a peer adds up in is its own affair and is
written down: torch multiplies float32 in float32 here (no TF32), fla takes bfloat16 and adds in float32.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable
from typing import Any

import numpy as np

from .operations import OPERATIONS


def installed(name: str) -> Any:
    """A module, or None."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def torch() -> Any:
    """torch with a GPU, or None."""
    module = installed("torch")
    return module if module and module.cuda.is_available() else None


class Peer:
    """One peer of one operation, with the numbers of ours on the GPU.

    Attributes:
        forward, forward_and_backward: run it.
        precision: of its numbers and its sums.
    """

    def __init__(self, make: Callable, dtype: str, precision: str, arrays: list[np.ndarray], cotangent: np.ndarray):
        t = self.torch = torch()
        run, kind, self.precision = make(t), getattr(t, dtype), precision
        here = [t.from_numpy(x).cuda() for x in arrays]
        here = [x.to(kind).requires_grad_() if x.is_floating_point() else x for x in here]
        wanted, g = [x for x in here if x.is_floating_point()], t.from_numpy(cotangent).cuda().to(kind)

        def forward() -> Any:
            with t.no_grad():
                return run(*here)

        def both() -> Any:
            out = run(*here)
            return t.autograd.grad(out, wanted, g.reshape(out.shape))

        self.forward, self.forward_and_backward = forward, both

    def seconds(self, do: Callable[[], Any], *, warm_up: int, repeats: int) -> list[float]:
        """How long each of the repeats took, by events."""
        for _ in range(warm_up):
            do()
        pairs = []
        for _ in range(repeats):
            begun, ended = (self.torch.cuda.Event(enable_timing=True) for _ in range(2))
            begun.record()
            do()
            ended.record()
            pairs.append((begun, ended))
        self.torch.cuda.synchronize()
        return [begun.elapsed_time(ended) * 1e-3 for begun, ended in pairs]


def peers_of(name: str, arrays: list[np.ndarray], cotangent: np.ndarray) -> dict[str, Peer | str]:
    """Those of an operation by name; why not, for one that is not there or does not take these sizes."""
    found: dict[str, Peer | str] = {}
    if torch() is None:
        return found
    for peer, (make, dtype, precision) in PEERS.get(name, {}).items():
        try:
            found[peer] = made = Peer(make, dtype, precision, arrays, cotangent)
            made.forward_and_backward()
        except Exception as reason:  # whatever another library raises
            found[peer] = f"{type(reason).__name__}: {reason}"
    return found


def _fla(module: str, name: str, call: Callable[[Any], Callable]) -> Callable[[Any], Callable]:
    """A function of flash-linear-attention: (B, T, H, K), as here."""
    return lambda t: call(getattr(importlib.import_module(f"fla.ops.{module}"), name))


def _attention(t: Any) -> Callable:
    def run(q: Any, k: Any, v: Any) -> Any:
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        return t.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)

    return run


FP32, BF16 = "float32, sums in float32", "bfloat16, sums in float32"
FLA: dict[str, Callable[[Any], Callable]] = {
    "linear_attention": _fla(
        "linear_attn", "chunk_linear_attn", lambda f: lambda q, k, v: f(q, k, v, normalize=False)[0]
    ),
    "scalar_gate": _fla("simple_gla", "chunk_simple_gla", lambda f: lambda q, k, v, g: f(q, k, v, g)[0]),
    "vector_gate": _fla("gla", "chunk_gla", lambda f: lambda q, k, v, g: f(q, k, v, g)[0]),
    "delta_rule": _fla("delta_rule", "chunk_delta_rule", lambda f: lambda q, k, v, beta: f(q, k, v, beta)[0]),
    "gated_delta_rule": _fla(
        "gated_delta_rule", "chunk_gated_delta_rule", lambda f: lambda q, k, v, g, beta: f(q, k, v, g, beta)[0]
    ),
    "delta_rule_vector_gate": _fla("kda", "chunk_kda", lambda f: lambda q, k, v, g, beta: f(q, k, v, g, beta)[0]),
}
TORCH: dict[str, Callable[[Any], Callable]] = {
    "softmax_attention": _attention,
    "rms_norm": lambda t: lambda x, w: t.nn.functional.rms_norm(x, x.shape[-1:], w, 1e-5),
    "layer_norm": lambda t: lambda x, w, b: t.nn.functional.layer_norm(x, x.shape[-1:], w, b),
    "softmax": lambda t: lambda x: t.softmax(x, -1),
    "log_softmax": lambda t: lambda x: t.log_softmax(x, -1),
    "silu_times": lambda t: lambda a, b: t.nn.functional.silu(a) * b,
    "cross_entropy": lambda t: t.nn.functional.cross_entropy,
    "causal_convolution": lambda t: (
        lambda x, w: t.nn.functional.silu(
            t.nn.functional.conv1d(
                t.nn.functional.pad(x.transpose(1, 2), (len(w) - 1, 0)), w.flip(0).T[:, None], groups=x.shape[-1]
            ).transpose(1, 2)
        )
    ),
}
PEERS: dict[str, dict[str, tuple[Callable[[Any], Callable], str, str]]] = {}
for _name, _make in TORCH.items():
    PEERS.setdefault(_name, {})["torch"] = (_make, "float32", FP32)
PEERS["softmax_attention"]["torch bf16"] = (_attention, "bfloat16", BF16)
for _name, _make in FLA.items():
    for _row in (_name, f"{_name}_bf16"):
        PEERS.setdefault(_row, {})["fla"] = (_make, "bfloat16", BF16)
PEERS = {name: found for name, found in PEERS.items() if name in OPERATIONS}
