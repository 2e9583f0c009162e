"""The delta rule as a regression that learns while it reads: how fast, and how far the noise throws it."""

from __future__ import annotations

import numpy as np

from .picture import DASHES, FAINT, Picture, axes, drawn

K, NOISE, CHANGE, T = 8, 0.1, 250, 500
BETAS = (0.1, 0.5, 1.0, 1.5)


def tokens(runs: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keys in random directions (runs, T, K), values (runs, T), and the W (runs, T, K) that the values follow.

    v_t = W_t . k_t + noise; W has length 1 and is turned into its negative at token CHANGE.
    """
    rng = np.random.default_rng(0)
    k, W = rng.standard_normal((runs, T, K)), rng.standard_normal((runs, 1, K))
    k, W = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (k, W))
    W = W * np.where(np.arange(T) < CHANGE, 1, -1)[:, None]
    return k, np.sum(W * k, -1) + NOISE * rng.standard_normal((runs, T)), W


def errors() -> np.ndarray:
    """|S_t - W_t|^2 after each token (betas, T), mean of the runs."""
    k, v, W = tokens()
    beta = np.array(BETAS)[:, None]
    S, found = np.zeros((len(BETAS), len(k), K)), []
    for t in range(T):
        S = S + (beta * (v[:, t] - np.sum(S * k[:, t], -1)))[..., None] * k[:, t]
        found.append(np.sum((S - W[:, t]) ** 2, -1).mean(1))
    return np.array(found).T


def settled(beta: float) -> float:
    """Where |S_t - W|^2 settles: beta K NOISE^2 / (2 - beta)."""
    return beta * K * NOISE**2 / (2 - beta)


def online_regression() -> Picture:
    """The error of the memory against the tokens read, for four strengths, with a change in the middle."""
    curves = errors()
    last = curves[:, CHANGE - 20 : CHANGE].mean(1)
    with axes(6.4, 3.6) as (fig, ax):
        for beta, curve in zip(BETAS, curves):
            ax.plot(curve, label=f"β = {beta:g}")
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter("{x:g}")
        ax.set_xlabel("tokens read; at the change W becomes −W")
        ax.set_ylabel("|S − W|², mean of 200 runs")
        ax.axvline(CHANGE, color=FAINT, linewidth=1.2, linestyle=DASHES[2])
        ax.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.16))
        said = ", ".join(f"{error:.3f} at β = {beta:g}" for beta, error in zip(BETAS, last))
        return drawn(
            fig,
            f"A small β learns slowly and averages the noise; β = 0.5 and 1.5 learn equally fast, but 1.5 is thrown "
            f"farther. In the 20 tokens before the change the error is {said}.",
        )
