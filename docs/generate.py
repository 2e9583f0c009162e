"""The pages and pictures that are made from the code: `python docs/generate.py` writes them, `--check` compares.

A page made with another NumPy is not compared: it quotes NumPy's words, which change with its version. Every page that
an exercise of the course names ends on a line that leads to it; this line is made, too.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
import sys
from pathlib import Path
from unittest import mock

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))  # the tests' tables are not installed

import numpy as np  # noqa: E402

import minilinear as ml  # noqa: E402
from docs.notation import notation  # noqa: E402
from docs.papers import paper_map, source  # noqa: E402
from docs.tables import benchmarks, catalogue, kernel_table  # noqa: E402
from minilinear.autograd import Primitive  # noqa: E402
from minilinear.autograd.core import CREATION, IMPLEMENTATIONS, spelled  # noqa: E402
from minilinear.autograd.primitive import passes  # noqa: E402
from minilinear.cli.explain import page as explained  # noqa: E402
from minilinear.cli.explain import sections  # noqa: E402
from minilinear.learn import Course, Exercise, kernel_text  # noqa: E402
from minilinear.learn.attempt import signature  # noqa: E402
from minilinear.learn.check_course import code_lines  # noqa: E402
from minilinear.learn.links import by_function, by_page  # noqa: E402
from minilinear.learn.show import hours  # noqa: E402
from tests.autograd.cases import CASES  # noqa: E402
from tests.autograd.mistakes import MISTAKES, SURPRISES, message, value  # noqa: E402
from tests.autograd.test_ops import operations  # noqa: E402
from tests.raised import raised, runs_here, sites  # noqa: E402

MADE = "<!-- made by docs/generate.py with NumPy {}; edit what it is made from -->\n"


# Rules


@functools.cache
def lambdas(file: str) -> tuple[str, list[ast.Lambda]]:
    source = Path(file).read_text(encoding="utf-8")
    return source, [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Lambda)]


def written(function) -> str:
    """What a function says: a lambda its body, any other its name and the first sentence of its docstring."""
    function = getattr(function, "func", function)  # of a partial
    if function.__name__ != "<lambda>":
        paragraph = " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split())
        first = re.split(r"(?<=\.) ", paragraph)[0]
        return f"`{function.__name__}`" + (f": {first}" if first else "")
    code = function.__code__
    places = [(line, start) for line, _, start, end in code.co_positions() if line and end]  # of what does something
    source, found = lambdas(code.co_filename)
    around = [
        node.body
        for node in found
        if node.lineno == code.co_firstlineno
        and all((node.lineno, node.col_offset) <= place <= (node.end_lineno, node.end_col_offset) for place in places)
    ]
    smallest = min(around, key=lambda body: len(ast.get_source_segment(source, body)))
    return "`" + " ".join(ast.get_source_segment(source, smallest).split()) + "`"


def rule_of(primitive: Primitive) -> list[str]:
    """A line for each argument; one for all of them where the gradient was derived by hand for the whole."""
    if primitive.backward:
        second = f"; again through {written(primitive.reference)}" if primitive.reference else ""
        return [f"all at once: {written(primitive.backward)}{second}"]
    rules = [rule for i, rule in enumerate(primitive.rules) if passes(primitive, i)]
    names = list(inspect.signature(rules[0]).parameters)[2:] + [str(i) for i in range(len(primitive.rules))]
    return [
        f"{name}: {written(rule) if passes(primitive, i) else 'none'}"
        for i, (name, rule) in enumerate(zip(names, primitive.rules))
    ]


def described(operation) -> tuple[str, str, list[str]]:
    """(the file it lies in, what it is, its rules)."""
    operation = inspect.unwrap(operation)
    if isinstance(operation, Primitive):
        home = next(f for f in (operation.backward, *operation.rules) if f and "primitive" not in f.__module__)
        return home.__module__, "primitive", rule_of(operation)
    used = [operation.__globals__.get(name) for name in operation.__code__.co_names]
    primitives = [p for p in map(inspect.unwrap, used) if isinstance(p, Primitive)]
    rules = [f"{p.name}: {line}" for p in primitives for line in rule_of(p)]
    return operation.__module__, "composition", rules or ["those of what it is written with"]


def rules() -> str:
    """Every function that a Tensor goes through, by the file it lies in."""
    files: dict[str, list[str]] = {}
    for name, operation in sorted(operations().items(), key=lambda item: item[0].lower()):
        home, kind, lines = described(operation)
        cases = [case for key, case in CASES.items() if key.split(":")[0] == name]
        drawn = "yes" if any(case.draw is not None for case in cases) else ""
        text = "<br>".join(lines).replace("|", "\\|")
        files.setdefault(home, []).append(f"| `{name}` | {kind} | {text} | {len(cases)} | {drawn} |")
    constants = sorted({spelled(f) for f in IMPLEMENTATIONS if callable(f)} - operations().keys())
    creation = sorted(spelled(f) for f in CREATION)
    page = MADE.format(numpy()) + RULES
    for home, lines in sorted(files.items()):
        path = home.replace(".", "/") + ".py"
        page += f"\n## {home.rsplit('.')[-1]}\n\n[{path}](../{path})\n\n"
        page += (
            "| function | is a | gradient of each argument | cases | any shape |\n|---|---|---|---|---|\n"
            + "\n".join(lines)
            + "\n"
        )
    page += (
        "\n## Without a slope\n\nThe result is a plain array: " + ", ".join(f"`{name}`" for name in constants) + ".\n"
    )
    page += "\nMade beside a Tensor with `like=`: " + ", ".join(f"`{name}`" for name in creation) + ".\n"
    return page


RULES = """# Rules

