"""From LayerNorm to RMSNorm to CRMSNorm, without changing what a model computes.

In a model whose blocks are x + layer(norm(x)), nobody reads the mean of the stream x: each LayerNorm takes it out. So
it can be held at 0 from the start, and then there is nothing to take out: of rows with mean 0, LayerNorm is RMSNorm.

    pre_rms    embedding rows less their mean; of each Linear that writes to the stream, the columns less their mean,
               and so the bias; gain and shift of each LayerNorm folded into the Linears that read it; LayerNorm ->
               SimpleRMSNorm
    pre_crms   and because the last number of a row is minus the sum of the others, it is not stored: writers lose
               their last column, readers take x_last = -sum of the others: W <- W[:-1] - W[-1]; -> CRMSNorm

Both need to know which Linears read the normed stream and which write to it: every mixer and feed-forward layer says
so with `readers()` and `writers()`. A layer that uses its input otherwise than through its readers cannot be converted.

After the conversion, training moves the means away from 0 again. `pre_rms_for_training` keeps them there: it has the
parameters of the original, centres them whenever they are used, and so is the same function of the same parameters as
the model with LayerNorm. Its gradients are the same, and so is every step of training.

Source: Jiang et al. 2023, arXiv 2305.14858.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..autograd import Array, linear
from ..errors import ConfigError, WrongType, explain
from ..nn import Buffer, Embedding, Linear, Module, Parameter
from ..norms import CRMSNorm, LayerNorm, SimpleRMSNorm, fuse_affine_into_linear, rms_norm
from .language_model import LanguageModel


def pre_rms(model: LanguageModel) -> LanguageModel:
    """The same function with SimpleRMSNorm in the place of LayerNorm.

    Args:
        model: with norm="layer_norm"; it stays as it is.

    Returns:
        A new model; its readers have biases, which hold the shifts of the norms.

    Raises:
        ConfigError: a norm that is not LayerNorm. TypeError: a layer without `readers()` and `writers()`.

    Cost:
        A pass over the weights, once; then two sums for each row less in every norm, and no gains.

    Source:
        Jiang et al. 2023, arXiv 2305.14858.
    """
    _check_kind(model)
    model = _copied(model, {})
    for owner, name, readers in _normed(model):
        norm = _layer_norm(owner, name)
        for reader in readers:
            fused = fuse_affine_into_linear(norm.weight.data, norm.bias.data, reader, "before")
            reader.weight, reader.bias = fused.weight, fused.bias
        setattr(owner, name, SimpleRMSNorm(model.config.D, eps=norm.eps))
    for owner, name in _written(model):
        _change(owner, name, centred)
    model.config = replace(model.config, norm="simple_rms_norm")
    return model


def pre_crms(model: LanguageModel) -> LanguageModel:
    """The same function on a stream of D - 1 numbers, with CRMSNorm in the place of LayerNorm.

    Args:
        model: with norm="layer_norm", and D of 2 or more; it stays as it is.

    Returns:
        A new model, whose config.D is smaller by 1; its readers have biases.

    Raises:
        ConfigError: a norm that is not LayerNorm, or D = 1. TypeError: a layer without `readers()` and `writers()`.

    Cost:
        As `pre_rms`; then a row or a column less in every matrix on the stream.

    Source:
        Jiang et al. 2023, arXiv 2305.14858.
    """
    D = model.config.D
    if D < 2:
        raise ConfigError(explain("pre_crms leaves one of D numbers out, so D is 2 or more.", got=D, fix="pre_rms"))
    model = pre_rms(model)
    for owner, name, readers in _normed(model):
        for reader in readers:
            _change(reader, "weight", lambda W: W[:-1] - W[-1:])
        setattr(owner, name, CRMSNorm(D - 1, eps=getattr(owner, name).eps))
    for owner, name in _written(model):
        _change(owner, name, lambda x: x[..., :-1])
    model.config = replace(model.config, D=D - 1, norm="crms_norm")
    return model


def pre_rms_for_training(model: LanguageModel) -> LanguageModel:
    """The same function of the same Parameters, with RMSNorm in the place of LayerNorm: training goes the same way.

    Args:
        model: with norm="layer_norm"; it stays as it is.

    Returns:
        A new model with the same names in its `state_dict()`, so that what was trained goes back into `model`, and
        from there through `pre_rms`.

    Raises:
        ConfigError: a norm that is not LayerNorm. TypeError: a layer without `readers()` and `writers()`.

    Cost:
        That of the model, and a pass over the writers' weights for each call.

    Source:
        Jiang et al. 2023, arXiv 2305.14858.
    """
    _check_kind(model)
    instead: dict[int, Module] = {id(model.embedding): _as(ZeroMeanEmbedding, model.embedding)}
    for owner, name, _ in _normed(model):
        norm = _layer_norm(owner, name)
        instead[id(norm)] = _as(ShiftedRMSNorm, norm)
    for owner, _ in _written(model):
        if isinstance(owner, Linear):
            instead[id(owner)] = _as(ZeroMeanLinear, owner)
    return _copied(model, instead)


class ZeroMeanLinear(Linear):
    """y = x W' + b', with W' and b' the Parameters less their mean over the outputs: every y has mean 0.

    Args:
        D, E, bias, gain, role, rng: as for `Linear`.

    Cost:
        That of Linear, and three passes over W.

    Source:
        Jiang et al. 2023, arXiv 2305.14858.
    """

    def __call__(self, x: Array) -> Array:
        """(..., D) -> (..., E), with mean 0."""
        return linear(x, centred(self.weight), None if self.bias is None else centred(self.bias))


class ZeroMeanEmbedding(Embedding):
    """Look tokens up: rows (..., D) less their mean.

    Args:
        vocabulary, D, std, rng: as for `Embedding`.

    Cost:
        That of Embedding, and one sum for each row.

    Source:
        Jiang et al. 2023, arXiv 2305.14858.
    """

    def __call__(self, ids: Any) -> Array:
        """ids (...) -> rows (..., D), with mean 0."""
        return centred(super().__call__(ids))


class ShiftedRMSNorm(LayerNorm):
    """x / sqrt(mean(x^2) + eps) * weight + bias: what LayerNorm is for rows with mean 0.

    Args:
        D, eps: as for `LayerNorm`.

    Cost:
        One sum for each row.

    Source:
        Jiang et al. 2023, arXiv 2305.14858.
    """

    def __call__(self, x: Array) -> Array:
        """(..., D) -> (..., D)."""
        return rms_norm(x, self.weight, eps=self.eps) + self.bias


def centred(x: Array) -> Array:
    """x (..., D) less its mean over the last axis."""
    return x - np.mean(x, axis=-1, keepdims=True)


def _normed(model: LanguageModel) -> Iterator[tuple[Module, str, list[Linear]]]:
    """Each norm, as the attribute of a module, and the Linears that read what it gives."""
    for block in model.blocks:
        if block.mixer is not None:
            yield block, "mixer_norm", _linears(block.mixer, "readers")
        yield block, "feed_forward_norm", _linears(block.feed_forward, "readers")
    yield model, "norm", [model.head]


def _written(model: LanguageModel) -> Iterator[tuple[Module, str]]:
    """Each Parameter whose last axis is the stream, as the attribute of a module."""
    yield model.embedding, "weight"
    for block in model.blocks:
        mixing = [] if block.mixer is None else _linears(block.mixer, "writers")
        for writer in mixing + _linears(block.feed_forward, "writers"):
            yield writer, "weight"
            if writer.bias is not None:
                yield writer, "bias"


def _check_kind(model: LanguageModel) -> None:
    if model.config.kind != "language_model":
        raise ConfigError(
            explain("What is converted is a language model: tokens in, scores out.", got=model.config.kind)
        )
    if model.config.placement != "pre":
        raise ConfigError(
            explain(
                "Only where the norms stand in front is the mean of the stream never read.", got=model.config.placement
            )
        )


def _linears(layer: Any, kind: str) -> list[Linear]:
    if not hasattr(layer, kind):
        raise WrongType(
            explain(
                f"A layer that is converted names its Linears on the stream: {kind}() returns a list.",
                got=type(layer).__name__,
                fix="give it readers() and writers(), if it uses its input through the readers only",
            )
        )
    return getattr(layer, kind)()


def _layer_norm(owner: Module, name: str) -> LayerNorm:
    norm = getattr(owner, name)
    if type(norm) is not LayerNorm:
        raise ConfigError(
            explain('What is converted is a model with norm="layer_norm".', got=f"{name} {type(norm).__name__}")
        )
    return norm


def _change(owner: Any, name: str, change: Any) -> None:
    """Put another array into a Parameter; what is said of it stays, but the parts where columns went."""
    old = getattr(owner, name)
    array = change(old.data)
    parts = old.parts if sum(old.parts) == array.shape[-1] else array.shape[-1:]
    setattr(owner, name, Parameter(array, decay=old.decay, role=old.role, parts=parts if old.parts else ()))


def _as(kind: type, module: Module) -> Any:
    """The module with its Parameters as one of another class, without drawing new ones."""
    new: Any = object.__new__(kind)
    vars(new).update(vars(module))
    return new


def _copied(module: Any, instead: Mapping[int, Module]) -> Any:
    """The module and all in it, with arrays of their own; where `instead` has another for it (by id), that one."""
    if isinstance(module, list):
        return [_copied(item, instead) for item in module]
    if isinstance(module, Parameter):
        return Parameter(module.data, decay=module.decay, role=module.role, parts=module.parts)
    if isinstance(module, Buffer):
        return Buffer(module.data)
    if not isinstance(module, Module):
        return module
    new = copy.copy(instead.get(id(module), module))
    vars(new).update({name: _copied(value, instead) for name, value in vars(new).items()})
    return new
