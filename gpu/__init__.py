"""The GPU mirror of minilinear: CUDA kernels, name for name with the NumPy reference, imported as `minilinear.gpu`.

It imports without CuPy, a GPU or a compiler. One kernel text runs in two places: on a GPU through CuPy (backend
"cupy"), and on this computer's processor through `minilinear.gpu.sim` (backend "cpucuda"), which can also check it for
races and accesses out of bounds.
"""

from typing import Any

from ..errors import BackendError, explain

__all__ = ["check_available", "twin"]


def check_available(backend: str) -> None:
    """Refuse a backend that cannot run here.

    Raises:
        BackendError: what is missing, and the line that brings it.
    """
    raise BackendError(
        explain(
            f"minilinear.gpu has no kernels for {backend!r} in this version.",
            fix='ml.use("numpy"): the reference runs everywhere',
        )
    )


def twin(name: str, backend: str, inputs: tuple[Any, ...], static: dict[str, Any]) -> Any:
    """The twin of the mirrored function `name` on a backend, if it takes these arguments, else None."""
    return None
