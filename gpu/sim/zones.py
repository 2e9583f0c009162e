"""Red zones: stretches of memory before and behind each variable of a checked kernel, which belong to nobody.

The compiler puts one `__shared__` array right behind another, and an index that is too large falls into the next one.
With -fdata-sections it gives each variable a section of its own in the assembler's text,

    .section .bss._ZZ1kE4tile,"aw",@nobits
    .align 32
    _ZZ1kE4tile: .zero 4096

and bytes at the begin and at the end of the section keep the variables apart, with whichever linker.
"""

from __future__ import annotations

import re

BYTES = 32768  # before and behind: two variables are as far apart as any two bytes of a block's static shared memory
SECTION = re.compile(
    r"^\s*\.section\s+\.(?:bss|data)\.[^\n]*\n(?:(?!\s*\.(?:section|text|data|bss|pushsection)\b)[^\n]*\n)*",
    re.MULTILINE,
)


def with_red_zones(assembler: str) -> str:
    """The assembler's text of a kernel with red zones around its variables."""
    return SECTION.sub(_padded, assembler)


def _padded(section: re.Match[str]) -> str:
    head, rest = section[0].split("\n", 1)
    return f"{head}\n\t.zero\t{BYTES}\n{rest}\t.zero\t{BYTES}\n"
