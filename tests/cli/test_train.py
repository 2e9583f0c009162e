"""The command line as a user meets it: in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

ENTRY = [sys.executable, "-c", "from minilinear.cli import main; main()"]


def minilinear(*args, cwd, env=None, **kwargs):
    environment = os.environ | {"PYTHONIOENCODING": "utf-8", "COLUMNS": "80"} | (env or {})
    return subprocess.run(
        [*ENTRY, *map(str, args)], cwd=cwd, env=environment, capture_output=True, text=True, encoding="utf-8", **kwargs
    )


@pytest.fixture(scope="module")
def text_run(tmp_path_factory):
    """A model of a small text, barely trained."""
    folder = tmp_path_factory.mktemp("text")
    (folder / "poem.txt").write_text("the cat sat on the mat. " * 60 + "ä", encoding="utf-8")
    done = minilinear(
        *("train", "text", "--file", "poem.txt", "--length", 32, "--steps", 3, "--batch", 2, "--out", "run", "--json"),
        *("--set", "D=16", "--set", "heads=2"),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


def test_train_prints_one_json_document_and_leaves_a_whole_run(tmp_path):
    done = minilinear("train", "--steps", 3, "--length", 8, "--batch", 4, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["task"] == "s3" and result["mixer"] == "delta_product" and result["set"] == {"R": 2}
    assert result["baseline"]["set"] == {"R": 1}
    for part in (result, result["baseline"]):
        assert list(part["scores"]) == ["8", "16", "32", "64"]
        assert all(0 <= found["mean"] <= 1 and 0 <= found["last"] <= 1 for found in part["scores"].values())
    assert result["steps"] == 3 and result["seconds"] > 0
    run = tmp_path / result["run"]
    names = {
        "config.json",
        "metrics.jsonl",
        "checkpoint.safetensors",
        "result.json",
        "result.svg",
        "loss.svg",
        "baseline",
    }
    assert names <= {path.name for path in run.iterdir()}
    assert json.loads((run / "result.json").read_text()) == result
    assert not list(run.glob("*.tmp"))


def test_the_report_names_preset_table_sentence_and_what_to_try(tmp_path):
    done = minilinear("train", "z2", "--steps", 2, "--length", 8, "--batch", 4, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for part in ("preset state_tracking", "guessing", "R=2", "R=1", "reflections per token", "Next:", "runs/z2-seed0"):
        assert part in done.stdout.replace("\\", "/"), part
    assert max(map(len, done.stdout.splitlines()[1:])) <= 120


def test_set_r_1_trains_without_a_baseline(tmp_path):
    done = minilinear("train", "z2", "--set", "R=1", "--steps", 1, "--length", 8, "--json", cwd=tmp_path)
    assert "baseline" not in json.loads(done.stdout)


def test_words_of_any_group_from_its_table(tmp_path):
    (tmp_path / "z3.json").write_text("[[0, 1, 2], [1, 2, 0], [2, 0, 1]]")
    done = minilinear("train", "words", "--table", "z3.json", "--steps", 1, "--length", 8, "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["task"] == "words", done.stderr


def test_ascii_streams_get_ascii(tmp_path):
    done = minilinear("train", "--steps", 1, "--length", 8, cwd=tmp_path, env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.stderr
    done.stdout.encode("ascii")


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["train", "s99"], 2, "at most"),
        (["train", "nonsense"], 2, "A task is one of"),
        (["train", "--set", "R"], 2, "NAME=VALUE"),
        (["train", "--set", "colour=red"], 2, "--set changes an option"),
        (["train", "--nonsense"], 2, "No such option"),
        (["train", "--steps", "0"], 2, "steps is 1 or more"),
        (["train", "--steps", "ten"], 2, "valid integer"),
        (["train", "--set", "R=two"], 2, "R is a whole number"),
        (["train", "--set", "chunk=3"], 2, "power of two"),
        (["train", "--file", "x.txt"], 2, "file"),
        (["train", "text", "--file", "missing.txt"], 2, "missing.txt"),
        (["train", "--minutes", "-1"], 2, "--minutes"),
        (["train", "--resume", "nowhere"], 3, "no run here"),
        (["train", "--resume", "nowhere", "--seed", "1"], 2, "--resume"),
        (["generate", "nowhere"], 3, "no run here"),
        (["--nonsense"], 2, "No such option"),
    ],
)
def test_wrong_usage_says_what_to_do(tmp_path, args, code, says):
    done = minilinear(*args, cwd=tmp_path)
    assert done.returncode == code, done.stdout + done.stderr
    assert says in done.stderr and "Traceback" not in done.stderr
    assert done.stdout == "" and not list(tmp_path.iterdir())


def test_a_bad_learning_rate_fails_the_job(tmp_path):
    done = minilinear("train", "z2", "--lr", "1e30", "--steps", 30, "--length", 8, "--batch", 4, cwd=tmp_path)
    assert done.returncode == 1 and "smaller learning rate" in done.stderr and "Traceback" not in done.stderr


def test_a_folder_that_cannot_be_written_is_the_environment(tmp_path):
    (tmp_path / "file").write_text("")
    done = minilinear("train", "--steps", 1, "--out", "file/run", cwd=tmp_path)
    assert done.returncode in (2, 3) and "Traceback" not in done.stderr
    done = minilinear("train", "--steps", 1, "--out", ".", cwd=tmp_path)
    assert done.returncode == 2 and "--resume" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one child")
def test_ctrl_c_keeps_what_was_learnt_and_resume_goes_on(tmp_path):
    command = [*ENTRY, "train", "z2", "--steps", "400", "--length", "8", "--batch", "4", "--out", "run"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "run/metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "--resume run" in errors and "Traceback" not in errors
    done = minilinear("train", "--resume", "run", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] == 400
    steps = [json.loads(line)["step"] for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(10, 401, 10))


def test_resuming_a_finished_run_only_evaluates_it_again(text_run):
    folder, result = text_run
    done = minilinear("train", "--resume", "run", "--json", cwd=folder)
    again = json.loads(done.stdout)
    assert again["bits_per_character"] == result["bits_per_character"] and again["steps"] == 3


def test_generate_continues_a_prompt(text_run):
    folder, _ = text_run
    one = minilinear("generate", "run", "--prompt", "the ", "--tokens", 20, cwd=folder)
    assert one.returncode == 0 and one.stdout.startswith("the ") and len(one.stdout.rstrip("\n")) == 24
    two = minilinear("generate", "run", "--prompt", "the ", "--tokens", 20, "--json", cwd=folder)
    assert json.loads(two.stdout)["text"] == one.stdout.rstrip("\n")[4:]
    other = minilinear("generate", "run", "--prompt", "the ", "--tokens", 20, "--seed", 1, cwd=folder)
    assert other.stdout != one.stdout


def test_generate_writes_to_ascii_streams(text_run):
    folder, _ = text_run
    done = minilinear(
        *("generate", "run", "--prompt", "ä", "--tokens", 5), cwd=folder, env={"PYTHONIOENCODING": "ascii"}
    )
    assert done.returncode == 0 and done.stdout.startswith("\\xe4")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--prompt", "Zebra"], "at position 0"),
        (["--prompt", ""], "at least one character"),
        (["--temperature", "-1"], "temperature"),
        (["--tokens", "0"], "tokens"),
    ],
)
def test_generate_refuses_wrong_wishes(text_run, args, says):
    folder, _ = text_run
    done = minilinear("generate", "run", *args, cwd=folder)
    assert done.returncode == 2 and says in done.stderr and "Traceback" not in done.stderr


def test_generate_wants_a_text_run(tmp_path):
    minilinear("train", "z2", "--steps", 1, "--length", 8, "--out", "run", "--json", cwd=tmp_path)
    done = minilinear("generate", "run", cwd=tmp_path)
    assert done.returncode == 2 and "trained on z2" in done.stderr


def test_a_changed_text_is_not_resumed(text_run, tmp_path):
    (tmp_path / "t.txt").write_text("abcdefgh " * 60)
    settings = ["--set", "D=16", "--set", "heads=2", "--length", 16, "--steps", 1, "--batch", 2]
    minilinear("train", "text", "--file", "t.txt", *settings, "--out", "run", cwd=tmp_path)
    (tmp_path / "t.txt").write_text("abcdefgh " * 61)
    done = minilinear("train", "--resume", "run", cwd=tmp_path)
    assert done.returncode == 2 and "sha256" in done.stderr


def test_a_damaged_checkpoint_is_named(tmp_path):
    minilinear("train", "z2", "--set", "R=1", "--steps", 1, "--length", 8, "--out", "run", "--json", cwd=tmp_path)
    file = tmp_path / "run/checkpoint.safetensors"
    data = bytearray(file.read_bytes())
    data[-3] ^= 1
    file.write_bytes(data)
    done = minilinear("train", "--resume", "run", cwd=tmp_path)
    assert done.returncode == 3 and "damaged" in done.stderr and "Traceback" not in done.stderr


def test_version_and_help(tmp_path):
    assert minilinear("--version", cwd=tmp_path).stdout.startswith("minilinear 0.")
    for args in (["--help"], ["train", "--help"], ["generate", "--help"]):
        done = minilinear(*args, cwd=tmp_path)
        assert done.returncode == 0 and "Usage" in done.stdout


def test_precision_accumulation_and_recomputation_are_options_and_stand_in_the_record(tmp_path):
    small = ("text", "--length", 16, "--batch", 4, "--steps", 2, "--set", "D=16", "--set", "heads=2", "--json")
    (tmp_path / "poem.txt").write_text("the cat sat on the mat. " * 60, encoding="utf-8")
    more = ("--file", "poem.txt", "--precision", "bf16", "--accumulate", 2, "--recompute", "--out", "run")
    done = minilinear("train", *small, *more, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["precision"], config["micro_batches"], config["recompute"]) == ("bf16", 2, True)
    assert json.loads(done.stdout)["precision"] == "bf16"
    done = minilinear("train", "--resume", "run", "--precision", "tf32", "--plain", cwd=tmp_path)
    assert "products were computed in bf16 up to step 2, and are in tf32 from here on" in done.stdout
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["precisions"] == [[0, "bf16"], [2, "tf32"]]
    done = minilinear("train", "--resume", "run", "--json", cwd=tmp_path)  # and stays so
    assert json.loads(done.stdout)["precision"] == "tf32"
