"""What the site adds to Markdown, for MkDocs; another generator would call the same functions.

Behind each block of code stands what it gave when docs/run.py ran it; formulas become MathML, so that no script draws
them; a link to a file of the source leads to a page that shows it (source_pages.py); the reference is written from what
each package exports (reference_pages.py). A page without fresh results, or a formula that is not converted, is a
warning, and `mkdocs build --strict` ends on it.
"""

from __future__ import annotations

import html
import json
import logging
import posixpath
import re
import shutil
from pathlib import Path
from typing import Any

import notebooks
import reference_pages
import run
import source_pages
from formulas import mathml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from minilinear.figures import picture

LOG = logging.getLogger("mkdocs.hooks.book")


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
    for package, summary in reference_pages.ROOMS.items():
        content = reference_pages.reference(package, summary)
        files.append(File.generated(config, f"reference/{package}.md", content=content))
    for path in source_pages.shown_files(files):
        files.append(File.generated(config, f"source/{path}.html", content=source_pages.shown_source(path)))
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


def letters() -> str:
    """The colours of the figures' letters, for a light and for a dark page."""
    light = "".join(f"  --ml-{name}: {colours[0]};\n" for name, colours in picture.LETTERS.items())
    dark = "".join(f"  --ml-{name}: {colours[1]};\n" for name, colours in picture.LETTERS.items())
    return f":root {{\n{light}}}\n[data-md-color-scheme='slate'] {{\n{dark}}}\n"


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
    return source_pages.linked(markdown, page)


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
        link = f"{number(page)} [{title}]({posixpath.basename(page)})"
        lines.append(f"| {link} | {first[0] if first else ''} | {minutes or ''} |")
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
        made = mathml(tex, display=display)
    except Exception as error:
        LOG.warning(f"{page.file.src_uri}: the formula {tex!r} does not become MathML: {error}")
        return found[0]
    return f'<div class="ml-formula" tabindex="0">{made}</div>' if display else made
