"""Linear attention with decay: a memory that everything is added to, and that fades.

One head has a state S (K x V), a memory that maps keys to values. A token lets it fade, then writes:

    S_t = exp(g_t) * S_{t-1} + k_t v_t^T                     row d times exp(g_td); g absent, scalar or per channel
    o_t = scale * S_t^T q_t

The transition is a diagonal matrix, so channels never mix: what was written stays where it is and only shrinks. (The
delta rule of `householder.py` adds a look at what is stored already.) Linear attention (no g), retention, Lightning
attention, simple GLA and Mamba-2 (a scalar per head), GLA, HGRN2 and RWKV-6 (one per channel) are choices of these
arguments.

Three forms compute the same: `recurrent` is the definition; `parallel` has no loop over time; `chunk` is fast, with a
gradient derived by hand.

Axes: B batch, T time, H heads, K key dim, V value dim, C tokens in a chunk, N chunks.

Sources: Katharopoulos et al. 2020 (arXiv 2006.16236) without a gate; Sun et al. 2023 (arXiv 2307.08621) and Dao and Gu
2024 (arXiv 2405.21060) with a scalar; Yang et al. 2024 (arXiv 2312.06635) with a vector, and for the chunk form.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import backend
from ..autograd import Array, Primitive
from .arguments import check_arguments, check_values, gate_axes
from .chunks import Chunks
from .decay import kind_of_decay, pairwise_decay, rows
from .tokens import by_row, first_state, nothing, one_by_one, over_time, read


def gated_linear_attention(
    q: Array,
    k: Array,
    v: Array,
    *,
    g: Array | None = None,
    scale: float | None = None,
    initial_state: Array | None = None,
    form: str = "chunk",
    chunk: int = 64,
    cu_seqlens: Sequence[int] | None = None,
    return_states: bool = False,
    check: bool = False,
) -> tuple[Array, ...]:
    """A memory that fades, is written to and is read, once per token.

        S_t = exp(g_t) * S_{t-1} + k_t v_t^T;   o_t = scale * S_t^T q_t

    Args:
        q: queries (B, T, H, K).
        k: keys (B, T, H, K).
        v: values (B, T, H, V).
        g: log decay <= 0, (B, T, H) or (B, T, H, K); None for no decay.
        scale: factor of the queries; K**-0.5 by default.
        initial_state: S_0 (B, H, K, V), or (sequences, H, K, V) with cu_seqlens; zeros by default.
        form: "chunk", "recurrent" (the definition) or "parallel" (no loop over time).
        chunk: tokens in a chunk, a power of two.
        cu_seqlens: packed sequences in a batch of one: where each starts, then T.
        return_states: also give the states entering each chunk.
        check: raise where g is positive or a number is not finite.

    Returns:
        o (B, T, H, V), the final state (B, H, K, V), and with return_states the states entering each chunk
        (B, N, H, K, V). Tensors if a Tensor came in.

    Raises:
        ShapeError: axes that do not fit together. ValueError: an unknown form, a chunk that is no power of two,
        and what `check` finds.

    Cost:
        chunk: T (C (K + V) + 2 K V) multiplications per head, T / C steps one after another; memory linear in T.
        recurrent: 2 T K V, T steps. parallel: T^2 (K + V), memory T^2, with a vector g T^2 K.

    Source:
        Yang et al. 2024, arXiv 2312.06635, equations 3 and 4.
    """
    inputs = {"q": (q, "B T H K"), "k": (k, "B T H K"), "v": (v, "B T H V"), "g": (g, gate_axes(g))}
    chunk, cu_seqlens = check_arguments(inputs, initial_state, form, chunk, cu_seqlens)
    if check:
        check_values(inputs)
    run: Any = {"chunk": _chunk, "recurrent": recurrent, "parallel": parallel}[form if q.shape[1] else "chunk"]
    scale = max(q.shape[-1], 1) ** -0.5 if scale is None else float(scale)
    out, final, states, *_ = run(q, k, v, g, initial_state, scale=scale, chunk=chunk, cu_seqlens=cu_seqlens)
    return (out, final, states) if return_states else (out, final)


# ---------------------------------------------------------------------------------------------------------------------
# The definition.


@backend.mirrored("gated_linear_attention_recurrent")
def recurrent(q, k, v, g, S, *, scale, chunk, cu_seqlens):
    """Token by token, as in the equations above. Plain NumPy, so it differentiates itself."""
    tokens = (q, k, v, g)
    if cu_seqlens is not None:
        return one_by_one(recurrent, tokens, S, scale=scale, chunk=chunk, cu_seqlens=cu_seqlens)
    S = first_state(tokens, S)
    C = Chunks(q.shape[1], chunk).C
    outputs, entering = [], []
    for t, (q_t, k_t, v_t, g_t) in enumerate(zip(*map(over_time, tokens))):
        if t % C == 0:
            entering.append(S)
        if g is not None:
            S = by_row(np.exp(g_t)) * S
        S = S + k_t[..., :, None] * v_t[..., None, :]
        outputs.append(read(S, scale * q_t))
    if not outputs:
        return nothing(S)
    return np.stack(outputs, 1), S, np.stack(entering, 1)


# ---------------------------------------------------------------------------------------------------------------------
# What matrix it is. A token reads what is left of S_0 and of every write so far:
#
#     o_t = (decayed S_0)^T q_t + sum_{s<=t} (q_t . decayed k_s) v_s        so        O = Q~ S_0 + E(Q, K) V
#
# with E the scores of decay.py, a T x T lower triangle: causal attention without a softmax, with distance written into
# the scores. Without g it is the lower triangle of Q K^T.


def parallel(q, k, v, g, S, *, scale, chunk, cu_seqlens):
    """All tokens at once. Plain NumPy, so it differentiates itself."""
    tokens = (q, k, v, g)
    if cu_seqlens is not None:
        return one_by_one(parallel, tokens, S, scale=scale, chunk=chunk, cu_seqlens=cu_seqlens)
    S = first_state(tokens, S)
    T, K = q.shape[1], q.shape[3]
    if T == 0:
        return nothing(S)
    q, k, v = (np.moveaxis(x, 2, 1) for x in (scale * q, k, v))  # (B, H, T, K or V)
    D, start = pairwise_decay(g, q)  # from token s to token t (B, H, T, T, 1 or K); from the start (B, H, T, 1 or K)
    if D.shape[-1] == 1:
        scores = (q @ k.mT) * D[..., 0]
    else:
        scores = np.einsum("bhtk,bhsk,bhtsk->bhts", q, k, D, optimize=True)
    out = (q * start) @ S + scores @ v

    # The state after token t: what is left of S_0, and every write, decayed since. At the chunks' ends, and the end.
    C = Chunks(T, chunk).C
    last = np.array([*range(C - 1, T - 1, C), T - 1])
    kept_keys = np.broadcast_to(D[:, :, last], (*D.shape[:2], len(last), T, K)) * np.expand_dims(k, 2)
    after = start[:, :, last, :, None] * S[:, :, None] + kept_keys.mT @ np.expand_dims(v, 2)  # (B, H, n, K, V)
    entering = np.concatenate([S[:, :, None], after[:, :, :-1]], 2)
    return np.moveaxis(out, 1, 2), after[:, :, -1], np.moveaxis(entering, 1, 2)


# ---------------------------------------------------------------------------------------------------------------------
# The chunk form: the parallel form inside chunks of C tokens, the recurrence from chunk to chunk. With the decays of
# decay.py (Q~ read at a row, K~ written to the chunk's end, Gamma the sum of g over the chunk), for incoming S:
#
#     M  = E(Q, K)
#     S+ = exp(Gamma) * S + K~^T V                        the only step that waits for the chunk before
#     O  = Q~ S + M V


def chunk_forward(q, k, v, g, S0, *, scale, chunk, cu_seqlens):
    """Arrays in, arrays out: o, the final and the entering states, and what the backward keeps: M."""
    (B, length, H, K), V = k.shape, v.shape[-1]
    chunks = Chunks(length, chunk, cu_seqlens)
    N, C = chunks.N, chunks.C
    dtype = np.result_type(*(x for x in (q, k, v, g, S0) if x is not None))

    def new(*shape):
        return np.empty_like(q, shape=shape, dtype=dtype, order="C")

    out, final = new(B, length, H, V), new(B, H, chunks.sequences, K, V)
    S, M = new(B, H, N, K, V), new(B, H, N, C, C)
    initial = np.zeros_like(final) if S0 is None else chunks.states_in(S0)
    kind = kind_of_decay(g, chunks)

    def work(b, h):
        """For the batch elements b and heads h: every array here is (b, h, N, ...)."""
        q_, k_, v_, decay = _cut(chunks, kind, b, h, q, k, v, g, scale)
        decay.scores(q_, k_, _itself(q), out=M[b, h])
        written = rows(decay.write(k_)).mT @ v_
        for i, (first, end) in enumerate(chunks.bounds):
            state = initial[b, h, i]
            for n in range(first, end):
                S[b, h, n] = state
                state = decay.kept(state, n) + written[:, :, n]
            final[b, h, i] = state
        o = rows(decay.read(q_)) @ S[b, h]
        o += M[b, h] @ v_
        chunks.paste(out[b, :, h], o)

    backend.in_parts(work, B, H, floats=N * C * (3 * K + 2 * V + C))
    return out, chunks.states_out(final), np.moveaxis(S, 1, 2), M


# Going back, for given dO and dS+:
#
#     dS = exp(Gamma) * dS+ + Q~^T dO                     the only step that waits for the chunk after
#     dM = lower(dO V^T)      dV = M^T dO + K~ dS+
#     dQ~ = dO S^T            dK~ = V dS+^T               and dQ, dK besides through the scores, E(Q, K)
#
# decay.py collects what the scores, Q~, K~ and exp(Gamma) tell about g.


def chunk_backward(cotangents, outs, inputs, needs, *, scale, chunk, cu_seqlens):
    """The gradients of all five inputs, for any of the cotangents of o, the final and the entering states."""
    (out, final, entering, M), (q, k, v, g, S0) = outs, inputs
    d_out, d_final, d_entering, *_ = cotangents
    (B, length, H, K), V = k.shape, v.shape[-1]
    chunks = Chunks(length, chunk, cu_seqlens)
    S = np.moveaxis(entering, 2, 1)
    d_out = np.zeros_like(out) if d_out is None else d_out
    d_final = chunks.states_in(np.zeros_like(final) if d_final is None else d_final)
    dS0 = np.empty_like(d_final)
    gradients: list[Any] = [x if x is None else np.empty_like(x) for x in (q, k, v, g)]
    dq, dk, dv, dg = gradients
    kind = kind_of_decay(g, chunks)

    def work(b, h):
        q_, k_, v_, decay = _cut(chunks, kind, b, h, q, k, v, g, scale)
        do = chunks.cut(d_out[b, :, h])
        q_read, k_written = decay.read(q_), decay.write(k_)
        from_out = rows(q_read).mT @ do
        dS_after = np.empty_like(S[b, h])  # the cotangent of the state that leaves each chunk
        for i, (first, end) in enumerate(chunks.bounds):
            dS = d_final[b, h, i]
            for n in reversed(range(first, end)):
                dS_after[:, :, n] = dS
                dS = decay.kept(dS, n) + from_out[:, :, n]
                if d_entering is not None:
                    dS = dS + d_entering[b, n, h]
            dS0[b, h, i] = dS
        decay.keep_backward(dS_after, S[b, h])
        dv_ = M[b, h].mT @ do
        dv_ += rows(k_written) @ dS_after
        dq_, dk_ = decay.scores_backward(do @ v_.mT, M[b, h], q_, k_, _itself(q))
        dq_ += decay.read_backward((do @ S[b, h].mT).reshape(q_.shape), q_read)
        dk_ += decay.write_backward((v_ @ dS_after.mT).reshape(k_.shape), k_written)
        dq_ *= scale
        chunks.paste(dq[b, :, h], dq_[..., 0, :])
        chunks.paste(dk[b, :, h], dk_[..., 0, :])
        chunks.paste(dv[b, :, h], dv_)
        if g is not None:
            d_gate = decay.gradient()
            chunks.paste(dg[b, :, h], d_gate if g.ndim == 4 else d_gate[..., 0])

    backend.in_parts(work, B, H, floats=chunks.N * chunks.C * (6 * K + 4 * V + chunks.C))
    return *gradients, None if S0 is None else chunks.states_out(dS0)


def _cut(chunks, kind, b, h, q, k, v, g, scale):
    """Scaled queries and keys in chunks, one row per token (b, h, N, C, 1, K), v (b, h, N, C, V), and the decay."""
    if g is not None:
        g = chunks.cut(g[b, :, h] if g.ndim == 4 else g[b, :, h, None])
    q, k, v = (chunks.cut(x[b, :, h]) for x in (q, k, v))
    return scale * q[..., None, :], k[..., None, :], v, kind(g)


def _itself(q):
    """A query sees what its own token wrote."""
    return np.ones_like(q, shape=(1, 1))


_chunk = backend.mirrored("gated_linear_attention")(
    Primitive(chunk_forward, backward=chunk_backward, reference=recurrent, name="gated_linear_attention")
)
