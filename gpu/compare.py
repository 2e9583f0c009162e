"""Do the kernels say what the NumPy text says? Each twin has examples; each runs as kernels and as text, in float64.

An example is a function of the mirrored function and a random generator, `lambda f, rng: f(rng.standard_normal(5))`.
Both sides get the same numbers, which float32 holds exactly. What is compared: the outputs, the gradients of a random
sum over them, and the arrays in lists, which an optimizer changes where they lie.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..autograd import Tensor, grad, tensor, unwrap
from ..backend import current_backend, moved, to_numpy, use
from ..nn import Parameter
from .launch import Kernel, recorded
from .mirror import Twin


@dataclass(frozen=True)
class Compared:
    """One example of a twin.

    Attributes:
        twin: its name; example: which, from 0.
        kernels: what ran, with the arguments of the templates.
        error: the largest distance of an array from that of the text, relative to its length.
        wrong: what does not agree, in words.
        findings: of the simulator's check mode.
    """

    twin: str
    example: int
    kernels: tuple[str, ...]
    error: float
    wrong: str | None
    findings: tuple[Any, ...]

    @property
    def agrees(self) -> bool:
        """Right numbers, and nothing found."""
        return self.wrong is None and not self.findings


def compare(
    twin: Twin, example: int, *, backend: str = "cpucuda", seed: int = 0, folder: Path | None = None
) -> Compared:
    """Run an example both ways, the kernels in check mode; seed and folder as in `recorded`. Check mode on a GPU fills
    the outputs, and finds nothing.
    """
    refused: list[str] = []

    def kernels(*inputs: Any, **static: Any) -> Any:
        reason = twin.refuses(*inputs, **static)
        if reason:
            refused.append(reason)
        return twin(*inputs, **static)

    with use("numpy"):
        want = outcome(twin, twin.reference, twin.examples[example], np.float64, seed)
    with use(backend), recorded(check=True, seed=seed, folder=folder) as launches:
        got = outcome(twin, kernels, twin.examples[example], np.float32, seed)
    errors = [distance(x, y) for x, y in zip(got, want)]
    wrong = None
    if refused:
        wrong = f"the kernels do not take it: {refused[0]}"
    elif [x.shape for x in got] != [y.shape for y in want]:
        wrong = f"shapes {[x.shape for x in got]} instead of {[y.shape for y in want]}"
    elif any(x.dtype.kind == "f" and x.dtype != np.float32 for x in got if x.shape):
        wrong = f"dtypes {[str(x.dtype) for x in got]}"
    elif not max(errors) <= twin.bound:
        wrong = f"array {int(np.argmax(errors))} of {len(errors)} is {max(errors):.0e} away from the text's"
    return Compared(
        twin.name,
        example,
        tuple(dict.fromkeys(launch.kernel for launch in launches)),
        float(max(errors)),
        wrong,
        tuple(finding for launch in launches for finding in launch.findings),
    )


def not_compared(kernels: Iterable[Kernel], compared: Iterable[Compared]) -> list[str]:
    """Kernels, and instantiations of templates, that ran in none of these examples of the twin they are named with."""
    ran = {(each.twin, name) for each in compared for name in each.kernels}
    return [name for kernel in kernels for name in kernel.names if (kernel.twin, name) not in ran]


def outcome(twin: Twin, function: Callable, example: Callable, dtype: Any, seed: int) -> list[np.ndarray]:
    """Outputs of an example in this dtype, gradients of its inputs, and the arrays that lists of it hold afterwards."""
    leaves: list[Tensor] = []
    kept: list[np.ndarray] = []
    here = lambda x: moved(x, current_backend())
    exact = lambda x: here(to_numpy(x).astype(np.float32).astype(dtype))

    def given(name: str, x: Any) -> Any:
        if isinstance(x, list):
            return [given("", each) for each in x]
        if isinstance(x, Parameter):
            return Parameter(exact(x.data))
        if not isinstance(x, np.ndarray) or x.dtype.kind != "f":
            return here(x) if isinstance(x, np.ndarray) else x
        if name and name not in twin.constants:
            leaves.append(tensor(exact(x), requires_grad=True))
            return leaves[-1]
        kept.append(exact(x))
        return kept[-1]

    def called(*inputs: Any, **static: Any) -> Any:
        found = function(*(given(name, x) for name, x in zip(twin.names, inputs)), **static)
        return found[: twin.outputs] if isinstance(found, tuple) else found  # the text keeps more behind them

    rng = np.random.default_rng(seed)
    outputs = _arrays(example(called, rng))
    found = list(outputs)
    if leaves:
        total = sum((y * exact(rng.standard_normal(y.shape))).sum() for y in outputs)
        flat = not getattr(total, "requires_grad", False)  # a spline of degree 0
        gradients = [None] * len(leaves) if flat else grad(total, leaves, allow_unused=True)
        found += [np.zeros_like(x.data) if g is None else g for g, x in zip(gradients, leaves)]
    return [to_numpy(unwrap(x)) for x in (*found, *kept)]


def _arrays(found: Any) -> list[Any]:
    """All arrays of a tuple, a list or an iterator, and of those within."""
    if hasattr(found, "shape"):
        return [found]
    return [x for each in found for x in _arrays(each)] if hasattr(found, "__iter__") else [np.asarray(found)]


def distance(x: np.ndarray, y: np.ndarray) -> float:
    """Of all of x from all of y, as a part of the length of y."""
    if x.shape != y.shape:
        return float("inf")
    apart = float(np.linalg.norm(np.ravel(x - y)))
    return apart / max(float(np.linalg.norm(np.ravel(y))), 1e-25)
