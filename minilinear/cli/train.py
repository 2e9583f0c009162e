"""`minilinear train [TASK]`: train a model, evaluate it beyond what it was trained on, and say what came out."""

from __future__ import annotations

import contextlib
import functools
import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from ..errors import ConfigError, explain
from ..svg import line_chart
from ..tasks import GroupWords, Task, Text, task
from ..training import Run, RunConfig, RunFolder, evaluate_text, evaluate_words
from ..training.atomic import atomic_write
from ..training.display import Display, new_table, speakable
from ..training.recipes import fitted_to, parse_changes, recipe

RECORD_EVERY = 10  # steps between two lines of metrics.jsonl
CUPS = {"s3": "three cups", "s4": "four cups", "s5": "five cups"}


def train(
    context: typer.Context,
    task_name: Annotated[
        str, typer.Argument(metavar="TASK", help="s3 and other groups (s4, a5, z7, d4), words, or text.")
    ] = "s3",
    file: Annotated[
        Path | None, typer.Option(help="text: the UTF-8 file to learn; by default Python's own help texts.")
    ] = None,
    table: Annotated[Path | None, typer.Option(help="words: a group's multiplication table, JSON or CSV.")] = None,
    length: Annotated[int | None, typer.Option(help="Longest word, or characters in a window, to train on.")] = None,
    set_: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Change an option of the preset: R=1, layers=2, heads=8, forget_gate=true. Repeatable.",
        ),
    ] = [],  # noqa: B006
    preset: Annotated[str | None, typer.Option(help="state_tracking or language, instead of the task's own.")] = None,
    baseline: Annotated[bool, typer.Option(help="Groups: train the same model with R=1 beside it.")] = True,
    seed: Annotated[int, typer.Option(help="Decides weights and batches.")] = 0,
    steps: Annotated[int | None, typer.Option(help="Batches to train on.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Take as many steps as fit into this time here.")] = None,
    batch: Annotated[int | None, typer.Option(help="Sequences in a batch.")] = None,
    lr: Annotated[float | None, typer.Option(help="Largest learning rate.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of this run; by default a new one in runs/.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with the run in this folder.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")
    ] = False,
) -> None:
    """Train a model on a task and evaluate it beyond the training length.

    Without arguments, one layer of DeltaProduct learns the words of S3, three
    cups being shuffled, with R=2 reflections per token and, beside it, with
    R=1: about half a minute on two cores.
    """
    console = Console(stderr=as_json, quiet=as_json and not sys.stderr.isatty())
    started = time.perf_counter()
    with contextlib.ExitStack() as locks:
        if resume is not None:
            _alone(context)
            runs = _resumed(resume, locks)
        else:
            options = _task_options(task_name, file, table, length)
            training = {"steps": steps, "batch": batch, "lr": lr}
            made = task(task_name, **options)
            configs = _configs(
                made, preset, parse_changes(set_), baseline, seed, {k: v for k, v in training.items() if v is not None}
            )
            if minutes is not None:
                if minutes <= 0 or steps is not None:
                    raise ConfigError(explain("--minutes is positive, and instead of --steps.", got=f"{minutes}"))
                configs = [fitted_to(minutes / len(configs), config, made) for config in configs]
            runs = _started(configs, made, out, f"{made.name}-seed{seed}", locks)
        _announce(console, runs)
        _advance_all(console, runs)
        result = _evaluated(runs, time.perf_counter() - started)
    runs[0].folder.write_result(result)
    _draw(runs[0], result)
    if as_json:
        print(json.dumps(result))
    else:
        _report(console, runs, result)


# Before.


def _alone(context: typer.Context) -> None:
    """--resume takes everything else from the run's config.json."""
    on_the_line = [
        name
        for name in context.params
        if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"
        and name not in ("resume", "as_json")
    ]
    if on_the_line:
        given = ", ".join(name.removesuffix("_name").rstrip("_") for name in on_the_line)
        raise ConfigError(explain("--resume goes on with a run as it was begun.", got=given, fix="leave it out"))


