"""Optimizers, one file each; schedules and clipping."""

from collections.abc import Callable
from typing import Any

from .adamw import AdamW
from .clipping import clip_by_global_norm
from .ema import EMA
from .schedules import cosine

OPTIMIZERS: dict[str, Callable[..., Any]] = {"adamw": AdamW}
SCHEDULES: dict[str, Callable[..., float]] = {"cosine": cosine}

__all__ = ["EMA", "OPTIMIZERS", "SCHEDULES", "AdamW", "clip_by_global_norm", "cosine"]
