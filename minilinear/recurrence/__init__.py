"""Linear recurrences: the heart of the library.

Read `affine` (the one equation), then `diagonal` (a memory that fades) and `householder` (the delta rule), each in
three forms with its gradient; `decay`, `chunks` and `triangular` hold what the fast forms stand on.
"""

from .affine import affine_scan
from .diagonal import gated_linear_attention
from .householder import delta_product, delta_rule

__all__ = ["affine_scan", "delta_product", "delta_rule", "gated_linear_attention"]
