"""Section `compile`: how long each file of kernels takes to compile, cold and from the disk, and what came of it."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from minilinear.gpu import execute
from minilinear.gpu.launch import KERNELS, Kernel
from minilinear.gpu.sim.compile import find_compiler, included, library

from .places import Processor
from .record import Item


def items(place: Processor) -> Iterator[Item]:
    compiled = _on_gpu if place.full_size else _simulated
    for file in dict.fromkeys(kernel.file for kernel in KERNELS.values()):
        kernels = [kernel for kernel in KERNELS.values() if kernel.file == file]
        yield file, lambda kernels=kernels: compiled(place, kernels)  # type: ignore[misc]


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _on_gpu(place: Any, kernels: list[Kernel]) -> dict[str, Any]:
    """CuPy keeps what NVRTC made in a folder, which was empty when this run began, and what is loaded in a memo."""
    found: dict[str, Any] = {}
    before = _size(place.cache)
    for when in ("cold_s", "warm_s"):
        place.cupy.clear_memo()
        executor = execute.Cupy(place.cupy, place.device)
        began = time.perf_counter()
        executor.compile(kernels[0], kernels[0].names[0])
        found[when] = time.perf_counter() - began
    found["cache_bytes"] = _size(place.cache) - before
    found["functions"] = {}
    for kernel in kernels:
        for name in kernel.names:
            function = executor.functions[kernel.folder, kernel.file, name]
            threads, dynamic = kernel.largest_block(name)
            found["functions"][name] = {
                "registers": function.num_regs,
                "local_bytes": function.local_size_bytes,
                "static_shared_bytes": function.shared_size_bytes,
                "dynamic_shared_bytes": dynamic,
                "threads": threads,
                "blocks_per_multiprocessor": place.cupy.cuda.driver.occupancyMaxActiveBlocksPerMultiprocessor(
                    function.kernel.ptr, threads, dynamic
                ),
            }
    found["ok"] = not any(about["local_bytes"] for about in found["functions"].values())
    return found


def _simulated(place: Processor, kernels: list[Kernel]) -> dict[str, Any]:
    """Compiled for this processor, with a runtime of its own, and not loaded: only so many runtimes fit a process."""
    found: dict[str, Any] = {}
    kernel = kernels[0]
    text = (kernel.folder / kernel.file).read_text("utf-8")
    names = [name for each in kernels for name in each.names]
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, MINILINEAR_CACHE=folder):
        began = time.perf_counter()
        library(text, names, kernel.file, included(text, [kernel.folder]), False, find_compiler())
        found["cold_s"] = time.perf_counter() - began
        found["cache_bytes"] = _size(Path(folder))
    return found
