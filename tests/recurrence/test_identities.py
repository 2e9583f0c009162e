"""What must be true exactly, whatever the form: the facts that the papers build on."""

import itertools

import numpy as np
import pytest

import minilinear as ml
from minilinear.recurrence import delta_product, delta_rule
from tests.recurrence.cases import FORMS, close, leaves

every_form = pytest.mark.parametrize("form", FORMS)
B, T, H, K, V = 2, 11, 3, 5, 4


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def draw(R=None, T=T, K=K, gate=None, seed=0):
    """q, k, v, beta, g (if there is one) and initial_state; k has an axis of R steps unless R is None."""
    rng = np.random.default_rng(seed)
    steps = () if R is None else (R,)
    x = {
        "q": rng.standard_normal((B, T, H, K)),
        "k": unit(rng.standard_normal((B, T, *steps, H, K))),
        "v": rng.standard_normal((B, T, *steps, H, V)),
        "beta": rng.uniform(0, 2, (B, T, *steps, H)),
        "initial_state": rng.standard_normal((B, H, K, V)),
    }
    if gate:
        x["g"] = -rng.exponential(size=(B, T, H, K) if gate == "vector" else (B, T, H))
    return x


def states(x, form, run=delta_product):
    """S_0 .. S_T, (B, T + 1, H, K, V): the states entering chunks of one token, and the last."""
    _, final, entering = run(**x, form=form, chunk=1, return_states=True)
    return np.concatenate([entering, final[:, None]], 1)


def orthonormal(rng, n):
    return np.linalg.qr(rng.standard_normal((n, n)))[0]


# The strength of a write


@every_form
@pytest.mark.parametrize("R", [1, 3])
def test_without_strength_nothing_is_written(form, R):
    x = draw(R)
    x["beta"] = np.zeros_like(x["beta"])
    o, final = delta_product(**x, form=form)
    close(final, x["initial_state"], 1e-15)
    close(o, np.einsum("bthk,bhkv->bthv", x["q"], x["initial_state"]) * K**-0.5, 1e-15)


@every_form
@pytest.mark.parametrize("gate", ["scalar", "vector"])
def test_without_strength_the_state_only_decays(form, gate):
    x = draw(2, gate=gate)
    x["beta"] = np.zeros_like(x["beta"])
    total = x["g"].sum(1)[..., None]
    kept = np.exp(total if gate == "vector" else total[..., None])
    close(delta_product(**x, form=form)[1], kept * x["initial_state"], 1e-14)


@every_form
@pytest.mark.parametrize("gate", [None, "scalar", "vector"])
def test_strength_one_overwrites(form, gate):
    """S_t^T k_t = v_t, whatever was there before."""
    x = draw(gate=gate)
    x["beta"] = np.ones_like(x["beta"])
    S = states(x, form, delta_rule)
    close(np.einsum("bthkv,bthk->bthv", S[:, 1:], x["k"]), x["v"], 1e-13)


@every_form
def test_writing_the_same_twice_changes_nothing(form):
    x = draw(2)
    x["beta"] = np.ones_like(x["beta"])
    x["k"][:, :, 1], x["v"][:, :, 1] = x["k"][:, :, 0], x["v"][:, :, 0]
    once = {name: a[:, :, 0] if name in ("k", "v", "beta") else a for name, a in x.items()}
    for y, z in zip(delta_product(**x, form=form), delta_rule(**once, form=form)):
        close(y, z, 1e-12)


@every_form
def test_orthonormal_keys_make_it_linear_attention(form):
    """Nothing is in the way of anything: S_t = sum k v^T."""
    x = draw(T=K)
    rng = np.random.default_rng(1)
    x["k"] = np.stack([np.stack([orthonormal(rng, K) for _ in range(H)], 1) for _ in range(B)])
    x["beta"], x["initial_state"] = np.ones((B, K, H)), np.zeros((B, H, K, V))
    S = states(x, form, delta_rule)
    close(S[:, 1:], np.cumsum(x["k"][..., :, None] * x["v"][..., None, :], 1), 1e-13)