What a Tensor can go through. A *primitive* is recorded, with the rule beside its forward: `g` is the cotangent of the
output `out`, and the engine sums over broadcast axes. A *composition* is written with others. How a rule is written is
told in [engine.md](engine.md); the cases are lines of `tests/autograd/cases.py`, and every check runs over each: the
value, gradients of order 1 and 2 against differences, float32, views, and what CuPy would take. Where "any shape" says
yes, Hypothesis draws shapes as well: broadcast, empty, of length one, along any axis.
"""


# Mistakes


def numpy() -> str:
    return ".".join(np.__version__.split(".")[:2])


def prompt(code: str) -> str:
    first, *rest = code.split("\n")
    return "\n".join([f">>> {first}", *(f"... {line}" if line[:1] == " " else f">>> {line}" for line in rest if line)])


def mistakes() -> str:
    """Each mistake with what it is answered."""
    page = MADE.format(numpy()) + STARTS
    for group, entries in MISTAKES.items():
        page += f"\n## {group}\n"
        for name, mistake in entries.items():
            error, said = message(mistake)
            kind = type(error).__name__
            whose = " (NumPy's or Python's own: it happens to a plain array)" if mistake.numpys else ""
            page += f"\n**{name}**{whose}\n\n```text\n{prompt(mistake.code)}\n{kind}: {said.strip()}\n```\n"
    page += "\n## No error, but a surprise\n"
    for name, (code, _) in SURPRISES.items():
        page += f"\n**{name}**\n\n```text\n{prompt(code)}\n{value(code)}\n```\n"
    return page


STARTS = """# Mistakes

