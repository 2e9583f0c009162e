"""What must hold between the numbers of a launch, written as expressions where a kernel is registered.

    requires={
        "tile >= 1": "a tile has a step or more",
        "tiles = -(-T // tile)": "the tiles cover T, and no more",
        "tiles == 1 or states": "what enters the second tile stands in states",
    }

They are looked at in this order, so that a later one may rely on an earlier one. "tiles = ..." says what tiles is when
nobody does, and is a condition like the others when somebody does. The name of an optional array is true if it is
there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import CodeType
from typing import Any

from ..errors import WrongValue, explain

DEFINITION = re.compile(r"\s*(\w+)\s*=(?!=)\s*(.+)")


class Presence(int):
    """Whether an optional array is there, among the numbers."""


@dataclass(frozen=True)
class Relation:
    """One line of `requires`.

    Attributes:
        text: as it is written; why: in words.
        target: what it defines, or None.
        names: what its expression looks at.
    """

    text: str
    why: str
    target: str | None
    names: tuple[str, ...]
    code: CodeType


def relation(text: str, why: str) -> Relation:
    """Read one line of `requires`."""
    definition = DEFINITION.fullmatch(text)
    target, expression = definition.groups() if definition else (None, text)
    code = compile(expression, text, "eval")
    return Relation(text, why, target, code.co_names, code)


def settle(kernel: str, relations: Iterable[Relation], numbers: dict[str, Any]) -> None:
    """Hold the numbers against each relation, and put in those that it defines. What is not known is not looked at.

    Raises:
        ValueError: a relation that does not hold.
    """
    for each in relations:
        if not all(name in numbers for name in each.names):
            continue
        value = eval(each.code, {"__builtins__": {}}, numbers)
        if each.target is None:
            holds = bool(value)
        else:
            holds = _same(numbers.setdefault(each.target, value), value)
        if not holds:
            raise WrongValue(_refusal(kernel, each, numbers))


def _same(given: Any, value: Any) -> bool:
    """Floats up to the rounding of a float32: the kernel sees no more."""
    return math.isclose(given, value, rel_tol=1e-6) if isinstance(value, float) else bool(given == value)


def _refusal(kernel: str, broken: Relation, numbers: Mapping[str, Any]) -> str:
    names = dict.fromkeys([*broken.names, *([broken.target] if broken.target else [])])
    shown = lambda x: ("given" if x else "None") if isinstance(x, Presence) else repr(x)
    got = ", ".join(f"{name}={shown(numbers[name])}" for name in names)
    fix = f"leave {broken.target} out: it follows" if broken.target else f"another {' or '.join(names)}"
    return explain(f"{kernel} requires {broken.text}: {broken.why}.", got=got, fix=fix)
