"""The CuPy mirror of minilinear: CUDA kernels, name for name with the NumPy reference, imported as `minilinear.gpu`.

It imports without CuPy, without a GPU and without a compiler. `KERNELS` maps a backend to its kernels by name;
`minilinear.use` offers the backends found here besides "numpy".
"""

from collections.abc import Callable

KERNELS: dict[str, dict[str, Callable]] = {}
