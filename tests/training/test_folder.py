"""A run's files are whole, in valid JSON, and written by one process at a time."""

import errno
import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

from minilinear.errors import ConfigError, RunError
from minilinear.training import folder as folder_module
from minilinear.training.atomic import atomic_write
from minilinear.training.folder import RunFolder


@pytest.fixture
def folder(tmp_path):
    return RunFolder.create(tmp_path, "s3-seed0")


# Which folder.


def test_a_name_that_is_taken_gets_a_number(tmp_path):
    made = [RunFolder.create(tmp_path / "runs", "s3-seed0").path for _ in range(3)]
    assert [path.name for path in made] == ["s3-seed0", "s3-seed0-2", "s3-seed0-3"]
    assert all(path.is_dir() for path in made)


CREATES = """
import sys
from minilinear.training.folder import RunFolder
sys.stdin.readline()
for _ in range(50):
    print(RunFolder.create(sys.argv[1], "run").path)
"""


def test_processes_that_begin_together_get_folders_of_their_own(tmp_path):
    command, pipe = [sys.executable, "-c", CREATES, str(tmp_path)], subprocess.PIPE
    children = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(2)]
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    made = [path for child in children for path in child.communicate()[0].splitlines()]
    assert len(set(made)) == len(made) == 100


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "a\\b", "a b", "a:b", "a\n"])
def test_a_name_that_is_no_folders_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match="A run's name"):
        RunFolder.create(tmp_path, name)


def test_a_new_run_needs_an_empty_folder(tmp_path):
    assert RunFolder.new(tmp_path / "a" / "b").path.is_dir()
    with RunFolder.new(tmp_path / "a" / "b") as folder:  # there and empty, now but for the lock
        RunFolder.new(folder.path)
        folder.write_config({})
    with pytest.raises(ConfigError, match=r"not empty(.|\n)*config.json(.|\n)*--resume"):
        RunFolder.new(folder.path)
    for path in (folder.config, folder.config / "run"):
        with pytest.raises(ConfigError, match="A run is a folder"):
            RunFolder.new(path)


def test_a_parent_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="Cannot make the folder"):
        RunFolder.create(tmp_path / "file", "run")


def test_only_a_run_that_has_begun_can_go_on(folder, tmp_path):
    with pytest.raises(RunError, match=r"no run here(.|\n)*without config.json"):
        RunFolder.existing(folder.path)
    with pytest.raises(RunError, match="no folder"):
        RunFolder.existing(tmp_path / "none")
    folder.write_config({"task": "s3"})
    assert RunFolder.existing(folder.path).read_config() == {"task": "s3"}


# JSON files.


def test_config_and_result_come_back(folder):
    folder.write_config({"task": "s3", "lengths": (3, 32), "lr": 5e-3, "file": folder.path, "ü": None})
    expected = {"task": "s3", "lengths": [3, 32], "lr": 5e-3, "file": str(folder.path), "ü": None}
    assert folder.read_config() == expected
    folder.write_result({"accuracy": np.float32(0.5), "seeds": np.arange(3), "done": np.bool_(True)})
    assert folder.read_result() == {"accuracy": 0.5, "seeds": [0, 1, 2], "done": True}
    assert folder.result.read_text().count("\n") > 3  # for people to read


def test_what_is_not_finite_is_written_as_null(folder):
    bad = {"step": 1, "loss": float("nan"), "norms": [np.float32("inf"), 1.0], "deep": {"a": np.array([-np.inf, 2])}}
    folder.append_metrics(bad)
    folder.write_result(bad)
    clean = {"step": 1, "loss": None, "norms": [None, 1.0], "deep": {"a": [None, 2.0]}}

    def refuse(constant):
        raise AssertionError(constant)

    assert json.loads(folder.metrics.read_text(), parse_constant=refuse) == clean
    assert json.loads(folder.result.read_text(), parse_constant=refuse) == clean


def test_a_file_that_cannot_be_read_is_named(folder):
    with pytest.raises(RunError, match=r"no result.json"):
        folder.read_result()
    for content in (b'{"task":', b"[1]", b"\xff", b""):
        folder.config.write_bytes(content)
        with pytest.raises(RunError, match=r"config.json is damaged"):
            folder.read_config()
    folder.result.mkdir()
    with pytest.raises(RunError, match=r"Cannot (read|write)(.|\n)*result.json"):
        folder.read_result()


def test_a_replaced_file_is_whole_and_leaves_no_litter(tmp_path):
    path = tmp_path / "file"
    for data in (b"first", b"", b"\0" * 100_000):
        atomic_write(path, data)
        assert path.read_bytes() == data
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_cannot_be_synced_is_no_obstacle(tmp_path, monkeypatch):
    real, synced = os.fsync, []

    def fsync(file):
        synced.append(file)
        if len(synced) == 2:
            raise OSError(errno.EINVAL, "Invalid argument")
        real(file)

    monkeypatch.setattr(os, "fsync", fsync)
    atomic_write(tmp_path / "file", b"data")
    assert (tmp_path / "file").read_bytes() == b"data"


