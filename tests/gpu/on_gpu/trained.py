"""Section `train`: small models beside NumPy, loss by loss; a larger one for its speed; and where speed begins."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

import minilinear as ml
from minilinear import gpu
from minilinear.gpu.launch import recorded
from minilinear.precision import MANTISSA
from minilinear.tasks import task
from minilinear.training import Run, RunFolder
from minilinear.training.recipes import recipe

from .places import Processor
from .record import Item

STEPS = 20
NEAR = 2e-4  # losses of 20 steps in float32, rounded otherwise at every step
MIXERS = ("linear", "gla", "mamba2", "delta_net", "gated_delta_net", "delta_product", "kda", "softmax")


def items(place: Processor) -> Iterator[Item]:
    for mixer in MIXERS:
        yield f"losses {mixer}", lambda mixer=mixer: losses(place, mixer)  # type: ignore[misc]
    yield "losses of a graph", lambda: losses(place, "gated_delta_net", graph=True)
    for precision in MANTISSA:
        yield f"text {precision}", lambda precision=precision: text(place, precision)  # type: ignore[misc]
    yield "text bf16 graph", lambda: text(place, "bf16", graph=True)
    for D in (16, 64, 128, 256, 512, 768) if place.full_size else (16,):
        yield f"width {D}", lambda D=D: width(place, D)  # type: ignore[misc]


def losses(place: Processor, mixer: str, *, graph: bool = False) -> dict[str, Any]:
    """20 losses of the words of S3, with kernels and with NumPy; with `graph`, as replays of what was recorded."""
    made, found = task("s3", lengths=(12, 12) if graph else (4, 12)), {}
    changes = {"mixer": mixer, "D": 32, "hidden": 32, "heads": 2}
    gpu.reset_account()
    for name in ("numpy", place.name):  # the last is the one that may be a graph
        with ml.use(name):
            run = started(place if name == place.name else Processor(), made, changes, steps=STEPS, batch=8)
            if graph and name == place.name:
                run.use_graph()
            found[name] = [run.advance().loss for _ in range(STEPS)]
    apart = float(np.max(np.abs(np.divide(found[place.name], found["numpy"]) - 1)))
    kernels, texts = gpu.account()
    about = replays(run)
    ok = apart <= NEAR and not (graph and place.full_size and about["graph"]["why"])
    return {"ok": ok, "worst_relative": apart, **found, "kernels": kernels, "text": texts, **about}


def started(place: Processor, made: Any, changes: dict[str, Any], **training: Any) -> Run:
    """A run whose model is where it is trained."""
    run = Run(recipe(made, changes=changes, training={"steps": 30, **training}), RunFolder("nowhere"), made)
    if place.name == "cupy":
        run.model.to("cupy")
    return run


def replays(run: Run) -> dict[str, Any]:
    """How many steps were replays of a graph, and why no more; nothing if none was asked for."""
    replay = run.replay
    return {} if replay is None else {"graph": {"replayed": replay.replayed, "other": replay.other, "why": replay.why}}


def step_seconds(place: Processor, run: Run, steps: int) -> float:
    """Of a step, the median, after two to warm up."""
    run.advance(), run.advance()
    times = []
    for _ in range(steps):
        place.wait()
        began = time.perf_counter()
        run.advance()
        place.wait()
        times.append(time.perf_counter() - began)
    return float(np.median(times))


def text(place: Processor, precision: str, *, graph: bool = False) -> dict[str, Any]:
    """A language model of text, as large as the preset text-gpu: tokens in a second, launches in a step, memory."""
    made = task("text", length=1024 if place.full_size else 32)
    full = {"mixer": "gated_delta_net", "D": 768, "heads": 6, "key_dim": 128, "value_dim": 128, "layers": 12}
    small = {"mixer": "gated_delta_net", "D": 16, "hidden": 16, "heads": 2, "layers": 1}
    changes = (full if place.full_size else small) | {"precision": precision}
    place.forget()
    with place.backend:
        run = started(place, made, changes, batch=8 if place.full_size else 1)
        if graph:
            run.use_graph()
        seconds = step_seconds(place, run, 10 if place.full_size else 2)
        with recorded() as launches:
            tokens = run.advance().tokens
    names = sorted({launch.kernel for launch in launches})
    return {
        "changes": changes,
        "step_s": seconds,
        "tokens_per_s": tokens / seconds,
        "launches_per_step": len(launches),  # of our own kernels; CuPy's and cuBLAS's are not counted
        "launches": {name: sum(launch.kernel == name for launch in launches) for name in names},
        "bytes_of_kernels": sum(launch.bytes for launch in launches),
        **replays(run),
        **memory(place),
    }


def width(place: Processor, D: int) -> dict[str, Any]:
    """A model of text of this width, here and on the processor with NumPy: from which width on is it faster here?"""
    made, seconds = task("text", length=256 if place.full_size else 16), {}
    changes = {"mixer": "gated_delta_net", "D": D, "heads": 4, "layers": 2}
    for name in (place.name, "numpy"):
        with ml.use(name):
            where = place if name == place.name else Processor()
            seconds[name] = step_seconds(where, started(where, made, changes, batch=8 if place.full_size else 1), 3)
    return {"step_s": seconds, "times_as_fast": seconds["numpy"] / seconds[place.name]}


def memory(place: Any) -> dict[str, Any]:
    """Of CuPy's pool, and of the device as a whole."""
    if not place.full_size:
        return {}
    pool = place.cupy.get_default_memory_pool()
    free, total = place.cupy.cuda.runtime.memGetInfo()
    return {"pool_bytes": pool.total_bytes(), "device_bytes": total - free}
