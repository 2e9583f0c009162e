"""How alike the files of a class are, whatever the names, the order of a sum and the comments.

A file becomes a bag of fingerprints: one for every expression and statement of its syntax tree, written without names,
docstrings and annotations and with the operands of + and * sorted, and one for every two statements in a row. What the
stub gives to everybody is taken out. Two files are as alike as their bags:

    sum of w over what both have / sum of w over what either has,      w = log(1 + files / files that have it)

So what few have counts for more than what the exercise forces on all. A number near 1 is a reason to read both files,
and no more than that: two people may find the same eight lines.
"""

from __future__ import annotations

import ast
import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations, pairwise

SMALLEST = 3  # nodes: below that everything is alike
SORTED = (ast.Add, ast.Mult, ast.BitAnd, ast.BitOr, ast.BitXor)  # a + b is b + a


@dataclass(frozen=True)
class Pair:
    """Two students.

    Attributes:
        one, other: their names.
        alike: over all exercises that both handed in, 0 to 1.
        exercises: for each of these.
    """

    one: str
    other: str
    alike: float
    exercises: dict[str, float]


def fingerprints(source: str) -> Counter[str]:
    """The bag of one file; empty for a file that does not parse."""
    try:
        tree = ast.parse(source)
        aliases = dict(_aliases(tree))
        found: Counter[str] = Counter()
        _write(tree, aliases, found)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Counter()
    return found


def _aliases(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """What imported names stand for: np.outer is numpy.outer, by whatever name NumPy was imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((name.asname or name.name, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((name.asname or name.name, f"{node.module}.{name.name}") for name in node.names)


def _write(node: ast.AST, aliases: dict[str, str], found: Counter[str]) -> tuple[str, int]:
    """Write a piece of syntax without names, and put all its pieces into the bag. What it reads, and its nodes."""
    own, parts = type(node).__name__, []
    if isinstance(node, ast.Name):
        own = aliases.get(node.id, "name")
    elif isinstance(node, ast.Attribute):
        own += node.attr
    elif isinstance(node, ast.keyword):
        own += str(node.arg)
    elif isinstance(node, ast.Constant):
        own = type(node.value).__name__
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "ctx", "type_comment"):
            continue
        pieces = value if isinstance(value, list) else [value]
        if name == "body" and isinstance(value, list):
            pieces = [piece for piece in pieces if not _is_text(piece)]
        written = [_write(piece, aliases, found) for piece in pieces if isinstance(piece, ast.AST)]
        for (first, _), (second, _) in pairwise(written) if name in ("body", "orelse") else ():
            found[_digest(f"{first};{second}")] += 1
        parts.append(written)
    if isinstance(node, ast.BinOp) and isinstance(node.op, SORTED):
        parts[0], parts[2] = sorted([parts[0], parts[2]])
    text = f"{own}({'|'.join(','.join(part for part, _ in written) for written in parts)})"
    size = 1 + sum(n for written in parts for _, n in written)
    digest = _digest(text)
    if size >= SMALLEST and not isinstance(node, ast.Import | ast.ImportFrom | ast.Module):
        found[digest] += 1
    return digest, size


def _is_text(node: ast.AST) -> bool:
    """A docstring, or any string that stands alone."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest()


def compare_class(files: dict[str, dict[str, str]], given: dict[str, str]) -> list[Pair]:
    """Every two students of a class, the most alike first.

    Args:
        files: source of each exercise of each student, files[student][exercise].
        given: source of each exercise's stub.

    Returns:
        A pair for every two students who handed in an exercise in common.
    """
    bags: dict[str, dict[str, Counter[str]]] = {student: {} for student in files}
    rarity: dict[str, dict[str, float]] = {}
    for exercise in sorted({name for sources in files.values() for name in sources}):
        common = fingerprints(given.get(exercise, ""))
        for student, sources in files.items():
            bag = fingerprints(sources.get(exercise, "")) - common
            if bag:
                bags[student][exercise] = bag
        rarity[exercise] = _rarity([mine[exercise] for mine in bags.values() if exercise in mine])
    pairs = []
    for one, other in combinations(sorted(files), 2):
        both = [name for name in rarity if name in bags[one] and name in bags[other]]
        counts = {name: _overlap(bags[one][name], bags[other][name], rarity[name]) for name in both}
        if both:
            shared, all_of = (sum(count[i] for count in counts.values()) for i in (0, 1))
            each = {name: shared / all_of for name, (shared, all_of) in counts.items()}
            pairs.append(Pair(one, other, shared / all_of, each))
    return sorted(pairs, key=lambda pair: -pair.alike)


def _rarity(bags: list[Counter[str]]) -> dict[str, float]:
    having = Counter(piece for bag in bags for piece in bag)
    return {piece: math.log1p(len(bags) / n) for piece, n in having.items()}


def _overlap(one: Counter[str], other: Counter[str], rarity: dict[str, float]) -> tuple[float, float]:
    """Weight of what both have, and of what either has."""

    def weight(pieces: Iterable[tuple[str, int]]) -> float:
        return sum(n * rarity[piece] for piece, n in pieces)

    return weight((one & other).items()), weight((one | other).items())
