"""What `minilinear bench` runs. `rows` is the table of what is measured, `peers` the same computations in torch,
`worker` the process in which one of them is measured.
"""

from .rows import ROWS, Implementation, Row

__all__ = ["ROWS", "Implementation", "Row"]
