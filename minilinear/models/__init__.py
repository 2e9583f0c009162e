"""Models, and the tables of names they are built from: mixers, feed-forward layers, norms, presets."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .block import PLACEMENTS, Block
from .language_model import LanguageModel, sample
from .numbers import Classifier, Regressor
from .pre_rms import pre_crms, pre_rms, pre_rms_for_training
from .stack import ModelConfig, Stack, plan
from .tables import FEED_FORWARDS, MIXERS, NORMS, PRESETS, TRANSITIONS

MODELS: dict[str, Callable[..., Any]] = {
    "language_model": LanguageModel,
    "classifier": Classifier,
    "regressor": Regressor,
}


def make_model(config: ModelConfig, *, rng: np.random.Generator) -> Any:
    """The model of a configuration: a LanguageModel, a Classifier or a Regressor, with initial weights from rng."""
    return MODELS[config.kind](config, rng=rng)


__all__ = [
    "FEED_FORWARDS",
    "MIXERS",
    "MODELS",
    "NORMS",
    "PLACEMENTS",
    "PRESETS",
    "TRANSITIONS",
    "Block",
    "Classifier",
    "LanguageModel",
    "ModelConfig",
    "Regressor",
    "Stack",
    "make_model",
    "plan",
    "pre_crms",
    "pre_rms",
    "pre_rms_for_training",
    "sample",
]
