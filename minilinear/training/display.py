"""What a person sees while a model trains: a live table on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from rich.console import Console
from rich.live import Live
from rich.table import Table

from ..terminal import new_table, speaks_unicode
from .run import Progress

PLAIN_EVERY = 5.0  # seconds between two lines without a terminal
BLOCKS, ASCII_BLOCKS = "▁▂▃▄▅▆▇█", "_.-:=+*#"


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
