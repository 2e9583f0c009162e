"""What all models share: a stack of blocks on a stream of D numbers per token, and the configuration that decides it.

A **plan** names the mixer of each block: "delta_net", or a hybrid, "gated_delta_net*3+softmax": three of the first, one
of the second, and from the beginning again until there are as many as `layers`. "none" is a block without a mixer.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from typing import Any

import numpy as np

from ..autograd import Array, recompute
from ..errors import ConfigError, WrongValue, explain, nearest
from ..nn import Module
from .block import Block, wiring
from .tables import FEED_FORWARDS, MIXERS, NORMS

KINDS = ("language_model", "classifier", "regressor")


@dataclass(frozen=True)
class ModelConfig:
    """Everything that decides a model's shape; JSON and back without loss.

    Args:
        vocabulary: how many scores come out: tokens, or classes; 1 for a regressor.
        kind: "language_model", "classifier" or "regressor".
        features: numbers in a row of what goes in, where it is not token ids.
        D: model dim.
        layers: blocks.
        mixer: a name from MIXERS, or a plan.
        mixer_options: keyword arguments of the mixer; in a hybrid, of each mixer by its name.
        ffn, norm: names from FEED_FORWARDS, NORMS.
        placement: where the norms stand, see block.py.
        hidden: width of the feed-forward layer; None for its own default.
        chunk: tokens in a chunk of the mixer, a power of two.
    """

    vocabulary: int
    kind: str = "language_model"
    features: int = 0
    D: int = 128
    layers: int = 2
    mixer: str = "delta_product"
    mixer_options: Mapping[str, Any] = field(default_factory=dict)
    ffn: str = "swiglu"
    norm: str = "rms_norm"
    placement: str = "pre"
    hidden: int | None = None
    chunk: int = 64

    def __post_init__(self) -> None:
        for name, table in ("ffn", FEED_FORWARDS), ("norm", NORMS), ("kind", KINDS):
            if getattr(self, name) not in table:
                raise ConfigError(
                    explain(
                        f"{name} is one of {', '.join(table)}.",
                        got=repr(getattr(self, name)),
                        fix=nearest(str(getattr(self, name)), table),
                    )
                )
        for name in ("vocabulary", "D", "layers", "hidden"):
            if (n := getattr(self, name)) is not None and n < 1:
                raise ConfigError(explain(f"{name} is 1 or more.", got=getattr(self, name)))
        if self.kind != "language_model" and self.features < 1:
            raise ConfigError(explain(f"A {self.kind} reads rows of 1 or more features.", got=self.features))
        wiring(self.placement, 1, self.layers)
        names = mixers_of(self.mixer)
        if self.mixer not in names and self.mixer_options.keys() - set(names):
            got, fix = ", ".join(self.mixer_options), f'{{"{names[0]}": {{...}}}}' if names else "none"
            raise ConfigError(explain("A hybrid's mixer_options are by the mixer's name.", got=got, fix=fix))
        for name in names:
            known = options_of(name)
            unknown = self.options(name).keys() - known
            if unknown:
                raise ConfigError(
                    explain(f"{name} has the options {', '.join(sorted(known))}.", got=", ".join(sorted(unknown)))
                )
        if self.chunk < 1 or self.chunk & (self.chunk - 1):
            raise ConfigError(explain("chunk is a power of two.", got=self.chunk, fix="chunk=64", see="chunk"))

    def options(self, mixer: str) -> Mapping[str, Any]:
        """The keyword arguments of one mixer of the plan."""
        return self.mixer_options if self.mixer == mixer else self.mixer_options.get(mixer, {})

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> ModelConfig:
        unknown = saved.keys() - {f.name for f in fields(cls)}
        if unknown:
            raise ConfigError(explain("This is not the configuration of a model.", got=f"unknown {unknown}"))
        return cls(**saved)


def plan(mixer: str, layers: int) -> list[str]:
    """The mixer of each block.

    >>> plan("gla*2+delta_net", 4)
    ['gla', 'gla', 'delta_net', 'gla']

    Raises:
        ConfigError: an unknown name, or a plan that cannot be read.
    """
    cycle: list[str] = []
    for part in mixer.split("+"):
        read = re.fullmatch(r"(\w+)(?:\*([1-9][0-9]?))?", part.strip())
        if read is None or (read[1] not in MIXERS and read[1] != "none"):
            raise ConfigError(
                explain(
                    f"mixer is one of {', '.join(MIXERS)}, or a plan of them.",
                    got=repr(mixer),
                    fix=f"{nearest(part, MIXERS)} A plan is gated_delta_net*3+softmax",
                )
            )
        cycle += [read[1]] * int(read[2] or 1)
    return [cycle[i % len(cycle)] for i in range(layers)]


def mixers_of(mixer: str) -> list[str]:
    """The different mixers in a plan, in its order, without "none"."""
    return [name for name in dict.fromkeys(plan(mixer, 99)) if name != "none"]


def options_of(mixer: str) -> dict[str, inspect.Parameter]:
    """The options that a mixer takes, by name."""
    parameters = inspect.signature(MIXERS[mixer]).parameters
    return {name: parameter for name, parameter in parameters.items() if name not in ("D", "rng")}


class Stack(Module):
    """Blocks one after another, and the norm at their end.

    Args:
        config: the model's shape.
        rng: where the initial weights are drawn from.

    Attributes:
        recomputes: whether each block keeps its input alone, and is run again in the backward.

    Cost:
        Linear in T for every mixer with a state of constant size.
    """

    recomputes = False

    def __init__(self, config: ModelConfig, *, rng: np.random.Generator):
        self.config = config
        D, norm = config.D, lambda: NORMS[config.norm](config.D)
        self.embedding_norm = norm() if config.placement == "peri" else None
        self.blocks = [
            Block(
                None if mixer == "none" else MIXERS[mixer](D, **config.options(mixer), rng=rng),
                FEED_FORWARDS[config.ffn](D, hidden=config.hidden, rng=rng),
                norm,
                placement=config.placement,
                layer=i + 1,
                layers=config.layers,
            )
            for i, mixer in enumerate(plan(config.mixer, config.layers))
        ]
        self.norm = None if self.blocks[-1].wiring in ("post", "deep_norm") else norm()

    def stream(
        self,
        x: Array,
        state: Sequence[Any] | None = None,
        *,
        cu_seqlens: Sequence[int] | None = None,
        form: str = "chunk",
    ) -> tuple[Array, tuple[Any, ...]]:
        """x (B, T, D) and a state for each block -> what comes out of the last norm, and the states after it."""
        after = []
        x = self._enter(x)
        for block, before in zip(self.blocks, self._one_each(state)):
            through = partial(block, cu_seqlens=cu_seqlens, form=form, chunk=self.config.chunk)
            x, state_after = recompute(through, x, before) if self.recomputes else through(x, before)
            after.append(state_after)
        return self._leave(x), tuple(after)

    def stream_step(self, x_t: Array, state: Sequence[Any]) -> tuple[Array, tuple[Any, ...]]:
        """One token of each sequence: x_t (B, D) -> (B, D), and the states after it."""
        after = []
        x_t = self._enter(x_t)
        for block, before in zip(self.blocks, self._one_each(state)):
            x_t, state_after = block.step(x_t, before)
            after.append(state_after)
        return self._leave(x_t), tuple(after)

    def _enter(self, x: Array) -> Array:
        return x if self.embedding_norm is None else self.embedding_norm(x)

    def _leave(self, x: Array) -> Array:
        return x if self.norm is None else self.norm(x)

    def _one_each(self, state: Sequence[Any] | None) -> Sequence[Any]:
        if state is not None and len(state) != len(self.blocks):
            raise WrongValue(
                explain(
                    f"A state has a part for each of the {len(self.blocks)} blocks.",
                    got=len(state),
                    fix="hand over what the last call returned, or model.initial_state(batch)",
                    see="other-model",
                )
            )
        return [None] * len(self.blocks) if state is None else state

    def initial_state(self, batch: int) -> tuple[Any, ...]:
        """The state before the first token, one for each block."""
        return tuple(() if block.mixer is None else block.mixer.initial_state(batch) for block in self.blocks)

    def state_floats(self, T: int) -> int:
        """How many numbers a sequence's state holds after T tokens."""
        return sum(block.mixer.state_floats(T) for block in self.blocks if block.mixer is not None)
