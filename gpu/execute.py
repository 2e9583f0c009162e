"""The two places where a kernel runs: the simulator on this processor, and a GPU through CuPy.

Both are asked the same things by the launcher: allocate, give an address, launch. What a launch is checked for stands
in launch.py, once for both.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Tensor
from ..backend import current_backend, home, mixed_devices
from ..errors import BackendError, CompileError, WrongType, explain
from . import source


def executor(name: str, arrays: dict[str, Any]) -> Any:
    """Where the arrays of a launch are; without arrays, the backend in force says.

    Raises:
        TypeError: something that is no array; MixedDevices: arrays in two places.
    """
    for argument, x in arrays.items():
        other = type(x) is not np.ndarray if isinstance(x, np.ndarray) else not hasattr(x, "__array_function__")
        if other or isinstance(x, Tensor):  # a masked array or a matrix computes in another way
            got, fix = type(x).__name__, "t.data of a Tensor, np.asarray of numbers"
            raise WrongType(explain(f"{argument} of {name} must be a NumPy or a CuPy array.", got=got, fix=fix))
    mixed = mixed_devices(name, list(arrays.values()))
    if mixed:
        raise mixed
    if "cupy" not in ([home(x) for x in arrays.values()] or [current_backend()]):
        return SIMULATOR
    gpu = Cupy.on_current_device()
    gpu.check_device(name, arrays)
    return gpu


class Simulator:
    """Kernels on this processor, through minilinear.gpu.sim."""

    name = "sim"

    def empty(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Memory for an output."""
        return np.empty(shape, dtype)

    def address(self, x: np.ndarray) -> int:
        """Of the first element."""
        return x.ctypes.data

    def read_only(self, x: np.ndarray) -> bool:
        """Whether the array refuses to be written to."""
        return not x.flags.writeable

    def most_shared(self) -> int:
        """Bytes of shared memory in a block: as many as the largest GPU has."""
        return 227 * 1024

    def launch(self, kernel: Any, name: str, grid, block, arguments, *, shared, wait, check, seed) -> Any:
        """Run to the end; `wait` changes nothing."""
        from . import sim  # here: a GPU needs no simulator

        text = (kernel.folder / kernel.file).read_text("utf-8")
        program = sim.compile(text, kernel.names, file=kernel.file, include=(kernel.folder,), check=check)
        return program.launch(name, grid, block, arguments, shared=shared, seed=seed)


SIMULATOR = Simulator()


class Cupy:
    """Kernels on one GPU, through cupy.RawModule: compiled once for each file and device, and kept by CuPy on disk."""

    name = "cupy"
    devices: dict[int, Cupy] = {}  # noqa: RUF012, the one table of devices

    def __init__(self, cupy: Any, device: Any):
        self.cupy, self.device = cupy, device
        self.shared = device.attributes["MaxSharedMemoryPerBlockOptin"]  # asks for all of them: not at each launch
        self.functions: dict[tuple[Any, ...], Any] = {}

    @classmethod
    def on_current_device(cls) -> Cupy:
        """The executor of the GPU that is current in this thread."""
        import cupy

        device = cupy.cuda.Device()
        if device.id not in cls.devices:
            cls.devices[device.id] = cls(cupy, device)
        return cls.devices[device.id]

    def check_device(self, name: str, arrays: dict[str, Any]) -> None:
        """Refuse arrays of another GPU."""
        for argument, x in arrays.items():
            if x.device.id != self.device.id:
                raise BackendError(
                    explain(
                        f"The arrays of {name} must be on the current GPU, {self.device.id}.",
                        got=f"{argument} on GPU {x.device.id}",
                        fix=f"with cupy.cuda.Device({x.device.id}):",
                    )
                )

    def empty(self, shape: tuple[int, ...], dtype: np.dtype) -> Any:
        """Memory for an output."""
        return self.cupy.empty(shape, dtype)

    def address(self, x: Any) -> int:
        """Of the first element."""
        return x.data.ptr

    def read_only(self, x: Any) -> bool:
        """CuPy's arrays can all be written to."""
        return False

    def most_shared(self) -> int:
        """Bytes of shared memory that a block of this GPU may have."""
        return self.shared

    def launch(self, kernel: Any, name: str, grid, block, arguments, *, shared, wait, check, seed) -> None:
        """Launch on the stream that is current now: CuPy looks it up in each call. `check` is the simulator's."""
        function = self.functions.get((kernel.folder, kernel.file, name)) or self.compile(kernel, name)
        # CuPy makes of None an empty slot, not a null pointer in a slot.
        arguments = tuple(np.uintp(0) if x is None else x for x in arguments)
        if shared > 48 * 1024 and shared > function.max_dynamic_shared_size_bytes:
            function.max_dynamic_shared_size_bytes = shared
        try:
            function(grid, block, arguments, shared_mem=shared)
            if wait:
                self.cupy.cuda.get_current_stream().synchronize()
        except (self.cupy.cuda.driver.CUDADriverError, self.cupy.cuda.runtime.CUDARuntimeError) as error:
            fix = "the same arguments as NumPy arrays, in the simulator's check mode: minilinear kernels check"
            if not wait:
                fix = "MINILINEAR_DEBUG=1 tells whether it was this kernel or an earlier one; then " + fix
            rule = f"{name} failed on the GPU, grid {grid}, block {block}, {shared} bytes of shared memory."
            raise BackendError(explain(rule, got=error, fix=fix)) from error

    def compile(self, kernel: Any, name: str) -> Any:
        """One function of a file. The module is made with every name that the file's kernels have."""
        from .launch import KERNELS, OPTIONS

        if kernel.arch > int(self.device.compute_capability):
            rule = f"{kernel.name} needs compute capability {kernel.arch / 10}."
            raise BackendError(explain(rule, got=f"GPU {self.device.id} has {self.device.compute_capability}"))
        text = source.expanded(kernel.file, kernel.folder)
        names = [n for other in KERNELS.values() if other.file == kernel.file for n in other.names]
        module = self.cupy.RawModule(code=text, options=OPTIONS, name_expressions=names)
        try:
            for each in names:
                self.functions[kernel.folder, kernel.file, each] = module.get_function(each)
        except self.cupy.cuda.compiler.CompileException as error:
            rule = f"{kernel.file} does not compile for GPU {self.device.id}."
            raise CompileError(rule + "\n" + source.complaints(str(error), kernel.folder)) from error
        return self.functions[kernel.folder, kernel.file, name]
