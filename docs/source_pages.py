"""The pages that show files of the source, and the links that lead there, for docs/hooks.py.

A page of the book links to a file of the repository, and on the site to the page that shows it: `../gpu/plan.py` from
docs/kernels.md becomes source/gpu/plan.py.html, and a line `#L12` the anchor `#line-12`.
"""

from __future__ import annotations

import html
import inspect
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import run
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_for_filename
from pygments.util import ClassNotFound

SHOWN = ("minilinear/**/*.py", "gpu/**/*.py", "gpu/**/*.cu", "gpu/**/*.cuh", "docs/figures/*.py")
LINK = re.compile(r"(\]\()((?:\.\./)+[\w./-]+)(#[\w-]+)?\)")


# Which files are shown


def shown_files(files: Files) -> list[str]:
    """The files of the source that have a page: the library's, and those that a page of the book links to."""
    found = {path.relative_to(run.ROOT).as_posix() for pattern in SHOWN for path in run.ROOT.glob(pattern)}
    for file in files.documentation_pages():
        found |= {path for path in map(file_of_source, targets(file)) if path}
    return sorted(found)


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


# Links to them


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


# A page that shows one


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
