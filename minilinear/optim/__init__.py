"""Optimizers, one file each; schedules, clipping, averages of the weights, and learning rates that keep with width."""

from collections.abc import Callable
from functools import partial

from .adagrad import Adagrad, AdaGradNorm
from .adam import Adam
from .adamp import AdamP
from .adamw import AdamW
from .clipping import adaptive_clip, clip_by_global_norm, clip_by_value
from .conda import Conda
from .ema import EMA
from .lamb import LAMB
from .lars import LARS
from .muon import Muon, newton_schulz
from .mup import mup_groups, rescale_init
from .optimizer import Group, Optimizer
from .schedules import SCHEDULES, constant, cosine, inverse_sqrt, linear, wsd
from .sgd import SGD
from .sgdp import SGDP

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": SGD,
    "momentum": partial(SGD, momentum=0.9),
    "nesterov": partial(SGD, momentum=0.9, nesterov=True),
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
    "adaptive_clip",
    "clip_by_global_norm",
    "clip_by_value",
    "constant",
    "cosine",
    "inverse_sqrt",
    "linear",
    "mup_groups",
    "newton_schulz",
    "rescale_init",
    "wsd",
]
