"""`minilinear learn`: every verb without a terminal, and the watch also as a process and on a terminal."""

import io
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from minilinear.cli import main
from tests.cli.test_train import ENTRY, minilinear
from tests.learn.small import write_course
from tests.learn.tiny import RIGHT, WRONG, make_course


class Text(io.StringIO):
    """A stream that is no terminal and takes what UTF-8 takes."""

    encoding = "utf-8"


@pytest.fixture
def learn(monkeypatch):
    """Run `minilinear learn` in this process, as if it were typed in a folder."""

    def run(folder, *args, input=""):
        monkeypatch.chdir(folder)
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.setattr(sys, "argv", ["minilinear", "learn", *map(str, args)])
        streams = {"stdin": Text(input), "stdout": Text(), "stderr": Text()}
        for name, stream in streams.items():
            monkeypatch.setattr(sys, name, stream)
        with pytest.raises(SystemExit) as left:
            sys.exit(main())
        monkeypatch.undo()
        texts = (streams[name].getvalue() for name in ("stdout", "stderr"))
        return subprocess.CompletedProcess(args, left.value.code or 0, *texts)

    return run


@pytest.fixture
def folder(tmp_path, learn):
    """A workspace of the tiny course."""
    said(learn(tmp_path, "init", "mine", "--course", make_course(tmp_path / "course")))
    return tmp_path / "mine"


def said(done, code=0):
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_init_says_where_to_go(learn, tmp_path):
    course = make_course(tmp_path / "course")
    text = said(learn(tmp_path, "init", "--course", course))
    assert "2 files" in text and "minilinear-course" in text
    assert "minilinear learn" in text
    assert "first-1" in said(learn(tmp_path, "list"))  # found from the folder above


def test_run_says_pass_and_fail_by_its_exit_code(learn, folder):
    assert "todo" in said(learn(folder, "run"), 1)
    (folder / "first_1.py").write_text(WRONG)
    text = said(learn(folder, "run", "first_1.py"), 1)
    assert "fail  example" in text and "This call shows it:" in text
    (folder / "first_1.py").write_text(RIGHT)
    text = said(learn(folder, "run", "first-1"))
    assert "PASSED" in text and "minilinear learn: first-2, Quadruple" in text
    assert "first-2" in said(learn(folder, "run"), 1)  # the next one is the current one
    assert not [path.name for path in folder.iterdir() if path.is_dir()]  # nobody else writes there


def test_the_printed_call_runs_as_pasted(learn, folder):
    (folder / "first_1.py").write_text(WRONG)
    text = said(learn(folder, "run"), 1).split("This call shows it:\n")[1].split("not yet")[0]
    code = "\n".join(line[10:] for line in text.split("\n"))
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.stdout.strip() == "[1. 4.]", done.stderr


def test_hints_are_recorded(learn, folder):
    assert "hint 1 of 3" in said(learn(folder, "hint"))
    assert "hint 2 of 3" in said(learn(folder, "hint", "first-1"))
    document = json.loads(said(learn(folder, "report", "--json")))
    assert document["exercises"][0]["hints"] == 2 and document["points"] == 0


def test_list_searches_and_open_shows_statement_and_library(learn, folder):
    text = said(learn(folder, "list", "sums", "--plain"))
    assert "second-1" in text and "first-1" not in text
    text = said(learn(folder, "open", "second-1"))
    assert "Say what comes out." in text and "householder.py:" in text and "second_1.json" in text
    assert "second-1" in said(learn(folder, "hint"))  # it is the current one now


def test_the_solution_after_passing_or_after_giving_up(learn, folder):
    done = learn(folder, "solution", "first-1")
    assert done.returncode == 2 and "--give-up" in done.stderr and "2 * x" not in done.stdout
    (folder / "first_1.py").write_text(RIGHT)
    said(learn(folder, "run"))
    text = said(learn(folder, "solution"))
    assert "2 * x" in text and "x + x" in text and "first-1" in text
    said(learn(folder, "solution", "first-2", "--give-up"))
    assert json.loads(said(learn(folder, "report", "--json")))["exercises"][1]["given_up"]


def test_what_grows_waits_for_what_it_grows_from(learn, folder):
    done = learn(folder, "run", "first-2")
    assert done.returncode == 2 and "first-2 grows from first-1" in done.stderr
    (folder / "first_1.py").write_text(RIGHT)
    said(learn(folder, "run"))
    assert RIGHT in (said(learn(folder, "open", "first-2")) and (folder / "first_2.py").read_text())


def test_reset_keeps_a_backup(learn, folder):
    (folder / "first_1.py").write_text(WRONG)
    text = said(learn(folder, "reset", "first-1"))
    assert "first_1.1.py" in text and (folder / "backups" / "first_1.1.py").read_text() == WRONG
    assert "NotImplementedError" in (folder / "first_1.py").read_text()


