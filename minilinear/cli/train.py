"""`minilinear train [TASK]`: train a model, evaluate it beyond what it was trained on, and say what came out."""

from __future__ import annotations

import contextlib
import importlib
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from ..backend import account, current_backend, on_gpu, reset_account
from ..errors import ConfigError, explain
from ..precision import MANTISSA
from ..tasks import GroupWords, Task, options_of
from ..training import Run, RunConfig, RunFolder
from ..training.display import Display
from ..training.recipes import fitted_to, parse_changes, prepare, recipe
from ..training.replay import Replay
from ..training.usage import peak_memory, too_small
from .console import AsJson, Backend, Plain, Set, make_console, print_json, say
from .learn_use import learners_own
from .result import draw, evaluated, report

RECORD_EVERY = 10  # steps between two lines of metrics.jsonl
OTHER_NAMES = {"micro_batches": "accumulate"}  # of settings, as options


def train(
    context: typer.Context,
    task_name: Annotated[
        str, typer.Argument(metavar="TASK", help="s3, a5, text, recall, mqar, digits, ...: `minilinear list tasks`.")
    ] = "s3",
    file: Annotated[
        Path | None, typer.Option(help="text: the UTF-8 file to learn; by default Python's own help texts.")
    ] = None,
    table: Annotated[Path | None, typer.Option(help="words: a group's multiplication table, JSON or CSV.")] = None,
    length: Annotated[int | None, typer.Option(help="Longest word, or characters in a window, to train on.")] = None,
    mixer: Annotated[
        str | None, typer.Option(help="The sequence layer, or a plan of several: gated_delta_net*3+softmax.")
    ] = None,
    ffn: Annotated[str | None, typer.Option(help="The feed-forward layer.")] = None,
    norm: Annotated[str | None, typer.Option(help="The norm.")] = None,
    placement: Annotated[str | None, typer.Option(help="Where the norms stand: pre, post, peri, ...")] = None,
    optimizer: Annotated[str | None, typer.Option(help="The optimizer.")] = None,
    set_: Set = [],  # noqa: B006
    preset: Annotated[
        str | None, typer.Option(help="paper, state_tracking, recall, language or text-gpu, instead of the task's own.")
    ] = None,
    baseline: Annotated[bool, typer.Option(help="Groups: train the same model with R=1 beside it.")] = True,
    seed: Annotated[int, typer.Option(help="Decides weights and batches.")] = 0,
    steps: Annotated[int | None, typer.Option(help="Batches to train on.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Take as many steps as fit into this time here.")] = None,
    batch: Annotated[int | None, typer.Option(help="Sequences in a batch.")] = None,
    lr: Annotated[float | None, typer.Option(help="Largest learning rate.")] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="|".join(MANTISSA),
            help="Of the operands of products in linear layers, and with bf16 in recurrences that have kernels for it; "
            "weights, sums and all else stay float32.",
        ),
    ] = None,
    accumulate: Annotated[
        int | None,
        typer.Option(min=1, help="Compute a batch in so many parts, adding their gradients up: less memory."),
    ] = None,
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Keep each block's input alone and run it again backwards: less memory.")
    ] = False,
    graph: Annotated[
        bool,
        typer.Option("--graph", help="On a GPU: record a step as a CUDA graph, and launch it as one."),
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder of this run; by default a new one in runs/.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with the run in this folder.")] = None,
    checkpoint_every: Annotated[
        float, typer.Option(min=0.0, help="Seconds of training between two checkpoints: what a power cut may cost.")
    ] = 30.0,
    backend: Backend = None,
    as_json: AsJson = False,
    plain: Plain = False,
) -> None:
    """Train a model on a task and evaluate it beyond the training length.

    Without arguments, one layer of DeltaProduct learns the words of S3, three
    cups being shuffled, with R=2 reflections per token and, beside it, with
    R=1: about half a minute on two cores.
    """
    console = make_console(as_json, plain)
    started = time.perf_counter()
    if (running := current_backend()) != "numpy":
        reset_account()
    with contextlib.ExitStack() as locks:
        yours = locks.enter_context(learners_own(console))
        if resume is not None:
            alone(context, "checkpoint_every", "precision", "graph")
            runs = resumed(resume, locks)
            if precision is not None:
                change_precision(console, runs, precision)
        else:
            named = {"mixer": mixer, "ffn": ffn, "norm": norm, "placement": placement, "optimizer": optimizer}
            numbers = {
                "steps": steps, "batch": batch, "lr": lr, "precision": precision, "micro_batches": accumulate,
                "recompute": recompute or None,
            }  # fmt: skip
            settings, changes = {name: value for name, value in named.items() if value is not None}, parse_changes(set_)
            given = settings.keys() | {name for name, value in numbers.items() if value is not None}
            if twice := given & changes.keys():
                name = min(twice)
                option = OTHER_NAMES.get(name, name)
                raise ConfigError(explain("An option is given once.", got=f"--{option} and --set {name}"))
            settings |= changes
            made, config = prepare(
                task_name,
                settings,
                task_options=_task_options(task_name, file, table, length),
                preset=preset,
                seed=seed,
                training={name: value for name, value in numbers.items() if value is not None},
            )
            configs = [config]
            if baseline and isinstance(made, GroupWords) and config.set.get("R", 1) != 1:
                configs.append(prepare_baseline(made, config, settings, preset, numbers))
            if minutes is not None:
                if not 0 < minutes < 1e5 or steps is not None:
                    raise ConfigError(explain("--minutes is positive, and instead of --steps.", got=f"{minutes}"))
                configs = [fitted_to(minutes / len(configs), config, made) for config in configs]
            runs = _started(configs, made, out, f"{made.name}-seed{seed}", locks)
        for run in runs:
            run.checkpoint_every = checkpoint_every
            if graph:
                run.use_graph()
        announce(console, runs)
        before = sum(run.seconds for run in runs)  # of earlier sittings
        launches = advance_all(console, runs)
        if runs[0].replay is not None:
            say(console, replays(runs[0].replay))
        lengths = ", ".join(map(str, runs[0].task.tested))
        say(console, f"trained; testing at {lengths} tokens")
        try:
            found = [evaluated(run) for run in runs]
        except KeyboardInterrupt:
            again = f"minilinear train --resume {runs[0].folder.path}"
            print(f"\nstopped while testing; what was learnt is saved. Test it with: {again}", file=sys.stderr)
            raise
        result = found[0]
        if len(runs) > 1:
            beside = found[1]
            result["baseline"] = {name: beside[name] for name in ("mixer", "set", "scores")}
        result["seconds"] = round(before + time.perf_counter() - started, 2)
        result["peak_memory"], result["peak_memory_of"] = peak_memory()
        result["launches_per_step"] = launches
        if (replay := runs[0].replay) is not None:
            result["peak_memory"] += replay.held
            result["graph"] = {"replayed": replay.replayed, "other": replay.other, "why": replay.why}
        result["backend"] = running
        if yours:
            result["yours"] = yours
        if running != "numpy":
            result |= account()._asdict()
    runs[0].folder.write_result(result)
    draw(runs[0], result)
    if as_json:
        print_json(result)
    else:
        report(console, runs, result)


