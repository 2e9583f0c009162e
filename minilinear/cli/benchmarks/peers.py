"""The rows' computations in torch, by the same algorithm. torch is imported when one of them is prepared.

The delta rule stands here twice. `delta_chunks` is what one would write: the forward, and autograd. `chunks_by_hand`
has the backward of recurrence/householder.py as a torch.autograd.Function, to tell apart what the derivation brings
and what the library does. Both are exact for any gate and for equal keys, as ours is: decays are sums of their own
terms, and the triangular system is solved by substitution.

Axes as in recurrence/householder.py; rows of a chunk are its tokens' steps, (B, H, N, C R, K).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any


def perceptron(inputs: dict[str, Any]) -> Callable[[], list]:
    import torch

    x, y = torch.tensor(inputs["x"]), torch.tensor(inputs["y"])
    weights = [torch.tensor(w, requires_grad=True) for w in inputs["weights"]]
    biases = [torch.tensor(b, requires_grad=True) for b in inputs["biases"]]

    def compute() -> list:
        h = x
        for w, b in zip(weights, biases):
            h = torch.tanh(torch.addmm(b, h, w))
        d = h - y
        loss = (d * d).sum()
        return [loss.detach(), *torch.autograd.grad(loss, [*weights, *biases])]

    return compute


# ---------------------------------------------------------------------------------------------------------------------
# Gates. The forward of each is written out of place, so that autograd can follow it; what ends in _backward is for the
# derivation by hand, and adds what it learns about g to self.dg.


class NoGate:
    """E(X, Y) = X Y^T."""

    def scores(self, x: Any, y: Any) -> Any:
        return x @ y.mT

    def scores_backward(self, dE: Any, x: Any, y: Any) -> tuple[Any, Any]:
        return dE @ y, dE.mT @ x

    def read(self, x: Any) -> Any:
        return x

    def read_backward(self, dx: Any, x: Any) -> Any:
        return dx

    write, write_backward = read, read_backward

    def kept(self, S: Any, n: int) -> Any:
        return S

    def kept_backward(self, d_after: Any, S: Any) -> None:
        pass

    def gradient(self) -> None:
        return None


class ScalarGate:
    """E(X, Y) = X Y^T times the decay from each token to each later one: masked, then summed up, never subtracted."""

    def __init__(self, g: Any):  # (B, H, N, C)
        import torch

        C = g.shape[-1]
        self.earlier = torch.ones(C, C).tril(-1)
        self.between = (g[..., None] * self.earlier).cumsum(-2).exp().tril()  # (B, H, N, C, C), from column to row
        self.prefix = g.cumsum(-1).exp()[..., None]
        self.suffix = self.between[..., -1, :, None]
        self.keep = self.prefix[..., -1:, :]
        self.d_sums, self.d_prefix = torch.zeros_like(self.between), torch.zeros_like(g)

    def _decay(self, x: Any, y: Any) -> Any:
        C = self.between.shape[-1]
        D = self.between
        for axis, rows in (3, x.shape[3]), (4, y.shape[3]):
            D = D if rows == C else D.repeat_interleave(rows // C, axis)
        return D

    def scores(self, x: Any, y: Any) -> Any:
        return x @ y.mT * self._decay(x, y)

    def scores_backward(self, dE: Any, x: Any, y: Any) -> tuple[Any, Any]:
        C = self.between.shape[-1]
        dE = dE * self._decay(x, y)
        self.d_sums += (dE * (x @ y.mT)).unflatten(3, (C, -1)).unflatten(5, (C, -1)).sum((4, 6))
        return dE @ y, dE.mT @ x

    def read(self, x: Any) -> Any:
        return x * _each_step(self.prefix, x)

    def read_backward(self, dx: Any, x: Any) -> Any:
        self.d_prefix += (dx * x).sum(-1).unflatten(3, (self.prefix.shape[3], -1)).sum(-1)
        return dx * _each_step(self.prefix, x)

    def write(self, x: Any) -> Any:
        return x * _each_step(self.suffix, x)

    def write_backward(self, dx: Any, x: Any) -> Any:
        d = (dx * x).sum(-1).unflatten(3, (self.prefix.shape[3], -1)).sum(-1)
        self.d_sums[..., -1, :] += d
        return dx * _each_step(self.suffix, x)

    def kept(self, S: Any, n: int) -> Any:
        return S * self.keep[:, :, n]

    def kept_backward(self, d_after: Any, S: Any) -> None:
        self.d_prefix[..., -1] += (d_after * S).sum((-2, -1)) * self.keep[..., 0, 0]

    def gradient(self) -> Any:
        reverse = lambda d, axis: d.flip(axis).cumsum(axis).flip(axis)
        return reverse(self.d_prefix, -1) + (reverse(self.d_sums, -2) * self.earlier).sum(-1)


class VectorGate:
    """A decay for every channel. Scores by halving: right halves against left halves of blocks of 2, 4, 8, ... tokens,
    each decayed to the cut between them. See recurrence/decay.py.
    """

    def __init__(self, g: Any):  # (B, H, N, C, K)
        import torch

        self.C = C = g.shape[3]
        self.levels = []
        s = 1
        while s < C:
            left, right = g.unflatten(3, (C // (2 * s), 2, s)).unbind(4)
            self.levels.append((_suffix(left).exp(), right.cumsum(-2).exp()))  # (B, H, N, C / 2s, s, K)
            s *= 2
        self.prefix, self.suffix = g.cumsum(-2).exp(), _suffix(g).exp()
        self.keep = self.prefix[..., -1, :, None]
        self.d_levels = [[torch.zeros_like(left), torch.zeros_like(left)] for left, _ in self.levels]
        self.d_prefix, self.d_suffix = torch.zeros_like(g), torch.zeros_like(g)

    def _level(self, i: int, x: Any, y: Any) -> tuple[Any, Any]:
        (left, right), n = self.levels[i], self.C // (2 << i)
        x, y = x.unflatten(3, (n, 2, -1))[:, :, :, :, 1], y.unflatten(3, (n, 2, -1))[:, :, :, :, 0]
        return x * _each_step(right, x), y * _each_step(left, y)

    def scores(self, x: Any, y: Any) -> Any:
        import torch

        E = x.unflatten(3, (self.C, -1)) @ y.unflatten(3, (self.C, -1)).mT  # inside a token
        for i in range(len(self.levels)):
            x_right, y_left = self._level(i, x, y)
            corner = x_right @ y_left.mT
            top, bottom = E.unflatten(3, (-1, 2)).unbind(4)
            E = torch.cat([torch.cat([top, torch.zeros_like(top)], -1), torch.cat([corner, bottom], -1)], -2)
        return E[:, :, :, 0]

    def scores_backward(self, dE: Any, x: Any, y: Any) -> tuple[Any, Any]:
        import torch

        tokens = lambda z: z.unflatten(3, (self.C, -1))
        r, R = x.shape[3] // self.C, y.shape[3] // self.C
        inside = dE.unflatten(3, (self.C, r)).unflatten(5, (self.C, R)).diagonal(0, 3, 5).movedim(-1, 3)
        dx, dy = (inside @ tokens(y)).flatten(3, 4), (inside.mT @ tokens(x)).flatten(3, 4)
        dE = dE[:, :, :, None]
        for i in reversed(range(len(self.levels))):
            (left, right), n, s = self.levels[i], self.C // (2 << i), 1 << i
            x_right, y_left = self._level(i, x, y)
            corner = dE[..., s * r :, : s * R]
            dx_right, dy_left = corner @ y_left, corner.mT @ x_right
            self.d_levels[i][0] += _sum_steps(dy_left * y_left, left)
            self.d_levels[i][1] += _sum_steps(dx_right * x_right, right)
            dx.unflatten(3, (n, 2, -1))[:, :, :, :, 1] += dx_right * _each_step(right, x_right)
            dy.unflatten(3, (n, 2, -1))[:, :, :, :, 0] += dy_left * _each_step(left, y_left)
            dE = torch.stack([dE[..., : s * r, : s * R], dE[..., s * r :, s * R :]], 4).flatten(3, 4)
        return dx, dy

    def read(self, x: Any) -> Any:
        return x * _each_step(self.prefix, x)

    def read_backward(self, dx: Any, x: Any) -> Any:
        self.d_prefix += _sum_steps(dx * x, self.prefix)
        return dx * _each_step(self.prefix, x)

    def write(self, x: Any) -> Any:
        return x * _each_step(self.suffix, x)

    def write_backward(self, dx: Any, x: Any) -> Any:
        self.d_suffix += _sum_steps(dx * x, self.suffix)
        return dx * _each_step(self.suffix, x)

    def kept(self, S: Any, n: int) -> Any:
        return S * self.keep[:, :, n]

    def kept_backward(self, d_after: Any, S: Any) -> None:
        self.d_prefix[..., -1, :] += (d_after * S).sum(-1) * self.keep[..., 0]

    def gradient(self) -> Any:
        dg = _suffix(self.d_prefix) + self.d_prefix  # a prefix reaches every token up to its own,
        dg[..., 1:, :] += self.d_suffix.cumsum(-2)[..., :-1, :]  # a suffix every token after its own
        for i, (d_left, d_right) in enumerate(self.d_levels):
            halves = dg.unflatten(3, (self.C // (2 << i), 2, 1 << i))
            halves[:, :, :, :, 0, 1:] += d_left.cumsum(-2)[..., :-1, :]
            halves[:, :, :, :, 1] += _suffix(d_right) + d_right
        return dg


def _suffix(x: Any) -> Any:
    """Sums of all later tokens, without the token's own, by addition alone."""
    import torch

    later = torch.cat([x[..., 1:, :], torch.zeros_like(x[..., :1, :])], -2)
    return later.flip(-2).cumsum(-2).flip(-2)


