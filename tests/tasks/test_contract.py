"""What holds for every task that is drawn: pure functions of the generator, made again from JSON, scored fairly."""

import json

import numpy as np
import pytest

from minilinear.errors import ConfigError, ShapeError
from minilinear.randomness import stream
from minilinear.tasks.arithmetic import ModularArithmetic
from minilinear.tasks.copying import Copying, SelectiveCopying
from minilinear.tasks.mqar import MultiQueryRecall
from minilinear.tasks.needles import Needles
from minilinear.tasks.parity import Parity
from minilinear.tasks.recall import Recall

DRAWN = [Parity, ModularArithmetic, Recall, MultiQueryRecall, Copying, SelectiveCopying, Needles]
CASES = [
    (Parity, {}),
    (Parity, {"lengths": (5, 5)}),
    (ModularArithmetic, {}),
    (ModularArithmetic, {"modulus": 12, "operators": "-*", "lengths": [4, 7]}),
    (ModularArithmetic, {"brackets": True}),
    (ModularArithmetic, {"brackets": True, "operators": "*", "modulus": 3}),
    (Recall, {}),
    (Recall, {"reset": True, "keys": 3, "values": 2, "length": 10}),
    (MultiQueryRecall, {}),
    (MultiQueryRecall, {"edition": "zoology", "length": 128, "pairs": 8}),
    (Copying, {}),
    (Copying, {"alphabet": 3, "lengths": (1, 2)}),
    (SelectiveCopying, {}),
    (SelectiveCopying, {"alphabet": 2, "letters": 3, "length": 5}),
    (Needles, {}),
    (Needles, {"kind": "keys", "needles": 6}),
    (Needles, {"kind": "values", "lengths": (20, 40)}),
    (Needles, {"kind": "queries", "needles": 2}),
    (Needles, {"kind": "variables"}),
    (Needles, {"kind": "variables", "needles": 2, "hops": 4}),
]
every_case = pytest.mark.parametrize(("make", "options"), CASES, ids=lambda v: getattr(v, "__name__", None) or str(v))


def scores_for(ids: np.ndarray, vocabulary: int) -> np.ndarray:
    """Outputs of a model that says these ids; a negative one becomes token 0."""
    outputs = np.zeros((*ids.shape, vocabulary), np.float32)
    np.put_along_axis(outputs, np.maximum(ids, 0)[..., None], 1, axis=-1)
    return outputs


def same(drawn: tuple, other: tuple) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(drawn, other))


@every_case
def test_batches_are_token_ids_and_targets_of_one_shape(make, options):
    task = make(**options)
    length = task.tested[0]
    for inputs, targets in (task.batch(stream(0, "batch"), 5), task.evaluation(stream(0, "test"), length, 5)):
        assert inputs.dtype == targets.dtype == np.int64
        assert inputs.shape == targets.shape and len(inputs) == 5
        assert inputs.min() >= 0 and targets.min() == -1
        assert max(inputs.max(), targets.max()) < len(task.vocabulary)
    assert targets.max(axis=1).min() >= 0 or make is Recall  # every row is asked; a row of Recall may happen not to be


@every_case
def test_a_batch_depends_on_nothing_but_the_generator(make, options):
    task = make(**options)
    for draw in (lambda rng: task.batch(rng, 4), lambda rng: task.evaluation(rng, task.tested[1], 4)):
        first = draw(stream(3, "batch", 7))
        assert same(first, draw(stream(3, "batch", 7)))
        assert not same(first, draw(stream(3, "batch", 8)))
    one, two = stream(0, "batch"), stream(0, "batch")
    task.batch(one, 4)
    make(**options).batch(two, 4)
    assert one.random() == two.random()  # a task holds no state: the next one draws the same


@every_case
def test_a_task_is_made_again_from_its_config(make, options):
    task = make(**options)
    config = json.loads(json.dumps(task.config()))
    again = make(**config["options"])
    assert config["name"] == task.name == make.name
    assert again.config() == task.config()
    assert (again.vocabulary, again.tested, again.chance) == (task.vocabulary, task.tested, task.chance)
    assert same(task.batch(stream(0, "batch"), 4), again.batch(stream(0, "batch"), 4))
    for option, value in options.items():
        assert config["options"][option] == (list(value) if isinstance(value, tuple) else value)


