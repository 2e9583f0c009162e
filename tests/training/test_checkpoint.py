"""A checkpoint comes back as it was, or not at all; and a killed writer leaves a whole one."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors.numpy import save_file

from minilinear.errors import ConfigError, RunError
from minilinear.training import checkpoint
from minilinear.training.checkpoint import load_checkpoint, previous, save_checkpoint

ARRAYS = {
    "weight": np.arange(12, dtype=np.float32).reshape(3, 4).T,  # not contiguous
    "half": np.array([1.5, np.nan, np.inf], np.float16),
    "double": np.random.default_rng(0).standard_normal((2, 3, 2)),
    "scalar": np.array(3.25),
    "empty": np.zeros((0, 3), np.float32),
    "mask": np.array([True, False]),
    "big endian": np.arange(5, dtype=">i4"),
    "bytes": np.arange(3, dtype=np.uint8)[::-1],
    "müde\n": np.array([-1], np.int64),
}
METADATA = {"step": 7, "loss": 0.1, "name": "s3 — ü", "config": {"layers": [1, 2], "gate": None, "tied": True}}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoint.safetensors"


def test_arrays_and_metadata_come_back_as_they_were(path):
    save_checkpoint(path, ARRAYS, METADATA)
    arrays, metadata = load_checkpoint(path)
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert (arrays[name].dtype, arrays[name].shape) == (array.dtype.newbyteorder("="), array.shape)
        assert np.array_equal(arrays[name], array, equal_nan=array.dtype.kind == "f")
    assert metadata == METADATA
    assert type(metadata["step"]) is int
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name]


@pytest.mark.parametrize("kind", ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"])
def test_every_kind_of_number_comes_back(path, kind):
    save_checkpoint(path, {"x": np.array([[0, 1], [1, 1]], kind)}, {})
    x = load_checkpoint(path)[0]["x"]
    assert x.dtype == np.dtype(kind)
    assert x.tolist() == [[0, 1], [1, 1]]


def test_nothing_at_all_comes_back(path):
    save_checkpoint(path, {}, {})
    assert load_checkpoint(path) == ({}, {})


def test_what_was_loaded_can_be_written_to_and_does_not_hang_on_the_file(path):
    save_checkpoint(path, {"x": np.ones(1000)}, {})
    x = load_checkpoint(path)[0]["x"]
    path.write_bytes(bytes(path.stat().st_size))
    assert (x == 1).all()
    x += 1


def test_one_flipped_bit_anywhere_is_noticed(path):
    save_checkpoint(path, ARRAYS, METADATA)
    good = path.read_bytes()
    for position in range(len(good)):
        flipped = bytearray(good)
        flipped[position] ^= 1 << (position % 8)
        path.write_bytes(flipped)
        with pytest.raises(RunError):
            load_checkpoint(path)


def test_every_bit_of_the_numbers_counts(path):
    save_checkpoint(path, {"x": np.arange(4, dtype=np.float32)}, {})
    good = path.read_bytes()
    for bit in range(128):
        flipped = bytearray(good)
        flipped[len(good) - 16 + bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(flipped)
        with pytest.raises(RunError, match=r"damaged(.|\n)*SHA-256"):
            load_checkpoint(path)


def test_a_file_cut_short_or_too_long_is_noticed(path):
    save_checkpoint(path, ARRAYS, METADATA)
    good = path.read_bytes()
    for content in [good[:n] for n in range(0, len(good), 7)] + [good + b"\0", good + good, bytes(len(good))]:
        path.write_bytes(content)
        with pytest.raises(RunError, match="damaged, or not a checkpoint"):
            load_checkpoint(path)


def test_two_exchanged_arrays_are_noticed(path):
    save_checkpoint(path, {"a": np.zeros(2), "b": np.ones(2)}, {})
    data = path.read_bytes()
    path.write_bytes(data[:-32] + data[-16:] + data[-32:-16])
    with pytest.raises(RunError, match="SHA-256"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "change",
    [
        {"arrays": {"y": np.zeros(4, np.float32)}},
        {"arrays": {"x": np.zeros((2, 2), np.float32)}},
        {"arrays": {"x": np.zeros(4, np.int32)}},
        {"metadata": '{"step": 8}'},
    ],
    ids=["name", "shape", "dtype", "metadata"],
)
def test_the_digest_covers_names_shapes_dtypes_and_metadata(change):
    one = {"arrays": {"x": np.zeros(4, np.float32)}, "metadata": '{"step": 7}'}
    assert checkpoint._digest(**one) != checkpoint._digest(**(one | change))


def test_a_safetensors_file_from_elsewhere_is_no_checkpoint(path):
    save_file({"x": np.ones(2)}, path, metadata={"format": "np"})
    with pytest.raises(RunError, match="without our digest"):
        load_checkpoint(path)


def test_the_one_before_is_kept_and_named_when_the_last_is_damaged(path):
    for step in (1, 2, 3):
        save_checkpoint(path, {"x": np.full(3, step)}, {"step": step})
    assert previous(path).name == "checkpoint.prev.safetensors"
    assert load_checkpoint(path)[1] == {"step": 3}
    assert load_checkpoint(previous(path))[1] == {"step": 2}
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RunError, match=r"rename checkpoint.prev.safetensors to checkpoint.safetensors and resume"):
        load_checkpoint(path)
    path.unlink()
    with pytest.raises(RunError, match=r"no checkpoint here(.|\n)*rename checkpoint.prev"):
        load_checkpoint(path)
    previous(path).rename(path)
    assert load_checkpoint(path)[1] == {"step": 2}


def test_a_missing_checkpoint_and_a_folder_in_its_place_are_named(path):
    with pytest.raises(RunError, match=r"no checkpoint here(.|\n)*no earlier checkpoint"):
        load_checkpoint(path)
    path.mkdir()
    with pytest.raises(RunError, match="damaged, or not a checkpoint"):
        load_checkpoint(path)
    with pytest.raises(RunError, match="Cannot read"):
        save_checkpoint(path, {}, {})


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(RunError, match=r"Cannot write(.|\n)*make the folder"):
        save_checkpoint(tmp_path / "none" / "checkpoint.safetensors", {}, {})


LONG = pytest.param(
    np.array([1], np.longdouble),
    marks=pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="here a long double is a double"),
)


@pytest.mark.parametrize("array", [np.array(["text"]), np.array([None]), np.array([1j]), LONG])
def test_an_array_that_the_file_cannot_hold_is_named(path, array):
    with pytest.raises(ConfigError, match="got: weight: "):
        save_checkpoint(path, {"weight": array}, {})
    assert not path.exists()


@pytest.mark.parametrize(
    "value", [float("nan"), [float("inf")], (1, 2), {1: "a"}, np.arange(2), {1, 2}, object(), np.int64(1)]
)
def test_metadata_that_json_would_change_is_named(path, value):
    with pytest.raises(ConfigError, match="got: 'note': "):
        save_checkpoint(path, {}, {"step": 1, "note": value})
    assert not path.exists()


def test_a_failed_write_leaves_the_old_one_and_no_litter(path, monkeypatch):
    save_checkpoint(path, {"x": np.ones(3)}, {"step": 1})

    def full(*_):
        raise OSError(28, "No space left on device")

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patched:
            patched.setattr(os, name, full)
            with pytest.raises(RunError, match=r"No space left(.|\n)*free some space"):
                save_checkpoint(path, {"x": np.zeros(3)}, {"step": 2})
        assert load_checkpoint(path)[1] == {"step": 1}
        assert not list(path.parent.glob(".*"))


DIES = """
import os, sys, numpy as np
from pathlib import Path
from minilinear.training.checkpoint import save_checkpoint
calls, last = 0, int(sys.argv[2])
def dying(function):
    def call(*arguments):
        global calls
        calls += 1
        if calls == last:
            os._exit(9)
        return function(*arguments)
    return call
