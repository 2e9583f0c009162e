"""The shipped digits are those of the source, read in any order, and split once and for all."""

import hashlib
import io
import json
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest

from minilinear.errors import ConfigError, RunError, ShapeError
from minilinear.randomness import stream
from minilinear.tasks.digits import FILE, READINGS, SHA256, Digits, load, stratified

ROOT = Path(__file__).parents[2]
# How many pictures of each digit the testing part of optdigits has, from the description at the source.
COUNTS = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
NUMBERED = np.arange(64.0).reshape(1, 8, 8)  # a picture whose numbers are their own places


def test_the_data_are_the_testing_part_of_the_source():
    pictures, digits = load()
    assert (pictures.shape, pictures.dtype, digits.dtype) == ((1797, 8, 8), np.uint8, np.int64)
    assert (pictures.min(), pictures.max()) == (0, 16)
    assert np.bincount(digits).tolist() == COUNTS
    assert digits[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert pictures[0].tolist()[:2] == [[0, 0, 5, 13, 9, 1, 0, 0], [0, 0, 13, 15, 10, 15, 5, 0]]  # the first is a 0
    assert pictures.sum() == 561718


def test_the_data_cannot_be_written_to_by_one_task_for_all():
    for array in load():
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_the_data_and_their_licence_are_in_the_wheel():
    with open(ROOT / "pyproject.toml", "rb") as file:
        patterns = tomllib.load(file)["tool"]["setuptools"]["package-data"]["minilinear.tasks"]
    folder = ROOT / "minilinear" / "tasks"
    assert folder / "data" / "digits.npz" == FILE
    for file in (folder / "data").iterdir():
        assert any(fnmatch(file.relative_to(folder).as_posix(), pattern) for pattern in patterns), file
    licence = (folder / "data" / "LICENSE.txt").read_text("utf-8")
    for words in "Alpaydin", "Kaynak", "10.24432/C50P49", "CC BY 4.0", "What was changed", SHA256:
        assert words in licence


def test_a_file_that_was_touched_is_refused(tmp_path):
    data = bytearray(FILE.read_bytes())
    assert hashlib.sha256(data).hexdigest() == SHA256
    data[20000] ^= 1
    damaged = tmp_path / "digits.npz"
    damaged.write_bytes(data)
    with pytest.raises(RunError, match=r"SHA-256 3ed4c4(.|\n)*digits.npz with [0-9a-f]{64}: damaged(.|\n)*install"):
        load(damaged)
    other = io.BytesIO()
    np.savez(other, pictures=np.zeros((1797, 8, 8), np.uint8), digits=np.zeros(1797, np.uint8))
    damaged.write_bytes(other.getvalue())
    with pytest.raises(RunError, match="SHA-256"):
        load(damaged)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RunError, match=r"come with the library(.|\n)*none.npz: No such file(.|\n)*install"):
        load(tmp_path / "none.npz")


# Reading


@pytest.mark.parametrize(
    ("read", "beginning"),
    [
        ("rows", [range(0, 8), range(8, 16)]),
        ("pixels", [[0], [1]]),
        ("patches", [[0, 1, 8, 9], [2, 3, 10, 11], [4, 5, 12, 13], [6, 7, 14, 15], [16, 17, 24, 25]]),
        ("flat", [range(64)]),
    ],
)
def test_a_picture_is_read_in_the_order_that_it_says(read, beginning):
    task = Digits(read)
    x = task.sequences(NUMBERED)
    assert x.dtype == np.float32
    assert x.shape == (1, *READINGS[read]) == (1, *task.tested, task.features)
    assert x[0, : len(beginning)].tolist() == [list(token) for token in beginning]
    assert sorted(x.ravel()) == list(range(64))


@pytest.mark.parametrize("read", READINGS)
def test_a_batch_is_sequences_of_pictures_with_their_digits(read):
    task = Digits(read)
    known = {task.sequences((p[None] - 5.0) / 6).tobytes(): d for p, d in zip(*load())}
    for x, y in task.batch(stream(0, "batch"), 100), task.evaluation(stream(0, "test"), task.tested[0], 100):
        assert x.shape == (100, *READINGS[read])
        assert (x.dtype, y.dtype, y.shape) == (np.float32, np.int64, (100,))
        assert [known[picture.tobytes()] for picture in x] == y.tolist()


def test_numbers_are_centred_and_of_about_unit_variance():
    x = np.concatenate([x for x, _ in Digits().parts])
    assert abs(x.mean()) < 0.05
    assert abs(x.std() - 1) < 0.05


def test_the_empty_batch():
    x, y = Digits("patches").batch(stream(0, "batch"), 0)
    assert (x.shape, y.shape) == ((0, 16, 4), (0,))


# The split


@pytest.mark.parametrize("held_out", [400, 10, 1, 1796, 899])
def test_the_parts_are_disjoint_whole_and_stratified(held_out):
    training, evaluation = Digits(held_out=held_out).parts
    assert (len(training[0]), len(evaluation[0])) == (1797 - held_out, held_out)
    pictures = [x.tobytes() for part in (training, evaluation) for x in part[0]]
    assert len(set(pictures)) == 1797  # no picture comes twice in the data, so none is in both parts
    share = np.bincount(evaluation[1], minlength=10) - held_out * np.array(COUNTS) / 1797
    assert abs(share).max() < 1


def test_the_split_is_the_same_in_every_process():
    held = stratified(load()[1])[:400]
    assert (
        hashlib.sha256(held.astype("<i8").tobytes()).hexdigest()
        == "87192d1ed25d3fd0d720ca599219a025f2808686fe693b486cab8cb3720dfd58"
    )


