"""The next character of a text: any UTF-8 file, or the reference topics that lie inside every CPython.

    ids = c_0 c_1 ... c_{n-1},    inputs = c_i .. c_{i+T-1},    targets = c_{i+1} .. c_{i+T}

The token of a character is its place in the vocabulary, the text's characters in the order of their code points. The
text is cut once: the first part is for training, the last tenth is held out. A cut and not a draw, because windows that
overlap would carry training characters into the evaluation. What counts is bits per character on the held-out part,
the mean of -log2 p(target).

The default text is the values of `pydoc_data.topics.topics` (what `help("if")` prints), joined by newlines in the
order of their names: about 460 000 characters of English and grammar that need no download. They differ between
versions of Python, as files differ between machines, so the SHA-256 of the text goes into the run's config.
"""

from __future__ import annotations

import hashlib
import importlib
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError, explain


class Text:
    """Next-character prediction. See the top of the file.

    Args:
        path: a UTF-8 file; None for Python's reference topics.
        length: T, the characters in a training window.
        held_out: the part of the text, at its end, that is kept for evaluation; a fraction.

    A byte order mark is dropped, and line ends become a single newline: one text is one task, whatever system saved it.

    Raises:
        ConfigError: a file that cannot be read or is not UTF-8 text, or is too short for `length` in either part.
    """

    name = "text"
    kind, features = "language_model", 0
    preset = "language"
    better = "lower"
    shape: Mapping[str, Any] = {}
    training: Mapping[str, Any] = {}

    def __init__(self, path: str | Path | None = None, length: int = 256, held_out: float = 0.1):
        if not (type(length) is int and length >= 1):
            raise ConfigError(
                explain("length is a number of characters, 1 or more.", got=repr(length), fix="length=256")
            )
        if not (isinstance(held_out, (int, float)) and 0 < held_out < 1):
            raise ConfigError(
                explain("held_out is a part of the text, between 0 and 1.", got=repr(held_out), fix="held_out=0.1")
            )
        self.path, self.length, self.held_out = path, length, held_out
        self.source = "pydoc_data.topics" if path is None else str(path)
        text = _reference_topics() if path is None else _read(Path(path))
        self.sha256 = hashlib.sha256(text.encode()).hexdigest()
        points, ids = np.unique(_code_points(text), return_inverse=True)
        self._points = points  # the vocabulary's code points, ascending
        self.vocabulary = [chr(point) for point in points]  # of the whole text: no character is new when held out
        cut = len(ids) - round(held_out * len(ids))
        self._parts = ids[:cut].astype(np.int32), ids[cut:].astype(np.int32)
        shorter = min(map(len, self._parts))
        if shorter < length + 1:
            raise ConfigError(
                explain(
                    f"The text is too short: its training and held-out parts must hold {length} + 1 characters each.",
                    got=f"{self.source} with {cut} + {len(ids) - cut} characters",
                    fix=f"length={shorter - 1} or less" if shorter > 1 else "a longer text",
                )
            )

    def config(self) -> dict[str, Any]:
        """What a run's config.json says about the task; `task_from_config` makes the same task of it."""
        file = None if self.path is None else str(Path(self.path).resolve())
        return {
            "name": self.name,
            "options": {"file": file, "length": self.length, "held_out": self.held_out},
            "source": file or f"pydoc_data.topics of Python {sys.version.split()[0]}",
            "sha256": self.sha256,
            "characters": sum(map(len, self._parts)),
            "training_characters": len(self._parts[0]),
            "vocabulary": "".join(self.vocabulary),
        }

    @property
    def tested(self) -> tuple[int, ...]:
        """The training length; beyond it, see `training.evaluation.bits_by_position`."""
        return (self.length,)

    @property
    def chance(self) -> float:
        """Bits per character of guessing: log2 of the vocabulary."""
        return math.log2(len(self.vocabulary))

    def score(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """Bits per character, mean of -log2 p(next character), from scores (B, T, vocabulary)."""
        scores = outputs.astype(np.float64) - outputs.max(-1, keepdims=True)
        log_p = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
        picked = np.take_along_axis(log_p, np.maximum(targets, 0)[..., None], -1)[..., 0]
        return {"bits": float(-picked[targets >= 0].mean() / math.log(2))}

    def batch(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Random windows of the training part: inputs (size, T), targets (size, T), int64."""
        return self._windows(self._parts[0], rng, self.length, size)

    def evaluation(self, rng: np.random.Generator, length: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Random windows of the held-out part, of any length that fits: inputs (size, length), targets alike."""
        return self._windows(self._parts[1], rng, length, size)

    def consecutive(self, step: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Windows that go on where those of the step before ended: row b reads its own part of the training text, from
        its beginning again when it is through. inputs (size, T), targets (size, T), int64.
        """
        part, T = self._parts[0], self.length
        each = (len(part) - 1) // size // T  # windows in the part of one row
        if each < 1:
            raise ConfigError(
                explain(
                    f"Each of {size} rows reads windows of {T} characters of its own.",
                    got=f"{len(part)} characters to train on",
                    fix="a smaller batch, or carry=false",
                )
            )
        starts = np.arange(size) * each * T + step % each * T
        window = part[starts[:, None] + np.arange(T + 1)].astype(np.int64)
        return window[:, :-1], window[:, 1:]

    def starts_again(self, step: int, size: int) -> bool:
        """Whether the windows of this step are at the beginning of their parts: a carried state belongs elsewhere."""
        return step % max(1, (len(self._parts[0]) - 1) // size // self.length) == 0

    def held_out_windows(self, length: int | None = None, limit: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The held-out part in consecutive windows, each of its characters but the first a target once.

        Args:
            length: characters in a window; by default the training length.
            limit: take only the first `limit` windows.

        Returns:
            inputs (N, length), targets (N, length), int64. The last window is filled up with input 0, target -1: a
            causal model does not see the filling, and a negative target is not counted.
        """
        length = self.length if length is None else length
        if length < 1:
            raise ConfigError(explain("A window has at least one character.", got=f"length={length}"))
        part = self._parts[1]
        windows = -(-(len(part) - 1) // length)
        inputs, targets = np.zeros(windows * length, np.int64), np.full(windows * length, -1, np.int64)
        inputs[: len(part) - 1], targets[: len(part) - 1] = part[:-1], part[1:]
        return inputs.reshape(windows, length)[:limit], targets.reshape(windows, length)[:limit]

    def encode(self, text: str) -> np.ndarray:
        """The token ids of a text, (len(text),) int64.

        Raises:
            ConfigError: a character that is not in the vocabulary, with its position.
        """
        points = _code_points(text)
        ids = np.minimum(np.searchsorted(self._points, points), len(self._points) - 1)
        for position in np.flatnonzero(self._points[ids] != points):
            raise ConfigError(
                explain(
                    "Only characters of the training text have a token.",
                    got=f"{text[position]!r} (U+{points[position]:04X}) at position {position}",
                    fix=f"leave it out; the {len(self.vocabulary)} known ones are {''.join(self.vocabulary)!r:.200}",
                    see="token-ids",
                )
            )
        return ids

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """The text of token ids, the inverse of `encode`.

        Raises:
            ConfigError: an id outside the vocabulary, with its position.
        """
        for position, i in enumerate(ids):
            if not 0 <= i < len(self.vocabulary):
                raise ConfigError(
                    explain(
                        f"A token is 0 .. {len(self.vocabulary) - 1}.",
                        got=f"{i} at position {position}",
                        see="token-ids",
                    )
                )
        return "".join(self.vocabulary[i] for i in ids)

    def _windows(
        self, part: np.ndarray, rng: np.random.Generator, length: int, size: int
    ) -> tuple[np.ndarray, np.ndarray]:
        if not 1 <= length < len(part):
            raise ConfigError(
                explain(
                    "A window has at least 1 character, and at most one less than its part of the text.",
                    got=f"length={length} in {len(part)} characters",
                    fix=f"length={len(part) - 1} or less, a longer text, or a larger held_out",
                )
            )
        starts = rng.integers(len(part) - length, size=size)
        window = part[starts[:, None] + np.arange(length + 1)].astype(np.int64)  # (size, length+1)
        return window[:, :-1], window[:, 1:]


def _code_points(text: str) -> np.ndarray:
    """The characters as numbers; half a surrogate pair, as a terminal may send it, is just in no vocabulary."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def _reference_topics() -> str:
    try:
        topics = importlib.import_module("pydoc_data.topics").topics
    except ImportError:
        raise ConfigError(
            explain("This Python came without pydoc_data, the default text.", fix="file=FILE, any UTF-8 text")
        ) from None
    return "\n".join(topics[name] for name in sorted(topics))


def _read(path: Path) -> str:
    """The file's text, or in which way it is none."""
    try:
        data = path.read_bytes()
    except OSError as reason:
        wrong = "a folder" if path.is_dir() else reason.strerror
        raise ConfigError(
            explain("The text is a file that can be read.", got=f"{path}: {wrong}", fix="file=FILE")
        ) from None
    if not data.strip(b"\xef\xbb\xbf \t\r\n"):
        raise ConfigError(explain("The text has characters in it.", got=f"{path} is empty", fix="another file"))
    utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    if b"\0" in data and not utf16:
        where = f"a zero byte at offset {data.index(0)}"
        raise ConfigError(
            explain("The text is UTF-8, not a binary file.", got=f"{path} has {where}", fix="a text file")
        )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        was = "utf-16" if utf16 else "latin-1"
        raise ConfigError(
            explain(
                "The text is UTF-8.",
                got=f"{path} has the byte 0x{data[error.start]:02x} at offset {error.start}: {error.reason}",
                fix=f"convert it: iconv -f {was} -t utf-8, or in Python Path.read_text(encoding={was!r})",
            )
        ) from None
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
