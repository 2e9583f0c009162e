"""The built site: it builds without a network, every link leads somewhere, nothing is asked of another host."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import pytest

pytest.importorskip("mkdocs", reason="the site needs the docs extra")

ROOT = Path(__file__).parents[2]
WITHOUT_A_NETWORK = ["unshare", "--map-root-user", "--net"]
FETCHING = {"link": "href", "use": "href", "image": "href"}  # of these elements; the others fetch what stands in:
FETCHED = ("src", "srcset", "poster", "data", "xlink:href")
STYLE = r"url\(\s*['\"]?(?:https?:)?//|@import\s+['\"]?(?:https?:)?//"
pytestmark = pytest.mark.docs


def can_be_cut() -> bool:
    return (
        bool(shutil.which("unshare"))
        and not subprocess.run([*WITHOUT_A_NETWORK, "true"], capture_output=True).returncode
    )


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The folder of the built site; $MINILINEAR_SITE, where it has been built already."""
    if built := os.environ.get("MINILINEAR_SITE"):
        return Path(built)
    folder = tmp_path_factory.mktemp("site")
    subprocess.run([sys.executable, str(ROOT / "docs" / "run.py")], check=True)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    subprocess.run([*(WITHOUT_A_NETWORK if can_be_cut() else []), *command], cwd=ROOT, check=True)
    return folder


class Read(HTMLParser):
    """What a page links to, fetches, names and says."""

    def __init__(self, path: Path):
        super().__init__()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.names: set[str] = set()
        self.headings: list[int] = []
        self.wrong: list[str] = []
        self.article = self.figure = 0
        self.styled = False
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attributes):
        given = {name: value or "" for name, value in attributes}
        self.names |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if given.get("rel") not in ("canonical", "next", "prev"):
            self.fetched += [given[name] for name in (*FETCHED, FETCHING.get(tag)) if name in given]
        self.fetched += re.findall(STYLE + ".*", given.get("style", ""))
        self.styled = tag == "style"
        self.article += tag == "article"
        if self.article and re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        self.figure += tag == "figure"
        drawing = given.get("role") == "img" or (tag == "svg" and self.figure)
        if (tag == "img" and not given.get("alt")) or (drawing and not given.get("aria-label")):
            self.wrong.append(self.get_starttag_text() or tag)

    def handle_data(self, data):
        self.fetched += re.findall(STYLE + ".*", data) if self.styled else []

    def handle_endtag(self, tag):
        self.article -= tag == "article"
        self.figure -= tag == "figure"
        self.styled = False


@pytest.fixture(scope="session")
def read(site):
    """Every page by its path in the site."""
    return {path.relative_to(site).as_posix(): Read(path) for path in sorted(site.rglob("*.html"))}


def test_no_page_asks_another_host_for_anything(read):
    assert len(read) > 60
    fetched = {(page, url) for page, each in read.items() for url in each.fetched if not url.startswith("data:")}
    assert not {(page, url) for page, url in fetched if re.search(r"(?:^|[\s,(:'\"])//", url)}


def test_no_style_asks_another_host_for_anything(site):
    for path in site.rglob("*.css"):
        assert not re.search(STYLE, path.read_text("utf-8")), path
    ours = list((site / "assets").glob("*.js"))
    assert ours
    for path in ours:
        assert not re.search(r"https?://|fetch\(|XMLHttpRequest", path.read_text("utf-8").split("*/")[-1]), path


def test_nothing_on_a_page_makes_the_theme_fetch_its_library_of_diagrams(site):
    for path in site.rglob("*.html"):
        assert 'class="mermaid"' not in path.read_text("utf-8"), path


def test_every_link_leads_to_a_page_and_an_anchor_that_is_there(site, read):
    broken = []
    for page, each in read.items():
        if page == "404.html":
            continue
        for link in each.links:
            parts = urlsplit(unescape(link))
            if parts.scheme in ("http", "https", "mailto") or link.startswith("javascript:"):
                continue
            target = (site / page).parent / unquote(parts.path) if parts.path else site / page
            name = Path(os.path.normpath(target))
            if name.is_dir():
                name /= "index.html"
            if not name.is_file():
                broken.append(f"{page}: {link}")
            elif parts.fragment and name.suffix == ".html":
                names = read[name.relative_to(site).as_posix()].names
                if unquote(parts.fragment) not in names and parts.fragment != "__tabbed":
                    broken.append(f"{page}: {link} (no such anchor)")
    assert not broken, "\n".join(broken[:40])


