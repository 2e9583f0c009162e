"""`minilinear explain KIND`: what the last line of an error leads to, without a browser and without a network."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from importlib.resources import files
from typing import Annotated, NamedTuple

import typer

from ..errors import ConfigError, explain, nearest
from .console import AsJson, Plain, make_console, print_json, say

FENCE = re.compile(r"```(\w+)[^\n]*\n(.*?)```\n", re.DOTALL)
LINK = re.compile(r"\[([^\]]+)\]\(([^)]*)\)")


class Section(NamedTuple):
    """The explanation of one kind.

    Attributes:
        kind: its name.
        group: the heading it stands under.
        text: why there is such a rule, and how to mend a call that breaks it.
        language: of the example: "python", or "sh" for a command.
        example: a call that breaks the rule.
        said: what is printed then.
    """

    kind: str
    group: str
    text: str
    language: str
    example: str
    said: str


def page() -> str:
    """The text of all explanations; docs/errors.md shows the same."""
    return (files(__package__) / "explanations.md").read_text(encoding="utf-8")


def sections() -> dict[str, Section]:
    """All explanations, by kind, in the order of the page."""
    return {section.kind: section for section in _read(page())}


def _read(text: str) -> Iterator[Section]:
    for group in text.split("\n## ")[1:]:
        title, *parts = group.split("\n### ")
        for part in parts:
            kind, _, body = part.partition("\n")
            (language, example), *rest = FENCE.findall(body)
            words = FENCE.sub("", body).strip()
            yield Section(kind, title.strip(), words, language, example, rest[0][1] if rest else "")


def explanation(
    kind: Annotated[
        str | None, typer.Argument(help="The kind of an error, from its last line; without one, all kinds.")
    ] = None,
    as_json: AsJson = False,
    plain: Plain = False,
) -> None:
    """Explain an error by the kind in its last line: the rule, why there is one, an example, how to mend it."""
    known, console = sections(), make_console(as_json, plain)
    if kind is not None and kind not in known:
        raise ConfigError(explain("No error is of this kind.", got=repr(kind), fix=nearest(kind, known)))
    if as_json:
        return print_json([each._asdict() for each in known.values()] if kind is None else known[kind]._asdict())
    if kind is None:
        for group in dict.fromkeys(section.group for section in known.values()):
            say(console, group, style="bold")
            say(console, "  " + ", ".join(each.kind for each in known.values() if each.group == group) + "\n")
        return say(console, "minilinear explain KIND explains one of them.")
    section = known[kind]
    say(console, f"{section.kind}\n", style="bold")
    for paragraph in LINK.sub(_named, section.text).replace("`", "").split("\n\n"):
        say(console, textwrap.fill(" ".join(paragraph.split()), min(console.width, 100)) + "\n")
    if section.language == "python":
        for short, name in (("np", "numpy"), ("ml", "minilinear")):
            if re.search(rf"\b{short}\.", section.example):
                say(console, f"    import {name} as {short}", style="dim")
    say(console, textwrap.indent(section.example, "    " if section.language == "python" else "    $ "), style="cyan")
    say(console, textwrap.indent(section.said.rstrip("\n"), "    "))
    return None


def _named(link: re.Match[str]) -> str:
    """A link to a page in words that a terminal can show."""
    words, page = link.groups()
    return f"docs/{page}" if words == page else f"{words}: docs/{page}"
