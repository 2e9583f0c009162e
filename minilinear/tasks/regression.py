"""Regression in context: examples of an unknown function come one by one, and each is to be foretold from those before.

    y_i = f(x_i) + noise n_i,       x_i ~ N(0, I_D),  n_i ~ N(0, 1),  a new f for every sequence
    token i = [x_i, y_{i-1}]  (y_0 = 0),       target i = y_i

Nothing of f lies in the weights: a model that does better than 0 has learnt a way of learning, which its state carries
out. Position p has seen p - 1 examples. Every function is scaled to variance 1:

    linear       f(x) = w . x,                          w ~ N(0, I / D)
    sparse       the same, with s of the D weights ~ N(0, 1 / s) and the others 0;  s = 0.15 D, rounded, at least 1
    two_layer    f(x) = sqrt(2 / m) a . relu(W^T x),    W (D, m) ~ N(0, 1 / D),  a (m) ~ N(0, 1),  m = 100

What can be reached is known, which makes the task a measure. Errors are parts of the variance of y, and n = p - 1:

    guessing 0                      1
    linear, least squares           1 - n / D  for n <= D without noise, 0 beyond; nothing does better
    linear, one step of descent     (D + 1) / (n + D + 1)  without noise: the most that a layer of linear attention can
                                    do (Mahankali, Hashimoto, Ma 2024, arXiv 2307.03576)
    linear, the delta rule          (1 - 1 / D)^n  without noise, with beta = 1 and keys x / |x| (values y / |x|): each
                                    example takes one random direction out of what is wrong with w
    two_layer, any linear map       not below 1/2: half of the variance of f is even in x

Source: Garg, Tsipras, Liang, Valiant 2022, arXiv 2208.01066, for the functions, there with the variance D. They and von
Oswald et al. 2022, arXiv 2212.07677, write an example as two tokens or as one [x_i, y_i]; here y comes one token later,
so that each position is a question. A layer must look back one token (a convolution of 2) to see x_i and y_i together.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import ConfigError, ShapeError, explain

FUNCTIONS = ("linear", "sparse", "two_layer")
SPARSITY = 0.15  # 3 of 20 in the paper
HIDDEN = 100


class InContextRegression:
    """Learning a function from the examples in a sequence. See the top of the file.

    Args:
        D: numbers in an x.
        noise: standard deviation of what is added to y.
        function: "linear", "sparse" or "two_layer".
        length: T, the examples in a training sequence.

    Raises:
        ConfigError: an option that does not fit.

    Source:
        Garg et al. 2022, arXiv 2208.01066.
    """

    kind = "regressor"
    name = "in_context_regression"
    preset = "language"
    chance = 1.0  # of foretelling 0
    better = "lower"

    def __init__(self, D: int = 4, noise: float = 0.0, function: str = "linear", length: int = 16):
        for option, value in ("D", D), ("length", length):
            if not (type(value) is int and value >= 1):
                raise ConfigError(
                    explain(f"{option} is a whole number, 1 or more.", got=repr(value), fix=f"{option}=16")
                )
        if not (type(noise) in (int, float) and 0 <= noise < math.inf):
            raise ConfigError(explain("noise is a standard deviation, 0 or more.", got=repr(noise), fix="noise=0.5"))
        if not (isinstance(function, str) and function in FUNCTIONS):
            raise ConfigError(
                explain(f"function is one of {', '.join(FUNCTIONS)}.", got=repr(function), fix='function="linear"')
            )
        self.D, self.noise, self.function, self.length = D, noise, function, length
        self.features = D + 1
        self.vocabulary: list[str] = []
        self.tested: tuple[int, ...] = (length, 2 * length)
        self.shape: dict[str, Any] = {"D": 32, "layers": 1, "hidden": 64, "chunk": 16}
        self.training: dict[str, Any] = {"steps": 600, "batch": 64, "lr": 1e-2, "warmup": 20}

    def config(self) -> dict[str, Any]:
        """What a run's config.json says about the task; `task_from_config` makes the same task of it."""
        options = {"D": self.D, "noise": self.noise, "function": self.function, "length": self.length}
        return {"name": self.name, "options": options}

    def batch(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        """New functions and examples: inputs (size, T, D+1), targets (size, T), float32."""
        return self.evaluation(rng, self.length, size)

    def evaluation(self, rng: np.random.Generator, length: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """The same with T = length, as long as you like; no function comes twice, so all are held out."""
        if length < 1:
            raise ConfigError(explain("A sequence has at least one example.", got=f"length={length}"))
        x = rng.standard_normal((size, length, self.D))
        y = self._values(rng, x) + self.noise * rng.standard_normal((size, length))
        inputs = np.zeros((size, length, self.D + 1), np.float32)
        inputs[..., :-1] = x
        inputs[:, 1:, -1] = y[:, :-1]
        return inputs, y.astype(np.float32)

    def score(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """Mean squared errors, as parts of the variance of y, which is 1 + noise^2; the lower, the better.

        Args:
            outputs: (B, T, 1), what the model foretells.
            targets: (B, T).

        Returns:
            {"error": at the last position, "error_at_1": ..., "error_at_2": ..., "error_at_4": ..., ...}, by the
            positions up to T that are powers of two, counted from 1.

        Raises:
            ShapeError: outputs and targets that do not belong together, or nothing to count.
        """
        outputs, targets = np.asarray(outputs, np.float64), np.asarray(targets, np.float64)
        if targets.ndim != 2 or not targets.size or outputs.shape != (*targets.shape, 1):
            raise ShapeError(
                explain(
                    "score takes outputs (B, T, 1) and targets (B, T), not empty.",
                    got=f"outputs {outputs.shape}, targets {targets.shape}",
                    fix="outputs[..., None]" if outputs.shape == targets.shape else None,
                )
            )
        errors = ((outputs[..., 0] - targets) ** 2).mean(0) / (1 + self.noise**2)  # (T,)
        powers = [2**k for k in range(len(errors).bit_length())]
        return {"error": float(errors[-1])} | {f"error_at_{p}": float(errors[p - 1]) for p in powers}

    def _values(self, rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
        """f(x) of a new f for each sequence: (B, T, D) -> (B, T)."""
        B, _, D = x.shape
        if self.function == "two_layer":
            W = rng.standard_normal((B, D, HIDDEN)) / math.sqrt(D)
            a = rng.standard_normal((B, HIDDEN, 1))
            return (np.maximum(x @ W, 0) @ a)[..., 0] * math.sqrt(2 / HIDDEN)
        w = rng.standard_normal((B, D))
        s = D
        if self.function == "sparse":
            s = max(1, round(SPARSITY * D))
            rank = rng.random((B, D)).argsort(1).argsort(1)  # the places 0 .. D-1, shuffled in each row
            w *= rank < s
        return (x @ w[..., None])[..., 0] / math.sqrt(s)
