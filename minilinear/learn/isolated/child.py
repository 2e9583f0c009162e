"""The learner's process: runs one file, sends arrays back, decides nothing.

It is started by `minilinear.learn.host` in an empty folder, as `python -I -S`, and answers two requests:

    load   execute the learner's file
    call   call the function (or the exercise's harness, which calls it) with arrays, and return its arrays

The values are judged elsewhere, so nothing done to this process turns a wrong array into a right one. What only this
side can see, changed inputs, memory and work, is a help for the honest: code that sets out to falsify it can.
"""

from __future__ import annotations

import faulthandler
import gc
import linecache
import os
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from . import guard, measure, wire

chroot: Any = getattr(os, "chroot", None)  # taken before the guard hides it
MOST_RESULTS = 16
MOST_RESULT = 1 << 24  # bytes of all results
MOST_AXES = 8  # of one result; a frame holds no more


class Learner:
    """The learner's module and how an exercise calls it."""

    def __init__(self) -> None:
        self.module = types.ModuleType("exercise")
        self.call: Callable[..., object] = lambda: None
        self.implementations: dict[str, Any] = {}

    def load(self, head: dict[str, Any], arrays: list[np.ndarray]) -> wire.Frame:
        """Execute the file. What it defines is called with arrays later."""
        self.module = types.ModuleType("exercise")
        lines = head["source"].splitlines(True)
        linecache.cache[head["file"]] = (len(head["source"]), None, lines, head["file"])  # tracebacks need no disk
        sys.modules["__main__"] = self.module
        exec(compile(head["source"], head["file"], "exec", dont_inherit=True), self.module.__dict__)
        exec(compile(head["implementations"], "<harness>", "exec", dont_inherit=True), self.implementations)
        function = self.module.__dict__.get(head["name"])
        if not callable(function):
            return {"error": "missing"}, []
        self.call = function
        if head["harness"]:
            names: dict[str, Any] = {}
            exec(compile(head["harness"], "<harness>", "exec", dont_inherit=True), names)
            self.call = lambda *args: names["harness"](self.module, *args)
        return {"ok": 1}, []

    def answer(self, head: dict[str, Any], arrays: list[np.ndarray]) -> wire.Frame:
        """Call with these inputs: the results, and what was seen of them."""
        args: list[Any] = [laid_out(array, head["layout"]) for array in arrays]
        call, seen = self.call, {}
        if head["implementation"]:
            given = nameless(self.implementations[head["implementation"]])
            call = lambda *args: self.call(given, *args)
        if head["measure"] == "work":
            return {"ok": 1, **measure.work(call, args)}, []
        before = [array.tobytes() for array in arrays]
        if head["measure"] == "memory":
            result, seen["bytes"] = measure.memory(call, args)
        else:
            result = call(*args)
        results = result if type(result) is tuple else (result,)
        if len(results) > MOST_RESULTS:
            return {"error": "type", "message": f"{len(results)} results"}, []
        for r in results:  # no subclass and no look-alike: their methods could say anything
            if type(r) not in (np.ndarray, bool, int, float) and not isinstance(r, np.generic):
                return {"error": "type", "message": type(r).__name__[:80]}, []
        pairs = enumerate(zip(args, before, strict=True))
        changed = [i for i, (a, old) in pairs if isinstance(a, np.ndarray) and a.tobytes() != old]
        shared = [i for i, a in enumerate(args) for r in results if overlap(a, r)]
        results = tuple(np.asarray(r) for r in results)
        for r in results:
            if r.dtype.kind not in "biufc" or r.ndim > MOST_AXES or max(r.nbytes, *r.shape, 0) > MOST_RESULT:
                return {"error": "type", "message": f"an array of dtype {r.dtype}, shape {r.shape}"[:200]}, []
        if (size := sum(r.nbytes for r in results)) > MOST_RESULT:
            return {"error": "type", "message": f"{size >> 20} MB"}, []
        return {"ok": 1, "changed": changed, "shared": shared, **seen}, list(results)


