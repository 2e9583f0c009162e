"""`minilinear kernels check`: each case in check mode, each twin against its NumPy text, each planted mistake found."""

from __future__ import annotations

import importlib
from dataclasses import asdict
from typing import Any

from rich.console import Console

from .console import make_console, print_json, say, show_table


def gpu(module: str) -> Any:
    """A module of minilinear.gpu: here, so that the other commands do not load the kernels."""
    return importlib.import_module(f"minilinear.gpu.{module}")


def check(names: list[str], seed: int, faults: bool, as_json: bool, plain: bool) -> bool:
    """Run all of it, and print it. Whether everything is as it must be."""
    cases, compare = gpu("cases"), gpu("compare")
    chosen = cases.chosen(names)
    runs = [(kernel, cases.check(kernel, case, seed=seed)) for kernel in chosen for case in kernel.cases]
    table = gpu("twins").TABLE
    twins = [table[name] for name in table if not names or name in {kernel.twin for kernel in chosen}]
    compared = [compare.compare(twin, i, seed=seed) for twin in twins for i in range(len(twin.examples))]
    found = gpu("faults").look_for(chosen, seed=seed) if faults else []
    without = [kernel.name for kernel in chosen if not kernel.cases]
    untold = compare.not_compared(chosen, compared)
    good = [
        *(result.clean for _, result in runs),
        *(result.agrees for result in compared),
        *(each for _, each in found),
    ]
    ok = all(good) and not without and not untold
    if as_json:
        print_json(_document(ok, runs, compared, found, without, untold))
    else:
        _show(make_console(as_json, plain), plain, runs, compared, found, without, untold)
    return ok


def _document(ok: bool, runs: Any, compared: Any, found: Any, without: Any, untold: Any) -> dict[str, Any]:
    return {
        "ok": ok,
        "without_a_case": without,
        "not_compared": untold,
        "cases": [
            {
                "kernel": result.kernel,
                "case": result.case,
                "clean": result.clean,
                "findings": [asdict(finding) for finding in result.findings],
                "not_numbers": list(result.not_numbers),
                "counters": _totals(result.counters),
            }
            for _, result in runs
        ],
        "comparisons": [
            asdict(result) | {"agrees": result.agrees, "findings": [asdict(f) for f in result.findings]}
            for result in compared
        ],
        "faults": [asdict(fault) | {"found": each} for fault, each in found],
    }


def _show(console: Console, plain: bool, runs: Any, compared: Any, found: Any, without: Any, untold: Any) -> None:
    """Three tables, what is wrong in full, and a line that sums up."""
    rows = [
        (result.kernel, case_words(result.case), "clean" if result.clean else f"{len(result.findings)} findings")
        for _, result in runs
    ]
    show_table(console, ("kernel", "case", ""), rows, numbers=False)
    errors: dict[str, list[Any]] = {}
    for result in compared:
        errors.setdefault(result.twin, []).append(result)
    furthest = [(name, len(them), f"{max(each.error for each in them):.0e}") for name, them in errors.items()]
    show_table(console, ("as NumPy in float64", "examples", "furthest away"), furthest)
    marks = [(fault.kernel, fault.kind, "found" if each else "MISSED") for fault, each in found]
    if marks:
        show_table(console, ("planted into", "mistake", ""), marks, numbers=False)
    for kernel, result in runs:
        if not result.clean:
            say(console, f"\n{result.kernel}, {case_words(result.case)}")
            _show_findings(console, kernel.folder, result.findings, plain)
            for name in result.not_numbers:
                say(console, f"{name} has values that are not finite, or that the kernel never wrote")
    for result in compared:
        if not result.agrees:
            say(console, f"\n{result.twin}, example {result.example}: {result.wrong or 'not clean'}")
            _show_findings(console, gpu("source").FOLDER, result.findings, plain)
    for fault, each in found:
        if not each:
            say(console, f"\n{fault.kernel}: nothing tells {fault.kind} where {fault.old!r} is {fault.new!r}")
    for name in without:
        say(console, f"{name} has no case")
    for name in untold:
        say(console, f"{name} runs in no example of its twin: its numbers are not compared")
    clean, agree, caught = sum(r.clean for _, r in runs), sum(r.agrees for r in compared), sum(e for _, e in found)
    say(
        console,
        f"{clean} of {len(runs)} cases clean, {agree} of {len(compared)} examples as NumPy, "
        f"{caught} of {len(found)} planted mistakes found",
    )


def _show_findings(console: Console, folder: Any, findings: Any, plain: bool) -> None:
    """Each finding at its line, of the kernel's file or of a header."""
    report = gpu("sim.report")
    for finding in findings:
        text = (folder / finding.file).read_text("utf-8") if (folder / finding.file).is_file() else None
        if plain:
            say(console, report.plain([finding], text, file=finding.file))
        else:
            console.print(report.report([finding], text, file=finding.file))


def _totals(counters: Any) -> dict[str, int]:
    """Without the tables of single threads and warps."""
    found = asdict(counters) if counters else {}
    return {name: value for name, value in found.items() if name not in ("threads", "warps")}


def case_words(case: dict[str, Any]) -> str:
    """N=5 D=31."""
    return " ".join(f"{name}={value}" for name, value in case.items())
