"""Feed-forward layers: what happens at each token by itself.

Every one is made by FF(D, hidden=None, *, ..., rng), maps (..., D) to (..., D), and tells which linear maps read its
input (`readers`) and which write its output (`writers`).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from .glu import GLU, SGLU, GeGLU, ReGLU, SwiGLU
from .mlp import MLP
from .polycom import PolyNorm, PolyReLU, poly_norm, poly_relu
from .top_k import TopKMLP, keep_top_k

FEED_FORWARDS: dict[str, Callable[..., Any]] = {
    "swiglu": SwiGLU,
    "geglu": GeGLU,
    "reglu": ReGLU,
    "sglu": SGLU,
    "mlp": MLP,
    "gelu_mlp": partial(MLP, activation="gelu"),
    "relu_squared_mlp": partial(MLP, activation="relu_squared"),
    "poly_relu": partial(MLP, activation="poly_relu"),
    "poly_norm": partial(MLP, activation="poly_norm"),
    "top_k": TopKMLP,
}

__all__ = [
    "FEED_FORWARDS",
    "GLU",
    "MLP",
    "SGLU",
    "GeGLU",
    "PolyNorm",
    "PolyReLU",
    "ReGLU",
    "SwiGLU",
    "TopKMLP",
    "keep_top_k",
    "poly_norm",
    "poly_relu",
]
