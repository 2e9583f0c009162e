"""The recurrences on tensor cores: products of bfloat16, sums and states of float32, near the text in float64."""

import numpy as np
import pytest

import minilinear as ml
from minilinear.gpu import account, diagonal_bf16, householder_bf16, reset_account
from minilinear.gpu.launch import recorded
from minilinear.precision import products_in, rounded
from minilinear.recurrence import delta_product, gated_linear_attention
from minilinear.tasks import task
from minilinear.training import Run, RunFolder
from minilinear.training.recipes import recipe
from tests.gpu.test_householder import KEYS

pytestmark = pytest.mark.kernels

BOUND = 1e-2  # 8 bits, some products one after another
DIFFERENCES = 3e-2  # gates' gradients, and all that is written where keys repeat
TWINS = {"linear": "gated_linear_attention_bf16", "delta": "delta_product_bf16"}


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def draw(kind, B, T, H, K, V, *, R=1, gate=True, erase=False, sequences=None, seed=0):
    """Inputs by name, in float32."""
    rng = np.random.default_rng(seed)
    rows = (B, T, H) if kind == "linear" else (B, T, R, H)
    x = {"q": unit(rng.standard_normal((B, T, H, K))), "k": unit(rng.standard_normal((*rows, K)))}
    x["v"] = rng.standard_normal((*rows, V))
    if kind == "delta":
        x["beta"] = rng.uniform(0, 1.5, rows)
    if erase:
        x["erase_key"] = unit(rng.standard_normal((*rows, K)))
    if gate:
        x["g"] = -rng.uniform(0, 0.3, (B, T, H))
    x["initial_state"] = rng.standard_normal((sequences or B, H, K, V))
    return {name: y.astype(np.float32) for name, y in x.items()}


def run(kind, x, dtype, *, seen=(True, True, True), **options):
    """o, the final and the entering states, and the gradients for cotangents of those that are seen."""
    leaves = {name: ml.tensor(y.astype(dtype), requires_grad=True) for name, y in x.items()}
    function = gated_linear_attention if kind == "linear" else delta_product
    outs = function(**leaves, return_states=True, **options)
    rng = np.random.default_rng(1)
    total = sum((y * rng.standard_normal(y.shape).astype(dtype)).sum() for y, used in zip(outs, seen) if used)
    gradients = ml.grad(total, list(leaves.values()), allow_unused=True)
    named = dict(zip(("o", "final", "entering"), outs)) | {f"d {name}": g for name, g in zip(leaves, gradients)}
    return {name: y.data for name, y in named.items() if y is not None}


def apart(found, exact):
    return np.linalg.norm(found - exact) / max(np.linalg.norm(exact), 1e-25)


def near(kind, x, *, hard=False, check=False, **options):
    """The kernels of bfloat16 ran, and their numbers are near those of the definition. With hard inputs, not further
    away than four times what rounding the inputs does to it.
    """
    want = run(kind, x, np.float64, form="recurrent", **options)
    usual = run(kind, {n: rounded(y, "bf16") for n, y in x.items()}, np.float64, form="recurrent") if hard else want
    reset_account()
    with ml.use("cpucuda"), products_in("bf16"), recorded(check=check) as launches:
        found = run(kind, x, np.float32, **options)
    assert account().kernels == {TWINS[kind]: 1}
    assert not [finding for launch in launches for finding in launch.findings]
    for name, exact in want.items():
        bound = max(DIFFERENCES if hard or name == "d g" else BOUND, 4 * apart(usual[name], exact))
        assert apart(found[name], exact) < bound, f"{name}: {apart(found[name], exact):.1e}, bound {bound:.1e}"
    return found


every_kind = pytest.mark.parametrize("kind", TWINS)


@every_kind
@pytest.mark.parametrize("T", [1, 63, 64, 65, 130])
def test_any_length(kind, T):
    near(kind, draw(kind, 1, T, 2, 24, 40, gate=T != 64))


@every_kind
@pytest.mark.parametrize(("K", "V"), [(8, 1), (17, 5), (64, 64), (65, 66), (128, 130)])
def test_any_width(kind, K, V):
    near(kind, draw(kind, 1, 70, 1, K, V))


def test_the_widest_state_of_linear_attention():
    near("linear", draw("linear", 1, 66, 1, 256, 256))


@pytest.mark.parametrize("R", [2, 3, 4])
def test_several_corrections_and_erase_keys(R):
    near("delta", draw("delta", 2, 30, 1, 20, 12, R=R, erase=R > 2, gate=R != 3))


@every_kind
def test_packed_sequences_of_which_some_are_empty(kind):
    near(kind, draw(kind, 1, 100, 2, 12, 9, sequences=4), cu_seqlens=(0, 3, 3, 70, 100))


@every_kind
@pytest.mark.parametrize("seen", [(True, False, False), (False, True, False), (False, False, True)])
def test_cotangents_of_one_output(kind, seen):
    near(kind, draw(kind, 1, 40, 1, 8, 8), seen=seen, chunk=16)


@every_kind
def test_chunks_that_are_longer_than_the_kernels_own(kind):
    near(kind, draw(kind, 1, 140, 1, 8, 8), chunk=128)