# Before.


def alone(context: typer.Context, *but: str) -> None:
    """--resume takes everything else from what was begun."""
    on_the_line = [
        name
        for name in context.params
        if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"
        and name not in ("resume", "backend", "as_json", "plain", *but)
    ]
    if on_the_line:
        given = ", ".join(name.removesuffix("_name").rstrip("_") for name in on_the_line)
        raise ConfigError(
            explain("--resume goes on with a run as it was begun.", got=given, fix="leave it out", see="run-folder")
        )


def _task_options(name: str, file: Path | None, table: Path | None, length: int | None) -> dict[str, Any]:
    """The options that were given, by the names the task has for them."""
    options: dict[str, Any] = {}
    if file is not None:
        options["file"] = file
    if table is not None:
        options["table"] = table
    if length is not None:
        several = "lengths" in options_of(name)  # the shortest and the longest
        options |= {"lengths": (max(1, length // 2), length)} if several else {"length": length}
    return options


def prepare_baseline(
    made: Task, config: RunConfig, settings: dict[str, Any], preset: str | None, numbers: dict[str, Any]
) -> RunConfig:
    """The same model with one reflection per token."""
    changes = {key: value for key, value in settings.items() if not key.startswith("task.")} | {"R": 1}
    training = {name: value for name, value in numbers.items() if value is not None}
    return recipe(made, preset=preset, changes=changes, seed=config.seed, training=training)


def _started(
    configs: list[RunConfig], made: Task, out: Path | None, name: str, locks: contextlib.ExitStack
) -> list[Run]:
    folder = locks.enter_context(RunFolder.create("runs", name) if out is None else RunFolder.new(out))
    runs = [Run.start(configs[0], folder, made)]
    for config in configs[1:]:
        beside = locks.enter_context(RunFolder.create(folder.path, "baseline"))
        runs.append(Run.start(config, beside, made))
    return runs


def resumed(path: Path, locks: contextlib.ExitStack) -> list[Run]:
    """The run in a folder, and its baseline where it has one, locked, each at its last checkpoint."""
    runs = []
    for folder in (path, path / "baseline"):
        if folder == path or (folder / "config.json").exists():
            held = locks.enter_context(RunFolder.existing(folder))
            runs.append(Run.resume(held))
            held.truncate_after(runs[-1].step)
    return runs


def change_precision(console: Console, runs: list[Run], precision: str) -> None:
    """Go on in another precision, and say so."""
    for run in runs:
        before = run.config.precision
        run.go_on_in(precision)
    if precision != before:
        say(
            console,
            f"products were computed in {before} up to step {runs[0].step}, and are in {precision} from here on",
        )


# During.


def announce(console: Console, runs: list[Run]) -> None:
    """Say what is about to be trained, and where it is kept."""
    config = runs[0].config
    options = ", ".join(f"{name}={value}" for name, value in config.model["mixer_options"].items())
    say(console, f"{runs[0].task.name}, preset {config.preset}: {config.model['mixer']}({options})")
    if runs[0].step:
        say(console, f"going on at step {runs[0].step} of {config.steps}")
    say(
        console,
        f"{runs[0].model.parameter_count():,} parameters, {config.steps} steps of {config.batch} sequences by "
        f"{config.optimizer}, seed {config.seed}; run folder {runs[0].folder.path}",
    )
    tokens = max(1, config.batch * runs[0].task.tested[0] // config.micro_batches)
    small = too_small(config.model["D"], tokens, config.precision) if on_gpu() else None
    if small:
        say(console, small)
    if config.precision != "fp32":
        tiles = config.precision == "bf16" and current_backend() != "numpy"
        more = ", and of recurrences that have kernels for it," if tiles else ""
        say(
            console,
            f"products of linear layers{more} in {config.precision}; weights, sums and everything else in float32",
        )


def advance_all(console: Console, runs: list[Run]) -> int | None:
    """One step of each in turn, so that they can be watched side by side.

    Returns:
        How many kernels the last step of the first run launched; None without kernels, or without a step.
    """
    launches: int | None = None
    with Display(console, [name_of(run) for run in runs], [run.config.steps for run in runs]) as display:
        try:
            while not all(run.finished for run in runs):
                for i, run in enumerate(runs):
                    if not run.finished:
                        last = i == 0 and run.step == run.config.steps - 1 and current_backend() != "numpy"
                        with _recorded() if last else contextlib.nullcontext([]) as launched:
                            progress = run.advance()
                        launches = len(launched) if last else launches
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
    return launches


def _recorded() -> Any:
    """A list of the kernels launched in the block; NumPy's runs do not load them."""
    return importlib.import_module("minilinear.gpu.launch").recorded()


def replays(replay: Replay) -> str:
    """One line on what became of --graph."""
    if replay.why is not None:
        return f"--graph: {replay.why}; {replay.other} parts of batches ran as ever"
    return f"--graph: {replay.replayed} of {replay.replayed + replay.other} parts of batches were replays"


def name_of(run: Run) -> str:
    """What tells a run from the one beside it: R=2, or its mixer."""
    return f"R={run.config.set['R']}" if "R" in run.config.set else str(run.config.model["mixer"])
