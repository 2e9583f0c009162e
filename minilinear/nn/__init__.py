"""The parts that every model is made of: Module and Parameter, linear maps, embeddings, activations, a convolution."""

from .activations import ACTIVATIONS, gelu, identity, relu, relu_squared, sigmoid, silu
from .convolution import ShortConvolution, causal_convolution
from .embedding import Embedding
from .init import normal, xavier_uniform
from .linear import Linear
from .module import Buffer, Module, Parameter

__all__ = [
    "ACTIVATIONS",
    "Buffer",
    "Embedding",
    "Linear",
    "Module",
    "Parameter",
    "ShortConvolution",
    "causal_convolution",
    "gelu",
    "identity",
    "normal",
    "relu",
    "relu_squared",
    "sigmoid",
    "silu",
    "xavier_uniform",
]
