"""Automatic differentiation whose language is plain NumPy.

Read in this order: `core` (what a Tensor is), `primitive` (what a gradient rule is), `backward` (the engine, one
function), `ops/` (the rules), `checking` (how to know that a rule is right), `derivatives` (what to make of
gradients), `recomputation` (memory for time), `graph` (a picture of the record).
"""

from .backward import grad
from .checking import gradcheck
from .core import Array, Tensor, no_grad, tensor, unwrap
from .derivatives import (
    gradient_scale,
    hessian,
    hessian_vector_product,
    jacobian,
    jvp,
    per_sample_gradients,
    stop_gradient,
    straight_through,
)
from .graph import Graph
from .ops import (
    avg_pool2d,
    conv2d,
    cross_entropy,
    linear,
    log_softmax,
    logsumexp,
    max_pool2d,
    sigmoid,
    silu,
    softmax,
    softplus,
    solve_triangular,
    top_k,
)
from .primitive import Primitive, composition, constant, define
from .recomputation import recompute

__all__ = [
    "Array",
    "Graph",
    "Primitive",
    "Tensor",
    "avg_pool2d",
    "composition",
    "constant",
    "conv2d",
    "cross_entropy",
    "define",
    "grad",
    "gradcheck",
    "gradient_scale",
    "hessian",
    "hessian_vector_product",
    "jacobian",
    "jvp",
    "linear",
    "log_softmax",
    "logsumexp",
    "max_pool2d",
    "no_grad",
    "per_sample_gradients",
    "recompute",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "solve_triangular",
    "stop_gradient",
    "straight_through",
    "tensor",
    "top_k",
    "unwrap",
]
