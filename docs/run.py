"""Runs the pages' code once and keeps what it printed, drew and computed: `python docs/run.py [page ...]`.

A page is Markdown whose blocks run in order, in one namespace and one process:

    ```python                  runs; what it prints and what it shows with `show(...)` appears behind it
    ```python raises=TypeError must raise this, or a class of it; the message appears
    ```sh                      on pages of learn/: runs in a folder that is empty when the page begins
    ```sh exits=2              must end with this status
    ```sh norun="takes hours"  is shown with this remark and not run
    {{ f"{error:.1e}" }}       in prose: what the expression gives at this place of the page

Results lie in .cache/pages/, a JSON file for each page, with a key made of the page's code and of every file that the
code can use. The tests, the site and the notebooks read them; a page runs again when its key has changed.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import importlib.metadata
import io
import json
import linecache
import os
import platform
import re
import subprocess
import sys
import tempfile
import textwrap
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
STORE = ROOT / ".cache" / "pages"
USED = ("minilinear", "gpu", "exercises", "docs/figures", "docs/data")  # what the code of a page can reach
LIMIT = 300  # seconds for a page; it is meant to take less than ten
ONE_THREAD = {"MINILINEAR_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
PLAIN = {"NO_COLOR": "1", "COLUMNS": "80", "PYTHONHASHSEED": "0", "PYTHONIOENCODING": "utf-8"}


class Block(NamedTuple):
    """A fenced block: its language, what stands behind it, its code without indentation, and where it begins."""

    language: str
    options: dict[str, str]
    code: str
    indent: str
    line: int


class Value(NamedTuple):
    """An expression in prose."""

    code: str
    line: int


class PageError(Exception):
    """A block did not do what the page says it does."""


# Reading a page

FENCE = re.compile(r"^( *)(`{3,})([\w+-]*)([^\n`]*)\n(.*?)^\1\2 *$\n?", re.MULTILINE | re.DOTALL)


def parts(text: str) -> Iterator[str | Block | Value]:
    """A page as prose, blocks and values, in its order."""
    line, end = 1, 0
    for fence in [*FENCE.finditer(text), None]:
        prose = text[end : fence.start() if fence else len(text)]
        for i, piece in enumerate(re.split(r"\{\{ (.+?) \}\}", prose)):
            yield Value(piece, line) if i % 2 else piece
            line += piece.count("\n")
        if fence:
            indent, _, language, info, code = fence.groups()
            options = {name: a or b for name, a, b in re.findall(r'(\w+)=(?:"([^"]*)"|(\S+))', info)}
            yield Block(language, options, textwrap.dedent(code), indent, line)
            line, end = line + fence[0].count("\n"), fence.end()


def runs(part: str | Block | Value, page: str) -> bool:
    """Whether a part of a page is run."""
    if isinstance(part, Block):
        shell = part.language == "sh" and page.startswith("learn/")
        return (part.language == "python" or shell) and "norun" not in part.options
    return isinstance(part, Value)


def pages() -> list[str]:
    """The pages that have something to run, as paths from docs/; the README is one, too."""
    found = [path.relative_to(DOCS).as_posix() for path in sorted(DOCS.rglob("*.md"))]
    return [page for page in ["../README.md", *found] if any(runs(part, page) for part in parts(read(page)))]


def read(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


# What is kept


def key(page: str) -> str:
    """Changes when the page's code, or a file that it can use, changes."""
    code = [part[:3] for part in parts(read(page)) if runs(part, page)]
    return hashlib.sha256(f"{library()}\n{code!r}".encode()).hexdigest()


@functools.cache
def library() -> str:
    used = [platform.python_version(), *(importlib.metadata.version(name) for name in ("numpy", "matplotlib"))]
    digest = hashlib.sha256(f"{used} {Path(__file__).read_text(encoding='utf-8')}".encode())
    for folder in USED:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def place(page: str) -> Path:
    return STORE / (page.replace("../", "").replace("/", "-").removesuffix(".md") + ".json")


