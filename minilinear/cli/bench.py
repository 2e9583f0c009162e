"""`minilinear bench`: how fast this is here, against the same computations by hand, in torch and in jax.

Speed is a ratio: on one machine, in one sitting. Every implementation runs in a process of its own, so that no library
meets another's threads; the processes take turns, A B C A B C ..., so that a busy moment hits them alike; what counts
is the median over rounds of each round's median. Before that, all of them have to agree on the results. One that
agrees on gentle inputs and not on hard ones is unsafe: its time is shown, but it is compared with no goal.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import math
import os
import platform
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from .. import backend
from ..errors import ConfigError, RunError, explain
from ..terminal import new_table, speakable, speaks_unicode
from ..training.atomic import atomic_write
from ..training.run import versions
from .benchmarks import ROWS, Row
from .console import AsJson, Plain, make_console

SECONDS = 0.5  # one turn of one implementation
TOLERANCE = 1e-3  # of the largest entry, in float32, after a step of training
INSTALL = "not installed: pip install 'minilinear[peers]'"
SLOPES = {"constant": 0.05, "linear": 1.1, "quadratic": 2.2}  # the largest exponent of memory in T that counts as it


def option_name(title: str) -> str:
    """As it is written for --peers and --only: "torch eager, our backward" is torch-eager-our-backward."""
    return "-".join(re.findall("[a-z]+", title))


def peer_names() -> list[str]:
    """What --peers takes: each peer by its name or by the package it needs."""
    peers = [(name, made) for row in ROWS.values() for name, made in row.implementations.items() if made.needs]
    return ["none", *sorted({made.needs or "" for _, made in peers} | {option_name(name) for name, _ in peers})]


PEERS = peer_names()
ONLY = {name: [name] for name in ROWS}  # what --only takes: a row, or a group and its rows
ONLY |= {
    option_name(group): [name for name in ROWS if ROWS[name].group == group]
    for group in dict.fromkeys(row.group for row in ROWS.values() if row.group)
}


def bench(
    only: Annotated[
        list[str],
        typer.Option(metavar="ROW,...", help=f"Measure these rows or groups only: {', '.join(ONLY)}. Repeatable."),
    ] = [],  # noqa: B006
    peers: Annotated[
        list[str],
        typer.Option(metavar="PEER,...", help=f"Compare with these peers only: {', '.join(PEERS)}. Repeatable."),
    ] = [],  # noqa: B006
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each implementation.")] = 5,
    threads: Annotated[int | None, typer.Option(min=1, help="For every implementation; by default all cores.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Small sizes and short turns: shows that all runs; the numbers say nothing.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write the JSON document to this file too.")] = None,
    as_json: AsJson = False,
    plain: Plain = False,
) -> None:
    """Measure speed and memory here, as ratios to NumPy by hand and to torch and jax, where they are installed.

    Takes about a quarter of an hour with --rounds 3 and all peers, most of it torch.compile.
    """
    only, peers = _chosen("--only", only, list(ONLY)), _chosen("--peers", peers, PEERS)
    if out is not None and not out.parent.is_dir():  # said now, not after ten minutes
        raise ConfigError(explain("--out names a file in a folder that is there.", got=out.parent))
    console = make_console(as_json, plain)
    threads = threads or backend.threads()
    circumstances, results = _circumstances(threads, rounds, quick), []
    if (load := circumstances["machine"]["load"]) is not None and load > 0.5:
        console.print(f"This machine is busy (load {load:.1f}): ratios may be far off.", highlight=False)
    for name in dict.fromkeys(row for chosen in only or ROWS for row in ONLY[chosen]):
        with console.status(ROWS[name].title) if console.is_terminal else contextlib.nullcontext():
            results.append(measured(name, rounds, threads, quick, peers))
        _show(console, results[-1], quick)
        means = _geometric_means(results)
        document = {**circumstances, "rows": results, "groups": means, "short_of_goal": _short_of_goal(results, means)}
        if out is not None:  # after every row: who breaks off keeps what was measured
            atomic_write(out, f"{json.dumps(document, indent=1, allow_nan=False)}\n".encode())
    _show_groups(console, means)
    _show_short_of_goal(console, document["short_of_goal"])
    if as_json:
        print(json.dumps(document, indent=None if out is None else 1, allow_nan=False))


def _chosen(option: str, given: Sequence[str], known: Sequence[str]) -> list[str]:
    """The names given, one after another or with commas between them."""
    names = [name for part in given for name in part.split(",")]
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise ConfigError(explain(f"{option} takes {', '.join(known)}.", got=", ".join(map(repr, unknown))))
    return list(dict.fromkeys(names))


# ---------------------------------------------------------------------------------------------------------------------
# Measuring.


def measured(name: str, rounds: int, threads: int, quick: bool, peers: Sequence[str] = ()) -> dict[str, Any]:
    """One row: start its processes, compare what they compute, then let them take turns. No `peers` means all."""
    row = ROWS[name]
    threads = row.threads or threads
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for i, (implementation, made) in enumerate(row.implementations.items()):
            if peers and made.needs and not {made.needs, option_name(implementation)} & set(peers):
                continue
            result = results[implementation] = {"implementation": implementation, "footnote": made.footnote}
            if made.needs is not None and importlib.util.find_spec(made.needs) is None:
                result["failed"] = INSTALL
                continue
            worker = stack.enter_context(Worker(name, implementation, Path(folder) / f"{i}.npz", threads, quick))
            failed = worker.started() or (row.checked and _disagreement(workers, worker, result))
            if failed:
                result["failed"] = failed
                continue
            workers[implementation] = worker
            result["rounds"] = []
            if "unsafe" in result and made.unsafe:
                result["unsafe"] = f"{made.unsafe}; {result['unsafe']}"
        for _ in range(rounds):
            for implementation, worker in workers.items():
                results[implementation]["rounds"].append(worker.round(0.01 if quick else SECONDS))
    return _compared(name, row, list(results.values())) | {"threads": threads}


class Worker:
    """A process that measures one implementation whenever it is its turn."""

    def __init__(self, row: str, implementation: str, check: Path, threads: int, quick: bool):
        count, self.check = str(threads), check
        names = "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "MINILINEAR_THREADS"
        module = f"{__package__}.benchmarks.worker"
        self.process: Any = subprocess.Popen(
            [sys.executable, "-m", module, row, implementation, str(check), *(["--quick"] if quick else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            env=os.environ
            | dict.fromkeys(names, count)
            | {"JAX_PLATFORMS": "cpu", "MINILINEAR_BACKEND": "numpy"},  # kernels have a `kernels bench` of their own
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.process.communicate()

    def _messages(self) -> Iterator[dict[str, Any]]:
        for line in self.process.stdout:
            if line.startswith("{"):
                yield json.loads(line)
        yield {"failed": f"its process ended with exit code {self.process.wait()}"}

    def started(self) -> str | None:
        """Wait until it is ready; why it is not, otherwise."""
        return next(message.get("failed") for message in self._messages() if message.keys() & {"ready", "failed"})

    def round(self, seconds: float) -> float:
        """The median of one turn."""
        values = []
        with contextlib.suppress(OSError):  # then the next message says why
            print(seconds, file=self.process.stdin, flush=True)
        for message in self._messages():
            if "failed" in message:
                raise RunError(explain("A benchmark broke off.", got=message["failed"]))
            if "round" in message:
                break
            values.append(message["value"])
        return statistics.median(values)


def _disagreement(workers: dict[str, Worker], worker: Worker, result: dict[str, Any]) -> str | None:
    """How far its arrays are from those of the row's first implementation. A reason not to measure it, if that is too
    far for the inputs it is timed with; if it is too far for the hard ones alone, it is marked as unsafe.
    """
    if not workers:
        return None
    first, reference = next(iter(workers.items()))
    errors = {kind: _largest_difference(worker.check, reference.check, kind) for kind in ("hard", "timed")}
    result["error"] = {kind: error if math.isfinite(error) else None for kind, error in errors.items()}
    off = {
        kind: f"an entry is off by {error:.1g} of the largest"
        if math.isfinite(error)
        else "not finite, or of another shape"
        for kind, error in errors.items()
    }
    if errors["timed"] > TOLERANCE:
        return f"disagrees with {first}: {off['timed']}"
    if errors["hard"] > TOLERANCE:
        result["unsafe"] = f"wrong on hard inputs: {off['hard']}"
    return None


def _largest_difference(path: Path, reference: Path, kind: str) -> float:
    with np.load(path, allow_pickle=False) as a, np.load(reference, allow_pickle=False) as b:
        names = [name for name in b if name.startswith(kind)]
        if names != [name for name in a if name.startswith(kind)]:
            return math.inf
        return max(_difference(a[name], b[name]) for name in names)


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference in units of the largest entry; infinite where shapes differ or a number is not finite."""
    if a.shape != b.shape or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return math.inf
    return float(np.abs(a - b).max() / (np.abs(b).max() or 1))


