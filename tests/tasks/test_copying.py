"""What was read is said again: all of it, or the letters among the blanks."""

import numpy as np
import pytest

from minilinear.randomness import stream
from minilinear.tasks.copying import Copying, SelectiveCopying, letters_and_rows


def read(task, length: int, size: int) -> list[tuple[list[str], list[str | None]]]:
    inputs, targets = task.evaluation(stream(0, "test"), length, size)
    name = task.vocabulary.__getitem__
    return [([name(i) for i in x], [name(i) if i >= 0 else None for i in y]) for x, y in zip(inputs, targets)]


@pytest.mark.parametrize("length", [1, 2, 24, 96])
def test_after_the_bar_come_the_letters_before_it(length):
    for tokens, answers in read(Copying(), length, 30):
        bar = tokens.index("|")
        letters = tokens[:bar]
        assert bar == length and all(letter.isdigit() for letter in letters)
        assert answers == [None] * length + letters
        assert tokens[bar + 1 :] == letters[:-1]  # each answer is shown one step after it was asked for


def test_every_letter_is_equally_frequent_at_every_place():
    inputs, _ = Copying(alphabet=4).evaluation(stream(0, "test"), 5, 20_000)
    for place in range(5):
        assert np.allclose(np.bincount(inputs[:, place]) / 20_000, 1 / 4, atol=5 * 0.44 / np.sqrt(20_000))
    pairs = np.bincount(4 * inputs[:, 0] + inputs[:, 1])
    assert (abs(pairs - 1250) < 5 * np.sqrt(1250)).all()


@pytest.mark.parametrize(("letters", "length"), [(1, 1), (3, 3), (8, 64), (8, 256)])
def test_the_letters_among_the_blanks_are_said_in_order(letters, length):
    for tokens, answers in read(SelectiveCopying(letters=letters, length=length), length, 30):
        said = [token for token in tokens[:length] if token != "."]
        assert len(said) == letters and all(token.isdigit() for token in said)
        assert tokens[length:] == ["?"] * letters  # nothing here tells an answer
        assert answers == [None] * length + said


def test_letters_lie_anywhere():
    inputs, _ = SelectiveCopying(letters=3, length=12).batch(stream(0, "batch"), 20_000)
    here = (inputs[:, :12] < 16).mean(axis=0)
    assert np.allclose(here, 3 / 12, atol=5 * 0.44 / np.sqrt(20_000))
    together = (inputs[:, 0] < 16) & (inputs[:, 11] < 16)
    assert abs(together.mean() - 3 / 12 * 2 / 11) < 5 * 0.21 / np.sqrt(20_000)
    letters = np.bincount(inputs[:, :12][inputs[:, :12] < 16], minlength=16)
    assert np.allclose(letters / letters.sum(), 1 / 16, atol=0.005)


def test_lengths_beyond_training_are_tested():
    assert Copying().tested == (24, 48, 96)
    assert SelectiveCopying().tested == (64, 128, 256)
    assert SelectiveCopying().evaluation(stream(0, "test"), 256, 2)[0].shape == (2, 264)


def test_letters_and_rows_are_counted_apart():
    targets = np.array([[-1, 1, 2, 3], [-1, 1, 1, -1], [-1, -1, -1, -1]])
    predictions = np.array([[-1, 1, 0, 3], [0, 1, 1, 9], [5, 0, 0, 0]])
    assert letters_and_rows(predictions, targets) == {"accuracy": 4 / 5, "exact": 1 / 2}
    assert letters_and_rows(targets, targets) == {"accuracy": 1.0, "exact": 1.0}
    assert letters_and_rows(targets + 1, targets) == {"accuracy": 0.0, "exact": 0.0}
