"""The GPU mirror of minilinear: CUDA kernels, name for name with the NumPy reference, imported as `minilinear.gpu`.

It imports without CuPy, a GPU or a compiler. One kernel text runs in two places: on a GPU through CuPy (backend
"cupy"), and on this computer's processor through `minilinear.gpu.sim` (backend "cpucuda"), which can also check it for
races and accesses out of bounds.
"""

import logging
import threading
from collections import Counter
from typing import Any, NamedTuple

from ..autograd import Tensor, unwrap
from ..backend import home
from ..errors import BackendError, explain
from ..precision import current_precision
from . import cuda
from .twins import TABLE

__all__ = ["Account", "account", "check_available", "reset_account", "twin"]


def check_available(backend: str) -> None:
    """Refuse a backend that cannot run here.

    Raises:
        BackendError: what is missing, and the line that brings it.
    """
    if backend != "cupy":
        cuda.find_compiler()
    elif missing := cuda.missing_for_cupy():
        what, fixes = "; ".join(part.what for part in missing), list(dict.fromkeys(part.fix for part in missing))
        raise BackendError(explain(f"The backend {backend} cannot run here: {what}.", fix="; ".join(fixes)))


# Which calls ran as kernels. A mirrored function asks for its twin once per call; forward and backward go together.


class Account(NamedTuple):
    """What became of the calls of mirrored functions under a backend with kernels.

    Attributes:
        kernels: name -> calls that ran as kernels.
        text: name -> why -> calls for which the NumPy text ran instead.
    """

    kernels: dict[str, int]
    text: dict[str, dict[str, int]]


_lock = threading.Lock()  # the parts of a batch are computed side by side
_kernels: Counter[str] = Counter()
_text: Counter[tuple[str, str]] = Counter()
_log = logging.getLogger(__name__)


def account() -> Account:
    """What ran as kernels so far in this process, and what did not and why."""
    with _lock:
        text: dict[str, dict[str, int]] = {}
        for (name, why), calls in sorted(_text.items()):
            text.setdefault(name, {})[why] = calls
        return Account(dict(sorted(_kernels.items())), text)


def reset_account() -> None:
    """Count from zero again."""
    with _lock:
        _kernels.clear()
        _text.clear()


def twin(name: str, backend: str, inputs: tuple[Any, ...], static: dict[str, Any]) -> Any:
    """The twin of the mirrored function `name` on a backend, if it takes these arguments, else None.

    In a block of `products_in("bf16")` that is the one for this precision, where there is one and it takes them.
    """
    rounded, why = f"{name}_{current_precision()}", "it has no kernel yet"
    for each in (rounded, name) if rounded in TABLE else (name,):
        if each in TABLE:
            refused = _elsewhere(backend, (*inputs, *static.values())) or TABLE[each].refuses(*inputs, **static)
            if refused is None:
                with _lock:
                    _kernels[each] += 1
                return TABLE[each]
            why = refused
    with _lock:
        _text[name, why] += 1
        first = _text[name, why] == 1
    if first:
        _log.info("%s runs as NumPy text on %s: %s", name, backend, why)
    return None


def _elsewhere(backend: str, inputs: tuple[Any, ...]) -> str | None:
    """Why arrays that live elsewhere keep the kernels of a backend from running on them."""
    wanted = "cupy" if backend == "cupy" else "numpy"
    each = [part for given in inputs for part in (given if isinstance(given, (list, tuple)) else [given])]
    for x in each:
        if isinstance(x, Tensor) or hasattr(x, "__array_function__"):
            here = home(unwrap(x))
            if here != wanted:
                return f"its arrays are {'on the GPU' if here == 'cupy' else 'not on the GPU'}"
    return None
