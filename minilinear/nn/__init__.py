"""The parts that every model is made of: Module and Parameter, linear maps, embeddings, the short convolution."""

from .convolution import ShortConvolution, causal_convolution
from .embedding import Embedding
from .init import normal, xavier_uniform
from .linear import Linear
from .module import Buffer, Module, Parameter

__all__ = [
    "Buffer",
    "Embedding",
    "Linear",
    "Module",
    "Parameter",
    "ShortConvolution",
    "causal_convolution",
    "normal",
    "xavier_uniform",
]
