"""A language model: embed tokens, mix them through a stack of blocks, score every token of the vocabulary.

The same model reads text and words of a group; what differs is the vocabulary and the mixer's options.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..autograd import Array, no_grad
from ..errors import ConfigError, WrongValue, explain
from ..nn import Embedding, Linear
from .stack import ModelConfig, Stack


class LanguageModel(Stack):
    """Token ids in, a score for every next token out.

    Args:
        config: the model's shape.
        rng: where the initial weights are drawn from.

    Cost:
        Linear in T for every mixer with a state of constant size.
    """

    def __init__(self, config: ModelConfig, *, rng: np.random.Generator):
        self.embedding = Embedding(config.vocabulary, config.D, std=config.D**-0.5, rng=rng)
        super().__init__(config, rng=rng)
        self.head = Linear(config.D, config.vocabulary, role="readout", rng=rng)

    def __call__(
        self,
        ids: Any,
        state: Sequence[Any] | None = None,
        *,
        cu_seqlens: Sequence[int] | None = None,
        form: str = "chunk",
    ) -> tuple[Array, tuple[Any, ...]]:
        """ids (B, T) and a state for each block -> logits (B, T, vocabulary) and the states after the last token."""
        x, after = self.stream(self.embedding(ids), state, cu_seqlens=cu_seqlens, form=form)
        return self.head(x), after

    def step(self, ids_t: Any, state: Sequence[Any]) -> tuple[Array, tuple[Any, ...]]:
        """One token of each sequence: ids_t (B) -> logits (B, vocabulary), in time that does not depend on the past."""
        x, after = self.stream_step(self.embedding(ids_t), state)
        return self.head(x), after

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
            raise WrongValue(
                explain("A prompt is a row of token ids, at least one.", got=f"shape {prompt.shape}", see="token-ids")
            )
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
