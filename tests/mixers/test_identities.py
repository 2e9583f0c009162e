"""How the mixers are related, what states they can follow, and that their defaults are those of the papers."""

from types import SimpleNamespace

import numpy as np
import pytest

import minilinear as ml
from minilinear.attention import GLA, LinearAttention, Mamba2, Retention, SimpleGLA, gla, linear, mamba2, retention
from minilinear.attention import simple_gla as simple
from minilinear.delta import (
    KDA,
    DeltaNet,
    DeltaProduct,
    GatedDeltaNet,
    GatedDeltaProduct,
    delta_net,
    delta_product,
    gated_delta_net,
    kda,
)
from minilinear.models import MIXERS as EVERY
from minilinear.recurrence import delta_rule, gated_linear_attention, with_signs
from tests.nn.modules import double
from tests.recurrence.cases import FORMS, close

MIXERS = {name: mixer for name, mixer in EVERY.items() if name != "softmax"}  # those with a memory
B, T, H, K, V, D = 2, 23, 3, 4, 5, 6
SMALL = {"heads": 2, "key_dim": 4, "value_dim": 3}
every_form = pytest.mark.parametrize("form", FORMS)


def draw(seed=0):
    """q, k (unit), v, beta in [0, 2], g (B, T, H), gv (B, T, H, K), sign and S0."""
    rng = np.random.default_rng(seed)
    k = rng.standard_normal((B, T, H, K))
    return SimpleNamespace(
        q=rng.standard_normal((B, T, H, K)),
        k=k / np.linalg.norm(k, axis=-1, keepdims=True),
        v=rng.standard_normal((B, T, H, V)),
        beta=rng.uniform(0, 2, (B, T, H)),
        g=-rng.exponential(size=(B, T, H)),
        gv=-rng.exponential(size=(B, T, H, K)),
        sign=rng.choice([-1.0, 1.0], (B, T, H)),
        S0=rng.standard_normal((B, H, K, V)),
    )


def tokens(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape)


def give(layer, **values):
    """Put values into Parameters named with __ for dots."""
    parameters = dict(layer.named_parameters())
    for name, value in values.items():
        p = parameters[name.replace("__", ".")]
        p.assign_(np.broadcast_to(np.asarray(value, p.dtype), p.shape))


def copy(source, target, *names):
    for name in names:
        give(target, **{name: dict(source.named_parameters())[name.replace("__", ".")].data})


# The definitions

X = draw()
DEFINITIONS = {
    "linear": (
        lambda x, S0: linear.recurrent(x.q, x.k, x.v, S0),
        lambda x, **o: gated_linear_attention(x.q, x.k, x.v, scale=1.0, **o),
    ),
    "retention without turning": (
        lambda x, S0: retention.recurrent(x.q, x.k, x.v, x.g, S0, turns=False),
        lambda x, **o: gated_linear_attention(x.q, x.k, x.v, g=x.g, **o),
    ),
    "simple_gla": (
        lambda x, S0: simple.recurrent(x.q, x.k, x.v, x.g, S0=S0),
        lambda x, **o: gated_linear_attention(x.q, x.k, x.v, g=x.g, **o),
    ),
    "simple_gla, negative": (
        lambda x, S0: simple.recurrent(x.q, x.k, x.v, x.g, x.sign, S0),
        lambda x, **o: with_signs(gated_linear_attention, x.q, x.k, x.v, g=x.g, sign=x.sign, **o),
    ),
    "mamba2": (
        lambda x, S0: mamba2.recurrent(x.q, x.k, x.v, x.g, S0=S0),
        lambda x, **o: gated_linear_attention(x.q, x.k, x.v, g=x.g, scale=1.0, **o),
    ),
    "mamba2, negative": (
        lambda x, S0: mamba2.recurrent(x.q, x.k, x.v, x.g, x.sign, S0),
        lambda x, **o: with_signs(gated_linear_attention, x.q, x.k, x.v, g=x.g, sign=x.sign, scale=1.0, **o),
    ),
    "gla": (
        lambda x, S0: gla.recurrent(x.q, x.k, x.v, x.gv, S0),
        lambda x, **o: gated_linear_attention(x.q, x.k, x.v, g=x.gv, **o),
    ),
    "delta_net": (
        lambda x, S0: delta_net.recurrent(x.q, x.k, x.v, x.beta, S0),
        lambda x, **o: delta_rule(x.q, x.k, x.v, beta=x.beta, **o),
    ),
    "gated_delta_net": (
        lambda x, S0: gated_delta_net.recurrent(x.q, x.k, x.v, x.beta, x.g, S0),
        lambda x, **o: delta_rule(x.q, x.k, x.v, beta=x.beta, g=x.g, **o),
    ),
    "kda": (
        lambda x, S0: kda.recurrent(x.q, x.k, x.v, x.beta, x.gv, S0),
        lambda x, **o: delta_rule(x.q, x.k, x.v, beta=x.beta, g=x.gv, **o),
    ),
}
every_definition = pytest.mark.parametrize("name", DEFINITIONS)


