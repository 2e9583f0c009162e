"""BatchNorm: each channel to mean 0 and variance 1 over all tokens of the batch, then a gain and a shift.

    in training   y = (x - mean_N(x)) / sqrt(var_N(x) + eps) * weight + bias       N: all axes but the last
    in use        y = (x - running_mean) / sqrt(running_var + eps) * weight + bias

    running_mean <- (1 - momentum) running_mean + momentum mean_N
    running_var  <- (1 - momentum) running_var + momentum var_N n / (n - 1)

Two conventions are about, and mixing them goes wrong without a word. Here, as in torch, momentum is what the *new*
value counts (0.1), and the running variance is the unbiased one, n / (n - 1) times that of the batch. In flax, momentum
is what the *old* value counts (0.99), and the running variance is that of the batch: momentum = 1 - flax's momentum.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Array, unwrap
from ..errors import ShapeError, WrongValue, explain
from ..nn import Buffer, Module, Parameter
from .algebra import check_channels, normalize


class BatchNorm(Module):
    """(x - mean) / sqrt(var + eps) * weight + bias, with the mean and variance of the batch in training, and with
    running averages of them in use (`eval()`).

    A token's output in training depends on all others of its batch, also on later ones: not for causal models. In use
    it is an affine map of each token, which `fuse_affine_into_linear` makes part of a neighbouring Linear.

    Args:
        D: channels, the last axis.
        eps: added to the variance.
        momentum: what a batch counts in the running averages, from 0 to 1; 1 - momentum in flax's words.

    Cost:
        Three sums over the batch in training, none in use.

    Source:
        Ioffe and Szegedy 2015, arXiv 1502.03167, algorithms 1 and 2.
    """

    def __init__(self, D: int, *, eps: float = 1e-5, momentum: float = 0.1):
        self.weight = Parameter(np.ones(D, np.float32), decay=False)
        self.bias = Parameter(np.zeros(D, np.float32), decay=False)
        self.running_mean, self.running_var = Buffer(np.zeros(D, np.float32)), Buffer(np.ones(D, np.float32))
        self.eps, self.momentum = eps, momentum

    def __call__(self, x: Array, mask: Any = None) -> Array:
        """Normalise, and in training note the statistics.

        Args:
            x: (..., D).
            mask: (...), True where a token counts: the statistics are taken over these and used for all, so what is
                padded has to be finite. In use it changes nothing.

        Returns:
            (..., D).

        Raises:
            ShapeError: other channels than D, or a mask of another shape. ValueError: fewer than two tokens count.
        """
        check_channels(x, self.weight.shape[0])
        if not self.training:
            return (x - self.running_mean.data) * self._slope() + self.bias
        n, share = x.size // x.shape[-1], None
        if mask is not None:
            if mask.shape != x.shape[:-1]:
                raise ShapeError(explain(f"A mask has a number for each token, {x.shape[:-1]}.", got=mask.shape))
            n = int(mask.sum())
            share = mask[..., None].astype(x.dtype) / max(n, 1)
        if n < 2:
            raise WrongValue(
                explain(
                    "BatchNorm in training wants two tokens or more: one has no variance.",
                    got=f"{n} in x {x.shape}",
                    fix="a larger batch, or norm.eval() to use the running statistics",
                )
            )
        axes = tuple(range(x.ndim - 1))
        y, v, mean = normalize(x, axes=axes, centred=True, eps=self.eps, share=share)
        self._note(self.running_mean, mean)
        self._note(self.running_var, v * (n / (n - 1)))
        return y * self.weight + self.bias

    def _note(self, average: Buffer, new: Array) -> None:
        old = average.data
        new = unwrap(new).reshape(old.shape)
        average.data = ((1 - self.momentum) * old + self.momentum * new).astype(old.dtype)

    def _slope(self) -> Array:
        return self.weight / np.sqrt(self.running_var.data + self.eps)

    def affine(self) -> tuple[Any, Any]:
        """In use the norm is a x + c, channel by channel: the arrays a and c, (D) each.

        Raises:
            ValueError: in training, when it is not.
        """
        if self.training:
            raise WrongValue(
                explain("BatchNorm is an affine map in use only: in training it looks at the batch.", fix="norm.eval()")
            )
        a = unwrap(self._slope())
        return a, self.bias.data - a * self.running_mean.data
