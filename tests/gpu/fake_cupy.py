"""A stand-in for the module CuPy, made of the strict arrays of the engine's tests: they refuse to meet NumPy's arrays.

with fake_cupy.installed(): ml.use("cupy") ...     computes on this processor, as if on a GPU
"""

from __future__ import annotations

import contextlib
import sys
import types
from collections.abc import Iterator

import numpy as np

from minilinear import backend, gpu
from tests.autograd.strict import Strict, inside

cupy = types.ModuleType("cupy")
cupy.__version__ = "14.2.0"  # type: ignore[attr-defined]
cupy.ndarray = Strict  # type: ignore[attr-defined]
cupy.asarray = lambda a: a if isinstance(a, Strict) else Strict(np.array(a))  # type: ignore[attr-defined]
cupy.asnumpy = lambda a: a.get() if isinstance(a, Strict) else np.asarray(a)  # type: ignore[attr-defined]
cupy.get_default_memory_pool = lambda: types.SimpleNamespace(total_bytes=lambda: 3 << 20)  # type: ignore[attr-defined]
cupy.cuda = types.SimpleNamespace(is_available=lambda: True)  # type: ignore[attr-defined]


@contextlib.contextmanager
def installed() -> Iterator[types.ModuleType]:
    """As if CuPy and a GPU were here; the kernels, which need both in truth, are not."""
    modules, check, table = sys.modules.get("cupy"), gpu.check_available, dict(gpu.TABLE)
    sys.modules["cupy"] = cupy
    gpu.check_available = lambda name: None
    gpu.TABLE.clear()
    backend._cupy.cache_clear()
    backend._constants.clear()
    try:
        yield cupy
    finally:
        gpu.check_available = check
        gpu.TABLE.clear()
        gpu.TABLE.update(table)
        backend._cupy.cache_clear()
        backend._constants.clear()
        if modules is None:
            del sys.modules["cupy"]
        else:
            sys.modules["cupy"] = modules


def on_gpu(array: object) -> bool:
    return isinstance(array, Strict)


__all__ = ["Strict", "cupy", "inside", "installed", "on_gpu"]
