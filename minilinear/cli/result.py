"""The result of a run: measured beyond what was trained on, drawn in the run's folder, said on the terminal.

It is one document: `--json` prints it, result.json keeps it, the sentences and most pictures are made from it.
"""

from __future__ import annotations

import contextlib
from typing import Any

from rich.console import Console

from ..precision import products_in
from ..randomness import stream
from ..svg import line_chart
from ..tasks import GroupWords, Needles, Text
from ..training import Run, bits_by_position, evaluate, evaluate_text
from ..training.atomic import atomic_write
from ..training.evaluation import EVALUATION_SEED, outputs_of
from .console import say, show_table

DEPTHS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # of a needle in a text
CUPS = {"s3": "three cups", "s4": "four cups", "s5": "five cups"}


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


def report(console: Console, runs: list[Run], result: dict[str, Any]) -> None:
    """What the terminal shows at the end."""
    made = runs[0].task
    if isinstance(made, GroupWords):
        _report_words(console, made, result)
        tries = {
            "minilinear train s3 --set R=1 --set layers=2": "one reflection, but two layers",
            "minilinear train a5": "60 elements, the hard kind",
            "minilinear train text --file FILE": "the same layer reads your text",
            f"minilinear play {result['run']}": f"shuffle the {'cups' if made.name in CUPS else 'letters'} yourself",
        }
        tries = {command: why for command, why in tries.items() if command != f"minilinear train {made.name}"}
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
        return (
            f"{about}: {many} {knows}, right at {mean:.0%} of the positions; one does not, at {beside:.0%}; {guessing}"
        )
    return f"{right}; with one, at {beside:.0%}; {guessing}"