def _each_step(factor: Any, rows: Any) -> Any:
    """A factor for each token (..., C, K) as one for each of its rows (..., C R, K)."""
    R = rows.shape[-2] // factor.shape[-2]
    return factor if R == 1 else factor.repeat_interleave(R, -2)


def _sum_steps(rows: Any, factor: Any) -> Any:
    """The transpose: (..., C R, K) -> (..., C, K)."""
    R = rows.shape[-2] // factor.shape[-2]
    return rows if R == 1 else rows.unflatten(-2, (-1, R)).sum(-2)


def _gate(g: Any, C: int) -> Any:
    """A gate of the right kind for g (B, T, H) or (B, T, H, K)."""
    if g is None:
        return NoGate()
    cut = g.unflatten(1, (-1, C)).movedim(3, 1)  # (B, H, N, C) or (B, H, N, C, K)
    return ScalarGate(cut) if g.ndim == 3 else VectorGate(cut)


# ---------------------------------------------------------------------------------------------------------------------
# The delta rule, R steps per token, in chunks. q (B, T, H, K), k and v (B, T, R, H, K), beta (B, T, R, H).


def _rows(x: Any, C: int) -> Any:
    """(B, T, R, H, D) -> (B, H, N, C R, D)."""
    return x.unflatten(1, (-1, C)).movedim(4, 1).flatten(3, 4)


