"""Taking the radial part out of a step: for weights whose length the loss does not depend on.

If f(c w) = f(w), as in front of a normalisation, then <grad f(w), w> = 0 (Euler), so every plain gradient step is at a
right angle to w and makes it longer: ||w'||^2 = ||w||^2 + lr^2 ||p||^2. With momentum p is no longer at a right angle,
w grows faster, and the effective rate, lr / ||w||^2, decays behind the schedule's back. The projection

    p <- p - w_hat <w_hat, p>,        w_hat = w / (||w|| + eps)

takes out what is along w. Whether w is of this kind is read off the gradient: |cos(g, w)| < delta / sqrt(n), first
for every output unit by itself, then for the map as a whole.
"""

from __future__ import annotations

import math

import numpy as np


def project(p, w, g, *, delta, eps, unit):
    """The step p for one map without its radial part, if the gradient says that the loss does not see the length.

    Args:
        p, w, g: step, weights and gradient, all in one shape.
        delta: how close to a right angle counts as one.
        eps: keeps the division finite.
        unit: the axes of one output unit.

    Returns:
        The step, and whether it was projected.
    """
    for axes in unit, tuple(range(w.ndim)):

        def dot(a, b, axes=axes):
            return (a * b.conj()).real.sum(axes, keepdims=True)

        norm = np.sqrt(dot(w, w))
        cosine = abs(dot(g, w)) / (np.sqrt(dot(g, g)) * norm + eps)
        n = math.prod(w.shape[axis] for axis in axes)
        if float(cosine.max()) < delta / math.sqrt(n):
            w_hat = w / (norm + eps)
            return p - w_hat * dot(w_hat, p), True
    return p, False
