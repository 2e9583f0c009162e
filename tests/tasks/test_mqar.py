"""Recall, against a reader who looks keys up in a dictionary, and the law of the slots against its formula."""

import json
from itertools import permutations

import numpy as np
import pytest

from minilinear.errors import ConfigError, ShapeError
from minilinear.randomness import stream
from minilinear.tasks.mqar import MultiQueryRecall, answered, check_whole, distinct, shown


def said(targets: np.ndarray, V: int) -> np.ndarray:
    """The scores (B, T, V) of one who says the targets, and token 0 where there are none."""
    return np.eye(V, dtype=np.float32)[np.maximum(targets, 0)]


def read(words: list[str], pairs: int) -> dict[int, str]:
    """What should be answered where: {place: value}, from the words alone; a key is asked about at even places."""
    memory = {words[2 * i]: words[2 * i + 1] for i in range(pairs)}
    return {t: memory[words[t]] for t in range(2 * pairs, len(words), 2) if words[t] in memory}


def wide(**options) -> MultiQueryRecall:
    """With so many tokens that filler hardly ever repeats a key."""
    return MultiQueryRecall(**{"pairs": 4, "length": 40, "vocabulary": 2**16, **options})


@pytest.mark.parametrize(("pairs", "length"), [(1, 4), (4, 64), (8, 64), (16, 64)])
def test_a_dictionary_answers_every_question(pairs, length):
    task = wide(pairs=pairs, length=length)
    for inputs, targets in zip(*task.batch(stream(0, "batch"), 50)):
        words = [task.vocabulary[i] for i in inputs]
        answers = {t: task.vocabulary[a] for t, a in enumerate(targets) if a >= 0}
        assert answers == read(words, pairs)
        assert len(answers) == pairs


def test_with_few_tokens_filler_may_look_like_a_question_but_every_answer_is_still_right():
    task = MultiQueryRecall(8, 64, 64)
    inputs, targets = task.batch(stream(0, "batch"), 400)
    lookalikes = 0
    for x, y in zip(inputs, targets):
        expected = read([task.vocabulary[i] for i in x], 8)
        answers = {t: task.vocabulary[a] for t, a in enumerate(y) if a >= 0}
        assert len(answers) == 8
        assert answers.items() <= expected.items()
        lookalikes += len(expected) - len(answers)
    assert lookalikes > 0


def test_pairs_are_a_key_of_the_lower_half_and_a_value_of_the_upper():
    task = MultiQueryRecall(8, 64, 32)
    inputs, targets = task.batch(stream(0, "batch"), 3000)
    keys, values = inputs[:, 0:16:2], inputs[:, 1:16:2]
    assert set(keys.flat) == set(range(1, 16))  # never token 0
    assert set(values.flat) == set(range(16, 32))
    assert all(len(set(row)) == 8 for part in (keys, values) for row in part)
    assert (np.sort(targets, 1)[:, -8:] == np.sort(values, 1)).all()
    assert set(inputs[:, 17::2].flat) == set(range(32))  # filler: any token
    assert np.bincount(keys.flat)[1:] == pytest.approx(np.full(15, 1600), rel=0.1)
    assert np.bincount(values.flat)[16:] == pytest.approx(np.full(16, 1500), rel=0.1)
    assert np.bincount(inputs[:, 17::2].flat) == pytest.approx(np.full(32, 2250), rel=0.1)


def test_the_values_are_not_said_after_the_questions():
    task = wide()
    inputs, _ = task.batch(stream(0, "batch"), 500)
    values = inputs[:, 1:8:2]
    assert (inputs[:, 8:, None] == values[:, None]).any((-1, -2)).mean() < 0.02


def slots_of(task: MultiQueryRecall, size: int) -> np.ndarray:
    """(B, N): the slot in which each key is asked about, found by its value."""
    inputs, targets = task.batch(stream(0, "slots"), size)
    N = task.pairs
    places = (targets[:, None] == inputs[:, 1 : 2 * N : 2, None]).argmax(-1)
    assert (places % 2 == 0).all()
    return places // 2 - N


