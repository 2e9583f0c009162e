"""Parity says whether the ones so far are odd in number, and is the task of the group z2."""

import numpy as np
import pytest

from minilinear.randomness import stream
from minilinear.tasks import GroupWords, group
from minilinear.tasks.parity import Parity, scaled


def test_the_answer_is_whether_the_ones_so_far_are_odd_in_number():
    task = Parity()
    for row, answers in zip(*(part.tolist() for part in task.evaluation(stream(0, "test"), 30, 20))):
        words = [task.vocabulary[i] for i in row]
        assert words[0] == "<bos>" and answers[0] == -1
        for t in range(1, 31):
            odd = words[: t + 1].count("1") % 2 == 1
            assert task.vocabulary[answers[t]] == ("1" if odd else "0")


def test_they_are_the_words_of_z2():
    words, parity = GroupWords(group("z2"), (3, 40)), Parity()
    assert words.vocabulary == parity.vocabulary
    for step in range(5):
        for a, b in zip(words.batch(stream(0, "batch", step), 8), parity.batch(stream(0, "batch", step), 8)):
            assert (a == b).all()


def test_bits_and_answers_are_equally_frequent_at_every_place():
    inputs, targets = Parity().evaluation(stream(0, "test"), 20, 20_000)
    for tokens in (inputs, targets):
        assert np.allclose(tokens[:, 1:].mean(axis=0), 1 / 2, atol=5 * 0.5 / np.sqrt(20_000))


def test_an_answer_cannot_be_told_without_the_last_bit():
    _, targets = Parity().evaluation(stream(0, "test"), 12, 20_000)
    same = (targets[:, 2:] == targets[:, 1:-1]).mean(axis=0)  # as often as not, the answer changes
    assert np.allclose(same, 1 / 2, atol=5 * 0.5 / np.sqrt(20_000))


def test_it_is_trained_and_tested_at_the_lengths_of_the_papers():
    assert Parity().lengths == (3, 40)
    assert Parity().tested == (40, 64, 128, 256)
    assert Parity(lengths=(64, 200)).tested == (200, 256)
    assert Parity(lengths=(1, 64)).tested == (64, 128, 256)


@pytest.mark.parametrize(
    ("right", "chance", "expected"), [(0.5, 0.5, 0), (1, 0.5, 1), (0.75, 0.5, 0.5), (0, 0.2, -0.25)]
)
def test_scaled_is_zero_for_guessing_and_one_for_knowing(right, chance, expected):
    assert scaled(right, chance) == expected


def test_the_scores_tell_the_mean_from_the_end():
    outputs = np.zeros((2, 4, 3))
    outputs[:, :, 1] = 1  # always says 1
    targets = np.array([[-1, 1, 1, 0], [-1, 0, 1, 1]])
    assert Parity().score(outputs, targets) == {"mean": 4 / 6, "last": 1 / 2, "scaled": 0.0}
    targets[0, 3] = 1
    assert Parity().score(outputs, targets) == {"mean": 5 / 6, "last": 1.0, "scaled": 1.0}
