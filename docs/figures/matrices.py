"""What a mixer does to a whole sequence, as a T x T matrix: how much of each value (column) is in each output (row).

Every mixer is linear in its values. So the matrix needs no formula: give each token a value of its own, the unit vector
e_s, and output t is row t of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minilinear import svg
from minilinear.attention import SoftmaxAttention, softmax_attention
from minilinear.autograd import no_grad, unwrap
from minilinear.models import MIXERS, PRESETS

from .picture import FAINT, INK, PALETTE, RULE, Picture, by_hand

LEVELS = 8  # of darkness
PANEL, GAP, ACROSS = 140.0, 20.0, 4


def matrices(panels: Mapping[str, Any], *, tokens: str = "", colour: str = "S") -> Picture:
    """Weights (T, T), or (T, R T) with R writes per token, side by side; each as dark as its own largest weight.

    Args:
        panels: name -> weights, rows the outputs, columns what was written.
        tokens: a letter for each token, written along the first row and column; "" for none.
        colour: of PALETTE.
    """
    parts: list[str] = []
    edge = 18.0 if tokens else 4.0
    for n, (name, W) in enumerate(panels.items()):
        left = edge + n % ACROSS * (PANEL + GAP)
        top = 24 + edge + n // ACROSS * (PANEL + edge + 30)
        parts.append(svg.text(left, top - edge - 2, name, size=12, weight="bold", fill=INK))
        parts += _panel(np.asarray(W), left, top, PALETTE[colour], tokens)
    across, down = min(len(panels), ACROSS), -(-len(panels) // ACROSS)
    width = edge + across * (PANEL + GAP)
    bottom = 24 + edge + down * (PANEL + edge + 30) - 22
    parts.append(
        svg.text(edge, bottom + 8, "row: output, column: value; a bar: a weight below zero", size=12, fill=FAINT)
    )
    back = {name: looks_back(np.asarray(W)) for name, W in panels.items()}
    alt = "How far back an output looks on average, weighted by size: " + ", ".join(
        f"{name} {lag:.1f}" for name, lag in back.items()
    )
    return by_hand(parts, max(width, 480), bottom + 18, alt + " tokens.")


def mixer_matrices(tokens: str = "abcdabcdabcd") -> Picture:
    """The T x T matrix of every mixer of `MIXERS`, from real layers: one head, drawn at random, but for the two maps of
    queries and keys, which leave a token as it is. So a token asks for what came with its own kind.

    Args:
        tokens: a letter for each token; equal letters are equal tokens. The last kind must have come before.
    """
    panels = mixer_weights(tokens)
    t, places = len(tokens) - 1, [s for s, token in enumerate(tokens) if token == tokens[-1]]
    left = {}
    for name, W in panels.items():
        last = W.shape[1] // len(tokens) * (np.array(places) + 1) - 1  # a token's last write
        left[name] = W[t, last[0]] / W[t, last[-1]]
    finding = ", ".join(f"{name} {share:.2f}" for name, share in left.items())
    picture = matrices(panels, tokens=tokens)
    alt = f"In the last row, the weight of the first {tokens[-1]} as a share of the last one's: {finding}."
    return picture._replace(alt=alt)


def mixer_weights(tokens: str) -> dict[str, np.ndarray]:
    """name -> the matrix (T, R T) of a layer of each mixer, as `mixer_matrices` draws it."""
    D, kinds = 16, sorted(set(tokens))
    axes = np.linalg.qr(np.random.default_rng(0).standard_normal((D, D)))[0]
    kind = axes[: len(kinds)] + 0.4 * axes[-1]  # tokens that overlap a little
    x = np.stack([kind[kinds.index(token)] for token in tokens])[None].astype(np.float32)
    panels = {}
    for name, make in MIXERS.items():
        softmax = name == "softmax"  # without places: it is to tell tokens apart by kind alone, and clearly
        options = PRESETS[name]["recall"] | ({"rope": False} if softmax else {})
        layer = make(D, **options, rng=np.random.default_rng(1))
        weight = layer.qkv.weight.data.copy()  # (D, K + R K + R V)
        R = getattr(layer, "steps", None) or 1
        weight[:, :D] = weight[:, R * D : (R + 1) * D] = np.eye(D)  # queries, and the keys of the last write
        layer.qkv.weight.assign_(weight)
        panels[name] = layer_weights(layer, 4 * x if softmax else x)
    return panels


def layer_weights(layer: Any, x: Any) -> np.ndarray:
    """How much of each write is in each output of a layer's first head: x (1, T, D) -> (T, R T), R writes per token."""
    T = x.shape[1]
    with no_grad():
        if isinstance(layer, SoftmaxAttention):
            q, k, _ = layer._project(x, np.arange(T))
            one = np.eye(T, dtype=x.dtype)[None, :, None]
            return unwrap(softmax_attention(q[:, :, :1], k[:, :, :1], one, scale=layer.scale))[0, :, 0]
        inputs, _ = layer.prepare(x)
        *lead, _ = inputs["v"].shape  # (1, T, H) or (1, T, R, H)
        R = lead[2] if len(lead) == 4 else 1
        one = np.eye(T * R, dtype=x.dtype).reshape(*lead[:-1], 1, T * R)
        inputs["v"] = np.broadcast_to(one, (*lead, T * R)).copy()
        o, _ = layer.remember(inputs, None, form="recurrent")
        W = unwrap(o)[0, :, 0]
        if getattr(layer, "normalise", False):
            W = W / (W.sum(1, keepdims=True) + layer.eps)
    return W