@every_definition
@every_form
@pytest.mark.parametrize("with_state", [False, True])
def test_the_definition_is_the_recurrence(name, form, with_state):
    """`recurrent` of each file, which multiplies matrices, against the function that the layer runs."""
    definition, fast = DEFINITIONS[name]
    S0 = X.S0 if with_state else None
    close(fast(X, initial_state=S0, form=form, chunk=8)[0], definition(X, S0), 1e-12)


def test_every_mixer_has_a_definition():
    modules = {name.split(",")[0].split(" ")[0] for name in DEFINITIONS}
    assert modules | {"delta_product", "gated_delta_product"} == MIXERS.keys()  # those: tests/delta


@every_definition
def test_the_definition_is_differentiable(name):
    definition, fast = DEFINITIONS[name]
    S0 = ml.tensor(X.S0, requires_grad=True)
    fields = ["q", "k", "v", "beta", "g", "gv"]
    found = []
    for run in (lambda x: definition(x, S0), lambda x: fast(x, initial_state=S0)[0]):
        x = SimpleNamespace(**{f: ml.tensor(getattr(X, f), requires_grad=True) for f in fields}, sign=X.sign)
        o = run(x)
        found.append(ml.grad((o * o).sum(), [S0, *(getattr(x, f) for f in fields)], allow_unused=True))
    for a, b in zip(*found, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            close(a.data, b.data, 1e-11)


# Who is whose special case: by A_t and B_t


def same(first, second, tol=1e-15):
    for a, b in zip(first, second, strict=True):
        close(np.broadcast_to(a, b.shape), b, tol)


def test_the_ladder():
    """I -> a number -> a diagonal -> I minus rank one -> both -> a product: each rung holds the one below."""
    x = draw()
    same(linear.transitions(x.k, x.v), simple.transitions(x.k, x.v, 0 * x.g))
    same(simple.transitions(x.k, x.v, x.g), gla.transitions(x.k, x.v, np.repeat(x.g[..., None], K, -1)))
    same(retention.transitions(x.k, x.v, x.g, turns=False), simple.transitions(x.k, x.v, x.g))
    same(delta_net.transitions(x.k, x.v, x.beta), gated_delta_net.transitions(x.k, x.v, x.beta, 0 * x.g))
    same(
        gated_delta_net.transitions(x.k, x.v, x.beta, x.g),
        kda.transitions(x.k, x.v, x.beta, np.repeat(x.g[..., None], K, -1)),
    )
    one_step = (a[:, :, None] for a in (x.k, x.v, x.beta))
    same(gated_delta_net.transitions(x.k, x.v, x.beta, x.g), delta_product.transitions(*one_step, x.g), 1e-14)
    A, _ = kda.transitions(x.k, x.v, 0 * x.beta, x.gv)
    close(A, gla.transitions(x.k, x.v, x.gv)[0], 1e-15)
    A, _ = simple.transitions(x.k, x.v, x.g, x.sign)
    close(np.trace(A, axis1=-2, axis2=-1) / K, x.sign * np.exp(x.g), 1e-14)


def test_the_eigenvalues_of_each_rung():
    """A diagonal keeps directions, a delta step has 1 - beta along its key and 1 elsewhere, times alpha."""
    x = draw()
    A, _ = delta_net.transitions(x.k, x.v, x.beta)
    close(np.einsum("bthij,bthj->bthi", A, x.k), (1 - x.beta)[..., None] * x.k, 1e-14)
    close(np.linalg.eigvalsh(A).sum(-1), K - x.beta, 1e-14)
    A, _ = gated_delta_net.transitions(x.k, x.v, x.beta, x.g)
    close(np.linalg.det(A), np.exp(K * x.g) * (1 - x.beta), 1e-13)
    A, _ = retention.transitions(x.k, x.v, x.g)
    close(np.abs(np.linalg.eigvals(A)), np.repeat(np.exp(x.g)[..., None], K, -1), 1e-13)
    close(A @ A.mT, np.exp(2 * x.g)[..., None, None] * np.eye(K) + 0 * A, 1e-13)
    assert np.abs(A - A.mT).max() > 0.1


# Who is whose special case: layer by layer


def test_gla_with_one_gate_for_all_channels_is_simple_gla():
    a = double(GLA(D, **SMALL, gate_rank=2, rng=np.random.default_rng(0)))
    b = double(SimpleGLA(D, **SMALL, convolution=0, activation="none", rng=np.random.default_rng(1)))
    copy(a, b, "qkv__weight", "gate__weight", "norm__weight", "output__weight")
    give(a, forget_down__weight=b.forget.weight.data, forget_up__bias=np.repeat(b.forget.bias.data, 4))
    give(a, forget_up__weight=np.repeat(np.eye(2), 4, 1))
    x = tokens(2, 40, D)
    close(a(x)[0].data, b(x)[0].data, 1e-12)


def test_gla_that_forgets_nothing_is_linear_attention():
    options = {"convolution": 0, "activation": "none"}
    a = double(GLA(D, **SMALL, gate_rank=2, rng=np.random.default_rng(0)))
    names = ("qkv__weight", "gate__weight", "norm__weight", "output__weight")
    plain = {"feature_map": "identity", "normalise": False, "output_norm": True, "output_gate": True}
    b = double(LinearAttention(D, **SMALL, **options, **plain, rng=np.random.default_rng(1)))
    copy(a, b, *names)
    give(a, forget_down__weight=0, forget_up__bias=800)  # sigmoid = 1
    x = tokens(2, 40, D)
    close(a(x)[0].data, b(x)[0].data, 1e-13)


def test_retention_without_turning_is_simple_gla_with_a_constant_gate():
    a = double(Retention(D, **SMALL, rope=False, rng=np.random.default_rng(0)))
    b = double(
        SimpleGLA(D, **SMALL, convolution=0, activation="none", gate_normalizer=1.0, rng=np.random.default_rng(1))
    )
    copy(a, b, "qkv__weight", "gate__weight", "norm__weight", "output__weight")
    gamma = 1 - 2.0 ** -np.array([5, 6])
    give(b, forget__weight=0, forget__bias=np.log(gamma / (1 - gamma)))
    x = tokens(2, 40, D)
    close(a(x)[0].data, b(x)[0].data, 1e-12)


@pytest.mark.parametrize("negative", [False, True])
def test_mamba_2_is_simple_gla_with_delta_in_the_key_and_another_scale(negative):
    """q = C, k = Delta B, g = -Delta exp(a), scale 1."""
    layer = double(Mamba2(D, **SMALL, groups=2, negative_eigenvalues=negative, rng=np.random.default_rng(0)))
    x = tokens(2, 40, D)
    inputs = {name: a.data if isinstance(a, ml.Tensor) else a for name, a in layer.prepare(x)[0].items()}
    got = simple.recurrent(inputs["q"] * 2, inputs["k"], inputs["v"], inputs["g"], inputs.get("sign"))  # sqrt(K) = 2
    close(layer.remember(inputs, None)[0], got, 1e-12)
    assert ("sign" in inputs) is negative
    delta = np.log1p(np.exp(x @ layer.time_step.weight.data + layer.time_step_bias.data))
    alpha = np.exp(-delta * np.exp(layer.log_rate.data))
    decay = np.exp(inputs["g"]) * inputs.get("sign", 1)
    close(decay, 2 * alpha - 1 if negative else alpha, 1e-12)


def test_gated_delta_net_that_forgets_nothing_is_delta_net():
    options = SMALL | {"convolution": 3}
    a = double(GatedDeltaNet(D, **options, rng=np.random.default_rng(0)))
    b = double(DeltaNet(D, **options, output_gate=True, rng=np.random.default_rng(1)))
    copy(a, b, *(n.replace(".", "__") for n, _ in b.named_parameters()))
    give(a, forget__log_rate=-800)  # g = 0
    x = tokens(2, 40, D)
    close(a(x)[0].data, b(x)[0].data, 1e-13)


def test_kda_with_one_gate_for_all_channels_is_gated_delta_net():
    a = double(KDA(D, **SMALL, output_gate=False, rng=np.random.default_rng(0)))
    b = double(GatedDeltaNet(D, **SMALL, output_gate=False, rng=np.random.default_rng(1)))
    copy(a, b, *(n.replace(".", "__") for n, _ in b.named_parameters() if "forget" not in n))
    down = np.zeros((D, 3))
    down[:, :2] = b.forget.projection.weight.data
    up = np.zeros((3, 8))
    up[:2] = np.repeat(np.eye(2), 4, 1)
    give(a, forget_down__weight=down, forget_up__weight=up, forget_bias=np.repeat(b.forget.bias.data, 4))
    give(a, log_rate=b.forget.log_rate.data)
    x = tokens(2, 40, D)
    close(a(x)[0].data, b(x)[0].data, 1e-12)


def test_a_product_whose_later_steps_write_nothing_is_one_step():
    """beta_2 = 0 through its weights: W_beta so negative for the second step that the sigmoid is 0."""
    options = SMALL | {"convolution": 0}
    a = double(GatedDeltaProduct(D, **options, R=2, rng=np.random.default_rng(0)))
    b = double(GatedDeltaProduct(D, **options, R=1, rng=np.random.default_rng(1)))
    copy(a, b, *(n.replace(".", "__") for n, _ in b.named_parameters() if n not in ("qkv.weight", "beta.weight")))
    w, beta = a.qkv.weight.data, a.beta.weight.numpy()
    give(b, qkv__weight=np.concatenate([w[:, :16], w[:, 24:30]], 1), beta__weight=beta[:, :2])
    beta[:, 2:] = 0
    beta[0, 2:] = -1e4
    give(a, beta__weight=beta)
    x = tokens(2, 30, D)
    x[..., 0] = 1
    close(a(x)[0].data, b(x)[0].data, 1e-12)


def test_two_reflections_at_one_key_are_none():
    layer = double(DeltaProduct(D, **SMALL, R=2, convolution=0, activation="none", rng=np.random.default_rng(0)))
    w, beta = layer.qkv.weight.numpy(), np.zeros((D, 4))
    w[:, 8:16] *= 1e4  # long, so that the 1e-6 in l2_norm does not count
    w[:, 16:24], w[:, 24:], beta[0] = w[:, 8:16], 0, 1e4
    give(layer, qkv__weight=w, beta__weight=beta)
    x, S0 = tokens(2, 30, D), tokens(2, 2, 4, 3)
    x[..., 0] = 1
    _, state = layer(x, type(layer.initial_state(2))(S0, layer.initial_state(2).convolution))
    close(state.memory.data, S0, 1e-9)


@every_form
def test_orthonormal_keys_and_full_strength_are_linear_attention_and_with_a_gate_simple_gla(form):
    x, basis = draw(), np.linalg.qr(tokens(K, K))[0]
    x.k = np.broadcast_to(basis[None, :, None], (B, K, H, K))
    q, v, g, ones = x.q[:, :K], x.v[:, :K], x.g[:, :K], np.ones((B, K, H))
    options = {"form": form, "chunk": 2}
    for gate in (None, g):
        expected = gated_linear_attention(q, x.k, v, g=gate, **options)
        for a, b in zip(delta_rule(q, x.k, v, beta=ones, g=gate, **options), expected, strict=True):
            close(a, b, 1e-13)


@every_form
def test_the_error_of_the_delta_rule_is_that_of_the_decayed_state(form):
    """S_t - S~ = beta k (v - S~^T k)^T with S~ = Diag(alpha) S_{t-1}, for a number and for a gate per channel."""
    x = draw()
    for g in (x.g, x.gv):
        _, final, entering = delta_rule(
            x.q, x.k, x.v, beta=x.beta, g=g, initial_state=x.S0, form=form, chunk=1, return_states=True
        )
        S = np.concatenate([entering, final[:, None]], 1)
        decayed = np.exp(g if g.ndim == 4 else g[..., None])[..., None] * S[:, :-1]
        error = x.v - np.einsum("bthkv,bthk->bthv", decayed, x.k)
        written = (x.beta[..., None] * x.k)[..., :, None] * error[..., None, :]
        close(S[:, 1:], decayed + written, 1e-13)


# What states they can follow


TOKENS = np.eye(3)  # begin, 0, 1


def word(n, seed=0):
    """begin x_1 .. x_n: tokens (1, n + 1, 3) and the parity after each."""
    x = np.random.default_rng(seed).integers(0, 2, n)
    return TOKENS[np.concatenate([[0], 1 + x])][None], np.concatenate([[0], np.cumsum(x) % 2])


def bare(Mixer, dtype=np.float64, **options):
    """A layer for three tokens with one number of state and all weights 0."""
    one = {"heads": 1, "key_dim": 1, "value_dim": 1, "convolution": 0}
    layer = double(Mixer(3, **one | options, rng=np.random.default_rng(0)))
    give(layer, **{name.replace(".", "__"): 0 for name, _ in layer.named_parameters()})
    return layer


@every_form
def test_simple_gla_with_negative_eigenvalues_counts_parity_with_weights_set_by_hand(form):
    """`begin` writes 1 and the ones turn it around: s_t = (1 - 2 x_t) s_{t-1}, exact at length 1000."""
    layer = bare(SimpleGLA, activation="none", negative_eigenvalues=True, gate_normalizer=1.0)
    give(layer, qkv__weight=[[0, 1, 1], [0, 0, 0], [0, 0, 0]], forget__weight=[[800], [800], [-800]])
    x, parity = word(1000)
    for t in (0, 1, 10, 999, 1000):
        _, state = layer(x[:, : t + 1], form=form, chunk=128)
        assert state.memory.data.item() == (-1.0) ** parity[t]


@every_form
def test_delta_net_with_beta_up_to_two_counts_parity_with_weights_set_by_hand(form):
    """k = v = 1, beta = 2 x: the state goes between 0 and 2, and the rule needs no token to begin with."""
    layer = bare(DeltaNet, activation="none", negative_eigenvalues=True)
    give(layer, qkv__weight=[[0, 1e6, 1]] * 3, beta__weight=[[-800], [-800], [800]])
    x, parity = word(500)
    for t in (0, 1, 10, 499, 500):
        _, state = layer(x[:, : t + 1], form=form)
        assert state.memory.data.item() == 2 * parity[t]


@pytest.mark.parametrize("Mixer", [SimpleGLA, DeltaNet])
def test_without_negative_eigenvalues_states_of_odd_and_even_words_meet(Mixer):
    """The same weights, float32: 1^n and 1^(n + 1) end in the same state, so nothing behind it can tell them apart."""
    layer = bare(Mixer, activation="none", **({"gate_normalizer": 1.0} if Mixer is SimpleGLA else {}))
    give(layer, qkv__weight=[[0, 1e3, 1]] * 3, **{"forget__bias": 2.0} if Mixer is SimpleGLA else {})
    for name, p in list(layer.named_parameters()):
        owner, last = layer, name.split(".")
        for part in last[:-1]:
            owner = getattr(owner, part)
        setattr(owner, last[-1], ml.nn.Parameter(p.data.astype(np.float32), decay=p.decay))
    ones = np.broadcast_to(TOKENS[2], (1, 401, 3)).astype(np.float32)
    even, odd = (layer(ones[:, :n], form="recurrent")[1].memory.data for n in (400, 401))
    assert even.dtype == np.float32
    assert even.item() == odd.item() != 0


# Attacks


@pytest.mark.parametrize("mixer", MIXERS)
@pytest.mark.parametrize("size", [1e-3, 100, 1e4])
def test_large_and_small_inputs_over_a_long_sequence_stay_finite(mixer, size):
    """float32, T = 2048: values and gradients, and no warning on the way."""
    layer = MIXERS[mixer](D, **SMALL, rng=np.random.default_rng(0))
    x = ml.tensor((size * tokens(1, 2048, D)).astype(np.float32), requires_grad=True)
    y, state = layer(x)
    gradients = ml.grad((y * y).mean() + (state.memory * 1e-6).sum(), [x, *layer.parameters()])
    assert y.dtype == np.float32
    assert all(np.isfinite(a.data).all() for a in (y, state.memory, *gradients))


@pytest.mark.parametrize("mixer", MIXERS)
@pytest.mark.parametrize("shape", [(0, 5, D), (2, 0, D), (0, 0, D)])
def test_nothing_comes_of_nothing(mixer, shape):
    """No sequences, or no tokens, in every form, with gradients."""
    layer = MIXERS[mixer](D, **SMALL, rng=np.random.default_rng(0))
    for form in FORMS:
        x = ml.tensor(np.zeros(shape, np.float32), requires_grad=True)
        y, state = layer(x, form=form)
        assert y.shape == shape
        ml.grad(y.sum() + ml.tensor(state.memory).sum(), [x, *layer.parameters()], allow_unused=True)
        assert not ml.tensor(state.memory).data.any()
    if shape[0] == 2:
        y, state = layer(np.zeros((1, 0, D), np.float32), cu_seqlens=(0, 0, 0))
        assert (y.shape, len(state.memory)) == ((1, 0, D), 2)


@pytest.mark.parametrize("mixer", MIXERS)
def test_one_head_one_channel_one_value(mixer):
    """The smallest layer there is, and odd sizes."""
    small = {"heads": 1, "key_dim": 2 if mixer == "retention" else 1, "value_dim": 1}
    odd = {"heads": 3, "key_dim": 6 if mixer == "retention" else 5, "value_dim": 7}
    for options, width in ((small, 1), (odd, 11)):
        layer = double(MIXERS[mixer](width, **options, rng=np.random.default_rng(0)))
        x = tokens(2, 9, width)
        y, _ = layer(x, chunk=4)
        z, _ = layer(x, form="recurrent")
        close(y.data, z.data, 1e-11)


# What the papers' layers have


def count(layer):
    return layer.parameter_count()


DEFAULTS = {
    # heads, K, V at D = 64; taps, activation; norm, output gate; write strength up to; forget gate; scale; parameters
    "linear": (8, 8, 8, 0, "none", None, None, None, None, 1.0, 4 * 64**2),
    "retention": (8, 8, 16, 0, "none", "head", "silu", None, "fixed", None, 8 * 64**2 + 16),
    "simple_gla": (4, 16, 16, 4, "silu", "head", "silu", None, "head", None, 5 * 64**2 + 4 * 192 + 64 * 4 + 4 + 16),
    "mamba2": (2, 128, 64, 4, "silu", "group", "silu", None, "head", 1.0, 64 * (3 * 128 + 256 + 2) + 5 * 384 + 134),
    "gla": (4, 8, 16, 0, "none", "head", "silu", None, "channel", None, 4 * 64**2 + 64 * 16 + 16 * 32 + 32 + 16),
    "delta_net": (4, 16, 16, 4, "silu", "head", None, 1.0, None, None, 4 * 64**2 + 4 * 192 + 64 * 4 + 16),
    "gated_delta_net": (4, 12, 24, 4, "silu", "head", "silu", 1.0, "head", None, 6 * 64**2 + 4 * 192 + 544),
    "delta_product": (4, 12, 24, 4, "silu", "head", "silu", 2.0, None, None, 8.25 * 64**2 + 4 * 336 + 2 * 256 + 24),
    "gated_delta_product": (
        4, 12, 24, 4, "silu", "head", "silu", 2.0, "head", None, 8.25 * 64**2 + 4 * 336 + 3 * 256 + 8 + 24,
    ),
    "kda": (
        4, 16, 16, 4, "silu", "head", "sigmoid", 1.0, "channel", None,
        4 * 64**2 + 4 * 192 + 64 * 4 + 2 * (64 * 16 + 16 * 64 + 64) + 4 + 16,
    ),
}  # fmt: skip


@pytest.mark.parametrize("mixer", MIXERS)
def test_the_defaults_are_those_of_the_papers(mixer):
    layer = MIXERS[mixer](64, rng=np.random.default_rng(0))
    heads, key, value, taps, activation, norm, gate, strength, forgets, scale, parameters = DEFAULTS[mixer]
    assert (layer.heads, layer.key_dim, layer.value_dim) == (heads, key, value)
    assert layer.memory_shape() == (heads, key, value + (mixer == "linear"))
    assert (0 if layer.convolution is None else len(layer.convolution.weight.data)) == taps
    assert (layer.convolution is not None and layer.convolution.bias is not None) == (mixer == "mamba2")
    assert float(ml.tensor(layer.activation(np.ones(1))).data[0]) == pytest.approx(
        1 if activation == "none" else 0.7310586
    )
    assert (layer.norm is not None) == (norm == "head")
    if norm == "head":
        assert layer.norm.weight.shape == (value,)
        assert layer.norm.eps == 1e-5
    assert hasattr(layer, "norm_weight") == (norm == "group")
    if gate == "sigmoid":
        assert (layer.gate, layer.gate_up.bias is None, layer.gate_down.bias) == (None, False, None)
    else:
        assert (layer.gate is not None) == (gate == "silu")
        assert layer.gate is None or layer.through_gate(np.ones(1), np.ones(1))[0] == pytest.approx(0.7310586)
    assert getattr(layer, "beta_range", None) == strength
    assert layer.scale == scale
    assert layer.steps == (2 if "product" in mixer else None)
    inputs, _ = layer.prepare(tokens(1, 3, 64).astype(np.float32))
    shapes = {None: None, "fixed": (1, 3, heads), "head": (1, 3, heads), "channel": (1, 3, heads, key)}
    assert (inputs["g"].shape if "g" in inputs else None) == shapes[forgets]
    assert count(layer) == parameters


@pytest.mark.parametrize(("mixer", "lowest", "highest"), [("simple_gla", 0.958, 0.958), ("gla", 0.958, 0.958)])
def test_an_untrained_gate_keeps_0_958_of_its_state(mixer, lowest, highest):
    """sigmoid(0)^(1/16): at the token 0, where every projection is 0."""
    layer = MIXERS[mixer](64, rng=np.random.default_rng(0))
    alpha = np.exp(layer.prepare(np.zeros((1, 1, 64), np.float32))[0]["g"].data)
    assert alpha.min().round(3) == lowest
    assert alpha.max().round(3) == highest


@pytest.mark.parametrize(
    ("mixer", "lowest_rate"), [("mamba2", 1), ("gated_delta_net", 0), ("gated_delta_product", 0), ("kda", 1)]
)
def test_untrained_decay_gates_remember_for_a_few_to_thousands_of_tokens(mixer, lowest_rate):
    """g = -rate dt with rates in (lowest, 16) and dt in [1e-3, 1e-1] at the token 0."""
    wide = {"value_dim": 1} if mixer == "mamba2" else {"heads": 256, "key_dim": 2, "value_dim": 2}
    layer = MIXERS[mixer](256, **wide, rng=np.random.default_rng(0))
    g = layer.prepare(np.zeros((1, 1, 256), np.float32))[0]["g"].data
    rates = np.exp((layer.forget.log_rate if hasattr(layer, "forget") else layer.log_rate).data)
    assert lowest_rate <= rates.min() < lowest_rate + 0.3
    assert 15.5 < rates.max() <= 16
    dt = (-g[0, 0].T / rates).T if mixer == "kda" else -g[0, 0] / rates
    assert 0.9e-3 < dt.min() < 1.2e-3
    assert 0.09 < dt.max() < 0.101


def test_the_bounded_gate_of_kda_stays_above_minus_five():
    layer = KDA(64, gate="bounded", rng=np.random.default_rng(0))
    assert (layer.log_rate.data == 0).all()
    for size in (0, 1, 1e4):
        g = layer.prepare((size * tokens(1, 50, 64)).astype(np.float32))[0]["g"].data
        assert (g >= -5).all()
        assert (g <= 0).all()
    assert g.min() == -5
    start = layer.prepare(np.zeros((1, 1, 64), np.float32))[0]["g"].data
    close(start, (-5 / (1 + np.exp(-layer.forget_bias.data.astype(float)))).reshape(1, 1, 4, 16), 1e-6)


@pytest.mark.parametrize("mixer", MIXERS)
def test_the_norm_has_the_eps_it_is_given(mixer):
    """With eps far above the mean square of o, the norm divides by its root: a hundred times the eps, a tenth of y."""
    options = SMALL | ({"output_norm": True} if mixer == "linear" else {})
    x, ys = tokens(1, 5, D), []
    for eps in (1e8, 1e10):
        layer = double(MIXERS[mixer](D, **options, norm_eps=eps, rng=np.random.default_rng(0)))
        ys.append(layer(x)[0].data)
    close(10 * ys[1], ys[0], 1e-5)


@pytest.mark.parametrize("mixer", MIXERS)
def test_projections_start_small(mixer):
    """Xavier-uniform with the gain 2^-2.5 of the released layers for q, k, v, what gates o, beta and y; the sigmoid
    gates of GLA and simple GLA and the write strength of the other layers start with gain 1.
    """
    layer = MIXERS[mixer](64, rng=np.random.default_rng(0))
    widths = (layer.qkv.weight.parts, (layer.heads * layer.value_dim,))
    maps = {
        "qkv": widths[0],
        "gate": widths[1],
        "beta": (layer.heads * (layer.steps or 1),),
        "time_step": (layer.heads,),
    }
    for name, parts in maps.items():
        part = getattr(layer, name, None)
        if part is not None:
            bounds = 2**-2.5 * np.sqrt(6 / (64 + np.array(parts)))
            for w, bound in zip(np.split(part.weight.data, np.cumsum(parts)[:-1], 1), bounds, strict=True):
                assert 0.95 * bound < np.abs(w).max() <= bound, name
    w = layer.output.weight.data
    assert 0.95 < np.abs(w).max() / (2**-2.5 * np.sqrt(6 / sum(w.shape))) <= 1
    for name in ("forget", "forget_down"):
        w = getattr(getattr(layer, name, None), "weight", None)
        if w is not None:
            gain = 2**-2.5 if mixer == "kda" else 1
            assert 0.9 < np.abs(w.data).max() / (gain * np.sqrt(6 / sum(w.shape))) <= 1
