"""Threads and phases: what every thread of a block touches between two barriers, and where two of them race."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np

from minilinear.learn.isolated.blocks import Launch, Pointer
from minilinear.svg import text

from .picture import INK, PALETTE, RULE, Picture, by_hand

LEFT, TOP, HIGH, GAP = 58.0, 28.0, 24.0, 52.0  # the names of the threads; those of the phases; a thread; a barrier
LETTER, NARROWEST = 6.8, 440.0  # what a letter takes; a narrower picture would be blown up on a page
RACE = PALETTE["k"]


class Step(NamedTuple):
    """One access of one thread, with as many barriers of its block behind it as `phase` says."""

    phase: int
    thread: int
    verb: str
    array: str
    element: int


class Watched(Launch):
    """A launch of the simulator in Python that keeps what one of its blocks does."""

    def __init__(self, grid: tuple[int, ...], block: tuple[int, ...], watched: int) -> None:
        super().__init__(grid, block, None)
        self.steps: list[Step] = []
        self._watched = watched

    def count(self, what: str, array: Pointer, i: int) -> None:
        super().count(what, array, i)
        if self.at_block == self._watched:
            self.steps.append(Step(self.phase, self.at_thread, what.removesuffix("s"), array.name, i))


def steps(
    kernel: Callable[..., Any], grid: int, block: int, args: Sequence[Any], *, at_block: int = 0
) -> tuple[list[Step], list[str]]:
    """What the threads of one block do, and what the simulator finds.

    Args:
        kernel, grid, block, args: as for `minilinear.learn.isolated.blocks.run`; arrays are not written.
        at_block: the block that is watched.

    Returns:
        Its accesses in the order in which they were made; the kinds of the findings of the whole launch.
    """
    launch = Watched((grid, 1, 1), (block, 1, 1), at_block)
    copies = [a.copy() if isinstance(a, np.ndarray) else a for a in args]
    launch.run(kernel, copies, list(kernel.__code__.co_varnames[1:]))
    return launch.steps, [finding["kind"] for finding in launch.findings]


def racing(done: Iterable[Step]) -> dict[tuple[int, str, int], list[Step]]:
    """(phase, array, index) -> the accesses there, where two threads meet, one of them writes, and no barrier helps."""
    met: dict[tuple[int, str, int], list[Step]] = {}
    for step in done:
        met.setdefault((step.phase, step.array, step.element), []).append(step)
    return {
        place: there
        for place, there in met.items()
        if any(a.thread != b.thread for a in there if a.verb == "write" for b in there)
    }


def thread_grid(
    kernel: Callable[..., Any], grid: int, block: int, args: Sequence[Any], *, at_block: int = 0
) -> Picture:
    """The accesses of each thread of a block, phase by phase; those that race are hatched and have a sign.

    Args:
        kernel, grid, block, args: as for `minilinear.learn.isolated.blocks.run`; arrays are not written.
        at_block: the block that is drawn.
    """
    done, _ = steps(kernel, grid, block, args, at_block=at_block)
    races = racing(done)
    phases = 1 + max((step.phase for step in done), default=0)
    hatch = f"hatch{zlib.crc32(repr((done, at_block)).encode()):08x}"  # an id is the page's
    parts = [
        f'<defs><pattern id="{hatch}" width="7" height="7" patternUnits="userSpaceOnUse" '
        f'patternTransform="rotate(45)"><path d="M0 0V7" stroke="{RACE}" stroke-width="2" stroke-opacity="0.5"/>'
        "</pattern></defs>"
    ]
    for t in range(block):
        parts.append(text(0, TOP + t * HIGH + 16, f"thread {t}", size=12, fill=INK))
    x = LEFT
    for p in range(phases):
        cells = [_words(done, races, p, t) for t in range(block)]
        slots = [
            max(len(words) for words, _ in slot) * LETTER + 10 for slot in zip_longest(*cells, fillvalue=("", False))
        ]
        wide = max(64.0, sum(slots))
        parts.append(text(x + wide / 2, TOP - 10, f"phase {p}", anchor="middle", size=12, fill=INK))
        for t, cell in enumerate(cells):
            parts += _cell(cell, slots, x, TOP + t * HIGH, wide, hatch)
        x += wide
        if p + 1 < phases:
            parts.append(text(x + GAP / 2, TOP - 10, "barrier", anchor="middle", size=12, weight="bold", fill=INK))
            parts.append(f'<path d="M{x + GAP / 2:.1f} {TOP:.1f}v{block * HIGH:.1f}" stroke="{INK}" stroke-width="4"/>')
            x += GAP
    return by_hand(parts, max(x + 4, NARROWEST), TOP + block * HIGH + 6, _finding(done, races, phases, block))


def _words(
    done: Sequence[Step], races: dict[tuple[int, str, int], list[Step]], phase: int, thread: int
) -> list[tuple[str, bool]]:
    """What stands in a cell: (words, whether it races), neighbouring indices of one array together."""
    groups: dict[tuple[str, str], dict[int, bool]] = {}
    for step in done:
        if (step.phase, step.thread) == (phase, thread):
            group = groups.setdefault((step.verb, step.array), {})
            group[step.element] = (phase, step.array, step.element) in races
    found = []
    for (verb, array), indices in groups.items():
        bad = any(indices.values())
        sign = " !" if bad else ""
        found.append((f"{'wr' if verb == 'write' else 'rd'} {array}[{_ranges(sorted(indices))}]{sign}", bad))
    return found


def _ranges(indices: Sequence[int]) -> str:
    """0, 1, 2, 5 as "0-2,5"."""
    found: list[list[int]] = []
    for i in indices:
        if found and i == found[-1][1] + 1:
            found[-1][1] = i
        else:
            found.append([i, i])
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in found)


def _cell(
    words: Sequence[tuple[str, bool]], slots: Sequence[float], x: float, y: float, wide: float, hatch: str
) -> list[str]:
    """A rectangle with its accesses, one behind the other; it is hatched if one of them races."""
    box = f'x="{x + 1:.1f}" y="{y + 1:.1f}" width="{wide - 2:.1f}" height="{HIGH - 2:.1f}"'
    if any(race for _, race in words):
        parts = [f'<rect {box} fill="url(#{hatch})" stroke="{RACE}" stroke-width="1.5"/>']
    else:
        parts = [f'<rect {box} fill="none" stroke="{RULE}"/>']
    x += (wide - sum(slots)) / 2
    for (said, race), slot in zip(words, slots):
        weight = "bold" if race else "normal"
        parts.append(text(x + slot / 2, y + 16, said, anchor="middle", size=12, weight=weight, fill=INK))
        x += slot
    return parts


def _finding(done: Sequence[Step], races: dict[tuple[int, str, int], list[Step]], phases: int, block: int) -> str:
    barriers = f"{phases - 1} barrier{'s' if phases != 2 else ''}"
    size = f"{block} threads, {len(done)} accesses, {barriers}"
    if not races:
        return f"{size}, no race: no thread touches in a phase what another one writes in it."
    there = next(iter(races.values()))
    writer = next(step for step in there if step.verb == "write")
    other = next(step for step in there if step.thread != writer.thread)
    hurt = {step.thread for steps in races.values() for step in steps}
    return (
        f"{size}: {len(hurt)} threads race for {len(races)} element{'' if len(races) == 1 else 's'} (hatched, with !). "
        f"Thread {writer.thread} writes {writer.array}[{writer.element}] and thread {other.thread} {other.verb}s it in "
        f"phase {writer.phase}, with no barrier between them."
    )