def successive(p: np.ndarray, N: int) -> np.ndarray:
    """(N, slots): how likely draw i takes slot x, by going through every order of N slots."""
    found = np.zeros((N, len(p)))
    for order in permutations(range(len(p)), N):
        chance, left = 1.0, p.sum()
        for x in order:
            chance, left = chance * p[x] / left, left - p[x]
        found[range(N), order] += chance
    return found


@pytest.mark.parametrize("power", [0.01, 0.5, 1, 3.0])
def test_slots_are_drawn_without_replacement_by_the_power_law(power):
    slots = slots_of(wide(pairs=3, length=18, power=power), 40_000)
    law = successive(np.arange(1, 7) ** (power - 1.0), 3)
    counted = np.stack([np.bincount(slots[:, i], minlength=6) for i in range(3)]) / len(slots)
    assert counted == pytest.approx(law, abs=0.012)
    assert law[0] == pytest.approx(np.arange(1, 7) ** (power - 1.0) / (np.arange(1, 7) ** (power - 1.0)).sum())


def test_the_first_slot_follows_the_law_over_a_long_range():
    slots = slots_of(wide(pairs=1, length=202), 60_000)[:, 0]
    p = np.arange(1, 101) ** -0.99
    assert np.bincount(slots, minlength=100) / len(slots) == pytest.approx(p / p.sum(), abs=0.006)


def test_with_four_tokens_for_a_pair_every_slot_is_taken():
    slots = slots_of(wide(pairs=5, length=20), 100)
    assert (np.sort(slots, 1) == np.arange(5)).all()


def test_the_grids_are_those_of_the_paper_and_of_a_small_machine():
    paper, cpu = MultiQueryRecall.grid(), MultiQueryRecall.grid("cpu")
    assert [(t.length, t.pairs, len(t.vocabulary)) for t in paper] == [
        (64, 4, 8192),
        (128, 8, 8192),
        (256, 16, 8192),
        (512, 64, 8192),
    ]
    assert [(t.length, t.pairs, len(t.vocabulary)) for t in cpu] == [(64, 4, 256), (128, 16, 256)]
    assert {t.power for t in paper + cpu} == {0.01}
    with pytest.raises(ConfigError, match="edition is one of paper, cpu"):
        MultiQueryRecall.grid("gpu")


def test_shapes_and_longer_sequences():
    task = MultiQueryRecall(4, 32, 64)
    assert task.tested == (32, 64)
    for length in (32, 64, 16):
        inputs, targets = task.evaluation(stream(0, "test"), length, 7)
        assert inputs.shape == targets.shape == (7, length)
        assert inputs.dtype == targets.dtype == np.int64
        assert ((targets >= 0).sum(1) == 4).all()
    assert task.batch(stream(0, "batch"), 3)[0].shape == (3, 32)


def test_the_same_generator_gives_the_same_batch_and_another_another():
    task = MultiQueryRecall()
    first, again, other = (task.batch(stream(0, "batch", step), 4) for step in (1, 1, 2))
    assert all((a == b).all() for a, b in zip(first, again))
    assert (first[0] != other[0]).any()


def test_the_config_makes_the_task_again():
    task = MultiQueryRecall(3, 20, 64, 0.5)
    config = json.loads(json.dumps(task.config()))
    again = MultiQueryRecall(**config["options"])
    assert config["name"] == task.name == "mqar"
    assert again.config() == config
    assert (again.batch(stream(0, "b"), 5)[0] == task.batch(stream(0, "b"), 5)[0]).all()