What goes wrong most easily, and what the library says: the rule, what it got, and the likeliest fix. The tests run
every one. Throughout, `w` is a leaf of shape (3,), `W` one of shape (3, 4), `x` an array of shape (3,), all float32;
`ml` is minilinear, `ag` is minilinear.autograd, and `Primitive` is `ag.Primitive`.
"""


# Errors


def explanations() -> str:
    """The text that `minilinear explain` reads: each example followed by what is said to it now."""
    text = explained()
    for section in sections().values():
        if runs_here(section):
            fence = f"```{section.language}\n{section.example}```\n"
            before = fence + f"\n```text\n{section.said}```\n" * bool(section.said)
            assert before in text, section.kind
            text = text.replace(before, f"{fence}\n```text\n{raised(section)[1]}```\n")
    return text


def errors() -> str:
    """The same as a page that runs, with the rules of each kind and where they stand."""
    text = MADE.format(numpy()) + explanations()
    text = text.replace("\n## ", f"\n{RAISED}\n{IMPORTS}\n## ", 1)
    for section in sections().values():
        if section.language == "python":
            name = re.search(r"^(?:\w+\.)*(\w+): ", section.said)
            text = text.replace(f"```python\n{section.example}", f"```python raises={name[1]}\n{section.example}")
        start = text.index("```\n", text.index(section.said, text.index(f"\n### {section.kind}\n"))) + len("```\n")
        text = text[:start] + raised_in(section.kind) + text[start:]
    return text


def raised_in(kind: str) -> str:
    """The rules of a kind by the file they stand in; ... stands for what a message says of its case."""
    found: dict[str, list[str]] = {}
    for site in sites():
        if site.kind == kind:
            found.setdefault(site.file, []).append(site.rule)
    lines = []
    for file, said in found.items():
        words = " ".join(f"`{rule}`" for rule in dict.fromkeys(rule.replace("`", "'") for rule in said) if rule)
        lines.append(f"* [{file}](../{file})" + f": {words}" * bool(words))
    return "\n**Raised in**\n\n" + "\n".join(lines) + "\n" if lines else ""


RAISED = "**Raised in** lists files and the first lines of their messages; braces are filled in when one is raised.\n"
IMPORTS = "```python\nimport numpy as np\nimport minilinear as ml\n```\n"


# Pictures


def graph() -> str:
    """The record of a small regression; w is used twice."""
    w, b = ml.tensor(np.ones((3, 2)), requires_grad=True), ml.tensor(np.zeros(2), requires_grad=True)
    x, y = np.ones((5, 3)), np.ones((5, 2))
    error = np.tanh(x @ w + b) - y
    loss = (error * error).mean() + 0.1 * (w * w).sum()
    return loss.graph(names={"w": w, "b": b, "x": x, "y": y, "error": error}).svg


# The course


@functools.cache
def course() -> Course:
    """Its kernels are CUDA, also where no compiler is and a learner's are Python: the page is one."""
    with mock.patch.object(kernel_text, "compiles", return_value=True):
        read = Course()
        read.exercises  # noqa: B018  # it reads them now
    return read


def led(exercises: list[Exercise], page: str = "") -> str:
    """Links to exercises."""
    return ", ".join(f"[{each.id}]({page}#{each.id})" for each in exercises)


def call(exercise: Exercise) -> str:
    """What is to be written, as the learner's file has it."""
    if exercise.mode == "predict":
        return f"answers in `{exercise.file}`"
    arguments = signature(ast.parse(exercise.source).body, exercise.name) if exercise.file.endswith(".py") else ""
    return f"`{exercise.name}{f'({arguments})' * bool(arguments)}` in `{exercise.file}`"


def inputs(exercise: Exercise) -> str:
    """The inputs that are drawn, each with its axes, and how long an axis is."""
    axes = {name: exercise.inputs.letters(name) for name in exercise.inputs.names}
    shapes = [f"{name} ({', '.join(on)}{',' * (len(on) == 1)})" if on else name for name, on in axes.items()]
    ends = [f"{letter} = {low} .. {high}" for letter, (low, high) in exercise.inputs.axes.items()]
    return ", ".join(shapes) + "".join(f"; {end}" for end in ends)


def section(exercise: Exercise) -> str:
    """One exercise as its reader finds it before the work: no hint, no word of what comes after."""
    facts = f"{exercise.route}, {hours(exercise.minutes)}, difficulty {exercise.difficulty} of 5, mode {exercise.mode}"
    lines = [f"{facts}: {call(exercise)}"]
    if exercise.inputs.names and not exercise.harness:  # a harness has inputs of its own
        lines.append(f"inputs {inputs(exercise)}")
    lines += [
        f"equation {exercise.equation}: `{exercise.equation_text}`",
        f"uses {', '.join(exercise.uses)}; introduces {', '.join(exercise.introduces)}",
        f"to read: [{exercise.page}]({exercise.page})",
        f"in the library: {', '.join(source(name) for name in exercise.api)}",
    ]
    return f"### {exercise.id}\n\n**{exercise.title}**\n\n{exercise.statement}\n\n" + "".join(
        f"* {line}\n" for line in lines
    )


