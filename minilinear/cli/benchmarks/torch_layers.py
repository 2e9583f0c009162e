"""The language model in torch, with the weights of ours by their names: a layer for each of models.MIXERS.

A layer takes the layer that it is the twin of, for its sizes, and that one's weights. As in attention/layer.py all that
surrounds a recurrence is written once; a mechanism adds what it makes of the projections, `inputs`, and perhaps its own
`read_out`. `forms` are the recurrences of torch_peers.py that it can run on, by the name of the peer in the row.

The layers have what the mixers' presets for language have, and no more; the bench says so when one computes something
else. A new mixer is an entry of LAYERS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...autograd import silu
from .torch_peers import (
    delta_chunks,
    delta_chunks_by_hand,
    feed_forward,
    linear_chunks,
    linear_chunks_by_hand,
    norm,
    unit_length,
)

Forms = Mapping[str, Callable[..., Any]]
LINEAR: Forms = {"torch eager": linear_chunks, "torch eager, our backward": linear_chunks_by_hand}
DELTA: Forms = {"torch eager": delta_chunks, "torch eager, our backward": delta_chunks_by_hand}


class MemoryLayer:
    """What all layers with a memory of fixed size share, see attention.layer.MemoryLayer.

    Args:
        of: the layer in NumPy.
        w: its weights by name.
        form: a name of `forms`.
    """

    forms: Forms

    def __init__(self, of: Any, w: Mapping[str, Any], form: str):
        self.of, self.w, self.over_time = of, w, self.forms[form]

    def __call__(self, x: Any, chunk: int) -> Any:
        """(B, T, D) -> (B, T, D)."""
        inputs = self.inputs(x, *self.prepare(x))
        steps = (
            {} if self.of.steps else {name: inputs[name][:, :, None] for name in ("k", "v", "beta") if name in inputs}
        )
        return self.read_out(self.over_time(**(inputs | steps), chunk=chunk), x, inputs["v"])

    def prepare(self, x: Any) -> Sequence[Any]:
        """Project, convolve, activate, and split into heads: q, k and v."""
        import torch.nn.functional as F

        of, qkv = self.of, x @ self.w["qkv.weight"]
        if of.convolution is not None:
            qkv = convolved(qkv, self.w["convolution.weight"])
        if "convolution.bias" in self.w:
            qkv = qkv + self.w["convolution.bias"]
        if of.activation is silu:
            qkv = F.silu(qkv)
        q, k, v = qkv.tensor_split(of.cuts, -1)
        steps = (of.steps,) if of.steps else ()
        q = q.unflatten(2, (of.key_heads, of.key_dim))
        k = k.unflatten(2, (*steps, of.key_heads, of.key_dim))
        if of.key_heads < of.heads:
            q, k = (y.repeat_interleave(of.heads // of.key_heads, -2) for y in (q, k))
        return q, k, v.unflatten(2, (*steps, of.heads, of.value_dim))

    def inputs(self, x: Any, q: Any, k: Any, v: Any) -> dict[str, Any]:
        """What the mechanism makes of x and its projections: the arguments of its form."""
        raise NotImplementedError

    def read_out(self, o: Any, x: Any, v: Any) -> Any:
        """Norm of each head, output gate, and back to the stream: o (B, T, H, V) -> (B, T, D)."""
        o = (norm(o, self.w["norm.weight"]) if "norm.weight" in self.w else o).flatten(2)
        return self.gated(o, x) @ self.w["output.weight"]

    def gated(self, o: Any, x: Any) -> Any:
        import torch.nn.functional as F

        return o * F.silu(x @ self.w["gate.weight"]) if "gate.weight" in self.w else o


def convolved(x: Any, taps: Any) -> Any:
    """sum_w taps_w x_{t-w}: x (B, T, D), taps (W, D). On a CPU it takes half the time of F.conv1d with D groups."""
    import torch.nn.functional as F

    W, T = len(taps), x.shape[1]
    padded = F.pad(x, (0, 0, W - 1, 0))
    return sum(padded[:, W - 1 - w : W - 1 - w + T] * taps[w] for w in range(W))


# ---------------------------------------------------------------------------------------------------------------------
# Attention.


def eager_attention(q: Any, k: Any, v: Any) -> Any:
    """The T x T matrix of weights, times the values: (B, H, T, K), (B, H, T, V) -> (B, H, T, V)."""
    import torch

    T, scores = q.shape[2], q @ k.mT * q.shape[-1] ** -0.5
    later = torch.ones(T, T, dtype=torch.bool).triu(1)
    return scores.masked_fill(later, -torch.inf).softmax(-1) @ v


def fused_attention(q: Any, k: Any, v: Any) -> Any:
    """The same by torch's own blockwise kernel."""
    import torch.nn.functional as F

    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


