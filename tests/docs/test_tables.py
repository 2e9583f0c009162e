"""The catalogue, the benchmarks and the kernel table have all that they are made from, and hide nothing."""

import json
import re
from pathlib import Path

import pytest

from docs import tables
from minilinear.cli.catalogue import KINDS, catalogue_rows
from minilinear.gpu.cases import KERNELS
from minilinear.learn import Course

DOCS = Path(__file__).parents[2] / "docs"
RUNS = sorted((DOCS / "data").glob("bench-*.json"))


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def read(file: Path) -> dict:
    return json.loads(file.read_text(encoding="utf-8"))


def test_every_component_is_in_the_catalogue():
    text = page("catalogue.md")
    for kind in KINDS:
        section = text.split(f"\n## {kind[0].upper()}{kind[1:]}s\n")[1].split("\n## ")[0]
        for row in (row for row in catalogue_rows() if row.kind == kind):
            first, second = section.split("\n\n| name and file |")[:2]
            line = next(line for line in first.split("\n") if line.startswith(f"| [{row.name}]("))
            assert row.equation.replace("|", "∣") in line
            assert row.state in line
            assert len(line.split(" | ")) == len(first.strip().split("\n")[0].split(" | "))
            more = next(line for line in second.split("\n") if line.startswith(f"| {row.name}: "))
            assert row.file in more and row.kernel in more and row.arxiv in more and row.cost.replace("|", "∣") in more
            assert len(more.split(" | ")) == len(f"| name and file |{second}".split("\n")[0].split(" | "))
            assert (DOCS.parent / row.file).is_file()


def test_a_mixer_says_its_state_its_cost_and_its_kernel():
    for row in (row for row in catalogue_rows() if row.kind == "mixer"):
        assert row.state and row.cost and row.source and row.kernel and row.exercise


GROUPS = "s3 s4 s5 a4 a5 z2 z7 d4 words"  # the page tells of groups, with some of them


@pytest.mark.parametrize("row", catalogue_rows(), ids=lambda row: f"{row.kind} {row.name}")
def test_the_page_of_a_component_speaks_of_it(row):
    text = (DOCS.parent / row.page).read_text(encoding="utf-8").lower()
    names = {row.name, row.symbol, row.name.replace("_", " ")} | ({"group"} if row.name in GROUPS.split() else set())
    assert any(re.search(rf"\b{re.escape(name.lower())}\b", text) for name in names)


def test_exercises_of_the_catalogue_exist():
    found = set(re.findall(r"exercises\.md#([\w-]+)", page("catalogue.md")))
    assert found and found <= Course().exercises.keys()


@pytest.mark.parametrize("file", sorted((DOCS / "data").glob("*.json")), ids=lambda file: file.name)
def test_a_measurement_says_where_when_and_how(file):
    run = read(file)
    assert run["machine"] and re.match(r"\d{4}-\d\d-\d\d", run["date"]) and run["command"].startswith("minilinear ")


@pytest.mark.parametrize("file", RUNS, ids=lambda file: file.name)
def test_all_that_is_slower_is_said(file):
    """From the medians themselves, not from the ratios that the page is made of."""
    run = read(file)
    said = page("benchmarks.md").split("### Where another is faster")[1].split("###")[0]
    slower = 0
    for row in run["rows"]:
        ours, *others = row["implementations"]
        for other in others if ours["implementation"] == "minilinear" and row["unit"] != "bytes" else ():
            if other["median"] < 0.97 * ours["median"]:  # its ratio is a median of its own
                assert f"* {row['title']}: {other['implementation']} takes" in said
                slower += 1
    assert slower and slower <= said.count("\n* ") + said.startswith("* ")
    for each in run["short_of_goal"]:
        assert f"{each['ratio']:.2f}x | {each['goal']:.2f}x" in page("benchmarks.md")


@pytest.mark.parametrize("file", RUNS, ids=lambda file: file.name)
def test_every_row_of_a_run_is_on_the_page(file):
    text, run = page("benchmarks.md"), read(file)
    assert run["date"] in text and run["machine"]["cpu"] in text
    for row in run["rows"]:
        assert f"| {row['title'].partition(',')[0]}" in text


def test_a_ratio_below_one_is_bold_and_a_wrong_peer_is_called_so():
    each = {"ratio": 0.5, "ratio_range": [0.4, 0.6], "verdict": "no goal"}
    assert tables.ratio(each, True) == "**0.50x (0.40–0.60)**"
    assert tables.ratio(each | {"ratio": 1.5}, True) == "1.50x (0.40–0.60)"
    assert tables.ratio(each | {"verdict": "unsafe"}, True) == "0.50x (0.40–0.60), unsafe"


def test_the_kernel_table_has_every_kernel():
    """A new kernel, or a new instantiation of one, needs `python docs/tables.py`."""
    reports = read(DOCS / "data" / "kernels-compile.json")["kernels"]
    registered = {name for kernel in KERNELS.values() for name in kernel.names}
    assert {report["kernel"] for report in reports} == registered
    text = page("kernel-table.md")
    for report in reports:
        line = next(line for line in text.split("\n") if line.startswith(f"| `{report['kernel']}` |"))
        assert f" {report['registers']} |" in line and f" {report['budget']} |" in line
    assert not any(report["spills"] or report["stack"] or report["problems"] for report in reports)
    assert "With spills or a stack frame: none of them." in text
