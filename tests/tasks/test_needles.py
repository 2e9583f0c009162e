"""Someone who reads the needles and follows their names answers every question, at any depth and length."""

import numpy as np
import pytest

from minilinear.errors import ConfigError
from minilinear.randomness import stream
from minilinear.tasks.needles import KINDS, Needles

OPTIONS = [
    {"kind": "single"},
    {"kind": "keys"},
    {"kind": "keys", "needles": 32},
    {"kind": "values"},
    {"kind": "values", "needles": 1},
    {"kind": "queries", "needles": 5},
    {"kind": "variables"},
    {"kind": "variables", "needles": 6, "hops": 4},
    {"kind": "variables", "needles": 1, "hops": 1},
]
every_option = pytest.mark.parametrize("options", OPTIONS, ids=str)


def named(task: Needles, inputs: np.ndarray) -> list[list[str]]:
    return [[task.vocabulary[i] for i in row] for row in inputs]


def needles_in(tokens: list[str]) -> list[tuple[int, str, str]]:
    """(place, key, what it is) of each needle in front of the question, in order."""
    found, at, end = [], 0, tokens.index("?")
    while at < end:
        if tokens[at].startswith("w"):
            at += 1
            continue
        key, name = tokens[at : at + 2]
        assert key.startswith("k") and name[0] in "kv" and at + 2 <= end
        found.append((at, key, name))
        at += 2
    return found


def reader_says(kind: str, tokens: list[str]) -> list[str | None]:
    """What must be answered, from the names alone."""
    answers: list[str | None] = [None] * len(tokens)
    facts: dict[str, list[str]] = {}
    for _, key, name in needles_in(tokens):
        if name.startswith("k"):
            assert kind == "variables"
            name = facts[name][0]  # it was given a value before
        facts.setdefault(key, []).append(name)
    end = tokens.index("?")
    if kind == "values":
        (values,) = facts.values()
        assert tokens[end + 1 :] == [next(iter(facts)), *values[:-1]]
        answers[end + 1 :] = values
        return answers
    assert all(len(names) == 1 for names in facts.values())
    for t in range(end, len(tokens), 2):
        assert tokens[t] == "?"
        answers[t + 1] = facts[tokens[t + 1]][0]
    return answers


@every_option
@pytest.mark.parametrize("depth", [None, 0, 0.3, 1])
def test_the_answers_are_those_of_a_reader(options, depth):
    task = Needles(**options)
    for length in (task._shortest, task._shortest + 1, task._shortest + 30, 300):
        inputs, targets = task.evaluation(stream(0, "test"), length, 25, depth)
        assert inputs.shape == (25, length)
        for tokens, answers in zip(named(task, inputs), targets):
            expected = reader_says(task.hidden, tokens)
            assert [task.vocabulary[i] if i >= 0 else None for i in answers] == expected


@every_option
def test_there_are_as_many_needles_as_said(options):
    task = Needles(**options)
    inputs, targets = task.evaluation(stream(0, "test"), 300, 25)
    chain = task.hops + 1
    for tokens, answers in zip(named(task, inputs), targets):
        needles = needles_in(tokens)
        assert len(needles) == task.needles * chain
        values = [name for _, _, name in needles if name.startswith("v")]
        assert len(values) == len(set(values)) == task.needles
        keys = {key for _, key, _ in needles}
        assert len(keys) == (1 if task.hidden == "values" else task.needles * chain)
        asked = {"values": task.needles, "queries": task.needles}.get(task.hidden, 1)
        assert (answers >= 0).sum() == asked
        assert task.chance == (1 / 32) ** asked


@pytest.mark.parametrize("hops", [1, 2, 3, 4])
def test_the_variable_asked_for_is_as_many_hops_from_its_value(hops):
    task = Needles("variables", needles=3, hops=hops)
    for tokens in named(task, task.evaluation(stream(0, "test"), 200, 30)[0]):
        names = {key: name for _, key, name in needles_in(tokens)}
        steps, name = 0, names[tokens[-1]]
        while name.startswith("k"):
            steps, name = steps + 1, names[name]
        assert steps == hops
        assert tokens[-1] not in names.values()  # the end of its chain


def test_chains_are_mixed():
    task = Needles("variables", needles=2, hops=1)
    shapes = set()
    for tokens in named(task, task.evaluation(stream(0, "test"), 60, 200)[0]):
        shapes.add("".join(name[0] for _, _, name in needles_in(tokens)))
    assert shapes == {"vkvk", "vvkk"}


def test_all_questions_of_queries_are_about_different_needles_in_any_order():
    task = Needles("queries", needles=3)
    orders = set()
    for tokens in named(task, task.evaluation(stream(0, "test"), 60, 200)[0]):
        places = {key: at for at, key, _ in needles_in(tokens)}
        orders.add(tuple(np.argsort([places[key] for key in tokens[-5::2]])))
    assert len(orders) == 6


@every_option
def test_no_answer_is_shown_but_in_its_needle(options):
    task = Needles(**options)
    inputs, targets = task.evaluation(stream(0, "test"), 200, 50)
    for tokens, answers in zip(named(task, inputs), targets):
        for t in np.flatnonzero(answers >= 0):
            assert tokens[: t + 1].count(task.vocabulary[answers[t]]) == 1
            later = tokens[t + 1 :].count(task.vocabulary[answers[t]])
            assert later == (1 if task.hidden == "values" and t + 1 < len(tokens) else 0)