SOFTMAX: Forms = {"torch eager": eager_attention, "torch fused attention": fused_attention}


class SoftmaxAttention:
    """Attention over all tokens so far, queries and keys turned to their places.

    Args:
        of, w, form: as for MemoryLayer.
    """

    forms = SOFTMAX

    def __init__(self, of: Any, w: Mapping[str, Any], form: str):
        self.of, self.w, self.attend = of, w, self.forms[form]

    def __call__(self, x: Any, chunk: int) -> Any:
        """(B, T, D) -> (B, T, D)."""
        of = self.of
        q, k, v = (x @ self.w["qkv.weight"]).tensor_split(of.cuts, -1)
        q, k, v = (y.unflatten(2, (of.heads, -1)) for y in (q, k, v))
        o = self.attend(turned(q).transpose(1, 2), turned(k).transpose(1, 2), v.transpose(1, 2))
        return o.transpose(1, 2).flatten(2) @ self.w["output.weight"]


class LinearAttention(MemoryLayer):
    """elu + 1; a 1 behind every value makes the sum of the weights, which is divided by."""

    forms = LINEAR

    def inputs(self, x: Any, q: Any, k: Any, v: Any) -> dict[str, Any]:
        import torch.nn.functional as F

        return {"q": F.elu(q) + 1, "k": F.elu(k) + 1, "v": F.pad(v, (0, 1), value=1.0), "scale": 1.0}

    def read_out(self, o: Any, x: Any, v: Any) -> Any:
        return super().read_out(o[..., :-1] / (o[..., -1:] + self.of.eps), x, v)


class Retention(MemoryLayer):
    """Queries and keys turned to their places, and the same decay for every token."""

    forms = LINEAR

    def inputs(self, x: Any, q: Any, k: Any, v: Any) -> dict[str, Any]:
        import torch

        g = torch.tensor(self.of.log_decays, dtype=x.dtype).expand(q.shape[:3])
        return {"q": turned(q), "k": turned(k), "v": v, "g": g}


def turned(x: Any) -> Any:
    """Rotary positions: numbers m and m + K/2 of a head (B, T, H, K) are a point, turned by position 10000^(-2m/K)."""
    import torch

    half = x.shape[-1] // 2
    speeds = 10000.0 ** -(torch.arange(half, dtype=torch.float64) / half)
    angles = (torch.arange(x.shape[1]) + 1)[:, None, None] * speeds
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    first, second = x.split(half, -1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], -1)


class SimpleGLA(MemoryLayer):
    """A gate for each head."""

    forms = LINEAR

    def inputs(self, x: Any, q: Any, k: Any, v: Any) -> dict[str, Any]:
        import torch.nn.functional as F

        g = F.logsigmoid(x @ self.w["forget.weight"] + self.w["forget.bias"]) / self.of.gate_normalizer
        return {"q": q, "k": k, "v": v, "g": g}


class GLA(MemoryLayer):
    """A gate for each channel, through a bottleneck."""

    forms = LINEAR

    def inputs(self, x: Any, q: Any, k: Any, v: Any) -> dict[str, Any]:
        import torch.nn.functional as F

        logits = x @ self.w["forget_down.weight"] @ self.w["forget_up.weight"] + self.w["forget_up.bias"]
        return {"q": q, "k": k, "v": v, "g": F.logsigmoid(logits).reshape(q.shape) / self.of.gate_normalizer}


class Mamba2(MemoryLayer):
    """A time step that decays and writes, a way around the state, and the gate before the norm."""

    forms = LINEAR

    def inputs(self, x: Any, q: Any, k: Any, v: Any) -> dict[str, Any]:
        import torch.nn.functional as F

        delta = F.softplus(x @ self.w["time_step.weight"] + self.w["time_step_bias"])
        return {"q": q, "k": k * delta[..., None], "v": v, "g": -delta * self.w["log_rate"].exp(), "scale": 1.0}

    def read_out(self, o: Any, x: Any, v: Any) -> Any:
        import torch.nn.functional as F

        o = self.gated((o + self.w["skip"][:, None] * v).flatten(2), x).unflatten(2, (self.of.key_heads, -1))
        n = F.rms_norm(o, o.shape[-1:], eps=self.of.norm_eps).flatten(2)
        return n * self.w["norm_weight"] @ self.w["output.weight"]


