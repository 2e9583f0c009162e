"""`minilinear compare TASK --over NAME=A,B ...`: one training for every combination of choices, over several seeds.

Every run is a folder of its own below the comparison's: a comparison that was stopped goes on where it was, and every
number of the table can be looked up. A combination that does not exist (a mixer without the option) is left out and
named.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import re
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from ..errors import ConfigError, RunError, explain
from ..models import MIXERS, ModelConfig, make_model
from ..models.stack import mixers_of, options_of
from ..tasks import Task
from ..training import Run, RunConfig, RunFolder
from ..training.atomic import atomic_write
from ..training.display import Display
from ..training.recipes import parse_changes, parse_value, prepare
from ..training.run import versions
from .console import AsJson, Backend, Plain, Set, make_console, print_json, say, show_table
from .result import evaluated, headline
from .train import alone

COMMA = re.compile(r",(?![^\[]*\])")  # between values, not inside a list
FITTED = {"parameters": ["hidden"], "state": ["key_dim", "value_dim", "window"]}  # what --equal changes

Equal = Annotated[
    str | None,
    typer.Option(
        metavar="parameters|state",
        help="Give every row as many parameters (by the width of its feed-forward layer) or as many numbers of state "
        "(by key_dim and value_dim, or the window) as the first has.",
    ),
]


def compare(
    context: typer.Context,
    task_name: Annotated[str | None, typer.Argument(metavar="TASK", help="What to train on.")] = None,
    over: Annotated[
        list[str], typer.Option(metavar="NAME=A,B,...", help="A setting and the values to compare. Repeatable.")
    ] = [],  # noqa: B006
    seeds: Annotated[int, typer.Option(min=1, help="Train each row with seeds 0 .. N-1.")] = 3,
    set_: Set = [],  # noqa: B006
    preset: Annotated[str | None, typer.Option(help="Instead of the task's own.")] = None,
    equal: Equal = None,
    length: Annotated[int | None, typer.Option(help="What the table shows: the score at this length only.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder; by default a new one in runs/.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with the comparison in this folder.")] = None,
    backend: Backend = None,
    as_json: AsJson = False,
    plain: Plain = False,
) -> None:
    """Train the same task with every combination of some settings, and put the scores in one table.

    Each cell is the mean over seeds and, behind it, the lowest and the highest.
    """
    console = make_console(as_json, plain)
    if resume is not None:
        alone(context, "length")
        folder = RunFolder(resume)
        plan = _read_plan(folder)
    else:
        if task_name is None:
            raise ConfigError(explain("compare takes a task, or --resume.", fix="minilinear compare s3 --over R=1,2"))
        if equal not in (None, "parameters", "state"):
            raise ConfigError(explain("--equal is parameters or state.", got=repr(equal)))
        plan = {
            "task": task_name, "over": _grid(over), "seeds": seeds, "set": parse_changes(set_), "preset": preset,
            "equal": equal, "date": date.today().isoformat(), "machine": machine(),
            "command": shlex.join(["minilinear", *sys.argv[1:]]),
        }  # fmt: skip
        begun, _ = cells(plan)  # whatever is wrong is wrong before the first run
        _check_length(length, [str(n) for n in begun[0][2].tested])
        folder = RunFolder.create("runs", f"compare-{task_name}") if out is None else RunFolder.new(out)
    with folder:
        if resume is None:
            atomic_write(folder.path / "compare.json", (json.dumps(plan, indent=2) + "\n").encode())
        document = _run_all(console, folder, plan)
        folder.write_result(document)
        text = markdown(document, length)
        atomic_write(folder.path / "table.md", text.encode())
    if as_json:
        print_json(document)
        return
    columns, rows = table_of(document, length)
    show_table(console, columns, rows, title=f"{document['task']}: {document['score']}, mean of {plan['seeds']} seeds")
    for note in document["left_out"]:
        say(console, note)
    say(console, f"every run, every seed and this table as Markdown are in {folder.path}")


def _grid(over: Sequence[str]) -> dict[str, list[Any]]:
    grid: dict[str, list[Any]] = {}
    for given in over:
        name, equals, values = given.partition("=")
        if not equals or not name or not values:
            raise ConfigError(explain("--over takes NAME=A,B,...", got=repr(given), fix="--over mixer=gla,delta_net"))
        grid[name] = [parse_value(value) for value in dict.fromkeys(COMMA.split(values))]
    if not grid:
        raise ConfigError(explain("A comparison is over something.", fix="--over mixer=linear,delta_net"))
    return grid


def machine() -> str:
    """What a comparison ran on, in a line."""
    versions_ = versions()
    return f"{os.cpu_count()} cores, {versions_['machine']}, Python {versions_['python']}, NumPy {versions_['numpy']}"


def _check_length(length: int | None, lengths: Sequence[str]) -> None:
    if length is not None and str(length) not in lengths:
        raise ConfigError(explain(f"The lengths are {', '.join(lengths)}.", got=length))


def _read_plan(folder: RunFolder) -> dict[str, Any]:
    try:
        return json.loads((folder.path / "compare.json").read_text())
    except FileNotFoundError:
        raise RunError(
            explain("There is no comparison here to go on with.", got=str(folder.path), see="run-folder")
        ) from None
    except ValueError as reason:
        raise RunError(explain(f"{folder.path / 'compare.json'} is damaged.", got=reason, see="damaged-file")) from None


# The rows.


def cells(plan: dict[str, Any]) -> tuple[list[tuple[str, dict[str, Any], Task, RunConfig]], list[str]]:
    """(label, choices, task, configuration) of each row, for seed 0; and what was left out, and why."""
    rows, left_out = [], []
    names = list(plan["over"])
    for values in itertools.product(*plan["over"].values()):
        choices = dict(zip(names, values))
        label = ", ".join(f"{n}={json.dumps(v) if not isinstance(v, str) else v}" for n, v in choices.items())
        settings = plan["set"] | choices
        missing = _missing(settings)
        if any(choices.get(name) for name in missing):
            left_out.append(f"left out: {label}: {settings['mixer']} has no {', '.join(missing)}")
            continue
        settings = {name: value for name, value in settings.items() if name not in missing}
        made, config = prepare(plan["task"], settings, preset=plan["preset"])
        rows.append((label, choices, made, config))
    if not rows:
        raise ConfigError(explain("No combination of these settings exists.", got="; ".join(left_out)))
    if plan["equal"]:
        if both := plan["over"].keys() & set(FITTED[plan["equal"]]):
            raise ConfigError(
                explain(f"--equal {plan['equal']} changes {', '.join(both)} itself.", fix="leave one out")
            )
        rows = [rows[0], *(_fitted(row, rows[0], plan["equal"]) for row in rows[1:])]
        sizes = [_size(config, made, plan["equal"]) for _, _, made, config in rows]
        left_out += [
            f"not equal: {row[0]} has {size:,}, the first row {sizes[0]:,}"
            for row, size in zip(rows, sizes)
            if not 0.9 < size / sizes[0] < 1.1
        ]
    return rows, left_out


def _missing(settings: dict[str, Any]) -> list[str]:
    """Settings that are an option of some mixer, but not of this row's: it goes without."""
    mixer = settings.get("mixer")
    if not isinstance(mixer, str):
        return []
    of_some = {option for name in MIXERS for option in options_of(name)}
    own = {option for name in mixers_of(mixer) for option in options_of(name)}
    return [name for name in settings if name in of_some and name not in own]


