"""Attention: layers that add to a memory and let it fade, and softmax attention, which keeps everything."""

from .feature_maps import FEATURE_MAPS, FeatureMap
from .gates import DecayGate
from .gla import GLA
from .layer import MemoryLayer, MemoryState
from .linear import LinearAttention
from .mamba2 import Mamba2
from .retention import Retention
from .rope import rotate
from .simple_gla import SimpleGLA
from .softmax import merge_attention, softmax_attention
from .softmax_layer import SoftmaxAttention, SoftmaxAttentionState

__all__ = [
    "FEATURE_MAPS",
    "GLA",
    "DecayGate",
    "FeatureMap",
    "LinearAttention",
    "Mamba2",
    "MemoryLayer",
    "MemoryState",
    "Retention",
    "SimpleGLA",
    "SoftmaxAttention",
    "SoftmaxAttentionState",
    "merge_attention",
    "rotate",
    "softmax_attention",
]