@every_form
def test_a_repeated_key_returns_its_newest_value(form):
    """64 writes to 16 keys; linear attention would return the sum of all values of a key."""
    rng = np.random.default_rng(0)
    keys, which = orthonormal(rng, 16), rng.integers(0, 16, 64)
    v = rng.standard_normal((1, 64, 1, V))
    x = {"k": keys[which][None, :, None], "v": v, "beta": np.ones((1, 64, 1))}
    _, S = delta_rule(x["k"], form=form, **x)
    newest = {key: v[0, t, 0] for t, key in enumerate(which)}
    close(keys[list(newest)] @ S[0, 0], np.stack(list(newest.values())), 1e-12)


# Reflections


@every_form
def test_strength_two_reflects(form):
    """The transition is orthogonal, symmetric, its own inverse, of determinant -1, and turns k around."""
    k = unit(np.random.default_rng(0).standard_normal((1, 1, 1, K)))
    zero = np.zeros((1, 1, 1, K))
    _, A = delta_rule(k, k, zero, beta=np.full((1, 1, 1), 2.0), initial_state=np.eye(K)[None, None], form=form)
    A = A[0, 0]
    close(A @ A.T, np.eye(K), 1e-14)
    close(A @ A, np.eye(K), 1e-14)
    close(A, A.T, 1e-15)
    close(k[0, 0, 0] @ A, -k[0, 0, 0], 1e-14)
    assert abs(np.linalg.det(A) + 1) < 1e-14


@every_form
def test_reflecting_twice_at_one_key_does_nothing(form):
    x = draw(2)
    x["k"][:, :, 1], x["v"][:], x["beta"][:] = x["k"][:, :, 0], 0, 2
    close(states(x, form), np.repeat(x["initial_state"][:, None], T + 1, 1), 1e-13)


@every_form
@pytest.mark.parametrize("gate", [None, "scalar", "vector"])
@pytest.mark.parametrize("R", [1, 2, 3])
def test_without_values_the_state_never_grows(form, gate, R):
    x = draw(R, T=40, gate=gate)
    x["v"][:] = 0
    norms = np.linalg.norm(states(x, form), axis=(3, 4))
    assert (np.diff(norms, axis=1) <= 1e-12 * norms[:, :1]).all()


# Steps


@every_form
@pytest.mark.parametrize("gate", [None, "scalar", "vector"])
def test_one_step_is_the_delta_rule(form, gate):
    x = draw(1, gate=gate) | {"erase_key": draw(1, seed=1)["k"]}
    flat = {n: a[:, :, 0] if n in ("k", "v", "beta", "erase_key") else a for n, a in x.items()}
    options = {"form": form, "chunk": 4, "return_states": True}
    for y, z in zip(delta_product(**x, **options), delta_rule(**flat, **options)):
        assert (y == z).all()


@every_form
def test_steps_without_strength_are_no_steps(form):
    x = draw(3, gate="vector")
    x["beta"][:, :, 1:] = 0
    first = {n: a[:, :, 0] if n in ("k", "v", "beta") else a for n, a in x.items()}
    for y, z in zip(delta_product(**x, form=form), delta_rule(**first, form=form)):
        close(y, z, 1e-13)


@every_form
@pytest.mark.parametrize("gate", [None, "scalar", "vector"])
@pytest.mark.parametrize("R", [2, 3])
def test_steps_may_be_written_as_tokens(form, gate, R):
    """T R tokens of one step each: the gate on the first of a token, the query on the last."""
    x = draw(R, gate=gate)
    q = np.zeros((B, T, R, H, K))
    q[:, :, -1] = x["q"]
    tokens = {n: x[n].reshape(B, T * R, *x[n].shape[3:]) for n in ("k", "v", "beta")}
    if gate:
        g = np.zeros((B, T, R, *x["g"].shape[2:]))
        g[:, :, 0] = x["g"]
        tokens["g"] = g.reshape(B, T * R, *g.shape[3:])
    o, final = delta_rule(q.reshape(B, T * R, H, K), **tokens, initial_state=x["initial_state"], form=form, chunk=8)
    direct, direct_final = delta_product(**x, form=form, chunk=8)
    close(o.reshape(B, T, R, H, V)[:, :, -1], direct, 1e-12)
    close(final, direct_final, 1e-12)


