"""The group S3 beside what a trained layer has made of it: its table, and the triangle that its letters move."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minilinear.errors import WrongValue, explain
from minilinear.svg import text
from minilinear.tasks import group

from .committed import committed
from .picture import FAINT, INK, PALETTE, Picture, by_hand

S3 = group("s3")
NAMES = [label.strip("()").replace(" ", "") for label in S3.labels]  # e, 23, 12, 123, 132, 13
TURN, SWAP = NAMES.index("123"), NAMES.index("23")
FILLS = ("k", "q", "v", "S", "o", "beta")  # a colour for each element; every cell has its name as well
CELL = 48


def learned_runs() -> list[dict[str, Any]]:
    """The runs of docs/data/s3-transitions.json: seed, set, scores, and A (letters, H, K, K) as an array."""
    return [run | {"A": np.array(run["A"])} for run in committed("s3-transitions")["runs"]]


class Plane(NamedTuple):
    """Two numbers of a head's state that the letters move among themselves.

    Attributes:
        head: which.
        rows: (2, K): y = rows @ S.
        M: (letters, 2, 2): after the letter x, y is M_x y, but for what leaks in from the rest of the state.
        leak: (letters,) how much that is, |rows A_x - M_x rows| against |rows|.
    """

    head: int
    rows: np.ndarray
    M: np.ndarray
    leak: np.ndarray


def plane_of(A: np.ndarray) -> Plane:
    """Where the letter (1 2 3) turns the state: the plane of its complex eigenvalues, in the head that turns most.

    Its coordinates are chosen such that (1 2 3) turns to the right and (2 3) leaves the upright direction where it is.

    Args:
        A: (letters, H, K, K), what each letter of S3 does to the state of each head.

    Raises:
        ValueError: no head turns anything, as with one reflection per token.
    """
    eigenvalues, left = np.linalg.eig(np.swapaxes(A[TURN], -1, -2))  # columns y with y^T A = a y^T
    head, which = np.unravel_index(np.argmax(eigenvalues.imag), eigenvalues.shape)
    if not eigenvalues[head, which].imag > 0:
        raise WrongValue(
            explain("A head turns its state at (1 2 3).", got="real eigenvalues in all heads", fix="a layer with R = 2")
        )
    y = left[head, :, which]
    rows = np.stack([y.real, y.imag])  # here (1 2 3) is a turn and a factor: its complex eigenvalue
    M = np.stack([rows @ A_x @ np.linalg.pinv(rows) for A_x in A[:, head]])
    values, vectors = np.linalg.eig(M[SWAP])
    up = vectors[:, np.argmax(values.real)].real
    right = np.array([up[1], -up[0]])
    if right @ M[TURN] @ up < 0:
        right = -right
    rows = np.stack([right, up]) @ rows
    M = np.stack([rows @ A_x @ np.linalg.pinv(rows) for A_x in A[:, head]])
    leak = np.linalg.norm(rows @ A[:, head] - M @ rows, axis=(1, 2)) / np.linalg.norm(rows)
    return Plane(int(head), rows, M, leak)


def products(M: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which letter's matrix is nearest to M_b M_a, (letters, letters), and how far that is (Frobenius)."""
    made = np.einsum("bij,ajk->abik", M, M)  # first a, then b
    distance = np.linalg.norm(made[:, :, None] - M, axis=(-1, -2))
    return distance.argmin(-1), distance.min(-1)


def cayley(A: np.ndarray) -> Picture:
    """The table of S3, and the same table computed from the matrices A (letters, H, K, K) of a trained layer."""
    near, distance = products(plane_of(A).M)
    right = int((near == S3.table).sum())
    top, second = 80, 7 * CELL + 44
    parts = [
        *_table(0, top, "the group", S3.table, None, np.ones((6, 6), bool)),
        *_table(second, top, "the trained layer", near, distance, near == S3.table),
        text(
            8,
            top + 6 * CELL + 24,
            "Row: the first shuffle. Column: the second. On the right, below each name:",
            fill=INK,
        ),
        text(
            8,
            top + 6 * CELL + 43,
            "how far the product of two learnt matrices is from the matrix of that name.",
            fill=INK,
        ),
    ]
    alt = (
        f"The Cayley table of S3 beside the one made of the matrices that a layer has learnt for the six letters: "
        f"{right} of 36 products are nearest to the right letter's matrix, the worst of them {distance.max():.3f} away "
        f"from it, where two different letters are {_apart(plane_of(A).M):.2f} apart or more."
    )
    return by_hand(parts, second + 7 * CELL + 4, top + 6 * CELL + 52, alt)