def _unrows(x: Any, C: int, R: int) -> Any:
    """The inverse."""
    return x.unflatten(3, (C, R)).movedim(1, 4).flatten(1, 2)


def _system(q: Any, k: Any, p: Any, gate: Any, C: int) -> tuple[Any, Any]:
    """M and I + A, from one product: a token's query and its erase keys are rows of one matrix."""
    import torch

    R = k.shape[3] // C
    reads = torch.cat([q.unflatten(3, (C, 1)), p.unflatten(3, (C, R))], 4).flatten(3, 4)
    E = gate.scores(reads, k).unflatten(3, (C, 1 + R))
    return E[..., 0, :] * _sees(C, R), E[..., 1:, :].flatten(3, 4).tril(-1) + torch.eye(C * R)


def _sees(C: int, R: int) -> Any:
    """The mask of M: a query sees all corrections of its own token and of the earlier ones."""
    import torch

    return torch.arange(C * R) // R <= torch.arange(C)[:, None]


def _solved(system: Any, right: Any) -> Any:
    """(I + A)^-1 times a right-hand side, or (I + A)^-T for a transposed system."""
    import torch

    upper = system.stride(-1) != 1
    return torch.linalg.solve_triangular(system, right, upper=upper, unitriangular=True)


def delta_chunks(q: Any, k: Any, v: Any, beta: Any, g: Any = None, chunk: int = 64) -> Any:
    """o (B, T, H, V): the forward, for autograd to differentiate."""
    import torch

    C, gate = chunk, _gate(g, chunk)
    b = _rows(beta[..., None], C)
    q, k, v = _rows(q[:, :, None] * q.shape[-1] ** -0.5, C), _rows(k, C), b * _rows(v, C)
    p = b * k
    M, system = _system(q, k, p, gate, C)
    W, U = _solved(system, torch.cat([gate.read(p), v], -1)).split([k.shape[4], v.shape[4]], -1)
    written, S = gate.write(k).mT, torch.zeros(*k.shape[:2], k.shape[4], v.shape[4])
    states, values = [], []
    for n in range(k.shape[2]):
        X = U[:, :, n] - W[:, :, n] @ S
        states.append(S)
        values.append(X)
        S = gate.kept(S, n) + written[:, :, n] @ X
    o = gate.read(q) @ torch.stack(states, 2) + M @ torch.stack(values, 2)
    return _unrows(o, C, 1)[:, :, 0]


