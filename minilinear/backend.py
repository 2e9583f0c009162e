"""Where arrays live, which implementation of a fused primitive runs, and how its work is shared out.

*Where* is answered by the arrays themselves: every function here and above is written with `np.`, which CuPy arrays
and Tensors answer in their own way. *Which implementation* is answered by `use`.
"""

from __future__ import annotations

import ctypes
import importlib
import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from functools import cache, partial, update_wrapper
from itertools import pairwise
from typing import Any, TypeVar, cast

import numpy as np
import scipy.linalg
from threadpoolctl import ThreadpoolController

from .errors import BackendError, ConfigError, MixedDevices, ShapeError, explain, nearest

BACKENDS = {
    "numpy": "the NumPy text",
    "cupy": "arrays and CUDA kernels on a GPU",
    "cpucuda": "the CUDA kernels on this processor",
}
F = TypeVar("F", bound=Callable)
_chosen: ContextVar[str | None] = ContextVar("backend", default=None)


def current_backend() -> str:
    """The backend in force: the one chosen by `use`, else $MINILINEAR_BACKEND as it was at first, else "numpy"."""
    return _chosen.get() or _from_environment()


@cache  # every mirrored call asks, and looking into the environment costs a microsecond
def _from_environment() -> str:
    return _checked(os.environ.get("MINILINEAR_BACKEND") or "numpy")


class use:
    """Choose a backend, as a statement or as a context manager, for this thread.

    >>> use("numpy")
    use('numpy')
    >>> with use("numpy"):
    ...     current_backend()
    'numpy'

    Raises:
        BackendError: an unknown name, or a backend that this installation does not have.
    """

    def __init__(self, name: str):
        self.name = _checked(name)
        self._before = [_chosen.get()]  # one for each block that is open, and for this statement
        self._entered = False
        _chosen.set(self.name)

    def __enter__(self) -> use:
        if self._entered or _chosen.get() != self.name:  # made earlier, and something else may be chosen since
            self._before.append(_chosen.get())
            _chosen.set(self.name)
        self._entered = True
        return self

    def __exit__(self, *exception: object) -> None:
        _chosen.set(self._before.pop())

    def __repr__(self) -> str:
        return f"use({self.name!r})"


def _checked(name: str) -> str:
    if not _is_backend(name):
        raise BackendError(_unknown(name, 'ml.use("numpy"), or unset MINILINEAR_BACKEND'))
    if name != "numpy":
        _gpu().check_available(name)
    return name


def _is_backend(name: Any) -> bool:
    return isinstance(name, str) and name in BACKENDS


def _unknown(name: Any, *fixes: str) -> str:
    near = [nearest(name, BACKENDS)] if isinstance(name, str) else []
    return explain(f"A backend is one of {', '.join(BACKENDS)}.", got=repr(name), fix=" ".join([*near, *fixes]))


@cache
def _gpu() -> Any:
    return importlib.import_module("minilinear.gpu")


def account() -> Any:
    """Which mirrored functions ran as kernels in this process, and which did not and why: see `minilinear.gpu`."""
    return _gpu().account()


def reset_account() -> None:
    """Count from zero again."""
    _gpu().reset_account()


_replaced: dict[str, Callable[..., Any]] = {}


@contextmanager
def replaced(functions: dict[str, Callable[..., Any]]) -> Iterator[None]:
    """Run these in the place of the mirrored functions of their names, with any backend: one's own `delta_product`."""
    before = dict(_replaced)
    _replaced.update(functions)
    try:
        yield
    finally:
        _replaced.clear()
        _replaced.update(before)


def mirrored(name: str) -> Callable[[F], F]:
    """Decorate a function, or a Primitive, that has a twin of the same name and arguments in gpu/.

    With the backend "numpy" the decorated text runs. With another one its twin runs, a Primitive around CUDA kernels,
    if it takes these arguments; if it does not, the text runs, which also works on CuPy arrays.
    """

    def decorate(reference: F) -> F:
        def called(*inputs: Any, **static: Any) -> Any:
            if name in _replaced:
                return _replaced[name](*inputs, **static)
            chosen = current_backend()
            twin = None if chosen == "numpy" else _gpu().twin(name, chosen, inputs, static)
            return (twin or reference)(*inputs, **static)

        update_wrapper(called, reference)
        return cast(F, called)

    return decorate


