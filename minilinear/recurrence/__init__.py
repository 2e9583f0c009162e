"""Linear recurrences: the heart of the library.

Read `affine` (the one equation), then `scan` (every prefix at once), then `householder` (the delta rule in three forms,
with its gradient); `decay` and `chunks` hold what its fast form stands on.
"""

from .affine import affine_scan, apply_segment, compose, segment
from .householder import delta_product, delta_rule
from .scan import associative_scan, block_scan, diagonal_scan

__all__ = [
    "affine_scan",
    "apply_segment",
    "associative_scan",
    "block_scan",
    "compose",
    "delta_product",
    "delta_rule",
    "diagonal_scan",
    "segment",
]
