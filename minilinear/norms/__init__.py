"""Normalisation, each with its gradient in closed form."""

from .rms_norm import RMSNorm, l2_norm, rms_norm

__all__ = ["RMSNorm", "l2_norm", "rms_norm"]
