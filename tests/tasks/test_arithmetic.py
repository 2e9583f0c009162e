"""Python itself reads the expressions that are shown, and a reader with a few states or a stack those of the tokens."""

import json
import re

import numpy as np
import pytest

from minilinear.errors import ConfigError
from minilinear.randomness import stream
from minilinear.tasks.arithmetic import ModularArithmetic


def said(targets: np.ndarray, V: int) -> np.ndarray:
    """The scores (B, T, V) of one who says the targets, and token 0 where there are none."""
    return np.eye(V, dtype=np.float32)[np.maximum(targets, 0)]


def automaton(words: list[str], m: int) -> int:
    """A value from (sum so far, product being read, last operation) and nothing else; without brackets."""
    total, product, operation = 0, 0, "+"
    for word in words:
        if word == "=":
            return (total + product) % m
        if word in "+-*":
            operation = word
        elif operation == "*":
            product = product * int(word) % m
        else:
            total, product = (total + product) % m, int(word) * (-1) ** (operation == "-") % m
    raise AssertionError("no =")


@pytest.mark.parametrize("modulus", [2, 5, 7, 12])
@pytest.mark.parametrize("brackets", [False, True])
def test_python_finds_the_same_values(modulus, brackets):
    task = ModularArithmetic(modulus, brackets)
    for length in [2, 4, 6, 10, 40, *([3, 5, 7, 8, 9, 11, 41] if brackets else [])]:
        for inputs, targets in zip(*task.evaluation(stream(0, "test", length), length, 40)):
            text, value = re.fullmatch(r"(.+) = \[(\d+)\]", task.show(inputs, targets)).groups()
            assert eval(text) % modulus == int(value)


def test_an_automaton_of_few_states_reads_what_has_no_brackets():
    task = ModularArithmetic(5)
    for inputs, targets in zip(*task.evaluation(stream(0, "test"), 64, 100)):
        assert automaton([task.vocabulary[i] for i in inputs], 5) == targets[-1]


def test_without_brackets_numbers_and_operations_take_turns_and_all_are_drawn_evenly():
    task = ModularArithmetic(3)
    inputs, targets = task.evaluation(stream(0, "test"), 6, 27 * 9 * 100)
    assert task.vocabulary == ["0", "1", "2", "+", "-", "*", "="]
    assert (inputs[:, -1] == task.vocabulary.index("=")).all()
    assert (targets[:, :-1] == -1).all()
    expressions = inputs[:, :5] @ [1, 100, 10, 1000, 100_000]
    counts = np.unique(expressions, return_counts=True)[1]
    assert len(counts) == 27 * 9
    assert counts == pytest.approx(np.full(243, 100), abs=50)


def parse(words: list[str]) -> int:
    """How many words the expression at the beginning has, by the grammar of the docstring."""
    if words[0] == "-":
        assert words[1].isdigit()
        return 2
    if words[0].isdigit():
        return 1
    assert words[0] == "("
    left = parse(words[1:])
    if words[1 + left] == ")":
        assert left <= 2
        return left + 2
    assert words[1 + left] in "+-*"
    right = parse(words[2 + left :])
    assert words[2 + left + right] == ")"
    return left + right + 3


@pytest.mark.parametrize("length", [2, 3, 4, 5, 6, 7, 8, 9, 12, 40])
def test_with_brackets_every_expression_is_one_of_the_grammar(length):
    task = ModularArithmetic(5, True)
    inputs, targets = task.evaluation(stream(0, "test"), length, 200)
    assert inputs.shape == targets.shape == (200, length)
    for row in inputs:
        words = [task.vocabulary[i] for i in row]
        assert words[-1] == "="
        assert parse(words[:-1]) == length - 1


def test_the_parts_of_an_expression_are_of_any_size_equally_likely():
    task = ModularArithmetic(5, True)
    inputs, _ = task.evaluation(stream(0, "test"), 13, 9000)  # ( left op right ) of 12 tokens, left of 1 .. 8
    sizes = [parse([task.vocabulary[i] for i in row[1:-1]]) for row in inputs]
    assert np.bincount(sizes)[1:] == pytest.approx(np.full(8, 1125), abs=150)


def test_numbers_and_operations_in_brackets_are_drawn_evenly():
    task = ModularArithmetic(5, True)
    inputs, _ = task.evaluation(stream(0, "test"), 6, 15_000)  # ( d op d ) =
    assert np.bincount(inputs[:, 1]) == pytest.approx(np.full(5, 3000), abs=250)
    assert np.bincount(inputs[:, 3]) == pytest.approx(np.full(5, 3000), abs=250)
    assert np.bincount(inputs[:, 2])[5:8] == pytest.approx(np.full(3, 5000), abs=300)


