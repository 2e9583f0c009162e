"""Pages that are tables: the catalogue, the benchmarks, the kernels' compile report. `docs/generate.py` calls it.

python docs/tables.py    compiles every kernel and writes docs/data/kernels-compile.json (needs minilinear[nvrtc])
"""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))

from docs.papers import arxiv  # noqa: E402
from minilinear.cli.catalogue import KINDS, Component, catalogue_rows  # noqa: E402
from minilinear.cli.compare import machine  # noqa: E402
from minilinear.gpu.cases import chosen  # noqa: E402

MADE = "<!-- made by docs/generate.py from {}; edit what it is made from -->\n"


def table(header: list[str], rows: list[list[str]]) -> str:
    """Rows of cells, without the columns that are empty in all of them."""
    kept = [i for i in range(len(header)) if any(row[i] for row in rows)]
    lines = [[line[i] for i in kept] for line in [header, ["---"] * len(header), *rows]]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


# The catalogue


def catalogue() -> str:
    """The rows of `minilinear catalogue`, a table for each kind."""
    every = catalogue_rows()
    page = MADE.format("`minilinear catalogue`") + CATALOGUE.format(number=len(every), kinds=len(KINDS))
    for kind in KINDS:
        rows = [row for row in every if row.kind == kind]
        page += f"\n## {kind[0].upper()}{kind[1:]}s\n\n"
        page += table(["name", "equation", "state"], [what_it_is(row) for row in rows])
        page += "\n" + table(
            ["name and file", "source", "cost", "kernels", "exercises"], [more_of_it(row, rows) for row in rows]
        )
    return page


def what_it_is(row: Component) -> list[str]:
    return [
        f"[{row.name}]({row.page.removeprefix('docs/')})",
        f"`{row.equation.replace('|', '∣')}`",  # a bar would end the cell
        f"`{row.state}`" if row.state else "",
    ]


def more_of_it(row: Component, rows: list[Component]) -> list[str]:
    """Exercises that a row above has in just the same way are not listed again."""
    source = re.sub(r"\b\d{4}\.\d{4,5}\b", lambda found: arxiv(found[0]), row.source) if row.source != "-" else ""
    first = next(other for other in rows if other.exercise == row.exercise)
    exercises = ", ".join(f"[{name}](exercises.md#{name})" for name in row.exercise.split(", ") if name)
    exercises = exercises if first is row or not exercises else f"those of {first.name}"
    kernels = f"`{row.kernel}`" if row.kernel else ""
    return [f"{row.name}: [{row.symbol}](../{row.file})", source, row.cost.replace("|", "∣"), kernels, exercises]


CATALOGUE = """# Catalogue

Everything there is by a name that the command line takes, {number} components of {kinds} kinds: what
`minilinear catalogue` prints. `state` is what a mixer keeps for each sequence and layer, in numbers, and an optimizer
for P parameters: H heads, K and V the key and the value dim, F features, W the window or the taps of a convolution, G
key and value heads, T tokens; more letters are in [the notation](notation.md). `kernels` names the function that runs
as CUDA kernels ([which they are](kernel-table.md)). Every mixer has four forms: recurrent, parallel, chunk and step.
"""


# Benchmarks


def benchmarks() -> str:
    """Every run of `minilinear bench` that is kept, the newest first, and the other measurements."""
    page = MADE.format("docs/data/bench-*.json") + BENCHMARKS
    for file in sorted((DOCS / "data").glob("bench-*.json"), reverse=True):
        page += bench_run(json.loads(file.read_text(encoding="utf-8")), file.name)
    page += (
        "\n## Other measurements\n\nWhat was trained and compared, seed by seed: [layers compared](comparisons.md).\n\n"
    )
    rows = []
    for file in sorted((DOCS / "data").glob("compare-*.json")):
        run = json.loads(file.read_text(encoding="utf-8"))
        rows.append([f"[{file.name}](data/{file.name})", f"`{run['command']}`", run["date"], run["machine"]])
    return page + table(["file", "command", "date", "machine"], rows)


