"""The delta rule as kernels: both forms against the NumPy definition in float64, and nothing is found in them."""

import numpy as np
import pytest

import minilinear as ml
from minilinear.gpu import account, reset_account, sim, source
from minilinear.gpu.launch import recorded
from minilinear.recurrence import delta_product
from minilinear.tasks import task
from minilinear.training import Run, RunFolder
from minilinear.training.recipes import recipe
from tests.gpu.test_streams import exactly, near

pytestmark = pytest.mark.kernels

FORMS = {"chunk": "delta_product", "recurrent": "delta_product_recurrent"}  # and their twins
CHUNK_KERNELS = {"prepare", "states", "outputs", "states_backward", "gradients"}
KERNELS = {
    "chunk": {f"householder_{name}" for name in CHUNK_KERNELS},
    "recurrent": {"householder_recurrent_forward", "householder_recurrent_backward"},
}


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def draw(B, T, R, H, K, V, gate="vector", *, erase=False, initial=True, sequences=None):
    """q, k, v, beta, g, erase key and initial state; a gate forgets much in some places and little in most."""
    rng = np.random.default_rng(T + 10 * K + V)
    q, v, beta = rng.standard_normal((B, T, H, K)), rng.standard_normal((B, T, R, H, V)), 2 * rng.random((B, T, R, H))
    k = unit(rng.standard_normal((B, T, R, H, K)))
    shape = {"none": None, "scalar": (B, T, H), "vector": (B, T, H, K)}[gate]
    g = None if shape is None else -4 * rng.random(shape) ** 4
    p = unit(k + 0.3 * rng.standard_normal(k.shape)) if erase else None
    return q, k, v, beta, g, p, rng.standard_normal((sequences or B, H, K, V)) if initial else None


def run(inputs, dtype, form, uses, options):
    """All outputs, and the gradients of a random sum over those that are used."""
    rng = np.random.default_rng(1)
    q, k, v, beta, g, p, S = (None if x is None else ml.tensor(x.astype(dtype), requires_grad=True) for x in inputs)
    outs = delta_product(
        q, k, v, beta=beta, g=g, erase_key=p, initial_state=S, form=form, return_states=True, **options
    )
    weights = [rng.standard_normal(out.shape).astype(np.float32).astype(dtype) for out in outs]
    total = sum((outs[i] * weights[i]).sum() for i in uses)
    trained = [x for x in (q, k, v, beta, g, p, S) if x is not None]
    found = ml.grad(total, trained, allow_unused=True)
    return [*(x.data for x in outs), *(0 * x.data if d is None else d.data for d, x in zip(found, trained))]


def compare(form, inputs, *, uses=(0, 1, 2), check=True, bound=1e-5, **options):
    inputs = exactly(*inputs)
    want = run(inputs, np.float64, "recurrent", uses, options)
    reset_account()
    with ml.use("cpucuda"), recorded(check=check, seed=0) as launches:
        got = run(inputs, np.float32, form, uses, options)
    assert [finding for launch in launches for finding in launch.findings] == []
    assert {launch.kernel.partition("<")[0] for launch in launches} == KERNELS[form]
    assert account() == ({FORMS[form]: 1}, {})
    for ours, theirs in zip(got, want, strict=True):
        near(ours, theirs, bound)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("T", [1, 5, 63, 64, 65, 130])
def test_any_length(form, T):
    gate = {1: "none", 63: "scalar", 65: "none"}.get(T, "vector")
    compare(form, draw(1 if T > 65 else 2, T, 1, 1, 5, 3, gate))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("K", "V"), [(1, 1), (1, 20), (24, 40), (64, 17), (15, 128), (128, 128), (256, 33), (33, 256)])
def test_any_width(form, K, V):
    compare(form, draw(1, 3, 1, 1, K, V), check=K * V < 2000)


@pytest.mark.parametrize("form", FORMS)
def test_the_widest_state(form):
    compare(form, draw(1, 2, 1, 1, 256, 256, "scalar"), check=False)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("gate", ["none", "scalar", "vector"])
