"""The loop: a save brings a verdict, a word an answer, and it ends in order."""

import sys
import threading
import time

import pytest

from minilinear.errors import RunError
from minilinear.learn import Course, Spare, watch
from minilinear.learn.watch import Session, _watch, loop, settled
from minilinear.learn.workspace import Workspace

from .tiny import RIGHT, WRONG, make_course


@pytest.fixture(scope="module")
def spare():
    with Spare() as spare:
        yield spare


@pytest.fixture
def session(tmp_path, spare):
    workspace = Workspace.create(tmp_path / "mine", Course(make_course(tmp_path / "course")))
    lines = []
    session = Session(workspace, spare, lines.append)
    session.lines = lines
    return session


def said(session):
    text = "\n".join(line.text for line in session.lines)
    session.lines.clear()
    return text


def save(session, name, text):
    (session.workspace.folder / name).write_text(text, "utf-8")
    session.saved({name})
    return said(session)


def test_the_first_screen_says_what_to_open_and_how_it_stands(session):
    session.begin()
    text = said(session)
    assert "first-1  Double" in text and str(session.workspace.folder / "first_1.py") in text
    assert "todo" in text and "next (n), hint (h)" in text
    assert session.workspace.progress.entry("first-1")["attempts"] == 0


def test_a_save_is_checked_and_recorded(session):
    text = save(session, "first_1.py", WRONG)
    assert text.index("checking first_1.py") < text.index("pass  shape") < text.index("fail  example")
    assert "That is the square." in text and "PASSED" not in text
    text = save(session, "first_1.py", RIGHT)
    assert (
        "PASSED  first-1, 10 of 10 points" in text
        and "Adding is enough." in text
        and "next (n): first-2, Quadruple" in text
    )
    entry = session.workspace.progress.entry("first-1")
    assert entry["state"] == "passed" and entry["attempts"] == 2


def test_a_byte_order_mark_is_not_part_of_the_text(session):
    assert "PASSED  first-1" in save(session, "first_1.py", f"\ufeff{RIGHT}")
    assert settled(session.workspace.folder / "first_1.py") == RIGHT


def test_in_a_varied_exercise_hints_and_solution_say_that_they_are_the_usual_ones(session):
    save(session, "first_1.py", RIGHT)
    for changed, count in ((), 0), (["write / 2"], 1):
        session.exercise.changed = changed
        for word in ("hint", "solution"):
            session.said(word)
            assert said(session).count("usual conventions; yours differ in: write / 2") == count


def test_the_same_text_saved_again_is_not_checked_again(session):
    save(session, "first_1.py", WRONG)
    assert save(session, "first_1.py", WRONG) == ""
    session.said("run")
    assert "fail  example" in said(session)


def test_any_file_may_have_changed_where_nothing_is_told(session):
    (session.workspace.folder / "second_1.json").write_text('[{"name": "sum", "answer": 2}]')
    session.saved(None)
    text = said(session)
    assert "PASSED  second-1" in text and "first-1" not in text.split("next (n):")[0]


def test_other_files_are_nobodys_business(session):
    assert save(session, "notes.txt", "hello") == "" and save(session, "progress.json.tmp", "{}") == ""


def test_a_save_of_another_exercise_goes_there(session):
    text = save(session, "second_1.json", '[{"name": "sum", "question": "", "answer": 11}]')
    assert "That is what a text would give." in text and session.exercise.id == "second-1"


def test_next_waits_for_a_pass_and_opens_what_grows(session):
    assert session.said("n") and "has not passed yet" in said(session)
    save(session, "first_1.py", RIGHT)
    assert "Say what comes out." not in said(session)
    session._turn_to(session.workspace.exercise("second-1"))
    assert "Say what comes out." in said(session)  # its file has no room for it
    session.exercise = session.workspace.exercise("first-1")
    assert session.said("next")
    text = said(session)
    assert "first-2  Quadruple" in text and session.exercise.id == "first-2"
    assert (session.workspace.folder / "first_2.py").read_text().startswith(RIGHT)


def test_next_after_a_change_that_no_longer_passes_goes_back_to_it(session):
    save(session, "first_1.py", RIGHT)
    (session.workspace.folder / "first_1.py").write_text(WRONG)
    session.exercise = session.workspace.exercise("second-1")
    session.workspace.progress.give_up("second-1")
    session.said("n")
    assert "changed since it passed" in said(session) and session.exercise.id == "first-1"


