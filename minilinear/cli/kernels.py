"""`minilinear kernels list | compile | check | bench`: what a person does with the CUDA kernels, with a GPU or without.

`compile` needs NVIDIA's run-time compiler, which pip installs, and no GPU; `check` needs a C++ compiler; `bench` takes
the GPU if there is one.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import wraps
from typing import Annotated, Any

import typer

from ..errors import BackendError, CompileError, ConfigError, explain, nearest
from .check_kernels import case_words, check, gpu
from .console import AsJson, Plain, make_console, print_json, say, say_notes, show_table

kernels = typer.Typer(no_args_is_help=True, help="The CUDA kernels: list, compile, check and time them.")
Names = Annotated[list[str] | None, typer.Argument(metavar="[KERNEL]...", help="These only; all by default.")]


def errors_as_json(command: Callable[..., None]) -> Callable[..., None]:
    """Who asked for a document gets one of an error too, {"error": ...}. The exit code is that of the error."""

    @wraps(command)
    def told(*args: Any, as_json: bool = False, **options: Any) -> None:
        try:
            command(*args, as_json=as_json, **options)
        except (ConfigError, BackendError) as error:
            if as_json:
                print_json({"ok": False, "error": str(error)})
            if isinstance(error, CompileError):  # of a kernel: the job failed, not the environment
                if not as_json:
                    console = make_console(as_json, bool(options.get("plain")))
                    say(console, str(error))
                    say_notes(error, console)
                raise typer.Exit(1) from None
            raise

    return told


@kernels.command("list")
@errors_as_json
def list_kernels(names: Names = None, as_json: AsJson = False, plain: Plain = False) -> None:
    """Every kernel: its file, what it takes and gives, the function it belongs to."""
    chosen = gpu("cases").chosen(names or [])
    table = gpu("twins").TABLE
    rows = [
        {
            "kernel": kernel.name,
            "file": f"gpu/kernels/{kernel.file}:{kernel.signature.line}",
            "twin": kernel.twin if kernel.twin in table else None,
            "inputs": {p.name: kernel.shapes[p.name] for p in kernel.pointers if p.name not in kernel.outputs},
            "inout": list(kernel.inout),
            "outputs": {name: kernel.shapes[name] for name in kernel.outputs},
            "numbers": {p.name: p.ctype for p in kernel.signature.parameters if not p.pointer},
            "templates": list(kernel.templates),
            "registers": kernel.registers,
            "cases": list(kernel.cases),
        }
        for kernel in chosen
    ]
    if as_json:
        print_json(rows)
        return
    shown = lambda shapes: ", ".join(f"{name} ({shape})" for name, shape in shapes.items())
    cells = []
    for row in rows:
        gives = [shown(row["outputs"]), *(f"{name} in place" for name in row["inout"])]
        cells.append(
            (row["kernel"], row["twin"] or "-", shown(row["inputs"]), ", ".join(filter(None, gives)), row["file"])
        )
    show_table(make_console(as_json, plain), ("kernel", "mirrors", "takes", "gives", "file"), cells, numbers=False)


@kernels.command("compile")
@errors_as_json
def compile_kernels(
    names: Names = None,
    arch: Annotated[
        str, typer.Option(metavar="75,80,...", help="Compute capabilities without the point: 90 is an H100.")
    ] = "75,80,86,89,90,120",
    as_json: AsJson = False,
    plain: Plain = False,
) -> None:
    """Compile for GPUs that need not be there: registers, spills, stack and shared memory of each kernel.

    Exit code 1 if a kernel spills, has a stack frame or is beyond its budget.
    """
    chosen = gpu("cases").chosen(names or [])
    nvrtc = gpu("nvrtc")
    wanted = [name.strip().removeprefix("sm_") for name in arch.split(",")]
    if not all(re.fullmatch(r"\d+[af]?", name) for name in wanted) or len({*wanted}) < len(wanted):
        rule = "--arch is a list of compute capabilities without the point, each once."
        raise ConfigError(explain(rule, got=repr(arch), fix="--arch 80,90"))
    version = nvrtc.version()  # says what is missing before anything is compiled
    for name in wanted:
        nvrtc.check_arch(name)
    with ThreadPoolExecutor(min(len(wanted), os.cpu_count() or 1)) as pool:  # NVRTC works outside Python's lock
        reports = [report for each in pool.map(lambda name: nvrtc.reports(chosen, name), wanted) for report in each]
    reports.sort(key=lambda report: (report.file, report.kernel))
    wrong = [report for report in reports if report.problems]
    if as_json:
        print_json({"ok": not wrong, "nvrtc": version, "kernels": [asdict(report) for report in reports]})
    else:
        _show_compiled(reports, wanted, wrong, version, as_json, plain)
    if wrong:
        raise typer.Exit(1)


def _show_compiled(reports: Any, wanted: list[str], wrong: Any, version: str, as_json: bool, plain: bool) -> None:
    """One row for each kernel: registers by architecture, the most of everything else."""
    console = make_console(as_json, plain)
    rows = []
    for name in dict.fromkeys(report.kernel for report in reports):
        alike = {report.arch: report for report in reports if report.kernel == name}
        registers = [alike[a].registers if a in alike else "-" for a in wanted]  # some need a later architecture
        others = [
            max(getattr(report, what) for report in alike.values())
            for what in ("budget", "spills", "stack", "shared", "dynamic")
        ]
        rows.append((name, *registers, *others))
    columns = ("registers of a thread", *(f"sm_{a}" for a in wanted), "budget", "spills", "stack", "shared", "dynamic")
    show_table(console, columns, rows)
    for report in wrong:
        for problem in report.problems:
            say(console, f"{report.kernel} for sm_{report.arch}: {problem}")
    say(console, f"NVRTC {version}: {len(rows)} functions, {len(wanted)} architectures, {len(wrong)} with problems")


@kernels.command("check")
@errors_as_json
def check_kernels(
    names: Names = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the inputs, and of the order of blocks, warps and lanes.")] = 0,
    faults: Annotated[bool, typer.Option(help="Plant mistakes, and see whether each is found.")] = True,
    as_json: AsJson = False,
    plain: Plain = False,
) -> None:
    """Run every kernel on this computer's processor: races, accesses out of bounds and the like; numbers against the
    NumPy text in float64; and planted mistakes, each of which must be found.

    Exit code 1 if something is wrong, or a planted mistake is missed.
    """
    if not check(names or [], seed, faults, as_json, plain):
        raise typer.Exit(1)


@kernels.command("bench")
@errors_as_json
def bench_kernels(
    names: Names = None,
    sizes: Annotated[
        list[str],
        typer.Option("--set", metavar="AXIS=LENGTH", help="Another length than the largest case has. Repeatable."),
    ] = [],  # noqa: B006, typer copies it
    seconds: Annotated[float, typer.Option(min=0.0, help="For each kernel.")] = 0.3,
    backend: Annotated[str | None, typer.Option(help="cpucuda simulates; by default the GPU, if there is one.")] = None,
    as_json: AsJson = False,
    plain: Plain = False,
) -> None:
    """How long each kernel takes, and the bytes and operations that it moves and does in a second.

    A simulated GPU tells nothing about the speed of a real one; its rows say so.
    """
    cases = gpu("cases")
    chosen = cases.chosen(names or [])
    changed, axes = _lengths(sizes), {axis for kernel in chosen for axis in kernel.axes}
    for axis in changed.keys() - axes:
        raise ConfigError(explain("--set is for an axis of these kernels.", got=axis, fix=nearest(axis, axes)))
    places = cases.places()
    if backend is None and not places:
        importlib.import_module("minilinear.gpu").check_available("cpucuda")  # says what is missing
    place = backend or places[0]
    if backend is not None and backend not in places:
        if backend == "numpy":
            raise ConfigError(explain("NumPy runs no kernels.", got="--backend numpy", fix="--backend cpucuda"))
        importlib.import_module("minilinear.backend").use(backend)  # says what is missing
        raise BackendError(explain("This backend does not run here.", got=backend))
    results = []
    for kernel in chosen:
        if kernel.cases:
            results.append(_measured(cases, kernel, cases.resized(kernel, changed), place, seconds))
    rows = [
        asdict(result)
        | {
            "bytes_per_second": result.bytes / result.seconds if result.seconds else None,
            "flops_per_second": result.flops / result.seconds if result.flops and result.seconds else None,
        }
        for result in results
    ]
    if as_json:
        print_json({"where": results[0].where if results else None, "kernels": rows})
        return
    console = make_console(as_json, plain)
    shown = [
        (
            row["kernel"],
            case_words(row["case"]),
            f"{row['seconds'] * 1e3:.3f} ms",
            f"{(row['bytes_per_second'] or 0) / 1e9:.2f} GB/s",
            f"{row['flops_per_second'] / 1e9:.2f} GFLOP/s" if row["flops_per_second"] else "",
        )
        for row in rows
    ]
    show_table(console, ("kernel", "case", "a launch", "memory", "arithmetic"), shown, numbers=False)
    if results:
        say(console, f"{results[0].where}, median of {min(r.launches for r in results)} launches or more")


def _measured(cases: Any, kernel: Any, case: dict[str, Any], place: str, seconds: float) -> Any:
    try:
        return cases.measure(kernel, case, place, seconds=seconds)
    except (ValueError, TypeError) as reason:  # these lengths do not belong together, or are beyond the kernel's limits
        words = str(reason).partition("\n")[0]
        raise ConfigError(explain(f"{kernel.name} does not take {case_words(case)}: {words}")) from reason


def _lengths(settings: Sequence[str]) -> dict[str, int]:
    """N=4096 as {"N": 4096}."""
    found = {}
    for setting in settings:
        name, _, value = setting.partition("=")
        if not name.isidentifier() or not value.isdigit() or not int(value):
            raise ConfigError(
                explain("--set is for the length of an axis, 1 or more.", got=setting, fix="--set N=4096")
            )
        found[name] = int(value)
    return found