# Where arrays live: in NumPy's memory, which the backends "numpy" and "cpucuda" share, or in CuPy's, on the GPU.
# Nothing outside this part and gpu/ knows CuPy by name.


def home(array: Any) -> str:
    """Where an array lives: "numpy" or "cupy"."""
    return "numpy" if isinstance(array, (np.ndarray, np.generic)) else "cupy"


def to_numpy(array: Any) -> np.ndarray:
    """The array in NumPy's memory: itself, or a copy of what is on the GPU."""
    return array.get() if home(array) == "cupy" and hasattr(array, "get") else np.asarray(array)


def moved(array: Any, backend: str) -> Any:
    """The array where a backend keeps its arrays: itself, if it is there already.

    Raises:
        ConfigError: no such backend. BackendError: "cupy" cannot run here.
    """
    if not _is_backend(backend):
        raise ConfigError(_unknown(backend))
    if backend != "cupy":
        return to_numpy(array)
    return array if home(array) == "cupy" else _cupy().asarray(array)


def beside(array: Any, like: Any) -> Any:
    """The array where `like` lives: itself, if it is there already."""
    return moved(array, home(like))


def constant(array: Any, like: Any) -> Any:
    """The array where `like` lives. For what is the same in every step, like decays and positions: a GPU is sent it
    once and keeps it, so that a step can be recorded as a graph.
    """
    if home(array) == home(like):
        return array
    key = array.tobytes(), array.dtype.str, array.shape, getattr(getattr(like, "device", None), "id", 0)
    if key not in _constants:
        if len(_constants) == MOST_CONSTANTS:
            del _constants[next(iter(_constants))]  # the oldest
        _constants[key] = np.asarray(array, like=like)
    return _constants[key]


_constants: dict[tuple[Any, ...], Any] = {}
MOST_CONSTANTS = 256


def made(array: Any) -> Any:
    """A new array, where the backend in force keeps its arrays. What is on the GPU already stays there."""
    return moved(array, "cupy") if current_backend() == "cupy" else array


def mixed_devices(name: str, inputs: Sequence[Any]) -> MixedDevices | None:
    """What to raise if the arrays of one call live in different places; None if they do not."""
    arrays = [x for x in inputs if hasattr(x, "__array_function__")]
    if len({home(x) for x in arrays}) < 2:
        return None
    places = {"numpy": "in NumPy's memory", "cupy": "on the GPU"}
    return MixedDevices(
        explain(
            f"{name} wants its arrays in one place.",
            got=", ".join(f"{x.dtype}{x.shape} {places[home(x)]}" for x in arrays),
            fix='model.to("cupy") moves a model, ml.tensor(x) under ml.use("cupy") an array; t.numpy() reads one back',
        )
    )


def on_gpu() -> bool:
    """Whether the backend in force keeps its arrays on a GPU."""
    return current_backend() == "cupy"


def gpu_memory() -> int | None:
    """Bytes that CuPy's pool holds: what was in use at once at the most, since it gives nothing back. None: no GPU."""
    return _cupy().get_default_memory_pool().total_bytes() if on_gpu() else None


@cache
def _cupy() -> Any:
    _gpu().check_available("cupy")
    return importlib.import_module("cupy")


def solve_triangular(a: Any, b: Any, lower: bool) -> Any:
    """Solve a x = b for batches of triangular matrices. On the CPU SciPy solves them one by one (LAPACK trtrs)."""
    if b.ndim < 2:
        raise ShapeError(
            explain(
                "solve_triangular wants b of shape (..., n, columns).", got=b.shape, fix="b[:, None] for one column"
            )
        )
    if not isinstance(a, np.ndarray):
        return np.linalg.solve(np.tril(a) if lower else np.triu(a), b)
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    many = math.prod(batch)
    a = np.broadcast_to(a, batch + a.shape[-2:]).reshape(many, *a.shape[-2:])
    b = np.broadcast_to(b, batch + b.shape[-2:])
    x = np.empty(b.shape, np.result_type(a, b))
    if not x.size:  # older SciPy hands empty matrices to LAPACK, which refuses them
        return x
    solutions = x.reshape(many, *b.shape[-2:])
    for a_i, b_i, x_i in zip(a, b.reshape(solutions.shape), solutions):
        x_i[...] = scipy.linalg.solve_triangular(a_i, b_i, lower=lower, check_finite=False)
    return x


