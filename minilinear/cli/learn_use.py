"""`minilinear learn use` and `unuse`: the learner's own function in the runs that start beside their workspace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..errors import ConfigError, explain
from ..learn.use import OPERATIONS, operation, using
from ..learn.workspace import Workspace
from .console import Plain, make_console, say
from .learn_console import WorkspaceFolder, beside


def use(
    name: Annotated[str, typer.Argument(metavar="ID", help="delta-6 or linear-1, passed.")],
    workspace: WorkspaceFolder = None,
    plain: Plain = False,
) -> None:
    """Run your function in the place of the library's, in every `minilinear train` that is started here.

    Its gradient is yours too once that exercise is passed, and the library's until then; the run says which.
    """
    console, found = make_console(plain=plain), beside(workspace)
    each = operation(found.course[name].id)
    if (status := found.status(found.course[each.forward])) != "passed":
        fix = f"minilinear learn run {each.forward}"
        rule = f"{each.forward} does not pass as it stands; a run uses only what does."
        raise ConfigError(explain(rule, got=status, fix=fix))
    found.progress.set("used", sorted({*found.progress.document.get("used", []), each.forward}))
    with using(found.course, sources(found)) as banner:
        for line in banner:
            say(console, line)
    say(console, f"in every run that is started in {found.folder}, in a folder of it, or in the one that holds it:")
    say(console, f"minilinear train {TRY[each.forward]}")


TRY = {"linear-1": "recall --mixer linear", "delta-6": "s3"}  # a run that uses it


def unuse(
    name: Annotated[str | None, typer.Argument(metavar="[ID]", help="By default all of them.")] = None,
    workspace: WorkspaceFolder = None,
    plain: Plain = False,
) -> None:
    """Go back to the library's function."""
    console, found = make_console(plain=plain), beside(workspace)
    used = found.progress.document.get("used", [])
    gone = used if name is None else [operation(found.course[name].id).forward]
    found.progress.set("used", [each for each in used if each not in gone])
    say(
        console,
        "the library's own again: " + (", ".join(each for each in gone if each in used) or "nothing of yours ran"),
    )


@contextmanager
def learners_own(console: Console) -> Iterator[list[str]]:
    """Within it the functions that `learn use` named run in the place of the library's, and the banner says so.

    Yields:
        The lines of the banner; none without a workspace here.
    """
    folder = Workspace.find(Path.cwd())
    if folder is None:
        yield []
        return
    found = Workspace.open(folder)
    for line in stale(found):
        say(console, line)
    files = sources(found)
    if not files:
        yield []
        return
    with using(found.course, files) as banner:
        for line in banner:
            say(console, line)
        yield banner


def sources(found: Workspace) -> dict[str, str]:
    """The files that runs use: those that were named and have passed, as they are now, and their gradients' too."""
    texts = {}
    for each in OPERATIONS:
        if each.forward in found.progress.document.get("used", []):
            for name in (each.forward, each.backward):
                text = found.text(found.course[name])
                if text is not None and found.status(found.course[name]) == "passed":
                    texts[name] = text
    return texts


def stale(found: Workspace) -> Iterator[str]:
    """What was named for runs and is not used, since it does not pass as it stands."""
    for each in OPERATIONS:
        if each.forward in found.progress.document.get("used", []):
            states = {name: found.status(found.course[name]) for name in (each.forward, each.backward)}
            for name, state in states.items():
                why = "has changed since it passed" if state == "changed" else "does not pass as it stands"
                if state == "changed" or (name == each.forward and state != "passed"):
                    yield f"{name} {why}: the library's own runs; minilinear learn run {name}"
                    break  # the library's forward has the library's gradient
