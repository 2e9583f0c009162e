"""Needles, against a reader who takes notes while reading the names of the tokens, once and from left to right."""

import json
from itertools import combinations

import numpy as np
import pytest

from minilinear.errors import ConfigError
from minilinear.randomness import stream
from minilinear.tasks.needles import BLOCK, FILLER, KEYS, NEEDLES, VALUES, Needles

OPTIONS = {
    "single": {},
    "keys": {"count": 5},
    "values": {"count": 3},
    "queries": {"count": 4},
    "variables": {"count": 3, "hops": 3},
}


def small(needle: str, **options) -> Needles:
    return Needles(needle, **{**OPTIONS[needle], "lengths": (48, 64), **options})


def said(targets: np.ndarray, V: int) -> np.ndarray:
    """The scores (B, T, V) of one who says the targets, and token 0 where there are none."""
    return np.eye(V, dtype=np.float32)[np.maximum(targets, 0)]


def notes_of(words: list[str]) -> tuple[dict[str, list[str]], list[tuple[int, str, str]], int]:
    """What each key is known to mean, the needles as (place, key, content), and the place of the question mark.

    A name that stands for another is looked up as soon as it is read: a note is always a value.
    """
    notes: dict[str, list[str]] = {}
    needles, t = [], 0
    while words[t] != "?":
        if words[t][0] == "f":
            t += 1
            continue
        key, content = words[t : t + 2]
        assert key[0] == "k"
        notes.setdefault(key, []).append(content if content[0] == "v" else notes[content][0])
        needles.append((t, key, content))
        assert words[t + 2][0] == "f"
        t += BLOCK
    return notes, needles, t


def read(words: list[str]) -> list[str | None]:
    """What should be said after each word."""
    notes, _, question = notes_of(words)
    says: list[str | None] = [None] * (question + 1)
    asked, said_so_far = "", 0
    for word in words[question + 1 :]:
        asked, said_so_far = (word, 0) if word[0] == "k" else (asked, said_so_far + 1)
        known = notes[asked]
        says.append(known[said_so_far] if said_so_far < len(known) else None)
    return says


@pytest.mark.parametrize("needle", NEEDLES)
@pytest.mark.parametrize("depth", [None, 0, 0.3, 1.0])
def test_a_reader_who_takes_notes_is_right(needle, depth):
    task = small(needle)
    for length in (task.lengths[0], 150):
        for inputs, targets in zip(*task.evaluation(stream(0, "test", length), length, 50, depth)):
            answers = [task.vocabulary[a] if a >= 0 else None for a in targets]
            assert answers == read([task.vocabulary[i] for i in inputs])


@pytest.mark.parametrize("needle", NEEDLES)
def test_there_are_as_many_needles_keys_and_answers_as_asked_for(needle):
    task = small(needle)
    expected = {"single": (1, 1, 1), "keys": (5, 5, 1), "values": (3, 1, 3), "queries": (4, 4, 4)}
    n, keys, answers = expected.get(needle, (12, 12, 1))
    inputs, targets = task.batch(stream(0, "batch"), 100)
    assert ((targets >= 0).sum(1) == answers).all()
    for row in inputs:
        _, needles, _ = notes_of([task.vocabulary[i] for i in row])
        assert len(needles) == n
        assert len({key for _, key, _ in needles}) == keys
    defaults = {"single": 1}
    assert Needles(needle).count == defaults.get(needle, 4)


@pytest.mark.parametrize("hops", [1, 2, 3, 4])
def test_chains_have_their_hops_and_the_last_name_is_asked_for(hops):
    task = small("variables", count=2, hops=hops)
    for row in task.batch(stream(0, "batch"), 100)[0]:
        words = [task.vocabulary[i] for i in row]
        _, needles, question = notes_of(words)
        means = {key: content for _, key, content in needles}
        names = [words[question + 1]]
        while means[names[-1]][0] == "k":
            names.append(means[names[-1]])
        assert len(names) == hops + 1
        assert words[question + 1] not in means.values()
        assert sum(content[0] == "v" for content in means.values()) == 2


def test_the_asked_needle_is_any_one_and_queries_come_in_any_order():
    task = small("keys", count=3)
    ranks = []
    for row in task.evaluation(stream(0, "test"), 30, 3000)[0]:
        words = [task.vocabulary[i] for i in row]
        ranks.append([key for _, key, _ in notes_of(words)[1]].index(words[-1]))
    assert np.bincount(ranks) == pytest.approx([1000] * 3, abs=130)
    task, orders = small("queries", count=3), []
    inputs = np.concatenate(
        [task.evaluation(stream(0, "t"), 30, 1500)[0], task.evaluation(stream(0, "t"), 30, 1500, 0)[0]]
    )
    for row in inputs:
        words = [task.vocabulary[i] for i in row]
        known = [key for _, key, _ in notes_of(words)[1]]
        orders.append(int("".join(str(known.index(word)) for word in words[-5::2])))
    for half in orders[:1500], orders[1500:]:
        assert np.unique(half, return_counts=True)[1] == pytest.approx([250] * 6, abs=80)


