"""Transitions of either sign: the same as the oracle, everywhere, and what the sign is good for."""

from itertools import pairwise

import numpy as np
import pytest

import minilinear as ml
from minilinear.recurrence import affine_scan, delta_rule, gated_linear_attention, log_and_sign, with_signs
from minilinear.recurrence.signed import SMALLEST, flips
from tests.recurrence.cases import FORMS, close

every_form = pytest.mark.parametrize("form", FORMS)
B, T, H, K, V = 2, 21, 3, 4, 5
RUNS = {"gated_linear_attention": gated_linear_attention, "delta_rule": delta_rule}
every_run = pytest.mark.parametrize("run", RUNS)


def draw(run, B=B, T=T, seed=0):
    """q, k, v, a in (-1, 1) but not near 0, and beta where the recurrence takes one; keys of unit length."""
    rng = np.random.default_rng(seed)
    x = {name: rng.standard_normal((B, T, H, n)) for name, n in (("q", K), ("k", K), ("v", V))}
    x["k"] /= np.linalg.norm(x["k"], axis=-1, keepdims=True)
    x["a"] = rng.uniform(0.01, 1, (B, T, H)) * rng.choice([-1, 1], (B, T, H))
    return x | ({"beta": rng.uniform(0, 2, (B, T, H))} if run == "delta_rule" else {})


def signed(run, q, k, v, a, **options):
    g, sign = log_and_sign(a)
    return with_signs(RUNS[run], q, k, v, g=g, sign=sign, **options)


def oracle(q, k, v, a, beta=None, erase_key=None, S0=None):
    """S_t = (I - beta k p^T) a_t S_{t-1} + beta k v^T, by affine_scan; p = k, and 0 without beta."""
    p = k if erase_key is None else erase_key
    written = k if beta is None else beta[..., None] * k
    A = np.eye(K) * a[..., None, None]
    if beta is not None:
        A = A - a[..., None, None] * written[..., :, None] * p[..., None, :]
    S = affine_scan(A, written[..., :, None] * v[..., None, :], S0)
    return (q[..., None, :] @ S)[..., 0, :] * K**-0.5, S[:, -1]


@every_run
@every_form
@pytest.mark.parametrize("with_state", [False, True])
def test_it_is_the_oracle(run, form, with_state):
    x = draw(run)
    S0 = np.random.default_rng(1).standard_normal((B, H, K, V)) if with_state else None
    for y, z in zip(signed(run, **x, initial_state=S0, form=form, chunk=4), oracle(**x, S0=S0), strict=True):
        close(y, z, 1e-13)


@every_form
def test_the_erase_key_takes_the_sign_too(form):
    x = draw("delta_rule")
    p = 0.9 * np.roll(x["k"], 1, 2)
    for y, z in zip(signed("delta_rule", **x, erase_key=p, form=form, chunk=4), oracle(**x, erase_key=p), strict=True):
        close(y, z, 1e-13)


@every_run
@every_form
def test_packed_sequences_count_their_own_flips(run, form):
    """Empty ones too, in front, between and behind, each with a state of its own."""
    x, starts = draw(run, B=1), (0, 0, 1, 7, 7, 20, 21, 21)
    S0 = np.random.default_rng(1).standard_normal((len(starts) - 1, H, K, V))
    o, final = signed(run, **x, initial_state=S0, cu_seqlens=starts, form=form, chunk=4)
    for i, (a, b) in enumerate(pairwise(starts)):
        if a == b:
            assert (final[i] == S0[i]).all()
            continue
        alone = oracle(**{n: y[:, a:b] for n, y in x.items()}, S0=S0[i : i + 1])
        close(o[:, a:b], alone[0], 1e-13)
        close(final[i : i + 1], alone[1], 1e-13)


@every_run
@every_form
def test_a_run_can_be_handed_over_in_the_middle_of_a_flip(run, form):
    x = draw(run)
    o, final = signed(run, **x, form=form, chunk=4)
    for t in (0, 1, 8, 13, T):
        head, S = signed(run, **{n: y[:, :t] for n, y in x.items()}, form=form, chunk=4)
        tail, end = signed(run, **{n: y[:, t:] for n, y in x.items()}, initial_state=S, form=form, chunk=4)
        close(np.concatenate([head, tail], 1), o, 1e-13)
        close(end, final, 1e-13)


@every_run
def test_positive_transitions_are_the_recurrence_itself(run):
    x = draw(run)
    x["a"] = np.abs(x["a"])
    a = x.pop("a")
    for y, z in zip(signed(run, **x, a=a), RUNS[run](**x, g=np.log(np.maximum(a, SMALLEST)))):
        assert (y == z).all()


@every_run
@pytest.mark.parametrize("form", FORMS)
def test_gradients_are_the_slopes(run, form):
    """Of everything, also of a on either side of 0."""
    x = draw(run, B=1, T=5)
    x["a"] = np.sign(x["a"]) * np.maximum(np.abs(x["a"]), 0.05)
    S0 = np.random.default_rng(1).standard_normal((1, H, K, V))
    names = list(x)

    def f(*tensors):
        return signed(run, **dict(zip(names, tensors)), initial_state=tensors[-1], form=form, chunk=2)

    ml.gradcheck(f, [*x.values(), S0], eps=1e-6)


