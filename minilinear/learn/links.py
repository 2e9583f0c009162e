"""What an exercise leads to: a page of the documentation, functions of the library, an equation; and the way back."""

from __future__ import annotations

import importlib
import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

from .exercise import Exercise


def unresolved(exercise: Exercise, docs: Path | None = None) -> Iterator[str]:
    """The links of an exercise that lead nowhere, in words.

    Args:
        docs: the folder of the pages; none: they are not here, and not looked at.
    """
    for name in exercise.api:
        if not public(name):
            yield f"{exercise.id}: there is no {name}, or it is not in the package's __all__"
    file, _, anchor = exercise.page.partition("#")
    if docs is None:
        return
    if not (docs / file).is_file():
        yield f"{exercise.id}: docs/ has no page {file}"
    elif exercise.tutorial and not (docs / exercise.tutorial).is_file():
        yield f"{exercise.id}: docs/ has no tutorial {exercise.tutorial}"
    elif anchor not in anchors(docs / file):
        yield f"{exercise.id}: {file} has no heading that #{anchor} leads to, on GitHub and in MkDocs"


def docs_of(course: Path) -> Path | None:
    """The folder docs/ beside a course's; an installed library has none."""
    beside = course.resolve().parent / "docs"
    return beside if beside.is_dir() else None


def public(name: str) -> bool:
    """Whether a package says that it offers this."""
    package, _, last = name.rpartition(".")
    try:
        module = importlib.import_module(package)
    except (ImportError, ValueError):
        return False
    return last in getattr(module, "__all__", ()) and hasattr(module, last)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings that mean the same on GitHub and in MkDocs.

    GitHub keeps letters of every alphabet and makes each space a hyphen; MkDocs keeps ASCII and makes one hyphen of
    several. A heading that comes twice has a number from each, and another one: it is nobody's anchor.
    """
    both = [(on_github(text), in_mkdocs(text)) for text in headings(page.read_text("utf-8"))]
    names = [name for pair in both for name in set(pair)]
    return {a for a, b in both if a == b and names.count(a) == 1}


def headings(text: str) -> list[str]:
    """The headings of a page as they are read, without marks of code and of links; comments in code are none."""
    prose = re.sub(r"^( *)(```+|~~~+).*?^\1\2.*?$", "", text, flags=re.M | re.S)
    found = re.findall(r"^#{1,6} +(.+?)(?: +#+)? *$", prose, re.M)
    return [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in found]


def on_github(heading: str) -> str:
    kept = {"L", "M", "Nd", "Nl", "Pc"}  # letters, their marks, digits, _ and its like
    named = (c for c in heading.lower() if c in "- " or {unicodedata.category(c), unicodedata.category(c)[0]} & kept)
    return "".join(named).replace(" ", "-")


def in_mkdocs(heading: str) -> str:
    plain = unicodedata.normalize("NFKD", heading).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())


def by_page(exercises: Iterable[Exercise]) -> dict[str, list[Exercise]]:
    """page.md#anchor -> the exercises that name it, in the order of the alphabet."""
    return _index((exercise.page, exercise) for exercise in exercises)


def by_function(exercises: Iterable[Exercise]) -> dict[str, list[Exercise]]:
    """Public name -> the exercises that name it, in the order of the alphabet."""
    return _index((name, exercise) for exercise in exercises for name in exercise.api)


def _index(pairs: Iterable[tuple[str, Exercise]]) -> dict[str, list[Exercise]]:
    found: dict[str, list[Exercise]] = {}
    for name, exercise in pairs:
        found.setdefault(name, []).append(exercise)
    return dict(sorted(found.items()))
