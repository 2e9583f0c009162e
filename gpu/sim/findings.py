"""What check mode found, and what it counted: from the numbers of checker.cpp to lines, names and sentences."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from . import symbols
from .symbols import Line

MOST = 20  # findings of one launch; whoever has mended these runs it again

# Each kind of finding, and what to look for.
KINDS = {
    "race-in-block": "Put __syncthreads() between the two, where all threads of the block come by.",
    "race-between-blocks": (
        "Blocks run in any order and at once. Let each element be written by one block, and read by no other:"
        " write to another array, or go on in a second launch."
    ),
    "missing-syncwarp": (
        "Put __syncwarp() between the two, or __syncthreads() if other warps take part. The lanes of a warp do not run"
        " in step, and a shuffle exchanges registers, not memory."
    ),
    "out-of-bounds": "Compare the index with the number of elements before the access: if (i < n).",
    "null-argument": "None was passed for this array. Ask for the pointer before using it: if (weight) ...",
    "misaligned": (
        "A vector of 8 or 16 bytes lies at a multiple of 8 or 16 bytes, a tile of wmma at one of 32: __align__(32) for"
        " __shared__ arrays. Take scalars where the address or the length of a row does not allow it."
    ),
    "unfinished-copy": (
        "Put __pipeline_commit() and __pipeline_wait_prior(0), then __syncthreads() if other threads take part, between"
        " the copy and whatever uses its destination or writes its source."
    ),
    "uninitialised-shared": "Shared memory holds anything at first: write it, then __syncthreads(), then read it.",
    "uninitialised-local": "Give the variable a value where it is declared: float sum = 0; float row[4] = {};",
    "dynamic-shared-too-small": "Pass more bytes of dynamic shared memory to the launch (shared=), or use less.",
    "divergent-barrier": (
        "One __syncthreads() is for all threads of the block. Take it out of the branches, so that all of them come"
        " to the same line."
    ),
    "skipped-barrier": (
        "Let every thread come to the barrier: put the bound around the work, if (i < n) { ... }, and do not return"
        " before it."
    ),
    "exited-lane": (
        "The mask names the lanes that take part, and all of them must come. Let every lane of the warp reach the"
        " line, with a neutral value where it has none."
    ),
}


@dataclass(frozen=True)
class Other:
    """The other of the two accesses of a race, or of two barriers: where it stands, and whose it is (None: several)."""

    access: str | None
    file: str
    line: int
    thread: tuple[int, int, int] | None = None
    block: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class Finding:
    """One mistake in a kernel. `dataclasses.asdict` makes plain data of it.

    Attributes:
        kind: one of KINDS, such as "race-in-block".
        file, line: of the kernel's text; 0 where it could not be found.
        thread, block: threadIdx and blockIdx of the first thread that did it.
        array: name of the array, as in the kernel; None where it is about none.
        words: what happened, in a sentence.
        source: the line itself.
        element: index into the array, in its shape; None where it is about none.
        access: "read", "write" or "atomic"; None for a barrier.
        other: of a race, the access that it is with; of a divergent barrier, the other one.
        called_from: the lines of the calls that led there, innermost first, if it lies in a __device__ function.
        shares: of a race, the line of an earlier one on the same array, whose barrier may mend both.
    """

    kind: str
    file: str
    line: int
    thread: tuple[int, int, int]
    block: tuple[int, int, int]
    array: str | None
    words: str
    source: str
    element: tuple[int, ...] | None = None
    access: str | None = None
    other: Other | None = None
    called_from: tuple[Line, ...] = ()
    shares: Line | None = None

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.kind}: {self.words}"

    @property
    def hint(self) -> str:
        """What to look for."""
        if self.shares:
            return f"First mend {Path(self.shares.file).name}:{self.shares.line}: one barrier may be enough for both."
        return KINDS[self.kind]


@dataclass(frozen=True)
class Counters:
    """What a launch did. An access is one load or store of one thread, of 1 to 16 bytes.

    The accesses of the lanes of a warp count as one access of the warp if they come from one instruction, reached by
    the same calls, for the n-th time since the last __syncthreads, with the same n.

    A read of what the same thread has just read counts once, as in x[i] * x[i].

    Attributes:
        global_reads, global_read_bytes, global_writes, global_write_bytes: of the arrays.
        shared_reads, shared_read_bytes, shared_writes, shared_write_bytes: of shared memory.
        global_atomics, shared_atomics: atomic operations; they count among no others.
        global_read_sectors, global_write_sectors: stretches of 32 bytes that the accesses of warps touched.
        global_read_sectors_least, global_write_sectors_least: as few as could have held the same bytes.
        shared_accesses: accesses of warps to shared memory.
        shared_replays: further turns that these took, because lanes wanted different words of one bank.
        shuffles: shuffles and votes of warps. warp_syncs: __syncwarp of warps. barriers: __syncthreads of blocks.
        ungrouped: accesses that are in no warp's access, because there were too many of them between two barriers.
        threads: the first ten for each thread of a block, warps: the next eight for each warp, summed over the blocks.
    """

    global_reads: int = 0
    global_read_bytes: int = 0
    global_writes: int = 0
    global_write_bytes: int = 0
    global_atomics: int = 0
    shared_reads: int = 0
    shared_read_bytes: int = 0
    shared_writes: int = 0
    shared_write_bytes: int = 0
    shared_atomics: int = 0
    global_read_sectors: int = 0
    global_read_sectors_least: int = 0
    global_write_sectors: int = 0
    global_write_sectors_least: int = 0
    shared_accesses: int = 0
    shared_replays: int = 0
    shuffles: int = 0
    warp_syncs: int = 0
    barriers: int = 0
    ungrouped: int = 0
    threads: dict[str, list[int]] = field(default_factory=dict)
    warps: dict[str, list[int]] = field(default_factory=dict)

    @property
    def coalescing(self) -> float:
        """The least possible number of sectors over the number touched: 1 is best, 1/8 is a float from each sector."""
        touched = self.global_read_sectors + self.global_write_sectors
        return (self.global_read_sectors_least + self.global_write_sectors_least) / touched if touched else 1.0


def read(report: bytes, program: Any, arguments: Sequence[Any], names: Sequence[str]) -> tuple[list[Finding], Counters]:
    """Findings and counters of one launch.

    Args:
        report: the JSON of chk_report().
        program: the Program that was launched.
        arguments: of the launch.
        names: of the arguments.
    """
    told = json.loads(report)
    reader = _Reader(program, arguments, names)
    addresses = [a for raw in told["findings"] for a in raw["site"] + raw.get("other_site", []) if isinstance(a, int)]
    if addresses:
        with program.on_disk() as library:
            reader.lines = symbols.lines(library, [a - 1 for a in addresses])  # the call, not what comes after it
    findings: dict[tuple[str, str, int], Finding] = {}
    for raw in told["findings"]:
        finding = reader.finding(raw)
        findings.setdefault((finding.kind, finding.file, finding.line), finding)
    return _by_cause(findings.values())[:MOST], Counters(**told["counters"])


def _by_cause(findings: Iterable[Finding]) -> list[Finding]:
    """Races within a block first. Without one __syncthreads both of its sides race, in and between warps: several
    findings of one array, of which the later ones point to the first.
    """
    first: dict[str | None, Line] = {}
    found = []
    for each in sorted(findings, key=lambda finding: finding.kind != "race-in-block"):
        if each.kind in ("race-in-block", "missing-syncwarp"):
            each = replace(each, shares=first.get(each.array))
            if each.kind == "race-in-block":
                first.setdefault(each.array, Line(each.file, each.line))
        found.append(each)
    return found


def _at(index: Sequence[int]) -> tuple[int, int, int]:
    return (index[0], index[1], index[2])


class _Reader:
    """Puts words to raw findings."""

    def __init__(self, program: Any, arguments: Sequence[Any], names: Sequence[str]):
        self.variables, self.arguments, self.names = program.variables, arguments, names
        self.texts = {program.file: program.text.splitlines()}
        for name, path in program.headers.items():
            self.texts[name] = path.read_text("utf-8").splitlines()
        self.lines: dict[int, list[Line]] = {}

    def finding(self, raw: dict[str, Any]) -> Finding:
        kind = raw["kind"]
        file, line, calls = self.place(raw["site"])
        thread, block = _at(raw["thread"]), _at(raw["block"])
        array, element = self.what(raw)
        other = None
        if "other_access" in raw:
            other_file, other_line, _ = self.place(raw["other_site"])
            at = (_at(raw["other_thread"]), _at(raw["other_block"])) if "other_thread" in raw else (None, None)
            other = Other(raw["other_access"] or None, other_file, other_line, *at)
        words = getattr(self, "say_" + kind.replace("-", "_"))(raw, self.spell(array, element, raw), line, other)
        who = f"thread {thread}" + ("" if kind in ("race-in-block", "missing-syncwarp") else f" of block {block}")
        words = words.replace("{who}", who)
        text = self.texts.get(file, [])
        shown = text[line - 1].strip() if 0 < line <= len(text) else ""
        access = raw["access"] or None
        return Finding(kind, file, line, thread, block, array, words, shown, element, access, other, calls)

    def place(self, site: list[Any]) -> tuple[str, int, tuple[Line, ...]]:
        """The innermost line of the kernel's own text, and those it was called from."""
        found: list[Line] = []
        for step in site:
            found += [Line(step["file"], step["line"])] if isinstance(step, dict) else self.lines.get(step - 1, [])
        kernel = [Line(name, step.line) for step in found if (name := self.known_as(step.file)) and step.line]
        if not kernel:
            return "", 0, ()
        return kernel[0].file, kernel[0].line, tuple(kernel[1:])

    def known_as(self, file: str) -> str | None:
        """The kernel's name for the file that the compiler speaks of; None: it is the simulator's or the compiler's."""
        return next((name for name in self.texts if file == name or file.endswith("/" + name)), None)

    def what(self, raw: dict[str, Any]) -> tuple[str | None, tuple[int, ...] | None]:
        """The array that a raw finding is about, and the element."""
        offset, size = raw["offset"], max(raw["size"], 1)
        if raw["space"] == "global" and raw["argument"] >= 0:
            array = self.arguments[raw["argument"]]
            flat = offset // array.itemsize
            inside = array.ndim > 1 and 0 <= flat < array.size
            index = tuple(int(i) for i in np.unravel_index(flat, array.shape)) if inside else (flat,)
            return self.names[raw["argument"]], index
        if raw["space"] == "dynamic shared":
            return "dynamic shared memory", (offset // size,)
        if raw["space"] in ("static shared", "variable"):
            static = symbols.nearest(self.variables, offset)
            return static.name, ((offset - static.address) // size,)
        if raw["kind"] == "null-argument":
            missing = [name for name, value in zip(self.names, self.arguments, strict=True) if value is None]
            return " or ".join(missing) or None, None
        return None, None

    def spell(self, array: str | None, element: tuple[int, ...] | None, raw: dict[str, Any]) -> str:
        if raw["space"] == "dynamic shared":
            return f"dynamic shared memory at byte {raw['offset']}"
        if array is None:
            return "memory"
        if element is None:
            return array
        return f"{array}[{', '.join(map(str, element))}]"

    # What each kind says. {who} is put in later.

    def race(self, raw, what, line, other, cure):
        verbs = {"read": "reads", "write": "writes", "atomic": "updates atomically"}
        did = {"read": "read", "write": "wrote", "atomic": "updated atomically"}[other.access]
        where = "on the same line" if other.line == line else f"on line {other.line}"
        if other.thread is None:
            who = "other blocks"
        elif raw["kind"] == "race-between-blocks":
            who = f"thread {other.thread} of block {other.block}"
        else:
            who = f"thread {other.thread} of the same {'warp' if raw['kind'] == 'missing-syncwarp' else 'block'}"
        return f"{{who}} {verbs[raw['access']]} {what}, which {who} {did} {where}, and {cure}"

    def say_race_in_block(self, raw, what, line, other):
        return self.race(raw, what, line, other, "no __syncthreads lies between the two")

    def say_missing_syncwarp(self, raw, what, line, other):
        return self.race(raw, what, line, other, "no __syncwarp lies between the two")

    def say_race_between_blocks(self, raw, what, line, other):
        return self.race(raw, what, line, other, "nothing orders two blocks")

    def say_out_of_bounds(self, raw, what, line, other):
        verb = {"read": "reads", "write": "writes", "atomic": "updates"}.get(raw["access"], "uses")
        if raw["words"]:  # an array of known size, by -fsanitize=bounds
            kind, index = raw["words"].split("|")
            return f"{{who}} uses index {index} of an array declared as {kind.strip(chr(39))}"
        if raw["space"] == "nowhere":
            return f"{{who}} {verb} address {raw['offset']:#x}, which belongs to no array"
        if raw["space"] == "global":
            array = self.arguments[raw["argument"]]
            return f"{{who}} {verb} {what}, and {self.names[raw['argument']]} has {array.size} elements"
        return f"{{who}} {verb} {what}, which has {raw['bytes']} bytes"

    def say_null_argument(self, raw, what, line, other):
        verb = {"read": "reads", "write": "writes", "atomic": "updates"}.get(raw["access"], "uses")
        return f"{{who}} {verb} {what}, which is None in this launch: a null pointer"

    def say_misaligned(self, raw, what, line, other):
        if "|" not in raw["words"]:
            return f"{{who}} {raw['words']}"
        kind, alignment, over = raw["words"].split("|")
        kind = kind.strip("'").removeprefix("const ").removeprefix("struct ")
        article = "an" if kind[0] in "aeio" else "a"  # an int4, a ushort4
        return (
            f"{{who}} uses {article} {kind} at an address that is {over} bytes beyond a multiple of {alignment};"
            " a GPU stops with an error here"
        )

    def say_unfinished_copy(self, raw, what, line, other):
        if other is None:
            return f"{{who}} begins a copy to {what} here, and returns without having waited for it"
        verb = {"read": "reads", "write": "writes", "atomic": "updates"}[raw["access"]]
        own = other.thread == _at(raw["thread"])
        whose = "a copy of its own" if own else f"a copy of thread {other.thread}"
        here = f"begun on line {other.line}"
        if other.access == "read":
            return f"{{who}} writes {what}, from which {whose}, {here}, may still have to read"
        return f"{{who}} {verb} {what}, which {whose}, {here}, may write at any moment until that thread waits for it"

    def say_uninitialised_shared(self, raw, what, line, other):
        return f"{{who}} reads {what}, which no thread of the block has written yet"

    def say_uninitialised_local(self, raw, what, line, other):
        return f"{{who}} reads {raw['size']} bytes of a local variable that it has not written yet"

    def say_dynamic_shared_too_small(self, raw, what, line, other):
        verb = {"read": "reads", "write": "writes", "atomic": "updates"}.get(raw["access"], "uses")
        return f"{{who}} {verb} {what}, and the launch gave the block {raw['bytes']} bytes"

    def stuck(self, raw, what, line, other):
        return raw["words"] + "; {who} is one of them"

    say_skipped_barrier = say_exited_lane = stuck

    def say_divergent_barrier(self, raw, what, line, other):
        one, two = (reversed(self.place(raw[site])[2]) for site in ("other_site", "site"))  # calls, from the kernel on
        parted = next(((a.line, b.line) for a, b in zip(one, two, strict=False) if a != b), None)
        calls = f" (on lines {parted[0]} and {parted[1]})" if parted else ""
        return f"{raw['words']}{calls}; {{who}} is one of them"
