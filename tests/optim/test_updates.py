"""Every optimizer is its written update: each map of each Parameter by itself, in the letters of the papers.

An entry of `WRITTEN` is the update of one map, or of one vector, for one step: `s` is a dictionary that it keeps for
this map from step to step, `o` the options of the optimizer.
"""

import math

import numpy as np
import pytest

from minilinear.nn import Parameter
from minilinear.optim import OPTIMIZERS, AdaGradNorm, Group
from tests.optim.cases import draw
from tests.recurrence.cases import close


class Map:
    """One map of a Parameter: its columns, what it is, and what the update keeps for it."""

    def __init__(self, p, a, b):
        self.columns, self.x, self.s = (..., slice(a, b)) if p.ndim else (...,), None, {}
        self.x = np.array(p.data[self.columns])
        self.matrix = p.ndim >= 2 and p.role != "vector"
        self.hidden = p.ndim == 2 and p.role == "hidden"
        self.embedding = p.role == "embedding"


def maps(p):
    ends = np.cumsum(p.parts or (p.shape[-1] if p.ndim else 1,))
    return [Map(p, int(b) - n, int(b)) for b, n in zip(ends, p.parts or (int(ends[0]),))]


def norm(a):
    return math.sqrt(float((np.asarray(a) ** 2).sum()))


def sgd(w, g, s, t, lr, wd, o, _):
    g = g + wd * w
    s["b"] = g if t == 1 else o["momentum"] * s["b"] + (1 - o.get("dampening", 0)) * g
    return w - lr * (g + o["momentum"] * s["b"] if o.get("nesterov") else s["b"])


def m_hat_v_hat(g, s, t, o):
    b1, b2 = o["betas"]
    s["m"] = b1 * s.get("m", 0) + (1 - b1) * g
    s["v"] = b2 * s.get("v", 0) + (1 - b2) * g**2
    return s["m"] / (1 - b1**t), s["v"] / (1 - b2**t)


def adam(w, g, s, t, lr, wd, o, _):
    m, v = m_hat_v_hat(g + wd * w, s, t, o)
    return w - lr * m / (np.sqrt(v) + o["eps"])


def adamw(w, g, s, t, lr, wd, o, _):
    m, v = m_hat_v_hat(g, s, t, o)
    return (1 - lr * wd) * w - lr * m / (np.sqrt(v) + o["eps"])


def adagrad(w, g, s, t, lr, wd, o, _):
    g = g + wd * w
    s["G"] = s.get("G", o["initial_sum"]) + g**2
    return w - lr * g / (np.sqrt(s["G"]) + o["eps"])


def lars(w, g, s, t, lr, wd, o, at):
    r = o["trust"] * norm(w) / (norm(g) + wd * norm(w) + o["eps"]) if at.matrix else 1
    s["b"] = o["momentum"] * s.get("b", 0) + lr * r * (g + wd * w)
    return w - s["b"]


def lamb(w, g, s, t, lr, wd, o, at):
    m, v = m_hat_v_hat(g, s, t, o)
    u = m / (np.sqrt(v) + o["eps"]) + wd * w
    r = np.clip(norm(w), *o["clamp"]) / norm(u) if at.matrix else 1
    return w - lr * r * u


def projected(p, w, g, o, at):
    """A loop over output units, then the whole: rows of an embedding, columns of all else."""
    if not at.matrix:
        return p, 1
    rows = [a.reshape(-1, a.shape[-1]) for a in (p, w, g)]
    rows = rows if at.embedding else [a.T for a in rows]
    for view in rows, [a.reshape(1, -1) for a in rows]:
        ps, ws, gs = view
        n = ws.shape[1]
        if max(abs(gi @ wi) / (norm(gi) * norm(wi) + o["eps"]) for gi, wi in zip(gs, ws)) < o["delta"] / math.sqrt(n):
            hats = [wi / (norm(wi) + o["eps"]) for wi in ws]
            out = np.array([pi - hat * (hat @ pi) for pi, hat in zip(ps, hats)]).reshape(rows[0].shape)
            return (out if at.embedding else out.T).reshape(p.shape), o["ratio"]
    return p, 1