@pytest.mark.parametrize(("brackets", "zeros"), [(False, 0.20), (True, 0.29)])
def test_values_are_as_uneven_as_the_docstring_says(brackets, zeros):
    task = ModularArithmetic(5, brackets)
    _, targets = task.evaluation(stream(0, "test"), 40, 20_000)
    counts = np.bincount(targets[:, -1]) / 20_000
    assert counts[0] == pytest.approx(zeros, abs=0.012)
    assert counts[1:] == pytest.approx(np.full(4, (1 - zeros) / 4), abs=0.012)


def test_training_lengths_are_drawn_evenly():
    even, every = ModularArithmetic(5, lengths=(3, 9)), ModularArithmetic(5, True, (3, 6))
    lengths = np.bincount([even.batch(stream(0, "b", step), 1)[0].shape[1] for step in range(1500)])
    assert lengths[[4, 6, 8]] == pytest.approx(np.full(3, 500), abs=90)
    assert lengths.sum() == lengths[[4, 6, 8]].sum()
    lengths = np.bincount([every.batch(stream(0, "b", step), 1)[0].shape[1] for step in range(1600)])
    assert lengths[3:] == pytest.approx(np.full(4, 400), abs=80)
    assert lengths.sum() == lengths[3:].sum()


def test_tested_lengths_begin_with_the_training_length():
    assert ModularArithmetic().tested == ModularArithmetic(brackets=True).tested == (40, 64, 128, 256)
    assert ModularArithmetic(lengths=(3, 41)).tested == (40, 64, 128, 256)
    assert ModularArithmetic(brackets=True, lengths=(3, 64)).tested == (64, 128, 256)
    inputs, targets = ModularArithmetic().evaluation(stream(0, "test"), 256, 3)
    assert inputs.dtype == targets.dtype == np.int64


@pytest.mark.parametrize("brackets", [False, True])
def test_the_same_generator_gives_the_same_batch_and_another_another(brackets):
    task = ModularArithmetic(5, brackets)
    first, again, other = (task.evaluation(stream(0, "batch", step), 20, 8) for step in (1, 1, 2))
    assert all((a == b).all() for a, b in zip(first, again))
    assert (first[0] != other[0]).any()


@pytest.mark.parametrize("brackets", [False, True])
def test_the_config_makes_the_task_again(brackets):
    task = ModularArithmetic(7, brackets, (5, 12))
    config = json.loads(json.dumps(task.config()))
    again = ModularArithmetic(**config["options"])
    assert config["name"] == task.name == "modular_arithmetic"
    assert again.config() == config
    assert (again.batch(stream(0, "b"), 5)[0] == task.batch(stream(0, "b"), 5)[0]).all()


@pytest.mark.parametrize(("modulus", "brackets"), [(5, False), (3, True)])
def test_an_oracle_scores_one_and_guessing_scaled_zero(modulus, brackets):
    task = ModularArithmetic(modulus, brackets)
    _, targets = task.evaluation(stream(0, "batch"), 20, 8000)
    V = len(task.vocabulary)
    assert task.score(said(targets, V), targets) == {"accuracy": 1.0, "scaled": 1.0}
    score = task.score(said(stream(0, "guess").integers(modulus, size=targets.shape), V), targets)
    assert list(score) == ["accuracy", "scaled"]
    assert score["accuracy"] == pytest.approx(task.chance, abs=0.02)
    assert score["scaled"] == pytest.approx(0, abs=0.03)
    assert task.chance == 1 / modulus


def test_scaled_accuracy_between_guessing_and_knowing():
    targets = np.array([[-1, 0], [-1, 1], [-1, 2], [-1, 0]])
    says = np.array([[0, 0], [0, 1], [0, 2], [0, 1]])
    assert ModularArithmetic(2).score(said(says, 6), targets) == {"accuracy": 0.75, "scaled": 0.5}


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"modulus": 1}, "modulus is a whole number, 2 or more"),
        ({"modulus": 5.0}, "modulus is a whole number"),
        ({"brackets": 1}, "brackets is True or False"),
        ({"brackets": None}, "brackets is True or False"),
        ({"lengths": (1, 4)}, "lengths is the fewest and the most tokens to train on, 2 or more"),
        ({"lengths": (5, 4)}, "lengths is the fewest and the most"),
        ({"lengths": (5, 5)}, "Without brackets a length is even"),
        ({"lengths": "40"}, "lengths is the fewest and the most"),
    ],
)
def test_options_that_do_not_fit(options, rule):
    with pytest.raises(ConfigError, match=rule):
        ModularArithmetic(**options)


@pytest.mark.parametrize(
    ("brackets", "length", "rule"), [(False, 7, "an even number"), (False, 0, "2 tokens"), (True, 1, "2")]
)
def test_other_lengths_are_checked_too(brackets, length, rule):
    with pytest.raises(ConfigError, match=rule):
        ModularArithmetic(5, brackets).evaluation(stream(0, "test"), length, 2)
