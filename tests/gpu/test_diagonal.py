"""Linear attention with decay on kernels: values and gradients of both forms are those of the NumPy text in float64."""

import numpy as np
import pytest

import minilinear as ml
from minilinear.autograd import unwrap
from minilinear.gpu import account, reset_account
from minilinear.gpu.launch import recorded
from minilinear.models.tables import MIXERS
from minilinear.recurrence import gated_linear_attention, with_signs
from minilinear.tasks import task
from minilinear.training import Run, RunFolder
from minilinear.training.recipes import recipe

pytestmark = pytest.mark.kernels

every_form = pytest.mark.parametrize("form", ["chunk", "recurrent"])
every_gate = pytest.mark.parametrize("gate", ["none", "scalar", "vector"])
TWINS = {"chunk": "gated_linear_attention", "recurrent": "gated_linear_attention_recurrent"}

# (B, T, H, K, V): one token; less than a chunk, a chunk less one, a chunk, and one, two and a bit; a lane's rows, a
# slab, a tile and more of channels and columns; the largest state.
SHAPES = [
    (2, 1, 2, 1, 1),
    (2, 5, 3, 5, 3),
    (1, 63, 2, 24, 40),
    (2, 64, 1, 1, 5),
    (1, 65, 1, 33, 17),
    (1, 130, 1, 64, 65),
    (1, 66, 1, 128, 5),
    (1, 5, 1, 256, 256),
]


def draw(B, T, H, K, V, gate, sequences=None, seed=0):
    """Inputs by name, in float64."""
    rng = np.random.default_rng(seed)
    x = {name: rng.standard_normal((B, T, H, K if name != "v" else V)) for name in "qkv"}
    if gate != "none":
        x["g"] = -rng.uniform(0, 0.3, (B, T, H) if gate == "scalar" else (B, T, H, K))
    x["initial_state"] = rng.standard_normal((sequences or B, H, K, V))
    return x


def run(x, dtype, *, seen=(True, True, True), **options):
    """o, the final and the entering states, and the gradients of all inputs for cotangents of those that are seen."""
    leaves = {name: ml.tensor(value.astype(dtype), requires_grad=True) for name, value in x.items()}
    outs = gated_linear_attention(**leaves, return_states=True, **options)
    rng = np.random.default_rng(1)
    total = sum((y * rng.standard_normal(y.shape).astype(dtype)).sum() for y, used in zip(outs, seen) if used)
    gradients = ml.grad(total, list(leaves.values()), allow_unused=True)
    return dict(zip(("o", "final", "entering"), outs)) | dict(zip(leaves, gradients))


def agrees(x, form, tol=1e-5, **options):
    """The kernels' numbers are those of the definition; returns them."""
    expected = run(x, np.float64, **options, form="recurrent")
    with ml.use("cpucuda"):
        found = run(x, np.float32, **options, form=form)
    for name, exact in expected.items():
        if exact is None:  # nothing of it is seen
            assert found[name] is None or not unwrap(found[name]).any(), name
            continue
        got, exact = unwrap(found[name]), unwrap(exact)
        assert got.dtype == np.float32 and got.shape == exact.shape
        np.testing.assert_allclose(got, exact, rtol=tol, atol=tol * np.abs(exact).max(initial=0), err_msg=name)
    return {name: unwrap(y) for name, y in found.items() if y is not None}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@every_gate
@every_form
def test_values_and_gradients_are_those_of_the_definition(form, gate, shape):
    reset_account()
    agrees(draw(*shape, gate), form)
    assert account() == ({TWINS[form]: 1}, {})


@every_gate
@every_form
def test_without_an_initial_state_it_is_zero(form, gate):
    x = draw(2, 70, 2, 3, 5, gate)
    del x["initial_state"]
    agrees(x, form, scale=1.0)


@pytest.mark.parametrize("seen", [(True, False, False), (False, True, False), (False, False, True)], ids=str)
@every_form
def test_any_of_the_outputs_may_be_used_alone(form, seen):
    agrees(draw(1, 20, 2, 3, 5, "vector"), form, seen=seen, chunk=8)


