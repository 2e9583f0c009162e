"""Section `ceilings`: what this device can do at best, measured in the same run as the kernels.

A fraction of a ceiling is worth more than one of a data sheet: clocks differ, and so do drivers and power limits.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from minilinear.gpu.launch import Kernel
from minilinear.precision import MANTISSA, product

from .places import Processor
from .record import Item

EMPTY = Kernel("empty.cu", "empty", shapes={"y": "N"}, grid=1, block=1, folder=Path(__file__).parent)


def items(place: Processor) -> Iterator[Item]:
    yield "copy", lambda: copy(place)
    for precision in MANTISSA if place.full_size else ("fp32",):
        yield f"gemm {precision}", lambda precision=precision: gemm(place, precision)  # type: ignore[misc]
    yield "launch", lambda: launch(place)
    if place.full_size:
        yield "graph", lambda: graph(place)


def copy(place: Processor) -> dict[str, Any]:
    """Bytes read and written in a second, by a copy of an array far larger than any cache."""
    size = (2 << 30) if place.full_size else (64 << 20)
    source = place.here(np.zeros(size // 4, np.float32))
    target = place.here(np.zeros(size // 4, np.float32))
    seconds = float(np.median(place.seconds(lambda: _copy(target, source), warm_up=3, repeats=20, cold=False)))
    return {"bytes_per_s": 2 * size / seconds, "bytes": 2 * size}


def _copy(target: Any, source: Any) -> None:
    target[...] = source


def gemm(place: Processor, precision: str) -> dict[str, Any]:
    """Operations in a second of one large product of random matrices, by the library."""
    n = 8192 if place.full_size else 512
    rng = np.random.default_rng(0)
    a, b = (place.here(rng.standard_normal((n, n), np.float32)) for _ in range(2))
    seconds = float(np.median(place.seconds(lambda: product(a, b, precision), warm_up=3, repeats=20, cold=False)))
    return {"flops_per_s": 2 * n**3 / seconds, "n": n}


def launch(place: Processor) -> dict[str, Any]:
    """Seconds from one launch to the next, through the launcher, and on a GPU through CuPy alone."""
    y = place.here(np.zeros(1, np.float32))
    found = {"launcher_s": _each(place, lambda: EMPTY(y=y), 1000)}
    if place.full_size:
        cupy = place.cupy  # type: ignore[attr-defined]
        raw = cupy.RawKernel((Path(__file__).parent / "empty.cu").read_text("utf-8"), "empty")
        found["cupy_s"] = _each(place, lambda: raw((1,), (1,), (y,)), 1000)
    return found


def _each(place: Processor, do: Any, times: int) -> float:
    do()
    place.wait()
    began = time.perf_counter()
    for _ in range(times):
        do()
    place.wait()
    return (time.perf_counter() - began) / times


def graph(place: Any) -> dict[str, Any]:
    """Seconds of one of 100 launches that were captured into a graph."""
    cupy = place.cupy
    y = place.here(np.zeros(1, np.float32))
    raw = cupy.RawKernel((Path(__file__).parent / "empty.cu").read_text("utf-8"), "empty")
    raw((1,), (1,), (y,))
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        for _ in range(100):
            raw((1,), (1,), (y,))
        captured = stream.end_capture()
        captured.launch(stream)
        stream.synchronize()
        began = time.perf_counter()
        for _ in range(20):
            captured.launch(stream)
        stream.synchronize()
    return {"launch_s": (time.perf_counter() - began) / 2000}
