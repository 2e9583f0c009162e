"""What a trained model can do. Evaluation draws from a stream of its own, the same for every model and seed, so that
two models are asked the same questions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import backend
from ..autograd import cross_entropy, no_grad
from ..randomness import stream
from ..tasks import Task, Text

EVALUATION_SEED = 20_250_214
AT_ONCE = 1 << 23  # scores that a model gives at a time
AT_MOST = 1 << 17, 1 << 26  # tokens, and scores, of one length: long sequences and large vocabularies take their time
TIMES = (1, 2, 4, 8, 16)  # of the training length, where bits are counted by position


def outputs_of(model: Any, inputs: np.ndarray) -> np.ndarray:
    """What a model says to inputs (B, ...), as one array, computed in parts that fit into memory."""
    size = max(1, AT_ONCE // (inputs.shape[1] * model.config.vocabulary))
    with no_grad(), backend.single_threaded_blas():
        parts = [backend.to_numpy(model(inputs[i : i + size])[0].data) for i in range(0, len(inputs), size)]
    return np.concatenate(parts)


def evaluate(model: Any, task: Task, *, size: int = 512) -> dict[str, dict[str, float]]:
    """The task's scores at each of the lengths it is tested at: {"32": {"mean": ..., "last": ...}, ...}.

    Args:
        model: of the task's kind; it is told that it is not being trained.
        task: what it is asked.
        size: sequences at each length, fewer where they are long.
    """
    model.eval()
    try:
        found = {}
        for length in task.tested:
            tokens, scores = AT_MOST
            fewer = max(16, min(tokens // length, scores // (length * model.config.vocabulary)))
            rng = stream(EVALUATION_SEED, "evaluation", length)
            inputs, targets = task.evaluation(rng, length, min(size, fewer))
            found[str(length)] = task.score(outputs_of(model, inputs), targets)
        return found
    finally:
        model.train()


def evaluate_text(model: Any, task: Text, *, limit: int | None = None) -> dict[str, float]:
    """Bits per character of the held-out text, mean of -log2 p(next character).

    "windows": every window of the training length begins with an empty state. "carried": the state is handed from each
    window to the next, so that the model reads the held-out text as one.
    """
    inputs, targets = task.held_out_windows(limit=limit)
    windows, carried, count, state = 0.0, 0.0, 0, None
    with no_grad():
        for i in range(0, len(inputs), 16):
            part, counted = targets[i : i + 16], int((targets[i : i + 16] >= 0).sum())
            logits, _ = model(inputs[i : i + 16])
            windows += cross_entropy(logits, part).item() * counted
            logits, state = model(inputs[i : i + 16].reshape(1, -1), state)
            carried += cross_entropy(logits, part.reshape(1, -1)).item() * counted
            count += counted
    return {"windows": windows / count / math.log(2), "carried": carried / count / math.log(2)}


def bits_by_position(
    model: Any, task: Text, *, times: Sequence[int] = TIMES, limit: int | None = None
) -> dict[str, dict[str, float]]:
    """Bits per character by how far from the beginning of its window a character stands, up to the last of `times`
    times the training length; a mean over all positions would hide a model that falls apart beyond the length it was
    trained on.

    Args:
        model: a language model.
        task: the text; windows are consecutive in its held-out part.
        times: ends of the buckets, in training lengths; those that the held-out part has no window for are left out.
        limit: take only the first `limit` windows.

    Returns:
        {"1": {"carried": bits, "windows": bits}, "2": ...}: the characters from the bucket before up to this one, read
        with the state carried from the window's beginning, and the same characters with an empty state every training
        length: their difference is what the longer context is worth.
    """
    T = task.length
    windows_of_T = len(task.held_out_windows()[0])
    most = max((n for n in times if n < windows_of_T), default=1)
    inputs, targets = task.held_out_windows(length=most * T, limit=limit)
    whole = (targets >= 0).all(1)
    inputs, targets = (inputs[whole], targets[whole]) if whole.any() else (inputs, targets)
    carried = _bits(model, inputs, targets)
    windows = _bits(model, inputs.reshape(-1, T), targets.reshape(-1, T)).reshape(carried.shape)
    found, begin = {}, 0
    for n in (n for n in times if n <= most):
        part = slice(begin * T, n * T)
        found[str(n)] = {"carried": float(np.nanmean(carried[:, part])), "windows": float(np.nanmean(windows[:, part]))}
        begin = n
    return found


def _bits(model: Any, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """-log2 p of each target (B, T); NaN where there is none."""
    size = max(1, (1 << 15) // inputs.shape[1])
    rows = []
    with no_grad():
        for i in range(0, len(inputs), size):
            logits = backend.to_numpy(model(inputs[i : i + size])[0].data)
            logits = logits - logits.max(-1, keepdims=True)
            picked = np.take_along_axis(logits, np.maximum(targets[i : i + size], 0)[..., None], -1)[..., 0]
            rows.append((np.log(np.exp(logits).sum(-1)) - picked) / math.log(2))
    return np.where(targets >= 0, np.concatenate(rows), np.nan)