def stored(page: str) -> dict[str, Any] | None:
    """What a page's code has given; None: it has not run since something it depends on changed."""
    try:
        kept = json.loads(place(page).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return kept if kept["key"] == key(page) else None


def result(page: str) -> dict[str, Any]:
    """What a page's code gives, from the store where that is fresh.

    Raises:
        PageError: with page and line, where a block fails.
    """
    kept = stored(page)
    if kept is None:
        environment = os.environ | ONE_THREAD | PLAIN
        command = [sys.executable, "-W", "error", str(DOCS / "run.py"), "--here", page]
        done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", timeout=LIMIT)
        if done.returncode:
            raise PageError(done.stderr.strip() or f"{page}: ended with status {done.returncode}")
        kept = json.loads(done.stdout)
        STORE.mkdir(parents=True, exist_ok=True)
        written = place(page).with_suffix(f".{os.getpid()}.tmp")
        written.write_text(json.dumps(kept, indent=1, ensure_ascii=False), encoding="utf-8")
        os.replace(written, place(page))
    return kept


# Running a page


def run(page: str) -> dict[str, Any]:
    """Runs a page here, in a folder of its own."""
    began, kept_key = time.perf_counter(), key(page)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        results = [run_part(part, page, namespace) for part in parts(read(page)) if runs(part, page)]
        os.chdir(ROOT)
    return {
        "key": kept_key,
        "page": page,
        "seconds": round(time.perf_counter() - began, 2),
        "processor": round(sum(os.times()[:4]), 2),  # seconds, with those of the commands
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "results": results,
    }


def run_part(part: Any, page: str, namespace: dict[str, Any]) -> dict[str, Any]:
    """One block or value: what it prints and shows."""
    from minilinear.figures import picture

    picture.SHOWN, out, name = [], io.StringIO(), f"docs/{page}"
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            if isinstance(part, Value):
                out.write(str(eval(part.code, namespace)))
            elif part.language == "sh":
                shell(part, out)
            else:
                file = f"{name}, the block of line {part.line}"
                linecache.cache[file] = len(part.code), None, part.code.splitlines(keepends=True), file
                exec(compile(part.code, file, "exec"), namespace)
        raised = None
    except PageError as error:
        raise PageError(f"{name}:{part.line}: {error}") from None
    except Exception as error:
        raised = error
    expected = part.options.get("raises") if isinstance(part, Block) else None
    if (expected or "NoneType") not in [each.__name__ for each in type(raised).__mro__]:
        said = "".join(traceback.format_exception(raised)) if raised else "nothing was raised"
        raise PageError(f"{name}:{part.line}: expected {expected or 'no exception'}\n{out.getvalue()}{said}")
    if raised:
        out.write("".join(traceback.format_exception_only(raised)))
    figures = [picture.html(shown) for shown in picture.SHOWN]
    return {"text": out.getvalue().rstrip("\n"), "figures": figures}


def shell(block: Block, out: io.StringIO) -> None:
    """A block of commands, with this Python's `python` and `minilinear` first on the PATH."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.code],
        env=os.environ | {"PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    out.write(done.stdout)
    if done.returncode != int(block.options.get("exits", 0)):
        raise PageError(f"the commands ended with status {done.returncode}\n{done.stdout}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="*", help="as docs/learn/00-state.md or learn/00-state.md; default: all")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="pages at a time")
    parser.add_argument("--here", action="store_true", help="run one page in this process and print its results")
    options = parser.parse_args(arguments)
    wanted = [page.removeprefix("docs/") for page in options.pages] or pages()
    if absent := [page for page in wanted if not (DOCS / page).is_file()]:
        parser.error(f"docs/ has no page {', '.join(absent)}; it has {', '.join(pages())}")
    if options.here:
        warnings.simplefilter("error")
        try:
            print(json.dumps(run(wanted[0]), ensure_ascii=False))
        except PageError as error:
            print(error, file=sys.stderr)
            return 1
        return 0
    failed = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for page, fresh, found in pool.map(attempted, wanted):
            failed += isinstance(found, str)
            note = found if isinstance(found, str) else f"{found['seconds']:6.2f} s" + (" (stored)" if fresh else "")
            print(f"{page:40} {note}", flush=True)
    return int(failed > 0)


def attempted(page: str) -> tuple[str, bool, dict[str, Any] | str]:
    fresh = stored(page) is not None
    try:
        return page, fresh, result(page)
    except (PageError, subprocess.TimeoutExpired) as error:
        return page, fresh, f"FAILED\n{error}"


if __name__ == "__main__":
    sys.exit(main())
