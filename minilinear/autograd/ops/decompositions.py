"""Inverse, determinant, and the decompositions of real matrices.

Each rule is the differential of the defining equations, solved for the factors. Q, U, V and eigenvectors turn
infinitely fast where two singular values or eigenvalues meet, and R cannot be inverted where columns depend on each
other: there the backward raises NoGradient, because every number it could give would be inf or noise.

Sources: M. Giles, An extended collection of matrix derivative results for forward and reverse mode algorithmic
differentiation (2008), for inverse, determinant, eigenvalues and singular values; I. Murray, Differentiation of the
Cholesky decomposition, arXiv:1602.07527; S. F. Walter and L. Lehmann, Algorithmic differentiation of linear algebra
functions, arXiv:1001.1654, for QR; G. Golub and V. Pereyra, The differentiation of pseudo-inverses (1973).
"""

import numpy as np

from ...errors import NoGradient, WrongValue, explain
from ..core import IMPLEMENTATIONS, unwrap
from ..primitive import Primitive, composition, define
from .complex_numbers import real_only
from .linalg import solve_triangular

# NumPy's results have named parts, and so have these.
QRResult = type(np.linalg.qr(np.ones((1, 1))))
EighResult = type(np.linalg.eigh(np.ones((1, 1))))
SVDResult = type(np.linalg.svd(np.ones((1, 1))))
SlogdetResult = type(np.linalg.slogdet(np.ones((1, 1))))


def refuse(where, rule, fix) -> None:
    if where.any():
        raise NoGradient(explain(rule, fix=fix, see="decompositions"))


def rounding(x):
    """Differences below this are rounding: what x consists of, largest entry in front, is known to about this."""
    return x.shape[-1] * float(np.finfo(x.dtype).eps) * np.abs(x[..., :1])


def symmetric(x):
    return (x + x.mT) / 2


def eye_like(x):
    return np.identity(x.shape[-1], x.dtype, like=unwrap(x))


def one_over_gaps(x):
    """1 / (x_j - x_i) in row i and column j, 0 on the diagonal."""
    eye = eye_like(x)
    return (1 - eye) / (x[..., None, :] - x[..., :, None] + eye)


# d(A^-1) = -A^-1 dA A^-1
define(np.linalg.inv, lambda g, out, a: -out.mT @ g @ out.mT)


