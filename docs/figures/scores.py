"""How much a memory brings back: recall against the number of pairs, and committed scores against the length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minilinear.recurrence import delta_rule, gated_linear_attention

from .committed import committed
from .picture import DASHES, FAINT, INK, MARKERS, PALETTE, Picture, axes, drawn

WORDS = 256  # values that an answer may be
COLOURS = [PALETTE[name] for name in ("S", "k", "q", "v", "o", "beta", "g", "A")]


def unit(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Random directions: vectors of length 1 along the last axis."""
    x = rng.standard_normal(shape)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def answers(k: np.ndarray, v: np.ndarray) -> dict[str, np.ndarray]:
    """What four memories read at every key after all pairs have been written, in their order.

    Args:
        k: keys (B, n, K) of length 1.
        v: values (B, n, V).

    Returns:
        name: (B, n, V). "added" and "delta rule" (beta = 1) have a state of K x V, and so has "least squares", the
        state with the least error that there is; "softmax" keeps all pairs, n (K + V) numbers.
    """
    q, pairs, ones = k[:, :, None], (k[:, :, None], v[:, :, None]), np.ones((*k.shape[:2], 1))
    _, added = gated_linear_attention(q, *pairs)  # (B, 1, K, V)
    _, corrected = delta_rule(q, *pairs, beta=ones)
    weights = np.exp(8 * np.sqrt(k.shape[-1]) * (k @ np.swapaxes(k, 1, 2) - 1))  # the largest is that of the key itself
    return {
        "softmax": weights / weights.sum(-1, keepdims=True) @ v,
        "least squares": k @ (np.linalg.pinv(k) @ v),
        "added": k @ added[:, 0],
        "delta rule": k @ corrected[:, 0],
    }


def recalled(K: int, V: int, n: int, *, runs: int = 40, seed: int = 0) -> dict[str, float]:
    """The share of n random pairs that each memory brings back: its answer is nearest to the right one of 256."""
    rng = np.random.default_rng(seed)
    words = unit(rng, WORDS, V)
    which = rng.integers(WORDS, size=(runs, n))
    read = answers(unit(rng, runs, n, K), words[which])
    return {name: float(np.mean((o @ words.T).argmax(-1) == which)) for name, o in read.items()}


def capacity(K: int = 16, V: int = 16, pairs: Sequence[int] = (4, 8, 12, 16, 24, 32, 48, 64, 96, 128)) -> Picture:
    """The share of pairs that come back against how many were written."""
    found = [recalled(K, V, n) for n in pairs]
    with axes(6.4, 3.8) as (fig, ax):
        for i, name in enumerate(found[0]):
            shares = [share[name] for share in found]
            ax.plot(pairs, shares, color=COLOURS[i], linestyle=DASHES[i], marker=MARKERS[i], label=name, clip_on=False)
        ax.axvline(K, color=FAINT, linewidth=1.2)
        ax.text(K * 1.03, 0.04, f"n = K = {K}", color=INK)
        ax.set(xscale="log", ylim=(0, 1.03), xlabel="pairs n", ylabel="brought back")
        ax.set_xticks(pairs, [str(n) for n in pairs])
        ax.minorticks_off()
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, 1.2), ncols=4, columnspacing=1.2, handlelength=2.6)
        at, most = found[list(pairs).index(K)] if K in pairs else recalled(K, V, K), found[-1]
        alt = (
            f"Of {K} random pairs a state of {K} by {V} brings back {at['added']:.2f} when they are added, "
            f"{at['delta rule']:.2f} when the delta rule writes them and {at['least squares']:.2f} when it is the best "
            f"possible; of {pairs[-1]}, {most['added']:.2f}, {most['delta rule']:.2f} and {most['least squares']:.2f}. "
            f"Softmax attention, which keeps all pairs, brings back {most['softmax']:.2f}."
        )
        return drawn(fig, alt)


def means(document: Mapping[str, Any], where: Mapping[str, Any] | None = None) -> dict[str, dict[int, np.ndarray]]:
    """Row: length: the score of each seed, of a document of `minilinear compare`.

    Args:
        document: as `committed` gives it.
        where: choices that a row must have; they are left out of its name.
    """
    chosen, found = dict(where or {}), {}
    for row in document["rows"]:
        choices = dict(row["choices"])
        if all(choices.pop(name) == value for name, value in chosen.items()):
            seeds = [{int(T): scores[document["score"]] for T, scores in seed.items()} for seed in row["seeds"]]
            name = ", ".join(str(value) if key == "mixer" else f"{key}={value}" for key, value in choices.items())
            found[name] = {T: np.array([seed[T] for seed in seeds]) for T in seeds[0]}
    return found


def by_length(
    name: str, *, where: Mapping[str, Any] | None = None, floor: str = "guessing", level: float = 0
) -> Picture:
    """The scores of docs/data/NAME.json against the length of the sequences: means as lines, every seed as a mark.

    Args:
        name: of a committed comparison.
        where: choices that a row must have.
        floor, level: a score that needs no ability, and what it is; the document's chance if 0.
    """
    document = committed(name)
    rows = means(document, where)
    level = level or document["chance"]
    lengths = list(next(iter(rows.values())))
    with axes(6.4, 3.8) as (fig, ax):
        for i, (row, scores) in enumerate(rows.items()):
            style = {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)]}
            ax.plot(lengths, [scores[T].mean() for T in lengths], linestyle=DASHES[i % len(DASHES)], label=row, **style)
            for seed in np.transpose([scores[T] for T in lengths]):
                ax.plot(lengths, seed, linestyle="none", fillstyle="none", markersize=5, alpha=0.8, **style)
        ax.axhline(level, color=FAINT, linewidth=1.2)
        ax.text(lengths[0], level - 0.02, floor, color=INK, ha="left", va="top")
        ax.set(xscale="log", xlabel="tokens", ylabel="right", ylim=(0, 1.03))
        ax.set_xticks(lengths, [str(T) for T in lengths])
        ax.minorticks_off()
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1), handlelength=2.6)
        last = {row: scores[lengths[-1]].mean() for row, scores in rows.items()}
        best, worst = max(last, key=lambda row: last[row]), min(last, key=lambda row: last[row])
        alt = (
            f"At {lengths[-1]} tokens {best} is right at {last[best]:.2f} on the mean of {document['seeds']} seeds and "
            f"{worst} at {last[worst]:.2f}; {floor}: {level:.2f}."
        )
        return drawn(fig, alt)
