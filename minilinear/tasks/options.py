"""Checks of what a task is given, in the words of the task."""

from __future__ import annotations

from typing import Any

from ..errors import ConfigError, explain


def whole(name: str, value: Any, least: int, usual: int) -> int:
    """The value, if it is a whole number of `least` or more; `usual` is shown to one who gave something else."""
    if type(value) is not int or value < least:
        raise ConfigError(
            explain(f"{name} is a whole number, {least} or more.", got=repr(value), fix=f"{name}={usual}")
        )
    return value


def switch(name: str, value: Any) -> bool:
    """The value, if it is True or False."""
    if type(value) is not bool:
        raise ConfigError(explain(f"{name} is True or False.", got=repr(value), fix=f"{name}=True"))
    return value


def shortest_and_longest(lengths: Any, least: int, usual: tuple[int, int]) -> tuple[int, int]:
    """The pair of lengths to train on, both included; JSON brings it as a list."""
    pair = tuple(lengths) if isinstance(lengths, (list, tuple)) else ()
    if len(pair) != 2 or not all(type(n) is int for n in pair) or not least <= pair[0] <= pair[1]:
        raise ConfigError(
            explain(
                f"lengths is the shortest and the longest to train on, {least} or more.",
                got=repr(lengths),
                fix=f"lengths={usual}",
            )
        )
    return pair


def at_least(length: int, least: int, why: str) -> None:
    """Refuse a length to evaluate at that has no room for the question."""
    if length < least:
        raise ConfigError(explain(why, got=f"length={length}", fix=f"length={least} or more"))
