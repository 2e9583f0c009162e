"""The same computation in PyTorch, in float64: the same value and the same gradients to the last digits."""

import numpy as np
import pytest

import minilinear as ml
from minilinear import autograd as ag
from tests.autograd.cases import leaf

pytestmark = pytest.mark.peers
rng = np.random.default_rng(0)


def compare(ours, theirs, arrays, rtol=1e-12):
    """The value of `ours(*tensors)` and `theirs(*torch tensors)`, and the gradient of each input."""
    import torch

    mine = [leaf(a) for a in arrays]
    others = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, z = ours(*mine), theirs(*others)
    gradients = torch.autograd.grad(z, others, create_graph=True)
    again = torch.autograd.grad(sum((g * g.conj()).real.sum() for g in gradients), others)
    got = ml.grad(y, mine, create_graph=True)
    got_again = ml.grad(sum((g * g.conj()).real.sum() for g in got), mine)
    pairs = zip([y, *ml.grad(y, mine), *got, *got_again], [z, *gradients, *gradients, *again])
    for a, b in pairs:
        np.testing.assert_allclose(a.data, b.detach().numpy(), rtol=rtol, atol=1e-12)


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


def test_decompositions():
    """Through what does not depend on the signs of the factors, which are arbitrary."""
    import torch

    def ours(a):
        square = a.mT @ a
        q, r = np.linalg.qr(a)
        u, s, vt = np.linalg.svd(a, full_matrices=False)
        w, v = np.linalg.eigh(square)
        low, inverse = np.linalg.cholesky(square), np.linalg.inv(square)
        sign, log = np.linalg.slogdet(square)
        factors = (np.abs(q) ** 3).sum() + (r**4).sum() + (u**4).sum() + (vt**4).sum() + (v**4).sum() + (low**3).sum()
        return factors + np.log(s).sum() + (w * sign[..., None]).sum() + log.sum() + (inverse**2).sum()

    def theirs(a):
        square = a.mT @ a
        q, r = torch.linalg.qr(a)
        u, s, vt = torch.linalg.svd(a, full_matrices=False)
        w, v = torch.linalg.eigh(square)
        low, inverse = torch.linalg.cholesky(square), torch.linalg.inv(square)
        sign, log = torch.linalg.slogdet(square)
        factors = (q.abs() ** 3).sum() + (r**4).sum() + (u**4).sum() + (vt**4).sum() + (v**4).sum() + (low**3).sum()
        return factors + s.log().sum() + (w * sign[..., None]).sum() + log.sum() + (inverse**2).sum()

    compare(ours, theirs, [rng.standard_normal((2, 4, 3)) + 2 * np.eye(4, 3)], rtol=1e-9)


def test_determinants_pseudoinverses_and_values_alone():
    import torch

    def ours(a, b):
        return np.linalg.det(a).sum() + (np.linalg.pinv(b) ** 2).sum() + (np.linalg.svd(b, compute_uv=False) ** 3).sum()

    def theirs(a, b):
        return torch.linalg.det(a).sum() + (torch.linalg.pinv(b) ** 2).sum() + (torch.linalg.svdvals(b) ** 3).sum()

    compare(ours, theirs, [rng.standard_normal((2, 3, 3)), rng.standard_normal((2, 5, 3))], rtol=1e-9)


@pytest.mark.parametrize("norm", ["backward", "ortho", "forward"])
@pytest.mark.parametrize("length", [6, 7, 9, 4])
def test_a_spectral_layer_with_complex_weights(length, norm):
    import torch

    n = length // 2 + 1

    def ours(x, w, v):
        y = np.fft.irfft(np.fft.rfft(x, length, norm=norm) * w, length, norm=norm)
        y = np.tanh(np.fft.ifft(np.fft.fft(y * y) * v, axis=0))
        return (np.abs(y) ** 3).sum() + np.angle(v).sum() + (y.conj() * y * y).imag.sum()

    def theirs(x, w, v):
        y = torch.fft.irfft(torch.fft.rfft(x, length, norm=norm) * w, length, norm=norm)
        y = torch.tanh(torch.fft.ifft(torch.fft.fft(y * y) * v, dim=0))
        return (y.abs() ** 3).sum() + v.angle().sum() + (y.conj() * y * y).imag.sum()

    w, v = (0.5 * (rng.standard_normal(k) + 1j * rng.standard_normal(k)) for k in (n, length))
    compare(ours, theirs, [0.3 * rng.standard_normal((3, 7)), w, v], rtol=1e-9)


def test_two_dimensional_transforms():
    import torch

    def ours(x, w):
        return (np.fft.irfft2(np.fft.rfft2(x) * w, (5, 4)) ** 3).sum()

    def theirs(x, w):
        return (torch.fft.irfft2(torch.fft.rfft2(x) * w, (5, 4)) ** 3).sum()

    compare(ours, theirs, [rng.standard_normal((2, 5, 4)), rng.standard_normal((5, 3)) + 1j], rtol=1e-9)


@pytest.mark.parametrize(
    ("weight", "options"),
    [
        ((6, 4, 3, 3), {}),
        ((6, 4, 3, 2), {"stride": (2, 1), "padding": (1, 0)}),
        ((6, 2, 2, 3), {"stride": 2, "padding": 2, "dilation": 2, "groups": 2}),
        ((8, 1, 3, 3), {"groups": 4, "padding": 1, "dilation": (2, 1)}),
    ],
)
def test_convolution_and_pooling(weight, options):
    import torch

    F = torch.nn.functional

    def ours(x, w, b):
        y = ag.silu(ag.conv2d(x, w, b, **options))
        return (ag.max_pool2d(y, 2) ** 2).sum() + (ag.avg_pool2d(y, 2, stride=1) ** 3).sum()

    def theirs(x, w, b):
        y = F.silu(F.conv2d(x, w, b, **options))
        return (F.max_pool2d(y, 2) ** 2).sum() + (F.avg_pool2d(y, 2, stride=1) ** 3).sum()

    compare(
        ours,
        theirs,
        [rng.standard_normal((2, 4, 7, 6)), rng.standard_normal(weight), rng.standard_normal(weight[0])],
        rtol=1e-9,
    )
