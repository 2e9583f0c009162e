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
    [traffic]  at = { N = 24 }, and at most: reads, writes (of global memory, in all), reads_each, writes_each,
               shared_reads_each (by one thread of a block, over all blocks): numbers or expressions

A known mistake, [[wrong]], has `replace` and `by`, texts of solution.cu, or `file`; and for Python `python`, a pair of
texts or a file. One without `python` is not told of there.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from ..errors import BackendError, CompileError
from ..gpu.sim.findings import KINDS
from ..gpu.source import signatures
from . import kernel_text
from .attempt import MOST_TEXT, Fill
from .exercise import Exercise
from .host import Ended, Spare
from .inputs import Arrays
from .isolated import compiled
from .kernel_launch import COMPILING, Compiled, Plan, Report, harness, missing, spelled, trusted
from .picture import MOST, picture
from .wrong import Wrong

STAGES = ("build", "check", "example", "value", "traffic")
RTOL = 1e-5
BARRIER = re.compile(r"\b(__syncthreads|yield)\b")
PATIENCE = 1.5  # seconds of one launch
SLOWER = 6.0  # seconds more for the whole check where each thread is a Python function, on a busy computer
LIMITS = ("reads", "reads_each", "writes", "writes_each", "shared_reads_each")  # of the traffic stage
KNOWING = 0.4  # seconds to compare a finding with known mistakes
TRIALS = 8  # launches that the check stage looks at
PYTHON = 4  # launches of either stage where each thread is a Python function


def warm(exercise: Exercise, spare: Spare) -> None:
    """Start the process that a save of this exercise will want, and compile its mistakes, while the learner reads."""
    if exercise.file.endswith(".cu") and not missing():
        spare.of(Compiled)
        threading.Thread(target=_compile_mistakes, args=[exercise], daemon=True).start()


def _compile_mistakes(exercise: Exercise) -> None:
    for mistake in exercise.wrong:
        with suppress(CompileError, BackendError):
            compiled.compile_text(exercise.variant(mistake), exercise.name, exercise.file)


