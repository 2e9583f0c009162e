"""Small pictures, written as SVG by hand: a figure needs no plotting library, and its source can be read."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

COLOURS = ("#0b6e99", "#c4511c", "#777777", "#4a7c2a", "#7a4fa3", "#b8860b", "#c2317a", "#20205f")
WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 64, 96, 44, 52
LINE = 16  # from one line of text to the next
LONGEST = 12  # letters of a token under a column; of a longer one the beginning is shown


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
    lines = {name: [p for p in points if math.isfinite(p[0] + p[1])] for name, points in lines.items()}
    right = max([RIGHT, *(18 + width(name, 13, bold=True) for name, points in lines.items() if points)])
    xs = [px for points in lines.values() for px, _ in points] or [0.0, 1.0]
    ys = [py for points in lines.values() for _, py in points] or [0.0, 1.0]
    scale_x = math.log2 if log_x else float
    x0, x1 = scale_x(min(xs)), scale_x(max(xs))
    y0, y1 = y_range or (min(ys), max(ys))
    left = max([LEFT, *(36 + width(f"{tick:g}", 13) for tick in _ticks(y0, y1))])  # the axis' name, then its numbers

    def place(px: float, py: float) -> tuple[float, float]:
        across = (scale_x(px) - x0) / ((x1 - x0) or 1)
        up = (py - y0) / ((y1 - y0) or 1)
        return left + across * (WIDTH - left - right), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    parts = [
        text(LEFT, 26, title, size=15, weight="bold"),
        text((left + WIDTH - right) / 2, HEIGHT - 12, x, anchor="middle"),
        f'<g transform="translate(18 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)">{text(0, 0, y, anchor="middle")}</g>',
    ]
    for tick in _ticks(y0, y1):
        _, py = place(min(xs), tick)
        parts.append(f'<path d="M{left:.1f} {py:.1f}H{WIDTH - right:.1f}" stroke="#dddddd"/>')
        parts.append(text(left - 8, py + 4, f"{tick:g}", anchor="end"))
    for tick in sorted(set(xs)) if log_x else _ticks(min(xs), max(xs)):
        px, _ = place(tick, y0)
        parts.append(text(px, HEIGHT - BOTTOM + 18, f"{tick:g}", anchor="middle"))
    ends: list[tuple[float, float, str, str]] = []
    for (name, points), colour in zip(lines.items(), COLOURS * len(lines)):
        placed = [place(*point) for point in points]
        path = "L".join(f"{px:.1f} {py:.1f}" for px, py in placed)
        if placed:
            parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
        if log_x:
            parts += [f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3.5" fill="{colour}"/>' for px, py in placed]
        if placed:
            ends.append((*placed[-1], name, colour))
    for py, (px, _, name, colour) in zip(spread([end[1] for end in ends]), ends):
        parts.append(text(px + 10, py + 4, name, fill=colour, weight="bold"))
    return document(parts, WIDTH, HEIGHT)


def heat_maps(
    panels: Mapping[str, Sequence[Sequence[float]]], *, columns: Sequence[str], title: str, x: str, y: str
) -> str:
    """Matrices one below the other, a cell for each number: blue below zero, white at zero, orange above.

    Args:
        panels: name -> rows, each with a number for every column. A number that is not finite is a grey cell.
        columns: what each column is: its token.
        title, x, y: what is shown, what the columns and the rows of a panel are.

    Returns:
        An SVG document with one scale of colours for all panels.
    """
    cells = [value for rows in panels.values() for row in rows for value in row if math.isfinite(value)]
    largest, least = max([0.0, *map(abs, cells)]) or 1.0, min([0.0, *cells])
    step, right = (WIDTH - LEFT - RIGHT) / max(len(columns), 1), WIDTH - RIGHT
    parts, bottom = [text(LEFT, 26, title, size=15, weight="bold")], float(TOP - 8)
    for name, rows in panels.items():
        parts.append(text(LEFT, bottom + LINE, name))
        top, height = bottom + LINE + 6, min(14.0, max(2.0, max(96, 240 / len(panels)) / max(len(rows), 1)))
        bottom = top + height * len(rows) + 6
        for i, row in enumerate(rows):
            for j, value in enumerate(row):
                place = f'x="{LEFT + j * step:.2f}" y="{top + i * height:.2f}" width="{step:.2f}" height="{height:.2f}"'
                parts.append(f'<rect {place} fill="{_shade(value / largest)}"/>')
        parts.append(
            f'<rect x="{LEFT}" y="{top:.1f}" width="{right - LEFT}" height="{height * len(rows):.1f}" fill="none" '
            'stroke="#999999"/>'
        )
    middle = max((TOP + bottom) / 2, TOP + width(y, 13) / 2)  # beside few rows it goes on beside the columns' names
    parts.append(f'<g transform="translate(40 {middle:.1f}) rotate(-90)">{text(0, 0, y, anchor="middle")}</g>')
    for i in range(20):  # the scale, from the largest at its top
        shade = _shade(1 - i / 19 * (2 if least < 0 else 1))
        parts.append(f'<rect x="{right + 20}" y="{TOP + 14 + 6 * i}" width="14" height="6.5" fill="{shade}"/>')
    parts.append(f'<rect x="{right + 20}" y="{TOP + 14}" width="14" height="120" fill="none" stroke="#999999"/>')
    for up, value in ((0, -largest), (0.5, 0.0), (1, largest)) if least < 0 else ((0, 0.0), (1, largest)):
        parts.append(text(right + 39, TOP + 138 - 120 * up, f"{value:.2g}", size=12))
    labels, bottom = _columns(columns, step, bottom, x)
    return document([*parts, *labels], WIDTH, max(bottom, TOP + 150, middle + width(y, 13) / 2 + 12))


def tracks(
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    columns: Sequence[str],
    title: str,
    x: str,
    y_ranges: Mapping[str, tuple[float, float]],
) -> str:
    """Curves over the same columns, a panel for each quantity, a colour for each name.

    Args:
        panels: quantity -> name -> a number for every column; names mean the same in all panels.
        columns: what each column is: its token.
        title, x: what is shown, and what the columns are.
        y_ranges: quantity -> the ends of its axis.

    Returns:
        An SVG document. Where curves lie on each other, the wider one lies below.
    """
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    step, height = (WIDTH - LEFT - RIGHT) / max(len(columns), 1), 84
    parts, bottom = _legend(names, 40.0)
    parts.append(text(LEFT, 26, title, size=15, weight="bold"))
    for quantity, lines in panels.items():
        parts.append(text(LEFT, bottom + LINE, quantity))
        top, (low, high) = bottom + LINE + 10, y_ranges[quantity]
        bottom = top + height + 10
        for tick in (low, (low + high) / 2, high):
            py = top + height * (high - tick) / ((high - low) or 1)
            parts.append(f'<path d="M{LEFT} {py:.1f}H{WIDTH - RIGHT}" stroke="#dddddd"/>')
            parts.append(text(LEFT - 8, py + 4, f"{tick:g}", anchor="end"))
        for name, values in lines.items():
            at = names.index(name)
            points = [
                f"{LEFT + (j + 0.5) * step:.1f} {top + height * (high - value) / ((high - low) or 1):.1f}"
                for j, value in enumerate(values)
                if math.isfinite(value)
            ]
            if points:
                parts.append(
                    f'<path d="M{"L".join(points)}" fill="none" stroke="{COLOURS[at % len(COLOURS)]}" '
                    f'stroke-width="{1.5 + 1.2 * (len(names) - 1 - at):.1f}" stroke-linejoin="round" '
                    'stroke-linecap="round"/>'
                )
    labels, bottom = _columns(columns, step, bottom - 4, x)
    return document([*parts, *labels], WIDTH, bottom)


def planes(panels: Mapping[str, Mapping[str, Sequence[complex]]], *, title: str) -> str:
    """Points in the complex plane with its unit circle, a plane for each panel, a colour for each name.

    Args:
        panels: panel -> name -> points; names mean the same in all panels. Those not finite are left out.
        title: what is shown.

    Returns:
        An SVG document. Points within 0.02 are drawn as one; its area says how many they are.
    """
    names = list(dict.fromkeys(name for groups in panels.values() for name in groups))
    every = [z for groups in panels.values() for points in groups.values() for z in points if _finite(z)]
    edge = 1.15 * max([1.0, *map(abs, every)])
    across = min(max(len(panels), 1), 2 if len(panels) in (2, 4) else 3)
    size = {1: 300.0, 2: 240.0, 3: 160.0}[across]
    pitch, left = size + 24, 78.0
    parts, top = _legend(names, 40.0)
    parts.append(text(LEFT, 26, title, size=15, weight="bold"))
    counts = {panel: {name: _together(points) for name, points in groups.items()} for panel, groups in panels.items()}
    most = max([1, *(n for groups in counts.values() for points in groups.values() for n in points.values())])
    rows = -(-len(panels) // across)
    for i, (panel, groups) in enumerate(counts.items()):
        x0, y0 = left + i % across * pitch, top + LINE + 8 + i // across * (size + 28)
        cx, cy, unit = x0 + size / 2, y0 + size / 2, size / 2 / edge
        parts.append(text(x0, y0 - 5, panel))
        parts.append(f'<path d="M{x0:.1f} {cy:.1f}h{size:.1f}M{cx:.1f} {y0:.1f}v{size:.1f}" stroke="#dddddd"/>')
        parts.append(f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="{unit:.1f}" fill="none" stroke="#999999"/>')
        drawn = [(n, z, names.index(name)) for name, points in groups.items() for z, n in points.items()]
        for n, z, at in sorted(drawn, key=lambda point: -point[0]):
            colour, r = COLOURS[at % len(COLOURS)], 2.5 + 7 * math.sqrt(n / most)
            parts.append(
                f'<circle cx="{cx + unit * z.real:.1f}" cy="{cy - unit * z.imag:.1f}" r="{r:.1f}" fill="{colour}" '
                f'fill-opacity="0.3" stroke="{colour}" stroke-width="1.5"/>'
            )
        for tick in (-1, 0, 1):
            if i + across >= len(panels):
                parts.append(text(cx + unit * tick, y0 + size + LINE, f"{tick}", anchor="middle", size=12))
            if i % across == 0:
                parts.append(text(x0 - 6, cy - unit * tick + 4, f"{tick}i" if tick else "0", anchor="end", size=12))
    bottom = top + LINE + 8 + rows * (size + 28)
    parts.append(text(left + (across * pitch - 24) / 2, bottom + 8, "real part", anchor="middle"))
    middle = top + LINE + 8 + (rows * (size + 28) - 28) / 2
    parts.append(f'<g transform="translate(34 {middle:.1f}) rotate(-90)">')
    parts.append(text(0, 0, "imaginary part", anchor="middle") + "</g>")
    parts.append(text(left, bottom + 8 + LINE + 4, "An area says how many eigenvalues lie there.", size=12))
    return document(parts, max(WIDTH, left + across * pitch), bottom + 40)


def _together(points: Sequence[complex]) -> dict[complex, int]:
    """How many points lie at each place, to 0.02."""
    found: dict[complex, int] = {}
    for z in points:
        if _finite(z):
            place = complex(round(z.real * 50) / 50, round(z.imag * 50) / 50)
            found[place] = found.get(place, 0) + 1
    return found


def _finite(z: complex) -> bool:
    return math.isfinite(z.real) and math.isfinite(z.imag)


def _shade(part: float) -> str:
    """The colour of a number in [-1, 1]."""
    if not math.isfinite(part):
        return "#bbbbbb"
    end = COLOURS[0] if part < 0 else COLOURS[1]
    channels = (int(end[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(255 + min(abs(part), 1) * (channel - 255)):02x}" for channel in channels)


def _legend(names: Sequence[str], y: float) -> tuple[list[str], float]:
    """A coloured square and a name each, in as many lines as they need, and where they end."""
    parts, x = [], float(LEFT)
    for i, name in enumerate(names):
        wide = 20 + width(name, 13) + 14
        if x + wide > WIDTH and x > LEFT:
            x, y = float(LEFT), y + LINE + 2
        parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="11" height="11" fill="{COLOURS[i % len(COLOURS)]}"/>')
        parts.append(text(x + 16, y + 10, name))
        x += wide
    return parts, y + LINE


def _columns(columns: Sequence[str], step: float, top: float, x: str) -> tuple[list[str], float]:
    """The columns' names below them, upright where they are too wide, and as many as fit; the axis' name; the end."""
    names = [name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}\u2026" for name in columns]
    widest = max([0.0, *(width(name, 12) for name in names)])
    upright = widest > step - 2
    every = max(1, math.ceil(13 / step)) if upright else 1
    parts = []
    for j in range(0, len(names), every):
        px = LEFT + (j + 0.5) * step
        if upright:
            label = text(0, 4, names[j], anchor="end", size=12)
            parts.append(f'<g transform="translate({px:.1f} {top + 4:.1f}) rotate(-90)">{label}</g>')
        else:
            parts.append(text(px, top + 12, names[j], anchor="middle", size=12))
    bottom = top + (widest + 8 if upright else LINE) + LINE
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, bottom, x, anchor="middle"))
    return parts, bottom + 12


def spread(places: Sequence[float], apart: float = 15.0) -> list[float]:
    """The places of labels, moved as little as needed for each to be `apart` from the next.

    >>> spread([100.0, 101.0, 160.0])
    [93.0, 108.0, 160.0]
    """
    order = sorted(range(len(places)), key=lambda i: places[i])
    groups: list[tuple[list[int], float]] = []  # labels that touch, and the middle of where they want to be
    for i in order:
        members, middle = [i], places[i]
        while groups and middle - (len(members) - 1) * apart / 2 < groups[-1][1] + (len(groups[-1][0]) + 1) * apart / 2:
            before, at = groups.pop()
            middle = (at * len(before) + middle * len(members)) / (len(before) + len(members))
            members = before + members
        groups.append((members, middle))
    found = list(places)
    for members, middle in groups:
        for nth, i in enumerate(members):
            found[i] = middle + (nth - (len(members) - 1) / 2) * apart
    return found


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
