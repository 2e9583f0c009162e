"""What the pages say is so: code runs, commands and files exist."""

import importlib
import importlib.util
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import typer

from minilinear.cli import app
from minilinear.errors import BackendError
from minilinear.gpu.sim.compile import find_compiler

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TUTORIALS = sorted((ROOT / "docs" / "learn").glob("[0-9]*.md"))
FORM = ("Skip this page if you can", "Picture", "Equation", "In code", "Check", "Break it", "Exercises")
FORM += ("What we left out", "Sources")
LONGEST = 30  # seconds of processor for a page: meant are ten, the others are for a compiler and a slow machine


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def run():
    spec = importlib.util.spec_from_file_location("run", ROOT / "docs" / "run.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["run"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["run"]


def has_compiler() -> bool:
    try:
        return bool(find_compiler())
    except BackendError:
        return False


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_page_runs(page, run):
    text = page.read_text("utf-8")
    if re.search(r"minilinear\.gpu|cpucuda", text) and not has_compiler():
        pytest.skip("no C++ compiler")
    name = os.path.relpath(page, ROOT / "docs").replace(os.sep, "/")
    if any(run.runs(part, name) for part in run.parts(text)):
        assert run.result(name)["processor"] < LONGEST


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda p: p.stem)
def test_a_tutorial_has_the_form_of_all(page):
    text = page.read_text("utf-8")
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert [heading for heading in headings if heading in FORM] == list(FORM)
    sections = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    assert sections[FORM[0]].count("??? question ") == 3
    assert all(
        re.search(r"^```(?:python|sh)", sections[name], re.MULTILINE) for name in ("In code", "Check", "Break it")
    )
    assert "show(" in text and "<!-- exercises -->" in sections["Exercises"]


def resolves(name: str) -> bool:
    """Whether a dotted name leads to something."""
    module, _, rest = name.rpartition(".")
    try:
        return bool(importlib.import_module(name))
    except ImportError:
        return bool(module) and hasattr(importlib.import_module(module), rest)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_names_and_files_in_prose_exist(page):
    prose = re.sub(r"^( *)(```+).*?^\1\2", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for name in re.findall(r"`(?:import )?(minilinear(?:\.\w+)+)", prose):
        assert resolves(name), name
    for path in re.findall(r"`((?:minilinear|gpu|docs|tests|exercises)/[\w./-]+\.\w+)`", prose):
        assert "NAME" in path or (ROOT / path).is_file(), path


def same(written: str, printed: str) -> bool:
    """The same words, and numbers that agree to 5 %: the last digits are the machine's."""
    number = r"-?\d+\.?\d*(?:e[-+]?\d+)?"
    numbers = [[float(n) for n in re.findall(number, text)] for text in (written, printed)]
    words = [re.split(r"\s+", re.sub(number, "#", text).strip()) for text in (written, printed)]
    return words[0] == words[1] and np.allclose(*numbers, rtol=0.05, atol=1e-5)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_an_output_that_stands_on_a_page_is_the_one_of_its_run(page, run):
    name = os.path.relpath(page, ROOT / "docs").replace(os.sep, "/")
    kept = run.stored(name)  # by the test above, unless it has been left out
    waiting, before = iter(kept["results"] if kept else []), None
    for part in run.parts(page.read_text("utf-8")) if kept else []:
        if run.runs(part, name):
            before = next(waiting)
        elif isinstance(part, run.Block) or part.strip():
            if before and isinstance(part, run.Block) and part.language == "text":
                assert same(part.code, before["text"]), f"{name}:{part.line}: the run prints\n{before['text']}"
            before = None


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_and_pictures_exist(page):
    prose = re.sub(
        r"^( *)(```+).*?^\1\2|`[^`\n]+`", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    for target in re.findall(r"\]\(([^)#]+)\)", prose):
        if not target.startswith(("http", "reference/")):  # the reference is written when the site is built
            assert (page.parent / target).exists(), target


def test_every_command_and_option_in_the_readme_exists():
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    lines = re.findall(r"(?:^|/|\\)minilinear (\w.*)$", "\n".join(blocks(ROOT / "README.md", "sh")), re.MULTILINE)
    assert len(lines) >= 7
    for line in lines:
        name, *arguments = line.split("#")[0].split()
        options = {option for parameter in commands[name].params for option in parameter.opts}
        assert {a for a in arguments if a.startswith("--")} <= options, line


def test_every_command_is_in_the_readme():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in typer.main.get_command(app).commands:  # type: ignore[attr-defined]
        assert f"minilinear {name}" in text