def sgdp(w, g, s, t, lr, wd, o, at):
    mu = o["momentum"]
    s["b"] = mu * s.get("b", 0) + g
    p, rho = projected(g + mu * s["b"] if o["nesterov"] else s["b"], w, g, o, at)
    return (1 - lr * wd * rho / (1 - mu)) * w - lr * p


def adamp(w, g, s, t, lr, wd, o, at):
    b1 = o["betas"][0]
    m, v = m_hat_v_hat(g, s, t, o)
    m = (b1 * s["m"] + (1 - b1) * g) / (1 - b1**t) if o["nesterov"] else m
    p, rho = projected(m / (np.sqrt(v) + o["eps"]), w, g, o, at)
    return (1 - lr * wd * rho) * w - lr * p


def muon(W, G, s, t, lr, wd, o, at):
    if not at.hidden:
        return adamw(W, G, s, t, lr * o["adam_lr"], wd, o, at)
    mu, (n_in, n_out) = o["momentum"], W.shape
    s["B"] = mu * s.get("B", 0) + (1 - mu) * G
    U = (1 - mu) * G + mu * s["B"] if o["nesterov"] else s["B"]
    L, sigma, R = np.linalg.svd(U, full_matrices=False)
    sigma = sigma / (norm(U) + 1e-7)
    for _ in range(o["steps"]):
        sigma = 3.4445 * sigma - 4.7750 * sigma**3 + 2.0315 * sigma**5
    c = 0.2 * math.sqrt(max(n_in, n_out)) if o["adjust"] == "match_rms_adamw" else math.sqrt(max(1, n_out / n_in))
    return (1 - lr * wd) * W - lr * c * (L * sigma) @ R


def conda(W, G, s, t, lr, wd, o, at):
    if not at.hidden:
        return adamw(W, G, s, t, lr, wd, o, at)
    b1, b2 = o["betas"]
    s["M"] = b1 * s.get("M", 0) + (1 - b1) * G
    M, left = s["M"], W.shape[0] <= W.shape[1]
    if (t - 1) % o["gap"] == 0:
        L, _, R = np.linalg.svd(M)
        s["Q"] = L if left else R.T  # columns are singular vectors
    Q = s["Q"]
    g, m = (Q.T @ G, Q.T @ M) if left else (G @ Q, M @ Q)
    s["V"] = b2 * s.get("V", 0) + (1 - b2) * g**2
    N = (m / (1 - b1**t)) / (np.sqrt(s["V"] / (1 - b2**t)) + o["eps"])
    return (1 - lr * wd) * W - lr * o["scale"] * (Q @ N if left else N @ Q.T)


ADAM = {"lr": 0.03, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.2}
PROJECTED = {"lr": 0.03, "delta": 0.9, "ratio": 0.3, "eps": 1e-3, "weight_decay": 0.2}
MUON = ADAM | {"momentum": 0.7, "steps": 3, "adam_lr": 0.4}
WRITTEN = [
    ("sgd", sgd, {"lr": 0.03, "momentum": 0.8, "dampening": 0.3, "weight_decay": 0.2}),
    ("momentum", sgd, {"lr": 0.03, "momentum": 0.9, "weight_decay": 0.2}),
    ("nesterov", sgd, {"lr": 0.03, "momentum": 0.9, "nesterov": True}),
    ("adam", adam, ADAM),
    ("adamw", adamw, ADAM),
    ("adagrad", adagrad, {"lr": 0.3, "eps": 1e-2, "initial_sum": 0.2, "weight_decay": 0.2}),
    ("lars", lars, {"lr": 0.5, "momentum": 0.8, "trust": 0.1, "weight_decay": 0.2, "eps": 1e-2}),
    ("lamb", lamb, ADAM | {"clamp": (0.0, math.inf)}),
    ("lamb", lamb, ADAM | {"clamp": (4.0, 5.0)}),
    ("sgdp", sgdp, PROJECTED | {"momentum": 0.8, "nesterov": False}),
    ("sgdp", sgdp, PROJECTED | {"momentum": 0.8, "nesterov": True}),
    ("adamp", adamp, PROJECTED | {"betas": (0.8, 0.95), "nesterov": False}),
    ("adamp", adamp, PROJECTED | {"betas": (0.8, 0.95), "nesterov": True}),
    ("muon", muon, MUON | {"nesterov": True, "adjust": "original"}),
    ("muon", muon, MUON | {"nesterov": False, "adjust": "match_rms_adamw"}),
    ("conda", conda, ADAM | {"scale": 0.4, "gap": 5}),
]


