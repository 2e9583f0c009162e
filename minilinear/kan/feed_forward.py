"""Two Kolmogorov-Arnold layers, D -> hidden -> D, in the place of a feed-forward layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from ..autograd import Array
from ..errors import ConfigError, explain
from ..nn import Linear, Module
from .b_spline import BSplineLayer
from .group_rational import GroupRationalLayer


class KAN(Module):
    """y = down(up(x)), two layers of one kind.

    Args:
        D: numbers in and out.
        hidden: E, the width between. By default the layer gets the 8 D^2 weights that SwiGLU and a plain layer have by
            default: E = 4 D / p with p weights on an edge (K, and 1 for the base), rounded, and at least 4.
        layer: makes a layer, layer(D_in, D_out, rng=rng).
        rng: where the initial weights are drawn from.

    Cost:
        2 D E p multiplications for each token.

    Source:
        Liu et al. 2024, arXiv 2404.19756, equation 2.7.
    """

    def __init__(
        self,
        D: int,
        hidden: int | None = None,
        *,
        layer: Callable[..., Any] = BSplineLayer,
        rng: np.random.Generator,
    ):
        E = hidden or max(round(4 * D / weights_of_an_edge(layer)), 4)
        self.up, self.down = layer(D, E, rng=rng), layer(E, D, rng=rng)

    def __call__(self, x: Array) -> Array:
        """(..., D) -> (..., D)."""
        return self.down(self.up(x))

    def readers(self) -> NoReturn:
        """There are none: functions that are not linear are applied to the input first.

        Raises:
            ConfigError: always, so that nothing is folded into this layer by mistake.
        """
        raise ConfigError(
            explain(
                "No linear map reads the input of a KAN: it is bent first.",
                fix="leave the norm in front of it as it is, or use a feed-forward layer of minilinear.mlp",
            )
        )

    def writers(self) -> list[Linear]:
        """The linear maps whose output leaves the layer: their sum is y."""
        return self.down.writers()


def weights_of_an_edge(layer: Callable[..., Any]) -> int:
    """How many weights a layer has for one more output of each input."""
    sizes = [layer(8, E, rng=np.random.default_rng(0)).writers() for E in (1, 2)]
    one, two = (sum(linear.weight.size for linear in linears) for linears in sizes)
    return (two - one) // 8


class GRKAN(KAN):
    """y = F_2(F_1(x) W_up + b_up) W_down + b_down, with rational F_1 and F_2 for each group of channels.

    F_1 starts as the identity and F_2 as gelu: at first it is a plain layer with 4 D hidden values.

    Args:
        D: numbers in and out.
        hidden: E, the width between; 4 D by default.
        groups: of channels; see `GroupRational`.
        rng: where the initial weights are drawn from.

    Cost:
        2 D E multiplications for each token, and some twenty operations for each of its D + E numbers.

    Source:
        Yang and Wang 2025, arXiv 2409.10594, section 4.
    """

    def __init__(self, D: int, hidden: int | None = None, *, groups: int | None = None, rng: np.random.Generator):
        E = hidden or 4 * D
        self.up = GroupRationalLayer(D, E, groups=groups, init="identity", rng=rng)
        self.down = GroupRationalLayer(E, D, groups=groups, init="gelu", rng=rng)
