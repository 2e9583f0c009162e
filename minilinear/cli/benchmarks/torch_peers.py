"""The rows' computations in torch, by the same algorithm. torch is imported when one of them is prepared.

Linear attention and the delta rule stand here twice. `linear_chunks` and `delta_chunks` are what one would write: the
forward, and autograd. What ends in `_by_hand` has the backward of recurrence/diagonal.py and recurrence/householder.py
as a torch.autograd.Function, to tell apart what the derivation brings and what the library does. Both are exact for any
gate and for equal keys, as ours is: decays are sums of their own terms (torch_gates.py), and the triangular system is
solved by substitution. `linear_one_cut` alone is not, and is there to show what that costs.

Axes as in recurrence/householder.py; rows of a chunk are its tokens' steps, (B, H, N, C R, K).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

from .torch_gates import MildVectorGate, kind_of_gate


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
# Layers for each token by itself.


def _layer(function: Callable[..., Any], inputs: dict[str, Any]) -> Callable[[], list]:
    """The function and its gradients, for inputs by name; `d_out` is the cotangent, and integers have no gradient."""
    import torch

    tensors = {name: torch.tensor(x) for name, x in inputs.items()}
    d_out = tensors.pop("d_out")
    leaves = [x.requires_grad_() for x in tensors.values() if x.is_floating_point()]

    def compute() -> list:
        y = function(**tensors)
        return [y.detach(), *torch.autograd.grad(y, leaves, d_out)]

    return compute


def rms_norm(inputs: dict[str, Any]) -> Callable[[], list]:
    return _layer(norm, inputs)


def norm(x: Any, weight: Any) -> Any:
    import torch.nn.functional as F

    return F.rms_norm(x, weight.shape, weight, eps=1e-5)


def l2_norm(inputs: dict[str, Any]) -> Callable[[], list]:
    return _layer(unit_length, inputs)


def unit_length(x: Any) -> Any:
    """x / sqrt(sum(x^2) + eps); F.normalize has its eps elsewhere."""
    return x * (x * x).sum(-1, keepdim=True).add(1e-6).rsqrt()


def swiglu(inputs: dict[str, Any]) -> Callable[[], list]:
    return _layer(feed_forward, inputs)


def feed_forward(x: Any, gate_up: Any, down: Any) -> Any:
    import torch.nn.functional as F

    gate, up = (x @ gate_up).chunk(2, -1)
    return (F.silu(gate) * up) @ down


def cross_entropy(inputs: dict[str, Any]) -> Callable[[], list]:
    import torch.nn.functional as F

    return _layer(lambda logits, targets: F.cross_entropy(logits.flatten(0, 1), targets.flatten()), inputs)


# ---------------------------------------------------------------------------------------------------------------------
# Chunks of tokens. All operators here take q (B, T, H, K), k and v (B, T, R, H, K), beta (B, T, R, H) and g.


def _rows(x: Any, C: int) -> Any:
    """(B, T, R, H, D) -> (B, H, N, C R, D)."""
    return x.unflatten(1, (-1, C)).movedim(4, 1).flatten(3, 4)


def _unrows(x: Any, C: int, R: int) -> Any:
    """The inverse."""
    return x.unflatten(3, (C, R)).movedim(1, 4).flatten(1, 2)


def _gate(g: Any, C: int, kind: type | None = None) -> Any:
    """What cares for a gate, (B, T, H) or (B, T, H, K): of the kind that `kind_of_gate` chooses, if none is given."""
    kind = kind_of_gate(g, C) if kind is None else kind
    return kind() if g is None else kind(g.unflatten(1, (-1, C)).movedim(3, 1))  # (B, H, N, C) or (B, H, N, C, K)


def _ungate(gate: Any) -> Any:
    """What the gate has learnt about g, in the shape of g."""
    dg = gate.gradient()
    return None if dg is None else dg.movedim(1, 3).flatten(1, 2)


def _sees(C: int, R: int) -> Any:
    """The mask of M: a query sees what was written at its own token and at the earlier ones."""
    import torch

    return torch.arange(C * R) // R <= torch.arange(C)[:, None]


def _scale(q: Any, scale: float | None) -> float:
    return q.shape[-1] ** -0.5 if scale is None else scale


def _cut(q: Any, k: Any, v: Any, C: int, scale: float | None = None) -> tuple[Any, Any, Any]:
    """Scaled queries, keys and values as rows."""
    return _rows(q[:, :, None] * _scale(q, scale), C), _rows(k, C), _rows(v, C)


def _run(operator: Callable[..., Any], inputs: Any) -> Callable[[], list]:
    """The outputs and gradients of an operator; keys and values without an axis for R get one."""
    import torch

    arrays, d_out = inputs
    leaves = {name: torch.tensor(x, requires_grad=True) for name, x in arrays.items()}
    d_out, one_step = torch.tensor(d_out), arrays["k"].ndim == 4

    def compute() -> list:
        arguments = dict(leaves)
        if one_step:
            arguments |= {name: leaves[name][:, :, None] for name in ("k", "v", "beta") if name in leaves}
        o = operator(**arguments)
        return [o.detach(), *torch.autograd.grad(o, list(leaves.values()), d_out)]

    return compute


def compiled(operator: Callable[..., Any]) -> Callable[..., Any]:
    """torch.compile; looking at the gate, which decides what is to be compiled, stays outside."""
    import torch

    fast = torch.compile(operator, dynamic=False)
    return lambda g=None, **others: fast(g=g, kind=kind_of_gate(g, 64), **others)


def token_by_token(q: Any, k: Any, v: Any, beta: Any = None, g: Any = None) -> Any:
    """The definitions: of linear attention, and with beta of the delta rule."""
    import torch

    (B, T, R, H, K), q = k.shape, q * q.shape[-1] ** -0.5
    S, out = torch.zeros(B, H, K, v.shape[-1]), []
    for t in range(T):
        if g is not None:
            S = g[:, t].exp().reshape(B, H, -1, 1) * S
        for r in range(R):
            u = v[:, t, r]
            if beta is not None:
                u = beta[:, t, r, :, None] * (u - (k[:, t, r, :, None] @ S)[..., 0, :])
            S = S + k[:, t, r, :, :, None] * u[:, :, None]
        out.append((q[:, t, :, None] @ S)[..., 0, :])
    return torch.stack(out, 1)


# ---------------------------------------------------------------------------------------------------------------------
# Linear attention.


def linear_chunks(
    q: Any, k: Any, v: Any, g: Any = None, chunk: int = 64, kind: type | None = None, scale: float | None = None
) -> Any:
    """o (B, T, H, V): the forward, for autograd to differentiate."""
    import torch

    C, gate = chunk, _gate(g, chunk, kind)
    q, k, v = _cut(q, k, v, C, scale)
    M, written = gate.scores(q, k) * _sees(C, 1), gate.write(k).mT @ v
    states = [torch.zeros_like(written[:, :, 0])]
    for n, written_n in enumerate(written.unbind(2)[:-1]):  # the gradient of written[:, :, n] is an array like written
        states.append(gate.kept(states[-1], n) + written_n)
    return _unrows(gate.read(q) @ torch.stack(states, 2) + M @ v, C, 1)[:, :, 0]


@cache
def _linear_by_hand() -> Any:
    """The torch.autograd.Function; made when it is first wanted, since torch is."""
    import torch

    class LinearByHand(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, q: Any, k: Any, v: Any, g: Any, C: int, scale: float | None) -> Any:
            gate, (q_, k_, v_) = _gate(g, C), _cut(q, k, v, C, scale)
            M, written = gate.scores(q_, k_) * _sees(C, 1), gate.write(k_).mT @ v_
            S = torch.zeros_like(written)
            for n in range(S.shape[2] - 1):
                S[:, :, n + 1] = gate.kept(S[:, :, n], n) + written[:, :, n]
            ctx.save_for_backward(q, k, v, g, M, S)
            ctx.C, ctx.scale = C, scale
            return _unrows(gate.read(q_) @ S + M @ v_, C, 1)[:, :, 0]

        @staticmethod
        def backward(ctx: Any, *cotangents: Any) -> Any:
            (q, k, v, g, M, S), C, scale = ctx.saved_tensors, ctx.C, ctx.scale
            gate, (q_, k_, v_) = _gate(g, C), _cut(q, k, v, C, scale)
            do, q_read, written = _rows(cotangents[0][:, :, None], C), gate.read(q_), gate.write(k_)
            from_out, dS_after = q_read.mT @ do, torch.zeros_like(S)
            for n in reversed(range(S.shape[2] - 1)):
                dS_after[:, :, n] = gate.kept(dS_after[:, :, n + 1], n + 1) + from_out[:, :, n + 1]
            gate.kept_backward(dS_after, S)
            dq, dk = gate.scores_backward((do @ v_.mT) * _sees(C, 1), q_, k_)
            dq = (dq + gate.read_backward(do @ S.mT, q_read)) * _scale(q, scale)
            dk = dk + gate.write_backward(v_ @ dS_after.mT, written)
            dv = M.mT @ do + written @ dS_after
            return _unrows(dq, C, 1)[:, :, 0], _unrows(dk, C, 1), _unrows(dv, C, 1), _ungate(gate), None, None

    return LinearByHand


def linear_chunks_by_hand(q: Any, k: Any, v: Any, g: Any = None, chunk: int = 64, scale: float | None = None) -> Any:
    """The same o, with the gradient of recurrence/diagonal.py."""
    return _linear_by_hand().apply(q, k, v, g, chunk, scale)


def linear(inputs: Any) -> Callable[[], list]:
    return _run(linear_chunks, inputs)


def linear_by_hand(inputs: Any) -> Callable[[], list]:
    return _run(linear_chunks_by_hand, inputs)


def linear_compiled(inputs: Any) -> Callable[[], list]:
    return _run(compiled(linear_chunks), inputs)


def linear_one_cut(inputs: Any) -> Callable[[], list]:
    """Without a look at the gate: wrong where a chunk decays by more than float32 can hold."""
    return _run(partial(linear_chunks, kind=MildVectorGate), inputs)


def one_token_at_a_time(inputs: Any) -> Callable[[], list]:
    return _run(token_by_token, inputs)


# ---------------------------------------------------------------------------------------------------------------------
# The delta rule, R steps per token.


def _system(q: Any, k: Any, p: Any, gate: Any, C: int) -> tuple[Any, Any]:
    """M and I + A, from one product: a token's query and its erase keys are rows of one matrix."""
    import torch

    R = k.shape[3] // C
    reads = torch.cat([q.unflatten(3, (C, 1)), p.unflatten(3, (C, R))], 4).flatten(3, 4)
    E = gate.scores(reads, k).unflatten(3, (C, 1 + R))
    return E[..., 0, :] * _sees(C, R), E[..., 1:, :].flatten(3, 4).tril(-1) + torch.eye(C * R)