@pytest.mark.parametrize("chunk", [4, 128])
@every_gate
@every_form
def test_packed_sequences_are_kept_apart_and_may_be_empty(form, gate, chunk):
    starts = (0, 0, 7, 80, 80, 150, 151, 151)
    agrees(draw(1, 151, 2, 5, 3, gate, sequences=7), form, chunk=chunk, cu_seqlens=starts)


@pytest.mark.parametrize("chunk", [1, 16, 128, 512])
@every_form
def test_entering_states_are_those_of_the_chunks_that_were_asked_for(form, chunk):
    agrees(draw(2, 140, 1, 3, 4, "vector"), form, chunk=chunk)


# A reset in the middle of a chunk: what comes after it must not know what came before it, and lose no digits for it.


@pytest.mark.parametrize("reset", [-100.0, -1e4, -np.inf])
@pytest.mark.parametrize("gate", ["scalar", "vector"])
@every_form
def test_resets_cost_no_digits(form, gate, reset):
    x = draw(1, 130, 1, 20, 6, gate)
    x["g"][:, 5::23] = reset
    x["g"][:, 1:3] = reset
    found = agrees(x, form, tol=5e-6)
    assert all(np.isfinite(y).all() for y in found.values())
    assert (
        reset == -100 or not found["g"][:, 5::23].any()
    )  # where nothing passes, the gate's slope is 0 and no rounding


@every_form
def test_strong_gates_do_not_overflow(form):
    x = draw(1, 64, 1, 20, 6, "vector")
    x["g"] *= 300  # down to -90 for each token
    agrees(x, form)


@pytest.mark.parametrize(
    ("shape", "cu_seqlens"),
    [((2, 0, 1, 3, 4), None), ((0, 5, 1, 3, 4), None), ((2, 5, 0, 3, 4), None), ((1, 0, 2, 3, 4), (0, 0, 0))],
    ids=str,
)
@every_form
def test_without_tokens_a_state_stays_as_it_is(form, shape, cu_seqlens):
    x = draw(*shape, "vector", sequences=cu_seqlens and 2)
    with recorded() as launches:
        agrees(x, form, cu_seqlens=cu_seqlens)
    assert all("states" in launch.kernel or "recurrent" in launch.kernel for launch in launches)


@every_form
def test_what_the_kernels_do_not_take_runs_as_text(form):
    reset_account()
    odd = [(257, 1, np.float32), (1, 257, np.float32), (3, 3, np.float64), (0, 3, np.float32)]
    with ml.use("cpucuda"):
        for K, V, dtype in odd:
            x = {name: value.astype(dtype) for name, value in draw(1, 2, 1, K, V, "none").items()}
            gated_linear_attention(**x, form=form, scale=1.0)
        x = {name: value.astype(np.float32) for name, value in draw(1, 1, 65_536, 1, 1, "none").items()}
        gated_linear_attention(**x, form=form, scale=1.0)
        gated_linear_attention(**{name: x[name][:, :, :1] for name in "qkv"}, form=form, scale=1e-40)
    ran, text = account()
    assert ran == {}
    assert sorted(text[TWINS[form]]) == [
        "65536 heads, a grid has 65535 blocks along y",
        "K = 1, V = 257: the kernels have 256 of each at most",
        "K = 257, V = 1: the kernels have 256 of each at most",
        "q is float64, the kernels are float32",
        "scale is not a number of float32",
        "there are no channels",
    ]


@every_gate
@every_form
def test_check_mode_finds_nothing_and_no_order_of_threads_changes_a_bit(form, gate):
    x, found = draw(1, 21, 2, 18, 5, gate, sequences=3), []
    for seed in (0, 1):
        with ml.use("cpucuda"), recorded(check=True, seed=seed) as launches:
            found.append(run(x, np.float32, form=form, chunk=8, cu_seqlens=(0, 9, 9, 21)))
        assert launches and not [finding for launch in launches for finding in launch.findings]
    for name in found[0]:
        np.testing.assert_array_equal(unwrap(found[0][name]), unwrap(found[1][name]), err_msg=name)