def test_the_way_has_an_end(session):
    for name in ("first-1", "first-2", "second-1"):
        session.workspace.progress.give_up(name)
    session.said("n")
    assert "last exercise" in said(session)


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("h", "hint 1 of 3"),
        ("hint\n", "hint 1 of 3"),
        (" List ", "Second thoughts"),
        ("s", "has not passed yet"),
        ("?", "quit (q)"),
        ("helo", "'helo' is no word here"),
        ("x", "'x' is no word here"),
    ],
)
def test_words_and_keys(session, word, words):
    assert session.said(word)
    assert words in said(session)


def test_an_empty_line_says_nothing_and_quit_leaves(session):
    assert session.said("\n") and said(session) == ""
    assert not session.said("q") and not session.said("QUIT\n")


def test_the_solution_is_shown_after_a_pass(session):
    save(session, "first_1.py", RIGHT)
    session.said("s")
    assert "2 * x" in said(session)


def test_a_file_that_is_gone_or_no_text_is_said(session):
    (session.workspace.folder / "first_1.py").unlink()
    session.said("r")
    assert "is not there" in said(session)
    (session.workspace.folder / "first_1.py").write_bytes(b"\xff\xfe")
    session.said("r")
    assert "not UTF-8" in said(session)


def test_a_file_in_the_middle_of_being_written_is_waited_for(tmp_path):
    path = tmp_path / "a.py"
    path.write_text("")
    threading.Timer(0.05, path.write_text, ["x = 1"]).start()
    assert settled(path) == "x = 1"


@pytest.mark.parametrize("how", ["write", "replace"])
def test_saves_are_told(tmp_path, how):
    """Also of editors that write a new file and rename it, and of what was saved before the watch stood."""
    events, stop = [], threading.Event()
    watcher = threading.Thread(target=_watch, args=(tmp_path, events.append, stop))
    watcher.start()
    try:
        wait(lambda: ("saved", None) in events)
        if how == "write":
            (tmp_path / "late.py").write_text("1")
        else:
            (tmp_path / "new").write_text("1")
            (tmp_path / "new").rename(tmp_path / "late.py")
        wait(lambda: any("late.py" in (names or ()) for _, names in events))
    finally:
        stop.set()
        watcher.join()


@pytest.mark.parametrize(("poll", "file"), [(False, "first_1.py"), (True, "second_1.json")])
def test_a_save_that_nobody_tells_of_is_seen_all_the_same(session, monkeypatch, poll, file):
    """Of the exercise that is worked on in any case, and with poll of every other one."""
    exercise = session.workspace.exercise(file)

    def typed():
        wait(lambda: any("quit (q)" in line.text for line in session.lines))
        session.workspace.path(exercise).write_text(WRONG)
        wait(lambda: session.workspace.progress.entry(exercise.id)["attempts"])
        yield "quit"

    monkeypatch.setattr(sys, "stdin", typed())
    monkeypatch.setattr(watch, "_watch", lambda *args: None)
    loop(session, poll=poll)
    assert f"checking {file}" in said(session)


def test_a_folder_that_cannot_be_watched_is_told(tmp_path, session, monkeypatch):
    events = []
    _watch(tmp_path / "gone", events.append, threading.Event())
    assert [kind for kind, _ in events] == ["failed"]
    monkeypatch.setattr(watch, "_watch", lambda folder, put, stop: put(*events))
    monkeypatch.setattr(sys, "stdin", iter(lambda: time.sleep(60), ""))  # nobody types
    with pytest.raises(RunError, match="learn --poll"):
        loop(session)


def wait(happened):
    until = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_the_statement_is_shown_at_each_turn_and_when_it_is_asked_for(session):
    session.begin()
    assert "Give every entry of x twice." in said(session)
    for word in ("o", "open", "statement"):
        session.said(word)
        assert "Give every entry of x twice." in said(session)


def test_the_solution_is_offered_once_it_has_passed(session):
    session.said("?")
    assert "solution" not in said(session)
    save(session, "first_1.py", RIGHT)
    session.said("?")
    assert "solution (s)" in said(session)
