"""Where the eigenvalues of a delta rule's transition lie, for one correction per token and for two."""

from __future__ import annotations

import numpy as np

from minilinear.svg import text

from .picture import FAINT, INK, PALETTE, RULE, Picture, by_hand

RADIUS, CENTRES, MIDDLE = 118, (155, 465), 190  # of the unit circles, in pixels
MINUS = "\N{MINUS SIGN}"


def transitions(beta: float, angle: float = 60) -> tuple[np.ndarray, np.ndarray]:
    """I - beta k k^T, and the product of two such factors whose keys stand `angle` degrees apart, both (3, 3)."""
    turn = np.radians(angle)
    k = np.array([[1, 0, 0], [np.cos(turn), np.sin(turn), 0]])
    first, second = (np.eye(3) - beta * np.outer(k_r, k_r) for k_r in k)
    return first, second @ first


def eigenvalues(beta: float, angle: float = 60) -> tuple[np.ndarray, np.ndarray]:
    """The three eigenvalues of each of the two `transitions`, by real part, then by imaginary part."""
    one, two = (np.linalg.eigvals(A) for A in transitions(beta, angle))
    return np.sort_complex(one), np.sort_complex(two)


def eigenvalue_disc(beta: float, angle: float = 60) -> Picture:
    """The eigenvalues at one beta in the unit disc of the complex plane, and the way they came from beta = 0."""
    found = eigenvalues(beta, angle)
    way = [eigenvalues(b, angle) for b in np.linspace(0, beta, 1 + round(80 * beta))]
    names = (f"one step: I {MINUS} βkkᵀ", f"two steps, keys {angle:g}° apart")
    parts = []
    for panel, (name, cx, values) in enumerate(zip(names, CENTRES, found)):

        def place(z: complex, cx: float = cx) -> tuple[float, float]:
            return cx + RADIUS * z.real, MIDDLE - RADIUS * z.imag

        parts += [
            text(cx, 26, name, anchor="middle", size=16, weight="bold", fill=INK),
            f'<circle cx="{cx}" cy="{MIDDLE}" r="{RADIUS}" fill="none" stroke="{INK}" stroke-width="1.5"/>',
            f'<path d="M{cx - RADIUS - 16} {MIDDLE}h{2 * RADIUS + 32}M{cx} {MIDDLE - RADIUS - 10}v{2 * RADIUS + 20}" '
            f'stroke="{RULE}" stroke-width="1.5"/>',
            text(cx + RADIUS + 6, MIDDLE - 6, "1", size=14, fill=FAINT),
            text(cx - RADIUS - 6, MIDDLE - 6, f"{MINUS}1", anchor="end", size=14, fill=FAINT),
            text(cx + 6, MIDDLE - RADIUS - 5, "i", size=14, fill=FAINT),
        ]
        trail = {tuple(round(c, 1) for c in place(z)): None for step in way for z in step[panel]}
        dots = "".join(f"M{x:g} {y:g}h0" for x, y in trail)
        parts.append(f'<path d="{dots}" fill="none" stroke="{PALETTE["A"]}" stroke-width="3" stroke-linecap="round"/>')
        for z, count in _together(values).items():
            x, y = place(z)
            parts.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="7" fill="{PALETTE["A"]}" stroke="{INK}" stroke-width="1.5"/>'
            )
            if count > 1:
                parts.append(text(x - 8, y + 24, f"{count} times", anchor="end", size=14, fill=INK))
    parts.append(text(CENTRES[0] + 155, 342, f"β = {beta:g}", anchor="middle", size=18, fill=INK))
    turning = found[1][np.abs(found[1].imag) > 1e-9]
    if len(turning):
        degrees = np.degrees(np.abs(np.angle(turning[0])))
        size = np.abs(turning[0])
        second = (
            f"two steps have a complex pair of size {size:.2f}: they turn the plane of the two keys, by {degrees:.0f}°."
        )
    else:
        second = f"two steps have only real ones, the smallest {_signed(found[1].real.min())}: nothing turns."
    alt = f"β = {beta:g}: along the key one step has the eigenvalue {_signed(found[0].real.min())}; {second}"
    return by_hand(parts, 620, 352, alt)


def _signed(x: float) -> str:
    return f"{round(x, 2) + 0.0:.2f}".replace("-", MINUS)


def _together(values: np.ndarray) -> dict[complex, int]:
    """Values that would be drawn on top of one another, and how many they are."""
    seen: dict[complex, int] = {}
    for z in values:
        same = next((other for other in seen if abs(other - z) < 0.02), None)
        seen[complex(z) if same is None else same] = seen.get(complex(z) if same is None else same, 0) + 1
    return seen
