"""What the site adds to Markdown, for MkDocs; another generator would call the same functions.

Behind each block of code stands what it gave when docs/run.py ran it; formulas become MathML, so that no script draws
them; a link to a file of the source leads to a page that shows it; the reference is written from what each package
exports. A page without fresh results, or a formula that is not converted, is a warning, and `mkdocs build --strict`
ends on it.
"""

from __future__ import annotations

import html
import importlib
import inspect
import json
import logging
import posixpath
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import notebooks
import run
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_for_filename
from pygments.util import ClassNotFound

from minilinear.figures import picture

LOG = logging.getLogger("mkdocs.hooks.book")
SOURCES = ("minilinear/**/*.py", "gpu/**/*.py", "gpu/**/*.cu", "gpu/**/*.cuh", "docs/figures/*.py")
LINK = re.compile(r"(\]\()((?:\.\./)+[\w./-]+)(#[\w-]+)?\)")
ROOMS = {  # the reference: a page for each package that exports something
    "minilinear": "The top level: Tensors, gradients, the choice of a backend.",
    "minilinear.autograd": "The engine: what a Tensor goes through, and how its gradient comes back.",
    "minilinear.recurrence": "The heart: one linear recurrence, in three forms.",
    "minilinear.nn": "Modules, parameters, linear maps, activations, the short convolution.",
    "minilinear.norms": "Norms, each with its gradient in closed form.",
    "minilinear.mlp": "Feed-forward layers.",
    "minilinear.kan": "Layers whose edges carry functions.",
    "minilinear.optim": "Optimizers, schedules, clipping.",
    "minilinear.attention": "Softmax and linear attention, with and without gates.",
    "minilinear.delta": "The delta rule and products of Householder reflections.",
    "minilinear.models": "Blocks and models, and the tables that map names to layers.",
    "minilinear.tasks": "What models are trained on.",
    "minilinear.training": "A run: its loop, its folder, its checkpoints.",
    "minilinear.learn": "The course's machine.",
    "minilinear.gpu": "The CUDA mirror.",
}


# Pages that are made


def on_startup(command: str, dirty: bool) -> None:
    """One package as Python sees it: what reads docstrings does not know of folders that are mapped into it."""
    api = run.ROOT / ".cache" / "api"
    shutil.rmtree(api, ignore_errors=True)
    leave = shutil.ignore_patterns("__pycache__", "exercises")
    shutil.copytree(run.ROOT / "minilinear", api / "minilinear", ignore=leave)
    shutil.copytree(run.ROOT / "gpu", api / "minilinear" / "gpu", ignore=leave)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the reference, the source, the notebooks and the colours of the letters."""
    for package, summary in ROOMS.items():
        files.append(File.generated(config, f"reference/{package}.md", content=reference(package, summary)))
    wanted = {path.relative_to(run.ROOT).as_posix() for pattern in SOURCES for path in run.ROOT.glob(pattern)}
    for file in files.documentation_pages():
        wanted |= {path for path in map(file_of_source, targets(file)) if path}
    for path in sorted(wanted):
        files.append(File.generated(config, f"source/{path}.html", content=shown_source(path)))
    for page in tutorials():
        name = page.removesuffix(".md") + ".ipynb"
        files.append(File.generated(config, name, content=json.dumps(notebooks.notebook(page), indent=1)))
    files.append(File.generated(config, "assets/letters.css", content=letters()))
    scrubber = Path(picture.__file__).with_name("scrubber.js")
    files.append(File.generated(config, "assets/scrubber.js", content=scrubber.read_text(encoding="utf-8")))
    return files


def tutorials() -> list[str]:
    return [path.relative_to(run.DOCS).as_posix() for path in sorted((run.DOCS / "learn").glob("[0-9]*.md"))]


def number(page: str) -> int:
    return int(posixpath.basename(page)[:2])


def reference(package: str, summary: str) -> str:
    """Every name that a package exports, in its own order of files."""
    module = importlib.import_module(package)
    names = [name for name in module.__all__ if documented(getattr(module, name))]
    tables = [name for name in module.__all__ if name not in names and not name.startswith("__")]
    page = f"# {package}\n\n{summary}\n\n"
    for name in tables:
        value = getattr(module, name)
        said = ", ".join(f"`{entry}`" for entry in value) if isinstance(value, dict) else f"`{value!r}`"
        page += f"## `{name}` {{ #{package}.{name} }}\n\n{said}\n\n"
    return page + "".join(f"::: {package}.{name}\n\n{written_in(getattr(module, name))}\n\n" for name in names)


def written_in(value: Any) -> str:
    """A link to the line of the source in which a function or a class begins."""
    value = inspect.unwrap(value)
    try:
        file, line = inspect.getsourcefile(value), inspect.getsourcelines(value)[1]
    except TypeError:  # an object of a class, as a fused function is
        return ""
    path = Path(file or "").resolve()
    if not path.is_relative_to(run.ROOT):
        return ""
    inside = path.relative_to(run.ROOT).as_posix()
    return f"[{inside}, line {line}](../source/{inside}.html#line-{line})"


def documented(value: Any) -> bool:
    return callable(value) and hasattr(value, "__module__")


def letters() -> str:
    """The colours of the figures' letters, for a light and for a dark page."""
    light = "".join(f"  --ml-{name}: {colours[0]};\n" for name, colours in picture.LETTERS.items())
    dark = "".join(f"  --ml-{name}: {colours[1]};\n" for name, colours in picture.LETTERS.items())
    return f":root {{\n{light}}}\n[data-md-color-scheme='slate'] {{\n{dark}}}\n"