def test_debug_stops_at_the_counter_example(learn, folder):
    (folder / "first_1.py").write_text(WRONG)
    text = said(minilinear("learn", "debug", cwd=folder, input="p x + 1\nq\n"))
    assert "array([2., 3.])" in text and "return x * x" in text
    (folder / "first_1.py").write_text(RIGHT)
    assert "PASSED" in said(learn(folder, "debug"))
    (folder / "first_1.py").write_text("def double(x:\n")
    assert "no call to stop at" in said(learn(folder, "debug", "first-1"), 1)


ELEVEN = '[{"name": "sum", "question": "", "answer": 11}]'


def test_check_all_checks_what_was_begun(learn, folder):
    assert "0 of 0 begun pass; 3 are not begun" in said(learn(folder, "check-all"))
    (folder / "first_1.py").write_text(RIGHT)
    (folder / "second_1.json").write_text(ELEVEN)
    text = said(learn(folder, "check-all", "--jobs", 1), 1)
    assert "PASSED  first-1" in text and "1 of 2 begun pass; 1 are not begun" in text
    assert "not yet  second-1, 0 of 10 points  sum: What is 1 + 1?" in text
    (folder / "second_1.json").write_text(ELEVEN.replace("11", "2"))
    assert "2 of 2" in said(learn(folder, "check-all", "--jobs", 1))
    states = [row["state"] for row in json.loads(said(learn(folder, "report", "--json")))["exercises"]]
    assert states == ["passed", "new", "passed"]
    assert "active" not in json.loads((folder / "progress.json").read_text())  # nobody has turned to any of them


def test_check_all_of_an_answer_whose_last_stage_passes_tells_the_first_that_does_not(learn, folder):
    (folder / "first_1.py").write_text(RIGHT.replace("x + x", "x + x if list(x) != [1, 2] else x"))
    text = said(learn(folder, "check-all", "--jobs", 1), 1)
    assert "not yet  first-1, 6 of 10 points  example: the worked example differs" in text


@pytest.mark.parametrize("verb", ["run", "check-all"])
def test_a_file_may_begin_with_a_byte_order_mark(learn, folder, verb):
    (folder / "first_1.py").write_text(RIGHT, "utf-8-sig")
    assert "PASSED  first-1" in said(learn(folder, verb))
    assert "changed" not in said(learn(folder, "list"))


def test_check_all_side_by_side_says_the_same(learn, folder):
    (folder / "first_1.py").write_text(RIGHT)
    (folder / "second_1.json").write_text(ELEVEN)
    text = said(learn(folder, "check-all", "--jobs", 2), 1)
    assert "PASSED  first-1" in text and "1 of 2 begun pass; 1 are not begun" in text


@pytest.mark.parametrize("option", [[], ["--course"]])
def test_check_course_takes_the_folder_of_a_course(learn, tmp_path, option):
    course = write_course(tmp_path)
    done = learn(tmp_path, "check-course", *option, course, "memory-2", "--seeds", 1, "--jobs", 1)
    assert "1 of 1 exercises sound" in said(done)
    assert "no exercise 'nowhere'" in learn(tmp_path, "check-course", course, tmp_path / "nowhere").stderr


def test_report_as_a_table(learn, folder):
    (folder / "first_1.py").write_text(RIGHT)
    said(learn(folder, "run"))
    text = said(learn(folder, "report", "--plain"))
    assert "first-1" in text and "passed" in text and "1 of 3 done, 10 of 30 points" in text and text.isascii()


def test_doctor(learn, folder):
    document = json.loads(said(learn(folder, "doctor", "--json")))
    found = {finding["what"]: finding for finding in document["findings"]}
    assert document["ok"] and found["process for checks"]["state"] == found["workspace"]["state"] == "ok"
    assert found["saving a file"]["found"] == "is told" and not list(folder.glob("tmp*"))
    text = said(learn(folder.parent.parent, "doctor", "--plain"))
    assert "no workspace here" in text and text.isascii()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("run", "first-22"), 2, "has no exercise 'first-22'"),
        (("init", "inside"), 2, "does not lie in another one"),
        (("list", "--route", "short"), 2, "core, elective, all"),
        (("run", "--workspace", "nowhere"), 2, "no workspace"),
        (("run", "--course", "nowhere"), 2, "course.toml"),
        (("check-all", "--jobs", "0"), 2, "jobs"),
        (("--plain", "run"), 2, "behind the command"),
    ],
)
def test_wrong_usage(learn, folder, arguments, code, words):
    done = learn(folder, *arguments)
    assert done.returncode == code and words in done.stderr


def test_without_a_workspace_every_verb_says_how_to_make_one(learn, tmp_path):
    for verb in ("run", "hint", "list", "open", "debug", "solution", "check-all", "report"):
        done = learn(tmp_path, verb)
        assert done.returncode == 2 and "minilinear learn init" in done.stderr, verb


def test_a_damaged_progress_file_is_the_environments_fault(learn, folder):
    said(learn(folder, "hint"))
    (folder / "progress.json").write_text("{")
    assert "is damaged" in learn(folder, "list").stderr and learn(folder, "list").returncode == 3


