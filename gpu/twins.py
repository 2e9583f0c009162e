"""The table of twins: which mirrored functions have kernels, by the name that stands in `@mirrored("...")`.

The twins stand beside their kernels' registrations, in norms.py and the like; they are made with `Twin` of mirror.py.
A name with a precision behind it, "delta_product_bf16", is that function in a block of `precision.products_in("bf16")`.
"""

from __future__ import annotations

from . import (
    attention,
    convolution,
    cross_entropy,
    diagonal,
    diagonal_bf16,
    diagonal_recurrent,
    embedding,
    glu,
    householder,
    householder_bf16,
    householder_recurrent,
    kan,
    norms,
    optim,
    rotate,
    scan,
    softmax,
)
from .mirror import Twin

TABLE: dict[str, Twin] = (
    cross_entropy.TWINS | embedding.TWINS | glu.TWINS | norms.TWINS | softmax.TWINS  # on rows
    | convolution.TWINS | kan.TWINS | optim.TWINS | rotate.TWINS | scan.TWINS  # along streams
    | attention.TWINS | diagonal.TWINS | diagonal_recurrent.TWINS  # over whole sequences
    | householder.TWINS | householder_recurrent.TWINS
    | diagonal_bf16.TWINS | householder_bf16.TWINS  # and on tensor cores
)  # fmt: skip
