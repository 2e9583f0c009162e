"""How a kernel of an exercise is launched: with which sizes and arguments, and in which process.

A learner's kernel runs in a process of its own, in CUDA (isolated/compiled.py) as in Python (isolated/blocks.py); one
of the course may run here.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import BackendError, CompileError, LaunchError
from ..gpu.sim import symbols
from ..gpu.sim.compile import find_compiler
from ..gpu.source import Parameter, signatures
from .exercise import Exercise
from .host import KEPT, Child
from .inputs import Arrays, as_text
from .isolated import blocks, compiled

COMPILING = 8.0  # seconds that a compiler may take; it takes a quarter of one
Report = dict[str, Any]  # "findings": a list, "counters": for each thread of a block
START = """
import sys
sys.path[:] = sys.argv[2:]
from isolated.compiled import main
main(int(sys.argv[1]))
"""


class Compiled(Child):
    """A process for one CUDA text (isolated/compiled.py). It has the library, and so the simulator."""

    wall = COMPILING
    starting = 180.0  # the first one ever compiles the simulator's runtime
    kept = (*KEPT, "HOME", "XDG_CACHE_HOME", "MINILINEAR_CXX", "MINILINEAR_CACHE")

    def command(self, threads: str, user: str) -> list[str]:
        paths = [*sys.path, str(Path(__file__).parent)]  # `isolated` by itself: without Hypothesis it starts sooner
        return [sys.executable, "-u", "-X", "utf8", "-c", START, user, *paths]


@cache
def missing() -> str:
    """What keeps CUDA text from running here, with the line that mends it; "" if nothing does."""
    try:
        find_compiler()
        symbols.tool("nm", "llvm-nm")
        symbols.tool(*(["atos"] if sys.platform == "darwin" else ["addr2line", "llvm-addr2line", "llvm-symbolizer"]))
    except BackendError as words:
        return f"this kernel is CUDA C++. No GPU is needed to run it here, but a C++ compiler is\n{words}"
    return ""


class Plan:
    """How an exercise's kernel is launched on given inputs.

    Attributes:
        parameters: of the kernel, in order. outputs: the places of what it writes.
    """

    def __init__(self, ex: Exercise) -> None:
        self.ex = ex
        self.parameters: tuple[Parameter, ...] = signatures(_cuda(ex))[ex.name].parameters
        names = [parameter.name for parameter in self.parameters]
        self.outputs = [names.index(name) for name in ex.spec["outputs"]]

    def letters(self, args: Sequence[np.ndarray]) -> dict[str, Any]:
        """What the letters of [axes], and inputs that are numbers, are here."""
        known = {letter: self.ex.inputs.length(list(args), letter) for letter in self.ex.inputs.axes}
        return known | {name: a.item() for name, a in zip(self.ex.inputs.names, args, strict=True) if a.ndim == 0}

    def sizes(self, what: Any, letters: dict[str, Any]) -> tuple[int, ...]:
        """Numbers or expressions, one or a list of them, as numbers."""
        each = what if isinstance(what, list) else [what]
        return tuple(int(eval(str(one), {"__builtins__": {}}, letters)) for one in each)  # the course's own text

    def arrays(self, args: Sequence[np.ndarray], seed: int = -1) -> Arrays:
        """The plan of a launch (`isolated.blocks.launch`), and the kernel's arguments, outputs not yet written."""
        letters, launch = self.letters(args), self.ex.spec["launch"]
        grid, block = ((*self.sizes(launch[key], letters), 1, 1)[:3] for key in ("grid", "block"))
        (shared,) = self.sizes(launch.get("shared", 0), letters)
        given = dict(zip(self.ex.inputs.names, args, strict=True))
        values = []
        for parameter in self.parameters:
            dtype = parameter.dtype({})
            if parameter.name in self.ex.spec["outputs"]:
                unwritten = np.nan if dtype.kind == "f" else np.iinfo(dtype).min
                values.append(np.full(self.sizes(self.ex.spec["outputs"][parameter.name], letters), unwritten, dtype))
            else:
                values.append(np.array(given.get(parameter.name, letters.get(parameter.name)), dtype))
        return [np.array([*grid, *block, shared, seed, *self.outputs], np.int64), *values]

    def call(self, args: Arrays) -> str:
        """Python text that makes the same launch, when it is pasted in the folder of the learner's file."""
        plan, *values = self.arrays(args)
        names = [parameter.name for parameter in self.parameters]
        arrays = [n for n, a in enumerate(values) if a.ndim]
        made = [f"{names[n]} = {written(values[n])}" for n in arrays]
        launch = f"{_three(plan[:3])}, {_three(plan[3:6])}"
        outputs = ", ".join(names[n] for n in self.outputs)
        if self.ex.file.endswith(".py"):
            listed = ", ".join(names[n] if n in arrays else repr(a.item()) for n, a in enumerate(values))
            head = f"from minilinear.learn.isolated.blocks import run\nfrom {self.ex.folder.name} import {self.ex.name}"
            run = f"run({self.ex.name}, {launch}, [{listed}])"
        else:
            listed = ", ".join(names[n] if n in arrays else f"np.{a.dtype}({a.item()!r})" for n, a in enumerate(values))
            head = "from minilinear.gpu import sim"
            shared = f", shared={plan[6]}" if plan[6] else ""
            run = f'sim.run(open("{self.ex.file}").read(), "{self.ex.name}", {launch}, [{listed}]{shared})'
        lines = "\n".join(made)
        return f"import numpy as np\n{head}\n\n{lines}\nresult = {run}\nprint({outputs}, *result.findings)"


def _cuda(ex: Exercise) -> str:
    return (ex.folder / "solution.cu").read_text("utf-8")


def trusted(ex: Exercise, source: str, arrays: Arrays) -> tuple[Arrays, Report]:
    """Outputs and report of a kernel of the course, in this process."""
    plan, *args = (a.copy() for a in arrays)
    if ex.file.endswith(".py"):
        names: dict[str, Any] = {}
        exec(compile(source, str(ex.folder), "exec"), names)
        return blocks.launch(names[ex.name], plan, [a if a.ndim else a.item() for a in args])
    try:
        program = compiled.compile_text(source, ex.name, ex.file)
        return compiled.launch(program, plan, [a if a.ndim else a[()] for a in args])
    except (CompileError, LaunchError, BackendError):
        return [], {"findings": [], "counters": {}}


# The process of a Python kernel gets the GPU as a harness: a text, since it can read no file.
HARNESS = """


def harness(learner, plan, *args):
    return answer(getattr(learner, {name!r}), plan, list(args))
"""


def harness(name: str) -> str:
    """The harness that launches the learner's kernel of this name."""
    return Path(blocks.__file__).read_text("utf-8") + HARNESS.format(name=name)


def spelled(parameters: Sequence[Parameter]) -> str:
    return ", ".join(f"{'const ' * p.const}{p.ctype} {'*' * p.pointer}{p.name}" for p in parameters)


def written(a: np.ndarray) -> str:
    """An argument as Python text: an output not yet written, or its values."""
    if a.size and a.dtype.kind == "f" and np.isnan(a).all():
        return f"np.full({a.shape}, np.nan, np.{a.dtype})"
    return as_text(a)


def _three(sizes: np.ndarray) -> str:
    """Three sizes as a launch is written by people: 2, or (2, 3)."""
    listed = sizes.tolist()
    while len(listed) > 1 and listed[-1] == 1:
        listed.pop()
    return str(listed[0]) if len(listed) == 1 else str(tuple(listed))
