"""minilinear: every linear sequence model is a state S_t = A_t S_{t-1} + B_t.

Each mechanism is written down once as a definition, with a fast form and a gradient derived by hand, in NumPy that is
meant to be read. Start with `recurrence/householder.py`, the delta rule; `autograd/` is the engine below it.
"""

from .autograd import Tensor, grad, gradcheck, no_grad, tensor
from .backend import current_backend, use

__version__ = "0.1.0"
__all__ = ["Tensor", "__version__", "current_backend", "grad", "gradcheck", "no_grad", "tensor", "use"]
