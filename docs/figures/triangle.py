"""The matrices of a chunk of the delta rule: which keys come again, and what that leaves of each write."""

from __future__ import annotations

import numpy as np

from minilinear.recurrence.triangular import unit_lower_inverse
from minilinear.svg import text

from .overwrite import squares
from .picture import FAINT, INK, PALETTE, Picture, by_hand

CELL, TOP, FIRST, PITCH = 17, 82, 26, 168


def matrices(keys: str = "abacabaa", question: str = "a") -> dict[str, np.ndarray]:
    """Of a chunk of keys that are equal or at right angles, with beta = 1 and one question at every token: the triangle
    A, the inverse of I + A, and what each token's answer makes of every value, by addition and by the delta rule.
    """
    k = np.array([[float(key == other) for other in sorted(set(keys))] for key in keys])  # (C, K)
    q = np.array([[float(question == other) for other in sorted(set(keys))]] * len(keys))
    A = np.tril(k @ k.T, -1)
    inverse = unit_lower_inverse(A[None, None, None])[0, 0, 0]
    M = np.tril(q @ k.T)
    return {"A": A, "inverse": inverse, "added": M, "replaced": M @ inverse}


def triangle(keys: str = "abacabaa", question: str = "a") -> Picture:
    """Four matrices of one chunk: A, (I + A)^-1, and what is read by addition and by the delta rule."""
    found = matrices(keys, question)
    heads = (("A", "keys met before"), ("(I + A)⁻¹", "what to take off"), ("M", "addition reads"),
             ("M (I + A)⁻¹", "the delta rule reads"))  # fmt: skip
    C = len(keys)
    parts = []
    for i, ((name, meaning), values, letter) in enumerate(zip(heads, found.values(), "AAqq")):
        x = FIRST + i * PITCH
        parts += [
            text(x, 24, name, size=16, weight="bold", fill=PALETTE[letter]),
            text(x, 44, meaning, size=14, fill=INK),
            squares(values, x, TOP, PALETTE[letter], 1, cell=CELL),
        ]
        for t, key in enumerate(keys):
            parts += [
                text(x + (t + 0.5) * CELL, TOP - 7, key, anchor="middle", size=14, fill=PALETTE["k"]),
                text(x - 7, TOP + (t + 0.5) * CELL + 4, key if i < 2 else question, anchor="end", size=14,
                     fill=PALETTE["k" if i < 2 else "q"]),
            ]  # fmt: skip
    parts.append(text(FIRST, TOP + C * CELL + 24, "filled: +1, hollow: −1, dot: 0", size=14, fill=FAINT))
    again = sum(key in keys[:t] for t, key in enumerate(keys))
    pairs, taken = int(found["A"].sum()), int((found["inverse"] < 0).sum())
    read = [int(np.abs(found[name][-1]).sum()) for name in ("added", "replaced")]
    alt = (
        f"Keys {', '.join(keys)}: {again} of {C} tokens meet their key again, in {pairs} pairs. Of those the inverse "
        f"keeps {taken}, each token with the newest write of its key. Asked for {question} at the end, addition reads "
        f"{read[0]} values, the delta rule {read[1]}."
    )
    return by_hand(parts, FIRST + 3 * PITCH + C * CELL + 14, TOP + C * CELL + 36, alt)
