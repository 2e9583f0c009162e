"""Processes of a pool do not outlive a command that was killed."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

CODE = """
import os
import time
from minilinear.learn.pool import spawned

if __name__ == "__main__":
    pool = spawned(2)
    print(pool.submit(os.getpid).result(), flush=True)
    for _ in range(2):
        pool.submit(time.sleep, 60)
    time.sleep(60)
"""


@pytest.mark.skipif(os.name == "nt", reason="a job object would do it there")
def test_a_pool_ends_with_a_parent_that_is_killed(tmp_path):
    (tmp_path / "parent.py").write_text(CODE, "utf-8")
    parent = subprocess.Popen([sys.executable, str(tmp_path / "parent.py")], stdout=subprocess.PIPE, text=True)
    with parent:
        assert int(parent.stdout.readline()) != parent.pid
        children = psutil.Process(parent.pid).children(recursive=True)
        assert len(children) >= 2
        parent.send_signal(signal.SIGKILL)
    until = time.monotonic() + 30
    while alive := [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]:
        assert time.monotonic() < until, alive
        time.sleep(0.1)