# Gates


@every_form
def test_a_scalar_gate_is_a_vector_gate_with_equal_channels(form):
    x = draw(2, gate="scalar")
    vector = x | {"g": np.repeat(x["g"][..., None], K, -1)}
    t, u = leaves(x), leaves(vector)
    outs, others = delta_product(**t, form=form, chunk=4), delta_product(**u, form=form, chunk=4)
    for y, z in zip(outs, others):
        close(y.data, z.data, 1e-13)
    d = ml.grad((outs[0] * outs[0]).sum(), t["g"]).data
    close(d, ml.grad((others[0] * others[0]).sum(), u["g"]).data.sum(-1), 1e-12)


@every_form
@pytest.mark.parametrize("gate", ["scalar", "vector"])
def test_a_gate_of_zero_is_no_gate(form, gate):
    x = draw(2, gate=gate)
    x["g"][:] = 0
    for y, z in zip(
        delta_product(**x, form=form), delta_product(**{n: a for n, a in x.items() if n != "g"}, form=form)
    ):
        close(y, z, 1e-13)


@every_form
@pytest.mark.parametrize("gate", ["scalar", "vector"])
@pytest.mark.parametrize("t", [0, 1, 4, 10])
def test_a_gate_of_minus_ten_thousand_starts_afresh(form, gate, t):
    x = draw(2, gate=gate)
    x["g"][:, t] = -1e4
    o, final = delta_product(**x, form=form, chunk=4)
    rest = {n: a[:, t:] for n, a in x.items() if n != "initial_state"}
    rest_o, rest_final = delta_product(**rest, form=form, chunk=4)
    close(o[:, t:], rest_o, 1e-13)
    close(final, rest_final, 1e-13)


# Keys and values


@every_form
@pytest.mark.parametrize("gate", [None, "scalar", "vector"])
def test_an_erase_key_equal_to_the_key_is_the_default(form, gate):
    """And the gradient of the key is then the sum of both."""
    x = draw(2, gate=gate)
    t, u = leaves(x), leaves(x | {"erase_key": x["k"]})
    outs, others = delta_product(**t, form=form, chunk=4), delta_product(**u, form=form, chunk=4)
    for y, z in zip(outs, others):
        close(y.data, z.data, 1e-14)
    d_k, d_erase = ml.grad((others[0] * others[1].sum()).sum(), [u["k"], u["erase_key"]])
    close(ml.grad((outs[0] * outs[1].sum()).sum(), t["k"]).data, d_k.data + d_erase.data, 1e-12)


@every_form
def test_one_tensor_may_be_key_and_erase_key_to_any_order(form):
    x = draw(1, T=3, K=2)

    def same(q, k, v, beta):
        return delta_product(q, k, v, beta=beta, erase_key=k, form=form, chunk=2)

    for order in (1, 2):
        ml.gradcheck(
            same,
            [x[n][:1, :, ..., :1, :] if n != "beta" else x[n][:1, ..., :1] for n in ("q", "k", "v", "beta")],
            order=order,
        )


@every_form
def test_it_is_linear_in_values_and_initial_state(form):
    x, y = draw(2, gate="vector"), draw(2, seed=1)
    mixed = x | {n: 2 * x[n] - 3 * y[n] for n in ("v", "initial_state")}
    other = x | {n: y[n] for n in ("v", "initial_state")}
    outs = (delta_product(**z, form=form, chunk=4) for z in (mixed, x, other))
    for m, a, b in zip(*outs):
        close(m, 2 * a - 3 * b, 1e-12)


