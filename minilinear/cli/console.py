"""What all commands share: where they print, and in which form.

`--json` prints one JSON document on stdout and everything else, if a person watches, on stderr. `--plain` prints ASCII
without colours, boxes or moving lines, for logs and screen readers; NO_COLOR takes the colours alone.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.segment import Segments

from ..backend import BACKENDS, use
from ..errors import ConfigError, explain, nearest
from ..terminal import new_table, speakable

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")]
Plain = Annotated[bool, typer.Option("--plain", help="ASCII, no colours, no moving lines.")]


def _choose(context: typer.Context, name: str | None) -> str | None:
    """Put the backend in force for as long as the command runs."""
    if name is not None and name not in BACKENDS:
        raise ConfigError(
            explain(f"--backend is one of {', '.join(BACKENDS)}.", got=repr(name), fix=nearest(name, BACKENDS))
        )
    if name is not None:
        context.with_resource(use(name))
    return name


Backend = Annotated[
    str | None,
    typer.Option(
        callback=_choose,
        metavar="|".join(BACKENDS),
        help="What computes; by default $MINILINEAR_BACKEND. "
        + "; ".join(f"{name}: {what}" for name, what in BACKENDS.items()),
    ),
]
Set = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Change an option of the mixer, model or training: R=1, layers=2, lr=0.001; task.NAME or optimizer.NAME "
        "for one of theirs. Repeatable.",
    ),
]


class PlainConsole(Console):
    """A console that takes ASCII only."""

    @property
    def encoding(self) -> str:
        return "ascii"


def make_console(as_json: bool = False, plain: bool = False) -> Console:
    """Where a command talks to a person: stdout, or stderr beside a JSON document."""
    quiet = as_json and not sys.stderr.isatty()
    if plain:
        return PlainConsole(stderr=as_json, quiet=quiet, no_color=True, force_terminal=False)
    return Console(stderr=as_json, quiet=quiet)


def say(console: Console, text: str = "", *, style: str | None = None) -> None:
    """Print a text as it stands: no markup, no highlighting, no line breaks that were not asked for."""
    console.print(speakable(text, console.encoding), highlight=False, markup=False, soft_wrap=True, style=style)


def say_notes(error: Exception, console: Console) -> None:
    """What Python prints behind an error's message: which command explains it."""
    for note in getattr(error, "__notes__", ()):
        say(console, note, style="dim")


def show_table(
    console: Console,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    title: str | None = None,
    numbers: bool = True,
) -> None:
    """Print a table: the first column to the left and the others, if they are numbers, to the right."""
    if title:
        say(console, title)
    shown = new_table(console, *columns)
    for column in shown.columns if not numbers else []:
        column.justify = "left"
    for row in rows:
        shown.add_row(*(speakable(str(cell), console.encoding).replace("[", r"\[") for cell in row))
    wanted = console.measure(shown, options=console.options.update(max_width=1000)).maximum
    wide = console.options.update(width=max(wanted, console.width))  # print itself never goes beyond the console
    console.print(Segments(console.render(shown, wide)), crop=False, end="")  # never a cell cut short


def print_json(document: Any) -> None:
    """One JSON document on stdout; a number that is not finite is null."""
    print(json.dumps(_finite(document), allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
