"""A run that is killed without warning, again and again, ends with the weights it would have had."""

import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from minilinear.training import load_checkpoint
from minilinear.training.checkpoint import previous

ENTRY = [sys.executable, "-c", "from minilinear.cli import main; main()"]
SETTINGS = ["--set", "D=16", "--set", "heads=2", "--set", "ema=0.9", "--set", "batch=8", "--no-baseline"]


def begin(folder, *extra):
    with (folder / "stderr.txt").open("wb") as stderr:  # a pipe nobody empties would fill, and stay open
        return subprocess.Popen(
            [*ENTRY, "train", *extra, "--checkpoint-every", "0.1"],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )


def lines_written(folder):
    """How many lines the log has: one for every ten steps."""
    log = folder / "killed" / "metrics.jsonl"
    return log.read_bytes().count(b"\n") if log.exists() else 0


def killed_often(folder, times, seed):
    """Kill -9, `times` times, then let it finish.

    Three of four kills fall at a random moment after a few steps, however fast the machine is; every fourth falls
    at any time, mostly while the program still starts.
    """
    rng = random.Random(seed)
    for kill in range(times + 1):
        begun = (folder / "killed" / "config.json").exists()
        run = begin(
            folder, *(["--resume", "killed"] if begun else ["s3", "--steps", "2000", "--out", "killed", *SETTINGS])
        )
        if kill == times:
            assert run.wait() == 0, (folder / "stderr.txt").read_text()
            return
        if kill % 4 < 3:
            least = lines_written(folder) + rng.randrange(4)  # of 200 lines: it is never through before the last kill
            while run.poll() is None and lines_written(folder) <= least:
                time.sleep(0.001)
            time.sleep(rng.uniform(0, 0.05))
        else:
            time.sleep(rng.uniform(0, 0.5))
        assert run.poll() is None, (folder / "stderr.txt").read_text()
        run.send_signal(signal.SIGKILL)
        run.wait()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_twenty_sigkills_end_in_the_same_weights(tmp_path):
    whole = begin(tmp_path, "s3", "--steps", "2000", "--out", "whole", *SETTINGS)
    assert whole.wait() == 0, (tmp_path / "stderr.txt").read_text()
    killed_often(tmp_path, 20, seed=0)
    a, facts = load_checkpoint(tmp_path / "whole" / "checkpoint.safetensors")
    b, others = load_checkpoint(tmp_path / "killed" / "checkpoint.safetensors")
    assert facts["step"] == others["step"] == 2000
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    load_checkpoint(previous(tmp_path / "killed" / "checkpoint.safetensors"))