def asked_for(task: Needles, tokens: list[str], targets: np.ndarray) -> list[int]:
    """The places of the needles that hold the answers."""
    values = {task.vocabulary[i] for i in targets[targets >= 0]}
    return [at for at, _, name in needles_in(tokens) if name in values]


@every_option
@pytest.mark.parametrize("depth", [0, 0.25, 0.5, 1])
def test_a_needle_that_is_asked_for_lies_at_the_depth(options, depth):
    task = Needles(**options)
    hidden, chain = task.needles * (task.hops + 1), task.hops + 1
    length = 400 + task._question
    inputs, targets = task.evaluation(stream(0, "test"), length, 30, depth)
    room = 400 - hidden - chain  # places if a needle took one token; those in front add one each
    for tokens, answers in zip(named(task, inputs), targets):
        places = asked_for(task, tokens, answers)
        starts = [at - sum(other < at for other, _, _ in needles_in(tokens)) for at in places]
        assert round(depth * room) in starts
        if task.hidden == "queries":  # the first question is about it
            first = next(at for at, key, _ in needles_in(tokens) if key == tokens[401])
            assert starts[places.index(first)] == round(depth * room)


def test_the_ends_of_the_depth_are_the_ends_of_the_text():
    task = Needles()
    first, last = (named(task, task.evaluation(stream(0, "test"), 50, 20, depth)[0]) for depth in (0, 1))
    assert all(tokens[0].startswith("k") for tokens in first)
    assert all(tokens[46].startswith("k") and tokens[48] == "?" for tokens in last)


@pytest.mark.parametrize("depth", [None, 0.5])
def test_needles_lie_anywhere_else(depth):
    task = Needles("keys", needles=3)
    inputs, targets = task.evaluation(stream(0, "test"), 17, 6000, depth)  # 15 tokens of text: 12 places for 3 needles
    counts = np.zeros((2, 12))  # asked for, other
    for tokens, answers in zip(named(task, inputs), targets):
        asked = asked_for(task, tokens, answers)
        for number, (at, _, _) in enumerate(needles_in(tokens)):
            counts[int(at not in asked), at - number] += 1
    if depth is None:
        assert (abs(counts[0] - 500) < 5 * np.sqrt(500)).all()
        assert (abs(counts[1] - 1000) < 5 * np.sqrt(1000)).all()
    else:
        pinned = round(0.5 * 11)
        assert counts[0, pinned] == 6000 and counts[1, pinned] == 0
        assert (abs(np.delete(counts[1], pinned) - 12_000 / 11) < 5 * np.sqrt(12_000 / 11)).all()


def test_words_keys_and_values_are_equally_frequent():
    task = Needles("keys")
    inputs, _ = task.evaluation(stream(0, "test"), 60, 4000)
    counts = np.bincount(inputs[:, :-2].ravel(), minlength=97)
    for part in (counts[:32], counts[32:64], counts[64:96]):
        assert (abs(part - part.mean()) < 5 * np.sqrt(part.mean())).all()
    assert counts[96] == 0
    assert counts[32:64].sum() == counts[64:96].sum() == 4 * 4000


def test_it_is_tested_at_up_to_sixteen_times_the_length():
    assert Needles().tested == (256, 512, 1024, 4096)
    for kind in KINDS:
        task = Needles(kind)
        inputs, targets = task.evaluation(stream(0, "test"), 4096, 2)
        assert [reader_says(kind, tokens)[-1] for tokens in named(task, inputs)] == [
            task.vocabulary[i] for i in targets[:, -1]
        ]


# The table of length by depth.


def remembers(task: Needles, last: int):
    """A reader that has forgotten all but the last tokens, as scores (B, T, vocabulary)."""

    def answer(inputs: np.ndarray) -> np.ndarray:
        outputs = np.zeros((*inputs.shape, len(task.vocabulary)))
        for b, tokens in enumerate(named(task, inputs)):
            forgotten = [token if t >= len(tokens) - last else "w0" for t, token in enumerate(tokens)]
            facts = {key: name for _, key, name in needles_in(forgotten)}
            outputs[b, -1, task.vocabulary.index(facts.get(tokens[-1], "v0"))] = 1
        return outputs

    return answer


def test_the_grid_has_lengths_as_rows_and_depths_as_columns():
    task = Needles()
    table = task.grid(remembers(task, 10_000), stream(0, "grid"), [20, 50, 64], [0, 0.5], 10)
    assert table.shape == (3, 2) and table.dtype == np.float64
    assert (table == 1).all()
    table = task.grid(remembers(task, 40), stream(0, "grid"), [20, 400], [0, 0.5, 1], 50)
    assert table[0].tolist() == [1, 1, 1] and table[1, 2] == 1
    assert (table[1, :2] < 0.2).all()


def test_each_cell_of_the_grid_draws_its_own_texts():
    task = Needles()
    seen = []

    def answer(inputs):
        seen.append(inputs)
        return np.zeros((*inputs.shape, len(task.vocabulary)))

    task.grid(answer, stream(0, "grid"), [30, 30], [0.5, 0.5], 4)
    assert [inputs.shape for inputs in seen] == [(4, 30)] * 4
    assert len({inputs.tobytes() for inputs in seen}) == 4


@pytest.mark.parametrize("depth", [-0.1, 1.1, float("nan")])
def test_depth_is_a_part(depth):
    with pytest.raises(ConfigError, match="depth is between 0 and 1"):
        Needles().evaluation(stream(0, "test"), 30, 2, depth)
