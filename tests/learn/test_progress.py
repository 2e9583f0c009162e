"""The progress file: whole after every change, never written by two, and nothing in it lost."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from minilinear.errors import ConfigError, RunError
from minilinear.learn import progress as module
from minilinear.learn.progress import Progress, fingerprint


@pytest.fixture
def progress(tmp_path):
    return Progress.begin(tmp_path, {"title": "A course", "version": "1", "folder": None})


def on_disk(progress):
    return json.loads(progress.path.read_text("utf-8"))


def test_a_check_is_recorded_with_score_attempts_and_the_hash_of_what_passed(progress):
    progress.record("a-1", passed=False, score=4, text="x = 1", version="1")
    progress.record("a-1", passed=False, score=3, text="x = 2", version="1")
    progress.record("a-1", passed=True, score=10, text="x = 3", version="2")
    entry = on_disk(progress)["exercises"]["a-1"]
    assert (entry["state"], entry["score"], entry["best"], entry["attempts"]) == ("passed", 10, 10, 3)
    assert entry["sha256"] == fingerprint("x = 3") and entry["version"] == "2"


def test_the_best_score_stays_and_the_last_one_is_said(progress):
    progress.record("a-1", passed=False, score=6, text="x = 1", version="1")
    progress.record("a-1", passed=False, score=2, text="x = 2", version="1")
    entry = progress.entry("a-1")
    assert entry["best"] == 6 and entry["score"] == 2


def test_the_same_text_again_and_a_stub_are_no_attempts(progress):
    progress.record("a-1", passed=False, score=0, text="stub", version="1", begun=False)
    assert progress.entry("a-1")["attempts"] == 0 and progress.status("a-1", "stub") == "new"
    for _ in range(2):
        progress.record("a-1", passed=False, score=1, text="x = 1", version="1")
    assert progress.entry("a-1")["attempts"] == 1 and progress.status("a-1", "x = 1") == "begun"


def test_a_file_that_changed_since_it_passed_shows_as_changed(progress):
    progress.record("a-1", passed=True, score=10, text="x = 1\n", version="1")
    assert progress.status("a-1", "x = 1\n") == "passed"
    assert progress.status("a-1", "x = 1\r\n") == "passed"  # another system's line ends are no change
    assert progress.status("a-1", "x = 2\n") == "changed"
    assert progress.status("a-1", None) == "changed"
    progress.record("a-1", passed=False, score=0, text="x = 2\n", version="1")
    assert progress.status("a-1", "x = 2\n") == "changed" and progress.done("a-1")


def test_giving_up_lets_one_go_on_and_stays_marked_after_a_pass(progress):
    assert not progress.done("a-1")
    progress.give_up("a-1")
    assert progress.done("a-1") and progress.status("a-1", "") == "given up"
    progress.record("a-1", passed=True, score=10, text="x", version="1")
    assert progress.status("a-1", "x") == "passed" and progress.entry("a-1")["given_up"]


def test_hints_count_up_to_the_last(progress):
    assert [progress.hint("a-1", 3) for _ in range(4)] == [1, 2, 3, 3]
    assert progress.entry("a-1")["score"] == 0 and on_disk(progress)["exercises"]["a-1"]["hints"] == 3


def test_a_restart_keeps_the_best_score_only(progress):
    progress.record("a-1", passed=True, score=10, text="x", version="1")
    progress.restart("a-1")
    assert progress.status("a-1", "x") == "new" and not progress.done("a-1")
    assert progress.entry("a-1")["best"] == 10


def test_time_counts_between_signs_of_life_on_one_exercise_and_not_over_a_pause(progress, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(module.time, "time", lambda: now[0])
    for name, passes in [("a-1", 0), ("a-1", 60), ("a-1", module.PAUSE + 1), ("a-2", 30), ("a-2", 5), ("a-1", 7)]:
        now[0] += passes
        progress.work_on(name)
    assert progress.entry("a-1")["seconds"] == 60
    assert progress.entry("a-2")["seconds"] == 5
    assert progress.active == "a-1"


def test_what_is_not_known_is_kept(progress):
    document = on_disk(progress) | {"later": [1], "exercises": {"from-another-course": {"score": 7, "odd": True}}}
    progress.path.write_text(json.dumps(document))
    progress.work_on("a-1")
    progress.set("door", "zero")
    kept = on_disk(progress)
    assert kept["later"] == [1] and kept["exercises"]["from-another-course"] == {"score": 7, "odd": True}
    assert kept["door"] == "zero" and "a-1" in kept["exercises"]


def test_begin_keeps_a_file_that_is_there(progress):
    progress.hint("a-1", 3)
    again = Progress.begin(progress.path.parent, {"title": "another"})
    assert again.entry("a-1")["hints"] == 1 and again.document["course"]["title"] == "A course"


def test_two_writers_lose_nothing(progress):
    others = [Progress(progress.path.parent) for _ in range(4)]
    others[0].hint("a-9", 3)
    others[1].set("door", "zero")
    assert on_disk(progress)["exercises"]["a-9"]["hints"] == 1

    def write(one, name):
        for number in range(10):
            one.record(name, passed=False, score=number, text=str(number), version="1")

    threads = [threading.Thread(target=write, args=(one, f"a-{i}")) for i, one in enumerate(others)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [on_disk(progress)["exercises"][f"a-{i}"]["attempts"] for i in range(4)] == [10] * 4


def test_another_process_that_holds_the_lock_is_waited_for_and_then_named(progress, monkeypatch):
    code = "import sys; sys.stdin.readline()"
    hold = (
        "import os; from minilinear.training.lock import try_to_lock\n"
        f"lock = os.open({str(progress.path.with_name('.lock'))!r}, os.O_RDWR | os.O_CREAT)\n"
        f"try_to_lock(lock); print('held', flush=True); {code}"
    )
    monkeypatch.setattr(module, "WAIT", 0.05)
    with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline().strip() == b"held"
        with pytest.raises(RunError, match="Cannot lock"):
            progress.hint("a-1", 3)
        monkeypatch.setattr(module, "WAIT", 30.0)
        threading.Timer(0.2, other.stdin.close).start()
        assert progress.hint("a-1", 3) == 1


def test_a_crash_while_writing_leaves_the_old_file(progress, monkeypatch):
    progress.hint("a-1", 3)
    before = progress.path.read_bytes()

    def crash(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        progress.hint("a-1", 3)
    assert progress.path.read_bytes() == before


def test_a_crash_inside_a_change_releases_the_lock(progress, monkeypatch):
    monkeypatch.setattr(module, "WAIT", 0.05)
    with pytest.raises(ZeroDivisionError), progress._changed("a-1"):
        1 / 0  # noqa: B018
    assert progress.hint("a-1", 3) == 1 and time.time() > 0


@pytest.mark.parametrize("text", ["", "{", "[]", '{"exercises": 3}', "\xff"])
def test_a_damaged_file_is_said_and_left_alone(progress, text):
    progress.path.write_bytes(text.encode("latin1"))
    with pytest.raises(RunError, match="is damaged"):
        Progress(progress.path.parent)
    assert progress.path.read_bytes() == text.encode("latin1")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"exercises": {"a-1": "passed"}}, 'exercises: a-1 is "passed"'),
        ({"exercises": {"a-1": {"best": "y"}}}, 'a-1: best is "y"'),
        ({"exercises": {"a-1": {"sha256": None}}}, "a-1: sha256 is null"),
        ({"exercises": {}, "active": "foo"}, 'active is "foo"'),
        ({"exercises": {}, "active": {"id": "a-1", "at": "now"}}, 'active: at is "now"'),
        ({"exercises": {}, "course": []}, r"course is \[\]"),
        ({"exercises": {}, "course": {"folder": 3}}, "course: folder is 3"),
        ({"exercises": {}, "used": [["linear-1"]]}, r'used: an id is \["linear-1"\]'),
    ],
)
def test_a_value_of_another_kind_is_damage(progress, document, words):
    progress.path.write_text(json.dumps(document))
    with pytest.raises(RunError, match=f"is damaged(.|\n)*{words}"):
        Progress(progress.path.parent)


def test_an_exercise_without_a_time_was_left_long_ago(progress):
    progress.path.write_text('{"exercises": {}, "active": {"id": "a-1"}}')
    progress.work_on("a-1")
    assert progress.entry("a-1")["seconds"] == 0


def test_a_folder_without_one_is_no_workspace(tmp_path):
    with pytest.raises(ConfigError, match="no workspace"):
        Progress(tmp_path)