# Links to files of the source


def targets(file: File) -> Iterator[str]:
    """Where a page's links out of docs/ lead, from the root of the repository."""
    if file.generated_by is None:
        for found in LINK.finditer(Path(file.abs_src_path or "").read_text(encoding="utf-8")):
            yield posixpath.normpath(posixpath.join("docs", posixpath.dirname(file.src_uri), found[2]))


def file_of_source(path: str) -> str | None:
    """The path, if it is a text of this repository outside docs/."""
    whole = run.ROOT / path
    inside = path.startswith("docs/") and not path.endswith(".py")
    return path if whole.is_file() and not inside and not path.startswith("..") else None


def linked(markdown: str, page: Page) -> str:
    """Links to source files as links to the pages that show them."""
    here = posixpath.dirname(page.file.src_uri)

    def there(found: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join("docs", here, found[2]))
        if not file_of_source(path):
            return found[0]
        anchor = (found[3] or "").replace("#L", "#line-")
        return f"{found[1]}{posixpath.relpath(f'source/{path}.html', here or '.')}{anchor})"

    return LINK.sub(there, markdown)


# What stands on a page


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Puts results, exercises and links in their places."""
    name = page.file.src_uri
    if page.file.generated_by is not None:
        return markdown
    if any(run.runs(part, name) for part in run.parts(markdown)):
        kept = run.stored(name)
        if kept is None:
            LOG.warning(f"{name}: no fresh results; run `python docs/run.py {name}`")
        markdown = with_results(markdown, name, kept["results"] if kept else [])
    if name in tutorials():
        page.meta["title"] = f"{number(name)} {re.search(r'^# (.+)$', markdown, re.MULTILINE)[1]}"  # type: ignore[index]
        notebook = posixpath.basename(name).removesuffix(".md") + ".ipynb"
        download = f"[As a notebook]({notebook}){{ .ml-notebook download data-search-exclude }}"
        head = f"Page {number(name)} of the book. {download}\n"
        markdown = re.sub(r"(^# .*\n)", rf"\1\n{head}", markdown, count=1, flags=re.MULTILINE)
    markdown = markdown.replace("<!-- exercises -->", exercises(name)).replace("<!-- pages -->", contents())
    return linked(markdown, page)


def with_results(markdown: str, page: str, results: list[dict[str, Any]]) -> str:
    """The page with what its parts gave behind them; a written output gives way to the one of the run."""
    waiting, out, written = iter(results), "", False
    for part in run.parts(markdown):
        result = next(waiting, None) if run.runs(part, page) else None
        if isinstance(part, str):
            written = written and not part.strip()
            out += part
        elif isinstance(part, run.Value):
            out += html.escape(result["text"]) if result else "?"
        elif part.language == "text" and written:
            written = False
        else:
            out += block(part) + after(part, result)
            written = bool(result and result["text"])
    return out


def block(part: run.Block) -> str:
    """A fenced block as MkDocs reads it; a hidden one is not shown at all."""
    if part.options.get("code") == "hidden":
        return ""
    code = f"```{part.language}\n{part.code}```\n"
    if why := part.options.get("norun"):
        code += f"\n<p class='ml-norun'>Not run here: {why}.</p>\n"
    return indented(code, part.indent)


def after(part: run.Block, result: dict[str, Any] | None) -> str:
    """What a block printed and showed."""
    if result is None:
        return ""
    shown = f"\n``` {{ .text .ml-output }}\n{result['text']}\n```\n" if result["text"] else ""
    shown += "".join(f"\n<div class='ml-drawing' hidden>{keep(figure)}</div>\n" for figure in result["figures"])
    return indented(shown, part.indent)


def indented(text: str, indent: str) -> str:
    return "".join(indent + line if line.strip() else line for line in text.splitlines(keepends=True))


DRAWINGS: list[str] = []  # taken out of the Markdown, which would read their text as its own


def keep(drawing: str) -> str:
    DRAWINGS.append(drawing)
    return f"ml-drawing-{len(DRAWINGS) - 1}-"


def exercises(page: str) -> str:
    """The table of the exercises that belong to a tutorial."""
    rows = [exercise for exercise in notebooks.course().exercises.values() if exercise.tutorial == page]
    if not rows:
        return "No exercise of the course belongs to this page."
    up = posixpath.relpath("exercises.md", posixpath.dirname(page) or ".")
    lines = [f"| [{e.id}]({up}#{e.id}) | {e.title} | {e.minutes} | {e.route} |" for e in rows]
    return "\n".join(
        [
            "| exercise | what it is | minutes | route |",
            "|---|---|---|---|",
            *lines,
            "",
            f"`minilinear learn run {rows[0].id}` checks the first once, `minilinear learn` each time you save.",
        ]
    )


def contents() -> str:
    """The tutorials with the question each opens with, and how long its exercises take."""
    lines = ["| page | its question | minutes of exercises |", "|---|---|---|"]
    for page in tutorials():
        title, question = re.match(r"# (.+)\n+((?:[^\n]+\n)+)", run.read(page)).groups()  # type: ignore[union-attr]
        first = re.match(r".*?[?](?= |$)|.*?[.](?= |$)", " ".join(question.split()))
        minutes = sum(e.minutes for e in notebooks.course().exercises.values() if e.tutorial == page)
        number = int(posixpath.basename(page)[:2])
        lines.append(
            f"| {number} [{title}]({posixpath.basename(page)}) | {first[0] if first else ''} | {minutes or ''} |"
        )
    return "\n".join(lines)


# What becomes of a page's HTML


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Formulas to MathML, drawings into their places, tables into boxes that scroll."""
    content = re.sub(
        r'<(span|div) class="arithmatex">(.*?)</\1>', lambda found: formula(found, page), content, flags=re.DOTALL
    )
    content = re.sub(
        r"<div class='ml-drawing' hidden>ml-drawing-(\d+)-</div>", lambda found: DRAWINGS[int(found[1])], content
    )
    content = re.sub(r"<table>", '<div class="ml-table" tabindex="0" role="region" aria-label="table"><table>', content)
    return content.replace("</table>", "</table></div>")


