"""The paper map: docs/data/papers.toml as a page, and what the library cites beyond it. `docs/generate.py` calls it."""

from __future__ import annotations

import importlib
import inspect
import re
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import minilinear
from minilinear.autograd import Primitive
from minilinear.cli.catalogue import catalogue_rows

DOCS = Path(__file__).resolve().parent
STATUS = ("done", "planned", "left out")
TOPICS = (
    *("linear attention", "linear recurrences", "norms", "feed-forward, mixing, operators", "Kolmogorov-Arnold layers"),
    *("optimizers", "training", "smaller networks", "theory", "interpretation", "applications"),
)
NAMED = r"(?:[A-Z][\w'-]+(?: et al\.| Team)?(?:, | and | & | ))+\d{4}"
CITED = re.compile(rf"({NAMED})[^;.]{{0,70}}?\(?arXiv (\d{{4}}\.\d{{4,5}})")


def papers() -> list[dict[str, Any]]:
    return tomllib.loads((DOCS / "data" / "papers.toml").read_text(encoding="utf-8"))["paper"]


def source(name: str) -> str:
    """A public name, and a link to the file in which it is written."""
    package, _, last = name.rpartition(".")
    module = importlib.import_module(package)
    value = inspect.unwrap(getattr(module, last))
    home = inspect.getmodule(value.forward if isinstance(value, Primitive) else value) or module  # a table has none
    return f"[{name}](../{Path(home.__file__ or '').resolve().relative_to(DOCS.parent).as_posix()})"


def link(place: str) -> str:
    """A public name, a page, a test or an exercise, as a link."""
    if place.startswith("minilinear."):
        return source(place).replace("[minilinear.", "[")
    if place.startswith("docs/"):
        page = place.removeprefix("docs/")
        text = (DOCS / page.partition("#")[0]).read_text(encoding="utf-8")
        return f"[{re.search('^# (.+)$', text, re.MULTILINE)[1]}]({page})"  # type: ignore[index]
    return f"[{place}](../{place})" if place.startswith("tests/") else f"[{place}](exercises.md#{place})"


def arxiv(number: str) -> str:
    return f"[{number}](https://arxiv.org/abs/{number})"


def row(paper: dict[str, Any]) -> str:
    """One line of a table: the paper; what became of it, and where or why."""
    told = [str(paper[key]) for key in ("authors", "year", "venue") if key in paper]
    told += [f"arXiv {arxiv(paper['arxiv'])}"] if "arxiv" in paper else []
    told += [f"[code](https://github.com/{paper['repo']})"] if "repo" in paper else []
    title = f"{paper['id']}. {paper['title']}" + f"<br>{', '.join(told)}" * bool(told)
    places = ", ".join(link(place) for place in paper.get("where", []))
    why = paper.get("why", "")
    if paper["status"] == "done":
        return f"| {title} | **done**: {places}. {why}".rstrip() + " |\n"
    status = f"**planned** in `{paper['room']}`" if "room" in paper else "left out"
    return f"| {title} | {status}: {why}" + f" There is: {places}." * bool(places) + " |\n"


def cited() -> dict[str, tuple[str, list[str]]]:
    """arXiv number -> (who and when, which public names cite it), of every room and of the catalogue's own sources."""
    found: dict[str, tuple[str, list[str]]] = {}

    def add(text: str, name: str) -> None:
        for who, number in CITED.findall(" ".join(text.split())):
            names = found.setdefault(number, (who, []))[1]
            if name not in names:
                names.append(name)

    for package, name, text in sources():
        add(text, f"{package}.{name}")
    of_names = set(found)
    for component in catalogue_rows():
        for who, number in CITED.findall(component.source):
            if number not in of_names:
                add(f"{who}, arXiv {number}", f"{component.kind} `{component.name}`")
    return found


def sources() -> list[tuple[str, str, str]]:
    """(package, name, what stands under "Source:") of each public class and function."""
    root = Path(minilinear.__file__).parent
    rooms = ["minilinear", *sorted(f"minilinear.{file.parent.name}" for file in root.glob("*/__init__.py"))]
    found = []
    for package in rooms:
        module = importlib.import_module(package)
        for name in getattr(module, "__all__", ()):
            doc = inspect.getdoc(getattr(module, name)) or ""
            if section := re.search(r"^Sources?:[ \n]+(.+?)(?:\n\n|\n[A-Z]\w+:|\Z)", doc, re.M | re.S):
                found.append((package, name, section[1]))
    return found


def paper_map() -> str:
    """The page: counts, a table for each topic, and what else is cited."""
    every = papers()
    topics = Counter(paper["topic"] for paper in every)
    count = Counter((paper["topic"], paper["status"]) for paper in every)
    total = Counter(paper["status"] for paper in every)
    page = START.format(number=len(every), **{status.replace(" ", "_"): total[status] for status in STATUS})
    page += "\n| topic | papers | " + " | ".join(STATUS) + " |\n|---|---|---|---|---|\n"
    for topic in TOPICS:
        page += f"| {topic} | {topics[topic]} | " + " | ".join(str(count[topic, status]) for status in STATUS) + " |\n"
    page += f"| all | {len(every)} | " + " | ".join(str(total[status]) for status in STATUS) + " |\n"
    for topic in TOPICS:
        page += f"\n## {topic[0].upper()}{topic[1:]}\n\n| paper | what became of it |\n|---|---|\n"
        of_topic = [paper for paper in every if paper["topic"] == topic]
        page += "".join(row(paper) for status in STATUS for paper in of_topic if paper["status"] == status)
    mapped = {paper.get("arxiv") for paper in every}
    page += OTHERS
    for number, (who, names) in sorted(cited().items()):
        if number not in mapped:
            page += f"| {who} | {arxiv(number)} | {', '.join(map(citing, names))} |\n"
    return page


def citing(name: str) -> str:
    return name if "`" in name else source(name).replace("[minilinear.", "[")


START = """<!-- made by docs/generate.py from docs/data/papers.toml; edit that file -->
# Paper map

The library set out from {number} papers. Here is what became of each: {done} are done, {planned} are planned and
{left_out} are left out.

* **done**: what the paper is about can be imported, and tests compare it with its definition. What of the paper is
  missing is said behind it. That a layer is here does not mean that the paper's measurements were repeated; those that
  were tried small stand with the [layers compared](comparisons.md).
* **planned**: the library's plan has a room for it (`linearize`, `rnn`, `mixing`, `operators`, or `labs`, where a
  claim of a paper becomes a small experiment with a stated expectation). Nothing of it is written but what is linked.
* **left out**: with the reason. Most are applications, or need a large trained model.

Authors, year and arXiv number are given where they were looked up; the number before a title is its place in the list.
"""

OTHERS = """
## Other sources

What the docstrings and the [catalogue](catalogue.md) cite by an arXiv number and is not one of those papers.

| source | arXiv | cited by |
|---|---|---|
"""
