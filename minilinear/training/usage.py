"""What training takes of a machine: tokens a second, memory at the most, and whether a GPU has anything to do.

A GPU takes about 10 microseconds to begin a kernel, however little there is to compute. With N tokens in a batch, the
product of a layer of width D takes 2 N D^2 / rate seconds. Below the width where the two are equal,

    D = sqrt(10e-6 rate / (2 N)),

a GPU waits for launches most of the time, and a processor is likely to be as fast. The rates are those that an H200
reaches in large products. All of this is an estimate: no training run has been timed on a GPU yet.
"""

from __future__ import annotations

import math
import sys

from .. import backend

LAUNCH = 10e-6  # seconds
RATES = {"fp32": 67e12, "tf32": 395e12, "bf16": 790e12}  # operations a second


def width_for_a_gpu(tokens: int, precision: str = "fp32") -> int:
    """The width D from which a product of `tokens` rows takes longer than its launch, on the GPU of `RATES`.

    >>> width_for_a_gpu(8 * 256), width_for_a_gpu(8 * 1024), width_for_a_gpu(8 * 1024, "bf16")
    (405, 203, 695)
    """
    return math.ceil(math.sqrt(LAUNCH * RATES[precision] / (2 * tokens)))


def too_small(D: int, tokens: int, precision: str) -> str | None:
    """A sentence about a model that is too narrow to keep a GPU busy, or None."""
    least = width_for_a_gpu(tokens, precision)
    if least <= D:
        return None
    return (
        f"too small for a GPU to help: with {tokens:,} tokens at a time and D = {D}, below {least}, products take less "
        "than the 10 microseconds of a launch (by formula, not measured; less in a graph, --graph); raise --batch, "
        "--length or D, or train without a GPU"
    )


def peak_memory() -> tuple[int, str]:
    """The most memory so far, in bytes, and of what: the GPU's pool, which keeps what it once had; or this process."""
    if (held := backend.gpu_memory()) is not None:
        return held, "of the GPU's pool"
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset, "of this process"
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, "of this process"
