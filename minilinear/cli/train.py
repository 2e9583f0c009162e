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
from ..precision import MANTISSA, products_in
from ..randomness import stream
from ..svg import line_chart
from ..tasks import GroupWords, Needles, Task, Text, options_of
from ..training import Run, RunConfig, RunFolder, bits_by_position, evaluate, evaluate_text
from ..training.atomic import atomic_write
from ..training.display import Display
from ..training.evaluation import EVALUATION_SEED, outputs_of
from ..training.recipes import fitted_to, parse_changes, prepare, recipe
from ..training.replay import Replay
from ..training.usage import peak_memory, too_small
from .console import AsJson, Backend, Plain, Set, make_console, print_json, say, show_table
from .learn_use import learners_own

RECORD_EVERY = 10  # steps between two lines of metrics.jsonl
OTHER_NAMES = {"micro_batches": "accumulate"}  # of settings, as options
CUPS = {"s3": "three cups", "s4": "four cups", "s5": "five cups"}


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
        _announce(console, runs)
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
        result["seconds"] = round(time.perf_counter() - started, 2)
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
        _report(console, runs, result)


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


def _announce(console: Console, runs: list[Run]) -> None:
    config = runs[0].config
    options = ", ".join(f"{name}={value}" for name, value in config.model["mixer_options"].items())
    say(console, f"{runs[0].task.name}, preset {config.preset}: {config.model['mixer']}({options})")
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
    with Display(console, [_label(run) for run in runs], [run.config.steps for run in runs]) as display:
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


def _label(run: Run) -> str:
    return f"R={run.config.set['R']}" if "R" in run.config.set else str(run.config.model["mixer"])


# After.


def evaluated(run: Run) -> dict[str, Any]:
    """The document that --json prints and result.json keeps; evaluation is of the averaged weights, where there are."""
    config, model = run.config, run.model
    result: dict[str, Any] = {
        "task": run.task.name,
        "mixer": config.model["mixer"],
        "set": dict(config.set),
        "preset": config.preset,
        "seed": config.seed,
        "precision": config.precision,
    }
    for changed in ("backends", "precisions"):
        if len(getattr(run, changed)) > 1:
            result[changed] = getattr(run, changed)
    with products_in(config.precision), run.average.applied() if run.average is not None else contextlib.nullcontext():
        if isinstance(run.task, Text):
            model.eval()
            grows = model.state_floats(4 * run.task.length) > model.state_floats(2 * run.task.length)
            result["bits_per_character"] = evaluate_text(model, run.task, limit=16 if grows else None)
            result["bits_by_position"] = bits_by_position(model, run.task)
            result["scores"] = {str(run.task.length): {"bits": result["bits_per_character"]["windows"]}}
            result["sha256"] = run.task.sha256
            model.train()
        else:
            result["scores"] = evaluate(model, run.task)
        if isinstance(run.task, Needles):
            result["depths"] = needle_grid(model, run.task)
    return result | {
        "chance": run.task.chance,
        "parameters": model.parameter_count(),
        "state_floats": model.state_floats(run.task.tested[0]),
        "steps": run.step,
        "seconds": round(run.seconds, 2),
        "tokens_per_second": None if run.tokens_per_second is None else round(run.tokens_per_second, 1),
        "run": str(run.folder.path),
    }


DEPTHS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def needle_grid(model: Any, made: Needles) -> dict[str, dict[str, float]]:
    """Exact match by the length of the text and the depth of the needle in it: {"256": {"0.0": ..., ...}, ...}."""
    lengths = [n for n in made.tested if n <= 1024]
    model.eval()
    rng = stream(EVALUATION_SEED, "needles")
    found = made.grid(lambda inputs: outputs_of(model, inputs), rng, lengths, DEPTHS, 16)
    model.train()
    return {str(n): {f"{depth:.1f}": float(x) for depth, x in zip(DEPTHS, row)} for n, row in zip(lengths, found)}


def headline(scores: dict[str, float]) -> tuple[str, float]:
    """The score that a task is compared by: its first."""
    return next(iter(scores.items()))


def draw(run: Run, result: dict[str, Any]) -> None:
    """Pictures in the run's folder: the result against length (result.svg), and the loss (loss.svg)."""
    metrics = [m for m in run.folder.read_metrics() if m["loss"] is not None]
    losses = [(m["step"], m["loss"]) for m in metrics]
    picture = line_chart({"training batches": losses}, title=f"{result['task']}, loss", x="step", y="loss")
    atomic_write(run.folder.path / "loss.svg", picture.encode())
    atomic_write(run.folder.path / "result.svg", result_picture(result).encode())


def result_picture(result: dict[str, Any]) -> str:
    """The headline against the length of the sequence, a line for each model, as SVG."""
    if "bits_by_position" in result:
        buckets = result["bits_by_position"]
        lines = {
            kind: [(int(n), bits[kind]) for n, bits in buckets.items() if bits[kind] is not None]
            for kind in ("carried", "windows")
        }
        return line_chart(
            lines,
            title="held-out text: bits per character by position",
            x="position, in training lengths",
            y="bits per character",
            log_x=True,
        )
    lines = {}
    for part in (result, result.get("baseline")):
        if part is not None:
            points = [(int(length), headline(found)[1]) for length, found in part["scores"].items()]
            lines[f"R = {part['set']['R']}" if "R" in part["set"] else part["mixer"]] = points
    lines["guessing"] = [(int(length), result["chance"]) for length in result["scores"]]
    name, _ = headline(next(iter(result["scores"].values())))
    return line_chart(
        lines,
        title=f"{result['task']}: trained on at most {next(iter(result['scores']))} tokens",
        x="tokens in the sequence",
        y=name,
        y_range=(0, 1) if result["chance"] <= 1 else None,
        log_x=len(result["scores"]) > 1,
    )


