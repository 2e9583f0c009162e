"""Training: the run, its folder, its checkpoints."""

from .checkpoint import load_checkpoint, save_checkpoint
from .evaluation import bits_by_position, evaluate, evaluate_text
from .folder import RunFolder
from .run import Progress, Run, RunConfig

__all__ = [
    "Progress",
    "Run",
    "RunConfig",
    "RunFolder",
    "bits_by_position",
    "evaluate",
    "evaluate_text",
    "load_checkpoint",
    "save_checkpoint",
]
