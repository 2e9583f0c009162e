"""Section `train`: a small model beside NumPy, loss by loss, and a larger one for its speed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

import minilinear as ml
from minilinear import gpu
from minilinear.gpu.launch import recorded
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
    yield "text", lambda: text(place)


def losses(place: Processor, mixer: str) -> dict[str, Any]:
    """20 losses of the words of S3, with kernels and with NumPy."""
    made, found = task("s3", lengths=(4, 12)), {}
    changes = {"mixer": mixer, "D": 32, "hidden": 32, "heads": 2}
    gpu.reset_account()
    for name in ("numpy", place.name):
        with ml.use(name):
            run = Run(recipe(made, changes=changes, training={"steps": STEPS, "batch": 8}), RunFolder("nowhere"), made)
            if name == "cupy":
                run.model.to("cupy")
            found[name] = [run.advance().loss for _ in range(STEPS)]
    apart = float(np.max(np.abs(np.divide(found[place.name], found["numpy"]) - 1)))
    kernels, texts = gpu.account()
    return {"ok": apart <= NEAR, "worst_relative": apart, **found, "kernels": kernels, "text": texts}


def text(place: Processor) -> dict[str, Any]:
    """A language model of text: tokens in a second, launches in a step, memory."""
    made = task("text", length=1024 if place.full_size else 32)
    full = {"mixer": "gated_delta_net", "D": 768, "hidden": 2048, "heads": 6, "layers": 12}
    changes = full if place.full_size else {"mixer": "gated_delta_net", "D": 16, "hidden": 16, "heads": 2, "layers": 1}
    with place.backend:
        training = {"steps": 30, "batch": 8 if place.full_size else 1}
        run = Run(recipe(made, changes=changes, training=training), RunFolder("nowhere"), made)
        if place.name == "cupy":
            run.model.to("cupy")
        for _ in range(3 if place.full_size else 1):
            run.advance()
        place.wait()
        times, tokens = [], 0
        for _ in range(10 if place.full_size else 2):
            began = time.perf_counter()
            tokens = run.advance().tokens
            place.wait()
            times.append(time.perf_counter() - began)
        with recorded() as launches:
            run.advance()
    median = float(np.median(times))
    names = sorted({launch.kernel for launch in launches})
    return {
        "changes": changes,
        "step_s": median,
        "tokens_per_s": tokens / median,
        "launches_per_step": len(launches),
        "launches": {name: sum(launch.kernel == name for launch in launches) for name in names},
        "bytes_of_kernels": sum(launch.bytes for launch in launches),
        **memory(place),
    }


def memory(place: Any) -> dict[str, Any]:
    """Of CuPy's pool, and of the device as a whole."""
    if not place.full_size:
        return {}
    pool = place.cupy.get_default_memory_pool()
    free, total = place.cupy.cuda.runtime.memGetInfo()
    return {"pool_bytes": pool.total_bytes(), "device_bytes": total - free}