@cache
def _chunks_by_hand() -> Any:
    """The torch.autograd.Function; made when it is first wanted, since torch is."""
    import torch

    class ChunksByHand(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, q: Any, k: Any, v: Any, beta: Any, g: Any, C: int) -> Any:
            gate, b = _gate(g, C), _rows(beta[..., None], C)
            q_, k_, v_ = _rows(q[:, :, None] * q.shape[-1] ** -0.5, C), _rows(k, C), b * _rows(v, C)
            p_ = b * k_
            M, system = _system(q_, k_, p_, gate, C)
            W, X = _solved(system, torch.cat([gate.read(p_), v_], -1)).split([k_.shape[4], v_.shape[4]], -1)
            written, N = gate.write(k_).mT, k_.shape[2]
            S = torch.zeros(*k_.shape[:3], k_.shape[4], v_.shape[4])
            for n in range(N):
                X[:, :, n] -= W[:, :, n] @ S[:, :, n]
                if n + 1 < N:
                    S[:, :, n + 1] = gate.kept(S[:, :, n], n) + written[:, :, n] @ X[:, :, n]
            ctx.save_for_backward(q, k, v, beta, g, M, system, W, X, S)
            ctx.C = C
            return _unrows(gate.read(q_) @ S + M @ X, C, 1)[:, :, 0]

        @staticmethod
        def backward(ctx: Any, *cotangents: Any) -> Any:
            (q, k, v, beta, g, M, system, W, X, S), C = ctx.saved_tensors, ctx.C
            scale, R, N = q.shape[-1] ** -0.5, k.shape[2], S.shape[2]
            gate, b = _gate(g, C), _rows(beta[..., None], C)
            q_, k_, values = _rows(q[:, :, None] * scale, C), _rows(k, C), _rows(v, C)
            p_, do = b * k_, _rows(cotangents[0][:, :, None], C)
            q_read, p_read, written = gate.read(q_), gate.read(p_), gate.write(k_)
            dX, from_out = M.mT @ do, q_read.mT @ do
            dS_after, dS = torch.empty_like(S), torch.zeros_like(S[:, :, 0])
            for n in reversed(range(N)):
                dS_after[:, :, n] = dS
                dX[:, :, n] += written[:, :, n] @ dS
                dS = gate.kept(dS, n) + from_out[:, :, n] - W[:, :, n].mT @ dX[:, :, n]
            gate.kept_backward(dS_after, S)
            dR = _solved(system.mT, dX)
            dM = (do @ X.mT) * _sees(C, R)
            dA = -(dR @ X.mT).tril_(-1)
            both = lambda of_q, of_p: torch.cat([of_q.unflatten(3, (C, 1)), of_p.unflatten(3, (C, R))], 4).flatten(3, 4)
            d_reads, dk = gate.scores_backward(both(dM, dA), both(q_, p_), k_)
            d_reads = d_reads.unflatten(3, (C, 1 + R))
            dq = d_reads[..., 0, :] + gate.read_backward(do @ S.mT, q_read)
            dp = d_reads[..., 1:, :].flatten(3, 4) + gate.read_backward(-dR @ S.mT, p_read)
            dk += gate.write_backward(X @ dS_after.mT, written)
            d_beta = (dp * k_).sum(-1, keepdim=True) + (dR * values).sum(-1, keepdim=True)
            dk += b * dp
            dg = gate.gradient()
            if dg is not None:
                dg = dg.movedim(1, 3).flatten(1, 2)
            dq, dk, dv = scale * _unrows(dq, C, 1)[:, :, 0], _unrows(dk, C, R), _unrows(b * dR, C, R)
            return dq, dk, dv, _unrows(d_beta, C, R)[..., 0], dg, None

    return ChunksByHand


