"""Findings for people: the line of the kernel in its surroundings, who did it, what to look for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from .findings import Counters, Finding

AROUND = 2  # lines before and after


def report(findings: Sequence[Finding], text: str | None = None, *, file: str = "kernel.cu") -> RenderableType:
    """The findings as rich shows them: print(...) of rich.console.Console.

    Args:
        findings: of a result.
        text: of the kernel, called `file`; other files are read from disk.

    Returns:
        One panel for each finding; a single line if there is none.
    """
    if not findings:
        return Text("check mode: nothing found", style="green")
    return Group(*(_panel(finding, _lines(finding.file, text, file)) for finding in findings))


def plain(findings: Sequence[Finding], text: str | None = None, *, file: str = "kernel.cu") -> str:
    """The same as text alone, for a log or a test's message."""
    # Neither a terminal nor a notebook: in one, rich shows something even while it is captured.
    console = Console(width=100, color_system=None, force_terminal=False, force_jupyter=False, legacy_windows=False)
    with console.capture() as captured:
        for finding in findings:
            console.print(Text(f"{finding.file}:{finding.line}: {finding.kind}"))
            console.print(_body(finding, _lines(finding.file, text, file)))
            console.print()
        if not findings:
            console.print(report(findings))
    return captured.get().rstrip() + "\n"


def counted(counters: Counters) -> str:
    """The counters in a few lines, for people."""
    c = counters

    def traffic(accesses: int, size: int, sectors: int, least: int) -> str:
        words = f"{accesses} accesses, {size} bytes"
        return words + (f", {sectors} sectors of 32 bytes where {least} could do" if sectors else "")

    rows = [
        (
            "global reads",
            traffic(c.global_reads, c.global_read_bytes, c.global_read_sectors, c.global_read_sectors_least),
        ),
        (
            "global writes",
            traffic(c.global_writes, c.global_write_bytes, c.global_write_sectors, c.global_write_sectors_least),
        ),
        ("shared reads", traffic(c.shared_reads, c.shared_read_bytes, 0, 0)),
        ("shared writes", traffic(c.shared_writes, c.shared_write_bytes, 0, 0)),
        ("bank conflicts", f"{c.shared_replays} replays in {c.shared_accesses} accesses of warps"),
        ("barriers", f"{c.barriers} __syncthreads, {c.warp_syncs} __syncwarp, {c.shuffles} shuffles and votes"),
    ]
    if c.global_atomics or c.shared_atomics:
        rows.append(("atomics", f"{c.global_atomics} global, {c.shared_atomics} shared"))
    return "\n".join(f"{name:<14} {words}" for name, words in rows)


def _lines(wanted: str, text: str | None, file: str) -> list[str]:
    if wanted == file and text is not None:
        return text.splitlines()
    path = Path(wanted)
    return path.read_text("utf-8", errors="replace").splitlines() if path.is_file() else []


def _panel(finding: Finding, lines: list[str]) -> Panel:
    title = Text(f"{finding.kind}  {finding.file}:{finding.line}", style="bold red")
    return Panel(_body(finding, lines), title=title, title_align="left", border_style="red")


def _body(finding: Finding, lines: list[str]) -> Text:
    body = Text()
    marked = {finding.line: ">"}
    if finding.other and finding.other.file == finding.file:
        marked.setdefault(finding.other.line, "+")  # the other of the two accesses
    shown: set[int] = set()
    for line, mark in marked.items():
        around = AROUND if mark == ">" else 0
        shown |= set(range(max(line - around, 1), min(line + around, len(lines)) + 1))
    before = None
    for number in sorted(shown):
        if before is not None and number != before + 1:
            body.append("         ...\n", style="dim")
        before = number
        mark = marked.get(number, " ")
        body.append(f" {mark} {number:4d} | {lines[number - 1]}\n", style="bold" if mark != " " else "dim")
    body.append(f"{finding.words}.\n")
    if finding.called_from:
        calls = ", ".join(f"{Path(call.file).name}:{call.line}" for call in finding.called_from)
        body.append(f"Called from {calls}.\n")
    body.append(f"Look for: {finding.hint}", style="cyan")
    return body
