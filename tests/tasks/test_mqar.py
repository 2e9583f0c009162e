"""A reader of pairs answers MQAR; the questions come at the gaps of the power law, and nothing gives them away."""

import numpy as np
import pytest

from minilinear.randomness import stream
from minilinear.tasks.mqar import EDITIONS, MultiQueryRecall, distinct

GRID = [(edition, T, N) for edition in EDITIONS for T, N in EDITIONS[edition]["grid"]]


def power_law(space: int) -> np.ndarray:
    """p(x) for x = 0 .. space-1: x^(a-1), counted from 1."""
    weights = np.array([1 / (x + 1) ** 0.99 for x in range(space)])
    return weights / weights.sum()


@pytest.mark.parametrize(("edition", "T", "N"), GRID)
def test_the_answers_are_the_values_of_the_pairs(edition, T, N):
    task = MultiQueryRecall(edition=edition, length=T, pairs=N)
    inputs, targets = task.batch(stream(0, "batch"), 20)
    assert inputs.shape == (20, T)
    for row, answers in zip(inputs, targets):
        words = [task.vocabulary[i] for i in row]
        pairs = dict(zip(words[0 : 2 * N : 2], words[1 : 2 * N : 2]))
        assert len(pairs) == len(set(pairs.values())) == N
        assert all(key.startswith("k") and value.startswith("v") for key, value in pairs.items())
        assert "k0" not in pairs
        asked = [t for t in range(T) if answers[t] >= 0]
        assert all(t >= 2 * N and t % 2 == 0 for t in asked)
        assert {words[t] for t in asked} == set(pairs) and len(asked) == N
        assert all(task.vocabulary[answers[t]] == pairs[words[t]] for t in asked)


@pytest.mark.parametrize("edition", EDITIONS)
def test_the_first_half_of_the_tokens_are_keys(edition):
    task = MultiQueryRecall(edition=edition)
    half = len(task.vocabulary) // 2
    assert len(task.vocabulary) == {"zoology": 8192, "cpu": 256}[edition]
    assert [token[0] for token in task.vocabulary] == ["k"] * half + ["v"] * half


def gaps(task: MultiQueryRecall, size: int) -> np.ndarray:
    """(size, N): x of the question of each pair, in the order of the pairs."""
    N = task.pairs
    inputs, targets = task.batch(stream(0, "gaps"), size)
    found = np.empty((size, N), int)
    for row in range(size):
        where = {inputs[row, t]: (t - 2 * N) // 2 for t in np.flatnonzero(targets[row] >= 0)}
        found[row] = [where[key] for key in inputs[row, 0 : 2 * N : 2]]
    return found


def test_the_gaps_follow_the_power_law():
    counts = np.bincount(gaps(MultiQueryRecall(length=64, pairs=1), 20_000)[:, 0], minlength=31)
    expected = 20_000 * power_law(31)
    assert (abs(counts - expected) < 5 * np.sqrt(expected)).all()


def test_gaps_are_drawn_one_after_another_without_replacement():
    drawn = gaps(MultiQueryRecall(length=32, pairs=3), 20_000)
    p = power_law(13)
    first = p
    second = np.array([sum(p[i] * p[j] / (1 - p[i]) for i in range(13) if i != j) for j in range(13)])
    for column, expected in ((0, first), (1, second)):
        counts = np.bincount(drawn[:, column], minlength=13)
        assert (abs(counts - 20_000 * expected) < 5 * np.sqrt(20_000 * expected)).all()
    assert all(len(set(row)) == 3 for row in drawn.tolist())


def test_the_filler_is_any_token():
    task = MultiQueryRecall(length=128, pairs=1)
    inputs, targets = task.batch(stream(0, "batch"), 2000)
    filler = inputs[:, 2:][targets[:, 2:] < 0]
    counts = np.bincount(filler, minlength=256)
    mean = len(filler) / 256
    assert (abs(counts - mean) < 5 * np.sqrt(mean)).all()


def test_keys_and_values_are_equally_frequent_in_every_pair():
    inputs, _ = MultiQueryRecall(pairs=4).batch(stream(0, "batch"), 10_000)
    for place in (0, 6):
        counts = np.bincount(inputs[:, place], minlength=128)
        assert counts[0] == 0 and len(counts) == 128
        assert (abs(counts[1:] - 10_000 / 127) < 5 * np.sqrt(10_000 / 127)).all()
    counts = np.bincount(inputs[:, 7] - 128, minlength=128)
    assert len(counts) == 128 and (abs(counts - 10_000 / 128) < 5 * np.sqrt(10_000 / 128)).all()


def test_nothing_near_a_question_tells_its_answer():
    inputs, targets = MultiQueryRecall().batch(stream(0, "batch"), 5000)
    row, t = np.nonzero(targets[:, :-1] >= 0)
    for offset in (-1, 0, 1):
        near = inputs[row, np.maximum(t + offset, 8)] == targets[row, t]
        assert near.mean() < 3 / 256


def test_it_is_tested_at_twice_the_length_with_as_many_pairs():
    task = MultiQueryRecall(length=128, pairs=16)
    assert task.tested == (128, 256)
    assert ((task.evaluation(stream(0, "test"), 256, 3)[1] >= 0).sum(axis=1) == 16).all()


def test_distinct_deals_without_replacement_and_every_order_alike():
    dealt = distinct(stream(0, "deal"), 24_000, 4, 3)
    assert dealt.shape == (24_000, 3)
    codes = np.bincount(dealt @ [16, 4, 1], minlength=64)
    assert (codes > 0).sum() == 24  # 4 * 3 * 2 ways
    assert (abs(codes[codes > 0] - 1000) < 5 * np.sqrt(1000)).all()
    assert distinct(stream(0, "deal"), 5, 7, 0).shape == (5, 0)
    assert (np.sort(distinct(stream(0, "deal"), 5, 7, 7), axis=1) == np.arange(7)).all()