def _compared(name: str, row: Row, results: list[dict[str, Any]]) -> dict[str, Any]:
    """The row of the document: medians, ratios to the first implementation, goals and verdicts."""
    per = row.tokens or 1
    found: dict[str, Any] = {
        "row": name,
        "title": row.title,
        "group": row.group,
        "unit": "bytes" if row.memory else "seconds per token" if row.tokens else "seconds",
        "implementations": results,
    }
    first = results[0].get("rounds")
    for result in results:
        made = row.implementations[result["implementation"]]
        if made.goal is not None and "unsafe" not in result:
            result |= {"goal": made.goal, "floor": made.floor}
        if "rounds" not in result:
            continue
        if first and result is not results[0] and not row.memory:
            ratios = sorted(theirs / ours for ours, theirs in zip(first, result["rounds"]))
            result["ratio"] = statistics.median(result["rounds"]) / statistics.median(first)
            result["ratio_range"] = [ratios[0], ratios[-1]]
            result["verdict"] = _verdict(result)
    for result in results:
        if "rounds" in result:
            result["rounds"] = [value / per for value in result["rounds"]]
            result["median"] = statistics.median(result["rounds"])
    if row.memory and all("median" in result for result in results):
        peaks = [result["median"] for result in results]
        slope = float(np.polyfit(np.log(row.sizes), np.log(peaks), 1)[0])
        growth = next((name for name, largest in SLOPES.items() if slope <= largest), "more than quadratic")
        found |= {"log_log_slope": slope, "largest_slope": SLOPES[row.growth or ""], "verdict": growth}
        found["expected"] = row.growth
    return found


