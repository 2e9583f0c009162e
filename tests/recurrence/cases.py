"""The table of recurrences: one entry each, and every check of the contract runs over the table.

To put a new recurrence under contract, add an entry to `RECURRENCES`: the public function, its inputs with their axes
and how to draw them, and the matrices A_t, B_t that define it. Nothing else here or in the tests knows its name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

import minilinear as ml
from minilinear.recurrence import delta_product, delta_rule, gated_linear_attention

SIZES = {"B": 2, "H": 3, "K": 3, "V": 4}


@dataclass(frozen=True)
class Recurrence:
    """A function under contract.

    Attributes:
        function: what the library exports; it takes `inputs` by keyword.
        inputs: argument -> its axes, in the alphabet of the library. What has no T is a state.
        draw: argument -> a strategy, `(rng, shape, what was drawn before) -> float64 array`.
        optional: argument -> the axes it may have; None: it may be absent.
        sizes: further axes, and the sizes they may have.
        matrices: the inputs without queries and state -> A (B, T, H, K, K) and B (B, T, H, K, V).
    """

    function: Callable
    inputs: dict[str, str]
    draw: dict[str, Callable]
    optional: dict[str, tuple[str | None, ...]]
    sizes: dict[str, tuple[int, ...]]
    matrices: Callable


def normal(rng, shape, so_far):
    return rng.standard_normal(shape)


def unit(rng, shape, so_far):
    x = rng.standard_normal(shape)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def strength(rng, shape, so_far):
    return rng.uniform(0, 2, shape)


def near_key(rng, shape, so_far):
    """Erase keys a little away from the write keys: no longer normal matrices, but no explosion either."""
    p = so_far["k"] + 0.1 * rng.standard_normal(shape)
    return 0.95 * p / np.linalg.norm(p, axis=-1, keepdims=True)


def log_decay(rng, shape, so_far):
    return -np.exp(rng.standard_normal(shape) - 1.5)


def diagonal_matrices(k, v, g=None):
    """exp(g) on the diagonal, k v^T written."""
    alpha = np.ones_like(k) if g is None else np.exp(np.broadcast_to(g if g.ndim == 4 else g[..., None], k.shape))
    return alpha[..., None] * np.eye(k.shape[-1]), k[..., None] * v[..., None, :]


def delta_matrices(k, v, beta, g=None, erase_key=None):
    """exp(g) first, then R times I - beta k p^T, with beta k v^T written."""
    p, (*_, H, K), V = k if erase_key is None else erase_key, k.shape, v.shape[-1]
    B_, T, R = k.shape[:3]
    alpha = np.ones((B_, T, H, 1)) if g is None else np.exp(g if g.ndim == 4 else g[..., None])
    A, B = np.eye(K) * alpha[..., None], np.zeros((B_, T, H, K, V))
    for r in range(R):
        written = beta[:, :, r, :, None, None] * k[:, :, r, :, :, None]
        factor = np.eye(K) - written * p[:, :, r, :, None, :]
        A, B = factor @ A, factor @ B + written * v[:, :, r, :, None, :]
    return A, B


def delta_rule_matrices(k, v, beta, g=None, erase_key=None):
    one_step = {"k": k, "v": v, "beta": beta, "erase_key": erase_key}
    return delta_matrices(g=g, **{n: x if x is None else x[:, :, None] for n, x in one_step.items()})


DELTA_DRAW = {
    "q": normal,
    "k": unit,
    "v": normal,
    "beta": strength,
    "g": log_decay,
    "erase_key": near_key,
    "initial_state": normal,
}

RECURRENCES = {
    "gated_linear_attention": Recurrence(
        gated_linear_attention,
        {"q": "B T H K", "k": "B T H K", "v": "B T H V"},
        {"q": normal, "k": normal, "v": normal, "g": log_decay, "initial_state": normal},
        {"g": (None, "B T H", "B T H K"), "initial_state": (None, "B H K V")},
        {},
        diagonal_matrices,
    ),
    "delta_rule": Recurrence(
        delta_rule,
        {"q": "B T H K", "k": "B T H K", "v": "B T H V", "beta": "B T H"},
        DELTA_DRAW,
        {
            "g": (None, "B T H", "B T H K"),
            "erase_key": (None, "B T H K"),
            "initial_state": (None, "B H K V"),
        },
        {},
        delta_rule_matrices,
    ),
    "delta_product": Recurrence(
        delta_product,
        {"q": "B T H K", "k": "B T R H K", "v": "B T R H V", "beta": "B T R H"},
        DELTA_DRAW,
        {
            "g": (None, "B T H", "B T H K"),
            "erase_key": (None, "B T R H K"),
            "initial_state": (None, "B H K V"),
        },
        {"R": (1, 2, 3)},
        delta_matrices,
    ),
}


@dataclass(frozen=True)
class Case:
    """A recurrence with a choice of its optional inputs and sizes."""

    name: str
    recurrence: Recurrence
    axes: dict[str, str]
    sizes: dict[str, int]

    def __str__(self) -> str:
        return self.name

    def inputs(self, T: int, *, seed: int = 0, dtype: Any = np.float64, sequences: int | None = None, **sizes: int):
        """Every input by name; with `sequences`, packed: a batch of one, and as many initial states."""
        rng, so_far = np.random.default_rng(seed), {}
        sizes = SIZES | self.sizes | ({} if sequences is None else {"B": 1}) | sizes | {"T": T}
        for name, axes in self.axes.items():
            shape = tuple(sizes[a] for a in axes.split())
            if sequences is not None and "T" not in axes:
                shape = (sequences, *shape[1:])
            so_far[name] = self.recurrence.draw[name](rng, shape, so_far)
        return {name: x.astype(dtype) for name, x in so_far.items()}

    def __call__(self, inputs: dict[str, Any], **options: Any) -> tuple:
        return self.recurrence.function(**inputs, **options)

    def along(self, axis: str, inputs: dict[str, Any], index: Any) -> dict[str, Any]:
        """The inputs indexed along one axis, where they have it."""
        picked = {}
        for name, x in inputs.items():
            axes = self.axes.get(name, "B H K V").split()
            picked[name] = x[(slice(None),) * axes.index(axis) + (index,)] if axis in axes else x
        return picked

    def matrices(self, inputs: dict[str, Any]) -> tuple:
        return self.recurrence.matrices(**{n: x for n, x in inputs.items() if n not in ("q", "initial_state")})


def every_case() -> list[Case]:
    cases = []
    for name, recurrence in RECURRENCES.items():
        for sizes in product(*recurrence.sizes.values()):
            sizes = dict(zip(recurrence.sizes, sizes))
            for choice in product(*recurrence.optional.values()):
                chosen = {n: axes for n, axes in zip(recurrence.optional, choice) if axes is not None}
                words = [name, *(f"{a}{n}" for a, n in sizes.items())]
                words += [f"{n}({axes.replace(' ', '')})" for n, axes in chosen.items()]
                cases.append(Case("-".join(words), recurrence, recurrence.inputs | chosen, sizes))
    return cases


def extremes(cases: list[Case]) -> list[Case]:
    """Of each recurrence, the case with fewest inputs and sizes and the one with most."""
    size = lambda case: (sum(case.sizes.values()), sum(len(a) for a in case.axes.values()))
    found = []
    for recurrence in RECURRENCES.values():
        own = [case for case in cases if case.recurrence is recurrence]
        found += [min(own, key=size), max(own, key=size)]
    return found


CASES = every_case()
FEW = extremes(CASES)
FORMS = ("chunk", "recurrent", "parallel")


def leaves(inputs: dict[str, np.ndarray]) -> dict[str, ml.Tensor]:
    return {name: ml.tensor(x, requires_grad=True) for name, x in inputs.items()}


def gradients(outputs, weights, inputs: dict[str, ml.Tensor]) -> dict[str, np.ndarray]:
    """d <outputs, weights> / d inputs, by name; zeros where nothing depends on an input."""
    total = sum((y * w).sum() for y, w in zip(outputs, weights, strict=True) if w is not None and w.size)
    found = ml.grad(total, list(inputs.values()), allow_unused=True)
    return {n: np.zeros(x.shape, x.dtype) if g is None else g.data for (n, x), g in zip(inputs.items(), found)}


def run_with_gradients(case: Case, inputs, *, seed: int = 1, **options):
    """Outputs, final state, entering states (if asked for), and the gradient of every input, with a cotangent on each
    output.
    """
    tensors = leaves(inputs)
    outputs = case(tensors, **options)
    rng = np.random.default_rng(seed)
    weights = [rng.standard_normal(y.shape).astype(y.dtype) for y in outputs]
    return [y.data for y in outputs], gradients(outputs, weights, tensors)


def relative_rms(x, y) -> float:
    """RMS(x - y) / RMS(y)."""
    assert x.shape == y.shape, f"{x.shape} against {y.shape}"
    if not y.size:
        return 0.0
    x, y = x.astype(np.longdouble), y.astype(np.longdouble)
    return float(np.sqrt(np.mean((x - y) ** 2)) / (np.sqrt(np.mean(y**2)) or 1.0))


def close(x, y, tol: float, what: str = "") -> None:
    error = relative_rms(x, y)
    assert error <= tol, f"{what}: relative RMS {error:.2g} exceeds {tol:g}"