def test_an_oracle_is_right_and_naming_any_value_of_the_sequence_is_chance():
    task = MultiQueryRecall(8, 64, 256)
    inputs, targets = task.batch(stream(0, "batch"), 2000)
    assert task.score(said(targets, 256), targets) == {"accuracy": 1.0, "whole": 1.0}
    picked = stream(0, "guess").integers(8, size=targets.shape)
    guesses = np.take_along_axis(inputs, 2 * picked + 1, 1)
    score = task.score(said(guesses, 256), targets)
    assert next(iter(score)) == "accuracy"
    assert score["accuracy"] == pytest.approx(task.chance, abs=0.01)
    assert task.chance == 1 / 8


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"pairs": 0}, "pairs is a whole number, 1 or more"),
        ({"pairs": 2.0}, "pairs is a whole number"),
        ({"pairs": True}, "pairs is a whole number"),
        ({"length": 63}, "length is even"),
        ({"length": 30}, "length is even and 4 tokens or more for each pair"),
        ({"length": 64.0}, "length is even"),
        ({"vocabulary": 2}, "vocabulary is a whole number, 4 or more"),
        ({"vocabulary": 255}, "vocabulary is even"),
        ({"vocabulary": 16}, "half of it holds a key for each pair and token 0"),
        ({"power": 0}, "power is a number above 0"),
        ({"power": float("inf")}, "power is a number above 0"),
        ({"power": float("nan")}, "power is a number above 0"),
        ({"power": "uniform"}, "power is a number above 0"),
    ],
)
def test_options_that_do_not_fit(options, rule):
    with pytest.raises(ConfigError, match=rule):
        MultiQueryRecall(**options)


def test_the_smallest_vocabulary_and_the_shortest_sequence_fit():
    inputs, _ = MultiQueryRecall(8, 32, 18).batch(stream(0, "batch"), 100)
    assert (np.sort(inputs[:, 0:16:2], 1) == np.arange(1, 9)).all()


def test_other_lengths_are_checked_too():
    task = MultiQueryRecall(8, 64, 256)
    for length in (31, 30, 65, 0):
        with pytest.raises(ConfigError, match="length is even"):
            task.evaluation(stream(0, "test"), length, 2)


# What tasks with questions and answers share


def test_answers_are_counted_one_by_one_and_by_sequence():
    targets = np.array([[-1, 2, 1], [0, -1, 2], [1, -1, -1], [-1, -1, -1]])
    says = np.array([[0, 2, 1], [0, 1, 1], [0, 0, 0], [0, 0, 0]])
    assert answered(said(says, 3), targets) == {"accuracy": 3 / 5, "whole": 1 / 3}


def test_answered_refuses_what_does_not_belong_together():
    targets = np.zeros((2, 3), np.int64)
    for outputs, wrong in [
        (np.zeros((2, 3)), targets),
        (np.zeros((2, 4, 5)), targets),
        (np.zeros((3, 5)), targets[0]),
        (np.zeros((2, 3, 5)), targets - 1),
    ]:
        with pytest.raises(ShapeError, match=r"score takes outputs \(B, T, vocabulary\)"):
            answered(outputs, wrong)


def test_a_sequence_is_shown_with_its_answers():
    task = MultiQueryRecall(1, 4, 8)
    assert task.show(np.array([1, 6, 1, 0]), np.array([-1, -1, 6, -1])) == "k1 v2 k1 [v2] k0"
    assert shown(["a", "b"], np.array([0, 1]), np.array([-1, 0])) == "a b [a]"
    for inputs, targets in [(np.zeros((1, 2), int), np.zeros((1, 2), int)), (np.zeros(2, int), np.zeros(3, int))]:
        with pytest.raises(ShapeError, match="show takes one sequence"):
            shown(["a"], inputs, targets)


@pytest.mark.parametrize(("count", "among"), [(1, 3), (2, 4), (3, 3), (3, 4)])
def test_all_ordered_choices_are_equally_likely(count, among):
    drawn = distinct(stream(0, "distinct"), 24_000, count, among)
    orders = list(permutations(range(among), count))
    found = dict.fromkeys(orders, 0)
    for row in drawn.tolist():
        found[tuple(row)] += 1  # a row with a repetition has no place here
    expected = 24_000 / len(orders)
    assert list(found.values()) == pytest.approx([expected] * len(orders), abs=5 * expected**0.5)


def test_a_whole_number_is_no_bool_and_no_float():
    check_whole("x", 3, 3)
    for value in (2, 3.0, True, "3", None):
        with pytest.raises(ConfigError, match="x is a whole number, 3 or more"):
            check_whole("x", value, 3)
