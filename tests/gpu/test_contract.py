"""What every layer promises holds on every backend: with kernels on this processor, and on a GPU where there is one.

The whole of the contract is tested with NumPy, in tests/mixers and elsewhere; here a part of it that goes through every
mirrored function, in float32, against NumPy in float64.
"""

from __future__ import annotations

import numpy as np
import pytest

import minilinear as ml
from minilinear import backend
from minilinear.autograd import cross_entropy, softmax, unwrap
from minilinear.errors import BackendError
from minilinear.models.tables import FEED_FORWARDS, MIXERS, NORMS
from minilinear.optim import OPTIMIZERS, clip_by_global_norm
from minilinear.randomness import stream
from tests.mixers.cases import VARIANTS
from tests.optim import cases

pytestmark = pytest.mark.kernels

D, B, T = 8, 2, 9
SOFTMAX = {"default": {}, "window": {"window": 4}, "norms": {"qk_norm": "rms"}}
MIXER_CASES = [(mixer, name) for mixer in MIXERS for name in VARIANTS.get(mixer, SOFTMAX)]


@pytest.fixture(params=["numpy", "cpucuda", "cupy"])
def chosen(request):
    """The backend in force, where it can run."""
    try:
        choice = ml.use(request.param)
    except BackendError as reason:
        pytest.skip(str(reason).partition("\n")[0])
    with choice:
        yield request.param


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def double(module):
    """The module in NumPy's memory and in float64, with the very same weights."""
    with ml.use("numpy"):
        module.to("numpy")
        for p in module.parameters():
            p._array = p._array.astype(np.float64)
        for _, buffer in module.named_buffers():
            buffer.data = buffer.data.astype(np.float64)
    return module


def agrees(make, run, x, tol=2e-5):
    """Outputs and gradients of a module on the backend in force with those of its definition in float64."""
    found = []
    for exact in (True, False):
        module = make()
        module = double(module) if exact else module
        with ml.use("numpy" if exact else ml.current_backend()):
            leaf = ml.tensor(x.astype(np.float64 if exact else np.float32), requires_grad=True)
            outputs = run(module, leaf)
            total = sum((y * backend.beside(draw(*y.shape).astype(y.dtype), unwrap(y))).sum() for y in outputs)
            gradients = ml.grad(total, [leaf, *module.parameters()], allow_unused=True)
            found.append([backend.to_numpy(unwrap(y)) for y in (*outputs, *(g for g in gradients if g is not None))])
    for exact, got in zip(*found, strict=True):
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, exact, rtol=tol, atol=tol * max(1, np.abs(exact).max(initial=0)))


@pytest.mark.parametrize(("mixer", "variant"), MIXER_CASES)
def test_a_mixer_is_its_definition_in_pieces_packed_and_token_by_token(chosen, mixer, variant):
    options = {"heads": 2, "key_dim": 4} | VARIANTS.get(mixer, SOFTMAX)[variant]

    def run(layer, x):
        whole, _ = layer(x, chunk=4)
        first, state = layer(x[:, :5], chunk=4)
        then, state = layer(x[:, 5:-1], state, chunk=4)
        last, _ = layer.step(x[:, -1], state)
        packed, _ = layer(x[:1], cu_seqlens=[0, 4, T], chunk=4)
        return whole, first, then, last, packed

    agrees(lambda: MIXERS[mixer](D, **options, rng=stream(0, "weights")), run, draw(B, T, D), tol=2e-4)


@pytest.mark.parametrize("name", NORMS)
def test_a_norm_is_its_definition(chosen, name):
    agrees(lambda: NORMS[name](D), lambda norm, x: (norm(x),), 3 + draw(B, T, D))


@pytest.mark.parametrize("name", FEED_FORWARDS)
def test_a_feed_forward_layer_is_its_definition(chosen, name):
    make = lambda: FEED_FORWARDS[name](D, hidden=D, rng=stream(0, "weights"))
    agrees(make, lambda layer, x: (layer(x),), draw(B, T, D), tol=1e-4)


def test_softmax_and_cross_entropy_are_their_definitions(chosen):
    targets = np.array([[0, 2, -1], [4, 4, 1]])
    make = lambda: NORMS["layer_norm"](5)
    agrees(make, lambda norm, x: (softmax(norm(x)), cross_entropy(norm(x), targets)), draw(2, 3, 5))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_takes_numpys_steps(chosen, name):
    found = []
    for where in ("numpy", chosen):
        with ml.use(where):
            parameters, gradients = cases.draw(3, dtype=np.float32)
            optimizer = OPTIMIZERS[name](parameters, lr=1e-2)
            for gs in gradients:
                optimizer.step(clip_by_global_norm([backend.made(g) for g in gs], 1.0)[0])
            found.append([p.numpy() for p in parameters])
    for expected, got in zip(*found, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