def looks_back(W: np.ndarray) -> float:
    """The mean distance between an output and what it is made of, weighted by the size of the weights."""
    T = len(W)
    back = np.arange(T)[:, None] - np.arange(W.shape[1]) * T // W.shape[1]
    return float((np.abs(W) * back).sum() / (np.abs(W).sum() or 1))


def three_forms(T: int = 16, chunk: int = 4) -> Picture:
    """How the three forms get from the values (columns) to the outputs (rows): by scores, or through a state.

    Args:
        T: tokens.
        chunk: C, tokens in a chunk.
    """
    t, s = np.nonzero(np.tri(T))
    same = t // chunk == s // chunk
    ways = {"recurrent": np.zeros(len(t), bool), "parallel": np.ones(len(t), bool), f"chunk, C = {chunk}": same}
    cell, parts = 192 / T, []
    for n, (name, score) in enumerate(ways.items()):
        left, top = 8 + n * 212, 34.0
        parts.append(svg.text(left, 20, name, weight="bold", fill=INK))
        for letter, chosen in (("q", score), ("S", ~score)):
            if chosen.any():
                side = cell - 1.5
                cells = "".join(
                    f"M{left + j * cell + 0.75:.1f} {top + i * cell + 0.75:.1f}h{side:.1f}v{side:.1f}h{-side:.1f}z"
                    for i, j in zip(t[chosen], s[chosen])
                )
                look = 'fill-opacity="0.75"' if letter == "q" else f'fill-opacity="0.12" stroke="{PALETTE["S"]}"'
                parts.append(f'<path d="{cells}" fill="{PALETTE[letter]}" {look}/>')
        if not score.all():
            size = chunk if score.any() else 1
            for edge in range(size, T, size):  # where a state is handed on
                parts.append(
                    f'<path d="M{left + edge * cell:.1f} {top + edge * cell:.1f}h{-edge * cell:.1f}" '
                    f'stroke="{PALETTE["S"]}" stroke-width="2"/>'
                )
    for x, letter, words in ((8, "q", "a score q \u00b7 k"), (150, "S", "through the state; a line: it is handed on")):
        look = 'fill-opacity="0.75"' if letter == "q" else f'fill-opacity="0.12" stroke="{PALETTE["S"]}"'
        parts.append(f'<rect x="{x}" y="242" width="12" height="12" fill="{PALETTE[letter]}" {look}/>')
        parts.append(svg.text(x + 18, 253, words, size=12, fill=INK))
    states = -(-T // chunk) - 1
    alt = (
        f"Of the {len(t)} pairs of an output and a value in {T} tokens, the parallel form computes a score for each, "
        f"the recurrent form for none, and chunks of {chunk} for {same.sum()}: the other {(~same).sum()} go through "
        f"{states} state{'s' if states != 1 else ''}."
    )
    return by_hand(parts, 640, 264, alt)


def _panel(W: np.ndarray, left: float, top: float, colour: str, tokens: str) -> list[str]:
    """One matrix: cells of equal darkness are one path."""
    (T, columns), largest = W.shape, float(np.abs(W).max()) or 1.0
    high, wide = PANEL / T, PANEL / columns
    parts = [
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{PANEL:.0f}" height="{PANEL:.0f}" fill="none" stroke="{RULE}"/>'
    ]
    level = np.ceil(np.abs(W) / largest * LEVELS - 0.04).astype(int)  # under 1 in 200: left white
    for dark in range(1, LEVELS + 1):
        cells = "".join(
            f"M{left + j * wide:.1f} {top + i * high:.1f}h{wide:.1f}v{high:.1f}h{-wide:.1f}z"
            for i, j in np.argwhere(level == dark)
        )
        if cells:
            parts.append(f'<path d="{cells}" fill="{colour}" fill-opacity="{dark / LEVELS:.3g}"/>')
    bars = "".join(
        f"M{left + (j + 0.25) * wide:.1f} {top + (i + 0.5) * high:.1f}h{wide / 2:.1f}"
        for i, j in np.argwhere((level > 1) & (W < 0))
    )
    if bars:
        parts.append(f'<path d="{bars}" stroke="{INK}" stroke-width="1.5"/>')
    for n, token in enumerate(tokens):
        middle = (n + 0.5) * high
        parts.append(svg.text(left + middle, top - 3, token, anchor="middle", size=10, fill=FAINT))
        parts.append(svg.text(left - 4, top + middle + 4, token, anchor="end", size=10, fill=FAINT))
    return parts
