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
    return subprocess.Popen(
        [*ENTRY, "train", *extra, "--checkpoint-every", "0.1"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def killed_often(folder, times, seed):
    """Kill -9 at random moments until there were `times`, then let it finish; returns how many there were."""
    rng, kills = random.Random(seed), 0
    while True:
        begun = (folder / "killed" / "config.json").exists()
        run = begin(
            folder, *(["--resume", "killed"] if begun else ["s3", "--steps", "800", "--out", "killed", *SETTINGS])
        )
        if kills < times:
            time.sleep(rng.uniform(0.5, 2.0))
            if run.poll() is None:
                run.send_signal(signal.SIGKILL)
                run.wait()
                kills += 1
                continue
        assert run.wait() == 0, (folder / "stderr.txt").read_text()
        return kills


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_twenty_sigkills_end_in_the_same_weights(tmp_path):
    whole = begin(tmp_path, "s3", "--steps", "800", "--out", "whole", *SETTINGS)
    assert whole.wait() == 0, (tmp_path / "stderr.txt").read_text()
    kills = killed_often(tmp_path, 20, seed=0)
    assert kills >= 10  # on a fast machine it may be through before the twentieth
    a, facts = load_checkpoint(tmp_path / "whole" / "checkpoint.safetensors")
    b, others = load_checkpoint(tmp_path / "killed" / "checkpoint.safetensors")
    assert facts["step"] == others["step"] == 800
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=f"{name} after {kills} kills")
    load_checkpoint(previous(tmp_path / "killed" / "checkpoint.safetensors"))
