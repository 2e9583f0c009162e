"""CUDA graphs on the stand-in for CuPy: what is done to its arrays is recorded, and can be done again.

As on a GPU, a replay works on the arrays that were recorded, wherever their values have gone since, and with the plain
numbers of then; what would read a number back or bring an array from NumPy's memory is refused while recording.
"""

from __future__ import annotations

import contextlib
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.gpu import fake_cupy
from tests.gpu.fake_cupy import Strict

READS = ("get", "item", "tolist", "__float__", "__int__", "__bool__", "__len__")
DOORS = ("__array_ufunc__", "__array_function__", "__getitem__", "__setitem__")


class CUDARuntimeError(RuntimeError):
    """As cupy.cuda.runtime has it."""


class Recorder:
    """What was done while recording."""

    def __init__(self) -> None:
        self.calls: list[Any] | None = None  # None: nobody records
        self.launched = 0
        self.told: list[str] = []

    def door(self, function: Any) -> Any:
        def called(*args: Any, **kwargs: Any) -> Any:
            found = function(*args, **kwargs)
            if self.calls is not None:
                if any(_from_numpy(x) for x in (args, kwargs)):
                    raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported: a copy from NumPy's memory")
                self.calls.append((function, args, kwargs, found))
            return found

        return called

    def read(self, function: Any) -> Any:
        def called(*args: Any, **kwargs: Any) -> Any:
            if self.calls is not None:
                raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported: operation not permitted when capturing")
            return function(*args, **kwargs)

        return called

    def begin(self, mode: str) -> None:
        assert mode == "global"
        self.calls = []
        self.told.append("begin")

    def end(self) -> Any:
        calls, self.calls = self.calls, None
        self.told.append("end")
        return types.SimpleNamespace(launch=lambda: self.replay(calls or []))

    def replay(self, calls: list[Any]) -> None:
        self.launched += 1
        for function, args, kwargs, found in calls:
            again = function(*args, **kwargs)
            for old, new in zip(_arrays(found), _arrays(again), strict=True):
                np.copyto(old.value, new.value)


def _arrays(x: Any) -> Iterator[Strict]:
    if isinstance(x, Strict):
        yield x
    elif isinstance(x, (list, tuple)):
        for part in x:
            yield from _arrays(part)


def _from_numpy(x: Any) -> bool:
    if isinstance(x, dict):
        return any(map(_from_numpy, x.values()))
    if isinstance(x, (list, tuple)):
        return any(map(_from_numpy, x))
    return isinstance(x, np.ndarray)


@contextlib.contextmanager
def installed() -> Iterator[Recorder]:
    """As if CuPy, a GPU and its graphs were here."""
    recorder = Recorder()
    with fake_cupy.installed() as cupy, pytest.MonkeyPatch.context() as patch:
        for name in DOORS:
            patch.setattr(Strict, name, recorder.door(getattr(Strict, name)))
        for name in ("get", "__float__", "__int__", "__bool__"):
            patch.setattr(Strict, name, recorder.read(getattr(Strict, name)))
        attribute = Strict.__getattr__

        def method(self: Strict, name: str) -> Any:
            found = attribute(self, name)
            if not callable(found):
                return found
            if name in ("item", "tolist"):
                return recorder.read(found)
            return lambda *args, **kwargs: recorder.door(lambda x, *a, **k: attribute(x, name)(*a, **k))(
                self, *args, **kwargs
            )

        patch.setattr(Strict, "__getattr__", method)
        patch.setattr(cupy, "asarray", recorder.read(cupy.asarray))
        stream = types.SimpleNamespace(
            synchronize=recorder.read(lambda: None), begin_capture=recorder.begin, end_capture=recorder.end
        )
        stream.__dict__["ptr"] = 1
        cuda = types.SimpleNamespace(
            is_available=lambda: True,
            get_current_stream=lambda: stream,
            MemoryPool=lambda: types.SimpleNamespace(malloc=None, total_bytes=lambda: 1 << 20),
            Stream=lambda non_blocking: _Current(stream),
            using_allocator=lambda malloc: contextlib.nullcontext(),
            runtime=types.SimpleNamespace(streamCaptureModeGlobal="global"),
        )
        patch.setattr(cupy, "cuda", cuda)
        yield recorder


class _Current:
    """A stream that can be made the current one."""

    def __init__(self, stream: Any):
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: object) -> None:
        pass
