"""muP: learning rates found on a narrow model hold on a wide one.

With m the width over the width of a base model, and in the letters of a map (in, out):

    what grows with width          initial size     Adam lr   SGD lr           weight decay (AdamW)
    in and out: hidden             1 / sqrt(in)     1 / m     m_out / m_in     m: so that lr * decay stays
    out alone: embedding, vectors  as the base      1         m                1
    in alone: readout              1 / in           1 / m     1 / m            m

Then the entries of every layer's activations, and their changes in a step, keep their size as the width grows. In the
standard way (1 / sqrt(in) everywhere, one rate) the changes grow with m, and the best rate falls.

The readout is often written y = x W / m with W of constant size, Adam lr 1 and SGD lr m. W' = W / m is the same model
and the same training: under Adam, whose steps do not see the factor, W' moves 1 / m as far; under SGD its gradient is
m times that of W, and its rate m / m^2. So no model needs a factor in its forward pass, and the table has none.

Muon's steps have the right size for every width as they are, sqrt(max(1, out / in)) in the spectral norm; its AdamW
follows the column of Adam.
"""

from __future__ import annotations

import math

import numpy as np

from ..errors import ConfigError, ShapeError, explain
from ..nn import Module, Parameter
from .muon import is_hidden
from .optimizer import Group

KINDS = ("adam", "sgd", "muon")


def width_factors(p: Parameter, base: Parameter) -> tuple[float, float]:
    """How many times as many inputs and outputs p has as its base: (m_in, m_out); a vector has no inputs."""
    m_in = p.shape[-2] / base.shape[-2] if p.ndim > 1 else 1.0
    m_out = p.shape[-1] / base.shape[-1] if p.ndim else 1.0
    return m_in, m_out


def _pairs(model: Module, base_model: Module) -> list[tuple[Parameter, Parameter]]:
    parameters, bases = dict(model.named_parameters()), dict(base_model.named_parameters())
    if parameters.keys() != bases.keys():
        raise ShapeError(
            explain(
                "A base model has the same Parameters, fewer numbers in each.",
                got=f"only in one of them: {sorted(parameters.keys() ^ bases.keys())[:5]}",
                fix="build both with the same class, depth and options, and another width",
            )
        )
    for name, p in parameters.items():
        base, finite = bases[name], {"embedding": 0, "readout": -1}.get(p.role)
        wrong = p.ndim != base.ndim or (finite is not None and p.shape[finite] != base.shape[finite])
        if wrong:
            raise ShapeError(
                explain(
                    f"{name} differs from its base in more than width: tokens and classes stay as many.",
                    got=f"{p.shape} and {base.shape}",
                    fix="change the width only",
                )
            )
    return [(p, bases[name]) for name, p in parameters.items()]


def mup_groups(model: Module, base_model: Module, kind: str = "adam") -> list[Group]:
    """Groups with the factors of the table above: AdamW(mup_groups(model, base_model), lr=the base model's).

    Args:
        model: what is to be trained.
        base_model: the same at the width for which the learning rate was found. Only its shapes are read.
        kind: "adam" (AdamW, or Adam without weight decay), "sgd" or "muon".

    Returns:
        A Group for each Parameter, in the order of `model.parameters()`. For the model itself as base all factors are
        1.

    Raises:
        ConfigError: another kind. ShapeError: models that differ in more than width.

    Source:
        Yang et al. 2022, arXiv 2203.03466, table 3; Yang and Hu 2021, arXiv 2011.14522.
    """
    if kind not in KINDS:
        raise ConfigError(explain(f"kind is one of {', '.join(KINDS)}.", got=repr(kind)))
    groups = []
    for p, base in _pairs(model, base_model):
        m_in, m_out = width_factors(p, base)
        if kind == "sgd":
            groups.append(Group([p], lr=m_out / m_in))
        elif kind == "muon" and is_hidden(p):
            groups.append(Group([p]))
        else:
            groups.append(Group([p], lr=1 / m_in, weight_decay=m_in))
    return groups


def rescale_init(model: Module, base_model: Module) -> None:
    """Give every matrix the initial size of the table above, measured against the base model's.

        root mean square of W  =  that of the base W  *  1 / sqrt(m_in) hidden,  1 embedding,  1 / m_in readout

    Matrices in the shape of their base, vectors, and what starts at 0 are left alone. A second call changes nothing.

    Args:
        model: freshly initialised; it is changed.
        base_model: freshly initialised.

    Raises:
        ShapeError: models that differ in more than width.
    """
    for p, base in _pairs(model, base_model):
        m_in, m_out = width_factors(p, base)
        size = math.sqrt(float(np.mean(p.data**2)))
        if p.role == "vector" or p.shape == base.shape or not size:
            continue
        wanted = math.sqrt(float(np.mean(base.data**2))) / (m_in if m_out == 1 else math.sqrt(m_in))
        p.assign_(p.data * (wanted / size))
