"""Optimizers, one file each; schedules and clipping."""

from .adamw import AdamW
from .clipping import clip_by_global_norm
from .schedules import cosine

__all__ = ["AdamW", "clip_by_global_norm", "cosine"]