@composition(np.linalg.matrix_power)
def matrix_power(a, n):
    """By squaring: log2 n products and at most as many more."""
    if n < 0:
        return matrix_power(np.linalg.inv(a), -n)
    if n == 0:
        return np.broadcast_to(eye_like(a), a.shape)
    if n == 1:
        return a
    half = matrix_power(a, n // 2)
    return half @ half @ a if n % 2 else half @ half


def det_rule(g, out, a):
    """d det A = det A tr(A^-1 dA)"""
    refuse(unwrap(out) == 0, "The gradient of det needs the inverse, and this matrix has none.", "slogdet of A + eps I")
    return (g * out)[..., None, None] * np.linalg.inv(a).mT


define(np.linalg.det, det_rule)


def slogdet_backward(gs, outs, arrays, needs):
    """d log det A = tr(A^-1 dA): its real part moves log |det|, its imaginary part turns the sign."""
    (g_sign, g_log), (sign, _), (a,) = gs, outs, arrays
    refuse(unwrap(sign) == 0, "log |det A| of a singular matrix is -inf, and has no gradient.", "slogdet of A + eps I")
    g = np.zeros_like(outs[1]) if g_log is None else g_log
    if g_sign is not None and a.dtype.kind == "c":
        g = g + (g_sign * sign).imag * 1j
    return [g[..., None, None] * np.linalg.inv(a).mT]


sign_and_log = Primitive(lambda a: tuple(np.linalg.slogdet(a)), backward=slogdet_backward, name="slogdet")


@composition(np.linalg.slogdet)
def slogdet(a):
    return SlogdetResult(*sign_and_log(a))


def cholesky_rule(g, out, a):
    """A = L L^T:  dL = L Phi(L^-1 dA L^-T), where Phi keeps the lower triangle and halves the diagonal.

    Only the symmetric part of A counts: the gradient is symmetric, although NumPy reads the lower triangle alone.
    """
    p = out.mT @ g
    p = np.tril(p) - p * (eye_like(a) / 2)
    left = solve_triangular(out.mT, p, lower=False)  # L^-T P
    return symmetric(solve_triangular(out.mT, left.mT, lower=False))  # (L^-T P L^-1)^T


define(np.linalg.cholesky, cholesky_rule)


def qr_backward(gs, outs, arrays, needs):
    """A = Q R:  dA = (dQ + Q sym) R^-T, sym the symmetric matrix with the lower triangle of R dR^T - dQ^T Q.

    With more columns than rows, A = [X Y] and R = [R_x Q^T Y]: Y moves its part of R, and Q through it.
    """
    (q, r), (a,) = outs, arrays
    g_q, g_r = (np.zeros_like(y) if g is None else g for g, y in zip(gs, outs))
    m, n = a.shape[-2:]
    if n > m:
        g_y, y = q @ g_r[..., m:], a[..., m:]
        g_q, g_r, r = g_q + y @ g_r[..., m:].mT, g_r[..., :m], r[..., :m]
    pivots = np.abs(np.diagonal(unwrap(r), 0, -2, -1))
    refuse(
        pivots <= rounding(np.sort(pivots)[..., ::-1]),
        "The gradient of qr needs linearly independent columns (the first m of them, if there are more than m rows).",
        "fewer columns, or np.linalg.svd",
    )
    s = r @ g_r.mT - g_q.mT @ q
    s = np.tril(s) + np.tril(s, -1).mT
    g_x = solve_triangular(r, (g_q + q @ s).mT, lower=False).mT
    return [np.concatenate([g_x, g_y], -1) if n > m else g_x]


factors = Primitive(lambda a: tuple(np.linalg.qr(a)), backward=qr_backward, name="qr")
real_only(factors)


@composition(np.linalg.qr)
def qr(a, mode="reduced"):
    if mode not in ("reduced", "complete") or (mode == "complete" and a.shape[-2] > a.shape[-1]):
        raise WrongValue(
            explain(
                "qr of a Tensor is the reduced one: further columns of Q are arbitrary, and have no gradient.",
                got=f"mode={mode!r} for shape {a.shape}",
                fix='mode="reduced"',
                see="decompositions",
            )
        )
    return QRResult(*factors(a))


def eigh_backward(gs, outs, arrays, needs):
    """A V = V diag(w), V^T V = I:  dw = diag(V^T dA V),  dV = V (F * V^T dA V),  F_ij = 1 / (w_j - w_i)."""
    (g_w, g_v), (w, v) = gs, outs
    if g_v is None:
        return [v * g_w[..., None, :] @ v.mT]
    largest = np.sort(np.abs(unwrap(w)))[..., ::-1]
    refuse(
        unwrap(w)[..., 1:] - unwrap(w)[..., :-1] <= rounding(largest),
        "Eigenvectors have no gradient where two eigenvalues are equal: any basis of their plane would do.",
        "a loss of the eigenvalues alone (np.linalg.eigvalsh), or of A itself",
    )
    inner = one_over_gaps(w) * (v.mT @ g_v)
    if g_w is not None:
        inner = inner + g_w[..., None, :] * eye_like(w)
    return [symmetric(v @ inner @ v.mT)]


eigen = Primitive(
    lambda a, UPLO: tuple(np.linalg.eigh(a, UPLO)),
    backward=lambda gs, outs, arrays, needs, UPLO: eigh_backward(gs, outs, arrays, needs),
    name="eigh",
)
real_only(eigen)


@composition(np.linalg.eigh)
def eigh(a, UPLO="L"):
    """Only the symmetric part of A counts, as in cholesky."""
    return EighResult(*eigen(a, UPLO=UPLO))


@composition(np.linalg.eigvalsh)
def eigvalsh(a, UPLO="L"):
    return eigen(a, UPLO=UPLO)[0]


def svd_backward(gs, outs, arrays, needs):
    """A = U S V^T. The values: dS = diag(U^T dA V), always. With F_ij = 1 / (s_j^2 - s_i^2) the vectors turn by
    U^T dU = F * (P S + S P^T) and V^T dV = F * (S P + P^T S), P = U^T dA V, and leave their plane by dA V S^-1 and
    dA^T U S^-1. This is the transpose of that.
    """
    (g_u, g_s, g_vt), (u, s, vt) = gs, outs
    if g_u is None and g_vt is None:
        return [u * g_s[..., None, :] @ vt]
    raw = unwrap(s)
    below = np.concatenate([raw[..., 1:], np.zeros_like(raw[..., :1])], -1)  # the next value, and zero after the last
    refuse(
        raw - below <= rounding(raw),
        "Singular vectors have no gradient where singular values are equal or zero: any basis of their plane would do.",
        "a loss of the singular values alone (compute_uv=False), or of A itself",
    )
    row, column, eye = s[..., None, :], s[..., :, None], eye_like(s)
    f = one_over_gaps(s) / (row + column)
    inner = eye * (0 if g_s is None else g_s[..., None, :])
    outside = 0
    if g_u is not None:
        p = u.mT @ g_u
        inner = inner + f * (p - p.mT) * row
        if u.shape[-2] > u.shape[-1]:
            outside = (g_u - u @ p) / row @ vt
    if g_vt is not None:
        p = vt @ g_vt.mT
        inner = inner + column * f * (p - p.mT)
        if vt.shape[-1] > vt.shape[-2]:
            outside = outside + u @ ((g_vt - p.mT @ vt) / column)
    return [u @ inner @ vt + outside]


singular = Primitive(lambda a: tuple(np.linalg.svd(a, full_matrices=False)), backward=svd_backward, name="svd")
real_only(singular)


@composition(np.linalg.svd)
def svd(a, full_matrices=True, compute_uv=True):
    if full_matrices and compute_uv and a.shape[-2] != a.shape[-1]:
        raise WrongValue(
            explain(
                "svd of a Tensor is the reduced one: further columns of U and V are arbitrary, and have no gradient.",
                got=f"full_matrices=True for shape {a.shape}",
                fix="full_matrices=False",
                see="decompositions",
            )
        )
    u, s, vt = singular(a)
    return SVDResult(u, s, vt) if compute_uv else s


def pinv_rule(g, out, a, rcond=None):
    """dP = -P dA P + P P^T dA^T (I - A P) + (I - P A) dA^T P^T P, as long as the rank stays what it is."""
    p, pt, gt = out, out.mT, g.mT
    return (gt - a @ (p @ gt)) @ p @ pt + pt @ p @ (gt - (gt @ p) @ a) - pt @ g @ pt


define(np.linalg.pinv, pinv_rule)
real_only(IMPLEMENTATIONS[np.linalg.pinv])
real_only(IMPLEMENTATIONS[np.linalg.cholesky])
