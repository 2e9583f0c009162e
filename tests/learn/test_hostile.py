"""Files that do what no exercise has a use for: each is contained, and each is told what it did.

A verdict "passed" for any of them would be a hole: what the process says of itself counts for nothing.
"""

import os
import sys
import time

import psutil
import pytest

from minilinear.learn import Course, Judge, Spare

from .small import write_course

HONEST = "import numpy as np\ndef write(S, k, v):\n    return S + np.outer(k, v)\n"
TOO_LONG = ("still running", "takes too long")  # the second where the whole check's time ran out first
# name: (source, the kind of finding, a word that the message has)
HOSTILE = {
    "an endless loop": ("def write(S, k, v):\n    while True: pass\n", "time", TOO_LONG),
    "an endless loop while loading": ("while True: pass\ndef write(S, k, v): return S\n", "time", TOO_LONG),
    "an endless loop that swallows interrupts": (
        "def write(S, k, v):\n    while True:\n        try:\n            while True: pass\n"
        "        except BaseException: pass\n",
        "time",
        TOO_LONG,
    ),
    "a sleep": ("import time\ndef write(S, k, v):\n    time.sleep(60)\n    return S\n", "time", TOO_LONG),
    "recursion": ("def write(S, k, v):\n    return write(S, k, v)\n", "raised RecursionError", "recursion"),
    "a memory hog": (
        "import numpy as np\ndef write(S, k, v):\n    x = [np.ones((1 << 23,)) for _ in range(64)]\n    return S\n",
        ("memory", "raised MemoryError", "raised _ArrayMemoryError", "time"),
        ("memory", "allocate", "MB", *TOO_LONG),
    ),
    "a fork bomb": ("import os\ndef write(S, k, v):\n    while True: os.fork()\n", "denied", "os.fork"),
    "fork by another name": (
        "import contextlib\ndef write(S, k, v):\n    contextlib.os.fork()\n",
        ("denied", "raised AttributeError"),
        ("fork", "os"),
    ),
    "a subprocess": ("import subprocess\ndef write(S, k, v): return S\n", "raised ImportError", "subprocess"),
    "a shell": (
        "import numpy as np\ndef write(S, k, v):\n    np.os.system('true')\n",
        ("denied", "raised AttributeError"),
        "",
    ),
    "a shell through warnings": (
        "import warnings\ndef write(S, k, v):\n    warnings.sys.modules['os'].system('echo hello')\n    return S\n",
        "denied",
        "os.system",
    ),
    "deleting files": (
        "import os\ndef write(S, k, v):\n    os.remove('/tmp/minilinear-test')\n",
        "denied",
        "os.remove",
    ),
    "deleting upwards": (
        "import warnings\nos = warnings.sys.modules['os']\ndef write(S, k, v):\n    os.remove('../x')\n",
        "denied",
        "os.remove",
    ),
    "killing": (
        "import warnings\nos = warnings.sys.modules['os']\ndef write(S, k, v):\n    os.kill(os.getppid(), 9)\n",
        "denied",
        "os.kill",
    ),
    "ending the process": (
        "import warnings\ndef write(S, k, v):\n    warnings.sys.modules['os']._exit(0)\n",
        "ended",
        "ended the process",
    ),
    "sys.exit": ("raise SystemExit(0)\n", "raised SystemExit", "SystemExit"),
    "a crash": (
        "import numpy as np\ndef write(S, k, v):\n"
        "    return np.lib.stride_tricks.as_strided(S, (1 << 40,), (4096,)).sum()\n",
        ("crash", "memory", "raised MemoryError", "time"),
        "",
    ),
    "ctypes": ("import ctypes\ndef write(S, k, v): return S\n", "raised ImportError", "ctypes"),
    "the library": ("import minilinear\ndef write(S, k, v): return S\n", "raised ImportError", "minilinear"),
    "the exercise's file": (
        "def write(S, k, v):\n    return open('/tmp/course/memory_1/solution.py').read()\n",
        "denied",
        "open",
    ),
    "the guard by its name": (
        "import sys\nsys.modules['isolated.guard'].PATHS['open'] = 0\ndef write(S, k, v): return S\n",
        "raised KeyError",
        "isolated.guard",
    ),
    "the guard by the frames": (
        "import sys\nframe = sys._getframe()\nwhile 'guard' not in frame.f_globals: frame = frame.f_back\n"
        "guard = frame.f_globals['guard']\nguard.PATHS['open'] = 0\nguard.HARMLESS = frozenset(['open'])\n"
        "def write(S, k, v):\n    return open('/etc/hostname').read()\n",
        "denied",
        "open",
    ),
    "any file": ("def write(S, k, v):\n    return open('/etc/hostname').read()\n", "denied", "open"),
    "the judge's environment": (
        "import warnings\nos = warnings.sys.modules['os']\ndef write(S, k, v):\n"
        "    return open(f'/proc/{os.getppid()}/environ').read()\n",
        "denied",
        "open",
    ),
    "the network": ("import socket\ndef write(S, k, v): return S\n", "raised ImportError", "socket"),
    "a printed verdict": (
        "def write(S, k, v):\n    print('pass  value  3 points')\n    return S\n",
        "value",
        "example",
    ),
    "a verdict on the channel": (
        "import warnings\nos = warnings.sys.modules['os']\ndef write(S, k, v):\n"
        "    for fd in range(3, 30):\n"
        "        try: os.write(fd, b'x' * 40)\n"
        "        except OSError: pass\n"
        "    return S\n",
        "channel",
        "channel",
    ),
    "NumPy made to agree": (
        "import numpy as np\nnp.allclose = lambda *a, **k: True\nnp.array_equal = np.allclose\n"
        "def write(S, k, v):\n    return S\n",
        "value",
        "example",
    ),
    "an array that equals everything": (
        "import numpy as np\nclass Yes(np.ndarray):\n    def __eq__(self, other): return True\n"
        "def write(S, k, v):\n    return S.view(Yes)\n",
        "type",
        "Yes",
    ),
    "a function that wears another's code": (
        "def f(S, k, v): return S\ndef write(S, k, v): return S\nwrite.__code__ = f.__code__\n",
        "denied",
        "__setattr__",
    ),
    "a thread that goes on": (
        "import threading, time\ndef write(S, k, v):\n    threading.Thread(target=time.sleep, args=(60,)).start()\n",
        ("type", "raised ImportError", "denied"),  # denied from Python 3.12 on, which tells the guard
        ("NoneType", "threading"),
    ),
    "a flood of output": ("def write(S, k, v):\n    print('x' * 10_000_000)\n    return S\n", "value", "example"),
    "an escape sequence": (
        "def write(S, k, v):\n    raise ValueError('\\x1b[2J\\x1b[32mpassed')\n",
        "raised ValueError",
        "·[2J",
    ),
    "an error that cannot be read": (
        "class E(Exception):\n    def __str__(self): raise SystemExit\ndef write(S, k, v):\n    raise E\n",
        "raised E",
        "could not be read",
    ),
    "a huge result": (
        "import numpy as np\ndef write(S, k, v):\n    return np.broadcast_to(1.0, (1 << 26,))\n",
        ("type", "memory"),
        "",
    ),
    "no array": ("def write(S, k, v):\n    return {'answer': 42}\n", "type", "dict"),
    "an array of objects": (
        "import numpy as np\ndef write(S, k, v):\n    return np.array([print])\n",
        "type",
        "object",
    ),
    "a file of nothing but zeros": ("\0" * 1000, "syntax", ""),
    "a very long file": ("x = 1\n" * 50_000 + HONEST, "syntax", "characters"),
    "deep nesting": ("x = " + "(" * 5000 + ")" * 5000 + "\n" + HONEST, ("syntax", "crash"), ""),
}