def nameless(implementation: Callable[..., object]) -> Callable[..., object]:
    """A function that does the same and is called like all the others: a property judges by results."""

    def write(*args: object) -> object:
        return implementation(*args)

    return write


def laid_out(array: np.ndarray, layout: str) -> Any:
    """The same values in another memory layout, made here since frames carry values only; scalars as Python numbers."""
    if array.ndim == 0:
        return array.item()
    if layout == "readonly":
        array.flags.writeable = False
    if layout == "F":
        return np.asfortranarray(array)
    if layout == "strided":
        return array.repeat(2, -1)[..., ::2]
    if layout == "reversed":
        return array[::-1].copy()[::-1]
    return array


def overlap(a: object, result: object) -> bool:
    return isinstance(a, np.ndarray) and isinstance(result, np.ndarray) and np.may_share_memory(a, result)


def describe(error: BaseException, file: str) -> dict[str, Any]:
    """What was raised, in words, with the learner's own line."""
    line = error.lineno if isinstance(error, SyntaxError) else 0
    traceback = error.__traceback__
    while traceback:
        line = traceback.tb_lineno if traceback.tb_frame.f_code.co_filename == file else line
        traceback = traceback.tb_next
    try:
        message = str(error)[:1000]
    except BaseException:  # its own __str__ may raise anything
        message = "(its message could not be read)"
    code = linecache.getline(file, line or 0).strip()[:200]
    return {"error": "raised", "type": type(error).__name__[:80], "message": message, "line": line or 0, "code": code}


def channel() -> tuple[int, int]:
    """Private copies of stdin and stdout. print() and crashes go to stderr, input() finds nothing."""
    incoming, outgoing = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    if sys.platform == "win32":
        import msvcrt

        for descriptor in (incoming, outgoing):
            msvcrt.setmode(descriptor, os.O_BINARY)
    return incoming, outgoing


def become(user: int, folder: str = "") -> None:
    """Give up root for good: real, effective and saved ids, and all groups.

    The process does it itself, once it has read Python and NumPy: both may lie where only root can read.

    Args:
        user: who it is from then on.
        folder: all that it sees from then on: no course, no library, no other submission, whatever the guard lets by.
    """
    if folder:
        chroot(folder)
        os.chdir("/")
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)


def main(cpu: int, memory: int, threads: int, user: int) -> None:
    """Greet, take the learner's file, arm the guard, answer until the judge is gone."""
    incoming, outgoing = channel()
    guard.prepare()
    measure.register()
    for module in (__file__, measure.__file__, wire.__file__):
        linecache.getlines(module)  # a warning shows lines of its callers, and later no file opens
    for name in [name for name in sys.modules if name.partition(".")[0] == __package__]:
        del sys.modules[name]
    if user:
        become(user, os.getcwd())
    gc.disable()  # a finaliser run by the collector inside the hook could reach its frame
    del sys.modules["gc"]

    def receive(n: int) -> bytes:
        got = bytearray()
        while len(got) < n:
            more = os.read(incoming, n - len(got))
            if not more:
                os._exit(0)  # the judge is gone
            got += more
        return bytes(got)

    def send(frame: bytes) -> None:
        while frame:
            frame = frame[os.write(outgoing, frame) :]

    send(wire.pack({"id": 0, "ok": 1, "line": guard.limit(cpu, memory, threads)}))
    learner = Learner()
    head, arrays = wire.unpack(receive)
    file = head["file"]
    guard.arm(outgoing, file, measure.watched.__code__)
    while True:
        # It names the line, needs no lock of the interpreter's, and works on Windows.
        faulthandler.dump_traceback_later(head["wall"], exit=True, file=outgoing)
        try:
            reply, results = (learner.load if head["do"] == "load" else learner.answer)(head, arrays)
        except BaseException as error:
            reply, results = describe(error, file), []
        faulthandler.cancel_dump_traceback_later()
        send(wire.pack({"id": head["id"], **reply}, results))
        head, arrays = wire.unpack(receive)
