"""`minilinear generate RUN --prompt TEXT`: continue a text, one character at a time."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from ..errors import ConfigError, explain
from ..randomness import stream
from ..tasks import Text
from ..training import Run, RunFolder
from .console import AsJson, Backend


def generate(
    run: Annotated[Path, typer.Argument(help="The folder of a run on text.")],
    prompt: Annotated[str, typer.Option(help="How the text begins.")] = "The ",
    tokens: Annotated[int, typer.Option(min=1, help="Characters to add.")] = 400,
    temperature: Annotated[
        float, typer.Option(min=0.0, help="Below 1 safer, above 1 wilder; 0 takes the likeliest.")
    ] = 0.8,
    top_k: Annotated[int | None, typer.Option(min=1, help="Draw from the k likeliest characters only.")] = None,
    seed: Annotated[int, typer.Option(help="Decides the draws.")] = 0,
    backend: Backend = None,
    as_json: AsJson = False,
    plain: Annotated[bool, typer.Option("--plain", help="As for other commands; a text is always plain.")] = False,
) -> None:
    """Continue a prompt with a trained model. The state is of constant size, so every character takes the same time."""
    loaded = Run.resume(RunFolder.existing(run))
    if not isinstance(loaded.task, Text):
        raise ConfigError(
            explain(
                "generate continues a text.",
                got=f"{run} was trained on {loaded.task.name}",
                fix="minilinear train text, then generate with its folder",
            )
        )
    if not prompt:
        raise ConfigError(explain("The prompt has at least one character.", fix="--prompt 'The '"))
    loaded.model.eval()
    if loaded.average is not None:  # what was evaluated is what writes
        for parameter, value in zip(loaded.parameters, loaded.average.average()):
            parameter.assign_(value)
    begun, text = time.perf_counter(), []
    ids = loaded.model.generate(
        loaded.task.encode(prompt), rng=stream(seed, "generate"), temperature=temperature, top_k=top_k
    )
    if not as_json:
        _write(prompt)
    for _, token in zip(range(tokens), ids):
        text.append(loaded.task.decode([token]))
        if not as_json:
            _write(text[-1])
    seconds = time.perf_counter() - begun
    if as_json:
        speed = round(tokens / seconds, 1)
        print(json.dumps({"prompt": prompt, "text": "".join(text), "tokens": tokens, "tokens_per_second": speed}))
    else:
        _write("\n")


def _write(text: str) -> None:
    """At once, and with escapes for what the stream cannot carry."""
    encoding = sys.stdout.encoding or "ascii"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()