def test_every_picture_says_what_is_to_be_seen(read):
    wrong = {page: each.wrong for page, each in read.items() if each.wrong}
    assert not wrong


def test_headings_leave_out_no_level(read):
    wrong = {}
    for page, each in read.items():
        levels = each.headings
        if page != "404.html" and (levels[:1] != [1] or levels.count(1) != 1):
            wrong[page] = levels[:5]
        elif any(b > a + 1 for a, b in pairwise(levels)):
            wrong[page] = levels
    assert not wrong


def test_formulas_are_well_formed_and_hold_no_command(site):
    count = 0
    for path in site.rglob("*.html"):
        for made in re.findall(r"<math.*?</math>", path.read_text("utf-8"), re.DOTALL):
            ElementTree.fromstring(made)
            assert "\\" not in made, f"{path.name}: {made}"
            count += 1
        assert 'class="arithmatex"' not in path.read_text("utf-8"), path
    assert count > 50


def test_every_public_name_is_in_the_reference(site, read):
    from tests.test_docstrings import PACKAGES, public

    for package in PACKAGES:
        missing = {
            name for name in public(package) if f"{package}.{name}" not in read[f"reference/{package}.html"].names
        }
        assert not missing, f"{package}: {missing}"


def test_every_page_of_the_docs_is_in_the_navigation():
    text = (ROOT / "mkdocs.yml").read_text("utf-8")
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert not {page for page in pages if not re.search(rf"[- ]{re.escape(page)}$", text, re.MULTILINE)}


def test_every_tutorial_is_offered_as_a_notebook(site, read):
    for path in sorted((ROOT / "docs" / "learn").glob("[0-9]*.md")):
        assert f"{path.stem}.ipynb" in read[f"learn/{path.stem}.html"].links
        text = (site / "learn" / f"{path.stem}.ipynb").read_text("utf-8")
        assert "minilinear learn run " in text or "No exercise of the course" in text


def test_a_page_without_fresh_results_ends_a_strict_build(tmp_path):
    """On a small site with the same hook: one page, nothing stored."""
    for name in ("hooks.py", "run.py", "notebooks.py", "formulas.py", "source_pages.py", "reference_pages.py"):
        (tmp_path / "docs").mkdir(exist_ok=True)
        shutil.copy(ROOT / "docs" / name, tmp_path / "docs" / name)
    (tmp_path / "minilinear").mkdir()
    (tmp_path / "gpu").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# One\n\n```python\nprint(1)\n```\n", "utf-8")
    settings = ["site_name: one", "hooks: [docs/hooks.py]", "markdown_extensions: [pymdownx.superfences, attr_list]"]
    (tmp_path / "mkdocs.yml").write_text("\n".join([*settings, "plugins: []", "exclude_docs: '*.py'"]), "utf-8")
    command = [sys.executable, "-I", "-m", "mkdocs", "build", "--strict"]  # -I: the folders here are not the library
    stale = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8")
    assert stale.returncode == 1
    assert "index.md: no fresh results; run `python docs/run.py index.md`" in stale.stderr
    run = subprocess.run(
        [sys.executable, "docs/run.py", "index.md"], cwd=tmp_path, capture_output=True, encoding="utf-8"
    )
    assert run.returncode == 0, run.stdout
    fresh = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8")
    assert "no fresh results" not in fresh.stderr


def test_three_notebooks_run(tmp_path):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        spec = importlib.util.spec_from_file_location("notebooks", ROOT / "docs" / "notebooks.py")
        notebooks = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(notebooks)
    finally:
        sys.path.remove(str(ROOT / "docs"))
    for page in ("learn/00-state.md", "learn/08-linear-attention.md", "learn/10-delta-rule.md"):
        notebook = nbformat.from_dict(notebooks.notebook(page))
        nbformat.validate(notebook)
        resources = {"metadata": {"path": str(tmp_path)}}
        nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources).execute()
        printed = "".join(o.get("text", "") for c in notebook.cells for o in c.get("outputs", []))
        kept = [r["text"] for r in notebooks.run.result(page)["results"] if r["text"]]
        assert printed.strip(), page
        assert any(
            "image" in str(o.data) or "svg" in str(o.data)
            for c in notebook.cells
            for o in c.get("outputs", [])
            if "data" in o
        )
        assert kept