def formula(found: re.Match[str], page: Page) -> str:
    """TeX to MathML; what is not well-formed, or keeps a command, is a warning."""
    written = html.unescape(re.sub(r"<[^>]*>", "", found[2])).strip()
    tex, display = written[2:-2].strip(), written.startswith("\\[")
    try:
        made = convert(tex, display="block" if display else "inline")
        ElementTree.fromstring(made)
        if "\\" in made:
            raise ValueError("a command is left in it")
    except Exception as error:
        LOG.warning(f"{page.file.src_uri}: the formula {tex!r} does not become MathML: {error}")
        return found[0]
    return f'<div class="ml-formula" tabindex="0">{made}</div>' if display else made


SOURCE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{path} - minilinear</title>
<link rel="icon" href="{up}assets/favicon.svg">
<link rel="stylesheet" href="{up}assets/source.css">
</head>
<body data-md-color-scheme="default">
<script src="{up}assets/source.js"></script>
<nav><a href="{up}index.html">minilinear</a></nav>
<article>
<h1>{path}</h1>
{code}
</article>
</body>
</html>
"""


def shown_source(path: str) -> str:
    """A file of the source as a page of its own, coloured, each line with an anchor: `#line-12`."""
    text = (run.ROOT / path).read_text(encoding="utf-8")
    try:
        lexer = get_lexer_for_filename(path.replace(".cuh", ".cpp").replace(".cu", ".cpp"), stripnl=False)
        style = HtmlFormatter(linenos="inline", lineanchors="line", wrapcode=True)
        code = highlight(text, lexer, style).replace("<pre>", '<pre tabindex="0">')
    except ClassNotFound:
        code = f'<pre tabindex="0">{html.escape(text)}</pre>'
    return SOURCE.format(path=html.escape(path), up="../" * (path.count("/") + 1), code=code)