def chunks_by_hand(q: Any, k: Any, v: Any, beta: Any, g: Any = None, chunk: int = 64) -> Any:
    """The same o, with the gradient of recurrence/householder.py."""
    return _chunks_by_hand().apply(q, k, v, beta, g, chunk)


def token_by_token(q: Any, k: Any, v: Any, beta: Any, g: Any = None) -> Any:
    """The definition."""
    import torch

    (B, T, R, H, K), q = k.shape, q * q.shape[-1] ** -0.5
    S, out = torch.zeros(B, H, K, v.shape[-1]), []
    for t in range(T):
        if g is not None:
            S = g[:, t].exp().reshape(B, H, -1, 1) * S
        for r in range(R):
            read = (k[:, t, r, :, None] @ S)[..., 0, :]
            u = beta[:, t, r, :, None] * (v[:, t, r] - read)
            S = S + k[:, t, r, :, :, None] * u[:, :, None]
        out.append((q[:, t, :, None] @ S)[..., 0, :])
    return torch.stack(out, 1)


def _run_delta(operator: Callable[..., Any], inputs: Any) -> Callable[[], list]:
    import torch

    arrays, d_out = inputs
    leaves = {name: torch.tensor(x, requires_grad=True) for name, x in arrays.items()}
    d_out, one_step = torch.tensor(d_out), arrays["k"].ndim == 4

    def compute() -> list:
        q, k, v, beta = (leaves[name] for name in ("q", "k", "v", "beta"))
        if one_step:
            k, v, beta = k[:, :, None], v[:, :, None], beta[:, :, None]
        o = operator(q, k, v, beta, leaves.get("g"))
        return [o.detach(), *torch.autograd.grad(o, list(leaves.values()), d_out)]

    return compute


def delta(inputs: Any) -> Callable[[], list]:
    return _run_delta(delta_chunks, inputs)


def delta_by_hand(inputs: Any) -> Callable[[], list]:
    return _run_delta(chunks_by_hand, inputs)


def delta_compiled(inputs: Any) -> Callable[[], list]:
    import torch

    return _run_delta(torch.compile(delta_chunks), inputs)


def delta_token_by_token(inputs: Any) -> Callable[[], list]:
    return _run_delta(token_by_token, inputs)


