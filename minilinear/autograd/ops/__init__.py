"""The operations, one file per kind, each with its gradient rule beside it.

Importing them fills `core.IMPLEMENTATIONS`, the table that NumPy's functions on Tensors go through.
"""

from . import (
    complex_numbers,
    convolution,
    decompositions,
    elementwise,
    fourier,
    indexing,
    joining,
    linalg,
    reductions,
    running,
    shapes,
    statistics,
)
from .convolution import avg_pool2d, conv2d, max_pool2d
from .elementwise import sigmoid, silu, softplus
from .indexing import top_k
from .linalg import linear, solve_triangular
from .reductions import cross_entropy, log_softmax, logsumexp, softmax

__all__ = [
    "avg_pool2d",
    "complex_numbers",
    "conv2d",
    "convolution",
    "cross_entropy",
    "decompositions",
    "elementwise",
    "fourier",
    "indexing",
    "joining",
    "linalg",
    "linear",
    "log_softmax",
    "logsumexp",
    "max_pool2d",
    "reductions",
    "running",
    "shapes",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "solve_triangular",
    "statistics",
    "top_k",
]
