"""The delta rule: layers whose memory corrects what a key holds before it writes."""

from .delta_net import DeltaNet
from .delta_product import DeltaProduct, GatedDeltaProduct
from .gated_delta_net import GatedDeltaNet
from .kda import KDA

__all__ = ["KDA", "DeltaNet", "DeltaProduct", "GatedDeltaNet", "GatedDeltaProduct"]
