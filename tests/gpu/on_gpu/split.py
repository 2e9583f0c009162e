"""Where the time of a training step goes: our kernels, matrix products, what else the device does, and the host.

    step        by the clock, as it is trained
    device      forward and backward, clipping, optimizer: each queued while the device is kept busy, so that it does
                not wait for Python between two kernels of it
    kernels     every launch of ours alone, in another step; products: every product of a linear layer
    other       device - kernels - products: CuPy's element-wise kernels, reductions and copies
    host        step - device: the device has nothing to do

A piece that Python does not queue in time has gaps in it after all; such pieces are counted as late. Clipping reads a
number back and is always one. On this processor host and device are one, and so are NumPy and Python: there, what is
neither kernel nor product is the rest of the same step.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any
from unittest import mock

from minilinear.autograd.ops import linalg
from minilinear.gpu.launch import Kernel
from minilinear.training import Run
from minilinear.training import run as training

from .places import Processor

HOLD = 1e-3  # seconds: longer than Python takes for one launch


class Pieces:
    """The device's seconds for all calls of some functions, and how many calls these were, by kind."""

    def __init__(self, place: Processor, hold: float):
        self.place, self.hold = place, hold
        self.seconds: dict[str, float] = {}
        self.calls: Counter[str] = Counter()
        self.late: Counter[str] = Counter()

    def timed(self, kind: str, function: Callable) -> Callable:
        """The function, which is timed when it is called."""

        def call(*inputs: Any, **options: Any) -> Any:
            out, seconds, late = self.place.device_seconds(lambda: function(*inputs, **options), hold=self.hold)
            self.seconds[kind] = self.seconds.get(kind, 0.0) + seconds
            self.calls[kind] += 1
            self.late[kind] += late
            return out

        return call


def split(place: Processor, run: Run, step_s: float) -> dict[str, Any]:
    """Of a run whose step takes so long: seconds of a step by kind. Advances the run by one or two steps."""
    pieces = Pieces(place, HOLD)
    with (
        mock.patch.object(Kernel, "_launch", pieces.timed("kernels", Kernel._launch)),
        mock.patch.object(linalg, "product", pieces.timed("products", linalg.product)),
    ):
        began = time.perf_counter()
        run.advance()
        seconds = time.perf_counter() - began
    kinds = {f"{kind}_s": pieces.seconds.get(kind, 0.0) for kind in ("kernels", "products")}
    calls = {"calls": dict(pieces.calls)}
    if not place.full_size:
        rest = {"rest_s": seconds - sum(kinds.values()), "rest": "NumPy and Python, on the same processor"}
        return {"step_s": seconds, **kinds, **rest, **calls}
    whole = Pieces(place, 2 * step_s)
    with (
        mock.patch.object(run, "_part", whole.timed("forward and backward", run._part)),
        mock.patch.object(training, "clip_by_global_norm", whole.timed("clipping", training.clip_by_global_norm)),
        mock.patch.object(run.optimizer, "step", whole.timed("optimizer", run.optimizer.step)),
    ):
        run.advance()
    device = sum(whole.seconds.values())
    return {
        "step_s": step_s,
        **kinds,
        "other_s": device - sum(kinds.values()),
        "host_s": step_s - device,
        "device_s": whole.seconds,
        **calls,
        "late": dict(pieces.late + whole.late),
    }