# ---------------------------------------------------------------------------------------------------------------------
# The delta rule.


class DeltaRule(MemoryLayer):
    """Unit queries and keys, and a strength for each write; with or without a gate for each head."""

    forms = DELTA

    def inputs(self, x: Any, q: Any, k: Any, v: Any) -> dict[str, Any]:
        beta = self.of.beta_range * (x @ self.w["beta.weight"]).sigmoid().reshape(k.shape[:-1])
        return {"q": unit_length(q), "k": unit_length(k), "v": v, "beta": beta, "g": self.forget(x)}

    def forget(self, x: Any) -> Any:
        import torch.nn.functional as F

        if "forget.bias" not in self.w:
            return None
        time = F.softplus(x @ self.w["forget.projection.weight"] + self.w["forget.bias"])
        return -self.w["forget.log_rate"].exp() * time


class KDA(DeltaRule):
    """A gate for each channel, through a bottleneck as the output gate."""

    def forget(self, x: Any) -> Any:
        import torch.nn.functional as F

        time = x @ self.w["forget_down.weight"] @ self.w["forget_up.weight"] + self.w["forget_bias"]
        return -self.w["log_rate"].exp()[:, None] * F.softplus(time).unflatten(2, (self.of.heads, -1))

    def gated(self, o: Any, x: Any) -> Any:
        gate = x @ self.w["gate_down.weight"] @ self.w["gate_up.weight"] + self.w["gate_up.bias"]
        return o * gate.sigmoid()


LAYERS: dict[str, Any] = {
    "softmax": SoftmaxAttention,
    "linear": LinearAttention,
    "retention": Retention,
    "simple_gla": SimpleGLA,
    "mamba2": Mamba2,
    "gla": GLA,
    "delta_net": DeltaRule,
    "gated_delta_net": DeltaRule,
    "delta_product": DeltaRule,
    "gated_delta_product": DeltaRule,
    "kda": KDA,
}


# ---------------------------------------------------------------------------------------------------------------------
# The model, and a step of training it.


def training_step(inputs: dict[str, Any], *, mixer: str, form: str) -> Callable[[], list]:
    """Forward, backward, clip, AdamW, with a mixer's layer in torch and one of its forms."""
    import torch

    trained, config = inputs["run"].model, inputs["run"].config
    ours = dict(trained.named_parameters())
    weights = {name: torch.tensor(p.numpy(), requires_grad=True) for name, p in ours.items()}
    parameters = list(weights.values())
    groups = [
        {"params": [w for name, w in weights.items() if ours[name].decay], "weight_decay": config.weight_decay},
        {"params": [w for name, w in weights.items() if not ours[name].decay], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=config.lr, fused=True)
    ids, targets = torch.tensor(inputs["inputs"]), torch.tensor(inputs["targets"])
    model = language_model(weights, trained, LAYERS[mixer], form)

    def compute() -> list:
        loss = torch.nn.functional.cross_entropy(model(ids).flatten(0, 1), targets.flatten())
        loss.backward()
        length = torch.nn.utils.clip_grad_norm_(parameters, config.clip)
        optimizer.step()
        optimizer.zero_grad()
        return [torch.stack([loss.detach(), length]), *(optimizer.state[w]["exp_avg"] for w in parameters)]

    return compute


def language_model(w: dict[str, Any], trained: Any, layer: Any, form: str) -> Callable[[Any], Any]:
    """ids -> logits of models.LanguageModel with SwiGLU and norms in front."""
    at = [_under(f"blocks.{i}.", w) for i in range(len(trained.blocks))]
    mixers = [layer(block.mixer, _under("mixer.", w_i), form) for block, w_i in zip(trained.blocks, at)]

    def logits(ids: Any) -> Any:
        x = w["embedding.weight"][ids]
        for mixer, w_i in zip(mixers, at):
            x = x + mixer(norm(x, w_i["mixer_norm.weight"]), trained.config.chunk)
            y = norm(x, w_i["feed_forward_norm.weight"])
            x = x + feed_forward(y, w_i["feed_forward.gate_up.weight"], w_i["feed_forward.down.weight"])
        return norm(x, w["norm.weight"]) @ w["head.weight"] + w["head.bias"]

    return logits


def _under(prefix: str, w: dict[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(prefix): x for name, x in w.items() if name.startswith(prefix)}