def _solved(system: Any, right: Any) -> Any:
    """(I + A)^-1 times a right-hand side, or (I + A)^-T for a transposed system."""
    import torch

    upper = system.stride(-1) != 1
    return torch.linalg.solve_triangular(system, right, upper=upper, unitriangular=True)


def delta_chunks(q: Any, k: Any, v: Any, beta: Any, g: Any = None, chunk: int = 64, kind: type | None = None) -> Any:
    """o (B, T, H, V): the forward, for autograd to differentiate."""
    import torch

    C, gate = chunk, _gate(g, chunk, kind)
    (q, k, v), b = _cut(q, k, v, C), _rows(beta[..., None], C)
    p, v = b * k, b * v
    M, system = _system(q, k, p, gate, C)
    W, U = _solved(system, torch.cat([gate.read(p), v], -1)).split([k.shape[4], v.shape[4]], -1)
    written, S = gate.write(k).mT, torch.zeros(*k.shape[:2], k.shape[4], v.shape[4])
    states, values = [], []
    for n, (U_n, W_n, written_n) in enumerate(zip(U.unbind(2), W.unbind(2), written.unbind(2))):
        X = U_n - W_n @ S
        states.append(S)
        values.append(X)
        S = gate.kept(S, n) + written_n @ X
    o = gate.read(q) @ torch.stack(states, 2) + M @ torch.stack(values, 2)
    return _unrows(o, C, 1)[:, :, 0]