def _fitted(row: Any, first: Any, equal: str) -> Any:
    """The row with the size that comes nearest to the first row's parameters or state."""
    label, choices, made, config = row
    wanted = _size(first[3], made, equal)
    best = min(_sizes(config, equal), key=lambda c: abs(_size(c, made, equal) - wanted), default=config)
    return label, choices, made, best


def _sizes(config: RunConfig, equal: str) -> list[RunConfig]:
    model = dict(config.model)
    if equal == "parameters":
        return [replace(config, model=model | {"hidden": hidden}) for hidden in range(4, 513, 4)]
    options = dict(model["mixer_options"])
    if model["mixer"] == "softmax":
        return [replace(config, model=model | {"mixer_options": options | {"window": w}}) for w in range(1, 513)]
    if "key_dim" not in options:
        raise ConfigError(explain("--equal state changes key_dim and value_dim.", got=f"mixer {model['mixer']}"))
    ratio = (options.get("value_dim") or options["key_dim"]) / options["key_dim"]
    return [
        replace(
            config, model=model | {"mixer_options": options | {"key_dim": K, "value_dim": max(1, round(ratio * K))}}
        )
        for K in range(2, 129, 2)
    ]


def _chosen(config: RunConfig) -> dict[str, Any]:
    """What --equal may have changed of a row."""
    options = dict(config.model["mixer_options"]) | {"hidden": config.model["hidden"]}
    return {name: options[name] for names in FITTED.values() for name in names if options.get(name) is not None}


@functools.cache
def _size_of(model: str, length: int) -> tuple[int, int]:
    made = make_model(ModelConfig.from_json(json.loads(model)), rng=np.random.default_rng(0))
    return made.parameter_count(), made.state_floats(length)


