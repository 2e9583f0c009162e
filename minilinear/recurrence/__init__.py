"""Linear recurrences: the heart of the library.

Read `affine` (the one equation), then `householder` (the delta rule in three forms, with its gradient); `decay` and
`chunks` hold what its fast form stands on.
"""

from .affine import affine_scan
from .householder import delta_product, delta_rule

__all__ = ["affine_scan", "delta_product", "delta_rule"]
