"""Softmax attention: every token looks at all tokens before it and takes a weighted mean of their values.

One head, with a query q_i, a key k_j and a value v_j for each token:

    s_ij = scale * q_i . k_j            for j <= i, and i - j < W if there is a window of W tokens
    p_ij = exp(s_ij) / sum_j exp(s_ij)                     row i of P sums to 1
    o_i  = sum_j p_ij v_j

What matrix is it? P, a T x T lower triangle with rows that sum to 1. The exponential is why there is no state of
constant size: exp(q . k) is a product of features of q and k only if there are infinitely many of them, so all keys and
values are kept, and token i costs i products. Linear attention (recurrence/diagonal.py) is what is left without it.

Grouped queries: H query heads share G heads of keys and values, R = H / G each; query head h reads head h // R. A sink
is a logit per head that takes part in the sum below the fraction and brings no value: a head may look at nothing.

Axes: B batch, T queries, S keys >= T (the queries are the last T tokens), H query heads, G key and value heads,
R = H / G, K key dim, V value dim, W window, C tokens in a chunk, D model.

Sources: Vaswani et al. 2017, arXiv 1706.03762, equation 1; Ainslie et al. 2023, arXiv 2305.13245 (grouped queries);
Jiang et al. 2023, arXiv 2310.06825 (window); Milakov and Gimelshein 2018, arXiv 1805.02867 (online softmax); Dao et al.
2022, arXiv 2205.14135, algorithms 1 and 4 (blocks, and the gradient).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from .. import backend
from ..autograd import Array, Primitive, sigmoid, unwrap
from ..errors import ConfigError, ShapeError, WrongType, WrongValue, check_axes, explain
from ..recurrence.arguments import FORMS
from ..recurrence.chunks import check_chunk, check_cu_seqlens


def softmax_attention(
    q: Array,
    k: Array,
    v: Array,
    *,
    scale: float | None = None,
    window: int | None = None,
    sink: Array | None = None,
    form: str = "chunk",
    chunk: int = 64,
    cu_seqlens: Sequence[int] | None = None,
    key_cu_seqlens: Sequence[int] | None = None,
    return_lse: bool = False,
) -> Array | tuple[Array, Array]:
    """A weighted mean of the values so far, the weights a softmax over query-key products.

        o_i = sum_{j <= i} exp(s_ij) v_j / Z_i;   Z_i = sum_{j <= i} exp(s_ij) + exp(sink);   s_ij = scale * q_i . k_j

    Args:
        q: queries (B, T, H, K), of the last T of the S tokens.
        k: keys (B, S, G, K), S >= T; G divides H, and query head h reads head h // (H / G).
        v: values (B, S, G, V).
        scale: factor of the products; K**-0.5 by default.
        window: how many tokens a query sees, itself included: j is hidden where i - j >= window. None for all.
        sink: (H), a logit of each head that is added to Z only; None for none.
        form: "chunk", "recurrent" (the definition, query by query) or "parallel" (the T x S matrix at once).
        chunk: tokens in a block of queries, a power of two.
        cu_seqlens: packed sequences in a batch of one: where the queries of each start, then T.
        key_cu_seqlens: where the keys of each start, then S, if they are not as many; cu_seqlens by default.
        return_lse: also give log Z, which `merge_attention` wants.

    Returns:
        o (B, T, H, V), and with return_lse log Z (B, T, H). Tensors if a Tensor came in.

    Raises:
        ShapeError: axes that do not fit together. ValueError: an unknown form, a chunk that is no power of two, a
        window below 1. TypeError: integers.

    Cost:
        S T (K + V) multiplications and S T exponentials per head, half of them if S = T; with a window W T instead of
        S T. Memory: chunk linear in S, parallel S T, recurrent S at a time.

    Source:
        Dao et al. 2022, arXiv 2205.14135, for the chunk form.
    """
    sizes: dict[str, int] = {}
    check_axes("q", q, "B T H K", sizes)
    check_axes("k", k, "B S G K", sizes, example="q")
    check_axes("v", v, "B S G V", sizes, example="k")
    if sink is not None:
        check_axes("sink", sink, "H", sizes, example="q")
    for name, x in ("q", q), ("k", k), ("v", v), ("sink", sink):
        if x is not None and x.dtype.kind != "f":
            raise WrongType(
                explain(f"{name} is floating point.", got=x.dtype, fix="x.astype(np.float32)", see="floating-point")
            )
    if sizes["H"] % max(sizes["G"], 1):
        got = f"{sizes['H']} query heads, {sizes['G']} key heads"
        raise ShapeError(
            explain(
                "Each head of keys serves as many query heads.", got=got, fix="H a multiple of G", see="equal-parts"
            )
        )
    if form not in FORMS:
        raise WrongValue(explain(f"form is one of {', '.join(FORMS)}.", got=repr(form), fix='form="chunk"'))
    check_window(window)
    options: dict[str, Any] = {"chunk": check_chunk(chunk), "window": window}
    options["sequences"] = pieces(check_cu_seqlens(cu_seqlens, sizes["B"], sizes["T"]), key_cu_seqlens, **sizes)
    q = q * (max(sizes["K"], 1) ** -0.5 if scale is None else float(scale))
    run: Any = {"chunk": _chunk, "recurrent": recurrent, "parallel": parallel}[form if sizes["T"] else "chunk"]
    out, lse = run(q, k, v, sink, **options)
    return (out, lse) if return_lse else out


def check_window(window: Any) -> None:
    if window is not None and (not isinstance(window, int | np.integer) or window < 1):
        raise ConfigError(
            explain("window is 1 or more: a query sees itself.", got=repr(window), fix="None for no window")
        )


def pieces(starts: Any, key_starts: Any, *, B: int, T: int, S: int, **_: int) -> tuple[tuple[slice, slice], ...]:
    """For each sequence, where its queries are and where its keys: one of each where nothing is packed."""
    if starts is None:
        starts, key_starts = (0, T), (0, S)
    else:
        key_starts = check_cu_seqlens(starts if key_starts is None else key_starts, B, S)
    found = [(slice(*a), slice(*b)) for a, b in zip(pairwise(starts), pairwise(key_starts))]
    counts = [(a.stop - a.start, b.stop - b.start) for a, b in found]
    if len(starts) != len(key_starts) or any(queries > keys for queries, keys in counts):
        rule = "The queries are the last tokens of their sequence: as many keys, or more."
        got = f"(queries, keys) of each sequence {counts}, {len(starts) - 1} and {len(key_starts) - 1} sequences"
        raise ShapeError(explain(rule, got=got, fix="k and v of the tokens before and of these: np.concatenate"))
    return tuple(found)


# ---------------------------------------------------------------------------------------------------------------------
# The definition. Numerators and Z overflow long before their quotient does, exp(89) in float32, so both are divided by
# exp(max_j s_ij): it cancels, and the largest term is 1.


def attend(q: Array, k: Array, v: Array, sink: Array | None, visible: Array | None = None) -> tuple[Array, Array]:
    """Queries (B, T, H, K), scaled, look at keys (B, S, G, K): all of them, or those that are visible (..., T, S).

    Plain NumPy, so it differentiates itself. Returns o (B, T, H, V), and log Z (B, T, H).
    """
    (B, T, H, K), G = q.shape, k.shape[2]
    q = np.moveaxis(q.reshape(B, T, G, H // G, K), 1, 3)  # (B, G, R, T, K)
    k, v = (np.moveaxis(x, 2, 1)[:, :, None] for x in (k, v))  # (B, G, 1, S, K or V)
    s = q @ k.mT
    if visible is not None:
        s = np.where(visible, s, -np.inf)
    largest = np.max(unwrap(s), -1, keepdims=True)
    if sink is not None:
        sink = sink.reshape(G, H // G, 1, 1)
        largest = np.maximum(largest, unwrap(sink))
    p = np.exp(s - largest)
    Z = p.sum(-1, keepdims=True)
    if sink is not None:
        Z = Z + np.exp(sink - largest)
    o, lse = p / Z @ v, largest + np.log(Z)
    o, lse = (np.moveaxis(x, 3, 1) for x in (o, lse))  # (B, T, G, R, V or 1)
    return o.reshape(B, T, H, v.shape[-1]), lse.reshape(B, T, H)


def recurrent(q, k, v, sink, *, window, sequences, chunk):
    """Query by query, over the keys so far."""
    outs = []
    for queries, keys in sequences:
        for i, q_i in enumerate(np.moveaxis(q[:, queries], 1, 0), keys.stop - queries.stop + queries.start):
            first = keys.start if window is None else max(keys.start, i + 1 - window)
            outs.append(attend(q_i[:, None], k[:, first : i + 1], v[:, first : i + 1], sink))
    return tuple(np.concatenate(parts, 1) for parts in zip(*outs))


def parallel(q, k, v, sink, *, window, sequences, chunk):
    """All queries at once: the matrix P."""
    outs = []
    for queries, keys in sequences:
        key = np.arange(keys.start, keys.stop, like=unwrap(q))
        i = key[keys.stop - keys.start - (queries.stop - queries.start) :, None]
        visible = key <= i if window is None else (key <= i) & (i - key < window)
        if len(i):
            outs.append(attend(q[:, queries], k[:, keys], v[:, keys], sink, visible))
    return tuple(np.concatenate(parts, 1) for parts in zip(*outs))


# ---------------------------------------------------------------------------------------------------------------------
# The chunk form. A block of C queries goes along the keys, some blocks of them at a time, and holds no more of P than
# that (the online softmax). With m the largest score so far, Z and A the sums of exp(s - m) and exp(s - m) v:
#
#     m' = max(m, max_j s_j)          r = exp(m - m')          p_j = exp(s_j - m')
#     Z' = r Z + sum_j p_j            A' = r A + sum_j p_j v_j                          at the end o = A / Z
#
# A sink is what m and Z start with. Of P only log Z = m + log Z is kept, one number a row: p_ij = exp(s_ij - log Z_i).

WIDTH = (
    16  # blocks at a time, of one query head: fewer and longer NumPy calls, and C WIDTH C scores still fit the cache
)
TILE = 1 << 16  # scores at a time: short sequences take several heads together


def chunk_forward(q, k, v, sink, *, window, sequences, chunk):
    """Arrays in, arrays out: o, and log Z."""
    (B, T, H, K), (_, S, G, V) = q.shape, v.shape
    out = np.empty_like(
        q, shape=(B, T, H, V), dtype=np.result_type(*(x for x in (q, k, v, sink) if x is not None)), order="C"
    )
    lse = np.empty_like(out, shape=(B, T, H))
    R = H // max(G, 1)

    def work(b, g):
        """For the batch elements b and the key heads g, and the query heads h that read them."""
        h = slice(g.start * R, g.stop * R)
        for queries, keys in sequences:
            q_, k_, v_ = by_head(q[b, queries, h], R), by_head(k[b, keys, g], 1), by_head(v[b, keys, g], 1)
            Z0 = None if sink is None else by_head(np.broadcast_to(sink[h, None], (*lse[b, queries, h].shape, 1)), R)
            o, log_Z = (np.empty_like(out, shape=(*q_.shape[:2], n)) for n in (V, 1))
            for n in some_heads(q_, k_, R, chunk):
                first = None if Z0 is None else Z0[n]
                forward_heads(q_[n], k_[n], v_[n], first, o[n], log_Z[n, :, 0], R=R, window=window, C=chunk)
            back_to_tokens(out[b, queries, h], o, R)
            back_to_tokens(lse[b, queries, h][..., None], log_Z, R)

    backend.in_parts(work, B, G, floats=(R * T + S) * (K + V))
    return out, lse


def forward_heads(q, k, v, sink, out, lse, *, R, window, C):
    """n heads: q (n, T R, K), k (n, S, K), v (n, S, V), sink (n, T R, 1) or None -> out (n, T R, V), lse (n, T R)."""
    T, S = q.shape[1] // R, k.shape[1]
    before, wide = S - T, wide_block(R, C)
    for i in range(0, T, C):
        end = min(i + C, T)
        rows = slice(i * R, end * R)
        A = np.zeros_like(out[:, rows])
        if sink is None:
            m, Z = np.full_like(A[..., :1], -np.inf), np.zeros_like(A[..., :1])
        else:
            m, Z = sink[:, rows], np.ones_like(A[..., :1])
        first = 0 if window is None else max(0, before + i + 1 - window)
        for j in range(first, before + end, wide):
            keys = slice(j, min(j + wide, before + end))
            p = q[:, rows] @ k[:, keys].mT
            hide(p, before + i, j, R, window)
            larger = np.maximum(m, p.max(-1, keepdims=True))  # finite: a row sees a key of its first block
            p -= larger
            np.exp(p, out=p)
            r = np.exp(m - larger)
            Z *= r
            Z += p.sum(-1, keepdims=True)
            A *= r
            A += p @ v[:, keys]
            m = larger
        out[:, rows] = A / Z
        lse[:, rows] = (m + np.log(Z))[..., 0]


# Going back, with P from log Z again, for given do_i and the cotangent dlse_i of log Z_i:
#
#     dv_j = sum_i p_ij do_i          dp_ij = do_i . v_j
#     ds_ij = p_ij (dp_ij - Delta_i)          Delta_i = sum_j p_ij dp_ij - dlse_i = do_i . o_i - dlse_i
#     dq_i = sum_j ds_ij k_j          dk_j = sum_i ds_ij q_i          dsink = -sum_i exp(sink - log Z_i) Delta_i
#
# Now a block of C keys goes along the queries, so that dk and dv are done when it has passed; only dq adds up. The
# scores are held transposed (keys, queries): log Z and Delta are then rows, which NumPy subtracts fastest.


def chunk_backward(cotangents, outs, inputs, needs, *, window, sequences, chunk):
    """The gradients of q, k, v and the sink, for cotangents of o and log Z."""
    (d_out, d_lse), (out, lse), (q, k, v, sink) = cotangents, outs, inputs
    (B, T, H, K), (_, S, G, V) = q.shape, v.shape
    d_out = np.zeros_like(out) if d_out is None else d_out
    dq, dk, dv = (np.empty_like(x) for x in (q, k, v))
    delta = np.empty_like(lse)
    R = H // max(G, 1)

    def work(b, g):
        h = slice(g.start * R, g.stop * R)
        delta[b, :, h] = (d_out[b, :, h] * out[b, :, h]).sum(-1)
        if d_lse is not None:
            delta[b, :, h] -= d_lse[b, :, h]
        for queries, keys in sequences:
            q_, do = by_head(q[b, queries, h], R), by_head(d_out[b, queries, h], R)
            log_Z, delta_ = (by_head(x[b, queries, h, None], R)[..., 0] for x in (lse, delta))
            k_, v_ = by_head(k[b, keys, g], 1), by_head(v[b, keys, g], 1)
            gradients = np.zeros_like(q_), np.empty_like(k_), np.empty_like(v_)
            for n in some_heads(q_, k_, R, chunk):
                own = (x[n] for x in (q_, k_, v_, do, log_Z, delta_, *gradients))
                backward_heads(*own, R=R, window=window, C=chunk)
            back_to_tokens(dq[b, queries, h], gradients[0], R)
            back_to_tokens(dk[b, keys, g], gradients[1], 1)
            back_to_tokens(dv[b, keys, g], gradients[2], 1)

    backend.in_parts(work, B, G, floats=2 * (R * T + S) * (K + V))
    return dq, dk, dv, None if sink is None else -(np.exp(sink - lse) * delta).sum((0, 1))


def backward_heads(q, k, v, do, lse, delta, dq, dk, dv, *, R, window, C):
    """n heads, as in forward_heads; lse and delta (n, T R); dq is 0 and is added to, dk and dv are written."""
    T, S = q.shape[1] // R, k.shape[1]
    before, wide = S - T, wide_block(R, C)
    for j in range(0, S, C):
        keys = slice(j, min(j + C, S))
        k_, v_ = k[:, keys], v[:, keys]
        dk_, dv_ = np.zeros_like(k_), np.zeros_like(v_)
        last = T if window is None else min(T, keys.stop - 1 + window - before)
        for i in range(max(0, j - before), last, wide):
            rows = slice(i * R, min(i + wide, last) * R)
            p = k_ @ q[:, rows].mT
            hide(p.mT, before + i, j, R, window)
            p -= lse[:, None, rows]
            np.exp(p, out=p)
            dv_ += p @ do[:, rows]
            ds = v_ @ do[:, rows].mT
            ds -= delta[:, None, rows]
            ds *= p
            dk_ += ds @ q[:, rows]
            dq[:, rows] += ds.mT @ k_
        dk[:, keys], dv[:, keys] = dk_, dv_


def hide(s, i, j, R, window):
    """The scores of keys that a query does not see become -inf, in place.

    s (n, rows, keys) has R rows for each query from position i on, and a key for each position from j on.
    """
    rows, keys = s.shape[-2:]
    query = i + np.arange(rows, like=s)[:, None] // R
    key = j + np.arange(keys, like=s)
    # Keys later than the query are right of column i, in the rows before the last key; keys that the window has left
    # are left of the column W before the last query, in the rows from W after the first key. Nothing else is touched.
    if j + keys - 1 > i:
        row, column = slice((j + keys - 1 - i) * R), slice(max(0, i + 1 - j), None)
        s[:, row, column] = np.where(key[column] <= query[row], s[:, row, column], -np.inf)
    last = i + rows // R - 1
    if window is not None and last - window >= j:
        row, column = slice(max(0, j + window - i) * R, None), slice(last - window - j + 1)
        s[:, row, column] = np.where(query[row] - key[column] < window, s[:, row, column], -np.inf)


def by_head(x, R):
    """(b, T, g R, K) -> (b g, T R, K): the heads of a group as rows side by side, so that they share a product."""
    b, T, H, K = x.shape
    return np.moveaxis(x.reshape(b, T, H // R, R, K), 2, 1).reshape(b * (H // R), T * R, K)


def back_to_tokens(out, x, R):
    """The inverse of `by_head`, into `out`."""
    b, T, H, K = out.shape
    out[...] = np.moveaxis(x.reshape(b, H // R, T, R, K), 1, 2).reshape(out.shape)


def wide_block(R, C):
    """Tokens of the longer side of a block of scores: the other has C, and R query heads have rows in it."""
    return max(1, WIDTH // R) * C


def some_heads(q, k, R, C):
    """Slices of the heads, such that about TILE scores are held at a time."""
    scores = R * min(C, q.shape[1] // R) * min(wide_block(R, C), k.shape[1])
    step = max(1, TILE // max(scores, 1))
    return [slice(n, n + step) for n in range(0, q.shape[0], step)]


_chunk = backend.mirrored("softmax_attention")(
    Primitive(chunk_forward, backward=chunk_backward, reference=parallel, name="softmax_attention")
)


def merge_attention(o1: Array, lse1: Array, o2: Array, lse2: Array) -> tuple[Array, Array]:
    """What attention over two disjoint sets of keys is together.

        o = c o1 + (1 - c) o2,   c = Z1 / (Z1 + Z2) = sigmoid(log Z1 - log Z2);   log Z = log(Z1 + Z2)

    Args:
        o1, o2: (B, T, H, V), over the one set and the other.
        lse1, lse2: log Z of each, (B, T, H); -inf where a query saw no key. A sink belongs to one of them only.

    Returns:
        o (B, T, H, V) and log Z (B, T, H).

    Raises:
        ShapeError: axes that do not fit together.

    Cost:
        B T H V multiplications.

    Source:
        Dao et al. 2022, arXiv 2205.14135, section 3.1.
    """
    sizes: dict[str, int] = {}
    for name, x, axes in ("o1", o1, "B T H V"), ("lse1", lse1, "B T H"), ("o2", o2, "B T H V"), ("lse2", lse2, "B T H"):
        check_axes(name, x, axes, sizes, example="o1")
    neither = (unwrap(lse1) == -np.inf) & (unwrap(lse2) == -np.inf)
    c = sigmoid(np.where(neither, 0, lse1) - np.where(neither, 0, lse2))[..., None]
    return c * o1 + (1 - c) * o2, np.logaddexp(lse1, lse2)