def _size(config: RunConfig, made: Task, equal: str) -> int:
    sizes = _size_of(json.dumps(config.model, sort_keys=True), made.tested[0])
    return sizes[0] if equal == "parameters" else sizes[1]


# The runs.


def _run_all(console: Console, folder: RunFolder, plan: dict[str, Any]) -> dict[str, Any]:
    rows, left_out = cells(plan)
    found, done, began = [], 0, time.perf_counter()
    total = len(rows) * plan["seeds"]
    score, better = "", "higher"
    for label, choices, made, config in rows:
        results = []
        for seed in range(plan["seeds"]):
            path = folder.path / "".join(c if c.isalnum() or c in "=._" else "-" for c in f"{label}.seed{seed}")
            results.append(_one(console, path, made, replace(config, seed=seed), f"{label}, seed {seed}"))
            done += 1
            name, value = headline(next(iter(results[-1]["scores"].values())))
            seconds = time.perf_counter() - began
            say(console, f"[{done}/{total}, {seconds:.0f} s] {label}, seed {seed}: {name} {value:.3f}")
        score, better = headline(next(iter(results[0]["scores"].values())))[0], getattr(made, "better", "higher")
        found.append(
            {
                "row": label,
                "choices": choices,
                "fitted": _chosen(config) if plan["equal"] else {},
                "parameters": results[0]["parameters"],
                "state_floats": results[0]["state_floats"],
                "seeds": [result["scores"] for result in results],
                "seconds": [result["seconds"] for result in results],
            }
        )
    chance = results[0]["chance"]
    return plan | {"score": score, "better": better, "chance": chance, "rows": found, "left_out": left_out}


def _one(console: Console, path: Path, made: Task, config: RunConfig, label: str) -> dict[str, Any]:
    """The result of one run: read, gone on with, or trained."""
    folder = RunFolder(path)
    if folder.result.exists():
        return folder.read_result()
    with contextlib.ExitStack() as locks:
        if folder.config.exists():
            run = Run.resume(locks.enter_context(folder))
            folder.truncate_after(run.step)
        else:
            run = Run.start(config, locks.enter_context(RunFolder.new(path)), made)
        try:
            with Display(console, [label], [run.config.steps]) as display:
                while not run.finished:
                    progress = run.advance()
                    if progress.step % 10 == 0 or run.finished:
                        run.record(progress)
                    display.update(0, progress)
                    run.save_if_due()
        except KeyboardInterrupt:
            run.save()
            say(Console(stderr=True), f"\nstopped; go on with: minilinear compare --resume {path.parent}")
            raise
        run.save()
        result = evaluated(run)
        folder.write_result(result)
    return result


# The table.


def table_of(document: dict[str, Any], length: int | None = None) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of text: a column for each length, mean and (lowest .. highest) over the seeds."""
    lengths = list(document["rows"][0]["seeds"][0])
    if length is not None:
        _check_length(length, lengths)
        lengths = [str(length)]
    seconds = "s a run"
    rows = []
    for row in document["rows"]:
        cells_ = []
        for n in lengths:
            values = [headline(seed[n])[1] for seed in row["seeds"]]
            spread = f" ({min(values):.3f} .. {max(values):.3f})" if len(values) > 1 else ""
            cells_.append(f"{np.mean(values):.3f}{spread}")
        numbers = [f"{row['parameters']:,}", f"{row['state_floats']:,}", f"{np.mean(row['seconds']):.0f}"]
        rows.append([row["row"], *cells_, *numbers])
    return ["", *(f"at {n}" for n in lengths), "parameters", "state", seconds], rows


def markdown(document: dict[str, Any], length: int | None = None) -> str:
    """The table as Markdown, with every seed below it."""
    columns, rows = table_of(document, length)
    lines = [f"{document['task']}: {document['score']}, mean over {document['seeds']} seeds (lowest .. highest)", ""]
    lines += [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    lines += ["", f"Guessing: {document['chance']:.3f}. {document['machine']}, {document['date']}."]
    lines += ["", f"    {document['command']}", ""] if document.get("command") else []
    lines += [f"- {note}" for note in document["left_out"]]
    lines += ["", "Every seed:", ""]
    for row in document["rows"]:
        seeds = "; ".join(" ".join(f"{headline(s)[1]:.3f}" for s in seed.values()) for seed in row["seeds"])
        fitted = ", ".join(f"{name} {value}" for name, value in row.get("fitted", {}).items())
        lines.append(f"- {row['row']}: {seeds}{f' ({fitted})' if fitted else ''}")
    return "\n".join(lines) + "\n"
