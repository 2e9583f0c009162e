"""Kernels: exercises in CUDA C++, looked at by the simulator's check mode, or in Python where no compiler is.

In exercise.toml, with mode = "kernel":

    target = "solution.cu:step"       the kernel; solution.py beside it has the same one for isolated/blocks.py
    [inputs], [axes]                  as in every exercise; floats reach the kernel as float32, whole numbers as int32
    [outputs]  out = ["N"]            what the kernel writes: sizes, in letters of [axes] and inputs that are numbers.
                                      It is NaN before the launch
    [launch]   grid = "(N + 7) // 8"  block = 8   shared = "4 * N"
                                      numbers or expressions of the same letters; up to three in a list, x first;
                                      shared: bytes of dynamic shared memory
    bug = "as it was"                 the learner's file is this known mistake, to be found and mended

The parameters of the kernel are inputs, outputs and letters of [axes], by these names; their order and types are those
of its signature in solution.cu. checks.py has library(*inputs), which gives the outputs, computed by the library.

Stages, each with points and a message:

    [build]    it compiles; an error is shown with its line
    [check]    races, accesses out of bounds, unwritten memory, barriers that not all reach, at sizes that are drawn:
               before any value, since one that a race has made explains nothing
    [example]  inputs, and expect or expects, as in every exercise
    [value]    against library(*inputs), at sizes that are drawn; rtol = 1e-5 of the largest number
    [traffic]  at = { N = 24 }, and at most: reads, writes (of global memory, in all), reads_each, writes_each (by one
               thread of a block, over all blocks): numbers or expressions

A known mistake, [[wrong]], has `replace` and `by`, texts of solution.cu, or `file`; and for Python `python`, a pair of
texts or a file. One without `python` is not told of there.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import BackendError, CompileError, LaunchError
from ..gpu.sim import symbols
from ..gpu.sim.compile import find_compiler
from ..gpu.sim.findings import KINDS
from ..gpu.source import Parameter, signatures
from . import kernel_text
from .attempt import MOST_TEXT, Fill
from .exercise import Exercise
from .host import KEPT, Child, Ended, Spare
from .inputs import Arrays, as_text
from .isolated import blocks, compiled
from .picture import MOST, picture
from .wrong import Wrong

STAGES = ("build", "check", "example", "value", "traffic")
RTOL = 1e-5
COMPILING = 8.0  # seconds that a compiler may take; it takes a quarter of one
PATIENCE = 1.5  # seconds of one launch
KNOWING = 0.4  # seconds to compare a finding with known mistakes
TRIALS = 8  # launches that the check stage looks at
PYTHON_EXAMPLES = 6  # where a thread is a Python function, thirty launches take too long
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


def warm(exercise: Exercise, spare: Spare) -> None:
    """Start the process that a save of this exercise will want, and compile its mistakes, while the learner reads."""
    if exercise.file.endswith(".cu") and not missing():
        spare.of(Compiled)
        threading.Thread(target=_compile_mistakes, args=[exercise], daemon=True).start()


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


def _compile_mistakes(exercise: Exercise) -> None:
    for mistake in exercise.wrong:
        with suppress(CompileError, BackendError):
            compiled.compile_text(exercise.variant(mistake), exercise.name, exercise.file)


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


class Kernel(Fill):
    """A kernel to be written, or mended. It runs in a process of its own, whatever its language."""

    def __init__(self, exercise: Exercise, spare: Spare, source: str, seed: int, examples: int, until: float) -> None:
        python = exercise.file.endswith(".py")
        examples = min(examples, PYTHON_EXAMPLES) if python else examples
        self.missing = "" if python else missing()
        spare = spare if python or self.missing else spare.of(Compiled)
        super().__init__(exercise, spare, source, seed, examples, until)
        self.python, self.plan = python, Plan(exercise)
        self.report: Report = {"findings": [], "counters": {}}

    @property
    def checks(self) -> list[tuple[str, dict[str, Any], Callable[[dict[str, Any]], None]]]:
        return [(name, self.ex.spec[name], getattr(self, name)) for name in STAGES if name in self.ex.spec]

    # Before the stages.

    def read(self) -> None:
        """Is it begun, is it a kernel and nothing else, has it the parameters that were given?"""
        if self.python:
            return super().read()
        if self.missing:
            raise Wrong("environment", self.missing)
        if len(self.source) > MOST_TEXT:
            raise Wrong("syntax", f"{self.ex.file} has {len(self.source)} characters; an exercise needs a few hundred")
        lines = self.source.split("\n")
        for number, line in enumerate(lines, 1):
            if kernel_text.mark(self.ex.id) in line:
                raise Wrong("stub", f"not started yet: line {number} is still the blank")
        if refused := kernel_text.refused(self.source):
            number, words = refused
            raise Wrong("denied", f"{words}\nline {number}: {lines[number - 1].strip()}")
        wanted, mine = self.plan.parameters, signatures(kernel_text.blanked(self.source)).get(self.ex.name)
        if mine is None:
            raise Wrong("missing", f'{self.ex.file} has no kernel {self.ex.name}: extern "C" __global__ void ...')
        if mine.parameters != wanted:
            raise Wrong("signature", f"wanted {self.ex.name}({spelled(wanted)}), got ({spelled(mine.parameters)})")
        self.start()

    def start(self) -> None:
        """Take a process; that it may still be starting costs the learner no time of the check."""
        self.close()
        began = time.monotonic()
        self.child = self.spare.take()
        self.until += time.monotonic() - began
        self.child.file = self.ex.file
        if self.python:
            harness = blocks_text() + HARNESS.format(name=self.ex.name)
            asked = {"source": self.source, "file": self.ex.file, "name": self.ex.name}
            self.refuse(self.child.ask("load", harness=harness, implementations="", **asked)[0])

    def build(self, spec: dict[str, Any]) -> None:
        """Compile it, or in Python run it once. How long a compiler takes is not the learner's doing, nor counted."""
        if self.python:
            self.yours(
                self.ex.inputs.draw({letter: low for letter, (low, _) in self.ex.inputs.axes.items()}, self.seed)
            )
            return
        if self.child is None:
            raise RuntimeError("the process is started before it is asked")
        began, told = time.monotonic(), {"source": self.source, "name": self.ex.name, "file": self.ex.file}
        try:
            head, _ = self.child.ask("load", wall=COMPILING, **told)
        except Ended as end:
            if end.why == "time":
                raise Wrong("time", f"not compiled after {COMPILING:g} s: does a macro or a template grow?") from None
            raise
        self.until += time.monotonic() - began
        self.refuse(head)

    def revive(self) -> None:
        if self.child is None or self.child.why:
            self.start()
            if not self.python:
                self.build({})

    def refuse(self, head: dict[str, Any], args: Sequence[np.ndarray] = (), layout: str = "C") -> None:
        if head.get("error") in ("compile", "launch", "environment"):
            raise Wrong(head["error"], head["message"], args, layout)
        super().refuse(head, args, layout)

    # A launch.

    def yours(self, args: Sequence[Any], layout: str = "C", strict: bool = False, seed: int = -1) -> Arrays:
        """The learner's outputs; findings and counters are in `report`."""
        args = [np.asarray(a) for a in args]
        if self.child is None:
            raise RuntimeError("the process is started before it is asked")
        left = min(PATIENCE, self.until - time.monotonic())
        arrays = self.plan.arrays(args, seed)
        head, results = self.child.ask("call", arrays, left, layout="C", measure="", implementation="")
        self.refuse(head, args)
        try:
            self.report = json.loads(results.pop().tobytes())
            self.report["findings"][:0], self.report["counters"]["global_reads"]
        except (ValueError, KeyError, TypeError, IndexError):
            raise Ended("channel", "your code wrote into the checker's channel") from None
        return results

    def found(self, args: Arrays, wrong: Wrong | None = None) -> None:
        """Raise the first finding of the last launch; without one, what was wrong anyway."""
        for finding in self.report["findings"]:
            raise Wrong(str(finding["kind"]), self.words(finding), args)
        if wrong:
            raise wrong

    def words(self, finding: dict[str, Any]) -> str:
        """A finding with the learner's lines: > where it was seen, + the other end of a race."""
        if finding["kind"] == "missing-syncwarp" and "warp" not in [*self.ex.introduces, *self.ex.uses]:
            told = finding["words"].replace("same warp", "same block").replace("__syncwarp", "__syncthreads")
            finding = finding | {"kind": "race-in-block", "words": told, "hint": KINDS["race-in-block"]}  # true as well
        lines, marks = self.source.split("\n"), {finding["line"]: ">", finding["other"]: "+"}
        marks[finding["line"]] = ">"
        shown = [f" {marks[n]} {n:3d} | {lines[n - 1]}" for n in sorted(marks) if 0 < n <= len(lines)]
        hint = [f"look for: {finding['hint']}"] if finding.get("hint") else []
        return "\n".join([f"{finding['kind']}: {finding['words']}", *shown, *hint])

    # The stages.

    def compare(self, args: Arrays, rtol: float = RTOL) -> None:
        got, wanted = self.yours(args), self.ex.reference(*args)
        for g, w in zip(got, wanted, strict=True):
            if not close(g, w, rtol):
                differ = np.argwhere(~np.isclose(g, w, rtol=rtol, atol=rtol, equal_nan=False))
                at = ", ".join(map(str, differ[0])) if len(differ) else ""
                nan = " (nan: never written)" if len(differ) and np.isnan(g[tuple(differ[0])]) else ""
                self.found(args, Wrong("value", f"the values differ, first at [{at}]{nan}", args, "C", g, w, got))

    def example(self, spec: dict[str, Any]) -> None:
        try:
            super().example(spec)
        except Wrong as wrong:
            self.found(list(wrong.inputs), wrong)
            raise

    def check(self, spec: dict[str, Any]) -> None:
        """Launches of many sizes, the smallest first, half of them in another order of threads."""
        sizes, draw = self.ex.inputs.sizes, self.ex.inputs.draw
        chosen = [sizes("largest"), sizes("different")]
        chosen += [sizes("random", seed=self.seed + n) for n in range(TRIALS - len(chosen))]
        for trial, dims in enumerate(sorted(chosen, key=lambda dims: int(np.prod(list(dims.values()))))):
            args = draw(dims, [self.seed, trial])
            results = self.yours(args, seed=-1 if trial % 2 == 0 else self.seed + trial)
            self.found(args)
            for name, result in zip(self.ex.spec["outputs"], results, strict=True):
                if result.dtype.kind == "f" and np.isnan(result).all():
                    raise Wrong("unwritten", f"the kernel has written nothing to {name}", args)

    def value(self, spec: dict[str, Any]) -> None:
        super().value({"rtol": RTOL} | spec)

    def traffic(self, spec: dict[str, Any]) -> None:
        args = self.ex.inputs.draw(self.ex.inputs.sizes("largest") | spec["at"], self.seed)
        self.yours(args)
        letters, counters = self.plan.letters(args), self.report["counters"]
        for what in ("reads", "writes"):
            for key, whose, count in (
                (what, "all threads together make", sum(counters[f"global_{what}"])),
                (f"{what}_each", "one thread makes", max(counters[f"global_{what}"])),
            ):
                if key in spec and count > self.plan.sizes(spec[key], letters)[0]:
                    most, at = (
                        self.plan.sizes(spec[key], letters)[0],
                        ", ".join(f"{k} = {v}" for k, v in letters.items()),
                    )
                    raise Wrong("traffic", f"{whose} {count} {what} of global memory at {at}; {most} are enough")

    # What is shown.

    def show(self, wrong: Wrong) -> tuple[str, str, str]:
        if not wrong.inputs:
            return "", "", ""
        drawn = around(wrong.want, wrong.got) if wrong.want is not None and wrong.got is not None else ""
        return self.call(list(wrong.inputs)), drawn, self.known(wrong)

    def call(self, args: Arrays) -> str:
        """Python text that makes the same launch, when it is pasted in the folder of the learner's file."""
        plan, *values = self.plan.arrays(args)
        names = [parameter.name for parameter in self.plan.parameters]
        arrays = [n for n, a in enumerate(values) if a.ndim]
        made = [f"{names[n]} = {written(values[n])}" for n in arrays]
        launch = f"{_three(plan[:3])}, {_three(plan[3:6])}"
        outputs = ", ".join(names[n] for n in self.plan.outputs)
        if self.python:
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

    def known(self, wrong: Wrong) -> str:
        """What the author says of a mistake with this very answer, or this very finding; nothing where two have it."""
        says, until = set(), time.monotonic() + KNOWING
        for mistake in self.ex.wrong:
            if time.monotonic() > until:  # not all are compiled yet, so none can be named for sure
                return ""
            source = self.ex.variant(mistake)
            if wrong.results:
                matches = self.gives(source, wrong) and self.gives(source, wrong.first)
            else:
                _, report = trusted(self.ex, source, self.plan.arrays(wrong.inputs))
                theirs, mine = ([alike(f) for f in each["findings"][:1]] for each in (report, self.report))
                matches = bool(mine) and mine == theirs
            if matches:
                says.add(str(mistake["says"]))
        return says.pop() if len(says) == 1 else ""

    def gives(self, source: str, wrong: Wrong) -> bool:
        """Whether a kernel of the course has these outputs for these inputs."""
        outputs, _ = trusted(self.ex, source, self.plan.arrays(wrong.inputs))
        return len(outputs) == len(wrong.results) and all(map(same, outputs, wrong.results))