def bench_run(run: dict[str, Any], name: str) -> str:
    """One run: where and when, times, what is slower, memory."""
    m, versions = run["machine"], run["versions"]
    text = f"\n## {run['date'][:10]}, {m['cpu']}, {m['cores']} cores\n\n"
    command = re.sub(r" --out \S+", "", run["command"])
    text += f"`{command}`, {run['date']}, {m['system']}, load {m['load']:.1f} when it began, {run['threads']}\n"
    text += f"threads, {run['rounds']} rounds; {', '.join(f'{k} {v}' for k, v in versions.items())}; "
    text += f"{', '.join(m['blas'])}. All of it: [data/{name}](data/{name}).\n"
    timed = [row for row in run["rows"] if row["unit"] != "bytes"]
    for group in dict.fromkeys(row["group"] for row in timed):
        rows = [row for row in timed if row["group"] == group]
        common = in_all([row["title"] for row in rows])
        peers = list(dict.fromkeys(each["implementation"] for row in rows for each in row["implementations"][1:]))
        ours = rows[0]["implementations"][0]["implementation"]
        lines = []
        for row in rows:
            found = {each["implementation"]: each for each in row["implementations"]}
            lines.append([row["title"].removesuffix(common), duration(found[ours]["median"])])
            lines[-1] += [ratio(found[peer], ours == "minilinear") if peer in found else "" for peer in peers]
        means = {each["implementation"]: each for each in run["groups"] if each["group"] == group}
        if means:
            of_means = [ratio(means[peer], True) if peer in means else "" for peer in peers]
            lines.append(["*geometric mean*", "", *of_means])
        text += f"\n### {group[0].upper()}{group[1:]}\n\n" + f"All of them: {common[2:]}.\n\n" * bool(common)
        text += table(["", ours, *peers], lines)
    return text + slower(timed) + short_of_goal(run) + memory([row for row in run["rows"] if row["unit"] == "bytes"])


def in_all(titles: list[str]) -> str:
    """The end that all titles have, from a comma on: ", forward and backward"."""
    ends = [title.split(", ")[::-1] for title in titles]
    same = itertools.takewhile(lambda parts: len({*parts}) == 1, zip(*ends)) if len(titles) > 1 else ()
    return "".join(f", {parts[0]}" for parts in list(same)[::-1])


def ratio(each: dict[str, Any], against_ours: bool) -> str:
    """How many times as long it takes, in which rounds, and whether that is less."""
    said = f"{each['ratio']:.2f}x"
    if "ratio_range" in each:
        said += f" ({each['ratio_range'][0]:.2f}–{each['ratio_range'][1]:.2f})"
    if each["verdict"] == "unsafe":
        return f"{said}, unsafe"
    return f"**{said}**" if each["ratio"] < 1 and against_ours else said


def duration(seconds: float) -> str:
    return f"{1e6 * seconds:.0f} us" if seconds < 1e-3 else f"{1e3 * seconds:.1f} ms"


def size(number: float) -> str:
    return f"{number / 2**10:.0f} KiB" if number < 2**20 else f"{number / 2**20:.1f} MiB"


def slower(rows: list[dict[str, Any]]) -> str:
    """Where another one is faster than minilinear."""
    found = [
        f"* {row['title']}: {each['implementation']} takes {each['ratio']:.2f} of the time "
        f"({duration(each['median'])} against {duration(row['implementations'][0]['median'])})\n"
        for row in rows
        for each in row["implementations"][1:]
        if row["implementations"][0]["implementation"] == "minilinear" and each["ratio"] < 1
    ]
    return "\n### Where another is faster\n\n" + ("".join(found) or "Nowhere in this run.\n")


def short_of_goal(run: dict[str, Any]) -> str:
    """What has a goal and does not reach it, as the run lists it."""
    titles = {row["row"]: row["title"] for row in run["rows"]}
    text = "\n### Short of a goal\n\nThe goals are the project's own; the floor is the least that is acceptable.\n\n"
    rows = []
    for each in run["short_of_goal"]:
        if "ratio" in each:  # memory has a power of T, and stands below
            numbers = [f"{each[key]:.2f}x" for key in ("ratio", "goal", "floor")]
            rows.append([titles.get(each["row"], each["row"]), each["implementation"], *numbers, each["verdict"]])
    return text + table(["", "against", "ratio", "goal", "floor", "verdict"], rows)