def triangle(A: np.ndarray) -> Picture:
    """Where the six learnt matrices take the corners of a triangle, in the plane that the layer turns."""
    M, letters = plane_of(A).M, S3.table
    third = 2 * np.pi / 3 * np.arange(3)
    corners = np.stack([np.sin(third), np.cos(third)], 1)  # 1 above, then clockwise
    places = _permutations()
    moved = np.einsum("xij,cj->xci", M, corners)  # (letters, corners, 2)
    off = np.linalg.norm(moved - corners[places], axis=-1)
    size, parts = 190, []
    for x in range(len(letters)):
        cx, cy = size / 2 + x % 3 * size, 24 + size / 2 + x // 3 * (size + 6)

        def place(p: np.ndarray, cx: float = cx, cy: float = cy) -> tuple[float, float]:
            return cx + 66 * p[0], cy - 66 * p[1]

        det = np.linalg.det(M[x])
        title = S3.labels[x] + f", det {det:+.2f}".replace("-", "\N{MINUS SIGN}")
        parts.append(text(cx, cy - size / 2 + 4, title, anchor="middle", size=15, weight="bold", fill=INK))
        outline = "L".join(f"{px:.1f} {py:.1f}" for px, py in map(place, corners))
        parts.append(f'<path d="M{outline}Z" fill="none" stroke="{FAINT}" stroke-dasharray="5 3"/>')
        outline = "L".join(f"{px:.1f} {py:.1f}" for px, py in map(place, moved[x]))
        parts.append(f'<path d="M{outline}Z" fill="none" stroke="{PALETTE["S"]}" stroke-width="2"/>')
        for c, letter in enumerate("kqv"):
            px, py = place(moved[x, c])
            parts.append(
                f'<circle cx="{px:.1f}" cy="{py:.1f}" r="13" fill="{PALETTE[letter]}" fill-opacity="0.25" '
                f'stroke="{PALETTE[letter]}" stroke-width="2"/>'
            )
            parts.append(text(px, py + 5, str(c + 1), anchor="middle", size=15, weight="bold", fill=INK))
    turned = np.degrees(np.arctan2(M[TURN, 0, 1] - M[TURN, 1, 0], np.trace(M[TURN])))
    alt = (
        "Six triangles, one for each letter, whose corners 1, 2, 3 lie where the learnt matrix takes them. All are the "
        f"triangle onto itself: no corner is more than {off.max():.2f} of the radius from its place. (1 2 3) turns by "
        f"{turned:.1f} degrees, and the three exchanges have determinants near \N{MINUS SIGN}1: they are mirrors."
    )
    return by_hand(parts, 3 * size, 2 * size - 10, alt)


def _permutations() -> np.ndarray:
    """(letters, 3): where each letter takes 0, 1, 2, read off its cycles."""
    places = np.tile(np.arange(3), (len(NAMES), 1))
    for x, name in enumerate(NAMES):
        if name != "e":
            cycle = [int(c) - 1 for c in name]
            places[x, cycle] = cycle[1:] + cycle[:1]
    return places


def _apart(M: np.ndarray) -> float:
    """The distance between the two matrices that are nearest to one another."""
    distance = np.linalg.norm(M[:, None] - M, axis=(-1, -2))
    return float(distance[~np.eye(len(M), dtype=bool)].min())


def _table(
    x: float, y: float, title: str, elements: np.ndarray, below: np.ndarray | None, right: np.ndarray
) -> list[str]:
    """A square of names with its rows' and columns' names; `below` is a number for each, a cross where not right."""
    parts = [text(x + CELL, y - CELL - 8, title, size=17, weight="bold", fill=INK)]
    for i, name in enumerate(NAMES):
        at = y + i * CELL + CELL / 2
        parts.append(text(x + CELL - 10, at + 5, name, anchor="end", size=16, weight="bold", fill=INK))
        parts.append(text(x + CELL * (i + 1.5), y - 12, name, anchor="middle", size=16, weight="bold", fill=INK))
    for (i, j), element in np.ndenumerate(elements):
        left, upper = x + CELL * (j + 1), y + CELL * i
        colour = PALETTE[FILLS[element]]
        parts.append(
            f'<rect x="{left + 1:.1f}" y="{upper + 1:.1f}" width="{CELL - 2}" height="{CELL - 2}" rx="3" '
            f'fill="{colour}" fill-opacity="0.22" stroke="{colour if right[i, j] else INK}" '
            f'stroke-width="{1 if right[i, j] else 4}"/>'
        )
        middle, name = left + CELL / 2, NAMES[element] + ("" if right[i, j] else " \N{MULTIPLICATION X}")
        parts.append(text(middle, upper + (30 if below is None else 23), name, anchor="middle", size=16, fill=INK))
        if below is not None:
            parts.append(text(middle, upper + 40, f"{below[i, j]:.2f}", anchor="middle", size=12, fill=INK))
    return parts
