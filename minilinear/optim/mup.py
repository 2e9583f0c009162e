"""muP: learning rates and initial weights by width, so that what was tuned on a narrow model is right on a wide one.

Let a be how many times as many numbers go into a matrix as in the base model, and b how many times as many come out.
In the standard parametrisation the step of a hidden matrix, summed over its a times as many inputs, changes what comes
out a times as much: the best learning rate falls as the model grows. muP divides it out:

    matrix                       initial weights                  Adam     SGD
    hidden (a > 1, b > 1)        as always: 1 / sqrt(inputs)      1 / a    b / a
    in (a = 1), gains, biases    as always                        1        b
    out (a > 1, b = 1)           times 1 / sqrt(a) more           1 / a    1 / a

The readout is the last row in the form without a multiplier: W / a with a learning rate of 1 (Adam) or a (SGD) is the
same function and the same training. Decoupled weight decay is lr times decay; its factor is the inverse of lr's, so
that weights shrink at the base model's pace.

Source: Yang and Hu 2021 (arXiv 2011.14522) and Yang et al. 2022 (arXiv 2203.03466), table 8.
"""

from __future__ import annotations

import math
from typing import Any

from ..errors import ConfigError, explain
from ..nn import Module
from .optimizer import Group


def mup_groups(model: Module, base: Module, *, optimizer: str = "adam", rescale: bool = True) -> list[Group]:
    """The parameters of a model in groups with muP's learning rates, relative to a narrower model of the same kind.

    Args:
        model: the wide model, as it was initialised.
        base: the narrow one; only its shapes matter.
        optimizer: "adam" for all that divide by the size of the gradient (Adam, AdamW, LAMB, AdamP), "sgd" for the
            others.
        rescale: also shrink the initial weights of matrices whose outputs do not grow; do it once.

    Returns:
        A Group for each parameter, for any optimizer's constructor.

    Raises:
        ConfigError: another kind of model, or an unknown kind of optimizer.

    Source:
        Yang et al. 2022, arXiv 2203.03466, table 8.
    """
    if optimizer not in ("adam", "sgd"):
        raise ConfigError(explain('optimizer is "adam" or "sgd".', got=repr(optimizer)))
    wide, narrow = dict(model.named_parameters()), dict(base.named_parameters())
    if wide.keys() != narrow.keys():
        differ = sorted(wide.keys() ^ narrow.keys())[:5]
        raise ConfigError(
            explain("The base model has the same parameters in other sizes.", got=f"only one has {differ}")
        )
    groups = []
    for name, p in wide.items():
        a, b = _growth(p, narrow[name])
        if rescale and p.ndim == 2 and a > 1 and b == 1:
            p.assign_(p.data / math.sqrt(a))
        lr = 1 / a if optimizer == "adam" else b / a
        groups.append(Group([p], lr=lr, weight_decay=1 / lr))
    return groups


def _growth(wide: Any, narrow: Any) -> tuple[float, float]:
    """How many times as many numbers go in, and come out; a vector and an embedding have none that go in."""
    if wide.ndim != narrow.ndim:
        raise ConfigError(explain("The base model has the same parameters in other sizes.", got=f"{narrow.shape}"))
    if wide.ndim != 2 or wide.role in ("vector", "embedding"):
        return 1.0, wide.shape[-1] / narrow.shape[-1] if wide.ndim else 1.0
    return wide.shape[0] / narrow.shape[0], wide.shape[1] / narrow.shape[1]