@pytest.mark.parametrize("R", [1, 2, 3, 4])
def test_any_number_of_corrections_with_any_gate(form, gate, R):
    compare(form, draw(2, 11, R, 2, 5, 3, gate, erase=R % 2 == 0), chunk=8, check=R == 2)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("gate", ["none", "scalar", "vector"])
@pytest.mark.parametrize("initial", [True, False])
def test_an_erase_key_of_its_own(form, gate, initial):
    compare(form, draw(1, 7, 1, 2, 18, 5, gate, erase=True, initial=initial), chunk=4, check=initial)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("T", "chunk"), [(3, 1), (9, 4), (35, 32), (140, 128)])
@pytest.mark.parametrize("R", [1, 3])
def test_states_enter_the_callers_chunks(form, T, chunk, R):
    """A chunk of 128 tokens is two of the kernels', or with three corrections eight."""
    compare(form, draw(1, T, R, 1, 4, 3, "scalar"), chunk=chunk, check=False)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("starts", [(0, 0, 4, 70, 70), (0, 64, 65)])
@pytest.mark.parametrize("gate", ["none", "vector"])
def test_packed_sequences_some_of_them_empty(form, starts, gate):
    inputs = draw(1, starts[-1], 1, 1, 5, 3, gate, sequences=len(starts) - 1)
    compare(form, inputs, cu_seqlens=starts, check=gate == "none")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("uses", [(0,), (1,), (2,)])
def test_gradients_of_one_output_alone(form, uses):
    compare(form, draw(1, 9, 2, 1, 5, 3), uses=uses, chunk=4, check=False)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("gate", ["scalar", "vector"])
@pytest.mark.parametrize("reset", [-100.0, -1e4, -np.inf])
def test_resets(form, gate, reset):
    """The sum of g over a chunk is -1e4 and more, known to 1e-3 only: no two such sums may be subtracted."""
    inputs = draw(1, 130, 1, 1, 8, 5, gate, erase=True)
    inputs[4][:, [3, 40, 41, 64, 100]] = reset
    compare(form, inputs, check=False)


@pytest.mark.parametrize("form", FORMS)
def test_two_runs_have_the_same_bits(form):
    """Whatever the order of blocks and threads: no sum depends on it."""
    inputs, found = exactly(*draw(2, 70, 1, 2, 20, 18, "scalar", erase=True)), []
    for seed in (0, 1):
        with ml.use("cpucuda"), recorded(seed=seed):
            found.append(run(inputs, np.float32, form, (0, 1, 2), {}))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


# Keys that are repeated or alike are what the delta rule is for, and what breaks a careless inverse.


def one_of(keys, n):
    return np.resize(unit(np.asarray(keys, float)), (n, len(keys[0])))


RNG = np.random.default_rng(0)
S3 = [[1, -1, 0], [1, 0, -1], [0, 1, -1]]  # reflections at these exchange two of three
KEYS = {
    "random": (unit(RNG.standard_normal((64, 16))), RNG.random(64), 1e-6),
    "positive mean": (unit(np.abs(RNG.standard_normal((64, 16)))), np.ones(64), 1e-6),
    "two repeated": (one_of(RNG.standard_normal((2, 16)), 64), np.ones(64), 1e-6),
    "one repeated": (one_of(RNG.standard_normal((1, 16)), 64), np.ones(64), 1e-6),
    "one reflected": (one_of(RNG.standard_normal((1, 16)), 64), 2 * np.ones(64), 2e-5),
    "transpositions": (one_of([S3[i] for i in RNG.integers(0, 3, 64)], 64), 2 * np.ones(64), 2e-5),
}
INVERSE = """
#include "inverse.cuh"
template <int ROWS> __global__ void inverse(const float *A, float *T)
{
    __shared__ float matrix[ROWS][ROWS + 1];
    for (int i = threadIdx.x; i < ROWS * ROWS; i += 256) matrix[i / ROWS][i % ROWS] = A[i];
    unit_lower_inverse<ROWS>(matrix);
    for (int i = threadIdx.x; i < ROWS * ROWS; i += 256) T[i] = matrix[i / ROWS][i % ROWS];
}
"""


