"""What the pages say is so: code runs, commands and files exist."""

import re
from pathlib import Path

import pytest
import typer

from minilinear.cli import app
from minilinear.errors import BackendError
from minilinear.gpu.sim.compile import find_compiler

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def has_compiler() -> bool:
    try:
        return bool(find_compiler())
    except BackendError:
        return False


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_python_blocks_run(page):
    namespace: dict = {}
    codes = blocks(page, "python")
    if any("minilinear.gpu" in code for code in codes) and not has_compiler():
        pytest.skip("no C++ compiler")
    for code in codes:
        exec(compile(code, str(page), "exec"), namespace)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_and_pictures_exist(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
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
