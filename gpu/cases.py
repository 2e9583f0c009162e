"""Every kernel at a glance: random inputs for its registered cases, in check mode or against the clock."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np

from ..backend import use
from ..errors import BackendError, ConfigError, explain, nearest
from . import twins  # noqa: F401, for what it imports: the modules that register kernels
from .launch import KERNELS, Kernel, Launch, recorded
from .plan import evaluated


def chosen(names: tuple[str, ...] | list[str]) -> list[Kernel]:
    """Registered kernels by name; all of them without one.

    Raises:
        ConfigError: a name that no kernel has.
    """
    for name in names:
        if name not in KERNELS:
            fix = f"{nearest(name, KERNELS)} `minilinear kernels list` shows all."
            raise ConfigError(explain("No kernel has this name.", got=name, fix=fix))
    return [KERNELS[name] for name in names] if names else list(KERNELS.values())


def largest(kernel: Kernel) -> dict[str, Any]:
    """The case with the most elements in its arrays."""
    arrays = lambda case: [p.name for p in kernel.pointers if case.get(p.name, 0) is not None]
    elements = lambda case: sum(math.prod(kernel.shape(name, kernel.settled(case))) for name in arrays(case))
    return max(kernel.cases, key=elements)


def resized(kernel: Kernel, lengths: dict[str, int]) -> dict[str, Any]:
    """The largest case with other lengths, and what the twin chooses by them: tiles, parts, 1 / D."""
    case = largest(kernel)
    case = case | {axis: n for axis, n in lengths.items() if axis in case}
    chosen = {name: evaluated(rule, case) for name, rule in kernel.usual.items() if name not in lengths}
    return case | chosen


def inputs(kernel: Kernel, case: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Arguments of a launch: normal numbers of the shapes that a case gives, or what the kernel's draw makes."""
    arguments, numbers = dict(case), kernel.settled(case)
    for name, parameter in ((p.name, p) for p in kernel.pointers):
        if name in kernel.outputs or name in case:
            continue
        shape, dtype = kernel.shape(name, numbers), parameter.dtype(kernel.meaning(numbers))
        if name in kernel.draw:
            drawn = _called(kernel.draw[name], rng, numbers)
        elif dtype.kind == "f":
            drawn = rng.standard_normal(shape)
        else:
            rule = f"{name} of {kernel.name} is an array of {dtype}: which numbers it may hold, only the kernel knows."
            raise ConfigError(explain(rule, fix=f'draw={{"{name}": lambda rng, ...}} where it is registered'))
        arguments[name] = np.ascontiguousarray(drawn, dtype).reshape(shape)
    return arguments


def _called(draw: Callable[..., Any], rng: np.random.Generator, case: dict[str, Any]) -> Any:
    """A draw takes the generator, and those numbers of the case that it names."""
    return draw(rng, **{name: case[name] for name in list(signature(draw).parameters)[1:]})


@dataclass(frozen=True)
class Checked:
    """One case of a kernel in the simulator's check mode: what was found, and numbers of the output that are not."""

    kernel: str
    case: dict[str, Any]
    findings: tuple[Any, ...]
    not_numbers: tuple[str, ...]
    counters: Any

    @property
    def clean(self) -> bool:
        """Nothing found, and every output a number."""
        return not self.findings and not self.not_numbers


def check(kernel: Kernel, case: dict[str, Any], *, seed: int = 0, folder: Path | None = None) -> Checked:
    """Run one case in check mode; seed and folder as in `recorded`."""
    arguments = inputs(kernel, case, np.random.default_rng(seed))
    with use("cpucuda"), recorded(check=True, seed=seed, folder=folder) as launches:
        results = kernel(**arguments)
    written = {name: arguments[name] for name in kernel.inout}
    written |= zip(kernel.outputs, results if isinstance(results, tuple) else (results,))
    told = [(name, y) for name, y in written.items() if y is not None and name not in kernel.scratch]
    wrong = tuple(name for name, y in told if not _is_numbers(y))
    findings = tuple(finding for launch in launches for finding in launch.findings)
    counters = launches[-1].counters if launches else None
    return Checked(launches[-1].kernel if launches else kernel.name, case, findings, wrong, counters)


def _is_numbers(y: np.ndarray) -> bool:
    """Whether nothing is left of what fresh outputs are filled with: NaN, the least integer."""
    return bool(np.all(y != np.iinfo(y.dtype).min if y.dtype.kind == "i" else np.isfinite(y)))


@dataclass(frozen=True)
class Measured:
    """How long a kernel takes: seconds of one launch, the median; where: "simulated on a CPU", or the GPU's name."""

    kernel: str
    case: dict[str, Any]
    where: str
    launches: int
    seconds: float
    bytes: int
    flops: float | None


def places() -> list[str]:
    """The backends that run kernels here, the fastest first."""
    found = []
    for name in ("cupy", "cpucuda"):
        try:
            with use(name):
                found.append(name)
        except BackendError:
            continue
    return found


def measure(kernel: Kernel, case: dict[str, Any], backend: str, *, seconds: float = 0.5) -> Measured:
    """Launch again and again for so many seconds, and take the median."""
    with use(backend):
        arguments = inputs(kernel, case, np.random.default_rng(0))
        if backend == "cupy":
            import cupy

            arguments = {n: cupy.asarray(x) if isinstance(x, np.ndarray) else x for n, x in arguments.items()}
            name = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)["name"].decode()
            where, timed = name, lambda: _on_gpu(cupy, kernel, arguments)
        else:
            where, timed = "simulated on a CPU", lambda: _simulated(kernel, arguments)
        launch = timed()[0]  # compiles
        times: list[float] = []
        until = time.perf_counter() + seconds
        while not times or time.perf_counter() < until:
            times.append(timed()[1])
    flops = evaluated(kernel.flops, kernel.settled(case)) if kernel.flops else None
    return Measured(launch.kernel, case, where, len(times), float(np.median(times)), launch.bytes, flops)


def _simulated(kernel: Kernel, arguments: dict[str, Any]) -> tuple[Launch, float]:
    with recorded() as launches:
        kernel(**arguments)
    return launches[0], launches[0].seconds or 0.0


def _on_gpu(cupy: Any, kernel: Kernel, arguments: dict[str, Any]) -> tuple[Launch, float]:
    begun, ended = cupy.cuda.Event(), cupy.cuda.Event()
    with recorded() as launches:
        begun.record()
        kernel(**arguments)
        ended.record()
    ended.synchronize()
    return launches[0], cupy.cuda.get_elapsed_time(begun, ended) * 1e-3