def _task_options(name: str, file: Path | None, table: Path | None, length: int | None) -> dict[str, Any]:
    """The options that were given, by the names the task has for them."""
    options: dict[str, Any] = {}
    if file is not None:
        options["file"] = file
    if table is not None:
        options["table"] = table
    if length is not None:
        options |= {"length": length} if name == "text" else {"lengths": (max(1, length // 2), length)}
    return options


def _configs(
    made: Task, preset: str | None, changes: dict[str, Any], baseline: bool, seed: int, training: dict[str, Any]
) -> list[RunConfig]:
    """The run asked for, and for a group the same with R=1, unless that is what was asked for."""
    config = recipe(made, preset=preset, changes=changes, seed=seed, training=training)
    if not (baseline and isinstance(made, GroupWords)) or config.set.get("R") == 1:
        return [config]
    return [config, recipe(made, preset=preset, changes=changes | {"R": 1}, seed=seed, training=training)]


def _started(
    configs: list[RunConfig], made: Task, out: Path | None, name: str, locks: contextlib.ExitStack
) -> list[Run]:
    folder = locks.enter_context(RunFolder.create("runs", name) if out is None else RunFolder.new(out))
    runs = [Run.start(configs[0], folder, made)]
    for config in configs[1:]:
        beside = locks.enter_context(RunFolder.create(folder.path, "baseline"))
        runs.append(Run.start(config, beside, made))
    return runs


def _resumed(path: Path, locks: contextlib.ExitStack) -> list[Run]:
    runs = []
    for folder in (path, path / "baseline"):
        if folder == path or (folder / "config.json").exists():
            held = locks.enter_context(RunFolder.existing(folder))
            runs.append(Run.resume(held))
            held.truncate_after(runs[-1].step)
    return runs


# During.


def _announce(console: Console, runs: list[Run]) -> None:
    config = runs[0].config
    options = ", ".join(f"{name}={value}" for name, value in config.model["mixer_options"].items())
    console.print(f"{runs[0].task.name}, preset {config.preset}: {config.model['mixer']}({options})", highlight=False)
    console.print(
        f"{runs[0].model.parameter_count():,} parameters, {config.steps} steps of {config.batch} sequences, "
        f"seed {config.seed}; run folder {runs[0].folder.path}",
        highlight=False,
    )


def _advance_all(console: Console, runs: list[Run]) -> None:
    """One step of each in turn, so that they can be watched side by side."""
    with Display(console, [_label(run) for run in runs], [run.config.steps for run in runs]) as display:
        try:
            while not all(run.finished for run in runs):
                for i, run in enumerate(runs):
                    if not run.finished:
                        progress = run.advance()
                        if progress.step % RECORD_EVERY == 0 or run.finished:
                            run.record(progress)
                        display.update(i, progress)
                        run.save_if_due()
        except KeyboardInterrupt:
            for run in runs:
                run.save()
            print(f"\nstopped; go on with: minilinear train --resume {runs[0].folder.path}", file=sys.stderr)
            raise
    for run in runs:
        run.save()


def _label(run: Run) -> str:
    return f"R={run.config.set['R']}"


# After.


def _evaluated(runs: list[Run], seconds: float) -> dict[str, Any]:
    """The document that --json prints and result.json keeps."""
    run, config = runs[0], runs[0].config
    result: dict[str, Any] = {"task": run.task.name, "mixer": config.model["mixer"], "set": dict(config.set)}
    if isinstance(run.task, GroupWords):
        result["accuracy"] = evaluate_words(run.model, run.task)
        result["chance"] = run.task.chance
        for beside in runs[1:]:
            accuracy = evaluate_words(beside.model, run.task)
            result["baseline"] = {"mixer": result["mixer"], "set": dict(beside.config.set), "accuracy": accuracy}
    elif isinstance(run.task, Text):
        result["bits_per_character"] = evaluate_text(run.model, run.task)
        result["sha256"] = run.task.sha256
    return result | {
        "preset": config.preset,
        "seed": config.seed,
        "parameters": run.model.parameter_count(),
        "steps": run.step,
        "seconds": round(seconds, 2),
        "run": str(run.folder.path),
    }


def _draw(run: Run, result: dict[str, Any]) -> None:
    """A picture of the result, in the run's folder."""
    if "accuracy" in result:
        picture = accuracy_picture(result)
    else:
        metrics = run.folder.read_metrics()
        points = [(m["step"], m["loss"] / 0.6931471805599453) for m in metrics if m["loss"] is not None]
        picture = line_chart({"training batches": points}, title="text", x="step", y="bits per character")
    atomic_write(run.folder.path / "result.svg", picture.encode())


def accuracy_picture(result: dict[str, Any]) -> str:
    """Accuracy against the length of the word, one line for each model, as SVG."""
    lines = {}
    for part in (result, result.get("baseline")):
        if part is not None:
            points = [(int(length), found["mean"]) for length, found in part["accuracy"].items()]
            lines[f"R = {part['set']['R']}"] = points
    lines["guessing"] = [(int(length), result["chance"]) for length in result["accuracy"]]
    return line_chart(
        lines,
        title=f"words of {result['task']}: trained on at most {next(iter(result['accuracy']))} letters",
        x="letters in the word",
        y="accuracy, mean over positions",
        y_range=(0, 1),
        log_x=True,
    )


def _report(console: Console, runs: list[Run], result: dict[str, Any]) -> None:
    say = functools.partial(console.print, highlight=False, markup=False, soft_wrap=True)
    if isinstance(runs[0].task, GroupWords):
        _report_words(console, runs[0].task, result)
        again = "s3 --set R=1 --set layers=2"
        tries = {
            f"minilinear train {again}": "one reflection, but two layers",
            "minilinear train a5": "60 elements, the hard kind",
            "minilinear train text --file FILE": "the same layer reads your text",
        }
    else:
        bits, window = result["bits_per_character"], runs[0].task.config()["options"]["length"]
        say(f"\nheld-out text, bits per character: {bits['windows']:.3f} in windows of {window}, "
            f"{bits['carried']:.3f} with the state carried from each to the next")  # fmt: skip
        tries = {f"minilinear generate {result['run']}": "let it write"}
    say(f"{result['steps']} steps, {result['seconds']:.1f} s; everything is in {result['run']}")
    say("Next:")
    for command, why in tries.items():
        say(speakable(f"  {command:<46}  {why}", console))


def _report_words(console: Console, task: GroupWords, result: dict[str, Any]) -> None:
    lengths = list(result["accuracy"])
    shown = new_table(
        console,
        *("letters", *lengths),
        title=f"{result['mixer']} on words of {task.name}: right at all positions / at the last",
    )
    for part in (result, result.get("baseline")):
        if part is not None:
            cells = [f"{part['accuracy'][n]['mean']:.3f} / {part['accuracy'][n]['last']:.3f}" for n in lengths]
            shown.add_row(f"R={part['set']['R']}", *cells)
    shown.add_row("guessing", *[f"{task.chance:.3f}" for _ in lengths])
    console.print(shown)
    console.print(verdict(result), highlight=False, markup=False, soft_wrap=True, style="bold")


def verdict(result: dict[str, Any]) -> str:
    """One sentence about words four times as long as in training, and only what the numbers carry."""
    length = list(result["accuracy"])[2]
    R, mean = result["set"]["R"], result["accuracy"][length]["mean"]
    many = f"{('zero', 'one', 'two', 'three', 'four', 'five')[R] if R < 6 else R} reflection{'s' * (R > 1)} per token"
    about = f"{CUPS[result['task']]}, {length} shuffles" if result["task"] in CUPS else f"{length} letters"
    knows = "still know where the ball is" if result["task"] in CUPS else "still know the product"
    right, guessing = f"{about}: {many}, right at {mean:.0%} of the positions", f"guessing is {result['chance']:.0%}."
    if "baseline" not in result:
        return f"{right}; {guessing}"
    beside = result["baseline"]["accuracy"][length]["mean"]
    if R > 1 and mean >= 0.9 and beside <= 0.6:
        return f"{about}: {many} {knows}, one is guessing."
    return f"{right}; with one, at {beside:.0%}; {guessing}"
