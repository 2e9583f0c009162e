"""One launch for a thousand: what a function launches is recorded once as a CUDA graph, and replayed.

A graph holds addresses and numbers, not Python. So the function must do the same for every input: it reads no number
back, brings none from NumPy's memory, and asks for no memory that the pool does not have already. The GPU's driver is
told to refuse what breaks this (capture mode "global"); what it cannot see, a caller checks by comparing replays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any


class Captured:
    """A function of CuPy arrays, recorded.

    Args:
        function: of as many arrays; gives a sequence of arrays. It is called twice here, and never again.
        inputs: arrays in the shapes and dtypes that every call has.

    Raises:
        whatever CuPy says of something that cannot be recorded.
    """

    def __init__(self, function: Callable[..., Sequence[Any]], inputs: Sequence[Any]):
        import cupy

        cuda = cupy.cuda
        self.inputs = [x.copy() for x in inputs]  # the addresses that the graph reads
        cuda.get_current_stream().synchronize()
        self.pool, stream = cuda.MemoryPool(), cuda.Stream(non_blocking=True)
        with cuda.using_allocator(self.pool.malloc), stream:
            function(*self.inputs)  # compiles kernels, and gives the pool the memory that the recording will want
            stream.synchronize()
            stream.begin_capture(cuda.runtime.streamCaptureModeGlobal)
            try:
                self.outputs = list(function(*self.inputs))  # kept, as is the pool: their memory is the graph's
            except BaseException:
                with suppress(Exception):  # that the recording failed is known already
                    stream.end_capture()
                raise
            self.graph = stream.end_capture()

    def __call__(self, *inputs: Any) -> list[Any]:
        """The outputs for other inputs, in memory of their own: the next replay writes over the graph's."""
        for place, x in zip(self.inputs, inputs, strict=True):
            place[...] = x
        self.graph.launch()
        return [y.copy() for y in self.outputs]