@pytest.mark.parametrize("a", [0.01, -0.01, 0.999, -0.999, 1.0, -1.0])
def test_gradients_near_the_ends_of_the_range_are_those_of_the_oracle(a):
    x = draw("gated_linear_attention", B=1, T=4)
    x["a"] = np.full_like(x["a"], a)

    def loss(f):
        t = ml.tensor(x["a"], requires_grad=True)
        o, final = f(t)
        return ml.grad((o * o).sum() + final.sum(), t).data

    rest = {n: y for n, y in x.items() if n != "a"}
    close(loss(lambda t: signed("gated_linear_attention", **rest, a=t)), loss(lambda t: oracle(**rest, a=t)), 1e-11)


@every_run
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("tiny", [0.0, -0.0, 1e-30, -1e-30])
def test_a_transition_of_zero_has_finite_gradients_and_forgets(run, dtype, tiny):
    """The size is held at 2^-10, where the slope of the logarithm ends: what was there is gone but for a thousandth."""
    x = {n: y.astype(dtype) for n, y in draw(run, B=1).items()}
    x["a"][:, 9] = tiny
    t = {n: ml.tensor(y, requires_grad=True) for n, y in x.items()}
    o, final = signed(run, **t)
    gradients = ml.grad((o * o).sum() + final.sum(), list(t.values()))
    assert all(np.isfinite(d.data).all() and d.dtype == dtype for d in gradients)
    assert not gradients[list(t).index("a")].data[:, 9].any()
    fresh, _ = oracle(**{n: y[:, 9:].astype(np.float64) for n, y in x.items()})
    close(o.data[:, 9:], fresh, 5e-3)


def test_the_logarithm_and_the_sign_of_a_transition():
    a = np.array([1, -1, 0.5, -0.5, SMALLEST, -SMALLEST, 0.0, -0.0, 1e-9, -1e-9])
    g, sign = log_and_sign(a)
    assert sign.tolist() == [1, -1, 1, -1, 1, -1, 1, 1, 1, -1]
    close(np.exp(g), np.maximum(np.abs(a), 2**-10), 1e-15)
    for dtype in (np.float32, np.float64):
        g, sign = log_and_sign(a.astype(dtype))
        assert g.dtype == sign.dtype == dtype
    with pytest.raises(ValueError, match="g"):
        signed("gated_linear_attention", **draw("gated_linear_attention") | {"a": np.full((B, T, H), 1.5)}, check=True)


def test_flips_are_counted_from_the_beginning_of_each_sequence():
    sign = np.array([1, -1, -1, -1, 1, -1.0])[None, :, None]
    running, last = flips(sign)
    assert running[0, :, 0].tolist() == [1, -1, 1, -1, -1, 1]
    assert last.tolist() == [[1]]
    running, last = flips(sign, (0, 2, 2, 5, 6))
    assert running[0, :, 0].tolist() == [1, -1, -1, 1, 1, -1]
    assert last[:, 0].tolist() == [-1, 1, 1, -1]
    running, last = flips(sign[:, :0])
    assert running.shape == (1, 0, 1)
    assert last.tolist() == [[1]]


# What the sign is good for


@every_form
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_number_of_either_sign_counts_parity_exactly(form, dtype):
    """s_t = (1 - 2 x_t) s_{t-1} with s_0 = 1: (1 - s_t) / 2 is the parity of the ones, at every length."""
    x = np.random.default_rng(0).integers(0, 2, (3, 500, 2))
    g, sign = log_and_sign((1 - 2 * x).astype(dtype))
    one, nothing = np.ones((3, 500, 2, 1), dtype), np.zeros((3, 500, 2, 1), dtype)
    S0 = np.ones((3, 2, 1, 1), dtype)
    o, final = with_signs(gated_linear_attention, one, nothing, nothing, g=g, sign=sign, initial_state=S0, form=form)
    assert ((1 - o[..., 0]) / 2 == np.cumsum(x, 1) % 2).all()
    assert ((1 - final[..., 0, 0]) / 2 == x.sum(1) % 2).all()
    assert o.dtype == dtype


@every_form
@pytest.mark.parametrize("a", [0.5, 0.9, 0.99, -0.5, -0.99, -1.0])
def test_a_positive_decay_forgets_whether_the_number_of_ones_is_even(form, a):
    """After 1^n and 1^(n + 1) the float32 states of s_t = a s_{t-1} + 1 become the same number for a in [0, 1): no
    reading of them can count parity. For a in (-1, 0) they come as close, but for rounding. At a = -1 they never do:
    the state alternates.
    """
    n = 4000
    g, sign = log_and_sign(np.full((1, n, 1), a, np.float32))
    one = np.ones((1, n, 1, 1), np.float32)
    o, _ = with_signs(gated_linear_attention, one, one, one, g=g, sign=sign, form=form, chunk=32)
    states = o[0, :, 0, 0]
    if form == "recurrent" and a > 0:  # one order of operations for all tokens: the very same float
        assert states[-1] == states[-2]
    gap = np.abs(np.diff(states[-100:]))
    if a == -1:
        assert (gap == 1).all()
    else:
        assert gap.max() <= 1e-5 * np.abs(states[-1])
