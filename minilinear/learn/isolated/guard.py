"""The guard of the learner's process: what an exercise has no use for ends the process, before it happens.

It is a guard against accidents and curiosity, not a sandbox. Python tells an audit hook of every file opened, process
started, module imported, socket made; the hook lets through what an exercise needs and ends the process at anything
else. Code that sets out to defeat it, with memory written through a forged object for instance, can. So nothing in
this process knows an answer or gives a verdict, and marks are given where this process runs as a user of its own.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from types import CodeType, MappingProxyType

from . import wire

try:
    import resource
except ImportError:  # Windows: the judge's watch alone limits time and memory
    resource = None  # type: ignore[assignment]

MAY_IMPORT = [
    "math",
    "cmath",
    "itertools",
    "functools",
    "operator",
    "collections",
    "dataclasses",
    "typing",
    "fractions",
    "decimal",
    "statistics",
    "random",
    "heapq",
    "bisect",
    "copy",
    "string",
    "re",
    "abc",
    "enum",
    "contextlib",
    "numbers",
    "warnings",
    "time",
    "traceback",
    "__future__",
]
OF_NUMPY = ["linalg", "fft", "random", "polynomial", "ma"]
# These raise no audit event, and an exercise has no use for them.
UNWATCHED = {
    "posix": "pidfd_open setsid setpgid mkfifo mknod chroot",
    "_signal": "signal setitimer alarm pidfd_send_signal",
    "_imp": "create_builtin",
}
HARMLESS = frozenset(
    [
        "compile",
        "exec",
        "marshal.loads",
        "marshal.load",
        "marshal.dumps",
        "builtins.id",
        "builtins.input",
        "builtins.input/result",
        "object.__getattr__",
        "object.__delattr__",
        "code.__new__",
        "function.__new__",
        "array.__new__",
        "time.sleep",
        "sys._getframe",
        "sys._getframemodulename",
        "sys.excepthook",
        "sys.unraisablehook",
    ]
)
# Events about files, and how many of their arguments are paths: allowed inside the process's own empty folder.
PATHS = {"open": 1, "os.listdir": 1, "os.scandir": 1, "os.mkdir": 1, "os.remove": 1, "os.rmdir": 1, "os.rename": 2}
FROZEN = ("__code__", "__defaults__", "__kwdefaults__")


class OnlyNumPy:
    """First on sys.meta_path: importing anything else is an ImportError that says what there is."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        if not name.startswith("numpy."):
            raise ImportError(f"an exercise has no module {name!r}: use NumPy, or {', '.join(MAY_IMPORT[:-1])}")


def prepare() -> None:
    """Import what learners may import, so that later nothing comes from disk, and hide what nobody needs."""
    for name in [*MAY_IMPORT, *(f"numpy.{part}" for part in OF_NUMPY)]:
        importlib.import_module(name)
    sys.modules.pop("ctypes", None)  # it was put out of reach before NumPy came in
    sys.path.clear()
    for module, names in UNWATCHED.items():
        for name in names.split():
            for holder in (sys.modules.get(module), sys.modules.get("signal"), os):
                if hasattr(holder, name):
                    delattr(holder, name)
    sys.meta_path.insert(0, OnlyNumPy())


def limit(cpu: int, memory: int, threads: int) -> int:
    """Set the kernel's limits: seconds, bytes, threads of this user (0: no limit). Returns how many of them hold.

    The limit on threads counts all of a user's threads on the machine and ignores root, so it is only for a user that
    has nothing but this process.
    """
    limits = {"CPU": cpu, "AS": memory, "CORE": 0, "FSIZE": 1 << 20, "NOFILE": 64}
    limits |= {"NPROC": threads} if threads else {}
    held = 0
    for name, most in limits.items() if resource else ():
        try:
            resource.setrlimit(getattr(resource, "RLIMIT_" + name), (most, most))
            held += 1
        except (AttributeError, ValueError, OSError):  # macOS refuses some
            pass
    return held


def arm(out: int, file: str, tracer: CodeType, write: Callable[[int, bytes], int] = os.write) -> None:
    """Install the audit hook; to be called before the learner's first bytecode. Python has no call that removes one.

    Everything the hook uses is taken now, as locals of this call: patched builtins do not reach it. No method of an
    argument is called before its exact type is known, since an __eq__ of the learner's would run in here. A denial
    ends the process: no `except` swallows it, and no traceback leads back here.

    Args:
        out: the descriptor of the channel, for the note that says what was denied and at which line.
        file: the name of the learner's file in tracebacks.
        tracer: the one function that may set a trace (counting bytecodes on Python 3.11).
    """
    import numpy as np

    numpy_at, python_at = os.path.dirname(np.__file__) + os.sep, os.path.dirname(os.__file__) + os.sep
    home, sep, writing = (
        os.getcwd().rstrip(os.sep),
        os.sep,
        os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND,
    )
    harmless, frozen = HARMLESS, FROZEN
    paths = MappingProxyType(dict(PATHS))  # no module that a learner could find holds what is read here
    kind, text, raw, number, frame_at, end, pack = type, str, bytes, int, sys._getframe, os._exit, wire.HEADER.pack

    def inside(event: str, path: object, flags: object) -> bool:
        if kind(path) is raw:
            path = path.decode("utf-8", "replace")  # type: ignore[attr-defined]
        if kind(path) is number:
            return True  # a descriptor, open already
        if kind(path) is not text or ".." in path:  # type: ignore[operator]
            return False
        if path[:1] not in ("/", "\\") and path[1:2] != ":":  # type: ignore[index]
            path = home + sep + path  # type: ignore[operator]  # no dir_fd points elsewhere: folders there do not open
        if path == home or path.startswith(home + sep):  # type: ignore[attr-defined]
            return True
        reading = event == "open" and not (kind(flags) is number and flags & writing)  # type: ignore[operator]
        source = reading and path.endswith((".py", ".pyc"))  # type: ignore[attr-defined]  # for tracebacks
        of_python = path.startswith(python_at) and "-packages" not in path  # type: ignore[attr-defined,operator]
        return source and (path.startswith(numpy_at) or of_python)  # type: ignore[attr-defined]

    def allowed(event: str, args: tuple) -> bool:
        if event in harmless:
            return True
        if event == "import":  # from disk NumPy's own only; without a file OnlyNumPy answers
            return args[1] is None or (kind(args[1]) is text and args[1].startswith(numpy_at))
        if event == "object.__setattr__":
            return kind(args[1]) is text and args[1] not in frozen
        if event == "sys.settrace":
            return frame_at(2).f_code is tracer
        if event not in paths:
            return False
        flags = args[2] if event == "open" else 0
        return all(inside(event, path, flags) for path in args[: paths[event]])

    def hook(event: str, args: tuple) -> None:
        try:
            if allowed(event, args):
                return
            frame, line = frame_at(1), 0
            while frame and not line:
                line = frame.f_lineno if frame.f_code.co_filename == file else 0
                frame = frame.f_back  # type: ignore[assignment]
            what = args[0] if args and kind(args[0]) is text else ""
            names = (event, what[:200])
            event_hex, what_hex = (name.encode("utf-8", "replace").hex() for name in names)
            note = f'{{"id":0,"arrays":[],"denied":"{event_hex}","line":{line},"what":"{what_hex}"}}'
            write(out, pack(b"mlx1", note.__len__(), 0) + note.encode())
        except BaseException:
            end(3)
        end(3)

    sys.addaudithook(hook)