@every_form
def test_a_sequence_token_by_token_is_the_sequence_at_once(form):
    x = {name: value.astype(np.float32) for name, value in draw(2, 6, 2, 5, 3, "vector").items()}
    with ml.use("cpucuda"):
        whole, final = gated_linear_attention(**x, form=form)
        S, outs = x.pop("initial_state"), []
        for t in range(6):
            o, S = gated_linear_attention(
                **{name: y[:, t : t + 1] for name, y in x.items()}, initial_state=S, form=form
            )
            outs.append(o)
    np.testing.assert_allclose(np.concatenate(outs, 1), whole, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(S, final, rtol=1e-5, atol=1e-6)


@every_form
def test_signs_go_into_keys_and_queries(form):
    x = draw(1, 20, 2, 3, 4, "scalar")
    sign = np.where(np.random.default_rng(2).random((1, 20, 2)) < 0.5, -1.0, 1.0)
    expected = with_signs(gated_linear_attention, **x, sign=sign, form="recurrent")
    x = {name: value.astype(np.float32) for name, value in x.items()}
    with ml.use("cpucuda"):
        found = with_signs(gated_linear_attention, **x, sign=sign.astype(np.float32), form=form)
    for got, exact in zip(found, expected, strict=True):
        np.testing.assert_allclose(got, exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("cu_seqlens", [None, (0, 2, 5)])
@every_form
def test_a_second_derivative_goes_through_the_text(form, cu_seqlens):
    x, found = draw(1, 5, 1, 2, 3, "scalar", sequences=2 if cu_seqlens else 1), []
    for name, dtype in (("numpy", np.float64), ("cpucuda", np.float32)):
        with ml.use(name):
            leaves = {name: ml.tensor(value.astype(dtype), requires_grad=True) for name, value in x.items()}
            o, final = gated_linear_attention(**leaves, form=form, cu_seqlens=cu_seqlens)
            first = ml.grad((o * o).sum() + final.sum(), list(leaves.values()), create_graph=True)
            found.append([unwrap(g) for g in ml.grad(sum((g * g).sum() for g in first), list(leaves.values()))])
    for exact, got in zip(*found, strict=True):
        np.testing.assert_allclose(got, exact, rtol=1e-4, atol=1e-5 * np.abs(exact).max())


@pytest.mark.parametrize(
    ("mixer", "more"),
    [
        ("linear", {}),
        ("linear", {"feature_map": "identity", "normalise": False, "output_norm": True}),
        ("retention", {}),
        ("simple_gla", {}),
        ("simple_gla", {"negative_eigenvalues": True}),
        ("mamba2", {}),
        ("mamba2", {"negative_eigenvalues": True}),
        ("gla", {"gate_rank": 2}),
    ],
    ids=str,
)
def test_every_mixer_that_stands_on_it_trains_as_with_numpy(mixer, more):
    made = task("s3", lengths=(4, 6))
    changes = {"mixer": mixer, "D": 8, "hidden": 8, "heads": 2} | more
    losses = {}
    for name in ("numpy", "cpucuda"):
        reset_account()
        with ml.use(name):
            trained = Run(recipe(made, changes=changes, training={"steps": 3, "batch": 4}), RunFolder("nowhere"), made)
            losses[name] = [trained.advance().loss for _ in range(3)]
    np.testing.assert_allclose(losses["cpucuda"], losses["numpy"], rtol=2e-5)
    ran, text = account()
    assert ran["gated_linear_attention"] > 0 and "gated_linear_attention" not in text


def test_every_mixer_without_a_delta_rule_is_in_that_list():
    stands = {name for name, mixer in MIXERS.items() if getattr(mixer, "recurrence", None) is gated_linear_attention}
    assert stands == {"linear", "retention", "simple_gla", "mamba2", "gla"}