@pytest.mark.parametrize("rows", [16, 32, 64])
@pytest.mark.parametrize("name", KEYS)
def test_the_inverse_is_as_exact_as_substitution(name, rows):
    k, beta, _ = KEYS[name]
    A = np.tril(beta[:, None] * (k @ k.T), -1)[:rows, :rows].astype(np.float32)
    given, T = A + np.triu(RNG.standard_normal(A.shape)).astype(np.float32), np.empty_like(A)
    result = sim.run(INVERSE, f"inverse<{rows}>", 1, 256, [given, T], include=[source.FOLDER])
    assert not result.findings
    exact = np.linalg.solve(np.identity(rows) + A.astype(np.float64), np.identity(rows))
    assert np.abs(np.tril(T - exact, -1)).max() <= 5e-7 * np.abs(exact).max()
    assert np.array_equal(np.triu(T), np.triu(given))  # the other half is not touched


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", KEYS)
def test_repeated_keys(form, name):
    """With reflections nothing is ever forgotten: 64 steps of rounding of the keys themselves, 2 |k|^2 != 2, remain."""
    k, beta, bound = KEYS[name]
    q, _, v, *_ = draw(1, 64, 1, 1, k.shape[1], 4)
    compare(
        form, (q, k.reshape(1, 64, 1, 1, -1), v, beta.reshape(1, 64, 1, 1), None, None, None), check=False, bound=bound
    )


# What is not for the kernels.


@pytest.mark.parametrize(
    ("shape", "dtype", "why"),
    [
        ((1, 2, 1, 1, 257, 2), np.float32, "K = 257"),
        ((1, 2, 1, 1, 2, 257), np.float32, "V = 257"),
        ((1, 2, 65, 1, 2, 2), np.float32, "R = 65"),
        ((1, 1, 1, 65536, 1, 1), np.float32, "65536 heads"),
        ((1, 0, 1, 1, 2, 2), np.float32, "there is nothing to compute"),
        ((1, 2, 1, 1, 2, 2), np.float64, "q is float64"),
    ],
)
def test_what_falls_back(shape, dtype, why):
    reset_account()
    q, k, v, beta, g, _, S = (None if x is None else x.astype(dtype) for x in draw(*shape))
    with ml.use("cpucuda"):
        o, _ = delta_product(q, k, v, beta=beta, g=g, initial_state=S)
    np.testing.assert_array_equal(o, delta_product(q, k, v, beta=beta, g=g, initial_state=S)[0])
    ((reason, calls),) = account().text["delta_product"].items()
    assert why in reason
    assert calls == 1


@pytest.mark.parametrize("form", FORMS)
def test_second_derivatives_go_through_the_text(form):
    found = []
    for dtype, backend in ((np.float64, "numpy"), (np.float32, "cpucuda")):
        inputs = exactly(*draw(1, 4, 1, 1, 3, 2, "scalar"))
        with ml.use(backend):
            q, k, v, beta, g, _, S = (
                None if x is None else ml.tensor(x.astype(dtype), requires_grad=True) for x in inputs
            )
            o, _ = delta_product(q, k, v, beta=beta, g=g, initial_state=S, form=form)
            first = ml.grad((o * o).sum(), [k, g], create_graph=True)
            found.append([d.data for d in ml.grad(sum((d * d).sum() for d in first), [q, k, v, beta, g])])
    for exact, got in zip(*found, strict=True):
        near(got, exact)


# Models.


@pytest.mark.parametrize("mixer", ["delta_net", "gated_delta_net", "delta_product", "gated_delta_product", "kda"])
def test_a_mixer_trains_as_with_numpy(mixer):
    made = task("s3", lengths=(4, 6))
    changes = {"mixer": mixer, "D": 8, "hidden": 8, "heads": 2}
    losses = {}
    reset_account()
    for name in ("numpy", "cpucuda"):
        with ml.use(name):
            trained = Run(recipe(made, changes=changes, training={"steps": 3, "batch": 4}), RunFolder("nowhere"), made)
            losses[name] = [trained.advance().loss for _ in range(3)]
    np.testing.assert_allclose(losses["cpucuda"], losses["numpy"], rtol=2e-6)
    kernels, text = account()
    assert kernels["delta_product"] > 0
    assert "delta_product" not in text
