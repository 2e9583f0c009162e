"""Models, and the tables of names they are built from: mixers, feed-forward layers, norms, presets."""

from ..delta.delta_product import PRESETS as DELTA_PRODUCT_PRESETS
from .block import Block
from .language_model import FEED_FORWARDS, MIXERS, NORMS, LanguageModel, LanguageModelConfig, sample
from .pre_rms import pre_crms, pre_rms, pre_rms_for_training

PRESETS = {"delta_product": DELTA_PRODUCT_PRESETS}  # mixer -> preset -> options

__all__ = [
    "FEED_FORWARDS",
    "MIXERS",
    "NORMS",
    "PRESETS",
    "Block",
    "LanguageModel",
    "LanguageModelConfig",
    "pre_crms",
    "pre_rms",
    "pre_rms_for_training",
    "sample",
]
