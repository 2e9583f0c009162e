"""Frames between the judge and the learner's process: a fixed header, JSON, raw bytes of arrays.

Nothing is evaluated or unpickled on either side, so the worst that a forged frame can be is refused.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

HEADER = struct.Struct("<4sII")  # the magic word, the length of the JSON, the length of the arrays
MAGIC = b"mlx1"
MOST_JSON, MOST_BYTES = 1 << 20, 1 << 25
DTYPES = {order + np.dtype(code).str[1:] for code in "?bBhHiIlLqQefdgFDG" for order in "<>|"}
# What a reply may hold, and the types that the judge relies on.
REPLY = {
    **dict.fromkeys(["id", "ok", "line", "bytes", "bytecodes", "arrays made"], int),
    **dict.fromkeys(["error", "type", "message", "code", "denied", "what"], str),
    **dict.fromkeys(["changed", "shared", "arrays", "findings"], list),
}

Frame = tuple[dict[str, Any], list[np.ndarray]]


def pack(head: dict[str, Any], arrays: Sequence[np.ndarray] = ()) -> bytes:
    """One frame: `head` and the arrays, whatever their memory layout."""
    head = head | {"arrays": [[array.dtype.str, list(array.shape)] for array in arrays]}
    text, body = json.dumps(head).encode(), b"".join(array.tobytes() for array in arrays)
    return HEADER.pack(MAGIC, len(text), len(body)) + text + body


def unpack(read: Callable[[int], bytes]) -> Frame:
    """The next frame from read(n), which returns exactly n bytes. Each array is a writable copy.

    Raises:
        ValueError: what came is no frame, or holds what is not an array of numbers.
    """
    magic, length, size = HEADER.unpack(read(HEADER.size))
    if magic != MAGIC or length > MOST_JSON or size > MOST_BYTES:
        raise ValueError(f"not a frame: {magic!r}")
    head, body = json.loads(read(length)), read(size)
    arrays, start = [], 0
    for dtype, shape in head["arrays"]:
        if dtype not in DTYPES or len(shape) > 8 or not all(type(n) is int and 0 <= n <= MOST_BYTES for n in shape):
            raise ValueError("not an array of numbers")
        count = int(np.prod(shape, dtype=object))
        arrays.append(np.frombuffer(body, dtype, count, start).reshape(shape).copy())
        start += arrays[-1].nbytes
    return head, arrays


def reply(read: Callable[[int], bytes]) -> Frame:
    """`unpack` for what the learner's process sent: known keys only, of the types that the judge relies on."""
    head, arrays = unpack(read)
    known = all(type(value) is REPLY.get(key) for key, value in head.items()) and "id" in head
    places = head.get("changed", []) + head.get("shared", []) if known else []
    if not known or not all(type(place) is int and 0 <= place < 100 for place in places):
        raise ValueError("not a reply")
    return head, arrays