def _report(console: Console, runs: list[Run], result: dict[str, Any]) -> None:
    made = runs[0].task
    if isinstance(made, GroupWords):
        _report_words(console, made, result)
        tries = {
            "minilinear train s3 --set R=1 --set layers=2": "one reflection, but two layers",
            "minilinear train a5": "60 elements, the hard kind",
            "minilinear train text --file FILE": "the same layer reads your text",
            f"minilinear play {result['run']}": "shuffle the cups yourself",
        }
    elif isinstance(made, Text):
        bits, window = result["bits_per_character"], made.length
        say(console, f"\nheld-out text, bits per character: {bits['windows']:.3f} in windows of {window}, "
            f"{bits['carried']:.3f} with the state carried from each to the next")  # fmt: skip
        show_table(
            console,
            ("bits per character, up to", *(f"{n} x {window}" for n in result["bits_by_position"])),
            [
                (kind, *(f"{found[kind]:.3f}" for found in result["bits_by_position"].values()))
                for kind in ("carried", "windows")
            ],
        )
        tries = {f"minilinear generate {result['run']}": "let it write"}
    else:
        names = list(next(iter(result["scores"].values())))
        show_table(
            console,
            ("tokens", *result["scores"]),
            [(name, *(f"{found.get(name, float('nan')):.3f}" for found in result["scores"].values())) for name in names]
            + [("guessing", *(f"{result['chance']:.3f}" for _ in result["scores"]))],
            title=f"{result['mixer']} on {result['task']}",
        )
        if "depths" in result:
            rows = [(length, *(f"{x:.2f}" for x in row.values())) for length, row in result["depths"].items()]
            title = "all answers right, by length and by the needle's depth in the text"
            show_table(console, ("tokens", *(f"{depth:.0%}" for depth in DEPTHS)), rows, title=title)
        tries = {f"minilinear inspect {result['run']}": "its parts, its state over time, its eigenvalues"}
    if "backends" in result:
        say(console, "trained on " + ", ".join(f"{name} from step {step}" for step, name in result["backends"]))
    if result["backend"] != "numpy":
        for line in ran(result):
            say(console, line)
    say(console, used(result))
    say(console, f"{result['steps']} steps, {result['seconds']:.1f} s; everything is in {result['run']}")
    say(console, "Next:")
    for command, why in tries.items():
        say(console, f"  {command:<46}  {why}")


def replays(replay: Replay) -> str:
    """One line on what became of --graph."""
    if replay.why is not None:
        return f"--graph: {replay.why}; {replay.other} parts of batches ran as ever"
    return f"--graph: {replay.replayed} of {replay.replayed + replay.other} parts of batches were replays"


def used(result: dict[str, Any]) -> str:
    """One line on speed, memory and launches."""
    parts = [f"memory at the most {result['peak_memory'] / 2**20:,.0f} MiB, {result['peak_memory_of']}"]
    if result["tokens_per_second"] is not None:
        parts.insert(0, f"training: {result['tokens_per_second']:,.0f} tokens a second")
    if result["launches_per_step"] is not None:
        parts.append(f"{result['launches_per_step']:,} launches of our kernels a step")
    return "; ".join(parts)


def ran(result: dict[str, Any]) -> list[str]:
    """What ran as kernels, with how many calls, and what ran as NumPy text instead, with the reasons."""
    kernels = ", ".join(f"{name} {calls:,}" for name, calls in result["kernels"].items())
    lines = [f"calls on {result['backend']}, forward, training and testing; as kernels: {kernels or 'none'}"]
    for name, reasons in result["text"].items():
        lines += [f"  as NumPy text: {name} {calls:,}, {why}" for why, calls in reasons.items()]
    return lines


def _report_words(console: Console, task: GroupWords, result: dict[str, Any]) -> None:
    lengths = list(result["scores"])
    rows = []
    for part in (result, result.get("baseline")):
        if part is not None:
            cells = [f"{part['scores'][n]['mean']:.3f} / {part['scores'][n]['last']:.3f}" for n in lengths]
            rows.append([f"R={part['set']['R']}" if "R" in part["set"] else part["mixer"], *cells])
    rows.append(["guessing", *[f"{task.chance:.3f}" for _ in lengths]])
    title = f"{result['mixer']} on words of {task.name}: right at all positions / at the last"
    show_table(console, ("letters", *lengths), rows, title=title)
    say(console, verdict(result), style="bold")


def verdict(result: dict[str, Any]) -> str:
    """One sentence about words four times as long as in training, and only what the numbers carry."""
    length = list(result["scores"])[2]
    mean = result["scores"][length]["mean"]
    about = f"{CUPS[result['task']]}, {length} shuffles" if result["task"] in CUPS else f"{length} letters"
    if "R" not in result["set"]:
        return f"{about}: right at {mean:.0%} of the positions; guessing is {result['chance']:.0%}."
    R = result["set"]["R"]
    many = f"{('zero', 'one', 'two', 'three', 'four', 'five')[R] if R < 6 else R} reflection{'s' * (R > 1)} per token"
    knows = "still know where the ball is" if result["task"] in CUPS else "still know the product"
    right, guessing = f"{about}: {many}, right at {mean:.0%} of the positions", f"guessing is {result['chance']:.0%}."
    if "baseline" not in result:
        return f"{right}; {guessing}"
    beside = result["baseline"]["scores"][length]["mean"]
    if R > 1 and mean >= 0.9 and beside <= 0.6:
        return f"{about}: {many} {knows}, one is guessing."
    return f"{right}; with one, at {beside:.0%}; {guessing}"