@every_form
@pytest.mark.parametrize("gate", [None, "scalar"])
def test_turning_all_keys_turns_the_state(form, gate):
    x, Q = draw(2, gate=gate), orthonormal(np.random.default_rng(1), K)
    turned = x | {n: x[n] @ Q for n in ("q", "k")} | {"initial_state": Q.T @ x["initial_state"]}
    (o, S), (other, other_S) = delta_product(**x, form=form, chunk=4), delta_product(**turned, form=form, chunk=4)
    close(other, o, 1e-12)
    close(other_S, Q.T @ S, 1e-12)


# What states can follow


@every_form
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parity_is_one_number(form, dtype):
    """K = V = 1, k = v = 1, beta = 2 x: the state alternates between 0 and 2, exactly."""
    x = np.random.default_rng(0).integers(0, 2, (1, 200, 1))
    ones = np.ones((1, 200, 1, 1), dtype)
    o, _ = delta_rule(ones, ones, ones, beta=2 * x.astype(dtype), form=form)
    assert (o[..., 0] / 2 == np.cumsum(x, 1) % 2).all()


@every_form
@pytest.mark.parametrize("m", [3, 5, 8])
def test_two_reflections_count_modulo_m(form, m):
    """A rotation by 2 pi / m for each one: reflect at (1, 0), then at (cos pi/m, sin pi/m)."""
    x = np.random.default_rng(0).integers(0, 2, 100)
    mirrors = np.array([[1, 0], [np.cos(np.pi / m), np.sin(np.pi / m)]])
    k = np.broadcast_to(mirrors[:, None], (1, 100, 2, 1, 2))
    beta = np.broadcast_to(2.0 * x[None, :, None, None], (1, 100, 2, 1))
    first = np.array([1.0, 0]).reshape(1, 1, 2, 1)
    zero = np.zeros((1, 100, 2, 1, 1))
    S = states({"q": k[:, :, 0], "k": k, "v": zero, "beta": beta, "initial_state": first}, form)[0, 1:, 0, :, 0]
    angles = 2 * np.pi * np.arange(m) / m
    scores = S @ np.stack([np.cos(angles), np.sin(angles)])
    assert (scores.argmax(-1) == np.cumsum(x) % m).all()
    close(scores.max(-1), np.ones(100), 1e-12)


@every_form
@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_n_minus_one_transpositions_make_every_permutation(form, n):
    """Any permutation of n things is a product of at most n - 1 swaps, and a swap is a reflection at (e_i - e_j)."""
    rng = np.random.default_rng(0)
    words = [rng.permutation(n) for _ in range(30)]
    k, beta = np.zeros((1, 30, n - 1, 1, n)), np.zeros((1, 30, n - 1, 1))
    k[..., 0] = 1
    held, wanted = np.arange(1.0, n + 1), []
    for t, p in enumerate(words):
        order = list(range(n))
        for i in range(n - 1):  # selection sort: at most n - 1 swaps
            j = order.index(p[i])
            if i != j:
                order[i], order[j] = order[j], order[i]
                k[0, t, i, 0] = 0
                k[0, t, i, 0, [i, j]] = 0.5**0.5, -(0.5**0.5)
                beta[0, t, i] = 2
        held = held[p]
        wanted.append(held)
    x = {"q": k[:, :, 0], "k": k, "v": np.zeros((1, 30, n - 1, 1, 1)), "beta": beta}
    S = states(x | {"initial_state": np.arange(1.0, n + 1).reshape(1, 1, n, 1)}, form)
    close(S[0, 1:, 0, :, 0], np.stack(wanted), 1e-12)


# Other models as choices of the arguments