# The child of a Python kernel gets the simulator as a harness: a text, since it can read no file.
HARNESS = """


def harness(learner, plan, *args):
    return answer(getattr(learner, {name!r}), plan, list(args))
"""


@cache
def blocks_text() -> str:
    return Path(blocks.__file__).read_text("utf-8")


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


def alike(finding: dict[str, Any]) -> tuple[Any, ...]:
    """What makes two findings the same mistake, wherever it stands in the text."""
    return finding["kind"], finding["array"], finding["access"], finding["line"] == finding["other"]


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two answers are one, what was never written included."""
    return a.shape == b.shape and np.allclose(a, b, rtol=RTOL, atol=RTOL, equal_nan=True)


def close(got: np.ndarray, want: np.ndarray, rtol: float = RTOL) -> bool:
    """Whether two outputs agree, to a part of the largest number; NaN agrees with nothing."""
    largest = max(1.0, float(np.max(np.abs(want), initial=0.0, where=np.isfinite(want))))
    return got.shape == want.shape and bool(np.all(np.abs(got - want) <= rtol * largest))


def around(want: np.ndarray, got: np.ndarray) -> str:
    """The picture of two outputs, from shortly before the first difference on."""
    if want.shape != got.shape or not (differ := np.argwhere(~np.isclose(want, got, rtol=RTOL, atol=RTOL))).size:
        return picture(want, got)
    start = [max(0, i - MOST + 2) for i in differ[0].tolist()]
    part = tuple(slice(i, None) for i in start)
    drawn = picture(want[part], got[part])
    return f"{drawn}\n(from {start} on)" if any(start) and drawn else drawn


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


__all__ = ["Kernel", "Plan", "warm"]