class Kernel(Fill):
    """A kernel to be written, or mended. It runs in a process of its own, whatever its language."""

    def __init__(self, exercise: Exercise, spare: Spare, source: str, seed: int, examples: int, until: float) -> None:
        python = exercise.file.endswith(".py")
        examples, until = (min(examples, PYTHON), until + SLOWER) if python else (examples, until)
        self.missing = "" if python else missing()
        spare = spare if python or self.missing else spare.of(Compiled)
        super().__init__(exercise, spare, source, seed, examples, until)
        self.python, self.plan = python, Plan(exercise)
        self.report: Report = {"findings": [], "counters": {}}
        self.unbuilt: Wrong | None = None  # why it does not compile

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
                raise Wrong("stub", f"not started yet: line {number} of {self.ex.file} is still the blank")
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
            told = {"source": self.source, "file": self.ex.file, "name": self.ex.name}
            self.refuse(self.child.ask("load", harness=harness(self.ex.name), implementations="", **told)[0])

    def build(self, spec: dict[str, Any]) -> None:
        """Compile it, or in Python run it once. How long a compiler takes is not the learner's doing, nor counted."""
        if self.python:
            self.yours(
                self.ex.inputs.draw({letter: low for letter, (low, _) in self.ex.inputs.axes.items()}, self.seed)
            )
            return
        if self.child is None:
            raise RuntimeError("the process is started before it is asked")
        numbers = [parameter.name for parameter in self.plan.parameters if not parameter.pointer]
        if habit := kernel_text.habit(self.source, numbers):
            line, words = habit
            shown = self.source.split("\n")[line - 1].strip()
            self.unbuilt = Wrong("compile", f"{self.ex.file}:{line}: {words}\nline {line}: {shown}")
            raise self.unbuilt
        began, told = time.monotonic(), {"source": self.source, "name": self.ex.name, "file": self.ex.file}
        self.unbuilt = Wrong("time", f"not compiled after {COMPILING:g} s: does a macro or a template grow?")
        try:
            head, _ = self.child.ask("load", wall=COMPILING, **told)
            self.until += time.monotonic() - began
            self.refuse(head)
        except Ended as end:
            if end.why == "time":
                raise self.unbuilt from None
            raise
        except Wrong as wrong:
            self.unbuilt = wrong
            raise
        self.unbuilt = None

    def revive(self) -> None:
        if self.unbuilt is None and (self.child is None or self.child.why):
            self.start()
            if not self.python:
                self.build({})

    def refuse(self, head: dict[str, Any], args: Sequence[np.ndarray] = (), layout: str = "C") -> None:
        if head.get("error") in ("compile", "launch", "environment"):
            raise Wrong(head["error"], head["message"], args, layout)
        undefined = re.match(r"name '(threadIdx|blockIdx|blockDim|gridDim)' is not defined", head.get("message", ""))
        if undefined:
            head = head | {"message": f"{head['message']}: in this file it is cuda.{undefined[1]}"}
        super().refuse(head, args, layout)

    # A launch.

    def yours(self, args: Sequence[Any], layout: str = "C", strict: bool = False, seed: int = -1) -> Arrays:
        """The learner's outputs; findings and counters are in `report`."""
        if self.unbuilt:
            raise self.unbuilt
        args = [np.asarray(a) for a in args]
        if self.child is None:
            raise RuntimeError("the process is started before it is asked")
        left = min(PATIENCE, self.until - time.monotonic())
        arrays = self.plan.arrays(args, seed)
        head, results = self.child.ask("call", arrays, left, layout="C", measure="", implementation="")
        self.refuse(head, args)
        try:
            self.report = json.loads(results.pop().tobytes())
            self.report["findings"] = by_cause(self.report["findings"])
            self.report["counters"]["global_reads"]
        except (ValueError, KeyError, TypeError, IndexError):
            raise Ended("channel", "your code wrote into the checker's channel") from None
        return results

    def found(self, args: Arrays, wrong: Wrong | None = None) -> None:
        """Raise the first finding of the last launch; without one, what was wrong anyway."""
        for finding in self.report["findings"]:
            raise Wrong(str(finding["kind"]), self.words(finding), args)
        if wrong:
            if self.python and "cuda.shared(" in self.ex.source and "cuda.shared(" not in self.source:
                wrong.args = (f"{wrong}; nothing is shared here: a Python list belongs to one thread",)
            raise wrong

    def words(self, finding: dict[str, Any]) -> str:
        """A finding with the learner's lines: > where it was seen, + the other end of a race."""
        if finding["kind"] == "missing-syncwarp" and "warp" not in [*self.ex.introduces, *self.ex.uses]:
            told = finding["words"].replace("same warp", "same block").replace("__syncwarp", "__syncthreads")
            finding = finding | {"kind": "race-in-block", "words": told, "hint": KINDS["race-in-block"]}  # true as well
        lines, marks = self.source.split("\n"), {finding["line"]: ">", finding["other"]: "+"}
        between = kernel_text.blanked(self.source).split("\n")[min(marks) : max(marks) - 1] if finding["other"] else []
        marks[finding["line"]] = ">"
        shown = [f" {marks[n]} {n:3d} | {lines[n - 1]}" for n in sorted(marks) if 0 < n <= len(lines)]
        hint = [f"look for: {finding['hint']}"] if finding.get("hint") else []
        if finding["kind"] == "race-in-block" and any(BARRIER.search(line) for line in between):
            hint.insert(0, "a barrier stands between these lines: then one thread is a round of a loop further")
        return "\n".join([f"{finding['kind']}: {finding['words']}", *shown, *hint])

    # The stages.

    def compare(self, args: Arrays, rtol: float = RTOL) -> None:
        got, wanted = self.yours(args), self.ex.reference(*args)
        for g, w in zip(got, wanted, strict=True):
            differ = np.argwhere(~np.isclose(g, w, *tolerance(w, rtol)))  # NaN agrees with nothing
            if len(differ):
                nan = " (nan: never written)" if np.isnan(g[tuple(differ[0])]) else ""
                words = f"the values differ, first at [{', '.join(map(str, differ[0]))}]{nan}"
                self.found(args, Wrong("value", words, args, "C", g, w, got, tolerance=tolerance(w, rtol)))

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
        chosen += [
            sizes("random", seed=self.seed + n) for n in range((PYTHON if self.python else TRIALS) - len(chosen))
        ]
        for trial, dims in enumerate(sorted(chosen, key=lambda dims: int(np.prod(list(dims.values()))))):
            args = draw(dims, [self.seed, trial])
            results = self.yours(args, seed=-1 if trial % 2 == 0 else self.seed + trial)
            self.found(args)
            for name, result in zip(self.ex.spec["outputs"], results, strict=True):
                if result.dtype.kind == "f" and np.isnan(result).all():
                    words = f"the kernel has written nothing to {name}"
                    counters = self.report["counters"]  # a kernel in Python has no atomics
                    if any(counters["global_writes"]) or any(counters.get("global_atomics", ())):
                        words = f"{name} is nan: it does not begin as 0. Add up in a variable, and write {name} once"
                    raise Wrong("unwritten", words, args)

    def value(self, spec: dict[str, Any]) -> None:
        """The largest sizes, and all different, before any that are drawn: of those there are few in Python."""
        spec = {"rtol": RTOL} | spec
        for trial, which in enumerate(("largest", "different")):
            args = self.ex.inputs.draw(self.ex.inputs.sizes(which), [self.seed, trial])
            self.small(lambda args: self.compare(args, spec["rtol"]), args)
        super().value(spec)

    def traffic(self, spec: dict[str, Any]) -> None:
        args = self.ex.inputs.draw(self.ex.inputs.sizes("largest") | spec["at"], self.seed)
        self.yours(args)
        letters, counters = self.plan.letters(args), self.report["counters"]
        blocks = int(np.prod(self.plan.arrays(args)[0][:3]))
        at = ", ".join(f"{letter} = {n}" for letter, n in letters.items())
        for key in (key for key in LIMITS if key in spec):
            what = key.removesuffix("_each").removeprefix("shared_")
            memory = "shared" if key.startswith("shared_") else "global"
            counted = counters[f"{memory}_{what}"]
            count, whose = sum(counted), "all threads together make"
            if key.endswith("_each"):
                count = max(counted)
                whose = f"thread {counted.index(count)} makes{f', over all {blocks} blocks,' * (blocks > 1)}"
            (most,) = self.plan.sizes(spec[key], letters)
            if count > most:
                raise Wrong("traffic", f"{whose} {count} {what} of {memory} memory at {at}; {most} are enough")

    # What is shown.

    def show(self, wrong: Wrong) -> tuple[str, str, str]:
        if not wrong.inputs:
            return "", "", ""
        drawn = ""
        if wrong.want is not None and wrong.got is not None:
            drawn = around(wrong.want, wrong.got, wrong.tolerance)
        return self.plan.call(list(wrong.inputs)), drawn, self.known(wrong)

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
                theirs, mine = ([alike(f) for f in by_cause(each["findings"])[:1]] for each in (report, self.report))
                matches = bool(mine) and mine == theirs
            if matches:
                says.add(str(mistake["says"]))
        return says.pop() if len(says) == 1 else ""

    def gives(self, source: str, wrong: Wrong) -> bool:
        """Whether a mistake of the course shows at these inputs, and has these outputs."""
        outputs, _ = trusted(self.ex, source, self.plan.arrays(wrong.inputs))
        return wrong.same(outputs, wrong.results) and not wrong.same(outputs, self.ex.reference(*wrong.inputs))