@pytest.fixture(scope="module")
def exercise(tmp_path_factory):
    return Course(write_course(tmp_path_factory.mktemp("course")))["memory-1"]


@pytest.fixture(scope="module")
def spare():
    with Spare() as spare:
        yield spare


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_contained_and_told(name, exercise, spare):
    source, kinds, words = HOSTILE[name]
    *_, last = Judge(exercise, spare, source).run()
    assert not last.passed
    assert last.kind in (kinds if isinstance(kinds, tuple) else (kinds,)), (last.kind, last.found)
    assert any(word in last.found for word in (words if isinstance(words, tuple) else (words,))), last.found
    assert "\x1b" not in last.found + last.printed


def test_the_judge_goes_on_after_each_of_them(exercise, spare):
    for name in ("an endless loop", "ending the process", "killing", "a verdict on the channel"):
        list(Judge(exercise, spare, HOSTILE[name][0]).run())
        assert all(result.passed for result in Judge(exercise, spare, HONEST).run()), name


def test_an_honest_warning_is_no_crime(exercise, spare):
    warned = HONEST.replace("    return", "    import warnings\n    warnings.warn('look', stacklevel=2)\n    return")
    assert all(result.passed for result in Judge(exercise, spare, warned).run())


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user")
def test_another_user_sees_no_file_at_all_even_without_the_guard(exercise):
    """os.stat raises no audit event, so the guard lets it by: there is nothing to see."""
    look = (
        "import os\ndef write(S, k, v):\n"
        "    raise ValueError([os.getuid(), os.path.exists('/etc'), os.path.exists('/')])\n"
    )
    with Spare(user=54_321) as fresh:
        *_, last = Judge(exercise, fresh, look).run()
        assert "ValueError: [54321, False, True]" in last.found, last.found
        assert all(result.passed for result in Judge(exercise, fresh, HONEST).run())


def test_nothing_is_left_running_and_no_folder_behind(exercise):
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    with Spare() as spare:
        homes = [spare.child.home]
        for name in ("an endless loop", "an error that cannot be read"):
            list(Judge(exercise, spare, HOSTILE[name][0]).run())
            homes.append(spare.child.home)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        left = {process.pid for process in psutil.Process().children(recursive=True)} - before
        if not left:
            break
        time.sleep(0.05)
    assert not left
    assert not [home for home in homes if os.path.exists(home)]


def test_the_process_holds_no_reference_and_no_environment(exercise, spare, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_JUDGE", "1")
    look = (
        "import warnings, numpy as np\nsys = warnings.sys\n"
        "names = [n for n in sys.modules if 'minilinear' in n or 'hypothesis' in n or 'exercises' in n]\n"
        "secret = [k for k in sys.modules['os'].environ if 'SECRET' in k]\n"
        "paths = [p for p in sys.path if p]\n"
        "def write(S, k, v):\n    raise ValueError(f'{names} {secret} {paths}')\n"
    )
    with Spare() as fresh:
        *_, last = Judge(exercise, fresh, look).run()
    assert "ValueError: [] [] []" in last.found, last.found


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's limits are Linux's here")
def test_the_kernel_limits_hold(spare):
    child = spare.take()
    try:
        assert child.limits is not None and child.limits >= 5
    finally:
        spare.give_back(child)
