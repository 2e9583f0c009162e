"""The same computation in PyTorch, in float64: the same value and the same gradients to the last digits."""

import numpy as np
import pytest

import minilinear as ml
from minilinear import autograd as ag
from tests.autograd.cases import leaf

pytestmark = pytest.mark.peers
rng = np.random.default_rng(0)


def compare(ours, theirs, arrays):
    """The value of `ours(*tensors)` and `theirs(*torch tensors)`, and the gradient of each input."""
    import torch

    mine = [leaf(a) for a in arrays]
    others = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, z = ours(*mine), theirs(*others)
    gradients = torch.autograd.grad(z, others, create_graph=True)
    again = torch.autograd.grad(sum((g * g).sum() for g in gradients), others)
    got = ml.grad(y, mine, create_graph=True)
    got_again = ml.grad(sum((g * g).sum() for g in got), mine)
    pairs = zip([y, *ml.grad(y, mine), *got, *got_again], [z, *gradients, *gradients, *again])
    for a, b in pairs:
        np.testing.assert_allclose(a.data, b.detach().numpy(), rtol=1e-12, atol=1e-12)


def test_perceptron_with_cross_entropy():
    import torch

    x, targets = rng.standard_normal((6, 4)), np.array([0, 2, 1, -1, 2, 0])
    shapes = [(4, 8), (8,), (8, 8), (8,), (8, 3), (3,)]

    def ours(w1, b1, w2, b2, w3, b3):
        h = ag.silu(ag.linear(np.tanh(ag.linear(x, w1, b1)), w2, b2))
        return ag.cross_entropy(ag.linear(h, w3, b3), targets)

    def theirs(w1, b1, w2, b2, w3, b3):
        F = torch.nn.functional
        h = F.silu(torch.tanh(torch.tensor(x) @ w1 + b1) @ w2 + b2)
        return F.cross_entropy(h @ w3 + b3, torch.tensor(targets), ignore_index=-1)

    compare(ours, theirs, [0.5 * rng.standard_normal(s) for s in shapes])


def test_softmax_attention_with_a_norm():
    import torch

    shapes = [(2, 5, 4), (2, 5, 4), (2, 5, 3), (3,)]
    seen = np.tril(np.ones((5, 5), bool))

    def ours(q, k, v, w):
        scores = np.where(seen, q @ k.mT / np.sqrt(4), -1e30)
        out = ag.softmax(scores) @ v
        out = out / np.sqrt(np.mean(out * out, axis=-1, keepdims=True) + 1e-6) * w
        return (out**2).sum() + ag.logsumexp(out, axis=1).sum()

    def theirs(q, k, v, w):
        scores = torch.where(torch.tensor(seen), q @ k.mT / 2, -1e30)
        out = torch.softmax(scores, -1) @ v
        out = out / torch.sqrt((out * out).mean(-1, keepdim=True) + 1e-6) * w
        return (out**2).sum() + torch.logsumexp(out, 1).sum()

    compare(ours, theirs, [rng.standard_normal(s) for s in shapes])


def test_a_gated_recurrence_with_an_embedding():
    import torch

    ids = np.array([1, 0, 2, 1])

    def ours(table, gate, state):
        for x_t in table[ids]:
            g = ag.sigmoid(x_t * gate)
            state = g * state + ag.softplus(x_t) * (1 - g)
        return (state * ag.log_softmax(state)).sum()

    def theirs(table, gate, state):
        for x_t in table[torch.tensor(ids)]:
            g = torch.sigmoid(x_t * gate)
            state = g * state + torch.nn.functional.softplus(x_t) * (1 - g)
        return (state * torch.log_softmax(state, -1)).sum()

    compare(ours, theirs, [rng.standard_normal(s) for s in [(3, 4), (4,), (4,)]])


def test_solves_einsum_and_variance():
    import torch

    a = np.tril(rng.standard_normal((2, 4, 4))) * 0.3 + 2 * np.eye(4)

    def ours(a, b):
        x = ag.solve_triangular(a, b)
        y = np.linalg.solve(a + a.mT, x)
        return np.einsum("bik,bjk,bij->", x, y, a) + np.var(y, axis=-1).sum() + np.cumsum(x, 1)[:, 1:].sum()

    def theirs(a, b):
        x = torch.linalg.solve_triangular(torch.tril(a), b, upper=False)
        y = torch.linalg.solve(a + a.mT, x)
        variance = y.var(-1, correction=0).sum()
        return torch.einsum("bik,bjk,bij->", x, y, a) + variance + x.cumsum(1)[:, 1:].sum()

    compare(ours, theirs, [a, rng.standard_normal((2, 4, 3))])
