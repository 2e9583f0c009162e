"""Linear recurrences: the heart of the library.

Read `affine` (the one equation, and how runs of it compose), then `diagonal` (a memory that fades) and `householder`
(the delta rule), each in three forms with its gradient; `decay`, `halving`, `chunks` and `triangular` hold what the
fast forms stand on. `signed` lets a decay be negative. `scan` is the general algorithm for anything associative.
"""

from .affine import affine_scan, apply_segment, compose, segment
from .diagonal import gated_linear_attention
from .householder import delta_product, delta_rule
from .linear_scan import block_scan, diagonal_scan
from .scan import associative_scan
from .signed import log_and_sign, with_signs

__all__ = [
    "affine_scan",
    "apply_segment",
    "associative_scan",
    "block_scan",
    "compose",
    "delta_product",
    "delta_rule",
    "diagonal_scan",
    "gated_linear_attention",
    "log_and_sign",
    "segment",
    "with_signs",
]
