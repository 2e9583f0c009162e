"""Any UTF-8 text becomes windows and their next characters; anything else is refused with its reason."""

import hashlib
import json
import sys
from pydoc_data.topics import topics

import numpy as np
import pytest

from minilinear.errors import ConfigError
from minilinear.randomness import stream
from minilinear.tasks import Text, task, task_from_config

LETTERS = "".join(chr(97 + i * i % 26) for i in range(1000))


@pytest.fixture
def file(tmp_path):
    def write(content: str | bytes):
        path = tmp_path / "text.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_the_default_text_is_pythons_reference():
    text, whole = Text(), "\n".join(topics[name] for name in sorted(topics))
    config = text.config()
    assert config["sha256"] == hashlib.sha256(whole.encode()).hexdigest()
    assert config["characters"] == len(whole) > 300_000
    assert config["vocabulary"] == "".join(sorted(set(whole)))
    assert config["source"].startswith("pydoc_data.topics of Python 3.")


def test_the_topics_are_joined_in_the_order_of_their_names(monkeypatch):
    monkeypatch.setattr("pydoc_data.topics.topics", {"b": "B" * 500, "a": "A" * 500})
    assert Text(length=8).sha256 == hashlib.sha256(b"A" * 500 + b"\n" + b"B" * 500).hexdigest()


def test_targets_are_the_next_characters_and_come_from_the_training_part(file):
    text = Text(file(LETTERS), length=20)
    inputs, targets = text.batch(stream(0, "batch"), 500)
    assert inputs.shape == targets.shape == (500, 20)
    assert inputs.dtype == targets.dtype == np.int64
    for x, y in zip(inputs, targets):
        assert text.decode(x)[1:] == text.decode(y)[:-1]
        assert text.decode(x) + text.decode(y)[-1] in LETTERS[:900]


def numbered(n: int) -> str:
    """A text whose characters all differ: a token is its own position."""
    return "".join(map(chr, range(0x4E00, 0x4E00 + n)))


def test_windows_reach_both_ends_of_the_training_part_and_never_beyond(file):
    text = Text(file(numbered(100)), length=5, held_out=0.2)
    inputs, targets = text.batch(stream(0, "batch"), 5000)
    assert (targets == inputs + 1).all()
    assert (inputs.min(), targets.max()) == (0, 79)
    inputs, targets = text.evaluation(stream(0, "test"), 7, 5000)
    assert (inputs.min(), targets.max(), inputs.shape) == (80, 99, (5000, 7))


@pytest.mark.parametrize("length", [1, 4, 5, 19, 20, 300])
def test_held_out_windows_count_each_character_but_the_first_once(file, length):
    text = Text(file(numbered(100)), length=5, held_out=0.2)
    inputs, targets = text.held_out_windows(length)
    assert inputs.shape == targets.shape == (-(-19 // length), length)
    counted = targets >= 0
    assert targets[counted].tolist() == list(range(81, 100))
    assert inputs[counted].tolist() == list(range(80, 99))
    assert (inputs[~counted] == 0).all()


def test_held_out_windows_stop_at_the_limit(file):
    text = Text(file(numbered(100)), length=5, held_out=0.2)
    assert text.held_out_windows()[0].tolist() == np.arange(80, 100).reshape(4, 5).tolist()[:3] + [[95, 96, 97, 98, 0]]
    assert text.held_out_windows(limit=2)[1].tolist() == np.arange(81, 91).reshape(2, 5).tolist()


def test_encode_and_decode_are_inverses(file):
    text = Text(file("häßlich 😀\n" * 100), length=8)
    assert text.vocabulary == sorted(set("häßlich 😀\n"))
    ids = text.encode("😀 häß")
    assert ids.dtype == np.int64
    assert text.decode(ids) == text.decode(ids.tolist()) == "😀 häß"
    assert text.encode("").shape == (0,)
    assert text.decode([]) == ""


def test_a_character_outside_the_vocabulary_is_named_with_its_position(file):
    text = Text(file(LETTERS), length=8)
    with pytest.raises(ConfigError, match=r"'é' \(U\+00E9\) at position 2(.|\n)*known ones"):
        text.encode("abéç")
    with pytest.raises(ConfigError, match=r"U\+D800\) at position 0"):
        text.encode("\ud800")


@pytest.mark.parametrize(("ids", "where"), [([0, 999], "999 at position 1"), ([-1], "-1 at position 0")])
def test_an_id_outside_the_vocabulary_is_named_with_its_position(file, ids, where):
    with pytest.raises(ConfigError, match=where):
        Text(file(LETTERS), length=8).decode(ids)


def test_the_same_text_from_another_system_is_the_same_task(file):
    content = "one\ntwo\n" * 50
    plain = Text(file(content), length=8).config()
    for other in (
        b"\xef\xbb\xbf" + content.encode(),
        content.replace("\n", "\r\n").encode(),
        content.replace("\n", "\r").encode(),
    ):
        assert Text(file(other), length=8).config() == plain
    assert plain["sha256"] == hashlib.sha256(content.encode()).hexdigest()


def test_the_task_is_made_again_from_its_config_unless_the_file_changed(file):
    path = file(LETTERS)
    made = task("text", file=path, length=30, held_out=0.3)
    config = json.loads(json.dumps(made.config()))
    assert task_from_config(config).config() == config
    assert config["training_characters"] == 700
    file(LETTERS + "!")
    with pytest.raises(ConfigError, match=r"the one that the run began with(.|\n)*sha256(.|\n)*text.txt"):
        task_from_config(config)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf \n\n", "is empty"),
        (b"abc\0def", "zero byte at offset 3"),
        ("grün".encode("latin-1"), "byte 0xfc at offset 2(.|\n)*latin-1"),
        (b"\xef\xbb\xbfab\xff", "byte 0xff at offset 5"),
        ("text".encode("utf-16"), "byte 0xff at offset 0(.|\n)*utf-16"),
        (b"a" * 100, r"hold 16 \+ 1 characters(.|\n)*90 \+ 10 characters(.|\n)*length=9 or less"),
        (b"a", "a longer text"),
    ],
)
def test_a_file_that_is_no_such_text_says_why(file, content, message):
    with pytest.raises(ConfigError, match=message):
        Text(file(content), length=16)


def test_the_shortest_text_that_fits(file):
    assert Text(file("a" * 180), length=16, held_out=0.1).evaluation(stream(0, "test"), 16, 1)[0].shape == (1, 16)
    with pytest.raises(ConfigError, match="hold 18"):
        Text(file("a" * 180), length=18, held_out=0.1)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none.txt: No such file"):
        Text(tmp_path / "none.txt")
    with pytest.raises(ConfigError, match=": a folder"):
        Text(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 0}, "length is a number"),
        ({"length": 2.5}, "length is a number"),
        ({"held_out": 0}, "held_out is a part"),
        ({"held_out": 1.0}, "held_out is a part"),
        ({"held_out": "0.1"}, "held_out is a part"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        Text(**options)


def test_a_window_longer_than_its_part_is_refused(file):
    text = Text(file(LETTERS), length=8)
    assert text.evaluation(stream(0, "test"), 99, 2)[0].shape == (2, 99)
    for length in (100, 0):
        with pytest.raises(ConfigError, match="length=99 or less"):
            text.evaluation(stream(0, "test"), length, 2)
    with pytest.raises(ConfigError, match="at least one character"):
        text.held_out_windows(0)


def test_a_python_without_the_topics_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(ConfigError, match=r"without pydoc_data(.|\n)*file=FILE"):
        Text()
