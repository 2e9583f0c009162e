"""Section `correct`: is a kernel right here?

Every example of every mirrored function, values and gradients, against the NumPy text in float64. Every case of every
kernel: against the same text on the simulator (there, that says nothing), twice with the same bits, and no number left
that nobody wrote. The recurrences and attention at full size, gradient by gradient, against float64 on two heads of one
batch row. And the traps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import minilinear as ml
from minilinear.gpu import cases
from minilinear.gpu.compare import compare
from minilinear.gpu.launch import KERNELS, Kernel, recorded
from minilinear.gpu.twins import TABLE

from . import traps
from .exact import against_float64, distance, drawn
from .operations import FULL, OPERATIONS, SMALL
from .places import Processor
from .record import Item

SAME_TEXT = 1e-5  # of the norm of an output: two compilers, two exponentials
SAME_ROUNDED = 1e-3  # where numbers are rounded to 8 bits: one that lies halfway may become the other neighbour


def items(place: Processor) -> Iterator[Item]:
    for name in TABLE:
        yield f"function {name}", lambda name=name: as_text(place, name)  # type: ignore[misc]
    for name, kernel in KERNELS.items():
        yield f"kernel {name}", lambda kernel=kernel: same_text(place, kernel)  # type: ignore[misc]
    for name, operation in OPERATIONS.items():
        if operation.chunked:
            yield f"size {name}", lambda name=name: at_size(place, name)  # type: ignore[misc]
    yield from traps.items(place)


def as_text(place: Processor, name: str) -> dict[str, Any]:
    """All examples of a mirrored function, outputs and gradients."""
    twin = TABLE[name]
    found = [compare(twin, i, backend=place.name) for i in range(len(twin.examples))]
    return {
        "ok": all(each.agrees for each in found),
        "bound": twin.bound,
        "examples": [{"frobenius": x.error, "wrong": x.wrong, "kernels": x.kernels} for x in found],
    }


def at_size(place: Processor, name: str) -> dict[str, Any]:
    """The first and the last head of the last sequence, of all that were computed."""
    sizes = FULL if place.full_size else SMALL | {"B": 2, "T": 130, "H": 3}
    operation, heads = OPERATIONS[name], (0, sizes["H"] - 1)
    found = against_float64(place, operation, drawn(operation, sizes), heads=heads)
    return {"sizes": {each: sizes[each] for each in "BTHKV"}, "row": sizes["B"] - 1, "heads": heads} | found


def same_text(place: Processor, kernel: Kernel) -> dict[str, Any]:
    """One kernel, all its cases."""
    found: list[dict[str, Any]] = []
    for case in kernel.cases:
        first, again = (launched(place, kernel, case) for _ in range(2))
        with ml.use("cpucuda"):
            simulated = launched(Processor(), kernel, case)
        apart = {name: distance(first[name], simulated[name]) for name in first}
        found.append(
            {
                "case": case,
                "apart": apart,
                "same_bits_twice": all(np.array_equal(first[n], again[n], equal_nan=True) for n in first),
                "all_written": all(np.isfinite(x).all() for x in first.values()),
            }
        )
    worst = max((each["frobenius"] for one in found for each in one["apart"].values()), default=0.0)
    bound = SAME_ROUNDED if kernel.name.endswith("_bf16") else SAME_TEXT
    ok = worst <= bound and all(one["same_bits_twice"] and one["all_written"] for one in found)
    return {"ok": ok, "worst_frobenius": worst, "cases": found}


def launched(place: Processor, kernel: Kernel, case: dict[str, Any]) -> dict[str, np.ndarray]:
    """What the kernel wrote: its outputs, and what it changed in place. Fresh outputs hold NaN before."""
    given = cases.inputs(kernel, case, np.random.default_rng(0))
    given = {name: place.here(x) if isinstance(x, np.ndarray) else x for name, x in given.items()}
    with place.backend, recorded(check=place.name == "cupy"):  # check fills outputs, and on a GPU that is all it does
        results = kernel(**given)
    outputs = dict(zip(kernel.outputs, results if isinstance(results, tuple) else (results,)))
    outputs |= {name: given[name] for name in kernel.inout}
    told = outputs.keys() - kernel.scratch
    return {name: place.numbers(x) for name, x in outputs.items() if x is not None and name in told}
