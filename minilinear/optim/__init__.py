"""Optimizers, one file each; schedules, clipping, an average of the weights, learning rates by width."""

from collections.abc import Callable
from typing import Any

from .adagrad import Adagrad, AdaGradNorm
from .adam import Adam
from .adamw import AdamW
from .clipping import clip_by_global_norm, clip_by_value, clip_by_weights
from .conda import Conda
from .ema import EMA
from .lamb import LAMB
from .lars import LARS
from .muon import Muon, newton_schulz
from .mup import mup_groups
from .optimizer import Group, Optimizer
from .projected import SGDP, AdamP
from .schedules import constant, cosine, inverse_sqrt, linear, wsd
from .sgd import SGD

OPTIMIZERS: dict[str, Any] = {
    "sgd": SGD,
    "adam": Adam,
    "adamw": AdamW,
    "adagrad": Adagrad,
    "adagrad_norm": AdaGradNorm,
    "lars": LARS,
    "lamb": LAMB,
    "sgdp": SGDP,
    "adamp": AdamP,
    "muon": Muon,
    "conda": Conda,
}
SCHEDULES: dict[str, Callable[..., float]] = {
    "constant": constant,
    "linear": linear,
    "cosine": cosine,
    "wsd": wsd,
    "inverse_sqrt": inverse_sqrt,
}

__all__ = [
    "EMA",
    "LAMB",
    "LARS",
    "OPTIMIZERS",
    "SCHEDULES",
    "SGD",
    "SGDP",
    "AdaGradNorm",
    "Adagrad",
    "Adam",
    "AdamP",
    "AdamW",
    "Conda",
    "Group",
    "Muon",
    "Optimizer",
    "clip_by_global_norm",
    "clip_by_value",
    "clip_by_weights",
    "constant",
    "cosine",
    "inverse_sqrt",
    "linear",
    "mup_groups",
    "newton_schulz",
    "wsd",
]
