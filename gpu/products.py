"""Products of float32 matrices on tensor cores: one call of cuBLAS, whose sums are float32.

cuBLAS counts columns first. A matrix in C order is its own transpose there, so C = A B is asked for as C^T = B^T A^T.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def product(a: Any, b: Any, precision: str) -> Any:
    """A (n, k) times B (k, m), CuPy arrays of float32, with the operands in "tf32" or "bf16".

    bf16 operands are made by CuPy, to the nearest and ties to even; those of tf32 cuBLAS makes on the way into the
    tensor cores, and how it rounds them is its own affair.
    """
    import cupy
    from cupy_backends.cuda.libs import cublas

    runtime = cupy.cuda.runtime
    (n, k), m = a.shape, b.shape[1]
    c = cupy.empty((n, m), np.float32)
    if not n * m * k:
        c.fill(0)
        return c
    kind, compute = runtime.CUDA_R_32F, cublas.CUBLAS_COMPUTE_32F_FAST_TF32
    if precision == "bf16":
        from ml_dtypes import bfloat16

        a, b = a.astype(bfloat16), b.astype(bfloat16)
        kind, compute = runtime.CUDA_R_16BF, cublas.CUBLAS_COMPUTE_32F
    a, turn_a, step_a = _as_columns(a)
    b, turn_b, step_b = _as_columns(b)
    one, zero = np.ones(1, np.float32), np.zeros(1, np.float32)  # cuBLAS reads them here, before it returns
    cublas.gemmEx(
        cupy.cuda.device.get_cublas_handle(), turn_b, turn_a, m, n, k, one.ctypes.data,
        b.data.ptr, kind, step_b, a.data.ptr, kind, step_a, zero.ctypes.data,
        c.data.ptr, runtime.CUDA_R_32F, m, compute, cublas.CUBLAS_GEMM_DEFAULT,
    )  # fmt: skip
    return c


def _as_columns(x: Any) -> tuple[Any, int, int]:
    """A matrix whose transpose cuBLAS is to see: the array, whether it must turn it (0 no, 1 yes), and how many numbers
    lie between two of its columns.
    """
    if x.flags.c_contiguous:
        return x, 0, x.shape[1]
    if x.flags.f_contiguous:
        return x, 1, x.shape[0]
    return x.copy(order="C"), 0, x.shape[1]
