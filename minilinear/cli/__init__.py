"""The command line: `minilinear train`, `compare`, `inspect`, `play`, `generate`, `list`, `catalogue`, `bench`, ...

Exit codes: 0 done; 1 the job failed; 2 wrong usage; 3 the environment refused; 130 interrupted.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console

from .. import __version__
from ..backend import keep_freed_memory
from ..errors import BackendError, ConfigError, RunError, TrainingFailed
from ..terminal import speakable
from .bench import bench
from .catalogue import catalogue, list_names
from .compare import compare
from .console import PlainConsole, say_notes
from .doctor import doctor
from .explain import explanation
from .generate import generate
from .inspect_run import inspect
from .kernels import kernels
from .learn import learn
from .play import play
from .train import train

_UNICODE = (sys.stdout.encoding or "").lower().startswith("utf")  # rich's boxes need more than ASCII

app = typer.Typer(
    name="minilinear",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich" if _UNICODE else None,
    help="Learn, check and run modern linear sequence models.",
    epilog="Exit codes: 0 done, 1 the job failed, 2 wrong usage, 3 the environment refused, 130 interrupted.",
)
app.command()(train)
app.command()(compare)
app.command()(inspect)
app.command()(play)
app.command()(generate)
app.command("list")(list_names)
app.command()(catalogue)
app.command()(bench)
app.command()(doctor)
app.command("explain")(explanation)
app.add_typer(kernels, name="kernels")
app.add_typer(learn, name="learn")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"minilinear {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line and exit with its code."""
    keep_freed_memory()
    try:
        app()
    except ConfigError as error:
        sys.exit(_say(error, 2))
    except TrainingFailed as error:
        sys.exit(_say(error, 1))
    except (RunError, BackendError) as error:
        sys.exit(_say(error, 3))


def _say(error: Exception, code: int) -> int:
    plain = "--plain" in sys.argv
    print(speakable(f"error: {error}", "ascii" if plain else sys.stderr.encoding), file=sys.stderr)
    say_notes(error, PlainConsole(stderr=True, no_color=True) if plain else Console(stderr=True))
    return code