@pytest.mark.parametrize("needle", ["queries", "values"])
def test_all_ways_to_lay_the_needles_are_equally_likely(needle):
    task = Needles(needle, 2, lengths=(16, 16))
    L = 16 - (4 if needle == "queries" else 3)
    ways = {pair: 0 for pair in combinations(range(L - BLOCK + 1), 2) if pair[1] - pair[0] >= BLOCK}
    for row in task.batch(stream(0, "batch"), 100 * len(ways))[0]:
        ways[tuple(t for t, _, _ in notes_of([task.vocabulary[i] for i in row])[1])] += 1
    assert list(ways.values()) == pytest.approx([100] * len(ways), abs=50)


@pytest.mark.parametrize("needle", NEEDLES)
@pytest.mark.parametrize("depth", [0, 0.25, 0.5, 1])
def test_the_needles_asked_for_lie_at_the_depth(needle, depth):
    task = small(needle)
    asked = {"values": 3, "queries": 4, "variables": 4}.get(needle, 1)
    starts = []
    for row in task.evaluation(stream(0, "test"), 400, 100, depth)[0]:
        words = [task.vocabulary[i] for i in row]
        _, needles, question = notes_of(words)
        wanted = {word for word in words[question:] if word[0] == "k"}
        while True:  # names that stand behind a name that is wanted
            further = wanted | {content for _, key, content in needles if key in wanted and content[0] == "k"}
            if further == wanted:
                break
            wanted = further
        places = [t for t, key, _ in needles if key in wanted]
        assert places == [places[0] + BLOCK * i for i in range(asked)]
        starts.append(places[0] / (question - BLOCK * asked))
    assert np.mean(starts) == pytest.approx(depth, abs=0.02)
    assert np.ptp(starts) < 0.1
    if depth in (0, 1):
        assert set(starts) == {depth}


def test_filler_keys_and_values_are_drawn_evenly():
    task = small("queries", count=2)
    inputs, targets = task.evaluation(stream(0, "test"), 20, 8000)
    counts = np.bincount(inputs[:, :16].flat, minlength=len(task.vocabulary))
    assert counts[:FILLER] == pytest.approx(np.full(FILLER, 12 * 8000 / FILLER), rel=0.05)
    assert counts[FILLER : FILLER + KEYS] == pytest.approx(np.full(KEYS, 500), rel=0.25)
    assert counts[-1] == 0
    asked = np.bincount(targets[targets >= 0])[FILLER + KEYS :]
    assert asked == pytest.approx(np.full(VALUES, 1000), rel=0.2)
    assert task.vocabulary[FILLER - 1 : FILLER + 1] == ["f14", "k0"]
    assert task.vocabulary[-2:] == ["v15", "?"]
    assert len(task.vocabulary) == FILLER + KEYS + VALUES + 1


@pytest.mark.parametrize("needle", NEEDLES)
def test_training_lengths_and_tested_ones(needle):
    task = small(needle, lengths=(60, 63))
    lengths = [task.batch(stream(0, "batch", step), 1)[0].shape[1] for step in range(400)]
    assert np.bincount(lengths)[60:] == pytest.approx(np.full(4, 100), abs=45)
    assert Needles(needle).tested == (256, 512, 1024, 4096)
    inputs, targets = Needles(needle).evaluation(stream(0, "test"), 4096, 2)
    assert inputs.shape == targets.shape == (2, 4096)
    assert inputs.dtype == targets.dtype == np.int64


@pytest.mark.parametrize("needle", NEEDLES)
def test_the_shortest_sequence_is_full_of_needles(needle):
    least = {"single": 5, "keys": 17, "values": 13, "queries": 20, "variables": 38}[needle]
    task = small(needle, lengths=(least, least))
    for row in task.batch(stream(0, "batch"), 20)[0]:
        words = [task.vocabulary[i] for i in row]
        _, needles, question = notes_of(words)
        assert question == BLOCK * len(needles)
    with pytest.raises(ConfigError, match="A sequence holds its needles, 3 tokens each, and the question"):
        task.evaluation(stream(0, "test"), least - 1, 2)


@pytest.mark.parametrize("needle", NEEDLES)
def test_the_same_generator_gives_the_same_batch_and_another_another(needle):
    task = small(needle)
    first, again, other = (task.evaluation(stream(0, "batch", step), 50, 4) for step in (1, 1, 2))
    assert all((a == b).all() for a, b in zip(first, again))
    assert (first[0] != other[0]).any()


@pytest.mark.parametrize("needle", NEEDLES)
def test_the_config_makes_the_task_again(needle):
    task = small(needle)
    config = json.loads(json.dumps(task.config()))
    again = Needles(**config["options"])
    assert config["name"] == task.name == "needles"
    assert again.config() == config
    assert (again.batch(stream(0, "b"), 5)[0] == task.batch(stream(0, "b"), 5)[0]).all()


