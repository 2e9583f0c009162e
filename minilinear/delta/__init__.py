"""Layers whose state is corrected, not only added to: the delta rule and its family."""

from .delta_product import DeltaProduct, DeltaProductState

__all__ = ["DeltaProduct", "DeltaProductState"]