@cache
def _delta_by_hand() -> Any:
    """As `_linear_by_hand`."""
    import torch

    class DeltaByHand(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, q: Any, k: Any, v: Any, beta: Any, g: Any, C: int) -> Any:
            gate, (q_, k_, v_), b = _gate(g, C), _cut(q, k, v, C), _rows(beta[..., None], C)
            p_, v_ = b * k_, b * v_
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
            gate, (q_, k_, values), b = _gate(g, C), _cut(q, k, v, C), _rows(beta[..., None], C)
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
            dq, dk, dv = scale * _unrows(dq, C, 1)[:, :, 0], _unrows(dk, C, R), _unrows(b * dR, C, R)
            return dq, dk, dv, _unrows(d_beta, C, R)[..., 0], _ungate(gate), None

    return DeltaByHand


def delta_chunks_by_hand(q: Any, k: Any, v: Any, beta: Any, g: Any = None, chunk: int = 64) -> Any:
    """The same o, with the gradient of recurrence/householder.py."""
    return _delta_by_hand().apply(q, k, v, beta, g, chunk)


def delta(inputs: Any) -> Callable[[], list]:
    return _run(delta_chunks, inputs)


def delta_by_hand(inputs: Any) -> Callable[[], list]:
    return _run(delta_chunks_by_hand, inputs)


def delta_compiled(inputs: Any) -> Callable[[], list]:
    return _run(compiled(delta_chunks), inputs)
