"""A learner's function on trial: its file in a process of its own, and the stages that question it.

Every stage raises Wrong at what it finds. It decides from arrays that came back, and from nothing that was printed.
"""

from __future__ import annotations

import ast
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import gradients
from .exercise import Exercise
from .host import Child, Spare
from .inputs import Arrays, as_text
from .picture import picture
from .simplify import simplest
from .wrong import Wrong

MOST_TEXT = 100_000  # characters of a file
LAW_TRIALS = 5
EXAMPLE = 1e-5, 1e-6  # relative and absolute: an author writes a few digits
MOST_SHOWN = 400  # numbers in a call that is printed
ORDINALS = ("first", "second", "third", "fourth", "fifth")
ASKED = {"dtype": "{}.dtype", "shared": "np.shares_memory({}, NAME)"}  # of the result, where its values show nothing
Check = Callable[[dict[str, Any]], None]


class Fill:
    """A function to be written.

    Args:
        exercise, spare, source, seed, examples: as for Judge. until: the clock at which the whole check ends.
    """

    def __init__(self, exercise: Exercise, spare: Spare, source: str, seed: int, examples: int, until: float) -> None:
        self.ex, self.spare, self.source = exercise, spare, source
        self.seed, self.examples, self.until = seed, examples, until
        self.child: Child | None = None

    independent = False

    @property
    def checks(self) -> list[tuple[str, dict[str, Any], Check]]:
        return [(name, spec, getattr(self, name.split(":")[0])) for name, spec in self.ex.stages]

    @property
    def printed(self) -> str:
        return self.child.printed.decode("utf-8", "replace") if self.child else ""

    # The process.

    def read(self) -> None:
        """Before any process: does it parse, and is the signature the one that was given?"""
        if len(self.source) > MOST_TEXT:
            raise Wrong("syntax", f"{self.ex.file} has {len(self.source)} characters; an exercise needs a few hundred")
        try:
            body = ast.parse(self.source).body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            line = getattr(error, "lineno", 0) or 0
            code = f"\n{(error.text or '').rstrip()}" if isinstance(error, SyntaxError) else ""
            raise Wrong("syntax", f"{self.ex.file}, line {line}: {getattr(error, 'msg', error)}{code}") from None
        mine = [n for n in body if isinstance(n, ast.FunctionDef) and n.name == self.ex.name]
        wanted = signature(ast.parse(self.ex.source).body, self.ex.name)
        if mine and wanted != signature(mine, self.ex.name):
            got = signature(mine, self.ex.name)
            raise Wrong("signature", f"wanted def {self.ex.name}({wanted}), got def {self.ex.name}({got})")
        self.start()

    def start(self) -> None:
        began = time.monotonic()
        self.close()
        self.child = self.spare.take()
        self.until += time.monotonic() - began  # waiting for a process is not the learner's time
        self.child.file = self.ex.file
        implementations = self.ex.implementations if self.ex.mode == "property" else ""
        head, _ = self.child.ask(
            "load",
            source=self.source,
            file=self.ex.file,
            name=self.ex.name,
            harness=self.ex.harness,
            implementations=implementations,
        )
        self.refuse(head)

    def revive(self) -> None:
        if self.child is None or self.child.why:
            self.start()

    def close(self) -> None:
        if self.child:
            self.spare.give_back(self.child)

    def refuse(self, head: dict[str, Any], args: Sequence[np.ndarray] = (), layout: str = "C") -> None:
        """Raise Wrong where the process had no result, in words."""
        if head.get("ok"):
            return
        error, kind = head.get("error"), head.get("type", "")
        if error == "missing":
            raise Wrong("missing", f"{self.ex.file} has no function {self.ex.name}")
        if error == "type":
            raise Wrong("type", f"returned {head.get('message')}; wanted a NumPy array of numbers", args, layout)
        if kind == "NotImplementedError":
            raise Wrong("stub", f"not started yet: line {head.get('line')} of {self.ex.file} is still the blank")
        at = head.get("line")  # 0 where none of theirs is in the traceback
        place = f"\nline {at}: {head.get('code')}" if at else ""
        words = f"{kind}: {head.get('message')}{place}"
        if kind == "TypeError" and ("bitwise_xor" in words or "for ^:" in words):
            words += "\npower is ** in Python; ^ works on bits"
        raise Wrong(f"raised {kind}", words, args, layout)

    def ask(
        self, args: Arrays, *, layout: str = "C", measure: str = "", implementation: str = ""
    ) -> tuple[dict[str, Any], Arrays]:
        """One call of the learner's function."""
        if self.child is None:
            raise RuntimeError("the process is started before it is asked")
        left = self.until - time.monotonic()
        head, arrays = self.child.ask("call", args, left, layout=layout, measure=measure, implementation=implementation)
        self.refuse(head, args, layout)
        return head, arrays

    def yours(self, args: Sequence[Any], layout: str = "C", strict: bool = False) -> Arrays:
        """The learner's results; with `strict`, only if the inputs were left alone."""
        args = [np.asarray(a) for a in args]  # a law may pass numbers
        head, arrays = self.ask(args, layout=layout)
        for kind, words in (
            ("changed", "your function changed its input"),
            ("shared", "the result is a view of the input"),
        ):
            for place in head.get(kind, ()) if strict else ():
                name = self.ex.inputs.names[place]
                raise Wrong(kind, f"{words} {name}", args, layout, results=arrays, name=name)
        return arrays

    # The stages.

    def compare(self, args: Arrays, rtol: float = 1e-8) -> None:
        got, want = self.yours(args), self.ex.reference(*args)
        if [g.shape for g in got] != [w.shape for w in want]:
            raise Wrong("shape", f"wanted {shapes(want)}, got {shapes(got)}", args)
        for which, (g, w) in enumerate(zip(got, want, strict=True)):
            if not np.allclose(g, w, rtol=rtol, atol=rtol):  # NaN is never close
                words = self.differs("the values differ", which, len(got))
                raise Wrong("value", words, args, "C", g, w, got, tolerance=(rtol, rtol))

    def differs(self, words: str, which: int, of: int) -> str:
        """What differs, where several things are returned: by its name if the exercise gives it one."""
        if of == 1:
            return words
        names = [f"d{name}" for name in self.ex.spec.get("gradient", {}).get("of", [])]
        name = f"{names[which]}, " if len(names) == of else ""
        ordinal = ORDINALS[which] if which < len(ORDINALS) else f"{which + 1}th"
        return f"{words}: {name}the {ordinal} of {of} things returned"

    def shape(self, spec: dict[str, Any]) -> None:
        args = self.ex.inputs.draw(self.ex.inputs.sizes("different"), self.seed)
        got, want = self.yours(args), self.ex.reference(*args)
        if [(g.shape, width(g)) for g in got] != [(w.shape, width(w)) for w in want]:
            raise Wrong("shape", f"wanted {shapes(want)}, got {shapes(got)}", args)

    def example(self, spec: dict[str, Any]) -> None:
        """A few numbers that one can check by hand, compared with what the author wrote, not with the reference."""
        args = [self.ex.inputs.typed(name, spec["inputs"][name]) for name in self.ex.inputs.names]
        wanted = [np.array(want, float) for want in (spec["expects"] if "expects" in spec else [spec["expect"]])]
        got = self.yours(args)
        if [g.shape for g in got] != [w.shape for w in wanted]:
            raise Wrong("shape", f"wanted {shapes(wanted)}, got {shapes(got)}", args)
        for which, (g, w) in enumerate(zip(got, wanted, strict=True)):
            if not np.allclose(g, w, *EXAMPLE):
                words = self.differs("the worked example differs", which, len(got))
                raise Wrong("value", words, args, "C", g, w, got, tolerance=EXAMPLE)

    def edges(self, spec: dict[str, Any]) -> None:
        """Memory layouts and float32, against the learner's own answer: a wrong value is for the value stage to say."""
        args = self.ex.inputs.draw(self.ex.inputs.sizes("largest"), self.seed)
        for layout in ["C", *spec.get("layouts", [])]:

            def same(args: Arrays, layout: str = layout) -> None:
                for g, w in zip(self.yours(args, layout, strict=True), self.yours(args), strict=True):
                    if g.shape != w.shape or not np.allclose(g, w, equal_nan=True):
                        words = "another answer for the same values in another memory layout"
                        if layout == "C":
                            words = "two answers for the same inputs: chance, or something kept between calls?"
                        raise Wrong("layout", words, args, layout, g, w)

            self.small(same, args)
        for dtype in spec.get("dtypes", []):

            def keeps(args: Arrays, dtype: str = dtype) -> None:
                args = self.ex.inputs.floats(args, dtype)
                got = self.yours(args)
                for g, w in zip(got, self.ex.reference(*args), strict=True):
                    if width(g) != width(w):
                        words = f"{dtype} in: wanted {w.dtype} out, got {g.dtype}"
                        raise Wrong("dtype", words, args, results=got)

            self.small(keeps, args)

    def value(self, spec: dict[str, Any]) -> None:
        """Hypothesis draws dimensions and a seed; a counter-example is made small by `simplest`, which is faster."""
        from hypothesis import HealthCheck, Phase, given, seed, settings  # 0.3 s that no other command waits for
        from hypothesis import strategies as st
        from hypothesis.configuration import set_hypothesis_home_dir

        set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "hypothesis-of-minilinear")  # not the learner's folder
        found: list[Wrong] = []

        def compare(args: Arrays) -> None:
            self.compare(args, spec.get("rtol", 1e-8))

        @settings(
            max_examples=self.examples,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @seed(self.seed)
        @given(
            st.fixed_dictionaries({a: st.integers(*ends) for a, ends in self.ex.inputs.axes.items()}),
            st.integers(0, 1 << 16),
        )
        def agrees(dims: dict[str, int], number: int) -> None:
            if not found:
                try:
                    compare(self.ex.inputs.draw(dims, number))
                except Wrong as wrong:
                    found.append(wrong)

        agrees()
        if found:
            raise simplest(self.ex.inputs, compare, found[0])

    def law(self, spec: dict[str, Any]) -> None:
        for trial in range(LAW_TRIALS):
            rng = np.random.default_rng([self.seed, trial])
            args = self.ex.inputs.draw(
                self.ex.inputs.sizes("random", seed=int(rng.integers(1 << 16))), int(rng.integers(1 << 16))
            )
            made: list[Arrays] = []

            def yours(args: Sequence[Any], made: list[Arrays] = made) -> Arrays:
                called = [np.array(a) for a in args]
                if not any(all(map(np.array_equal, called, other)) for other in made):
                    made.append(called)
                return self.yours(args)

            law = self.ex.checks["law_" + spec["name"].replace("-", "_")]
            if not law(yours, args, ex=self.ex, rng=rng, **spec):
                raise Wrong("law", f"the law {spec['name']!r} does not hold here", args, calls=made)

    def gradient(self, spec: dict[str, Any]) -> None:
        """The results are the gradients of the inputs `of`: compared with differences of checks.forward."""
        for trial in range(LAW_TRIALS):
            sizes = self.ex.inputs.sizes("random", seed=self.seed + trial)
            args = self.ex.inputs.draw(sizes, [self.seed, trial])
            gradients.check(self.ex.inputs, self.ex.checks["forward"], args, self.yours(args), spec, self.seed + trial)

    def memory(self, spec: dict[str, Any]) -> None:
        self.slope(spec, "memory", ["bytes"])

    def work(self, spec: dict[str, Any]) -> None:
        self.slope(spec, "work", ["bytecodes", "arrays made"])

    def slope(self, spec: dict[str, Any], measure: str, counts: list[str]) -> None:
        """How each count grows with an axis, as a power: the slope of its logarithm."""
        axis, most = spec["axis"], spec["at_most"]
        seen: list[list[int]] = []
        for n in spec["sizes"]:
            fixed = {letter: min(4, high) for letter, (_, high) in self.ex.inputs.axes.items()}
            head, _ = self.ask(self.ex.inputs.draw(fixed | {axis: n}, self.seed), measure=measure)
            seen.append([max(head.get(count, 0), 1) for count in counts])
            sizes = spec["sizes"][: len(seen)]
            if len(seen) == 1:
                continue
            slopes = np.polyfit(np.log(sizes), np.log(seen), 1)[0]
            worst = int(slopes.argmax())
            early = 0.3 * (n != spec["sizes"][-1])  # two sizes are enough where it is far too steep
            if slopes[worst] > most + early:
                grown = [f"{axis} = {size}: {row[worst]}" for size, row in zip(sizes, seen, strict=True)]
                words = f"{counts[worst]}, {', '.join(grown)}: {2 ** slopes[worst]:.1f} times as many"
                words += f" where {axis} is twice as long; wanted at most {2**most:.1f} times"
                raise Wrong("slope", words)

    def small(self, test: Callable[[Arrays], None], args: Arrays) -> None:
        try:
            test(args)
        except Wrong as wrong:
            raise simplest(self.ex.inputs, test, wrong) from None

    def show(self, wrong: Wrong) -> tuple[str, str, str]:
        if not wrong.inputs:
            return "", "", ""
        size = lambda args: sum(a.size for a in args)
        call, few = "", size(wrong.inputs) <= MOST_SHOWN  # else the law's own message has to do
        if few and self.ex.mode != "property":
            calls = wrong.calls if len(wrong.calls) <= 3 and sum(map(size, wrong.calls)) <= MOST_SHOWN else []
            if wrong.kind == "law" and len(calls) != 1:
                wrong.heading = "The law compares these calls:" if calls else "The law starts from these inputs:"
            asked = ASKED.get(wrong.kind, "{}").replace("NAME", wrong.name)
            call = self.ex.inputs.call(
                calls or [wrong.inputs],
                self.ex.folder.name,
                self.ex.name,
                wrong.layout,
                self.ex.harness,
                asked=f"*[{asked.format('a')} for a in {{}}]" if len(wrong.results) > 1 and asked != "{}" else asked,
                named=wrong.name,
                then=wrong.name if wrong.kind == "changed" else "",
            )
        elif few:  # no call of theirs: the inputs alone
            call = "\n".join(
                f"{name} = {as_text(a)}" for name, a in zip(self.ex.inputs.names, wrong.inputs, strict=True)
            )
        if wrong.want is None or wrong.got is None:
            return call, "", ""
        return call, picture(wrong.want, wrong.got, wrong.tolerance), self.known(wrong)

    def known(self, wrong: Wrong) -> str:
        """What the author says of a mistake that gives this very answer, here and before the inputs were made small."""
        for mistake, function in self.ex.mistakes:
            if wrong.results and self.explains(function, wrong) and self.explains(function, wrong.first):
                return str(mistake["says"])
        return ""

    def explains(self, function: Callable[..., tuple], wrong: Wrong) -> bool:
        """Whether a known mistake shows at these inputs, and returns what the learner's function returned."""
        try:
            with np.errstate(all="ignore"):  # a mistake may be one that divides by 0
                results = function(*wrong.inputs)
        except Exception:  # or one that raises
            return False
        return wrong.same(results, wrong.results) and not wrong.same(results, self.ex.reference(*wrong.inputs))


def signature(body: Sequence[ast.stmt], name: str) -> str:
    """The arguments of the last function `name`, without annotations."""
    found = [n for n in body if isinstance(n, ast.FunctionDef) and n.name == name]
    if not found:
        return ""
    arguments = ast.parse(ast.unparse(found[-1])).body[0]
    for n in ast.walk(arguments):
        if isinstance(n, ast.arg):
            n.annotation = None
    return ast.unparse(arguments.args) if isinstance(arguments, ast.FunctionDef) else ""


def width(a: np.ndarray) -> str:
    """The dtype, as far as it has to be the wanted one: of whole numbers only the kind, since they are exact in any."""
    return "integer" if a.dtype.kind == "i" else str(a.dtype)


def shapes(arrays: Sequence[np.ndarray]) -> str:
    return " and ".join(f"shape {a.shape} of {a.dtype}" for a in arrays)
