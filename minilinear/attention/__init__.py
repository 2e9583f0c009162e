"""Attention: every token looks at the tokens before it, and its memory is all of them."""

from .rope import rotate
from .softmax import SoftmaxAttention, SoftmaxAttentionState, merge_attention, softmax_attention

__all__ = ["SoftmaxAttention", "SoftmaxAttentionState", "merge_attention", "rotate", "softmax_attention"]
