"""The plan of the house: which room may use which, and what may lie where."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# A room imports from its own floor, without circles, and from the floors below.
FLOORS = {
    **dict.fromkeys(["minilinear", "cli", "figures", "data"], 9),  # "minilinear" is the top-level namespace
    **dict.fromkeys(["learn", "labs", "gpu"], 8),
    **dict.fromkeys(["training", "linearize"], 7),
    **dict.fromkeys(["models", "tasks"], 6),
    **dict.fromkeys(["attention", "delta", "rnn", "mixing", "operators"], 5),
    **dict.fromkeys(["norms", "mlp", "kan", "optim"], 4),
    **dict.fromkeys(["nn"], 3),
    **dict.fromkeys(["recurrence"], 2),
    **dict.fromkeys(["autograd"], 1),
    **dict.fromkeys(["backend", "errors", "precision", "randomness", "svg", "terminal"], 0),
}
TOP_LEVEL = {"pyproject.toml", "minilinear", "gpu", "exercises", "tests", "docs", "mkdocs.yml", "README.md", "LICENSE"}
TERMINAL = {"rich", "typer"}  # and where they may be used:
WITH_TERMINAL = ["minilinear/cli/*", "minilinear/terminal.py", "minilinear/training/display.py", "gpu/sim/report.py"]
EXTRAS = {"torch", "jax", "cupy", "matplotlib", "mpi4py"}
PICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve"}


@cache
def sources(*folders: str) -> dict[str, ast.Module]:
    """The syntax tree of each Python file, by its path from the root."""
    paths = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text("utf-8")) for path in paths}


def library() -> dict[str, ast.Module]:
    return sources("minilinear", "gpu", "exercises", "docs/figures", "docs/data")


def module_name(path: str) -> str:
    parts = list(Path(path.removeprefix("docs/")).with_suffix("").parts)
    return ".".join([*([] if parts[0] == "minilinear" else ["minilinear"]), *parts]).removesuffix(".__init__")


def imports(path: str, nodes: Iterator[ast.AST]) -> Iterator[str]:
    """Absolute dotted names of all that is imported; `from a import b` gives a.b, be it a module or not."""
    package = module_name(path).split(".")
    if not path.endswith("__init__.py"):
        package.pop()
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            base += node.module.split(".") if node.module else []
            yield from (".".join([*base, alias.name]) for alias in node.names)


def at_module_level(node: ast.AST) -> Iterator[ast.AST]:
    """What runs when the module is imported: everything but the bodies of functions."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from at_module_level(child)


def room(name: str) -> str:
    """minilinear.nn.linear.Linear lies in nn, and minilinear.tensor in the top-level namespace."""
    return next((part for part in name.split(".")[1:2] if part in FLOORS), "minilinear")


def test_rooms_import_only_from_their_floor_and_below_without_circles():
    used: dict[str, set[str]] = {}
    wrong = []
    for path, tree in sources("minilinear", "gpu", "docs/figures").items():
        here = room(module_name(path))
        for name in imports(path, ast.walk(tree)):
            there = room(name)
            if name.split(".")[0] != "minilinear" or there == here:
                continue
            used.setdefault(here, set()).add(there)
            if FLOORS[there] > FLOORS[here]:
                wrong.append(f"{path}: {name} lies on floor {FLOORS[there]}, above floor {FLOORS[here]}")
    assert not wrong, "\n".join(wrong)
    try:
        TopologicalSorter(used).prepare()
    except CycleError as error:
        pytest.fail("a circle of imports: " + " <- ".join(error.args[1]))


def test_every_room_has_a_floor():
    rooms = {path.stem for path in (ROOT / "minilinear").iterdir() if path.suffix == ".py" or is_package(path)}
    assert rooms - {"__init__", "__main__"} <= FLOORS.keys()


def test_only_the_command_line_and_two_displays_draw_on_the_terminal():
    for path, tree in library().items():
        if not any(fnmatch(path, pattern) for pattern in WITH_TERMINAL):
            found = TERMINAL & {name.split(".")[0] for name in imports(path, ast.walk(tree))}
            assert not found, f"{path} imports {found}"


def is_package(folder: Path) -> bool:
    return (folder / "__init__.py").exists()


def test_the_package_list_is_what_lies_on_disk():
    with open(ROOT / "pyproject.toml", "rb") as file:
        listed = tomllib.load(file)["tool"]["setuptools"]["packages"]
    assert listed == sorted(module_name(path) for path in library() if path.endswith("__init__.py"))


def test_the_top_level_holds_nothing_but_the_fixed_entries():
    entries = top_level()
    unexpected = {entry for entry in entries if not entry.startswith(".")} - TOP_LEVEL
    assert not unexpected
    assert {"pyproject.toml", "minilinear", "gpu", "exercises", "tests"} <= entries


def top_level() -> set[str]:
    """What git knows or would add; without git, what lies there and is not ignored."""
    if (ROOT / ".git").exists():
        command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        files = subprocess.run(command, capture_output=True, check=True, text=True).stdout.rstrip("\0").split("\0")
        return {file.split("/")[0] for file in files if (ROOT / file).exists()}
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text("utf-8").splitlines()]
    return {path.name for path in ROOT.iterdir() if not any(fnmatch(path.name, line) for line in ignored)}


def test_gpu_is_known_by_one_name_only():
    code = "import sys, minilinear, minilinear.gpu; sys.exit('gpu' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_no_module_is_named_like_a_public_name():
    import minilinear  # here, so that a circle is reported by the test above and not while collecting

    modules = {path.stem for path in (ROOT / "minilinear").iterdir()}
    assert not modules & set(minilinear.__all__)


def test_no_extra_is_imported_at_module_level():
    for path, tree in library().items():
        found = EXTRAS & {name.split(".")[0] for name in imports(path, at_module_level(tree))}
        assert not found, f"{path} imports {found}"


def test_nothing_is_pickled():
    for path, tree in sources("minilinear", "gpu", "exercises", "tests", "docs").items():
        found = PICKLERS & {name.split(".")[0] for name in imports(path, ast.walk(tree))}
        assert not found, f"{path} imports {found}"
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert ast.unparse(node) == "allow_pickle=False", f"{path}:{node.lineno}"


def test_cupy_is_named_only_by_the_backend_and_gpu():
    for path, tree in sources("minilinear", "exercises").items():
        if path != "minilinear/backend.py":
            lines = sorted({node.lineno for node in code(tree) if "cupy" in words(node)})
            assert not lines, f"{path}: lines {lines}"


def code(tree: ast.Module) -> Iterator[ast.AST]:
    """All nodes that have a place in the text, but the strings that stand alone: docstrings."""
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return (node for node in ast.walk(tree) if hasattr(node, "lineno") and id(node) not in alone)


def words(node: ast.AST) -> str:
    """The identifiers and strings of this node itself, in lower case."""
    return " ".join(str(value) for _, value in ast.iter_fields(node) if isinstance(value, str)).lower()