@every_kind
@pytest.mark.parametrize("reset", [-100.0, -1e4, -np.inf])
def test_resets_cost_nothing(kind, reset):
    x = draw(kind, 1, 70, 1, 16, 16)
    x["g"][0, [20, 21, 50]] = reset
    found = near(kind, x)
    if np.isinf(reset):
        assert (found["d g"][0, [20, 21, 50]] == 0).all()


@pytest.mark.parametrize("name", KEYS)
def test_repeated_keys(name):
    """Over three chunks: T in eight bits loses all of what a reflection does in the second."""
    k, beta, _ = KEYS[name]
    x = draw("delta", 1, 192, 1, k.shape[1], 16, gate=False)
    x["k"][0, :, 0, 0], x["beta"][0, :, 0, 0] = np.resize(k, (192, k.shape[1])), np.resize(beta, 192)
    near("delta", x, hard=True)


@every_kind
def test_check_mode_finds_nothing(kind):
    near(kind, draw(kind, 1, 70, 1, 9, 5), check=True)


@every_kind
def test_two_runs_have_the_same_bits(kind):
    x = draw(kind, 1, 70, 2, 9, 5)
    first, again = near(kind, x), near(kind, x)
    assert all(np.array_equal(first[name], again[name]) for name in first)


# What else runs in a block of this precision.


@pytest.mark.parametrize(
    ("kind", "changes", "ran"),
    [
        ("linear", {"K": 300}, {}),
        ("delta", {"K": 130}, {"delta_product": 1}),
        ("linear", {"vector": True}, {"gated_linear_attention": 1}),
    ],
)
def test_what_they_do_not_take_runs_in_float32(kind, changes, ran):
    x = draw(kind, 1, 5, 1, changes.get("K", 4), 4)
    if "vector" in changes:
        x["g"] = np.repeat(x["g"][..., None], 4, -1)
    reset_account()
    with ml.use("cpucuda"), products_in("bf16"):
        run(kind, x, np.float32)
    assert account().kernels == ran


@every_kind
def test_other_precisions_take_the_kernels_of_float32(kind):
    for precision in ("fp32", "tf32"):
        reset_account()
        with ml.use("cpucuda"), products_in(precision):
            run(kind, draw(kind, 1, 5, 1, 4, 4), np.float32)
        assert list(account().kernels) == [TWINS[kind].removesuffix("_bf16")]


def test_the_backward_has_the_precision_of_the_forward():
    x = draw("linear", 1, 5, 1, 4, 4)
    leaves = {name: ml.tensor(y, requires_grad=True) for name, y in x.items()}
    with ml.use("cpucuda"):
        with products_in("bf16"):
            o, _ = gated_linear_attention(**leaves)
        with recorded() as launches:
            o.sum().backward()
    assert {launch.kernel.partition("<")[0] for launch in launches} == {
        "diagonal_states_bf16",
        "diagonal_gradients_bf16",
    }


def test_many_short_sequences_run_in_float32():
    q, k, beta = np.ones((65_536, 1, 1, 1), np.float32), np.ones((65_536, 1, 1, 1, 1), np.float32), None
    options = {"scale": 1.0, "chunk": 64, "cu_seqlens": None}
    why = "65536 chunks or sequences, a grid has 65535 blocks along z"
    assert diagonal_bf16.refuses(q, q, q, None, None, **options) == why
    assert householder_bf16.refuses(q, k, k, beta, None, None, None, **options) == why
    assert diagonal_bf16.refuses(*[q[:-1]] * 3, None, None, **options) is None
    assert householder_bf16.refuses(q[:-1], k[:-1], k[:-1], beta, None, None, None, **options) is None
    packed = options | {"cu_seqlens": (0,) * 65_536 + (1,)}  # empty ones have no chunk
    assert diagonal_bf16.refuses(*[q[:1]] * 3, None, None, **packed) == why


def test_an_old_gpu_has_no_such_product():
    class Old:
        device = type("Device", (), {"compute_capability": "75"})

    assert diagonal_bf16.too_old(Old()) == "compute capability 7.5, products of bfloat16 need 8.0"
    assert diagonal_bf16.too_old(np.ones(1)) is None


@pytest.mark.parametrize(
    ("mixer", "ran"), [("retention", "gated_linear_attention_bf16"), ("gated_delta_net", "delta_product_bf16")]
)
def test_training(mixer, ran):
    made, losses = task("s3", lengths=(4, 6)), {}
    changes = {"mixer": mixer, "D": 8, "hidden": 8, "heads": 2, "precision": "bf16"}
    reset_account()
    for name in ("numpy", "cpucuda"):
        with ml.use(name):
            run = Run(recipe(made, changes=changes, training={"steps": 4, "batch": 4}), RunFolder("nowhere"), made)
            losses[name] = [run.advance().loss for _ in range(4)]
    np.testing.assert_allclose(losses["cpucuda"], losses["numpy"], rtol=1e-2)
    assert losses["cpucuda"] != losses["numpy"]
    assert account().kernels[ran] == 4
