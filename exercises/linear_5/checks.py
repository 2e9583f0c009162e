from minilinear.recurrence import diagonal_scan


def library(a, b):
    """The library's scan by the same algorithm, for one batch element."""
    return diagonal_scan(a[None], b[None], method="hillis-steele")[0]
