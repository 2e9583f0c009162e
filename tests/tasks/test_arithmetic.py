"""The value of an expression is what Python says it is, modulo m, and the expressions are drawn as described."""

import re

import numpy as np
import pytest

from minilinear.randomness import stream
from minilinear.tasks.arithmetic import ModularArithmetic

OPTIONS = [
    {},
    {"modulus": 2},
    {"modulus": 11, "operators": "-*"},
    {"operators": "+"},
    {"operators": "-"},
    {"brackets": True},
    {"brackets": True, "operators": "+-*"},
    {"brackets": True, "modulus": 13, "operators": "*"},
]


def expressions(task: ModularArithmetic, length: int, size: int) -> list[tuple[list[str], str]]:
    """The tokens between BOS and =, and the answer."""
    inputs, targets = task.evaluation(stream(0, "test"), length, size)
    assert inputs.shape == (size, length + 1)
    assert (targets[:, :-1] == -1).all() and (targets[:, -1] >= 0).all()
    read = []
    for row, answer in zip(inputs, targets[:, -1]):
        words = [task.vocabulary[i] for i in row]
        assert words[0] == "<bos>" and words[-1] == "="
        read.append((words[1:-1], task.vocabulary[answer]))
    return read


def python_says(expression: list[str]) -> int:
    """The value by Python's own rules; single digits only are safe from reading as octal numbers."""
    return eval("".join(expression))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("length", [2, 3, 4, 5, 6, 7, 9, 14, 40, 63])
def test_the_answer_is_what_python_says(options, length):
    task = ModularArithmetic(**options)
    if length % 2 and not task.brackets:
        return
    for expression, answer in expressions(task, length, 60):
        assert int(answer) == python_says(expression) % task.modulus


@pytest.mark.parametrize("options", OPTIONS[:5], ids=str)
def test_without_brackets_digits_and_operators_take_turns(options):
    task = ModularArithmetic(**options)
    for expression, _ in expressions(task, 12, 50):
        assert len(expression) == 11
        assert all(token in task.vocabulary[: task.modulus] for token in expression[::2])
        assert all(token in task.operators for token in expression[1::2])


DIGIT = re.compile(r"\d+")


def depth_checked(expression: list[str], operators: str) -> int:
    """The depth of the brackets; a recursive reader of the grammar d | -d | (d) | (-d) | (E o E)."""

    def read(at: int) -> tuple[int, int]:  # where E ends, how deep it is
        if expression[at] == "-":
            assert DIGIT.fullmatch(expression[at + 1])
            return at + 2, 0
        if expression[at] != "(":
            assert DIGIT.fullmatch(expression[at])
            return at + 1, 0
        end, left = read(at + 1)
        right = 0
        if expression[end] != ")":
            assert expression[end] in operators
            end, right = read(end + 1)
        assert expression[end] == ")"
        return end + 1, 1 + max(left, right)

    end, depth = read(0)
    assert end == len(expression)
    return depth


@pytest.mark.parametrize("options", OPTIONS[5:], ids=str)
@pytest.mark.parametrize("length", range(2, 30))
def test_brackets_are_those_of_the_grammar(options, length):
    task = ModularArithmetic(**options)
    depths = [depth_checked(e, task.operators) for e, _ in expressions(task, length, 40)]
    assert max(depths) >= (length - 1) // 8


def test_every_digit_and_operator_is_equally_frequent():
    read = expressions(ModularArithmetic(), 40, 2000)
    digits = np.bincount([int(token) for expression, _ in read for token in expression[::2]])
    assert len(digits) == 5 and np.allclose(digits / digits.sum(), 1 / 5, atol=0.01)
    operators = [token for expression, _ in read for token in expression[1::2]]
    assert np.allclose([operators.count(o) / len(operators) for o in "+-*"], 1 / 3, atol=0.012)


def test_a_bracketed_expression_is_split_anywhere_with_equal_chance():
    task = ModularArithmetic(brackets=True)
    left, signs = [], []
    for expression, _ in expressions(task, 15, 4000):  # 14 tokens: 1 to 10 of them on the left
        balance = 0
        for at, token in enumerate(expression):
            balance += (token == "(") - (token == ")")
            inside = balance == 1 and at > 1 and (DIGIT.fullmatch(expression[at - 1]) or expression[at - 1] == ")")
            if token in "+-" and inside:
                left.append(at - 1)
                signs.append(token)
                break
    assert len(left) == 4000
    counts = np.bincount(left, minlength=11)
    assert counts[0] == 0 and len(counts) == 11
    assert (abs(counts[1:] - 400) < 5 * np.sqrt(400 * 0.9)).all()
    assert abs(signs.count("+") - 2000) < 5 * np.sqrt(1000)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_the_leaves_are_the_four_short_expressions(n):
    shape = {1: "d", 2: "-d", 3: "(d)", 4: "(-d)"}[n]
    read = expressions(ModularArithmetic(brackets=True), n + 1, 500)
    assert {DIGIT.sub("d", "".join(e)) for e, _ in read} == {shape}
    answers = np.bincount([int(answer) for _, answer in read], minlength=5)
    assert (abs(answers - 100) < 5 * np.sqrt(80)).all()


def test_the_vocabularies_have_the_sizes_of_the_papers():
    assert len(ModularArithmetic().vocabulary) == 10
    assert len(ModularArithmetic(brackets=True).vocabulary) == 12


def test_the_last_digit_of_a_sum_makes_every_answer_equally_likely():
    answers = [int(answer) for _, answer in expressions(ModularArithmetic(operators="+-"), 20, 5000)]
    assert np.allclose(np.bincount(answers) / 5000, 1 / 5, atol=5 * 0.4 / np.sqrt(5000))


def test_the_scores_count_the_answer_alone():
    task = ModularArithmetic()
    outputs = np.zeros((5, 3, 10))
    outputs[:, :, 2] = 1  # always says 2
    targets = np.full((5, 3), -1)
    targets[:, -1] = [2, 2, 2, 0, 4]
    score = task.score(outputs, targets)
    assert score["accuracy"] == 0.6
    assert np.isclose(score["scaled"], 0.5)


def test_odd_bounds_of_the_lengths_are_kept_to():
    task = ModularArithmetic(lengths=(5, 9))
    widths = {task.batch(stream(0, "batch", step), 1)[0].shape[1] - 1 for step in range(40)}
    assert widths == {6, 8}
    assert task.tested[0] == 8
