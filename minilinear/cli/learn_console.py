"""What the verbs of `minilinear learn` share: which exercise, course and workspace are meant, how lines are printed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..errors import ConfigError, explain
from ..learn import show
from ..learn.workspace import Workspace
from .console import say

Id = Annotated[str | None, typer.Argument(metavar="[ID]", help="memory-1, or its file; by default the current one.")]
CourseFolder = Annotated[
    Path | None, typer.Option("--course", metavar="DIR", help="A course of your own; by default minilinear's.")
]
WorkspaceFolder = Annotated[
    Path | None, typer.Option("--workspace", metavar="DIR", help="Your files; by default this folder or one above.")
]
COMMAND = "minilinear learn"


def beside(workspace: Path | None, course: Path | None = None) -> Workspace:
    """The workspace of a command: the one that is named, or the one here.

    Raises:
        ConfigError: there is none.
    """
    folder = workspace.resolve() if workspace else Workspace.find(Path.cwd())
    if folder is None:
        fix = "minilinear learn init, or --workspace DIR"
        raise ConfigError(explain("There is no workspace here.", got=str(Path.cwd()), fix=fix, see="workspace"))
    return Workspace.open(folder, course)


def write(console: Console, lines: Iterable[show.Line]) -> None:
    """Print lines of the course, each in its style."""
    for line in lines:
        say(console, line.text, style=line.style or None)