# ---------------------------------------------------------------------------------------------------------------------
# The language model, with the weights of ours by their names.


def training_step(inputs: dict[str, Any], chunks: Callable[..., Any] = delta_chunks) -> Callable[[], list]:
    """Forward, backward, clip, AdamW."""
    import torch

    trained, config = inputs["run"].model, inputs["run"].config
    decay = {name: p.decay for name, p in trained.named_parameters()}
    weights = {name: torch.tensor(array, requires_grad=True) for name, array in trained.state_dict().items()}
    parameters = list(weights.values())
    groups = [
        {"params": [w for name, w in weights.items() if decay[name]], "weight_decay": config.weight_decay},
        {"params": [w for name, w in weights.items() if not decay[name]], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=config.lr, fused=True)
    ids, targets = torch.tensor(inputs["inputs"]), torch.tensor(inputs["targets"])

    def compute() -> list:
        logits = language_model(weights, trained, ids, chunks)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, config.clip)
        optimizer.step()
        optimizer.zero_grad()
        return [torch.stack([loss.detach(), norm]), *(optimizer.state[w]["exp_avg"] for w in parameters)]

    return compute


def training_step_by_hand(inputs: dict[str, Any]) -> Callable[[], list]:
    return training_step(inputs, chunks_by_hand)


def language_model(w: dict[str, Any], model: Any, ids: Any, chunks: Callable[..., Any]) -> Any:
    """Logits of models.LanguageModel with DeltaProduct and SwiGLU."""
    import torch.nn.functional as F

    norm = lambda x, name: F.rms_norm(x, x.shape[-1:], w[f"{name}.weight"], eps=1e-5)
    linear = lambda x, name: x @ w[f"{name}.weight"]
    x = w["embedding.weight"][ids]
    for i, block in enumerate(model.blocks):
        at = f"blocks.{i}."
        operator = partial(chunks, chunk=model.config.chunk)
        x = x + delta_product_layer(w, at + "mixer", block.mixer, norm(x, at + "mixer_norm"), norm, linear, operator)
        gate, up = linear(norm(x, at + "feed_forward_norm"), at + "feed_forward.gate_up").chunk(2, -1)
        x = x + linear(F.silu(gate) * up, at + "feed_forward.down")
    return linear(norm(x, "norm"), "head") + w["head.bias"]


def delta_product_layer(
    w: dict[str, Any], at: str, mixer: Any, x: Any, norm: Any, linear: Any, operator: Callable[..., Any]
) -> Any:
    """y (B, T, D) of delta.DeltaProduct, with convolution and both gates."""
    import torch
    import torch.nn.functional as F

    (B, T, _), H, K, V, R = x.shape, mixer.heads, mixer.key_dim, mixer.value_dim, mixer.R
    taps = w[f"{at}.convolution.weight"].flip(0).T[:, None]  # (channels, 1, W), the current token last
    past = F.pad(linear(x, f"{at}.qkv").mT, (taps.shape[-1] - 1, 0))
    qkv = F.silu(F.conv1d(past, taps, groups=len(taps))).mT
    q, k, v = qkv.split([H * K, R * H * K, R * H * V], -1)
    unit = lambda x: x * torch.rsqrt((x * x).sum(-1, keepdim=True) + 1e-6)
    beta = mixer.beta_range * torch.sigmoid(linear(x, f"{at}.beta")).reshape(B, T, R, H)
    g = -torch.exp(w[f"{at}.log_rate"]) * F.softplus(linear(x, f"{at}.forget") + w[f"{at}.forget_bias"])
    o = operator(unit(q.reshape(B, T, H, K)), unit(k.reshape(B, T, R, H, K)), v.reshape(B, T, R, H, V), beta, g)
    o = norm(o, f"{at}.norm").reshape(B, T, H * V) * F.silu(linear(x, f"{at}.gate"))
    return linear(o, f"{at}.output")
