"""Any finite group, given by its multiplication table.

A table of n rows of n elements is a group's if

    closed         every product a * b is one of the n elements
    identity       there is an e with e * a = a * e = a for all a
    inverses       every a has a b with a * b = b * a = e
    associative    (a * b) * c = a * (b * c) for all a, b, c

These are checked in this order, and the first case that fails is named: a typing error in a table of 60 rows would
otherwise show itself only as a task that no model can learn.
"""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ..errors import ConfigError, explain
from .groups import LARGEST_ORDER, Group, is_group_name


def from_table(table: Any, name: str = "words") -> Group:
    """A group from its multiplication table, checked.

    Args:
        table: n rows of n whole numbers in 0 .. n-1; row a, column b holds a * b, first a, then b.
        name: how to call it; not the name of a built-in family.

    Raises:
        ConfigError: naming the first entry, element or triple (a, b, c) at which it is not a group.

    Cost: O(n^3), some seconds for n = 1000.
    """
    if is_group_name(name):
        raise ConfigError(explain(f"The name {name} is taken by a built-in group.", fix='name="words"'))
    t = _closed(table.tolist() if isinstance(table, np.ndarray) else table)
    every = np.arange(len(t))
    identities = np.flatnonzero((t == every).all(axis=1) & (t == every[:, None]).all(axis=0))
    if not len(identities):
        _not_a_group("there is an e with e * a = a * e = a for all a", "no row and column that read 0 1 2 ...")
    e = identities[0]
    for a in np.flatnonzero(~((t == e) & (e == t.T)).any(axis=1)):
        _not_a_group(f"every a has an inverse b, a * b = b * a = {e}", f"no inverse of {a}")
    for a in every:
        for b, c in np.argwhere(t[t[a]] != t[a][t]):  # [b, c]: (a * b) * c and a * (b * c)
            sides = f"({a} * {b}) * {c} = {t[t[a, b], c]} but {a} * ({b} * {c}) = {t[a, t[b, c]]}"
            _not_a_group("(a * b) * c = a * (b * c) for all a, b, c", sides)
    return Group(name, t, tuple(map(str, every)))


def _closed(rows: Any) -> np.ndarray:
    """The table as an (n, n) array of elements, or the first row or entry that is in the way."""
    n = len(rows) if isinstance(rows, (list, tuple)) else 0
    if not 1 <= n <= LARGEST_ORDER:
        _not_a_group(f"there are 1 to {LARGEST_ORDER} rows", f"{n} rows" if n else repr(rows)[:60])
    for a, row in enumerate(rows):
        if not isinstance(row, (list, tuple)) or len(row) != n:
            _not_a_group(f"{n} rows have {n} products each", f"row {a}: {row!r:.60}")
        for b, product in enumerate(row):
            if type(product) is not int or not 0 <= product < n:
                _not_a_group(f"a product is one of the elements 0 .. {n - 1}", f"{a} * {b} = {product!r:.60}")
    return np.array(rows)


def _not_a_group(axiom: str, got: str) -> NoReturn:
    example = "the group of two elements is [[0, 1], [1, 0]]"
    raise ConfigError(explain(f"In a group's table {axiom}.", got=got, fix=f"mend the table; {example}"))


def from_file(path: str | Path) -> Group:
    """A group from a file with its table: JSON, [[0, 1], [1, 0]], or CSV, one row a line with commas between.

    Raises:
        ConfigError: a file that cannot be read as a table, or a table that is not a group's.
    """
    number = re.compile(r"\s*[0-9]{1,9}\s*").fullmatch
    try:
        text = Path(path).read_text(encoding="utf-8-sig")  # spreadsheets begin a CSV file with a byte order mark
        if text.lstrip().startswith("["):
            rows = json.loads(text)
        else:
            cells = csv.reader(io.StringIO(text))
            rows = [[int(cell) if number(cell) else cell for cell in row] for row in cells if row]
    except (OSError, ValueError, RecursionError, csv.Error) as reason:
        raise ConfigError(
            explain(
                "A table comes from a text file, JSON or CSV.", got=f"{path}: {reason}", fix="[[0, 1], [1, 0]] is JSON"
            )
        ) from None
    return from_table(rows)