@pytest.mark.parametrize(("name", "written", "options"), WRITTEN, ids=lambda x: x if isinstance(x, str) else "")
def test_it_is_the_written_update(name, written, options):
    """With a rate that changes, and two groups with factors of their own."""
    parameters, gradients = draw()
    groups = [Group(parameters[:4], lr=0.5, weight_decay=3.0), *parameters[4:]]
    factors = [(0.5, 3.0)] * 4 + [(1.0, 1.0)] * (len(parameters) - 4)
    optimizer = OPTIMIZERS[name](groups, **options)
    expected = [maps(p) for p in parameters]
    for t, gs in enumerate(gradients, 1):
        lr = options["lr"] * 0.9**t
        optimizer.step(gs, lr=lr)
        for p, g, (lr_factor, wd_factor), parts in zip(parameters, gs, factors, expected):
            wd = options.get("weight_decay", 0) * wd_factor if p.decay else 0
            for at in parts:
                at.x = written(at.x, g[at.columns], at.s, t, lr * lr_factor, wd, options, at)
                close(p.data[at.columns], at.x, 1e-11)


def test_every_optimizer_is_written_down_here():
    assert {name for name, _, _ in WRITTEN} | {"adagrad_norm"} == set(OPTIMIZERS)


def test_the_tests_of_the_projections_see_both_outcomes():
    """Otherwise one of the two branches would be compared with nothing."""
    parameters, gradients = draw()
    o, seen = PROJECTED, set()
    for p, g in zip(parameters, gradients[0]):
        for at in maps(p):
            seen.add((at.matrix, projected(at.x, at.x, g[at.columns], o, at)[1]))
    assert seen == {(False, 1), (True, 1), (True, 0.3)}


@pytest.mark.parametrize("per", ["tensor", "row", "global"])
def test_adagrad_norm_is_the_written_update(per):
    parameters, gradients = draw()
    optimizer = OPTIMIZERS["adagrad_norm"](parameters, lr=0.7, b0=0.3, per=per)
    x, s = [p.data.copy() for p in parameters], [0.09] * len(parameters)
    for gs in gradients:
        optimizer.step(gs)
        for i, (p, g) in enumerate(zip(parameters, gs)):
            if per == "global":
                square = sum((h**2).sum() for h in gs)
            elif per == "tensor":
                square = (g**2).sum()
            elif p.role == "embedding":
                square = (g**2).sum(1, keepdims=True)
            else:
                square = (g**2).reshape(-1, g.shape[-1]).sum(0) if g.ndim else g**2
            s[i] = s[i] + square
            x[i] = x[i] - 0.7 * g / np.sqrt(s[i])
            close(p.data, x[i], 1e-13)


def test_adagrad_norm_keeps_the_direction_of_the_gradient():
    p, g = Parameter(np.zeros((3, 4))), np.random.default_rng(0).standard_normal((3, 4))
    AdaGradNorm([p]).step([g])
    close(p.data / g, np.full((3, 4), (p.data / g)[0, 0]), 1e-13)