@every_case
def test_training_knows_what_to_do_with_it(make, options):
    task = make(**options)
    assert (task.kind, task.features) == ("language_model", 0)
    assert task.preset in ("state_tracking", "recall", "language")
    assert set(task.shape) <= {"D", "layers", "hidden", "chunk"}
    assert set(task.training) <= {"steps", "batch", "lr", "warmup", "weight_decay"}
    assert all(isinstance(token, str) for token in task.vocabulary)
    assert len(set(task.vocabulary)) == len(task.vocabulary)
    assert list(task.tested) == sorted(set(task.tested)) and len(task.tested) >= 2
    longest = task.batch(stream(0, "batch"), 1)[0].shape[1]
    for step in range(40):
        longest = max(longest, task.batch(stream(0, "batch", step), 1)[0].shape[1])
    assert longest <= task.evaluation(stream(0, "test"), task.tested[0], 1)[0].shape[1]  # no training on longer ones
    widths = [task.evaluation(stream(0, "test"), length, 1)[0].shape[1] for length in task.tested]
    assert widths == sorted(set(widths))


@every_case
def test_who_knows_scores_one_and_who_guesses_scores_chance(make, options):
    task = make(**options)
    size = 200 if len(task.vocabulary) < 1000 else 10  # scores are (B, T, vocabulary)
    _, targets = task.evaluation(stream(0, "test"), task.tested[0], size)
    known = task.score(scores_for(targets, len(task.vocabulary)), targets)
    assert set(known.values()) == {1.0}
    assert all(type(value) is float for value in known.values())
    answers = [task.vocabulary.index(token) for token in possible_answers(task)]
    in_a_row = (targets >= 0).sum(axis=1).max() if task.name == "needles" else 1  # exact: all of them are guessed
    assert task.chance == len(answers) ** -float(in_a_row)
    guesses = stream(0, "guess").choice(answers, size=targets.shape)
    guessed = task.score(scores_for(guesses, len(task.vocabulary)), targets)
    headline = next(iter(guessed.values()))
    trials = len(targets) if task.name == "needles" else (targets >= 0).sum()
    assert abs(headline - task.chance) < 5 * np.sqrt(task.chance * (1 - task.chance) / trials)
    wrong = scores_for(np.where(targets == answers[0], answers[1], answers[0]), len(task.vocabulary))
    assert next(iter(task.score(wrong, targets).values())) == 0.0


def possible_answers(task) -> list[str]:
    """The tokens that can be an answer, by their names."""
    starts = {"recall": "v", "mqar": "v", "needles": "v"}
    if task.name in starts:
        return [t for t in task.vocabulary if t == "none" or t.startswith(starts[task.name])]
    return [t for t in task.vocabulary if t.isdigit()]


def test_the_answers_are_those_tokens():
    for make, options in CASES:
        task = make(**options)
        targets = task.evaluation(stream(0, "test"), task.tested[0], 50)[1]
        assert {task.vocabulary[i] for i in np.unique(targets[targets >= 0])} <= set(possible_answers(task))


@pytest.mark.parametrize("make", DRAWN)
def test_a_score_needs_scores_and_something_to_count(make):
    task = make()
    inputs, targets = task.batch(stream(0, "batch"), 4)
    outputs = scores_for(targets, len(task.vocabulary))
    with pytest.raises(ShapeError, match="one shape"):
        task.score(outputs[:, :-1], targets)
    with pytest.raises(ShapeError, match="one shape"):
        task.score(inputs, targets)
    with pytest.raises(ConfigError, match="only negative targets"):
        task.score(outputs, np.full_like(targets, -1))
    assert task.score(outputs.tolist(), targets) == task.score(outputs, targets)


WITH_LENGTHS = [Parity, ModularArithmetic, Copying, Needles]


@pytest.mark.parametrize("make", WITH_LENGTHS)
def test_every_length_between_the_shortest_and_the_longest_is_drawn(make):
    task = make(lengths=(30, 34))
    drawn = {task.batch(stream(0, "batch", step), 2)[0].shape[1] for step in range(80)}
    wide = {task.evaluation(stream(0, "test"), length, 2)[0].shape[1] for length in (30, 32, 34)}
    if make is not ModularArithmetic:
        wide |= {task.evaluation(stream(0, "test"), length, 2)[0].shape[1] for length in (31, 33)}
    assert drawn == wide


@pytest.mark.parametrize("make", WITH_LENGTHS)
@pytest.mark.parametrize("lengths", [(50, 40), (-1, 40), (0, 40), (40,), (30, 40, 50), 40, (30.0, 40), "3040"])
def test_lengths_are_two_numbers_in_order(make, lengths):
    with pytest.raises(ConfigError, match=r"shortest and the longest to train on(.|\n)*got: (.|\n)*fix: lengths=\("):
        make(lengths=lengths)


