"""What `minilinear bench` runs. `rows` is the table of what is measured, `torch_peers` (with `torch_gates`) and
`jax_peers` the same computations in torch and jax, `worker` the process in which one of them is measured.
"""

from .rows import ROWS, Implementation, Row

__all__ = ["ROWS", "Implementation", "Row"]