os.fsync, os.replace = dying(os.fsync), dying(os.replace)
save_checkpoint(Path(sys.argv[1]), {"x": np.full(1000, 3)}, {"step": 3})
"""


def test_a_writer_that_dies_at_any_moment_leaves_the_old_one_or_the_new_one(path):
    for step in (1, 2):
        save_checkpoint(path, {"x": np.full(1000, step)}, {"step": step})
    found = []
    for call in range(1, 20):
        child = subprocess.run([sys.executable, "-c", DIES, str(path), str(call)])
        for file in (path, previous(path)):
            arrays, metadata = load_checkpoint(file)
            assert (arrays["x"] == metadata["step"]).all()
        found.append(load_checkpoint(path)[1]["step"])
        if child.returncode == 0:
            break
    assert child.returncode == 0
    assert len(found) >= 5  # twice: sync, rename, and on POSIX sync the folder; then once to the end
    assert found == sorted(found)
    assert set(found) == {2, 3}


WRITES = """
import sys, numpy as np
from itertools import count
from pathlib import Path
from minilinear.training.checkpoint import save_checkpoint
for step in count():
    save_checkpoint(Path(sys.argv[1]), {"x": np.full(200_000, step)}, {"step": step})
    print(step, flush=True)
"""


@pytest.mark.parametrize("delay", [0.0, 0.004, 0.009])
def test_a_killed_writer_leaves_a_whole_one(path, delay):
    with subprocess.Popen([sys.executable, "-c", WRITES, str(path)], stdout=subprocess.PIPE) as child:
        child.stdout.readline(), child.stdout.readline()
        time.sleep(delay)
        child.kill()
        written = [1, *map(int, child.stdout.read().split())]
    arrays, metadata = load_checkpoint(path)
    assert metadata["step"] in (written[-1], written[-1] + 1)
    assert (arrays["x"] == metadata["step"]).all()
    assert (load_checkpoint(previous(path))[0]["x"] >= 0).all()