# Threads. NumPy releases the interpreter inside its loops and matrix products, so the heads of a batch, which never
# speak to each other, can be worked on side by side. Inside, BLAS keeps to one thread: two pools on the same cores
# get in each other's way, and a result must not depend on how many threads there were.


def threads() -> int:
    """How many threads the chunk forms use: $MINILINEAR_THREADS, else one for each core this process may run on."""
    wanted = os.environ.get("MINILINEAR_THREADS")
    if wanted is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not wanted.isdigit() or int(wanted) < 1:
        raise BackendError(
            explain("MINILINEAR_THREADS is a number of threads, 1 or more.", got=repr(wanted), fix="unset it, or set 1")
        )
    return int(wanted)


def keep_freed_memory() -> bool:
    """Ask the C library to keep freed memory for the next array instead of giving it back to the system.

    A chunk form makes and drops a dozen arrays of a few megabytes each time; getting every page anew from the system
    costs up to a third of its time. The command line calls this; a script may. The process then stays as large as it
    once was.

    Returns:
        Whether it was possible: on Linux with glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3  # M_..., in malloc.h
    return bool(mallopt(trim_threshold, 1 << 30) and mallopt(top_pad, 1 << 26) and mallopt(mmap_threshold, 1 << 25))


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="minilinear")


def libraries() -> list[dict[str, Any]]:
    """The thread pools that are loaded, as threadpoolctl describes them: BLAS, its version, its kernels."""
    return _blas().info()


def single_threaded_blas() -> Any:
    """A context in which BLAS keeps to one thread."""
    return _blas().limit(limits=1, user_api="blas")


_worker = threading.local()  # .busy: this thread already has one part of some work, and does not share it out again


def in_parts(work: Callable[[slice, slice], None], B: int, H: int, floats: int) -> None:
    """Call `work(b, h)` for slices b of the batch and h of the heads that together cover all of both.

    Args:
        work: writes its results into arrays of its own part.
        B, H: batch and heads.
        floats: roughly how many numbers one head of one batch element holds.
    """
    if current_backend() == "cupy":  # a GPU shares its work out by itself, and wants much of it at a time
        if B and H:
            work(slice(0, B), slice(0, H))
        return
    alone = B * H * floats < SMALL or getattr(_worker, "busy", False)
    workers = 1 if alone else min(threads(), B * H)
    pieces = max(workers, min(B * H, -(-B * H * floats // LARGE)))
    pieces = -(-pieces // workers) * workers  # as many for each thread
    over_batch = min(B, pieces)
    parts = [(b, h) for b in _cut(B, over_batch) for h in _cut(H, -(-pieces // max(over_batch, 1)))]
    with single_threaded_blas():
        _shared([partial(_as_worker, work, b, h) for b, h in parts], workers)


SMALL = 1 << 17  # with fewer numbers than this in all, threads cost more than they bring
LARGE = 1 << 22  # a part is cut further once it holds more numbers than this, so that memory stays small


def side_by_side(work: Callable[[slice], Any], n: int, workers: int) -> list[Any]:
    """The results of `work(part)` for `workers` slices that together cover range(n), each in a thread of its own."""
    parts = _cut(n, min(workers, n) if current_backend() != "cupy" else 1)
    if len(parts) == 1 or getattr(_worker, "busy", False):
        return [work(part) for part in parts]
    with single_threaded_blas():
        return _shared([partial(_as_worker, work, part) for part in parts], len(parts))


def _shared(jobs: list[Callable[[], Any]], workers: int) -> list[Any]:
    """What the jobs return. This thread is one of the workers: it need not be woken."""
    if workers == 1:
        return [job() for job in jobs]
    # Each of the others gets a context of its own: no_grad and use() hold in it as they hold here.
    futures = {i: _pool(workers - 1).submit(copy_context().run, job) for i, job in enumerate(jobs) if i % workers}
    own = {i: job() for i, job in enumerate(jobs) if i % workers == 0}
    return [own[i] if i in own else futures[i].result() for i in range(len(jobs))]


def _as_worker(work: Callable[..., Any], *part: slice) -> Any:
    before, _worker.busy = getattr(_worker, "busy", False), True
    try:
        return work(*part)
    finally:
        _worker.busy = before


def _cut(n: int, pieces: int) -> list[slice]:
    cuts = [n * i // pieces for i in range(pieces + 1)] if n else [0]
    return [slice(a, b) for a, b in pairwise(cuts) if a < b]