def test_streams_without_ticks_and_greek_get_words(learn, folder):
    (folder / "first_1.py").write_text(RIGHT)
    done = minilinear("learn", "run", cwd=folder, env={"PYTHONIOENCODING": "cp1252"})
    assert "+ pass  shape" in said(done)
    assert said(learn(folder, "run", "first-1", "--plain")).isascii()
    coloured = said(minilinear("learn", "list", cwd=folder, env={"FORCE_COLOR": "1", "NO_COLOR": ""}))
    assert "\x1b[32m" in coloured
    plain = said(minilinear("learn", "list", cwd=folder, env={"FORCE_COLOR": "1", "NO_COLOR": "1"}))
    assert "\x1b[32m" not in plain and "passed   first-1" in plain


def test_the_statement_of_what_cannot_be_begun_yet_is_shown(learn, folder):
    text = said(learn(folder, "open", "first-2"))
    assert "Give every entry of x four times." in text and "appears when first-1 has passed" in text


def test_debug_of_what_passes_says_so(learn, folder):
    (folder / "first_1.py").write_text(RIGHT)
    assert "nothing to stop at" in said(learn(folder, "debug", "first-1"))


def test_the_door_is_chosen_again(learn, folder):
    text = said(learn(folder, "door", input="2\n"))
    assert "second, first" in text and json.loads((folder / "progress.json").read_text())["door"] == "other"


# The watch.


def test_learn_offers_a_workspace_asks_for_the_door_and_takes_words(learn, tmp_path):
    course = make_course(tmp_path / "course")
    done = learn(tmp_path, "--course", course, input="y\n7\n2\nhint\nlist\nnonsense\nquit\n")
    text = said(done)
    for part in (
        "no workspace yet",
        "1  From zero",
        "2  I know vectors",
        "'7' is none of them",
        "hint 1 of 3",
        "First steps",
    ):
        assert part in text, part
    assert text.index("Second thoughts") < text.index("First steps")  # the door decides the order
    kept = json.loads((tmp_path / "minilinear-course" / "progress.json").read_text())
    assert kept["door"] == "other" and kept["course"]["folder"] == str(course)
    text = said(learn(tmp_path, input="quit\n"))  # no more questions
    assert "From zero" not in text and "first-1  Double" in text


@pytest.mark.parametrize("typed", ["", "y\n"])
def test_the_end_of_the_input_leaves(learn, tmp_path, typed):
    done = learn(tmp_path, "--course", make_course(tmp_path / "course"), input=typed)
    assert done.returncode == 2 and "Nobody answers" in done.stderr
    assert (tmp_path / "minilinear-course").exists() == bool(typed)


def test_no_is_no(learn, tmp_path):
    done = learn(tmp_path, "--course", make_course(tmp_path / "course"), input="n\n")
    assert done.returncode == 0 and not (tmp_path / "minilinear-course").exists()


@pytest.fixture
def watching(folder):
    """`minilinear learn`, after its first screen."""
    json_file = folder / "progress.json"
    json_file.write_text(json.dumps(json.loads(json_file.read_text()) | {"door": "zero"}))
    started = []

    def start(*args, stdin=subprocess.PIPE):
        process = subprocess.Popen(
            [*ENTRY, "learn", *args],
            cwd=folder,
            env=os.environ | {"PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": "1"},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def until(process, words):
    text = ""
    while words not in text:
        line = process.stdout.readline()
        assert line, text
        text += line
    return text


@pytest.mark.parametrize("arguments", [(), ("--poll", "--plain")])
def test_a_save_brings_a_verdict_and_quit_leaves(watching, folder, arguments):
    process = watching(*arguments)
    until(process, "watching")
    (folder / "first_1.py").write_text(WRONG)
    assert "That is the square." in until(process, "not yet  first-1")
    (folder / "first_1.py").write_text(RIGHT)
    until(process, "PASSED  first-1")
    process.stdin.write("next\nquit\n")
    process.stdin.flush()
    until(process, "progress is saved")
    assert process.wait(30) == 0
    assert json.loads((folder / "progress.json").read_text())["exercises"]["first-1"]["state"] == "passed"


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_an_interrupt_leaves_in_order(watching):
    process = watching()
    until(process, "watching")
    process.send_signal(signal.SIGINT)
    text = until(process, "progress is saved")
    assert process.wait(30) == 130 and "Traceback" not in text


@pytest.mark.skipif(os.name != "posix", reason="a terminal of POSIX")
def test_keys_act_at_once_on_a_terminal_and_it_is_left_as_it_was(folder):
    import pty
    import termios

    json_file = folder / "progress.json"
    json_file.write_text(json.dumps(json.loads(json_file.read_text()) | {"door": "zero"}))
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    process = subprocess.Popen(
        [*ENTRY, "learn"], cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, env=os.environ | {"TERM": "xterm"}
    )
    try:
        screen = ""
        for words, key in ("watching", b"h"), ("hint 1 of 3", b"q"), ("progress is saved", b""):
            deadline = time.monotonic() + 60
            while words not in screen:
                assert time.monotonic() < deadline, screen
                screen += os.read(ours, 4096).decode("utf-8", "replace")
            os.write(ours, key)
        assert process.wait(30) == 0
        assert termios.tcgetattr(theirs) == before
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)
