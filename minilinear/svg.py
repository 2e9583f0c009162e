"""Small pictures, written as SVG by hand: a figure needs no plotting library, and its source can be read."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

COLOURS = ("#0b6e99", "#c4511c", "#777777", "#4a7c2a", "#7a4fa3")
WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 64, 96, 44, 52


def line_chart(
    lines: Mapping[str, Sequence[tuple[float, float]]],
    *,
    title: str,
    x: str,
    y: str,
    y_range: tuple[float, float] | None = None,
    log_x: bool = False,
) -> str:
    """Curves with axes, labelled at their ends.

    Args:
        lines: name -> points (x, y).
        title, x, y: what is shown, and the axes' names.
        y_range: the ends of the y axis; by default those of the data.
        log_x: powers of two at equal distances.

    Returns:
        An SVG document that looks right on a light and on a dark page.
    """
    xs = [px for points in lines.values() for px, _ in points] or [0.0, 1.0]
    ys = [py for points in lines.values() for _, py in points] or [0.0, 1.0]
    scale_x = math.log2 if log_x else float
    x0, x1 = scale_x(min(xs)), scale_x(max(xs))
    y0, y1 = y_range or (min(ys), max(ys))

    def place(px: float, py: float) -> tuple[float, float]:
        across = (scale_x(px) - x0) / ((x1 - x0) or 1)
        up = (py - y0) / ((y1 - y0) or 1)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    parts = [
        text(LEFT, 26, title, size=15, weight="bold"),
        text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, x, anchor="middle"),
        f'<g transform="translate(18 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)">{text(0, 0, y, anchor="middle")}</g>',
    ]
    for tick in _ticks(y0, y1):
        _, py = place(min(xs), tick)
        parts.append(f'<path d="M{LEFT} {py:.1f}H{WIDTH - RIGHT}" stroke="#dddddd"/>')
        parts.append(text(LEFT - 8, py + 4, f"{tick:g}", anchor="end"))
    for tick in sorted(set(xs)) if log_x else _ticks(min(xs), max(xs)):
        px, _ = place(tick, y0)
        parts.append(text(px, HEIGHT - BOTTOM + 18, f"{tick:g}", anchor="middle"))
    for (name, points), colour in zip(lines.items(), COLOURS * len(lines)):
        placed = [place(*point) for point in points]
        path = "L".join(f"{px:.1f} {py:.1f}" for px, py in placed)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
        if log_x:
            parts += [f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3.5" fill="{colour}"/>' for px, py in placed]
        if placed:
            px, py = placed[-1]
            parts.append(text(px + 10, py + 4, name, fill=colour, weight="bold"))
    return document(parts, WIDTH, HEIGHT)


def document(parts: Sequence[str], width: float, height: float) -> str:
    """The picture around its parts: a white page, so that it looks right on a dark one too."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" font-family="sans-serif">',
            f'<rect width="{width:g}" height="{height:g}" rx="6" fill="#ffffff"/>',
            *parts,
            "</svg>",
            "",
        ]
    )


def save(picture: str, path: str | Path) -> None:
    """Put a picture in the place of the file at `path`, as a whole."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(picture, encoding="utf-8", newline="\n")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def curve(points: Sequence[tuple[float, float]]) -> str:
    """The `d` of a path that goes downwards through the points, upright in each of them."""
    (x, y), *rest = points
    d = f"M{x:.1f} {y:.1f}"
    for x1, y1 in rest:
        middle = (y + y1) / 2
        d += f"V{y1:.1f}" if x1 == x else f"C{x:.1f} {middle:.1f} {x1:.1f} {middle:.1f} {x1:.1f} {y1:.1f}"
        x, y = x1, y1
    return d


def width(words: str, size: int, *, bold: bool = False) -> float:
    """About how wide a line of sans-serif text is; never too little for the usual fonts."""
    return len(words) * size * (0.6 if bold else 0.56)


def _ticks(low: float, high: float) -> list[float]:
    """Four to nine round numbers between the ends."""
    if not high > low:
        return [low]
    step = 10 ** math.floor(math.log10(high - low))
    while (high - low) / step < 4:
        step /= 2 if math.log10(step) % 1 < 0.5 or (high - low) / step > 2 else 2.5
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def text(
    x: float, y: float, words: str, *, anchor: str = "start", size: int = 13, weight: str = "normal", fill="#333333"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" fill="{fill}">'
        f"{escape(words)}</text>"
    )
