"""Feed-forward layers: what happens at each token by itself."""

from .swiglu import SwiGLU

__all__ = ["SwiGLU"]