def _verdict(result: dict[str, Any]) -> str:
    """What a ratio means, in a word or two."""
    if "unsafe" in result or "goal" not in result:
        return "unsafe" if "unsafe" in result else "no goal"
    if result["ratio"] >= result["goal"]:
        return "reached"
    return "above the floor" if result["ratio"] >= result["floor"] else "below the floor"


def _geometric_means(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each group of rows and each peer that ran in all of them, the geometric mean of the ratios."""
    means = []
    for group in dict.fromkeys(row["group"] for row in results if row["group"]):
        rows = [row["implementations"] for row in results if row["group"] == group]
        for name in dict.fromkeys(result["implementation"] for row in rows for result in row):
            alike = [result for row in rows for result in row if result["implementation"] == name]
            alike = [result for result in alike if "ratio" in result and "unsafe" not in result]
            if len(alike) == len(rows) > 1:
                keys = ("implementation", "footnote", "goal", "floor")
                mean = {"group": group, **{key: alike[0][key] for key in keys if key in alike[0]}}
                mean["ratio"] = statistics.geometric_mean(result["ratio"] for result in alike)
                means.append(mean | {"verdict": _verdict(mean)})
    return means


def _short_of_goal(results: Sequence[dict[str, Any]], means: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every comparison, in a row or in the mean of a group, that is below its goal, and all memory that grows too
    fast.
    """
    short = []
    compared = [(row["row"], result) for row in results for result in row["implementations"]]
    for name, result in [*compared, *((f"{mean['group']}, geometric mean", mean) for mean in means)]:
        if result.get("verdict") in ("above the floor", "below the floor"):
            keys = ("implementation", "ratio", "goal", "floor", "verdict")
            short.append({"row": name, **{key: result[key] for key in keys}})
    for row in results:
        if "log_log_slope" in row and row["log_log_slope"] > row["largest_slope"]:
            short.append(
                {"row": row["row"], **{key: row[key] for key in ("log_log_slope", "largest_slope", "verdict")}}
            )
    return short


def _circumstances(threads: int, rounds: int, quick: bool) -> dict[str, Any]:
    """Where, when and with what."""
    found = versions()
    for peer in ("torch", "jax"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[peer] = importlib.metadata.version(peer)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None  # of the minute before
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "command": shlex.join(["minilinear", *sys.argv[1:]]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cpu": _cpu(), "cores": cores, "load": load, "system": found.pop("machine"), "blas": _blas()},
        "versions": found,
        "threads": threads,
        "rounds": rounds,
        "quick": quick,
    }


def _blas() -> list[str]:
    """The libraries that NumPy's and SciPy's matrix products come from, and the processor they were made for."""
    keys = "internal_api", "version", "architecture"
    found = [info for info in backend.libraries() if info["user_api"] == "blas"]
    return sorted({" ".join(str(info[key]) for key in keys if info.get(key)) for info in found})


def _cpu() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


# ---------------------------------------------------------------------------------------------------------------------
# Showing.


def _show(console: Console, row: dict[str, Any], quick: bool) -> None:
    columns = ("bytes",) if row["unit"] == "bytes" else ("each", "ratio", "range", "goal (floor)")
    small = ", here in small" * quick
    console.print(f"\n{row['row']}: {row['title']}{small}", highlight=False, markup=False, soft_wrap=True)
    table = new_table(console, "", *columns)
    for result in row["implementations"]:
        name = f"{result['implementation']}{' *' if result['footnote'] else ''}"
        if "failed" in result:
            continue
        cells = [_amount(result["median"], row["unit"])]
        if "ratio" in result:
            low, high = result["ratio_range"]
            cells += [_times(result["ratio"]), f"{_times(low)}-{_times(high)}", _goal(result, console)]
        table.add_row(f"unsafe: {name}" if "unsafe" in result else name, *cells)
    console.print(table)
    for result in row["implementations"]:
        for kind in "failed", "unsafe":
            if kind in result:
                text = f"  {'unsafe: ' if kind == 'unsafe' else ''}{result['implementation']}: {result[kind]}"
                console.print(speakable(text, console.encoding), highlight=False, markup=False, soft_wrap=True)
    if "log_log_slope" in row:
        verdict = row["verdict"]
        if row["log_log_slope"] > row["largest_slope"]:
            verdict += f", and not {row['expected']}: more than the {row['largest_slope']} that is allowed"
        console.print(f"  memory grows like T^{row['log_log_slope']:.2f}: {verdict}", highlight=False)


def _show_groups(console: Console, means: Sequence[dict[str, Any]]) -> None:
    if means:
        table = new_table(console, "", "ratio", "goal (floor)", title="geometric means")
        for mean in means:
            name = f"{mean['group']}: {mean['implementation']}{' *' if mean['footnote'] else ''}"
            table.add_row(name, _times(mean["ratio"]), _goal(mean, console))
        console.print(table)
    console.print("ratio: its time over the time of the row's first. * no comparison of equals", highlight=False)


def _show_short_of_goal(console: Console, short: Sequence[dict[str, Any]]) -> None:
    console.print("\nshort of goal:" if short else "\nnothing is short of its goal", highlight=False)
    for item in short:
        text = f"memory grows like T^{item.get('log_log_slope', 0):.2f}: {item['verdict']}"
        if "ratio" in item:
            goal, floor = (f"{item[name]:.3g}x" for name in ("goal", "floor"))
            text = f"{item['implementation']} {_times(item['ratio'])}, goal {goal} ({floor}): {item['verdict']}"
        console.print(f"  {item['row']}: {text}", highlight=False, markup=False, soft_wrap=True)


def _amount(value: float, unit: str) -> str:
    if unit == "bytes":
        return f"{value / 2**20:,.1f} MiB"
    if unit == "seconds per token":
        return f"{1 / value:,.0f} tokens/s"
    return f"{value * 1e3:,.2f} ms" if value >= 1e-3 else f"{value * 1e6:,.0f} us"


def _times(ratio: float) -> str:
    return f"{ratio:.2f}x" if ratio < 10 else f"{ratio:.0f}x"


def _goal(result: dict[str, Any], console: Console) -> str:
    if "goal" not in result:
        return result["verdict"]
    signs = ("✓", "·", "✗") if speaks_unicode(console) else ("yes", "", "no")
    sign = dict(zip(("reached", "above the floor", "below the floor"), signs))[result["verdict"]]
    return f"{result['goal']:.3g}x ({result['floor']:.3g}x) {sign}"
