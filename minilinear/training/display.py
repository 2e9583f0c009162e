"""What a person sees while a model trains: a live table on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table

from .run import Progress

PLAIN_EVERY = 5.0  # seconds between two lines without a terminal
SIGNS = """α:alpha β:beta γ:gamma δ:delta ε:eps η:eta θ:theta λ:lambda μ:mu π:pi σ:sigma Σ:sum τ:tau φ:phi Φ:Phi Δ:Delta
Π:prod ⁰:^0 ¹:^1 ²:^2 ³:^3 ⁱ:^i ʲ:^j ᵗ:^t ᵀ:^T ⁻:^- ₀:0 ₁:1 ₂:2 ₃:3 √:sqrt ·:. ⊙:* ≤:<= ≥:>= ×:x →:->
←:<- −:- ¼:1/4 …:... ≈:~ ✓:+ ✗:x \u0302:^ \u0304:"""
SPOKEN = str.maketrans(dict(pair.split(":") for pair in SIGNS.split()))
BLOCKS, ASCII_BLOCKS = "▁▂▃▄▅▆▇█", "_.-:=+*#"


def speaks_unicode(console: Console) -> bool:
    """Whether the stream behind the console takes more than ASCII: rich fails on a tick mark otherwise."""
    return (console.encoding or "").lower().replace("-", "").startswith("utf")


def speakable(text: str, console: Console) -> str:
    """The text in what the stream can carry: signs and letters of mathematics by their names, the rest as escapes."""
    encoding = console.encoding or "ascii"
    try:
        text.encode(encoding)
        return text
    except UnicodeEncodeError:
        text = text.translate(SPOKEN)
    return text.encode(encoding, "backslashreplace").decode(encoding)


def new_table(console: Console, *columns: str, title: str | None = None) -> Table:
    """An empty table in the house's look; numbers are to the right."""
    table = Table(title=title, box=box.SIMPLE_HEAD if speaks_unicode(console) else box.ASCII, title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right", no_wrap=True)
    return table


def sparkline(values: Sequence[float], width: int, blocks: str = BLOCKS) -> str:
    """The last part of a curve in one line of text, from its least (lowest block) to its greatest value."""
    shown = [v for v in values if math.isfinite(v)]
    if len(shown) > width:
        shown = [shown[i * len(shown) // width] for i in range(width)]
    low, high = (min(shown), max(shown)) if shown else (0.0, 0.0)
    scale = (len(blocks) - 1) / (high - low) if high > low else 0.0
    return "".join(blocks[round((v - low) * scale)] for v in shown)


class Display:
    """Shows the runs that train side by side.

    Args:
        console: where to.
        names: one for each run.
        steps: how many each will take.
    """

    def __init__(self, console: Console, names: Sequence[str], steps: Sequence[int]):
        self.console, self.names, self.steps = console, list(names), list(steps)
        self.losses: list[list[float]] = [[] for _ in names]
        self.latest: list[Progress | None] = [None for _ in names]
        self._live = Live(console=console, refresh_per_second=8, transient=True) if console.is_terminal else None
        self._last = time.monotonic()

    def __enter__(self) -> Display:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live:
            self._live.stop()

    def update(self, which: int, progress: Progress) -> None:
        """One more step of one run."""
        self.losses[which].append(progress.loss)
        self.latest[which] = progress
        now = time.monotonic()
        if now - self._last < (0.1 if self._live else PLAIN_EVERY):
            return
        self._last = now
        if self._live:
            self._live.update(self._table())
        else:
            self.console.print(self._line(), highlight=False, soft_wrap=True)

    def _table(self) -> Table:
        unicode = speaks_unicode(self.console)
        table = new_table(self.console, "model", "step", "loss", "tokens/s", "loss so far")
        for name, steps, losses, progress in zip(self.names, self.steps, self.losses, self.latest):
            if progress is None:
                table.add_row(name, f"0/{steps}", "", "", "")
                continue
            curve = sparkline(losses, 32, BLOCKS if unicode else ASCII_BLOCKS)
            speed = f"{progress.tokens * progress.step / max(progress.seconds, 1e-9):,.0f}"
            table.add_row(name, f"{progress.step}/{steps}", f"{progress.loss:.4f}", speed, curve)
        return table

    def _line(self) -> str:
        parts = [
            f"{name}: step {p.step}/{steps}, loss {p.loss:.4f}"
            for name, steps, p in zip(self.names, self.steps, self.latest)
            if p is not None
        ]
        return " | ".join(parts)
