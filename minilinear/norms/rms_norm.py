"""RMSNorm: divide each row by its root mean square; no mean is taken out. With a gain, without one, with a gate.

RMSNorm:        y = x / sqrt(mean(x^2) + eps) * weight
SimpleRMSNorm:  y = x / sqrt(mean(x^2) + eps)                                 = sqrt(D) times the L2 norm
gated:          y = RMSNorm(x) * silu(z)   or   RMSNorm(x * silu(z))
"""

from __future__ import annotations

import numpy as np

from ..autograd import Array, silu
from ..backend import mirrored
from ..nn import Module, Parameter
from .algebra import check_channels, normalize


@mirrored("rms_norm")
def rms_norm(x: Array, weight: Array | None = None, *, eps: float = 1e-5) -> Array:
    """x / sqrt(mean(x^2) + eps) * weight over the last axis.

    Args:
        x: (..., D).
        weight: (D); None for 1.
        eps: added to the mean square.

    Returns:
        (..., D).

    Cost:
        One sum for each row; backward, one, and one over the rows for the gain.

    Source:
        Zhang and Sennrich 2019, arXiv 1910.07467, equation 4.
    """
    y = normalize(x, centred=False, eps=eps)[0]
    return y if weight is None else y * weight


@mirrored("gated_rms_norm")
def gated_rms_norm(
    x: Array, z: Array, weight: Array | None = None, *, norm_before_gate: bool, eps: float = 1e-5
) -> Array:
    """rms_norm(x) * silu(z), or rms_norm(x * silu(z)), over the last axis. They are different functions: see
    `GatedRMSNorm`.

    Args:
        x: (..., D).
        z: (..., D), what opens the gate.
        weight: (D); None for 1.
        norm_before_gate: True for rms_norm(x) * silu(z), False for rms_norm(x * silu(z)).
        eps: added to the mean square.

    Returns:
        (..., D).

    Cost:
        That of rms_norm, and a sigmoid for each number.

    Source:
        Dao and Gu 2024, arXiv 2405.21060, gate first; Sun et al. 2023, arXiv 2307.08621, equation 8, norm first, with
        a GroupNorm.
    """
    if norm_before_gate:
        return rms_norm(x, weight, eps=eps) * silu(z)
    return rms_norm(x * silu(z), weight, eps=eps)


class RMSNorm(Module):
    """x / sqrt(mean(x^2) + eps) * weight, a gain for each of D channels that starts at 1.

    Args:
        D: channels, the last axis.
        eps: added to the mean square.

    Cost:
        One sum for each row.

    Source:
        Zhang and Sennrich 2019, arXiv 1910.07467, equation 4.
    """

    def __init__(self, D: int, *, eps: float = 1e-5):
        self.weight, self.eps = Parameter(np.ones(D, np.float32), decay=False), eps

    def __call__(self, x: Array) -> Array:
        """(..., D) -> (..., D)."""
        check_channels(x, self.weight.shape[0])
        return rms_norm(x, self.weight, eps=self.eps)


class SimpleRMSNorm(Module):
    """x / sqrt(mean(x^2) + eps): RMSNorm without a gain, for the linear map that follows can hold one.

    Args:
        D: channels, the last axis.
        eps: added to the mean square.

    Cost:
        One sum for each row.

    Source:
        Qin et al. 2023, arXiv 2307.14995.
    """

    def __init__(self, D: int, *, eps: float = 1e-5):
        self.D, self.eps = D, eps

    def __call__(self, x: Array) -> Array:
        """(..., D) -> (..., D)."""
        check_channels(x, self.D)
        return rms_norm(x, eps=self.eps)


class GatedRMSNorm(Module):
    """RMSNorm(x) * silu(z), or RMSNorm(x * silu(z)): the norm behind a linear sequence layer, and its output gate.

    The two are different functions. With the norm first, a small gate makes a small output; with the gate first, the
    norm brings every output back to length sqrt(D), and the gate only turns it.

    Args:
        D: channels, the last axis.
        norm_before_gate: True for RMSNorm(x) * silu(z), False for RMSNorm(x * silu(z)).
        eps: added to the mean square.

    Cost:
        That of RMSNorm, and a sigmoid for each number.

    Source:
        Dao and Gu 2024, arXiv 2405.21060, gate first; Sun et al. 2023, arXiv 2307.08621, equation 8, norm first, with
        a GroupNorm.
    """

    def __init__(self, D: int, *, norm_before_gate: bool, eps: float = 1e-5):
        self.weight, self.eps = Parameter(np.ones(D, np.float32), decay=False), eps
        self.norm_before_gate = norm_before_gate

    def __call__(self, x: Array, z: Array) -> Array:
        """x (..., D) and what opens the gate z (..., D) -> (..., D)."""
        check_channels(x, self.weight.shape[0])
        check_channels(z, self.weight.shape[0])
        return gated_rms_norm(x, z, self.weight, norm_before_gate=self.norm_before_gate, eps=self.eps)