# Metrics.


def test_each_line_is_there_as_soon_as_it_is_written(folder):
    assert folder.read_metrics() == []
    for step in range(3):
        folder.append_metrics({"step": step, "loss": 1 / 3})
        assert folder.read_metrics()[-1] == {"step": step, "loss": 1 / 3}
    assert folder.metrics.read_bytes().count(b"\n") == 3


@pytest.mark.parametrize("metrics", [{}, {"loss": 1.0}, {"step": 1.0}, {"step": None}, {"step": True}])
def test_a_line_needs_its_step(folder, metrics):
    with pytest.raises(ConfigError, match=r'"step"'):
        folder.append_metrics(metrics)


def test_resuming_forgets_the_later_steps(folder):
    lines = [{"step": step, "loss": 0.1 * step, "text": "ü\n"} for step in range(10)]
    for line in lines:
        folder.append_metrics(line)
    before = folder.metrics.read_bytes()
    assert folder.truncate_after(9) == 10
    assert folder.metrics.read_bytes() == before
    assert folder.truncate_after(4) == 5
    assert folder.read_metrics() == lines[:5]
    folder.append_metrics(lines[5])
    assert folder.read_metrics() == lines[:6]
    assert folder.truncate_after(-1) == 0
    assert folder.metrics.read_bytes() == b""


def test_without_metrics_there_is_nothing_to_forget(folder):
    assert folder.truncate_after(3) == 0
    assert not folder.metrics.exists()


def test_a_line_cut_at_any_byte_is_left_out_and_mended(folder):
    folder.append_metrics({"step": 1, "loss": 0.5})
    whole = folder.metrics.read_bytes()
    folder.append_metrics({"step": 12, "loss": 0.25})
    both = folder.metrics.read_bytes()
    for end in range(len(whole), len(both) + 1):
        folder.metrics.write_bytes(both[:end])
        complete = end >= len(both) - 1  # only the newline may be missing
        assert [line["step"] for line in folder.read_metrics()] == ([1, 12] if complete else [1])
        folder.truncate_after(12)
        folder.append_metrics({"step": 13})
        assert [line["step"] for line in folder.read_metrics()] == ([1, 12, 13] if complete else [1, 13])


def test_a_damaged_line_before_the_last_is_named(folder):
    folder.metrics.write_bytes(b'{"step": 1}\n{"step": \n{"step": 3}\n')
    for read in (folder.read_metrics, lambda: folder.truncate_after(3)):
        with pytest.raises(RunError, match="damaged in line 2"):
            read()


# The lock.


def test_a_second_writer_is_refused_and_told_who_the_first_is(folder):
    with folder:
        for _ in range(2):
            with (
                pytest.raises(RunError, match=rf"Another process is writing(.|\n)*process {os.getpid()} on "),
                RunFolder(folder.path),
            ):
                pass
    with RunFolder(folder.path):
        pass
    with folder:
        pass


def test_the_lock_names_its_holder_and_nobody_before(folder):
    (folder.path / ".lock").write_text("process 1 on a machine with quite a long name\n" * 2)
    with folder:
        held_by = f"process {os.getpid()} on {socket.gethostname()}\n"
        assert (folder.path / ".lock").read_text() == held_by


HOLDS = """
import sys, time
from minilinear.training.folder import RunFolder
with RunFolder(sys.argv[1]) as folder:
    (folder.path / ".config.json.1.tmp").write_bytes(b"half")
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_killed_writer_holds_nothing_and_its_litter_is_swept(folder):
    with subprocess.Popen([sys.executable, "-c", HOLDS, str(folder.path)], stdout=subprocess.PIPE) as child:
        assert child.stdout.readline().strip() == b"held"
        with pytest.raises(RunError, match=rf"process {child.pid} on "), folder:
            pass
        child.kill()
    assert (folder.path / ".lock").exists()
    with folder:
        assert sorted(file.name for file in folder.path.iterdir()) == [".lock"]


def test_a_failure_inside_releases_the_lock(folder):
    with pytest.raises(KeyboardInterrupt), folder:
        raise KeyboardInterrupt
    with folder:
        pass


def test_a_folder_that_is_gone_or_cannot_lock_is_named(folder, monkeypatch):
    with pytest.raises(RunError, match=r"Cannot lock(.|\n)*make the folder"), RunFolder(folder.path / "none"):
        pass

    def refuse(_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(folder_module, "try_to_lock", refuse)
    with pytest.raises(RunError, match=r"Cannot lock(.|\n)*No locks available(.|\n)*local disk"), folder:
        pass