def by_cause(findings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Findings with those out of bounds first: what runs into the next row meets other threads there."""
    return sorted(findings, key=lambda finding: finding["kind"] != "out-of-bounds")


def alike(finding: dict[str, Any]) -> tuple[Any, ...]:
    """What makes two findings the same mistake, wherever it stands in the text."""
    return finding["kind"], finding["array"], finding["access"], finding["line"] == finding["other"]


def tolerance(want: np.ndarray, rtol: float) -> tuple[float, float]:
    """What two outputs may differ by, relative and absolute: a part of the largest number that is wanted."""
    return 0.0, rtol * max(1.0, float(np.max(np.abs(want), initial=0.0, where=np.isfinite(want))))


def around(want: np.ndarray, got: np.ndarray, tolerance: tuple[float, float]) -> str:
    """The picture of two outputs, from shortly before the first difference on."""
    if want.shape != got.shape or not (differ := np.argwhere(~np.isclose(got, want, *tolerance))).size:
        return picture(want, got, tolerance)
    start = [max(0, i - MOST + 2) for i in differ[0].tolist()]
    part = tuple(slice(i, None) for i in start)
    drawn = picture(want[part], got[part], tolerance)
    return f"{drawn}\n(from {start} on)" if any(start) and drawn else drawn


__all__ = ["Kernel", "warm"]