@pytest.mark.parametrize("needle", NEEDLES)
def test_an_oracle_is_right_and_naming_values_is_chance(needle):
    task = small(needle, **({"count": 2} if needle in ("values", "queries") else {}))
    V = len(task.vocabulary)
    _, targets = task.evaluation(stream(0, "batch"), 48, 20_000)
    assert task.score(said(targets[:50], V), targets[:50]) == {"exact": 1.0, "accuracy": 1.0}
    score = {"exact": [], "accuracy": []}
    guess = stream(0, "guess")
    for part in np.split(targets, 20):
        guesses = FILLER + KEYS + guess.integers(VALUES, size=part.shape)
        for name, value in task.score(said(guesses, V), part).items():
            score[name].append(value)
    assert np.mean(score["accuracy"]) == pytest.approx(1 / 16, abs=0.006)
    assert task.chance == (1 / 256 if needle in ("values", "queries") else 1 / 16)
    assert np.mean(score["exact"]) == pytest.approx(task.chance, rel=0.3 if task.chance < 0.01 else 0.1)


def test_exact_wants_all_answers_of_a_sequence():
    task = small("queries")
    _, targets = task.evaluation(stream(0, "test"), 48, 2)
    says = targets.copy()
    says[0, -1] = 0
    score = task.score(said(says, 64), targets)
    assert list(score.items()) == [("exact", 1 / 2), ("accuracy", 7 / 8)]


def test_the_grid_is_exact_match_by_length_and_depth():
    task = small("keys")
    asked = []

    def far_sighted(inputs: np.ndarray) -> np.ndarray:
        """Right where the needle lies in the first half, filler elsewhere."""
        asked.append(inputs.shape)
        says = np.zeros_like(inputs)
        for row, answer in zip(inputs, says):
            words = [task.vocabulary[i] for i in row]
            notes, needles, question = notes_of(words)
            if next(t for t, key, _ in needles if key == words[-1]) < question / 2:
                answer[-1] = task.vocabulary.index(notes[words[-1]][0])
        return said(says, 64)

    found = task.grid(far_sighted, stream(0, "grid"), (60, 100), (0.0, 0.9, 1.0), 5)
    assert found == {60: {0.0: 1.0, 0.9: 0.0, 1.0: 0.0}, 100: {0.0: 1.0, 0.9: 0.0, 1.0: 0.0}}
    assert asked == [(5, 60)] * 3 + [(5, 100)] * 3
    whole = small("single").grid(lambda x: np.zeros((*x.shape, 64), np.float32), stream(0, "grid"), size=1)
    assert list(whole) == [64, 128, 256, 1024]
    assert list(whole[64]) == pytest.approx([i / 10 for i in range(11)])


def test_a_sequence_is_shown_with_its_answers():
    task = small("single")
    inputs = [0, FILLER + 3, FILLER + KEYS + 7, 1, 63, FILLER + 3]
    assert task.show(np.array(inputs), np.array([-1] * 5 + [FILLER + KEYS + 7])) == "f0 k3 v7 f1 ? k3 [v7]"


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"needle": "pin"}, "needle is one of single, keys, values, queries, variables"),
        ({"needle": 3}, "needle is one of"),
        ({"needle": "keys", "count": 0}, "count is a whole number, 1 or more"),
        ({"needle": "keys", "count": 2.0}, "count is a whole number"),
        ({"needle": "single", "count": 2}, "single is one needle"),
        ({"needle": "variables", "hops": 0}, "hops is 1, 2, 3 or 4"),
        ({"needle": "variables", "hops": 5}, "hops is 1, 2, 3 or 4"),
        ({"needle": "variables", "hops": 1.0}, "hops is 1, 2, 3 or 4"),
        ({"needle": "keys", "count": 33, "lengths": (200, 256)}, "There are 32 keys"),
        ({"needle": "variables", "count": 7, "hops": 4, "lengths": (200, 256)}, "There are 32 keys"),
        ({"lengths": (64, 32)}, "lengths is the fewest and the most tokens"),
        ({"lengths": 64}, "lengths is the fewest and the most tokens"),
        ({"needle": "keys", "lengths": (13, 256)}, "A sequence holds its needles"),
    ],
)
def test_options_that_do_not_fit(options, rule):
    with pytest.raises(ConfigError, match=rule):
        Needles(**options)


def test_as_many_needles_as_there_are_keys_fit_and_one_key_has_any_number_of_values():
    assert Needles("keys", 32, lengths=(128, 256)).count == 32
    assert Needles("values", 40, lengths=(170, 256)).count == 40


@pytest.mark.parametrize("depth", [-0.1, 1.1, float("nan"), "deep", True])
def test_a_depth_is_between_0_and_1(depth):
    with pytest.raises(ConfigError, match="depth is between 0 and 1"):
        Needles().evaluation(stream(0, "test"), 64, 2, depth)
