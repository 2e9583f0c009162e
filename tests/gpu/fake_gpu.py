"""A stand-in for what the launcher asks of CuPy: arrays with an address and a device, RawModule, streams, limits.

Nothing is computed: it writes down what CuPy would have been told.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from minilinear.gpu.execute import Cupy


class Array:
    """An array on a GPU."""

    def __init__(self, values: np.ndarray, device: int):
        self.values, self.device = values, SimpleNamespace(id=device)
        self.dtype, self.shape, self.strides, self.size = values.dtype, values.shape, values.strides, values.size
        self.nbytes, self.flags = values.nbytes, SimpleNamespace(c_contiguous=values.flags.c_contiguous)
        self.data = SimpleNamespace(ptr=values.ctypes.data)

    def __array_function__(self, *args: Any) -> Any:
        return NotImplemented

    def fill(self, value: Any) -> None:
        self.values.fill(value)

    def __getitem__(self, key: Any) -> Array:
        return Array(self.values[key], self.device.id)


class Function:
    """What RawModule.get_function gives."""

    def __init__(self, gpu: Gpu, name: str):
        self.gpu, self.name, self.most = gpu, name, 48 * 1024

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        return self.most

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, value: int) -> None:
        self.gpu.told.append(("max_dynamic_shared_size_bytes", self.name, value))
        self.most = value

    def __call__(self, grid: tuple, block: tuple, args: tuple, *, shared_mem: int = 0) -> None:
        assert type(grid) is type(block) is type(args) is tuple  # CuPy's Function is compiled code with these types
        for x in args:
            assert isinstance(x, (Array, np.generic)), x  # all else CuPy widens, or hands on as nothing
        if self.gpu.fails:
            raise self.gpu.cupy.cuda.driver.CUDADriverError("CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access")
        self.gpu.launches.append((self.gpu.stream, self.name, grid, block, args, shared_mem))


class Gpu:
    """The module, and what it was told."""

    def __init__(self) -> None:
        self.told: list[Any] = []  # modules made, attributes set, waits
        self.launches: list[Any] = []
        self.stream, self.current, self.fails, self.log, self.capability = "default", 0, False, "", "90"
        self.cupy = cupy = ModuleType("cupy")
        cupy.ndarray, cupy.RawModule = Array, self.module  # type: ignore[attr-defined]
        cupy.empty = lambda shape, dtype: self.array(np.empty(shape, dtype))  # type: ignore[attr-defined]
        cupy.asarray = lambda values: self.array(np.asarray(values))  # type: ignore[attr-defined]
        most = {"MaxSharedMemoryPerBlockOptin": 227 * 1024}
        error = type("CUDADriverError", (RuntimeError,), {})
        cupy.cuda = SimpleNamespace(  # type: ignore[attr-defined]
            Device=lambda: SimpleNamespace(id=self.current, attributes=most, compute_capability=self.capability),
            get_current_stream=lambda: SimpleNamespace(synchronize=lambda: self.told.append(("wait", self.stream))),
            driver=SimpleNamespace(CUDADriverError=error),
            runtime=SimpleNamespace(
                CUDARuntimeError=type("CUDARuntimeError", (RuntimeError,), {}),
                getDeviceProperties=lambda device: {"name": b"a stand-in"},
            ),
            Event=lambda: SimpleNamespace(
                record=lambda: self.told.append(("record", len(self.launches))), synchronize=lambda: None
            ),
            get_elapsed_time=lambda begun, ended: 0.25,  # milliseconds
            compiler=SimpleNamespace(CompileException=type("CompileException", (Exception,), {})),
        )

    def array(self, values: np.ndarray) -> Array:
        return Array(values, self.current)

    def module(self, *, code: str, options: tuple, name_expressions: list) -> Any:
        self.told.append(("module", code, options, tuple(name_expressions)))

        def get_function(name: str) -> Function:
            if self.log:
                raise self.cupy.cuda.compiler.CompileException(self.log)
            assert name in name_expressions
            return Function(self, name)

        return SimpleNamespace(get_function=get_function)


@contextlib.contextmanager
def installed() -> Iterator[Gpu]:
    """As if CuPy were here."""
    before, devices = sys.modules.get("cupy"), dict(Cupy.devices)
    gpu = Gpu()
    sys.modules["cupy"] = gpu.cupy
    Cupy.devices.clear()
    try:
        yield gpu
    finally:
        Cupy.devices.clear()
        Cupy.devices.update(devices)
        sys.modules.pop("cupy")
        if before is not None:
            sys.modules["cupy"] = before
