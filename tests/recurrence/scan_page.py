"""What docs/scans.md shows: the picture of a scan, and the time it takes.

python -m tests.recurrence.scan_page                  # the table of times
python -m tests.recurrence.scan_page --picture        # the tree, as SVG
"""

from __future__ import annotations

import sys
import time

import numpy as np

from minilinear import backend
from minilinear.recurrence import associative_scan, block_scan, diagonal_scan
from minilinear.svg import COLOURS

METHODS = ("loop", "chunk", "blelloch", "hillis-steele")
SIZES = {  # the shape of a state: the lengths
    (1, 64): [2**i for i in range(6, 15)],  # batch, channels
    (8, 512): [64, 1024, 4096],
    (1, 1, 4): [64, 1024],  # batch, blocks, channels in a block
    (1, 32, 2): [64, 1024],
}
LEFT, TOP, ACROSS, DOWN = 70, 92, 68, 54


def combinations(T: int, method: str) -> list[list[tuple]]:
    """What a scan of T elements really combines: the calls, each a list of ((first, last), (first, last)), 1 .. T."""
    calls: list[list[tuple]] = []

    def combine(x, y):
        assert (x[1] + 1 == y[0]).all(), "neighbours only"
        calls.append([((a, b), (c, d)) for a, b, c, d in zip(*(v.tolist() for v in (*x, *y)))])
        return x[0], y[1]

    t = np.arange(1, T + 1)
    associative_scan(combine, (t, t), axis=0, method=method)
    return calls


def scan_tree(T: int = 8, method: str = "blelloch") -> str:
    """The combinations of a scan as an SVG document: a column for each element, a row for each call."""
    calls = combinations(T, method)
    place = lambda t, row: (LEFT + (t - 1) * ACROSS, TOP + row * DOWN)
    width, height = 2 * LEFT + (T - 1) * ACROSS, TOP + len(calls) * DOWN + 48
    total = sum(map(len, calls))
    lines, dots = [], []
    lies = dict.fromkeys(range(1, T + 1), 0)  # the row in which each column was written last

    def line(start, end, colour):
        (x, y), (u, v) = start, end
        lines.append(f'<path d="M{x} {y}L{u} {v}" stroke="{colour}" stroke-width="2"/>')

    def box(t, row, first, colour):
        x, y = place(t, row)
        name = f"{first}" if first == t else f"{first}–{t}"
        dots.append(f'<rect x="{x - 21}" y="{y - 13}" width="42" height="26" rx="13" fill="{colour}"/>')
        dots.append(f'<text x="{x}" y="{y + 5}" text-anchor="middle" font-size="13" fill="#ffffff">{name}</text>')

    for t in lies:
        box(t, 0, t, COLOURS[2])
    for row, call in enumerate(calls, 1):
        before = dict(lies)  # the elements of one call are combined at once
        for (_, middle), (_, last) in call:
            line(place(middle, before[middle]), place(last, row), COLOURS[0])
            line(place(last, before[last]), place(last, row), COLOURS[2])
        for (first, _), (_, last) in call:
            box(last, row, first, COLOURS[1] if first == 1 else COLOURS[0])
            lies[last] = row
    for t, row in lies.items():
        line(place(t, row), place(t, len(calls) + 0.6), "#dddddd")
    title = f"{T} elements, {total} combinations, {len(calls)} calls ({method})"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
            f'<rect width="{width}" height="{height}" rx="6" fill="#ffffff"/>',
            f'<text x="{LEFT - 21}" y="32" font-size="15" font-weight="bold" fill="#333333">{title}</text>',
            f'<text x="{LEFT - 21}" y="54" font-size="13" fill="{COLOURS[1]}">complete prefixes</text>',
            f'<text x="{LEFT + 110}" y="54" font-size="13" fill="{COLOURS[0]}">sums of a part</text>',
            *lines,
            *dots,
            "</svg>",
            "",
        ]
    )


def milliseconds(shape: tuple[int, ...], T: int, rounds: int) -> dict[str, float]:
    """The median time of each method, in turns, on random float32 inputs."""
    rng, (B, *rest) = np.random.default_rng(0), shape
    run, block = (diagonal_scan, ()) if len(rest) == 1 else (block_scan, rest[1:])
    a = rng.uniform(0, 1, (B, T, *rest, *block)).astype(np.float32) / (block[0] if block else 1)
    b = rng.standard_normal((B, T, *rest)).astype(np.float32)
    times: dict[str, list[float]] = {method: [] for method in METHODS}
    for _ in range(rounds + 1):
        for method, found in times.items():
            start = time.perf_counter()
            run(a, b, method=method)
            found.append(1e3 * (time.perf_counter() - start))
    return {method: float(np.median(found[1:])) for method, found in times.items()}


def times_table(rounds: int = 15) -> str:
    """The table in Markdown, the fastest of each row in bold."""
    lines = [f"| state | T | {' | '.join(METHODS)} |", "|---" * (2 + len(METHODS)) + "|"]
    for shape, lengths in SIZES.items():
        B, *rest = shape
        name = f"{B} x {rest[0]} channels" if len(rest) == 1 else f"{B} x {rest[0]} blocks of {rest[1]} x {rest[1]}"
        for T in lengths:
            found = milliseconds(shape, T, rounds)
            best = min(found, key=lambda method: found[method])
            cells = [f"**{ms:.3g}**" if method == best else f"{ms:.3g}" for method, ms in found.items()]
            lines.append(f"| {name} | {T:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    if "--picture" in sys.argv:
        print(scan_tree(), end="")
    else:
        backend.keep_freed_memory()
        print(times_table())
