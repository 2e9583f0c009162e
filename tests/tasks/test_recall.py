"""A dictionary that is written to, asked and emptied gives the answers of the recall task."""

import numpy as np
import pytest

from minilinear.randomness import stream
from minilinear.tasks.recall import Recall


def dictionary_says(tokens: list[str]) -> list[str | None]:
    """What must be answered, token by token, read from the names alone."""
    memory: dict[str, str] = {}
    answers: list[str | None] = []
    for token in tokens:
        answer = None
        if token == "RESET":
            memory = {}
        elif token.endswith("?"):
            answer = memory.get(token[:-1], "none")
        else:
            key, value = token.split("=")
            memory[key] = value
        answers.append(answer)
    return answers


def read(task: Recall, length: int, size: int) -> list[tuple[list[str], list[str | None]]]:
    inputs, targets = task.evaluation(stream(0, "test"), length, size)
    name = task.vocabulary.__getitem__
    return [([name(i) for i in x], [name(i) if i >= 0 else None for i in y]) for x, y in zip(inputs, targets)]


OPTIONS = [{}, {"reset": True}, {"keys": 1, "values": 1}, {"reset": True, "keys": 2, "values": 3, "length": 7}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("length", [1, 2, 64, 160])
def test_the_answers_are_those_of_a_dictionary(options, length):
    for tokens, answers in read(Recall(**options), length, 40):
        assert answers == dictionary_says(tokens)


def test_the_cases_that_matter_all_occur():
    asked_before, overwritten, after_reset = 0, 0, 0
    for tokens, answers in read(Recall(reset=True), 160, 40):
        last: dict[str, list[str]] = {}
        ever: set[str] = set()
        for token, answer in zip(tokens, answers):
            if token == "RESET":
                last = {}
            elif answer is None:
                key, value = token.split("=")
                last.setdefault(key, []).append(value)
                ever.add(key)
            else:
                key = token[:-1]
                asked_before += key not in ever and answer == "none"
                after_reset += key in ever and key not in last and answer == "none"
                overwritten += len(set(last.get(key, []))) > 1 and answer == last[key][-1]
    assert min(asked_before, overwritten, after_reset) > 50


def test_a_question_changes_nothing():
    task = Recall(keys=1, values=4)
    for tokens, answers in read(task, 60, 30):
        for t in range(1, 60):
            if answers[t] is not None and answers[t - 1] is not None:
                assert answers[t] == answers[t - 1], tokens


@pytest.mark.parametrize("reset", [False, True])
def test_questions_resets_keys_and_values_are_as_frequent_as_said(reset):
    task = Recall(reset=reset)
    tokens = [token for row, _ in read(task, 64, 1000) for token in row]
    n = len(tokens)
    questions = [token for token in tokens if token.endswith("?")]
    resets = tokens.count("RESET")
    assert abs(len(questions) / n - 0.30) < 5 * np.sqrt(0.21 / n)
    assert abs(resets / n - 0.06 * reset) < 5 * np.sqrt(0.06 / n) * reset + 1e-12
    pairs = [token for token in tokens if "=" in token]
    assert len(questions) + resets + len(pairs) == n
    for kinds, number in ((questions, 16), (pairs, 16 * 8)):
        counts = np.array([kinds.count(kind) for kind in sorted(set(kinds))])
        assert len(counts) == number
        assert (abs(counts - len(kinds) / number) < 5 * np.sqrt(len(kinds) / number)).all()


def test_a_place_is_drawn_independently_of_the_one_before():
    asked = np.array([[answer is not None for answer in answers] for _, answers in read(Recall(), 64, 1000)])
    both = (asked[:, 1:] & asked[:, :-1]).mean()
    assert abs(both - 0.09) < 0.005


def test_no_answer_is_ever_shown():
    for reset in (False, True):
        task = Recall(reset=reset)
        inputs, targets = task.evaluation(stream(0, "test"), 64, 100)
        assert inputs.max() < targets[targets >= 0].min()


def test_the_vocabulary_is_pairs_questions_and_answers():
    assert len(Recall().vocabulary) == 16 * 8 + 16 + 9
    assert len(Recall(reset=True).vocabulary) == 16 * 8 + 16 + 1 + 9
    assert Recall().vocabulary[-1] == "none"
    assert Recall().tested == (64, 160)
    assert Recall().preset == "recall"