def memory(rows: list[dict[str, Any]]) -> str:
    """Bytes at each length, and with which power of T they grow."""
    lengths = sorted(
        {each["implementation"] for row in rows for each in row["implementations"]}, key=lambda name: int(name[4:])
    )
    lines = []
    for row in rows:
        found = {each["implementation"]: each["median"] for each in row["implementations"]}
        cells = [size(found[length]) if length in found else "" for length in lengths]
        lines.append([row["title"], *cells, f"{round(row['log_log_slope'], 2) + 0.0:.2f}", row["verdict"]])
    return "\n### Memory\n\n" + table(["", *lengths, "power of T", "so"], lines)


BENCHMARKS = """# Benchmarks

What `minilinear bench` measured, on the machines that are named, made from the documents it wrote. A ratio is the
other's time over that of minilinear, the median of several rounds with the least and the most in brackets: **above 1
minilinear is faster**. Where it is slower the ratio is bold and listed again. Ratios travel to other machines better
than times do. How it is measured, and where the time goes, is told on the page on [speed](performance.md).
"""


# Kernels


def kernel_table() -> str:
    """What NVRTC says of every kernel, file by file."""
    run = json.loads((DOCS / "data" / "kernels-compile.json").read_text(encoding="utf-8"))
    reports = run["kernels"]
    archs = sorted({report["arch"] for report in reports}, key=int)
    functions = {report["kernel"] for report in reports}
    page = MADE.format("docs/data/kernels-compile.json")
    files = sorted({report["file"] for report in reports})
    page += KERNELS.format(**run, functions=len(functions), files=len(files), generations=len(archs))
    spilling = sorted({report["kernel"] for report in reports if report["spills"] or report["stack"]})
    page += f"\nWith spills or a stack frame: {', '.join(spilling) or 'none of them'}.\n"
    header = ["function", *(f"sm_{arch}" for arch in archs), "budget", "shared", "dynamic", "threads"]
    for file in files:
        of_file = [report for report in reports if report["file"] == file]
        rows = []
        for name in dict.fromkeys(report["kernel"] for report in of_file):
            found = {report["arch"]: report for report in of_file if report["kernel"] == name}
            first = next(iter(found.values()))
            shared = sorted({report["shared"] for report in found.values()})
            cells = [str(found[arch]["registers"]) if arch in found else "-" for arch in archs]
            cells += [str(first["budget"]), " to ".join(f"{n:,}" for n in shared)]
            rows.append([f"`{name}`", *cells, f"{first['dynamic']:,}" * bool(first["dynamic"]), str(first["threads"])])
        twins = dict.fromkeys(kernel.twin for kernel in chosen([]) if kernel.file == file)
        page += (
            f"\n## {file}\n\n[gpu/kernels/{file}](../gpu/kernels/{file}), for {', '.join(f'`{t}`' for t in twins)}\n\n"
        )
        page += table(header, rows)
    return page


KERNELS = """# Kernel table

What NVIDIA's compiler makes of the {functions} functions in {files} files of kernels, for {generations} kinds of GPU,
on a machine without one: `{command}`, NVRTC {nvrtc}, {date}; {machine}. What each kernel computes, and why it is laid
out so, is told with [the kernels](kernels.md), and how this report is made, with [the GPU](gpu.md#minilinear-kernels).

* **sm_75** to **sm_120**: registers of a thread on that architecture. A dash: tensor cores that take bfloat16 came with
  sm_80. A multiprocessor has 65,536 registers for all the threads that it holds.
* **budget**: registers beyond which `minilinear kernels compile` fails, as it does for a spill.
* **shared**: bytes of a block, known when compiling. **dynamic**: bytes that the largest registered case asks for at
  launch. **threads**: of its largest block.
"""


def record() -> None:
    """Compile and write what came out, with where and when."""
    command = ["minilinear", "kernels", "compile", "--json"]
    program = Path(sys.executable).with_name("minilinear")
    found = json.loads(subprocess.run([program, *command[1:]], capture_output=True, text=True, check=True).stdout)
    about = {
        "command": " ".join(command),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": machine(),
        "nvrtc": found["nvrtc"],
    }
    lines = ",\n".join(f"  {json.dumps(report)}" for report in found["kernels"])
    text = json.dumps(about, indent=1)[:-2] + f',\n "kernels": [\n{lines}\n ]\n}}\n'
    (DOCS / "data" / "kernels-compile.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    record()