BAD = [
    (ModularArithmetic, {"modulus": 1}, "modulus is a whole number, 2 or more"),
    (ModularArithmetic, {"modulus": 5.0}, "modulus is a whole number, 2 or more"),
    (ModularArithmetic, {"brackets": 1}, "brackets is True or False"),
    (ModularArithmetic, {"operators": "+/"}, r"some of \+-\*, each once"),
    (ModularArithmetic, {"operators": "++"}, "each once"),
    (ModularArithmetic, {"operators": ""}, "each once"),
    (ModularArithmetic, {"operators": ["+"]}, "each once"),
    (ModularArithmetic, {"lengths": (1, 4)}, "2 or more"),
    (ModularArithmetic, {"lengths": (5, 5)}, r"T is even(.|\n)*length=6"),
    (Recall, {"reset": "yes"}, "reset is True or False"),
    (Recall, {"keys": 0}, "keys is a whole number, 1 or more"),
    (Recall, {"values": True}, "values is a whole number, 1 or more"),
    (Recall, {"length": 0}, "length is a whole number, 1 or more"),
    (MultiQueryRecall, {"edition": "gpu"}, "edition is one of zoology, cpu"),
    (MultiQueryRecall, {"edition": 3}, "edition is one of"),
    (MultiQueryRecall, {"length": "64"}, "length is a whole number"),
    (MultiQueryRecall, {"pairs": 0}, "pairs is a whole number, 1 or more"),
    (MultiQueryRecall, {"length": 65}, r"length is even(.|\n)*length=65, pairs=4(.|\n)*length=64, pairs=4 or"),
    (MultiQueryRecall, {"pairs": 17}, "at least 4 times the pairs"),
    (MultiQueryRecall, {"length": 256}, r"less than the vocabulary(.|\n)*256 tokens"),
    (Copying, {"alphabet": 0}, "alphabet is a whole number"),
    (SelectiveCopying, {"alphabet": 0}, "alphabet is a whole number"),
    (SelectiveCopying, {"letters": 0}, "letters is a whole number"),
    (SelectiveCopying, {"length": 2.5}, "length is a whole number"),
    (SelectiveCopying, {"letters": 9, "length": 8}, r"as many places(.|\n)*length=9 or more"),
    (Needles, {"kind": "double"}, "kind is one of single, keys, values, queries, variables"),
    (Needles, {"kind": None}, "kind is one of"),
    (Needles, {"kind": "keys", "needles": 0}, "needles is a whole number, 1 or more"),
    (Needles, {"needles": 2}, r'A single needle is 1(.|\n)*kind="keys"'),
    (Needles, {"kind": "keys", "needles": 33}, "enough for 32 needles"),
    (Needles, {"kind": "variables", "needles": 11}, "enough for 10 needles with 2 hops"),
    (Needles, {"kind": "variables", "hops": 0}, "hops is a whole number, 1 or more"),
    (Needles, {"kind": "variables", "hops": 5}, "hops is 1 to 4"),
    (Needles, {"kind": "keys", "hops": 2}, r'hops is 1 to 4, of kind="variables" alone'),
    (Needles, {"kind": "keys", "lengths": (9, 40)}, "10 or more"),
]


@pytest.mark.parametrize(("make", "options", "message"), BAD)
def test_an_option_that_does_not_fit_is_refused(make, options, message):
    with pytest.raises(ConfigError, match=message) as refused:
        make(**options)
    assert "got: " in str(refused.value) and "fix: " in str(refused.value)


@pytest.mark.parametrize(
    ("task", "length", "message"),
    [
        (Parity(), 0, "at least one bit"),
        (ModularArithmetic(), 1, "at least a digit and ="),
        (ModularArithmetic(), 7, r"T is even(.|\n)*length=8"),
        (ModularArithmetic(brackets=True), 1, "at least a digit and ="),
        (Recall(), 0, "at least one token"),
        (MultiQueryRecall(), 14, "at least 4 times the pairs"),
        (MultiQueryRecall(), 65, "length is even"),
        (Copying(), 0, "at least one letter"),
        (SelectiveCopying(), 7, "as many places"),
        (Needles(), 3, r"room for 1 needles(.|\n)*length=4 or more"),
        (Needles("variables"), 25, r"room for 12 needles(.|\n)*length=26 or more"),
    ],
)
def test_a_length_without_room_is_refused(task, length, message):
    with pytest.raises(ConfigError, match=message):
        task.evaluation(stream(0, "test"), length, 2)
