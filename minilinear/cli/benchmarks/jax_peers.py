"""The chunk forms in jax, by the same algorithm: the forward, jax.vjp, jax.jit. jax is imported when one is prepared.

A scan goes from chunk to chunk. The gates are as exact as those in torch_gates.py, and are chosen in the same way. XLA
makes one thread for each core that its process may run on, which worker.py has set before.

Axes as in recurrence/householder.py; rows of a chunk are its tokens' steps, (B, H, N, C R, K).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...recurrence.decay import MILD

C = 64


def chunk_form(inputs: Any) -> Callable[[], list]:
    """Linear attention, or with beta the delta rule: the output and its gradients."""
    import jax
    import jax.numpy as jnp

    arrays, d_out = inputs
    leaves, d_out = {name: jnp.asarray(x) for name, x in arrays.items()}, jnp.asarray(d_out)

    def forward_and_backward(leaves: dict[str, Any], d_out: Any, mild: bool) -> list:
        o, backward = jax.vjp(lambda leaves: chunks(**leaves, mild=mild), leaves)
        gradients = backward(d_out)[0]
        return [o, *(gradients[name] for name in arrays)]

    jitted = jax.jit(forward_and_backward, static_argnames="mild")
    is_mild = jax.jit(lambda g: (_cut(g).sum(3) > -MILD).all())

    def compute() -> list:
        mild = "g" in leaves and leaves["g"].ndim == 4 and bool(is_mild(leaves["g"]))
        return jax.block_until_ready(jitted(leaves, d_out, mild=mild))

    return compute


def chunks(q: Any, k: Any, v: Any, beta: Any = None, g: Any = None, *, mild: bool) -> Any:
    """o (B, T, H, V). q (B, T, H, K), k and v (B, T, H, K) or (B, T, R, H, K), beta alike."""
    import jax
    import jax.numpy as jnp

    R = 1 if k.ndim == 4 else k.shape[2]
    q, k, v = _cut(q * q.shape[-1] ** -0.5), _steps(k), _steps(v)
    scores, prefix, suffix = gate(g, mild)
    M = jnp.where(jnp.arange(C * R) // R <= jnp.arange(C)[:, None], scores(q, k), 0)
    written, keep = (k * _each_step(suffix, k)).mT, prefix[..., -1, :, None]
    keep = jnp.broadcast_to(keep, (*k.shape[:3], *keep.shape[-2:]))
    empty = jnp.zeros((*k.shape[:2], k.shape[-1], v.shape[-1]))
    if beta is None:

        def step(S: Any, chunk: Any) -> tuple[Any, Any]:
            keep, added = chunk
            return keep * S + added, S

        states, X = _scan(step, empty, (keep, written @ v)), v
    else:
        b = _steps(beta[..., None])
        A = jnp.tril(scores(b * k, k), -1)
        right = jnp.concatenate([b * k * _each_step(prefix, k), b * v], -1)
        T = unit_lower_inverse(jax.lax.stop_gradient(A))
        solve, transposed = (lambda _, b: T @ b), (lambda _, b: T.mT @ b)  # and no gradient of the inverse
        solved = jax.lax.custom_linear_solve(lambda x: x + A @ x, right, solve, transposed)
        W, U = jnp.split(solved, [k.shape[-1]], -1)

        def correct(S: Any, chunk: Any) -> tuple[Any, Any]:
            keep, written, W, U = chunk
            X = U - W @ S
            return keep * S + written @ X, (S, X)

        states, X = _scan(correct, empty, (keep, written, W, U))
    o = (q * prefix) @ states + M @ X
    return jnp.moveaxis(o, 1, 3).reshape(o.shape[0], -1, o.shape[1], o.shape[-1])


def unit_lower_inverse(A: Any) -> Any:
    """(I + A)^-1 by joining inverses of ever larger blocks, as in recurrence/triangular.py, for a power of two of rows.

    jax.scipy.linalg.solve_triangular would be shorter, but for these batches it did not come back in some runs of jax
    0.10.2 on a CPU of 2 cores.
    """
    import jax.numpy as jnp

    *lead, m, _ = A.shape
    T, s = jnp.ones((*lead, m, 1, 1)), 1
    while s < m:
        i = jnp.arange(m // (2 * s))
        quarters = A.reshape(*lead, len(i), 2, s, len(i), 2, s)
        corner = jnp.moveaxis(quarters[:, :, :, i, 1, :, i, 0], 0, 3)
        left, right = T[:, :, :, 0::2], T[:, :, :, 1::2]
        lower = jnp.concatenate([-right @ corner @ left, right], -1)
        T, s = jnp.concatenate([jnp.concatenate([left, jnp.zeros_like(left)], -1), lower], -2), 2 * s
    return T[..., 0, :, :]


def _scan(step: Callable[..., Any], start: Any, chunks: Any) -> Any:
    """What `step` gives for each chunk, along axis 2."""
    import jax
    import jax.numpy as jnp

    _, found = jax.lax.scan(step, start, jax.tree.map(lambda x: jnp.moveaxis(x, 2, 0), chunks))
    return jax.tree.map(lambda x: jnp.moveaxis(x, 0, 2), found)


def _cut(x: Any) -> Any:
    """(B, T, H, D) -> (B, H, N, C, D)."""
    import jax.numpy as jnp

    B, _, H, D = x.shape
    return jnp.moveaxis(x.reshape(B, -1, C, H, D), 3, 1)


def _steps(x: Any) -> Any:
    """(B, T, R, H, D) -> (B, H, N, C R, D), and (B, T, H, D) as with R = 1."""
    import jax.numpy as jnp

    if x.ndim == 4:
        return _cut(x)
    B, _, R, H, D = x.shape
    return jnp.moveaxis(x.reshape(B, -1, C * R, H, D), 3, 1)


def _each_step(factor: Any, rows: Any) -> Any:
    """A factor for each token (..., C, K) as one for each of its rows (..., C R, K)."""
    return factor.repeat(rows.shape[-2] // factor.shape[-2], -2)


# ---------------------------------------------------------------------------------------------------------------------


def gate(g: Any, mild: bool) -> tuple[Callable[..., Any], Any, Any]:
    """How rows score against rows, where column's token <= row's token; the decay from a chunk's start to each token
    and from each token to the chunk's end, (B, H, N, C, 1 or K).
    """
    import jax.numpy as jnp

    if g is None:
        one = jnp.ones((1, 1, 1, C, 1))
        return lambda x, y: x @ y.mT, one, one
    g = _cut(g if g.ndim == 4 else g[..., None])
    prefix, suffix = jnp.exp(g.cumsum(-2)), jnp.exp(_later(g))
    if g.shape[-1] == 1:
        earlier = jnp.tri(C, k=-1)
        between = jnp.tril(jnp.exp((g * earlier).cumsum(-2)))  # from column to row

        def scores(x: Any, y: Any) -> Any:
            r, R = x.shape[-2] // C, y.shape[-2] // C
            return x @ y.mT * between.repeat(r, -2).repeat(R, -1)

    elif mild:
        middle = C // 2
        c = jnp.concatenate([-_later(g[..., :middle, :]), g[..., middle:, :].cumsum(-2)], -2)  # from the middle

        def scores(x: Any, y: Any) -> Any:
            return (x * _each_step(jnp.exp(c), x)) @ (y * _each_step(jnp.exp(-c), y)).mT

    else:

        def scores(x: Any, y: Any) -> Any:
            return by_halving(x, y, g)

    return scores, prefix, suffix


def by_halving(x: Any, y: Any, g: Any) -> Any:
    """The scores inside a block of tokens: its two halves, and the right half's rows against the left half's, decayed
    up to the cut and from it. Columns of later tokens are 0.
    """
    import jax.numpy as jnp

    blocks = lambda z, n: z.reshape(*z.shape[:3], n, z.shape[3] // n, z.shape[4])
    E = blocks(x, C) @ blocks(y, C).mT  # inside a token
    n = C // 2
    while n:
        (_, x_right), (y_left, _), (g_left, g_right) = (jnp.split(blocks(z, n), 2, -2) for z in (x, y, g))
        to_cut, from_cut = jnp.exp(_later(g_left)), jnp.exp(g_right.cumsum(-2))
        corner = (x_right * _each_step(from_cut, x_right)) @ (y_left * _each_step(to_cut, y_left)).mT
        top, bottom = E[:, :, :, 0::2], E[:, :, :, 1::2]
        E = jnp.concatenate(
            [jnp.concatenate([top, jnp.zeros_like(top)], -1), jnp.concatenate([corner, bottom], -1)], -2
        )
        n //= 2
    return E[:, :, :, 0]


def _later(g: Any) -> Any:
    """Sums over all later tokens, without the token's own, by addition alone."""
    import jax.numpy as jnp

    later = jnp.concatenate([g[..., 1:, :], jnp.zeros_like(g[..., :1, :])], -2)
    return jnp.flip(jnp.flip(later, -2).cumsum(-2), -2)
