"""Handwritten digits, 8 x 8 numbers each, read as a sequence: which of the ten is it?

    rows      T = 8 tokens of F = 8 numbers: from top to bottom
    pixels    T = 64 of F = 1: from left to right, row after row; the longest memory
    patches   T = 16 of F = 4: blocks of 2 x 2, row after row
    flat      T = 1 of F = 64: the picture at once, for a model without time

The data are 1797 pictures that lie in data/digits.npz, with their licence beside them. A number is the ink in a block
of 4 x 4 dots, 0 .. 16; as inputs they are centred and scaled by the mean and the deviation of all of them, rounded:

    x = (ink - 5) / 6

400 pictures are held out, the same in every run, and of every digit as large a part.

Source: Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits, UCI, doi 10.24432/C50P49 (CC BY 4.0).
"""

from __future__ import annotations

import functools
import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError, RunError, ShapeError, explain
from ..randomness import stream

FILE = Path(__file__).parent / "data" / "digits.npz"
SHA256 = "3ed4c4ef19a1f1ebe014b5f42855b858c37dc708e5973bb32b93762a8939b421"

READINGS = {"rows": (8, 8), "pixels": (64, 1), "patches": (16, 4), "flat": (1, 64)}  # (T, F)


class Pictures:
    """What all tasks of 8 x 8 pictures of digits have in common: how they are read, drawn and scored.

    Args:
        read: "rows", "pixels", "patches" or "flat". See the top of the file.

    Raises:
        ConfigError: another way of reading.
    """

    kind = "classifier"
    preset = "language"
    chance = 0.1
    parts: list[tuple[np.ndarray, np.ndarray]]  # inputs (N, T, F) and digits (N,): to train on, and held out

    def __init__(self, read: str = "rows"):
        if not (isinstance(read, str) and read in READINGS):
            raise ConfigError(
                explain(f"A picture is read as {', '.join(READINGS)}.", got=repr(read), fix='read="rows"')
            )
        self.read = read
        self.tokens, self.features = READINGS[read]
        self.vocabulary = list("0123456789")
        self.tested: tuple[int, ...] = (self.tokens,)
        self.shape: dict[str, Any] = {"D": 32, "layers": 1, "hidden": 64, "chunk": min(16, self.tokens)}
        self.training: dict[str, Any] = {"steps": 400, "batch": 64, "lr": 5e-3, "warmup": 20}
        if read == "pixels":  # a long sequence: fewer of them, in larger steps
            self.training |= {"batch": 32, "lr": 1e-2}

    def batch(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Any of the training pictures: inputs (size, T, F) float32, targets (size,) int64."""
        inputs, digits = self.parts[0]
        drawn = rng.integers(len(digits), size=size)
        return inputs[drawn], digits[drawn]

    def evaluation(self, rng: np.random.Generator, length: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Different pictures of those held out, at most all: inputs (min(size, all), T, F), targets alike.

        Raises:
            ConfigError: a length other than T.
        """
        self.check_length(length)
        inputs, digits = self.parts[1]
        drawn = rng.permutation(len(digits))[:size]
        return inputs[drawn], digits[drawn]

    def score(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """How often the highest of the ten scores is that of the right digit.

        Args:
            outputs: (B, 10), any scores.
            targets: (B,) digits.

        Returns:
            {"accuracy": ...}, in [0, 1].

        Raises:
            ShapeError: outputs and targets that do not belong together, or nothing to count.
        """
        outputs, targets = np.asarray(outputs), np.asarray(targets)
        if targets.ndim != 1 or not len(targets) or outputs.shape != (len(targets), len(self.vocabulary)):
            raise ShapeError(
                explain(
                    "score takes outputs (B, 10) and targets (B,), B at least 1.",
                    got=f"outputs {outputs.shape}, targets {targets.shape}",
                    fix="one row of scores for a picture, not one for a token" if outputs.ndim == 3 else None,
                )
            )
        return {"accuracy": float((outputs.argmax(1) == targets).mean())}

    def check_length(self, length: int) -> None:
        """A picture has as many tokens as it has."""
        if length != self.tokens:
            raise ConfigError(
                explain(
                    f'Read as "{self.read}", a picture is a sequence of {self.tokens}.',
                    got=f"length={length}",
                    fix=f"length={self.tokens}",
                )
            )

    def sequences(self, pictures: np.ndarray) -> np.ndarray:
        """(B, 8, 8) -> (B, T, F) float32, in the order in which they are read."""
        if self.read == "patches":
            pictures = pictures.reshape(len(pictures), 4, 2, 4, 2).swapaxes(2, 3)  # (B, down, across, 2, 2)
        return pictures.reshape(len(pictures), self.tokens, self.features).astype(np.float32)


class Digits(Pictures):
    """Pictures of handwritten digits, 8 x 8, from UCI. See the top of the file.

    Args:
        read: the order of a picture's numbers: "rows", "pixels", "patches" or "flat".
        held_out: how many of the 1797 pictures are kept for evaluation.

    Raises:
        ConfigError: an option that does not fit. RunError: the file of the data is missing or damaged.

    Source:
        Alpaydin and Kaynak 1998, UCI Machine Learning Repository, doi 10.24432/C50P49.
    """

    name = "digits"

    def __init__(self, read: str = "rows", held_out: int = 400):
        super().__init__(read)
        pictures, digits = load()
        if not (type(held_out) is int and 1 <= held_out < len(digits)):
            raise ConfigError(
                explain(
                    f"held_out is a number of pictures, 1 to {len(digits) - 1}.",
                    got=repr(held_out),
                    fix="held_out=400",
                )
            )
        self.held_out = held_out
        inputs = self.sequences((pictures - np.float32(5)) / 6)  # (1797, T, F)
        order = stratified(digits)
        self.parts = [(inputs[part], digits[part]) for part in (order[held_out:], order[:held_out])]

    def config(self) -> dict[str, Any]:
        """What a run's config.json says about the task; `task_from_config` makes the same task of it."""
        return {"name": self.name, "options": {"read": self.read, "held_out": self.held_out}, "sha256": SHA256}


def stratified(labels: np.ndarray) -> np.ndarray:
    """An order, the same in every run, of whose every beginning each class is as large a part as of the whole.

    The n_c members of a class are shuffled and take the places 1/2, 3/2, ... of n_c: a merger of the classes by place
    over n_c gives each its share, within one.
    """
    luck = stream(0, "digits held out").random(len(labels))
    place = np.empty(len(labels))
    for c in np.unique(labels):
        members = np.flatnonzero(labels == c)
        place[members[luck[members].argsort()]] = (np.arange(len(members)) + 0.5) / len(members)
    return place.argsort(kind="stable")


@functools.cache
def load(path: Path = FILE) -> tuple[np.ndarray, np.ndarray]:
    """The data: pictures (1797, 8, 8) uint8 of 0 .. 16, and digits (1797,) int64. Not to be written to.

    Raises:
        RunError: the file is missing, or its bytes are not those that were shipped.
    """
    again = "install minilinear again"
    try:
        data = path.read_bytes()
    except OSError as reason:
        raise RunError(
            explain(
                "The digits come with the library.", got=f"{path}: {reason.strerror}", fix=again, see="damaged-file"
            )
        ) from None
    found = hashlib.sha256(data).hexdigest()
    if found != SHA256:
        raise RunError(
            explain(
                f"The file of the digits has the SHA-256 {SHA256}.",
                got=f"{path} with {found}: damaged",
                fix=again,
                see="damaged-file",
            )
        )
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        pictures, digits = arrays["pictures"], arrays["digits"].astype(np.int64)
    pictures.flags.writeable = digits.flags.writeable = False
    return pictures, digits
