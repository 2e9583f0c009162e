"""Training: the run, its folder, its checkpoints."""

from .checkpoint import load_checkpoint, save_checkpoint
from .folder import RunFolder
from .run import Progress, Run, RunConfig, evaluate_text, evaluate_words

__all__ = [
    "Progress",
    "Run",
    "RunConfig",
    "RunFolder",
    "evaluate_text",
    "evaluate_words",
    "load_checkpoint",
    "save_checkpoint",
]
