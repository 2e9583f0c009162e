"""`minilinear play`: what is typed becomes tokens, what is right is said, and a session has no end of its own."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import threading
import time

import numpy as np
import pytest

from minilinear.cli.play import Referee, Spelling, Unknown, permutation
from minilinear.tasks import task
from minilinear.training import Run, RunFolder
from tests.cli.test_train import ENTRY, minilinear, text_run  # noqa: F401  (a fixture)

pytestmark = pytest.mark.slow

SMALL = ("--steps", 4, "--batch", 4, "--json", "--set", "D=16", "--set", "heads=2")


def train(folder, *args):
    done = minilinear("train", *args, *SMALL, "--out", "run", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "run"


@pytest.fixture(scope="module")
def cups(tmp_path_factory):
    return train(tmp_path_factory.mktemp("cups"), "s3", "--length", 8)


@pytest.fixture(scope="module")
def recall(tmp_path_factory):
    return train(
        tmp_path_factory.mktemp("recall"),
        "recall",
        "--set",
        "task.keys=4",
        "--set",
        "task.reset=true",
        "--set",
        "ema=0.5",
    )


def play(run, typed, *args, **kwargs):
    return minilinear("play", run.name, *args, cwd=run.parent, input=typed, **kwargs)


def answers(done):
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


# What is typed.


@pytest.mark.parametrize(
    ("name", "typed", "means"),
    [
        ("s3", "1 2", ["(1 2)"]),
        ("s3", "(2 1)", ["(1 2)"]),
        ("s3", "swap 3 1", ["(1 3)"]),
        ("s3", "(1 2) (2 3)", ["(1 2)", "(2 3)"]),
        ("s3", "(3 1 2), e; 2 3", ["(1 2 3)", "e", "(2 3)"]),
        ("s3", "( 1  2 )", ["(1 2)"]),
        ("s4", "(3 4)(2 1)", ["(1 2)(3 4)"]),
        ("s4", "(1 2)(2 3)", ["(1 3 2)"]),  # first one, then the other
        ("a4", "(1 2 3) (1 2)(3 4)", ["(1 2 3)", "(1 2)(3 4)"]),
        ("z7", "3 6,0", ["3", "6", "0"]),
        ("d4", "r s r^2 sr3 e", ["r^1", "s r^2", "s r^3", "r^0"]),
        ("d4", "s, r2", ["s r^0", "r^2"]),
        ("parity", "0110 1", ["0", "1", "1", "0", "1"]),
        ("recall", "k0=v3 k1? K0=V1", ["k0=v3", "k1?", "k0=v1"]),
    ],
)
def test_spelling(name, typed, means):
    made = task(name)
    assert [made.vocabulary[i] for i in Spelling(made).ids(typed)] == means


def test_every_element_of_every_group_is_known_by_its_label():
    for name in ("s3", "s4", "a5", "z12", "d5"):
        made = task(name)
        spelling = Spelling(made)
        assert [spelling.ids(label) for label in made.group.labels] == [[i] for i in range(made.group.order)]


@pytest.mark.parametrize(
    ("name", "typed", "hint"),
    [
        ("s3", "(1 4)", "did you mean"),
        ("s3", "1", "'1' is no token"),
        ("s3", "1 1", "no token"),
        ("s3", "(1 2", "no token"),
        ("s3", "(1 2)(", "no token"),
        ("s3", "hello", "a token is"),
        ("s3", "<bos>", "no token"),
        ("s3", "rset", "did you mean reset"),
        ("a5", "(1 2)", "no token"),  # an odd permutation
        ("z7", "7", "no token"),
        ("parity", "012", "'012' is no token"),
        ("recall", "k0=v9", "did you mean k0="),
        ("recall", "v5", "no token"),  # an answer, which nobody types
        ("text", "a\u0416b", "Only characters of the training text"),
    ],
)
def test_what_is_no_token_gets_one_line(name, typed, hint):
    with pytest.raises(Unknown) as caught:
        Spelling(task(name)).ids(typed)
    assert hint in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 250


def test_cycles_move_things_as_the_group_does():
    made = task("s4")
    for label in made.group.labels[::5]:
        for other in made.group.labels[::3]:
            p, q = permutation(label, 4), permutation(other, 4)
            product = made.group.labels[
                made.group.table[made.group.labels.index(label), made.group.labels.index(other)]
            ]
            assert permutation(product, 4) == tuple(q[i] for i in p)


@pytest.mark.parametrize(("name", "options"), [("parity", {}), ("recall", {"reset": True}), ("s4", {})])
def test_the_referee_remembers_little_and_says_what_the_task_says(name, options):
    made = task(name, **options)
    inputs, _ = made.evaluation(np.random.default_rng(0), 300, 1)
    words = inputs[0] if name == "recall" else inputs[0, 1:]
    right = made.group.running_product(words[None])[0] if name == "s4" else made.answers(words[None])[0]
    referee = Referee(made)
    found = [referee.after(int(token)) for token in words]
    assert [-1 if answer is None else answer for answer in found] == right.tolist()
    assert len(referee.past) <= 16


# A session.


def test_cups_from_a_pipe(cups):
    done = play(cups, "1 2\n2 3\nfoo\nshow\nreset\nshow\nquit\n(1 2)\n", "--plain")
    assert done.returncode == 0, done.stderr
    assert "/2\\  /1\\  /3\\    (1 2)" in done.stdout and "/2\\  /3\\  /1\\    (1 3 2)" in done.stdout
    assert "R=2" in done.stdout and "R=1" in done.stdout and "ball at place" in done.stdout
    assert "? 'foo' is no token here" in done.stdout and "a new beginning" in done.stdout
    assert done.stdout.count("   1. ") == 1  # nothing is read after quit
    assert "Traceback" not in done.stderr
    done.stdout.encode("ascii")
    lines = done.stdout.splitlines()
    at = next(i for i, line in enumerate(lines) if "/2\\  /3\\  /1\\" in line)
    assert lines[at + 1].index("o") == lines[at].index("1")  # the ball is in cup 1


def test_the_models_answer_what_they_answer_to_the_whole_word(cups):
    typed = ["(1 2)", "(1 3 2)", "(2 3)", "e", "(1 2 3)", "(1 2)"]
    got = answers(play(cups, "(1 2)\nreset\n" + "\n".join(typed), "--json"))
    assert got[1]["command"] == "reset"
    got = got[2:]
    made = task("s3")
    ids = [made.group.order, *(made.vocabulary.index(label) for label in typed)]
    right = made.group.running_product(np.array([ids[1:]]))[0]
    assert [answer["right"] for answer in got] == [made.vocabulary[i] for i in right]
    assert [answer["n"] for answer in got] == [1, 2, 3, 4, 5, 6]
    for name, path in ("R=2", cups), ("R=1", cups / "baseline"):
        scores = Run.resume(RunFolder(path)).model(np.array([ids]))[0].numpy()[0, 1:].astype(float)
        p = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
        for answer, p_t, r in zip(got, p, right):
            given = answer["answers"][name]
            assert given["answer"] == made.vocabulary[p_t.argmax()]
            assert abs(given["probability"] - p_t.max()) < 2e-4
            assert given["correct"] == (p_t.argmax() == r)


def test_show_counts_what_was_right(cups):
    got = answers(play(cups, "1 2\n1 3\n2 3\n(1 2) (1 3)\nfoo\nshow\n", "--json"))
    *given, unknown, shown = got
    assert unknown["unknown"] == "foo" and "no token" in unknown["hint"]
    assert shown["tokens"] == shown["asked"] == 5
    for name, right in shown["right"].items():
        assert right == sum(answer["answers"][name]["correct"] for answer in given)


def test_recall_answers_questions_alone_and_uses_averaged_weights(recall):
    *got, shown = answers(play(recall, "k0=v3\nk0?\nk0=v5 k1? k0?\nRESET\nk0?\nshow\n", "--json"))
    assert shown["tokens"] == 7 and shown["asked"] == 4
    assert [answer["right"] for answer in got] == [None, "v3", None, "none", "v5", None, "none"]
    assert ["correct" in next(iter(answer["answers"].values())) for answer in got] == [
        r["right"] is not None for r in got
    ]
    run = Run.resume(RunFolder(recall))
    ids = Spelling(run.task).ids("k0=v3 k0? k0=v5 k1? k0? RESET k0?")
    with run.average.applied():
        scores = run.model(np.array([ids]))[0].numpy()[0].astype(float)
    p = (np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)).max(-1)
    assert np.allclose([next(iter(answer["answers"].values()))["probability"] for answer in got], p, atol=2e-4)


def test_a_long_session_costs_the_same_for_each_token(recall):
    done = play(recall, "k0=v1 k1=v2 k2=v3 k0? k1?\n" * 400, "--json")
    assert len(answers(done)) == 2000


def test_a_text_is_continued(text_run):  # noqa: F811
    folder, _ = text_run
    done = play(folder / "run", "the cat\nZ\nshow\n", "--length", 12)
    assert done.returncode == 0, done.stderr
    assert "Only characters of the training text" in done.stdout and "19 characters" in done.stdout
    one = answers(play(folder / "run", "the \nreset\n", "--json", "--seed", 3))[0]
    assert len(one["answer"]) == 80 and one == answers(play(folder / "run", "the \n", "--json", "--seed", 3))[0]


def test_the_end_of_the_pipe_is_the_end(cups):
    done = play(cups, "")
    assert done.returncode == 0 and "none of them" in done.stdout
    assert play(cups, "\n\n  \n", "--json").stdout == ""


def test_bytes_that_are_no_text_are_no_tokens(cups):
    done = subprocess.run([*ENTRY, "play", "run"], cwd=cups.parent, input=b"\xff\xfe\n1 2\n", capture_output=True)
    assert done.returncode == 0 and b"no token here" in done.stdout and b"Traceback" not in done.stderr


def test_ctrl_c_leaves_cleanly(cups):
    command = [*ENTRY, "play", "run", "--json"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=cups.parent, text=True, env=environment, **pipes) as process:
        late = threading.Timer(60, process.kill)  # else a missing answer would be waited for without end
        late.start()
        process.stdin.write("1 2\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["token"] == "(1 2)"  # it answers at once
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
        late.cancel()
        assert process.returncode == 130 and "Traceback" not in process.stderr.read()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["nowhere"], 3, "no run here"),
        (["run", "--nonsense"], 2, "No such option"),
        (["run", "--length", "0"], 2, "length"),
        ([], 2, "Usage"),
    ],
)
def test_wrong_usage(cups, args, code, says):
    done = minilinear("play", *args, cwd=cups.parent, input="1 2\n")
    assert done.returncode == code and says in done.stderr and "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_damaged_checkpoint_plays_no_game(cups, tmp_path):
    run = shutil.copytree(cups, tmp_path / "run")
    (run / "checkpoint.safetensors").write_bytes(b"broken")
    done = play(run, "1 2\n")
    assert done.returncode == 3 and "damaged" in done.stderr and "Traceback" not in done.stderr


def test_rows_of_numbers_are_not_typed(tmp_path):
    run = train(tmp_path, "digits")
    done = play(run, "1\n")
    assert done.returncode == 2 and "digits" in done.stderr


def test_an_untrained_model_says_so(cups, tmp_path):
    run = shutil.copytree(cups, tmp_path / "run")
    for file in run.rglob("checkpoint*"):
        file.unlink()
    assert "has not been trained" in play(run, "1 2\n").stdout
