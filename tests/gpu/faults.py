"""Mistakes to plant into the kernels, each of which check mode must find: that is the test of the checker.

Every registered kernel has one or more: (kernel, old text, new text, kind of finding). The old text is looked for in
the kernel itself first, then in its file, then in the headers.
"""

ROWS: list[tuple[str, str, str, str]] = []

STREAMS: list[tuple[str, str, str, str]] = []

FAULTS = ROWS + STREAMS
