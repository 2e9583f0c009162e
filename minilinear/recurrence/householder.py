"""The delta rule, R times per token: a product of generalised Householder matrices, with decay.

One head has a state S (K x V), a memory that maps keys to values. A token decays it, then corrects it R times:

    S   <-  exp(g_t) * S                                     row d times exp(g_td); g absent, scalar or per channel
    S   <-  S + k_r beta_r (v_r - S^T p_r)^T                 r = 1 .. R;  p is the erase key, by default k
    o_t  =  scale * S^T q_t

Each correction reads what the memory holds at p_r, S^T p_r, and writes the difference from v_r, beta_r strong, at k_r.
It is one step of gradient descent on 1/2 |S^T k - v|^2. As a matrix it is I - beta k p^T: with p = k of unit length
beta = 1 overwrites what was stored at k, and beta = 2 *reflects* at the plane orthogonal to k, with eigenvalue -1. Two
reflections are a rotation: that is what R = 2 can do and R = 1 cannot.

DeltaNet (R = 1, no g), Gated DeltaNet (scalar g), KDA (vector g), DeltaProduct (R > 1), Comba and RWKV-7 (an erase
key) are choices of these arguments.

Three forms compute the same: `recurrent` is the definition; `parallel` has no loop over time; `chunk` is fast, with a
gradient derived by hand.

Axes: B batch, T time, R steps, H heads, K key dim, V value dim, C tokens in a chunk, N chunks.

Sources: Schlag et al. 2021 (arXiv 2102.11174) for the delta rule; Yang et al. 2024 (arXiv 2406.06484) for the chunk
form, and 2025 (arXiv 2412.06464) with a gate; Siems et al. 2025 (arXiv 2502.10297) for R > 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import backend
from ..autograd import Array, Primitive, solve_triangular, unwrap
from ..errors import check_axes
from .arguments import check_arguments, check_values, gate_axes
from .chunks import Chunks
from .decay import kind_of_decay, pairwise_decay, rows
from .tokens import by_row, first_state, nothing, one_by_one, over_time, read
from .triangular import unit_lower_inverse


def delta_product(
    q: Array,
    k: Array,
    v: Array,
    *,
    beta: Array,
    g: Array | None = None,
    erase_key: Array | None = None,
    scale: float | None = None,
    initial_state: Array | None = None,
    form: str = "chunk",
    chunk: int = 64,
    cu_seqlens: Sequence[int] | None = None,
    return_states: bool = False,
    check: bool = False,
) -> tuple[Array, ...]:
    """R corrections of the memory per token, then one reading.

        S <- exp(g_t) * S;   r = 1..R:  S <- S + k_r beta_r (v_r - S^T p_r)^T;   o_t = scale * S^T q_t

    Args:
        q: queries (B, T, H, K).
        k: write keys (B, T, R, H, K); of unit length for a stable recurrence.
        v: values (B, T, R, H, V).
        beta: write strengths (B, T, R, H) in [0, 2].
        g: log decay <= 0, (B, T, H) or (B, T, H, K), applied once per token before the corrections; None for no decay.
        erase_key: where to read before writing, (B, T, R, H, K); k by default.
        scale: factor of the queries; K**-0.5 by default.
        initial_state: S_0 (B, H, K, V), or (sequences, H, K, V) with cu_seqlens; zeros by default.
        form: "chunk", "recurrent" (the definition) or "parallel" (no loop over time).
        chunk: tokens in a chunk, a power of two.
        cu_seqlens: packed sequences in a batch of one: where each starts, then T.
        return_states: also give the states entering each chunk.
        check: raise where beta (k . p) leaves [0, 2] by more than 1e-3, g is positive or a number is not finite.

    Returns:
        o (B, T, H, V), the final state (B, H, K, V), and with return_states the states entering each chunk
        (B, N, H, K, V). Tensors if a Tensor came in.

    Raises:
        ShapeError: axes that do not fit together. ValueError: an unknown form, a chunk that is no power of two,
        and what `check` finds.

    Cost:
        chunk: T R (C R (K + V) + K V) multiplications per head, T / C steps one after another; memory linear in T.
        recurrent: T R K V, T steps. parallel: (T R)^2 (K + V), memory T^2 R^2, with a vector g T^2 K.

    Source:
        Siems et al. 2025, arXiv 2502.10297; with `g`, Yang et al. 2025, arXiv 2412.06464, equation 10.
    """
    inputs = {
        "q": (q, "B T H K"),
        "k": (k, "B T R H K"),
        "v": (v, "B T R H V"),
        "beta": (beta, "B T R H"),
        "g": (g, gate_axes(g)),
        "erase_key": (erase_key, "B T R H K"),
    }
    chunk, cu_seqlens = check_arguments(inputs, initial_state, form, chunk, cu_seqlens)
    if check:
        check_values(inputs)
    run: Any = {"chunk": _chunk, "recurrent": recurrent, "parallel": parallel}[form if q.shape[1] else "chunk"]
    scale = max(q.shape[-1], 1) ** -0.5 if scale is None else float(scale)
    out, final, states, *_ = run(
        q, k, v, beta, g, erase_key, initial_state, scale=scale, chunk=chunk, cu_seqlens=cu_seqlens
    )
    return (out, final, states) if return_states else (out, final)


def delta_rule(
    q: Array,
    k: Array,
    v: Array,
    *,
    beta: Array,
    g: Array | None = None,
    erase_key: Array | None = None,
    scale: float | None = None,
    initial_state: Array | None = None,
    form: str = "chunk",
    chunk: int = 64,
    cu_seqlens: Sequence[int] | None = None,
    return_states: bool = False,
    check: bool = False,
) -> tuple[Array, ...]:
    """One correction of the memory per token: `delta_product` with R = 1, and no axis for it.

        S <- exp(g_t) * S;   S <- S + k_t beta_t (v_t - S^T p_t)^T;   o_t = scale * S^T q_t

    Args:
        q: queries (B, T, H, K).
        k: write keys (B, T, H, K).
        v: values (B, T, H, V).
        beta: write strengths (B, T, H) in [0, 2].
        g: log decay <= 0, (B, T, H) or (B, T, H, K).
        erase_key: where to read before writing, (B, T, H, K); k by default.
        scale, initial_state, form, chunk, cu_seqlens, return_states, check: as in `delta_product`.

    Returns:
        o (B, T, H, V), the final state (B, H, K, V), and with return_states the states entering each chunk.

    Raises:
        As `delta_product`.

    Cost:
        As `delta_product` with R = 1.

    Source:
        Schlag et al. 2021, arXiv 2102.11174, equation 24; Yang et al. 2024, arXiv 2406.06484, section 3.
    """
    sizes: dict[str, int] = {}
    for name, x, axes in ("q", q, "B T H K"), ("k", k, "B T H K"), ("v", v, "B T H V"), ("beta", beta, "B T H"):
        check_axes(name, x, axes, sizes, example="q")
    if erase_key is not None:
        check_axes("erase_key", erase_key, "B T H K", sizes, example="q")
        erase_key = np.expand_dims(erase_key, 2)
    k, v, beta = (np.expand_dims(x, 2) for x in (k, v, beta))
    return delta_product(
        q,
        k,
        v,
        beta=beta,
        g=g,
        erase_key=erase_key,
        scale=scale,
        initial_state=initial_state,
        form=form,
        chunk=chunk,
        cu_seqlens=cu_seqlens,
        return_states=return_states,
        check=check,
    )


# ---------------------------------------------------------------------------------------------------------------------
# The definition.


@backend.mirrored("delta_product_recurrent")
def recurrent(q, k, v, beta, g, p, S, *, scale, chunk, cu_seqlens):
    """Token by token, correction by correction, as in the equations above. Plain NumPy, so it differentiates itself."""
    tokens = (q, k, v, beta, g, p)
    if cu_seqlens is not None:
        return one_by_one(recurrent, tokens, S, scale=scale, chunk=chunk, cu_seqlens=cu_seqlens)
    S = first_state(tokens, S)
    p = k if p is None else p
    C = Chunks(q.shape[1], chunk).C
    outputs, entering = [], []
    for t, (q_t, k_t, v_t, beta_t, p_t, g_t) in enumerate(zip(*map(over_time, (q, k, v, beta, p, g)))):
        if t % C == 0:
            entering.append(S)
        if g is not None:
            S = by_row(np.exp(g_t)) * S
        for k_r, v_r, beta_r, p_r in zip(*(np.moveaxis(x, 1, 0) for x in (k_t, v_t, beta_t, p_t))):
            u = beta_r[..., None] * (v_r - read(S, p_r))
            S = S + k_r[..., :, None] * u[..., None, :]
        outputs.append(read(S, scale * q_t))
    if not outputs:
        return nothing(S)
    return np.stack(outputs, 1), S, np.stack(entering, 1)


# ---------------------------------------------------------------------------------------------------------------------
# What matrix it is. Let X hold the values really written, x_i = v_i - S~_i^T p_i for correction i (beta folded into p
# and v). The memory that correction i reads is made of S_0 and of everything written before, each decayed since then:
#
#     x_i = v_i - (decayed S_0)^T p_i - sum_{j<i} (p_i . decayed k_j) x_j      so      (I + A) X = V - P~ S_0
#
# with A the strictly lower triangle of the scores E(P, K) of decay.py and P~ the erase keys decayed from the start. So
# all corrections at once are the solution of one triangular system; and O = Q~ S_0 + E(Q, K) X, which is attention:
# a T x TR matrix of scores times values.


def parallel(q, k, v, beta, g, p, S, *, scale, chunk, cu_seqlens):
    """All tokens at once: one triangular system of T R rows. Plain NumPy, so it differentiates itself."""
    tokens = (q, k, v, beta, g, p)
    if cu_seqlens is not None:
        return one_by_one(parallel, tokens, S, scale=scale, chunk=chunk, cu_seqlens=cu_seqlens)
    (B, T, R, H, _), V = k.shape, v.shape[-1]
    S = first_state(tokens, S)
    if T == 0:
        return nothing(S)
    p, beta = k if p is None else p, beta[..., None]
    q = np.expand_dims(np.moveaxis(scale * q, 2, 1), 3)  # (B, H, T, 1, K)
    k, v, p = (np.moveaxis(x, 3, 1) for x in (k, beta * v, beta * p))  # (B, H, T, R, K or V)
    D, start = pairwise_decay(g, q)  # from token s to token t (B, H, T, T, 1 or K); from the start (B, H, T, 1 or K)
    start = np.expand_dims(start, 3)

    def scores(x, y):  # (B, H, T, r, K), (B, H, T, R, K) -> (B, H, T r, T R)
        if D.shape[-1] == 1:
            E = np.einsum("bhtrk,bhsuk->bhtrsu", x, y, optimize=True) * np.moveaxis(D, -1, 3)[..., None]
        else:
            E = np.einsum("bhtrk,bhsuk,bhtsk->bhtrsu", x, y, D, optimize=True)
        return E.reshape(B, H, T * x.shape[3], T * R)

    A = np.tril(scores(p, k), -1)
    X = solve_triangular(A + np.identity(T * R, A.dtype, like=unwrap(A)), _merged(v) - _merged(p * start) @ S)
    out = _merged(q * start) @ S + scores(q, k) @ X

    # The state after token t: what is left of S_0, and every write, decayed since. At the chunks' ends, and the end.
    C = Chunks(T, chunk).C
    last = np.array([*range(C - 1, T - 1, C), T - 1])
    ends, X = np.broadcast_to(D[:, :, last], (B, H, len(last), T, k.shape[-1])), X.reshape(B, H, T, R, V)
    after = np.swapaxes(start[:, :, last], 3, 4) * S[:, :, None]  # (B, H, n, K, V)
    after = after + np.einsum("bhnsk,bhsrk,bhsrv->bhnkv", ends, k, X, optimize=True)
    entering = np.concatenate([S[:, :, None], after[:, :, :-1]], 2)
    return np.moveaxis(out, 1, 2), after[:, :, -1], np.moveaxis(entering, 1, 2)


def _merged(x):
    return x.reshape(*x.shape[:2], x.shape[2] * x.shape[3], x.shape[4])


# ---------------------------------------------------------------------------------------------------------------------
# The chunk form: the parallel form inside chunks of C tokens, the recurrence from chunk to chunk. With the decays of
# decay.py (P~ read at a row, K~ written to the chunk's end, Gamma the sum of g over the chunk), for incoming S:
#
#     A = strict lower E(P, K)    M = E(Q, K)    T = (I + A)^-1    U = T V    W = T P~
#     X  = U - W S                                        the values really written
#     S+ = exp(Gamma) * S + K~^T X                        the only step that waits for the chunk before
#     O  = Q~ S + M X


def chunk_forward(q, k, v, beta, g, p, S0, *, scale, chunk, cu_seqlens):
    """Arrays in, arrays out: o, the final and the entering states, and what the backward keeps: X, W, T, E.

    E holds M and A: a token reads with its query, after all its corrections, and with each erase key, before that
    correction, so both are scores of one array of reads, 1 + R rows per token.
    """
    (B, length, R, H, K), V = k.shape, v.shape[-1]
    chunks = Chunks(length, chunk, cu_seqlens)
    N, C = chunks.N, chunks.C
    dtype = np.result_type(*(x for x in (q, k, v, beta, g, p, S0) if x is not None))

    def new(*shape):
        return np.empty_like(q, shape=shape, dtype=dtype, order="C")

    out, final, S = new(B, length, H, V), new(B, H, chunks.sequences, K, V), new(B, H, N, K, V)
    X, W, T = new(B, H, N, C * R, V), new(B, H, N, C * R, K), new(B, H, N, C * R, C * R)
    E = new(B, H, N, C * (1 + R), C * R)
    initial = np.zeros_like(final) if S0 is None else chunks.states_in(S0)
    kind = kind_of_decay(g, chunks)

    def work(b, h):
        """For the batch elements b and heads h: every array here is (b, h, N, ...)."""
        cut = _Cut(chunks, kind, b, h, q, k, v, beta, g, p, scale)
        decay, k_ = cut.decay, cut.k
        decay.scores(cut.reads, k_, cut.sees, out=E[b, h])
        M, A = _query_and_erase(E[b, h], R)
        q_read, p_read = _query_and_erase(rows(decay.read(cut.reads)), R)
        k_written = rows(decay.write(k_)).mT
        T[b, h] = unit_lower_inverse(A)
        np.matmul(T[b, h], p_read, out=W[b, h])
        np.matmul(T[b, h], rows(cut.v), out=X[b, h])  # U, until W S is taken off
        for i, (first, end) in enumerate(chunks.bounds):
            state = initial[b, h, i]
            for n in range(first, end):
                S[b, h, n] = state
                X[b, h, n] -= W[b, h, n] @ state
                state = decay.kept(state, n) + k_written[:, :, n] @ X[b, h, n]
            final[b, h, i] = state
        o = q_read @ S[b, h]
        o += M @ X[b, h]
        chunks.paste(out[b, :, h], o)

    backend.in_parts(work, B, H, floats=N * C * R * (3 * K + 2 * V + C * R))
    return out, chunks.states_out(final), np.moveaxis(S, 1, 2), X, W, T, E


# Going back. X solves (I + A) X = R with R = V - P~ S; so a cotangent of X is one of R by the transposed inverse, and
# one of A by the outer product with X: there is no gradient of the inverse. For given dO and dS+:
#
#     dX = M^T dO + K~ dS+         dR = T^T dX         dV = dR         dM = lower(dO X^T)    dA = -strict lower(dR X^T)
#     dS = exp(Gamma) * dS+ + Q~^T dO - W^T dX                         the only step that waits for the chunk after
#     dQ~ = dO S^T      dP~ = -dR S^T      dK~ = X dS+^T               and through the scores, E(Q, K) and E(P, K)
#     d(beta v') = dV,  d(beta p') = dP                                for v = beta v', p = beta p'


def chunk_backward(cotangents, outs, inputs, needs, *, scale, chunk, cu_seqlens):
    """The gradients of all seven inputs, for any of the cotangents of o, the final and the entering states."""
    (out, final, entering, X, W, T, E), (q, k, v, beta, g, p, S0) = outs, inputs
    d_out, d_final, d_entering, *_ = cotangents
    (B, length, R, H, K), V = k.shape, v.shape[-1]
    chunks = Chunks(length, chunk, cu_seqlens)
    S = np.moveaxis(entering, 2, 1)
    d_out = np.zeros_like(out) if d_out is None else d_out
    d_final = chunks.states_in(np.zeros_like(final) if d_final is None else d_final)
    dS0 = np.empty_like(d_final)
    gradients: list[Any] = [x if x is None else np.empty_like(x) for x in (q, k, v, beta, g, p)]
    dq, dk, dv, dbeta, dg, dp = gradients
    kind = kind_of_decay(g, chunks)

    def work(b, h):
        cut = _Cut(chunks, kind, b, h, q, k, v, beta, g, p, scale)
        decay, k_ = cut.decay, cut.k
        M, _ = _query_and_erase(E[b, h], R)
        read, k_written = decay.read(cut.reads), decay.write(k_)
        q_read, _ = _query_and_erase(rows(read), R)
        do = chunks.cut(d_out[b, :, h])
        dX = M.mT @ do
        from_out = q_read.mT @ do
        dS_after = np.empty_like(S[b, h])  # the cotangent of the state that leaves each chunk
        for i, (first, end) in enumerate(chunks.bounds):
            dS = d_final[b, h, i]
            for n in reversed(range(first, end)):
                dS_after[:, :, n] = dS
                dX[:, :, n] += rows(k_written)[:, :, n] @ dS
                dS = decay.kept(dS, n) + from_out[:, :, n] - W[b, h, n].mT @ dX[:, :, n]
                if d_entering is not None:
                    dS = dS + d_entering[b, n, h]
            dS0[b, h, i] = dS
        decay.keep_backward(dS_after, S[b, h])
        dR = T[b, h].mT @ dX
        d_seen = _rows_of_both(do, -dR, R)  # cotangents of what queries and erase keys saw: (b, h, N, C (1 + R), V)
        d_reads, dk_ = decay.scores_backward(d_seen @ X[b, h].mT, E[b, h], cut.reads, k_, cut.sees)
        d_reads += decay.read_backward((d_seen @ S[b, h].mT).reshape(read.shape), read)
        dk_ += decay.write_backward((X[b, h] @ dS_after.mT).reshape(k_.shape), k_written)
        dq_, dp_, dv_ = d_reads[..., 0, :], d_reads[..., 1:, :], dR.reshape(cut.v.shape)
        d_beta = np.einsum("...d,...d->...", dp_, cut.erase_key) + np.einsum("...d,...d->...", dv_, cut.values)
        dp_ *= cut.beta
        dv_ *= cut.beta
        if p is None:
            dk_ += dp_
        else:
            chunks.paste(_by_step(dp[b, :, :, h]), dp_)
        dq_ *= scale
        chunks.paste(dq[b, :, h], dq_)
        chunks.paste(_by_step(dk[b, :, :, h]), dk_)
        chunks.paste(_by_step(dv[b, :, :, h]), dv_)
        chunks.paste(_by_step(dbeta[b, :, :, h]), d_beta)
        d_gate = decay.gradient()
        if g is not None and d_gate is not None:
            chunks.paste(dg[b, :, h], d_gate if g.ndim == 4 else d_gate[..., 0])

    backend.in_parts(work, B, H, floats=chunks.N * chunks.C * R * (6 * K + 4 * V + chunks.C * R))
    return *gradients, None if S0 is None else chunks.states_out(dS0)


class _Cut:
    """The inputs of some batch elements and heads, cut into chunks: tokens in axis 3, the rows of a token in axis 4."""

    def __init__(self, chunks, kind, b, h, q, k, v, beta, g, p, scale):
        R = k.shape[2]
        self.k = chunks.cut(_by_step(k[b, :, :, h]))  # (b, h, N, C, R, K)
        self.values = chunks.cut(_by_step(v[b, :, :, h]))  # (b, h, N, C, R, V)
        self.beta = chunks.cut(_by_step(beta[b, :, :, h]))[..., None]  # (b, h, N, C, R, 1)
        self.erase_key = self.k if p is None else chunks.cut(_by_step(p[b, :, :, h]))
        self.v = self.beta * self.values
        self.reads = np.empty_like(self.v, shape=(*self.k.shape[:4], 1 + R, self.k.shape[5]), order="C")
        np.multiply(chunks.cut(q[b, :, h]), scale, out=self.reads[..., 0, :])
        np.multiply(self.beta, self.erase_key, out=self.reads[..., 1:, :])
        if g is not None:
            g = g[b, :, h]
            g = chunks.cut(g if g.ndim == 4 else g[..., None])  # (b, h, N, C, 1 or K)
        self.decay = kind(g)
        # Which corrections of its own token a row sees: the query all of them, an erase key the ones before it.
        self.sees = np.tril(np.ones_like(self.v, shape=(1 + R, R)), -2)
        self.sees[0] = 1


def _query_and_erase(x, R):
    """The rows of the queries and of the erase keys in (b, h, N, C (1 + R), D): (..., C, D) and (..., C R, D)."""
    *lead, count, D = x.shape
    by_token = x.reshape(*lead, count // (1 + R), 1 + R, D)
    return by_token[..., 0, :], by_token[..., 1:, :].reshape(*lead, count // (1 + R) * R, D)


def _rows_of_both(query, erase, R):
    """The inverse of `_query_and_erase`."""
    *lead, C, D = query.shape
    by_token = np.empty_like(query, shape=(*lead, C, 1 + R, D))
    by_token[..., 0, :], by_token[..., 1:, :] = query, erase.reshape(*lead, C, R, D)
    return by_token.reshape(*lead, C * (1 + R), D)


def _by_step(x):
    """(b, T, R, h, ...) -> (b, T, h, R, ...), a view."""
    return x.swapaxes(2, 3)


_chunk = backend.mirrored("delta_product")(
    Primitive(chunk_forward, backward=chunk_backward, reference=recurrent, name="delta_product")
)
