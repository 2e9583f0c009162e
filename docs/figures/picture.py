"""What a figure is, and how it is shown: on a page, in a notebook, in a script.

A figure is a function that returns a Picture: a drawing, and the sentence that says what is to be seen in it, with the
number from the figure's own data. Drawings have no background, their text has the colour of the page's text, and the
colour of a letter is the same in all of them; beside the colour there is always a dash, a marker or a printed sign.
"""

from __future__ import annotations

import io
import re
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from minilinear import svg
from minilinear.errors import BackendError, WrongValue, explain

# letter: (on a light page, on a dark page), each at least 4.5 : 1 against it
LETTERS = {
    "q": ("#0b6e99", "#5cb8e6"),
    "k": ("#c4511c", "#f2935c"),
    "v": ("#427024", "#93c572"),
    "S": ("#7a4fa3", "#bf9ae3"),
    "o": ("#c2317a", "#f08abb"),
    "beta": ("#8f6a00", "#e0b93f"),
    "g": ("#00766c", "#4fc3b5"),
    "A": ("#7b5546", "#cfa696"),
    "B": ("#4f6d7a", "#9db8c4"),
}
PALETTE = {name: light for name, (light, _) in LETTERS.items()}
INK, FAINT, RULE = "#333333", "#6b6b6b", "#dddddd"  # text and lines; what is said in passing; grids
WORN = {INK: "currentColor", FAINT: "var(--ml-faint, #6b6b6b)", RULE: "var(--ml-rule, #dddddd)"}
DASHES = ("solid", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


class Picture(NamedTuple):
    """A drawing, and what is to be seen in it.

    Attributes:
        svg: an `<svg>` element whose colours follow the page around it.
        alt: the finding in a sentence or two, with its number.
    """

    svg: str
    alt: str

    def _repr_html_(self) -> str:
        return html(self)


class Scrubber(NamedTuple):
    """Pictures of one thing at several times, and a slider between them."""

    frames: tuple[Picture, ...]
    label: str
    names: tuple[str, ...]

    def _repr_html_(self) -> str:
        script = Path(__file__).with_name("scrubber.js").read_text(encoding="utf-8")  # the site's pages share one
        return f"{html(self)}<script>{{\n{script}}}</script>"


SHOWN: list[Picture | Scrubber] | None = None  # a page that is being run collects here what its blocks show


def show(picture: Picture | Scrubber) -> None:
    """Show a figure where this runs: on the page, in a notebook; a script prints what is to be seen."""
    if SHOWN is not None:
        SHOWN.append(picture)
    elif "IPython" in sys.modules and sys.modules["IPython"].get_ipython():
        sys.modules["IPython"].display.display(picture)
    else:
        print(picture.alt if isinstance(picture, Picture) else picture.frames[-1].alt)


def scrubber(frames: Sequence[Picture], *, label: str, names: Sequence[str] | None = None) -> Scrubber:
    """A slider over pictures of one size.

    Args:
        frames: the pictures, first to last; each tells its own finding.
        label: what the slider changes: "t", "beta".
        names: what each frame is called beside the label; default: 1, 2, 3, ...
    """
    named = tuple(names or map(str, range(1, len(frames) + 1)))
    if len(named) != len(frames) or not frames:
        raise WrongValue(
            explain("Every frame of a scrubber has a name.", got=f"{len(frames)} frames, {len(named)} names")
        )
    return Scrubber(tuple(frames), label, named)


def html(picture: Picture | Scrubber) -> str:
    """A figure with its finding below it. Without script all frames of a slider are shown, one after another."""
    if isinstance(picture, Picture):
        alt = escape(picture.alt)
        drawing = picture.svg.replace("<svg ", f'<svg role="img" aria-label="{alt}" ', 1)
        return f'<figure class="ml-figure">{drawing}<figcaption>{alt}</figcaption></figure>'
    frames = "".join(
        f'<div class="ml-frame" data-name="{escape(name)}">{html(frame)}</div>'
        for name, frame in zip(picture.names, picture.frames)
    )
    return f'<div class="ml-scrubber" data-label="{escape(picture.label)}">{frames}</div>'


def worn(drawing: str) -> str:
    """The `<svg>` element of a drawing, its colours in the page's: letters as variables, ink as the text around it."""
    drawing = drawing[drawing.index("<svg") :].strip()
    drawing = re.sub(r'<rect [^>]*rx="6" fill="#ffffff"/>\n?', "", drawing, count=1)  # the white page of svg.document
    names = {light: f"var(--ml-{name}, {light})" for name, (light, _) in LETTERS.items()} | WORN
    return re.sub("|".join(names), lambda found: names[found[0]], drawing)


def by_hand(parts: Sequence[str], width: float, height: float, alt: str) -> Picture:
    """A picture of parts written as SVG, most of them by the functions of `minilinear.svg`."""
    return Picture(worn(svg.document(parts, width, height)), alt)


@contextmanager
def axes(width: float = 6.4, height: float = 3.6, *, rows: int = 1, columns: int = 1, **options: Any) -> Iterator[Any]:
    """The style of the book, for a block that draws and ends on `drawn`.

    Example: `with axes() as (fig, ax): ax.plot(x, y); return drawn(fig, alt)`.

    Args:
        width, height: in inches of 100 pixels.
        rows, columns: how many axes.
        options: for `plt.subplots`.

    Raises:
        BackendError: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise BackendError(
            explain("Charts are drawn by matplotlib.", got=str(error), fix="pip install 'minilinear[plot]'")
        ) from None
    from cycler import cycler
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style: dict[str, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "minilinear",
        "font.size": 11,
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],  # it comes with matplotlib; the page's own stands in the drawing
        "text.color": INK,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "axes.titlesize": 12,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": RULE,
        "xtick.color": INK,
        "ytick.color": INK,
        "lines.linewidth": 2.2,
        "legend.frameon": False,
        "axes.facecolor": "none",
        "figure.facecolor": "none",
        "axes.prop_cycle": cycler(color=list(PALETTE.values())[:5]) + cycler(linestyle=list(DASHES)),
    }
    with matplotlib.rc_context(style):
        fig = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(fig)
        yield fig, fig.subplots(rows, columns, **options)


def drawn(fig: Any, alt: str) -> Picture:
    """What has been drawn, as a Picture; to be called inside `with axes(...)`."""
    out = io.StringIO()
    fig.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = re.sub(
        r"<metadata>.*?</metadata>|<style.*?</style>", "", out.getvalue(), flags=re.DOTALL
    )  # a page has its own
    text = re.sub(r"font(-family)?: ([^;\"]*)'DejaVu Sans'[^;\"]*", r"font\1: \2sans-serif", text)
    mark = f"ml{zlib.crc32(text.encode()):08x}"  # ids are the page's: two figures must not share one
    text = re.sub(r'\bid="([^"]*)"', rf'id="{mark}-\1"', text)
    text = re.sub(r"url\(#([^)]*)\)", rf"url(#{mark}-\1)", text)
    text = re.sub(r'xlink:href="#([^"]*)"', rf'href="#{mark}-\1"', text)
    box = re.search(r'viewBox="[^"]*"', text)
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" {box and box[0]} stroke-linejoin="round">'
    text = re.sub(r"<svg [^>]*>", opening, text, count=1)
    return Picture(worn(text[text.index("<svg") :]), alt)
