"""What a model's memories do while it reads: every state, every transition, every gate, and not the last state alone.

    S_t = A_t S_{t-1} + B_t          for each layer with a memory: S_t, A_t, the eigenvalues of A_t, and g and beta

The eigenvalues of A_t say what a token may do to the memory. Along its eigenvector, 1 keeps, 0 forgets, a positive
number below 1 fades, -1 flips the sign, and a pair exp(+-i w) off the real line turns. Only what is flipped or turned
can count: see tasks/parity.py.

A_t and B_t are the layer's own `transitions` of its own inputs, and S_t is run from them as they are written, not by
the fast form that the model computes with.

Source: Grazzi et al. 2025, arXiv 2411.12537, for reading a layer by the eigenvalues of its transitions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .. import backend
from ..attention.layer import MemoryLayer
from ..autograd import Array, no_grad, unwrap
from ..recurrence import affine_scan
from .stack import Stack, plan


class Watched(NamedTuple):
    """What one layer's memory did at every token of a batch.

    Attributes:
        block: which block of the model, from 1.
        mixer: the layer's name in MIXERS.
        states: S_t after each token, (B, T, H, K, V).
        transitions: A_t, (B, T, H, K, K).
        eigenvalues: of A_t, complex, (B, T, H, K), in no order.
        alpha: the decay exp(g) in [0, 1], with its sign where transitions may be negative: (B, T, H), or (B, T, H, K)
            where each channel has its own; None where nothing is forgotten.
        beta: the strength of each write, (B, T, H), or (B, T, R, H) with R writes per token; None where there is none.
    """

    block: int
    mixer: str
    states: np.ndarray
    transitions: np.ndarray
    eigenvalues: np.ndarray
    alpha: np.ndarray | None
    beta: np.ndarray | None


def watch(model: Stack, inputs: Any) -> list[Watched]:
    """What the memories of a model do while it reads a batch from its beginning.

    Args:
        model: a language model, classifier or regressor.
        inputs: what it reads: ids (B, T), or rows (B, T, F).

    Returns:
        A `Watched` for each block whose mixer is a MemoryLayer, in the order of the blocks; none for softmax.

    Cost:
        B T H (K^3 + K^2 V) multiplications for each layer, and B T H K (K + V) numbers kept.
    """
    found: list[Watched] = []
    with no_grad():
        x = model._enter(model.embedding(inputs))  # type: ignore[attr-defined]  # all three kinds have one
        for number, (block, mixer) in enumerate(zip(model.blocks, plan(model.config.mixer, model.config.layers)), 1):

            def mix(y: Array, layer: Any = block.mixer, number: int = number, mixer: str = mixer) -> Any:
                if isinstance(layer, MemoryLayer):
                    found.append(watch_layer(layer, y, block=number, mixer=mixer))
                return layer(y, chunk=model.config.chunk)

            x, _ = block._through(x, mix)  # the block itself knows where its norms stand
    return found


def watch_layer(layer: MemoryLayer, x: Array, *, block: int = 1, mixer: str = "") -> Watched:
    """What one layer's memory does while the layer reads x (B, T, D), from an empty state."""
    with no_grad():
        inputs, _ = layer.prepare(x)
        A, B = layer.transitions(**{name: value for name, value in inputs.items() if name != "q"})
        states = affine_scan(A, B)
    given = {name: backend.to_numpy(unwrap(value)) for name, value in inputs.items()}
    A = backend.to_numpy(unwrap(A)).copy()
    alpha = np.exp(given["g"]) * given.get("sign", 1) if "g" in given else None
    eigenvalues = np.linalg.eigvals(A.astype(np.float64)).astype(np.complex128)
    return Watched(block, mixer, backend.to_numpy(unwrap(states)), A, eigenvalues, alpha, given.get("beta"))
