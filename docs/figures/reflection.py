"""A factor I - beta k k^T in the plane: what it does to a vector, and what two of them do."""

from __future__ import annotations

import numpy as np

from minilinear.svg import text

from .picture import FAINT, INK, PALETTE, Picture, by_hand

UNIT = 118  # pixels
MINUS = "\N{MINUS SIGN}"


def along(degrees: float) -> np.ndarray:
    """The unit vector (2,) at an angle."""
    return np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])


def corrected(x: np.ndarray, k: np.ndarray, beta: float) -> np.ndarray:
    """(I - beta k k^T) x."""
    return x - beta * k * (k @ x)


def reflection() -> Picture:
    """beta = 0 leaves x, beta = 1 projects it onto the mirror, beta = 2 reflects it; all on one line along k."""
    k, x = along(115), 1.45 * along(68)
    at = {beta: corrected(x, k, beta) for beta in (0, 0.5, 1, 1.5, 2)}
    place = _place(90, 202)
    parts = [
        _line(place(-0.55 * along(25)), place(2.05 * along(25)), INK, 2, dash="9 5"),
        _words(place(2.05 * along(25)), 6, 4, "the mirror: what is at", FAINT),
        _words(place(2.05 * along(25)), 6, 23, "a right angle to k", FAINT),
        _line(place(at[0]), place(at[2]), FAINT, 1.5, dash="2 4"),
        _arrow(place(np.zeros(2)), place(k), PALETTE["k"]),
        _words(place(k), -22, -2, "k", PALETTE["k"], bold=True),
    ]
    for beta, name, dx, dy in (
        (0, "x  (β = 0)", 10, -4),
        (1, "β = 1: projected, what lies along k is gone", 14, 14),
        (2, "β = 2: reflected", 14, 10),
    ):
        parts.append(_arrow(place(np.zeros(2)), place(at[beta]), PALETTE["S"], dash=None if beta == 0 else "7 3"))
        parts.append(_words(place(at[beta]), dx, dy, name, INK))
    parts += [_ring(place(at[beta])) for beta in (0.5, 1.5)]
    lengths = [np.linalg.norm(at[beta]) for beta in (0, 1, 2)]
    alt = (
        f"I {MINUS} βkkᵀ moves x along k only. The part along k, {k @ x:.2f}, becomes {abs(k @ at[1]):.2f} at β = 1 "
        f"and {k @ at[2]:.2f}".replace("-", MINUS)
        + f" at β = 2; the length goes from {lengths[0]:.2f} to "
        f"{lengths[1]:.2f} and back to {lengths[2]:.2f}. Rings: β = 0.5 and 1.5."
    )
    return by_hand(parts, 640, 290, alt)


def two_reflections(angle: float = 60) -> Picture:
    """x reflected at one mirror, then at another `angle` degrees further on: a rotation by twice the angle."""
    first, second = 5.0, 5.0 + angle
    x = 1.5 * along(-15)
    once = corrected(x, along(first + 90), 2)
    twice = corrected(once, along(second + 90), 2)
    turned = np.degrees(np.angle(complex(*twice) / complex(*x)))
    place = _place(190, 232)
    parts = []
    for degrees, name, dash in ((first, "mirror 1", "9 5"), (second, "mirror 2", "3 4")):
        end = place(1.95 * along(degrees))
        parts += [_line(place(-0.4 * along(degrees)), end, INK, 2, dash=dash), _words(end, 6, 2, name, INK)]
    for vector, name in ((x, "x"), (once, "after one"), (twice, "after both")):
        between = "7 3" if vector is once else None
        parts.append(_arrow(place(np.zeros(2)), place(vector), PALETTE["S"], dash=between))
        left = vector[0] < 0
        parts.append(_words(place(vector), -10 if left else 10, -2, name, INK, end=left))
    parts += [
        _line(place(x), place(once), FAINT, 1.5, dash="2 4"),
        _line(place(once), place(twice), FAINT, 1.5, dash="2 4"),
        _arc(place, 0.42, first, second, f"{angle:g}°"),
        _arc(place, 0.8, -15, -15 + turned, f"{turned:.0f}°", at=0.88),
    ]
    alt = (
        f"Two reflections at mirrors {angle:g}° apart turn every vector by {turned:.0f}°, twice the angle, "
        f"and leave its length of {np.linalg.norm(twice):.2f} as it was."
    )
    return by_hand(parts, 640, 290, alt)


def _place(x: float, y: float):
    return lambda vector: (x + UNIT * vector[0], y - UNIT * vector[1])


def _line(start, end, colour: str, width: float, dash: str | None = None) -> str:
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<path d="M{start[0]:.1f} {start[1]:.1f}L{end[0]:.1f} {end[1]:.1f}" fill="none" stroke="{colour}" '
        f'stroke-width="{width}"{dashes}/>'
    )


def _arrow(start, end, colour: str, dash: str | None = None) -> str:
    way = np.subtract(end, start)
    way = way / np.linalg.norm(way)
    side = np.array([-way[1], way[0]])
    neck = np.subtract(end, 13 * way)
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in (end, neck + 6 * side, neck - 6 * side))
    return _line(start, neck, colour, 3.5, dash) + f'<polygon points="{points}" fill="{colour}"/>'


def _arc(place, radius: float, start: float, end: float, name: str, at: float = 0.6) -> str:
    points = [place(radius * along(degrees)) for degrees in np.linspace(start, end, 40)]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    x, y = place((radius + 0.1) * along(start + at * (end - start)))
    return f'<path d="M{path}" fill="none" stroke="{PALETTE["A"]}" stroke-width="2"/>' + text(
        x, y, name, size=16, fill=PALETTE["A"]
    )


def _ring(at) -> str:
    return f'<circle cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="5" fill="none" stroke="{PALETTE["S"]}" stroke-width="2"/>'


def _words(at, dx: float, dy: float, words: str, colour: str, *, bold: bool = False, end: bool = False) -> str:
    return text(
        at[0] + dx, at[1] + dy, words, size=16, weight="bold" if bold else "normal", fill=colour,
        anchor="end" if end else "start",
    )  # fmt: skip
