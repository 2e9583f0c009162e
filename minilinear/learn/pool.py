"""Processes that work for a command, and end with it: also where it is killed and can tell nobody."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any


def spawned(jobs: int, begin: Callable[..., None] | None = None, *arguments: Any) -> ProcessPoolExecutor:
    """A pool of so many processes. They are spawned: a fork would take this one's threads and locks along.

    Args:
        jobs: processes.
        begin: what each calls first, with the arguments.
    """
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(jobs, context, _begun, (begin, arguments))


def _begun(begin: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    if begin is not None:
        begin(*arguments)


def _end_with_the_parent() -> None:
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)
