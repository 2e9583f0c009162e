"""Our language model in torch, with our weights: what a step of it takes there, in turns with ours.

    softmax            torch alone: scaled_dot_product_attention
    linear             torch alone: chunks of 64, in five einsums
    gated_delta_net    torch, and the recurrence of flash-linear-attention

Both start from the same weights and draw the same batches, so the first losses have to be the same. Eager, and compiled
where that works; in bfloat16 by autocast, where ours has its products in bfloat16.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from minilinear.randomness import stream
from minilinear.training import Run

from .places import Processor

CHUNK = 64


class Model:
    """One model in torch, at the step where a run is now.

    Args:
        t: torch.
        run: whose weights, batches and optimizer's settings it takes.
        bf16: multiply in bfloat16.
        compiled: by torch.compile.

    Raises:
        ImportError: there is no flash-linear-attention, and the mixer wants it.
    """

    def __init__(self, t: Any, place: Processor, run: Run, *, bf16: bool, compiled: bool):
        self.t, self.run, self.device = t, run, "cuda" if place.full_size else "cpu"
        self.functional, self.bf16 = t.nn.functional, bf16
        numbers = {name: np.array(place.numbers(x)) for name, x in run.model.state_dict().items()}
        self.weights = {name: t.from_numpy(x).to(self.device).requires_grad_() for name, x in numbers.items()}
        self.mixer = {"softmax": self._softmax, "linear": self._linear, "gated_delta_net": self._gated_delta_net}[
            run.model.config.mixer
        ]
        if self.mixer == self._gated_delta_net:
            self.delta_rule = importlib.import_module("fla.ops.gated_delta_rule").chunk_gated_delta_rule
        self.loss: Callable = t.compile(self._loss) if compiled else self._loss
        config = run.config
        self.optimizer = t.optim.AdamW(self.weights.values(), lr=config.lr, weight_decay=config.weight_decay)
        self.step_number = run.step

    def step(self) -> float:
        """Train on the next batch; its loss."""
        config = self.run.config
        batch = self.run.task.batch(stream(config.seed, "batch", self.step_number), config.batch)
        ids, targets = (self.t.from_numpy(np.ascontiguousarray(x, np.int64)).to(self.device) for x in batch)
        with self.t.autocast(self.device, self.t.bfloat16, enabled=self.bf16):
            loss = self.loss(ids, targets)
        self.optimizer.zero_grad()
        loss.backward()
        self.t.nn.utils.clip_grad_norm_(self.weights.values(), config.clip)
        self.optimizer.step()
        self.step_number += 1
        return loss.item()

    def _loss(self, ids: Any, targets: Any) -> Any:
        x = self.functional.embedding(ids, self.weights["embedding.weight"])
        for i in range(len(self.run.model.blocks)):
            x = x + self.mixer(self.norm(x, f"blocks.{i}.mixer_norm"), f"blocks.{i}.mixer.")
            gate, up = self.map(
                self.norm(x, f"blocks.{i}.feed_forward_norm"), f"blocks.{i}.feed_forward.gate_up"
            ).chunk(2, -1)
            x = x + self.map(self.functional.silu(gate) * up, f"blocks.{i}.feed_forward.down")
        scores = self.map(self.norm(x, "norm"), "head") + self.weights["head.bias"]
        return self.functional.cross_entropy(scores.flatten(0, 1).float(), targets.flatten(), ignore_index=-1)

    def map(self, x: Any, name: str) -> Any:
        return x @ self.weights[f"{name}.weight"]

    def norm(self, x: Any, name: str) -> Any:
        weight = self.weights[f"{name}.weight"]
        return self.functional.rms_norm(x, weight.shape, weight, 1e-5)

    # The mixers.

    def _softmax(self, y: Any, name: str) -> Any:
        layer = self.run.model.blocks[0].mixer
        H, K = layer.heads, layer.key_dim
        q, k, v = self.map(y, f"{name}qkv").unflatten(-1, (3 * H, -1)).transpose(1, 2).split(H, 1)  # (B, H, T, K)
        m = self.t.arange(K // 2, device=self.device)
        angle = self.t.arange(y.shape[1], device=self.device)[:, None] * layer.rope_base ** (-2 * m / K)
        cos, sin = angle.cos(), angle.sin()
        q, k = (
            self.t.cat([a * cos - b * sin, a * sin + b * cos], -1).to(v.dtype)
            for a, b in (x.chunk(2, -1) for x in (q, k))
        )
        o = self.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.map(o.transpose(1, 2).flatten(2), f"{name}output")

    def _linear(self, y: Any, name: str) -> Any:
        """phi(x) = 1 + elu(x); the ones behind the values become what is divided by."""
        q, k, v = self._streams(y, name)
        q, k = (1 + self.functional.elu(x) for x in (q, k))
        v = self.functional.pad(v, (0, 1), value=1.0)
        C = min(CHUNK, y.shape[1])
        q, k, v = (x.unflatten(1, (-1, C)) for x in (q * q.shape[-1] ** -0.5, k, v))  # (B, N, C, H, K)
        added = self.t.einsum("bnchk,bnchv->bnhkv", k, v)
        before = added.cumsum(1) - added
        scores = self.t.einsum("bnchk,bnshk->bnhcs", q, k).tril()
        o = self.t.einsum("bnchk,bnhkv->bnchv", q, before) + self.t.einsum("bnhcs,bnshv->bnchv", scores, v)
        o = o.flatten(1, 2)
        return self._out(o[..., :-1] / (o[..., -1:] + self.run.model.blocks[0].mixer.eps), y, name)

    def _gated_delta_net(self, y: Any, name: str) -> Any:
        q, k, v = self._streams(y, name)
        q, k = (self.functional.normalize(x, dim=-1) for x in (q, k))
        beta = self.map(y, f"{name}beta").sigmoid() * self.run.model.blocks[0].mixer.beta_range
        step = self.functional.softplus(self.map(y, f"{name}forget.projection") + self.weights[f"{name}forget.bias"])
        g = -self.weights[f"{name}forget.log_rate"].exp() * step
        kind = self.t.bfloat16 if self.bf16 else self.t.float32
        o = self.delta_rule(q.to(kind), k.to(kind), v.to(kind), g=g.float(), beta=beta.to(kind))[0]
        return self._out(self.norm(o, f"{name}norm"), y, name)

    def _streams(self, y: Any, name: str) -> tuple[Any, Any, Any]:
        """q, k and v (B, T, H, K or V), behind the short convolution."""
        layer, weight = self.run.model.blocks[0].mixer, self.weights[f"{name}convolution.weight"]
        x = self.functional.pad(self.map(y, f"{name}qkv").transpose(1, 2), (len(weight) - 1, 0))
        x = self.functional.conv1d(x, weight.flip(0).T[:, None], groups=weight.shape[1])
        x = self.functional.silu(x).transpose(1, 2)
        q, k, v = x.tensor_split(layer.cuts, -1)
        return tuple(part.unflatten(-1, (layer.heads, -1)) for part in (q, k, v))  # type: ignore[return-value]

    def _out(self, o: Any, y: Any, name: str) -> Any:
        """The output gate, and the way back."""
        return self.map(o.flatten(2) * self.functional.silu(self.map(y, f"{name}gate")), f"{name}output")
