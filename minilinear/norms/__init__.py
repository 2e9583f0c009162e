"""Normalisation, each with its gradient in closed form. `algebra` holds what they share."""

from .algebra import normalize
from .batch_norm import BatchNorm
from .crms_norm import CRMSNorm, crms_norm
from .dynamic_tanh import DynamicTanh, dynamic_tanh
from .fuse import fuse_affine_into_linear
from .group_norm import GroupNorm, group_norm
from .l2_norm import L2Norm, l2_norm
from .layer_norm import LayerNorm, layer_norm
from .rms_norm import GatedRMSNorm, RMSNorm, SimpleRMSNorm, gated_rms_norm, rms_norm

__all__ = [
    "BatchNorm",
    "CRMSNorm",
    "DynamicTanh",
    "GatedRMSNorm",
    "GroupNorm",
    "L2Norm",
    "LayerNorm",
    "RMSNorm",
    "SimpleRMSNorm",
    "crms_norm",
    "dynamic_tanh",
    "fuse_affine_into_linear",
    "gated_rms_norm",
    "group_norm",
    "l2_norm",
    "layer_norm",
    "normalize",
    "rms_norm",
]
