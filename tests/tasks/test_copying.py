"""Copying, against a reader who writes the letters down as they come and reads them out at the sign."""

import json

import numpy as np
import pytest

from minilinear.errors import ConfigError
from minilinear.randomness import stream
from minilinear.tasks.copying import LETTERS, Copying, SelectiveCopying, check_lengths

TASKS = [Copying(5, (2, 6)), SelectiveCopying(3, 5, 9), SelectiveCopying(4, 3, 4)]


def said(targets: np.ndarray, V: int) -> np.ndarray:
    """The scores (B, T, V) of one who says the targets, and token 0 where there are none."""
    return np.eye(V, dtype=np.float32)[np.maximum(targets, 0)]


def read(words: list[str]) -> list[str | None]:
    """What should be said after each word, knowing no more than the words up to there."""
    written, says, at = [], [], None
    for word in words:
        if word == "|":
            at = 0
        elif at is not None:
            assert word == written[at]  # the right letter is read after it was asked for
            at += 1
        elif word != ".":
            written.append(word)
        says.append(None if at is None else written[at])
    return says


@pytest.mark.parametrize("task", TASKS)
def test_a_reader_with_a_notebook_is_right_everywhere(task):
    for step in range(20):
        for inputs, targets in zip(*task.batch(stream(0, "batch", step), 10)):
            answers = [task.vocabulary[a] if a >= 0 else None for a in targets]
            assert answers == read([task.vocabulary[i] for i in inputs])


@pytest.mark.parametrize("task", TASKS)
def test_the_sign_stands_once_and_is_never_an_answer(task):
    inputs, targets = task.batch(stream(0, "batch"), 200)
    assert ((inputs == task.vocabulary.index("|")).sum(1) == 1).all()
    assert targets.max() == task.alphabet - 1
    assert targets.min() == -1


def test_letters_are_drawn_evenly_and_independently():
    inputs, _ = Copying(4).evaluation(stream(0, "letters"), 3, 16_000)
    words = inputs[:, :3] @ [16, 4, 1]
    assert np.bincount(words, minlength=64) == pytest.approx(np.full(64, 250), abs=80)
    _, targets = SelectiveCopying(3, 4, 7).batch(stream(0, "letters"), 16_000)
    words = targets[:, 7:] @ [16, 4, 1]
    assert np.bincount(words, minlength=64) == pytest.approx(np.full(64, 250), abs=80)


def test_the_letters_lie_anywhere_among_the_blanks():
    task = SelectiveCopying(2, 4, 5)
    inputs, _ = task.batch(stream(0, "places"), 10_000)
    filled = inputs[:, :5] != task.vocabulary.index(".")
    assert (filled.sum(1) == 2).all()
    ways = np.bincount(filled @ [16, 8, 4, 2, 1])
    assert ways[ways > 0] == pytest.approx(np.full(10, 1000), abs=150)


def test_training_lengths_are_drawn_evenly_and_tested_ones_go_beyond():
    task = Copying(5, (3, 6))
    lengths = [task.batch(stream(0, "batch", step), 1)[0].shape[1] for step in range(2000)]
    assert sorted(set(lengths)) == [6, 8, 10, 12]
    assert np.bincount(lengths)[6::2] == pytest.approx(np.full(4, 500), abs=100)
    assert task.tested == (6, 12, 24)
    assert SelectiveCopying(3, 5, 9).tested == (9, 18, 36)


@pytest.mark.parametrize("task", TASKS)
def test_shapes_at_every_length(task):
    letters = getattr(task, "letters", None)
    for length in task.tested:
        inputs, targets = task.evaluation(stream(0, "test"), length, 7)
        assert inputs.shape == targets.shape == (7, length + (letters or length))
        assert inputs.dtype == targets.dtype == np.int64
        assert ((targets >= 0).sum(1) == (letters or length)).all()