def test_each_class_is_shuffled_before_the_cut():
    """Neighbours in the file were written by one person: the held-out ones must not be the first or last of a digit."""
    order = stratified(load()[1])
    assert abs(order[:400].mean() - 898) < 80
    assert abs(np.corrcoef(order, np.arange(1797))[0, 1]) < 0.1


def test_batches_come_from_the_training_part_and_evaluations_from_the_other():
    task = Digits("flat")
    training, held_out = ({x.tobytes() for x in part[0]} for part in task.parts)
    x, _ = task.batch(stream(0, "batch"), 20_000)
    assert {row.tobytes() for row in x} == training
    x, _ = task.evaluation(stream(0, "test"), 1, 400)
    assert {row.tobytes() for row in x} == held_out


def test_an_evaluation_has_each_picture_once_and_at_most_all():
    task = Digits()
    assert len(task.evaluation(stream(0, "test"), 8, 5000)[0]) == 400
    some = task.evaluation(stream(0, "test"), 8, 100)[0]
    assert len({x.tobytes() for x in some}) == 100


def test_tasks_draw_from_the_generator_alone():
    for first, second in [(Digits(), Digits()), (Digits("patches"), Digits("patches"))]:
        for a, b in zip(first.batch(stream(3, "batch", 7), 9), second.batch(stream(3, "batch", 7), 9)):
            assert (a == b).all()
        length = first.tested[0]
        a, b = (t.evaluation(stream(3, "test"), length, 9)[0] for t in (first, second))
        assert (a == b).all()
        assert (first.batch(stream(3, "batch", 8), 9)[0] != first.batch(stream(3, "batch", 7), 9)[0]).any()


# Options, config, score


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"read": "columns"}, r"rows, pixels, patches, flat(.|\n)*'columns'"),
        ({"read": None}, "rows, pixels, patches, flat"),
        ({"read": ["rows"]}, "rows, pixels, patches, flat"),
        ({"held_out": 0}, "1 to 1796"),
        ({"held_out": 1797}, "1 to 1796"),
        ({"held_out": 0.2}, "1 to 1796"),
        ({"held_out": True}, "1 to 1796"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        Digits(**options)


@pytest.mark.parametrize("length", [0, 7, 9, 64])
def test_a_picture_has_one_length(length):
    with pytest.raises(ConfigError, match=r"sequence of 8(.|\n)*length=8"):
        Digits().evaluation(stream(0, "test"), length, 2)


def test_the_config_makes_the_task_again():
    task = Digits("patches", held_out=300)
    config = json.loads(json.dumps(task.config()))
    again = Digits(**config["options"])
    assert config["name"] == "digits"
    assert config["sha256"] == SHA256
    assert again.config() == config
    assert (again.read, again.held_out, again.tokens) == ("patches", 300, 16)


def test_what_training_needs_to_know_is_there():
    for read, (T, F) in READINGS.items():
        task = Digits(read)
        assert (task.kind, task.features, task.tested, task.chance) == ("classifier", F, (T,), 0.1)
        assert task.vocabulary == ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
        chunk = task.shape["chunk"]
        assert chunk & (chunk - 1) == 0
        assert task.shape.keys() <= {"D", "layers", "hidden", "chunk"}
        assert task.training.keys() <= {"steps", "batch", "lr", "warmup"}


def test_accuracy_is_the_part_of_highest_scores_that_are_right():
    task, targets = Digits(), np.array([3, 1, 4, 1])
    outputs = np.full((4, 10), -1.0)
    outputs[[0, 1, 2, 3], [3, 1, 4, 2]] = 0.5
    assert task.score(outputs, targets) == {"accuracy": 0.75}
    assert task.score(-outputs[:2], targets[:2]) == {"accuracy": 0.0}
    assert task.score(np.eye(10)[load()[1]], load()[1]) == {"accuracy": 1.0}


def test_guessing_is_right_as_often_as_chance_says():
    task = Digits()
    _, digits = task.parts[0]
    guesses = stream(0, "guess").random((20, len(digits), 10))
    assert abs(np.mean([task.score(g, digits)["accuracy"] for g in guesses]) - task.chance) < 0.01


@pytest.mark.parametrize(
    ("outputs", "targets"),
    [((4, 9), (4,)), ((4, 10), (5,)), ((4, 10), (4, 1)), ((0, 10), (0,)), ((10,), (1,)), ((4, 8, 10), (4,))],
)
def test_scores_of_another_shape_are_refused(outputs, targets):
    with pytest.raises(ShapeError, match=r"outputs \(B, 10\) and targets \(B,\)"):
        Digits().score(np.zeros(outputs), np.zeros(targets, int))


def test_scores_for_every_token_are_told_what_is_wanted():
    with pytest.raises(ShapeError, match="not one for a token"):
        Digits().score(np.zeros((4, 8, 10)), np.zeros(4, int))


def test_the_nearest_training_picture_tells_the_digit():
    """An oracle of the labels: one nearest neighbour is known to be right about 98 times of 100 on these data."""
    (x, y), (held_x, held_y) = Digits("flat").parts
    squares = (x**2).sum((1, 2)) - 2 * held_x[:, 0] @ x[:, 0].T  # but for a constant of each row
    assert (y[squares.argmin(1)] == held_y).mean() > 0.97


def test_all_tasks_share_one_copy_of_the_data():
    assert load() is load()
