"""A language model: embed tokens, mix them through a stack of blocks, score every token of the vocabulary.

The same model reads text and words of a group; what differs is the vocabulary and the mixer's options.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from ..autograd import Array, no_grad
from ..delta import DeltaProduct
from ..errors import ConfigError, explain
from ..mlp import SwiGLU
from ..nn import Embedding, Linear, Module
from ..norms import CRMSNorm, DynamicTanh, LayerNorm, RMSNorm, SimpleRMSNorm
from .block import Block

MIXERS: dict[str, Callable[..., Any]] = {"delta_product": DeltaProduct}
FEED_FORWARDS: dict[str, Callable[..., Any]] = {"swiglu": SwiGLU}
NORMS: dict[str, Callable[..., Any]] = {
    "rms_norm": RMSNorm,
    "simple_rms_norm": SimpleRMSNorm,
    "layer_norm": LayerNorm,
    "crms_norm": CRMSNorm,
    "dynamic_tanh": DynamicTanh,
}


@dataclass(frozen=True)
class LanguageModelConfig:
    """Everything that decides a model's shape; JSON and back without loss.

    Args:
        vocabulary: how many tokens there are.
        D: model dim.
        layers: blocks.
        mixer, ffn, norm: names from MIXERS, FEED_FORWARDS, NORMS.
        mixer_options: keyword arguments of the mixer.
        hidden: width of the feed-forward layer; None for its own default.
        chunk: tokens in a chunk of the mixer, a power of two.
    """

    vocabulary: int
    D: int = 128
    layers: int = 2
    mixer: str = "delta_product"
    mixer_options: Mapping[str, Any] = field(default_factory=dict)
    ffn: str = "swiglu"
    norm: str = "rms_norm"
    hidden: int | None = None
    chunk: int = 64

    def __post_init__(self) -> None:
        for name, table in ("mixer", MIXERS), ("ffn", FEED_FORWARDS), ("norm", NORMS):
            if getattr(self, name) not in table:
                raise ConfigError(
                    explain(
                        f"{name} is one of {', '.join(table)}.", got=repr(getattr(self, name)), fix="check the name"
                    )
                )
        for name in ("vocabulary", "D", "layers"):
            if getattr(self, name) < 1:
                raise ConfigError(explain(f"{name} is 1 or more.", got=getattr(self, name)))
        known = inspect.signature(MIXERS[self.mixer]).parameters.keys() - {"D", "rng"}
        unknown = self.mixer_options.keys() - known
        if unknown:
            raise ConfigError(
                explain(f"{self.mixer} has the options {', '.join(sorted(known))}.", got=", ".join(sorted(unknown)))
            )
        if self.chunk < 1 or self.chunk & (self.chunk - 1):
            raise ConfigError(explain("chunk is a power of two.", got=self.chunk, fix="chunk=64"))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> LanguageModelConfig:
        unknown = saved.keys() - {f.name for f in fields(cls)}
        if unknown:
            raise ConfigError(explain("This is not the configuration of a language model.", got=f"unknown {unknown}"))
        return cls(**saved)


class LanguageModel(Module):
    """Token ids in, a score for every next token out.

    Args:
        config: the model's shape.
        rng: where the initial weights are drawn from.

    Cost:
        Linear in T for every mixer with a state.
    """

    def __init__(self, config: LanguageModelConfig, *, rng: np.random.Generator):
        self.config = config
        D, norm = config.D, lambda: NORMS[config.norm](config.D)
        self.embedding = Embedding(config.vocabulary, D, std=D**-0.5, rng=rng)
        self.blocks = [
            Block(
                MIXERS[config.mixer](D, **config.mixer_options, rng=rng),
                FEED_FORWARDS[config.ffn](D, hidden=config.hidden, rng=rng),
                norm,
            )
            for _ in range(config.layers)
        ]
        self.norm = norm()
        self.head = Linear(D, config.vocabulary, role="readout", rng=rng)

    def __call__(
        self,
        ids: Any,
        state: Sequence[Any] | None = None,
        *,
        cu_seqlens: Sequence[int] | None = None,
        form: str = "chunk",
    ) -> tuple[Array, tuple[Any, ...]]:
        """ids (B, T) and a state for each block -> logits (B, T, vocabulary) and the states after the last token."""
        x, after = self.embedding(ids), []
        for block, before in zip(self.blocks, self._one_each(state)):
            x, state_after = block(x, before, cu_seqlens=cu_seqlens, form=form, chunk=self.config.chunk)
            after.append(state_after)
        return self.head(self.norm(x)), tuple(after)

    def step(self, ids_t: Any, state: Sequence[Any]) -> tuple[Array, tuple[Any, ...]]:
        """One token of each sequence: ids_t (B) -> logits (B, vocabulary), in time that does not depend on the past."""
        x, after = self.embedding(ids_t), []
        for block, before in zip(self.blocks, self._one_each(state)):
            x, state_after = block.step(x, before)
            after.append(state_after)
        return self.head(self.norm(x)), tuple(after)

    def _one_each(self, state: Sequence[Any] | None) -> Sequence[Any]:
        if state is not None and len(state) != len(self.blocks):
            raise ValueError(
                explain(
                    f"A state has a part for each of the {len(self.blocks)} blocks.",
                    got=len(state),
                    fix="hand over what the last call returned, or model.initial_state(batch)",
                )
            )
        return [None] * len(self.blocks) if state is None else state

    def initial_state(self, batch: int) -> tuple[Any, ...]:
        """The state before the first token, one for each block."""
        return tuple(block.mixer.initial_state(batch) for block in self.blocks)

    def state_floats(self, T: int) -> int:
        """How many numbers a sequence's state holds after T tokens."""
        return sum(block.mixer.state_floats(T) for block in self.blocks)

    def generate(
        self, prompt: Any, *, rng: np.random.Generator, temperature: float = 1.0, top_k: int | None = None
    ) -> Iterator[int]:
        """Continue a prompt for ever, one token id at a time, with a state of constant size.

        Args:
            prompt: ids (T), at least one.
            rng: what the tokens are drawn with.
            temperature: divides the scores: below 1 safer, above 1 wilder; 0 takes the likeliest token.
            top_k: draw from the k likeliest tokens only.
        """
        prompt = np.asarray(prompt)
        if prompt.ndim != 1 or not len(prompt):
            raise ValueError(explain("A prompt is a row of token ids, at least one.", got=f"shape {prompt.shape}"))
        with no_grad():
            logits, state = self(prompt[None])
            scores = logits.numpy()[0, -1]
        while True:
            token = sample(scores, rng, temperature, top_k)
            yield token
            with no_grad():
                logits, state = self.step(np.array([token]), state)
                scores = logits.numpy()[0]


def sample(scores: np.ndarray, rng: np.random.Generator, temperature: float = 1.0, top_k: int | None = None) -> int:
    """Draw a token id from scores (vocabulary): softmax(scores / temperature), the k likeliest only."""
    if temperature < 0 or (top_k is not None and top_k < 1):
        raise ConfigError(
            explain("temperature is 0 or more, and top_k 1 or more.", got=f"temperature {temperature}, top_k {top_k}")
        )
    if temperature == 0:
        return int(scores.argmax())
    scores = scores.astype(np.float64) / temperature
    if top_k is not None and top_k < len(scores):
        scores = np.where(scores >= np.partition(scores, -top_k)[-top_k], scores, -np.inf)
    p = np.exp(scores - scores.max())
    return int(rng.choice(len(p), p=p / p.sum()))