@every_form
def test_rwkv_7_is_two_steps_with_erase_keys(form):
    """S = diag(w) S - (a kk) (S^T kk)^T + k v^T reads the state before it decays; the primitive reads it after: the
    erase key is divided by w.
    """
    rng = np.random.default_rng(0)
    r, k, a = (rng.standard_normal((B, T, H, K)) for _ in range(3))
    v, kk, a = rng.standard_normal((B, T, H, V)), unit(rng.standard_normal((B, T, H, K))), 1 / (1 + np.exp(-a))
    g = -np.exp(-0.5) / (1 + np.exp(-rng.standard_normal((B, T, H, K))))
    S, outs = np.zeros((B, H, K, V)), []
    for t in range(T):
        read = np.einsum("bhkv,bhk->bhv", S, kk[:, t])
        S = np.exp(g[:, t])[..., None] * S - (a * kk)[:, t, ..., None] * read[..., None, :]
        S = S + k[:, t, ..., None] * v[:, t, ..., None, :]
        outs.append(np.einsum("bhkv,bhk->bhv", S, r[:, t]))
    steps = {
        "k": np.stack([a * kk, k], 2),
        "erase_key": np.stack([kk * np.exp(-g), 0 * k], 2),
        "v": np.stack([0 * v, v], 2),
        "beta": np.ones((B, T, 2, H)),
    }
    o, final = delta_product(r, **steps, g=g, scale=1, form=form, chunk=4)
    close(o, np.stack(outs, 1), 1e-13)
    close(final, S, 1e-13)


@every_form
def test_comba_reads_at_a_shorter_key(form):
    """S = alpha S + beta k (v - (alpha S)^T p)^T with p = d k, and the query corrected by D p."""
    x, rng = draw(gate="scalar"), np.random.default_rng(1)
    d, D = rng.uniform(0, 1, (H, 1)), rng.uniform(0, 1, (H, 1))
    p = d * x["k"]
    q, S, outs = x["q"] - D * p, x["initial_state"], []
    for t in range(T):
        S = np.exp(x["g"][:, t])[..., None, None] * S
        error = x["v"][:, t] - np.einsum("bhkv,bhk->bhv", S, p[:, t])
        S = S + (x["beta"][:, t, :, None] * x["k"][:, t])[..., None] * error[..., None, :]
        outs.append(np.einsum("bhkv,bhk->bhv", S, q[:, t]))
    o, final = delta_rule(**x | {"q": q}, erase_key=p, scale=1, form=form, chunk=4)
    close(o, np.stack(outs, 1), 1e-12)
    close(final, S, 1e-12)


@every_form
def test_gated_delta_net_2_erases_and_writes_by_channel(form):
    """S~ = exp(g) S; S = S~ + k (w v - S~^T (b k))^T: b and w for every channel, instead of one beta."""
    x, rng = draw(gate="vector"), np.random.default_rng(1)
    b, w = rng.uniform(0, 1, (B, T, H, K)), rng.uniform(0, 1, (B, T, H, V))
    S, outs = x["initial_state"], []
    for t in range(T):
        k, S = x["k"][:, t], np.exp(x["g"][:, t])[..., None] * S
        error = w[:, t] * x["v"][:, t] - np.einsum("bhkv,bhk->bhv", S, b[:, t] * k)
        S = S + k[..., None] * error[..., None, :]
        outs.append(np.einsum("bhkv,bhk->bhv", S, x["q"][:, t]) * K**-0.5)
    changed = {"erase_key": b * x["k"], "v": w * x["v"], "beta": np.ones((B, T, H))}
    o, final = delta_rule(**x | changed, form=form, chunk=4)
    close(o, np.stack(outs, 1), 1e-12)
    close(final, S, 1e-12)


def test_every_choice_of_options_runs():
    """Each form with each combination of optional arguments gives outputs of the documented shapes."""
    x = draw(2, gate="vector")
    for form, state, g, p, more in itertools.product(FORMS, *[(False, True)] * 4):
        optional = {"initial_state": state, "g": g}
        arguments = {n: a for n, a in x.items() if optional.get(n, True)} | ({"erase_key": x["k"]} if p else {})
        outs = delta_product(**arguments, form=form, chunk=4, return_states=more, check=True)
        assert [y.shape for y in outs] == [(B, T, H, V), (B, H, K, V), (B, 3, H, K, V)][: 2 + more]
