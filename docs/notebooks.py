"""A tutorial as a Jupyter notebook: the same text, the same code, nothing run."""

from __future__ import annotations

import html
import re
from functools import cache
from typing import Any

import run

from minilinear.learn import Course

INSTALL = """try:
    import matplotlib, minilinear.figures
except ImportError:
    %pip install --quiet "minilinear[plot]"
"""


def notebook(page: str) -> dict[str, Any]:
    """The notebook of a page, as nbformat 4.5 has it.

    Prose becomes cells of Markdown, its boxes become quotes, its values those of the page's run; blocks of Python and
    commands become cells of code. A block that must raise is said to, so that "run all" goes on behind it.
    """
    text = run.read(page).replace("<!-- exercises -->", exercises(page))
    kept = run.stored(page)
    waiting = iter(kept["results"] if kept else [])
    cells, prose = [code_cell(INSTALL)], ""
    for part in run.parts(text):
        result = next(waiting, None) if run.runs(part, page) else None
        if isinstance(part, str):
            prose += part
        elif isinstance(part, run.Value):
            prose += result["text"] if result else part.code
        elif run.runs(part, page) and not part.indent:
            cells += [*prose_cells(prose), code_cell(executable(part), raises="raises" in part.options)]
            prose = ""
        else:
            prose += f"```{part.language}\n{part.code}```\n"
    cells += prose_cells(prose)
    for i, cell in enumerate(cells):
        cell["id"] = f"cell-{i}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": cells,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


@cache
def course() -> Course:
    return Course()


def exercises(page: str) -> str:
    """The exercises of a tutorial as the commands that begin them."""
    found = [exercise for exercise in course().exercises.values() if exercise.tutorial == page]
    lines = [f"* `minilinear learn run {e.id}`: {e.title}, {e.minutes} min" for e in found]
    return "\n".join(lines or ["No exercise of the course belongs to this page."])


def executable(part: run.Block) -> str:
    return "%%bash\n" + part.code if part.language == "sh" else part.code


def code_cell(code: str, *, raises: bool = False) -> dict[str, Any]:
    metadata = {"tags": ["raises-exception"]} if raises else {}
    return {
        "cell_type": "code",
        "metadata": metadata,
        "source": code.rstrip("\n"),
        "outputs": [],
        "execution_count": None,
    }


def prose_cells(prose: str) -> list[dict[str, Any]]:
    text = re.sub(r"<!--.*?-->\n?", "", boxes_as_quotes(html.unescape(prose)), flags=re.DOTALL).strip()
    text = re.sub(r"\[([^\]]*)\]\((?!http)[^)]*\)", r"\1", text)  # pages of the site are not beside a notebook
    return [{"cell_type": "markdown", "metadata": {}, "source": text}] if text else []


def boxes_as_quotes(text: str) -> str:
    """`!!! note "Title"` and its indented lines as a quote with the title in bold."""
    out, inside = [], False
    for line in text.split("\n"):
        head = re.match(r'(?:!!!|\?\?\?\+?) (\w+)(?: "(.*)")?$', line)
        if head:
            out += [f"> **{head[2] or head[1].capitalize()}**", ">"]
            inside = True
        elif inside and (line.startswith("    ") or not line.strip()):
            out.append(f"> {line[4:]}".rstrip())
        else:
            inside = False
            out.append(line)
    return "\n".join(out)
