"""The process in which a learner's CUDA text is compiled and run, by the simulator in check mode.

A compiled kernel is machine code: it can loop, crash, and write wherever it likes. So it never runs in the judge's
process. This one is started ahead of its use, compiles one file, launches it on arrays as often as it is asked, and is
killed with everything it started. It holds the library but is told no answer: outputs, findings and counters go back.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from minilinear.errors import BackendError, CompileError, LaunchError
from minilinear.gpu import sim
from minilinear.gpu.source import FOLDER

from . import wire
from .child import become, channel

compiling = importlib.import_module("minilinear.gpu.sim.compile")  # the package has a function of this name

EMPTY = 'extern "C" __global__ void nothing() {}'
COUNTED = ("global_reads", "global_writes", "global_atomics", "shared_reads", "shared_writes")


def launch(program: sim.Program, plan: np.ndarray, args: list[Any]) -> tuple[list[np.ndarray], dict[str, Any]]:
    """Run a kernel; the same arguments and answers as `isolated.blocks.launch`.

    Raises:
        LaunchError: it cannot go on.
    """
    *sizes, shared, seed = plan[:8].tolist()
    order = None if seed < 0 else seed
    result = program.launch(program.names[0], sizes[:3], sizes[3:], args, shared=shared, seed=order)
    findings = []
    for finding in result.findings:
        other = finding.other.line if finding.other else 0
        known = {key: getattr(finding, key) for key in ("kind", "words", "array", "access", "line")}
        findings.append({**known, "other": other, "hint": finding.hint})
    threads = {key: result.counters.threads[key] for key in COUNTED}
    return [args[i] for i in plan[8:].tolist()], {"findings": findings, "counters": threads}


def compile_text(text: str, name: str, file: str) -> sim.Program:
    return sim.compile(text, [name], file=file, include=FOLDER, check=True)


def move_cache() -> None:
    """Put the simulator's cache into this process's folder, with the runtime in it.

    A learner's text is compiled once and never again: what was made of it goes with the folder.
    """
    runtime = compiling.runtime(compiling.find_compiler(), True).parent
    shutil.copytree(runtime, Path("cache", runtime.name))
    os.environ["MINILINEAR_CACHE"] = str(Path("cache").absolute())


def compile_as(user: int, text: str, name: str, file: str) -> sim.Program:
    """Compile with the rights that reach the compiler, the library and its headers; load what came of it without them.

    All of these may lie where only root can read, so nothing of them may be wanted after the change of user: the
    headers are copied, and an empty kernel has been launched before, for what is imported when it is first used.
    """
    launch(compile_text(EMPTY, "nothing", "empty.cu"), np.array([1, 1, 1, 1, 1, 1, 0, -1]), [])
    headers = compiling.included(text, [FOLDER])
    path, runtime = compiling.library(text, (name,), file, headers, True, compiling.find_compiler())
    for header in headers:
        copy = Path("cache", "headers", header)
        copy.parent.mkdir(parents=True, exist_ok=True)
        headers[header] = Path(shutil.copyfile(headers[header], copy)).absolute()
    for each in (Path("cache"), *Path("cache").rglob("*")):
        os.chown(each, user, user)
    become(user)
    return sim.Program(text, [name], file, path, runtime, headers, True)


def main(user: int) -> None:
    """Greet, compile one text, launch it on arrays until the judge is gone.

    Args:
        user: who runs the kernel; 0: whoever started this.
    """
    incoming, outgoing = channel()
    with suppress(BackendError):  # the runtime is made once on a computer, which takes seconds; now nobody waits
        compile_text(EMPTY, "nothing", "kernel.cu")
        move_cache()
    _limit()
    with os.fdopen(incoming, "rb") as requests, os.fdopen(outgoing, "wb") as answers:

        def send(head: dict[str, Any], arrays: list[np.ndarray] | tuple = ()) -> None:
            answers.write(wire.pack(head, arrays))
            answers.flush()

        def receive(n: int) -> bytes:
            got = requests.read(n)
            if len(got) < n:
                os._exit(0)  # the judge is gone
            return got

        send({"id": 0, "ok": 1, "line": 0})
        program: sim.Program | None = None
        while True:
            head, arrays = wire.unpack(receive)
            reply: dict[str, Any] = {"ok": 1}
            outputs: list[np.ndarray] = []
            try:
                if head["do"] == "load":
                    text, name, file = head["source"], head["name"], head["file"]
                    program = compile_as(user, text, name, file) if user else compile_text(text, name, file)
                elif program:
                    plan, *args = arrays
                    outputs, report = launch(program, plan, [a[()] if a.ndim == 0 else a for a in args])
                    outputs.append(np.frombuffer(json.dumps(report).encode(), np.uint8))
            except CompileError as error:
                reply = {"error": "compile", "message": str(error)[:4000]}
            except LaunchError as error:
                reply = {"error": "launch", "message": str(error)[:2000]}
            except BackendError as error:
                reply = {"error": "environment", "message": str(error)[:2000]}
            send({"id": head["id"], **reply}, outputs)


def _limit() -> None:
    """Seconds of computing, size of a file, no dump of memory; what macOS refuses, the judge's watch holds."""
    try:
        import resource
    except ImportError:
        return
    for what, most in ((resource.RLIMIT_CPU, 30), (resource.RLIMIT_FSIZE, 1 << 26), (resource.RLIMIT_CORE, 0)):
        with suppress(ValueError, OSError):
            resource.setrlimit(what, (most, most))