def exercises() -> str:
    """The course: a table, what each exercise asks, and from pages, functions and equations back to them."""
    every = list(course().exercises.values())
    core = [each for each in every if each.route == "core"]
    minutes = {"core": sum(each.minutes for each in core), "all": sum(each.minutes for each in every)}
    page = MADE_OF_COURSE + EXERCISES.format(
        title=course().title,
        number=len(every),
        hours=hours(minutes["all"]),
        core=len(core),
        core_hours=hours(minutes["core"]),
    )
    page += "\n| id | title | route | minutes | difficulty | mode | lines |\n|---|---|---|---|---|---|---|\n"
    for each in every:
        cells = (each.title, each.route, each.minutes, each.difficulty, each.mode, code_lines(each))
        page += f"| [{each.id}](#{each.id}) | {' | '.join(map(str, cells))} |\n"
    for track in course().tracks.values():
        page += f"\n## {track['title']}\n"
        page += "".join("\n" + section(course()[name]) for name in track["exercises"])
    page += "\n## Exercises by page\n\n"
    page += "".join(f"* [{name}]({name}): {led(found)}\n" for name, found in by_page(every).items())
    page += "\n## Exercises by function\n\n"
    page += "".join(f"* {source(name)}: {led(found)}\n" for name, found in by_function(every).items())
    page += "\n## Equations\n\n"
    page += "".join(
        f"* {each.equation} ({led([each])}): `{each.equation_text}`\n"
        for each in sorted(every, key=lambda e: e.equation)
    )
    return page


MADE_OF_COURSE = "<!-- made by docs/generate.py from exercises/; edit what it is made from -->\n"

EXERCISES = """# Exercises

{title}:
{number} exercises, about {hours}; the core route has {core} of them, about {core_hours}.
`minilinear learn` makes a folder with a file for each and checks a file each time it is saved. "lines" are those of
the course's own solution. [How an exercise is written](course-format.md).
"""

START, END = "<!-- exercises: made by docs/generate.py -->", "<!-- end of exercises -->"


def leading_to_exercises(name: str, text: str) -> str:
    """A page with the line that leads to the exercises that name it, as its last one; without, if none does."""
    text = re.sub(rf"\n*{START}.*?{END}\n*", "\n\n", text, flags=re.DOTALL).rstrip("\n") + "\n"
    found = [each for each in course().exercises.values() if each.page.partition("#")[0] == name]
    return text + f"\n{START}\n\nExercises: {led(found, 'exercises.md')}\n\n{END}\n" * bool(found)


PAGES = {
    "rules.md": rules,
    "mistakes.md": mistakes,
    "exercises.md": exercises,
    "errors.md": errors,
    "../minilinear/cli/explanations.md": explanations,
    "paper-map.md": paper_map,
    "catalogue.md": catalogue,
    "notation.md": notation,
    "benchmarks.md": benchmarks,
    "kernel-table.md": kernel_table,
    "figures/graph.svg": graph,
}


def made() -> dict[str, str]:
    """Every file that is made, or has a line that is, with its text as the code makes it now."""
    texts = {name: make() for name, make in PAGES.items()}
    others = {page.name: page.read_text(encoding="utf-8") for page in DOCS.glob("*.md") if page.name not in PAGES}
    return {
        name: leading_to_exercises(name, text) if name.endswith(".md") else text
        for name, text in (texts | others).items()
    }


def stale() -> list[str]:
    """The pages that are not what the code makes of them now."""
    found = []
    for name, new in made().items():
        old = (DOCS / name).read_text(encoding="utf-8") if (DOCS / name).exists() else ""
        other = old.startswith(MADE.partition("{}")[0]) and not old.startswith(MADE.format(numpy()))
        if not other and old != new:
            found.append(name)
    return found


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        if old := stale():
            sys.exit(f"stale: {', '.join(old)}; python docs/generate.py writes them")
    else:
        for name, text in made().items():
            (DOCS / name).write_text(text, encoding="utf-8", newline="\n")
