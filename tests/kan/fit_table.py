"""How well small networks of each basis fit functions of two numbers: the table of docs/kan.md.

    python -m tests.kan.fit_table [steps] [seeds]

512 points uniform in [-1, 1]^2, AdamW without decay on all of them, a cosine from the better of two learning rates; the
root of the mean square error on 2,000 other points, mean and range over the seeds, in float32.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

import minilinear as ml
from minilinear.kan import BSplineLayer, ChebyshevLayer, GroupRationalLayer, RBFLayer
from minilinear.nn import Linear, Module
from minilinear.optim import AdamW

TARGETS: dict[str, Callable[[Any], Any]] = {
    "exp(sin(pi x) + y^2)": lambda x: np.exp(np.sin(np.pi * x[:, :1]) + x[:, 1:] ** 2),
    "x y": lambda x: x[:, :1] * x[:, 1:],
}


class Stack(Module):
    """One layer after another, `between` applied to what lies between."""

    def __init__(self, layers: list[Any], between: Callable[[Any], Any] = lambda x: x):
        self.layers, self.between = layers, between

    def __call__(self, x: Any) -> Any:
        for layer in self.layers[:-1]:
            x = self.between(layer(x))
        return self.layers[-1](x)


def stack(layer: Callable[..., Any], *widths: int) -> Callable[[np.random.Generator], Stack]:
    return lambda rng: Stack([layer(a, b, rng=rng) for a, b in pairwise(widths)])


def rational(rng: np.random.Generator) -> Stack:
    first = GroupRationalLayer(2, 16, groups=2, rng=rng)
    rest = [GroupRationalLayer(16, E, groups=2, init="gelu", rng=rng) for E in (16, 1)]
    return Stack([first, *rest])


NETWORKS: dict[str, Callable[[np.random.Generator], Stack]] = {
    "MLP 2-32-32-1, tanh": lambda rng: Stack([Linear(a, b, rng=rng) for a, b in ((2, 32), (32, 32), (32, 1))], np.tanh),
    "B-splines 2-5-1": stack(BSplineLayer, 2, 5, 1),
    "Gaussians 2-5-1": stack(partial(RBFLayer, norm=False), 2, 5, 1),
    "Chebyshev 2-5-1": stack(partial(ChebyshevLayer, degree=7), 2, 5, 1),
    "rational 2-16-16-1": rational,
}


RATES = (1e-2, 3e-2)


def fit(network: str, target: str, *, seed: int, steps: int, lr: float) -> tuple[float, int, float]:
    """Held-out error, parameters and seconds of one run."""
    rng = np.random.default_rng(seed)
    x, other = (rng.uniform(-1, 1, (n, 2)).astype(np.float32) for n in (512, 2000))
    function, model = TARGETS[target], NETWORKS[network](rng)
    optimizer, start = AdamW(model.parameters(), weight_decay=0), time.perf_counter()
    for step in range(steps):
        error = model(x) - function(x)
        gradients = ml.grad((error * error).mean(), model.parameters(), allow_unused=True)
        optimizer.step([g.data for g in gradients], lr=lr * (1 + np.cos(np.pi * step / steps)) / 2)
    seconds = time.perf_counter() - start
    rmse = np.sqrt(np.mean((model(other).data - function(other)) ** 2))
    return float(rmse), model.parameter_count(), seconds


def table(steps: int, seeds: int) -> str:
    head = ["network", "parameters", *TARGETS, "seconds"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for network in NETWORKS:
        cells, seconds, size = [], [], 0
        for target in TARGETS:
            tried = {lr: [fit(network, target, seed=seed, steps=steps, lr=lr) for seed in range(seeds)] for lr in RATES}
            lr = min(tried, key=lambda lr: np.mean([error for error, _, _ in tried[lr]]))
            errors = [error for error, _, _ in tried[lr]]
            cells.append(f"{np.mean(errors):.1e} ({min(errors):.1e} to {max(errors):.1e}), lr {lr:g}")
            seconds += [s for _, _, s in tried[lr]]
            size = tried[lr][0][1]
        lines.append(f"| {network} | {size} | {' | '.join(cells)} | {np.mean(seconds):.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    print(table(*(given + [600, 3][len(given) :])))