@pytest.mark.parametrize("task", TASKS)
def test_the_same_generator_gives_the_same_batch_and_another_another(task):
    first, again, other = (task.batch(stream(0, "batch", step), 40) for step in (1, 1, 2))
    assert all((a == b).all() for a, b in zip(first, again))
    assert first[0].shape != other[0].shape or (first[0] != other[0]).any()


@pytest.mark.parametrize("task", TASKS)
def test_the_config_makes_the_task_again(task):
    config = json.loads(json.dumps(task.config()))
    again = type(task)(**config["options"])
    assert config["name"] == task.name
    assert again.config() == config
    assert (again.batch(stream(0, "b"), 5)[0] == task.batch(stream(0, "b"), 5)[0]).all()


@pytest.mark.parametrize("task", TASKS)
def test_an_oracle_is_right_and_guessing_is_chance(task):
    V = len(task.vocabulary)
    _, targets = task.evaluation(stream(0, "batch"), task.tested[1], 3000)
    assert task.score(said(targets, V), targets) == {"accuracy": 1.0, "whole": 1.0}
    guesses = stream(0, "guess").integers(task.alphabet, size=targets.shape)
    score = task.score(said(guesses, V), targets)
    assert list(score) == ["accuracy", "whole"]
    assert score["accuracy"] == pytest.approx(task.chance, abs=0.02)
    assert task.chance == 1 / task.alphabet


def test_one_wrong_letter_costs_a_letter_and_a_whole():
    task = Copying(5)
    _, targets = task.evaluation(stream(0, "batch"), 4, 2)
    says = targets.copy()
    says[0, -1] = (says[0, -1] + 1) % 5
    assert task.score(said(says, 6), targets) == {"accuracy": 7 / 8, "whole": 1 / 2}


def test_sequences_are_shown_in_letters():
    assert Copying(2).show(np.array([0, 1, 2, 0]), np.array([-1, -1, 0, 1])) == "a b | [a] a [b]"
    assert SelectiveCopying(1, 2, 3).show(np.array([3, 1, 3, 2]), np.array([-1, -1, -1, 1])) == ". b . | [b]"


def test_the_names_of_tokens_differ():
    for task in (Copying(52), SelectiveCopying(4, 52)):
        assert len(set(task.vocabulary)) == len(task.vocabulary)
    assert len(LETTERS) == 52


@pytest.mark.parametrize(
    ("make", "options", "rule"),
    [
        (Copying, {"alphabet": 1}, "alphabet is a whole number, 2 or more"),
        (Copying, {"alphabet": 53}, "There are 52 letters"),
        (Copying, {"lengths": (0, 4)}, "lengths is the fewest and the most letters to train on, 1 or more"),
        (Copying, {"lengths": (5, 4)}, "lengths is the fewest and the most"),
        (Copying, {"lengths": (4,)}, "lengths is the fewest and the most"),
        (Copying, {"lengths": 4}, "lengths is the fewest and the most"),
        (Copying, {"lengths": (2.0, 4)}, "lengths is the fewest and the most"),
        (SelectiveCopying, {"alphabet": 2.0}, "alphabet is a whole number"),
        (SelectiveCopying, {"alphabet": 60}, "There are 52 letters"),
        (SelectiveCopying, {"letters": 0}, "letters is a whole number, 1 or more"),
        (SelectiveCopying, {"letters": 8, "length": 7}, "length is a number of places"),
        (SelectiveCopying, {"length": 64.0}, "length is a number of places"),
    ],
)
def test_options_that_do_not_fit(make, options, rule):
    with pytest.raises(ConfigError, match=rule):
        make(**options)


def test_other_lengths_are_checked_too():
    with pytest.raises(ConfigError, match="at least one letter"):
        Copying().evaluation(stream(0, "test"), 0, 2)
    with pytest.raises(ConfigError, match="length is a number of places"):
        SelectiveCopying(8).evaluation(stream(0, "test"), 7, 2)


def test_lengths_come_back_as_a_pair():
    assert check_lengths([2, 5], "tokens", 2) == (2, 5)
    with pytest.raises(ConfigError, match="tokens to train on, 3 or more"):
        check_lengths((2, 5), "tokens", 3)
