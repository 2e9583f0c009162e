"""What the page for contributors names is there."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "contributing.md").read_text(encoding="utf-8")


def test_files_and_folders_exist():
    named = set(re.findall(r"`((?:\.ci|docs|tests|gpu|minilinear|exercises)/[\w./-]*)`", PAGE))
    assert len(named) > 8
    assert not {path for path in named if not (ROOT / path).exists()}


def test_extras_and_marks_exist():
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)
    named = set(re.findall(r"\.\[(\w+)\]", PAGE))
    assert named and named <= project["project"]["optional-dependencies"].keys()
    marks = {mark.partition(":")[0] for mark in project["tool"]["pytest"]["ini_options"]["markers"]}
    assert set(re.findall(r"pytest -m (\w+)", PAGE)) <= marks


def test_the_line_length_and_the_time_are_those_of_the_tools():
    assert "line-length = 120" in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert "| 120 columns |" in PAGE
    budget = re.search(r"^budget=(\d+)", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.MULTILINE)[1]
    assert f"{int(budget) // 60} minutes; each step" in PAGE
