"""Softmax attention is its formula in every form and block size, and the layer is the same cut anywhere."""

import tracemalloc
from itertools import pairwise, product

import numpy as np
import pytest

import minilinear as ml
from minilinear import backend
from minilinear.attention import (
    SoftmaxAttention,
    SoftmaxAttentionState,
    merge_attention,
    rotate,
    softmax,
    softmax_attention,
)
from minilinear.attention.softmax import chunk_backward, chunk_forward
from minilinear.errors import ConfigError, ShapeError
from minilinear.nn import Linear
from tests.autograd.strict import Strict
from tests.nn.modules import check_gradients, double
from tests.recurrence.cases import FORMS, close, gradients, leaves

B, K, V = 2, 3, 4
every_form = pytest.mark.parametrize("form", FORMS)
HEADS = [(4, 4), (4, 2), (3, 1)]  # of queries, of keys
WINDOWS = [None, 1, 2, 5, 16, 100]


def inputs(T, S=None, heads=(4, 2), sink=False, seed=0, batch=B, size=1.0):
    rng, (H, G), S = np.random.default_rng(seed), heads, T if S is None else S
    shapes = {"q": (batch, T, H, K), "k": (batch, S, G, K), "v": (batch, S, G, V)} | ({"sink": (H,)} if sink else {})
    return {name: size * rng.standard_normal(shape) for name, shape in shapes.items()}


def by_formula(q, k, v, scale=None, window=None, sink=None):
    """The equations, number by number, in long double, where exp does not overflow: o, and log Z."""
    q, k, v = (x.astype(np.longdouble) for x in (q, k, v))
    (batch, T, H, K), (_, S, G, V) = q.shape, v.shape
    o, lse = np.zeros((batch, T, H, V), np.longdouble), np.zeros((batch, T, H), np.longdouble)
    for b, t, h in product(range(batch), range(T), range(H)):
        i = S - T + t
        seen = [j for j in range(S) if j <= i and (window is None or i - j < window)]
        e = [np.exp((K**-0.5 if scale is None else scale) * (q[b, t, h] @ k[b, j, h // (H // G)])) for j in seen]
        Z = sum(e) + (0 if sink is None else np.exp(np.longdouble(sink[h])))
        o[b, t, h] = sum(p * v[b, j, h // (H // G)] for p, j in zip(e, seen)) / Z
        lse[b, t, h] = np.log(Z)
    return o, lse


def with_gradients(x, seed=1, **options):
    """o and log Z, and the gradient of every input, with a cotangent on both."""
    tensors = leaves(x)
    outs = softmax_attention(**tensors, return_lse=True, **options)
    rng = np.random.default_rng(seed)
    weights = [rng.standard_normal(y.shape).astype(y.dtype) for y in outs]
    return [y.data for y in outs], gradients(outs, weights, tensors)


def agree(found, expected, tol):
    for y, z in zip(found[0], expected[0], strict=True):
        close(y, z, tol)
    assert found[1].keys() == expected[1].keys()
    for name, d in found[1].items():
        close(d, expected[1][name], tol, f"gradient of {name}")


# Values and gradients


@every_form
@pytest.mark.parametrize("heads", HEADS)
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("sink", [False, True])
@pytest.mark.parametrize(("T", "S"), [(1, 1), (13, 13), (5, 23), (1, 9)])
def test_it_is_the_formula(form, heads, window, sink, T, S):
    x = inputs(T, S, heads, sink)
    for found, expected in zip(
        softmax_attention(**x, window=window, form=form, chunk=4, return_lse=True), by_formula(**x, window=window)
    ):
        close(found, expected, 1e-14)


@every_form
def test_the_scale_is_a_factor_of_the_products(form):
    x = inputs(6)
    close(softmax_attention(**x, scale=0.3, form=form), by_formula(**x, scale=0.3)[0], 1e-14)


@pytest.mark.parametrize("chunk", [1, 16, 64, 128])
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(("heads", "sink"), [((4, 4), False), ((4, 2), True), ((3, 1), False)])
@pytest.mark.parametrize(("T", "S"), [(1, 1), (13, 13), (70, 70), (30, 50)])
def test_the_three_forms_agree_in_values_and_gradients(chunk, window, heads, sink, T, S):
    x = inputs(T, S, heads, sink)
    expected = with_gradients(x, window=window, form="parallel")
    agree(with_gradients(x, window=window, chunk=chunk), expected, 1e-13)
    if chunk == 64:
        agree(with_gradients(x, window=window, form="recurrent"), expected, 1e-13)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("sink", [False, True])
@pytest.mark.parametrize("window", [None, 2])
@pytest.mark.parametrize("form", FORMS)
def test_gradients_are_the_slopes(order, sink, window, form):
    x = inputs(4, 5, (2, 1), sink, batch=1)

    def run(q, k, v, sink=None):
        return softmax_attention(q, k, v, sink=sink, window=window, form=form, chunk=2, return_lse=True)

    ml.gradcheck(run, list(x.values()), order=order)


@pytest.mark.parametrize("only", [0, 1])
def test_one_of_the_two_outputs_may_be_unused(only):
    """log Z alone has the gradient P: of q_i it is scale sum_j p_ij k_j. Without log Z, its cotangent is 0."""
    x = leaves(inputs(7, heads=(2, 2)))
    outs = softmax_attention(**x, chunk=4, return_lse=True)
    found = gradients(outs[only : only + 1], [np.ones(outs[only].shape)], x)
    parallel = softmax_attention(**x, form="parallel", return_lse=True)
    expected = gradients(parallel[only : only + 1], [np.ones(outs[only].shape)], x)
    for name in x:
        close(found[name], expected[name], 1e-14, name)
    if only == 1:
        mean_key = softmax_attention(x["q"].data, x["k"].data, x["k"].data)
        close(found["q"], mean_key * K**-0.5, 1e-14)
        assert not found["v"].any()


@pytest.mark.parametrize("threads", ["1", "2", "4"])
@pytest.mark.parametrize("tile", [1, 2000, 1 << 16])
def test_neither_threads_nor_the_size_of_tiles_change_anything(threads, tile, monkeypatch):
    monkeypatch.setenv("MINILINEAR_THREADS", threads)
    monkeypatch.setattr(backend, "SMALL", 0)
    monkeypatch.setattr(softmax, "TILE", tile)
    x = inputs(40, heads=(6, 3), sink=True, batch=3)
    agree(with_gradients(x, window=21, chunk=8), with_gradients(x, window=21, form="parallel"), 1e-12)


def test_keys_may_come_a_block_at_a_time(monkeypatch):
    monkeypatch.setattr(softmax, "WIDTH", 1)
    for window in WINDOWS:
        for heads in HEADS:
            x = inputs(30, 50, heads, sink=True)
            agree(with_gradients(x, window=window, chunk=8), with_gradients(x, window=window, form="parallel"), 1e-13)


@every_form
def test_no_tokens_no_batch(form):
    o, lse = softmax_attention(**inputs(0, 3), form=form, return_lse=True)
    assert (o.shape, lse.shape) == ((B, 0, 4, V), (B, 0, 4))
    assert softmax_attention(**inputs(5, batch=0), form=form).shape == (0, 5, 4, V)
    x = inputs(5)
    x |= {name: x[name][..., :0] for name in "qk"}  # all scores are 0: a mean of the values so far
    np.testing.assert_allclose(softmax_attention(**x, form=form)[:, -1, 0], x["v"].mean(1)[:, 0], rtol=1e-12)
    x = leaves(inputs(0, 3, sink=True))
    for d in ml.grad(softmax_attention(**x, form=form).sum(), list(x.values())):
        assert not d.data.any()


# Identities


def no_products(T, **options):
    x = inputs(T, **options)
    return x | {"q": np.zeros_like(x["q"])}


@every_form
@pytest.mark.parametrize("window", [None, 5])
def test_weights_of_a_row_sum_to_1_and_with_a_sink_to_less(form, window):
    x = inputs(13, sink=True)
    ones = x | {"v": np.ones_like(x["v"])}
    o, lse = softmax_attention(**ones, window=window, form=form, chunk=4, return_lse=True)
    close(o, np.broadcast_to(1 - np.exp(x["sink"] - lse)[..., None], o.shape), 1e-14)
    del ones["sink"]
    o = softmax_attention(**ones, window=window, form=form, chunk=4)
    close(o, np.ones_like(o), 1e-15)


@every_form
def test_a_window_of_all_tokens_is_none_and_a_window_of_one_gives_the_value(form):
    x = inputs(13)
    full = softmax_attention(**x, form=form, chunk=4)
    for window in (13, 14, 1000):
        close(softmax_attention(**x, window=window, form=form, chunk=4), full, 1e-15)
    close(softmax_attention(**x, window=1, form=form, chunk=4), np.repeat(x["v"], 2, 2), 0)
    assert np.abs(softmax_attention(**x, window=12, form=form, chunk=4) - full)[:, 12].min() > 1e-6
    close(softmax_attention(**x, window=12, form=form, chunk=4)[:, :12], full[:, :12], 1e-15)


@every_form
@pytest.mark.parametrize("window", [None, 4])
def test_without_a_query_it_is_the_running_mean(form, window):
    x = no_products(13)
    o = softmax_attention(**x, window=window, form=form, chunk=4)
    for t in range(13):
        mean = x["v"][:, 0 if window is None else max(0, t - 3) : t + 1].mean(1)
        close(o[:, t], np.repeat(mean, 2, 1), 1e-15)


def test_a_sink_of_minus_infinity_is_none():
    x = inputs(13)
    close(softmax_attention(**x, sink=np.full(4, -np.inf)), softmax_attention(**x), 0)


@every_form
def test_one_key_head_for_each_query_head_is_the_same_as_repeated_ones(form):
    x = inputs(13, heads=(4, 2))
    repeated = x | {"k": np.repeat(x["k"], 2, 2), "v": np.repeat(x["v"], 2, 2)}
    (o, d), (o_repeated, d_repeated) = (with_gradients(y, form=form, chunk=4) for y in (x, repeated))
    close(o[0], o_repeated[0], 1e-15)
    close(d["q"], d_repeated["q"], 1e-14)
    for name in "kv":  # the gradient is the sum over the group
        close(d[name], d_repeated[name].reshape(B, 13, 2, 2, -1).sum(3), 1e-14)


def test_every_head_is_by_itself_when_there_are_as_many():
    x = inputs(13, heads=(3, 3))
    o = softmax_attention(**x, chunk=4)
    for h in range(3):
        close(o[:, :, h : h + 1], softmax_attention(*(a[:, :, h : h + 1] for a in x.values()), chunk=4), 1e-15)


def test_with_rotary_positions_a_shift_of_all_changes_nothing():
    x = inputs(13, heads=(2, 2))
    here, there = (
        softmax_attention(
            rotate(x["q"][..., :2], n + np.arange(13)), rotate(x["k"][..., :2], n + np.arange(13)), x["v"]
        )
        for n in (0, 100)
    )
    close(there, here, 1e-13)
    assert np.abs(here - softmax_attention(x["q"][..., :2], x["k"][..., :2], x["v"])).max() > 0.01


def test_two_halves_merged_are_the_whole():
    """Earlier keys, seen by all of these queries, and the queries' own: with gradients, and log Z."""
    x = inputs(6, 15, heads=(4, 4))
    S, T = 15, 6

    def halves(q, k, v):
        own = softmax_attention(q, k[:, S - T :], v[:, S - T :], return_lse=True)
        s = np.einsum("bthk,bshk->bths", q, k[:, : S - T], optimize=True) * K**-0.5
        Z = np.exp(s).sum(-1, keepdims=True)
        earlier = np.einsum("bths,bshv->bthv", np.exp(s) / Z, v[:, : S - T], optimize=True)
        return merge_attention(earlier, np.log(Z)[..., 0], *own)

    tensors = leaves(x)
    rng = np.random.default_rng(1)
    weights = [rng.standard_normal((B, T, 4, V)), rng.standard_normal((B, T, 4))]
    outs = halves(**tensors)
    agree(([y.data for y in outs], gradients(outs, weights, tensors)), with_gradients(x), 1e-13)


def test_merging_with_nothing_changes_nothing():
    x = inputs(6, heads=(4, 4))
    o, lse = softmax_attention(**x, return_lse=True)
    nothing = np.zeros_like(o), np.full_like(lse, -np.inf)
    for found in (merge_attention(o, lse, *nothing), merge_attention(*nothing, o, lse)):
        close(found[0], o, 0)
        close(found[1], lse, 0)
    o, lse = merge_attention(*nothing, *nothing)
    assert not o.any()
    assert (lse == -np.inf).all()


def test_merging_is_symmetric_and_survives_large_numbers():
    x = inputs(6, heads=(4, 4))
    o, lse = softmax_attention(**x, return_lse=True)
    for y, z in zip(merge_attention(o, lse + 1e4, 2 * o, lse - 1e4), (o, lse + 1e4)):
        close(y, z, 1e-15)
    for y, z in zip(merge_attention(o, lse, 2 * o, lse + 1), merge_attention(2 * o, lse + 1, o, lse)):
        close(y, z, 1e-15)


# Time


@every_form
@pytest.mark.parametrize("window", [None, 4])
def test_no_output_depends_on_a_later_token(form, window):
    x = leaves(inputs(13))
    o = softmax_attention(**x, window=window, form=form, chunk=4)
    for name, d in gradients([o[:, 6]], [np.ones((B, 4, V))], x).items():
        first = 6 if name == "q" else 0 if window is None else 3
        assert d[:, first:7].any(axis=(0, 2, 3)).all(), name
        assert not d[:, 7:].any(), name
        assert not d[:, :first].any(), name


@every_form
@pytest.mark.parametrize("window", [None, 3])
def test_queries_are_the_last_tokens(form, window):
    x = inputs(13, sink=True)
    whole = softmax_attention(**x, window=window, form=form, chunk=4)
    for t in range(14):
        last = softmax_attention(**x | {"q": x["q"][:, t:]}, window=window, form=form, chunk=4)
        close(last, whole[:, t:], 1e-14)


@every_form
@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("sink", [False, True])
def test_packed_sequences_are_separate_runs(form, window, sink):
    x = inputs(14, 20, sink=sink, batch=1)
    starts, key_starts = (0, 0, 1, 3, 3, 9, 14), (0, 2, 3, 6, 6, 15, 20)
    options = {"window": window, "form": form, "chunk": 2}
    found = with_gradients(x, cu_seqlens=starts, key_cu_seqlens=key_starts, **options)
    tensors = leaves(x)
    parts = []
    for (a, b), (c, d) in zip(pairwise(starts), pairwise(key_starts)):
        own = {"q": tensors["q"][:, a:b], "k": tensors["k"][:, c:d], "v": tensors["v"][:, c:d]}
        parts.append(softmax_attention(**tensors | own, return_lse=True, **options))
    outs = [np.concatenate(y, 1) for y in zip(*parts)]
    rng = np.random.default_rng(1)
    weights = [rng.standard_normal(y.shape) for y in outs]
    agree(found, ([y.data for y in outs], gradients(outs, weights, tensors)), 1e-13)


# Precision, memory, and where it runs


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [1, 1e3])
def test_float32_stays_finite_and_right_whatever_the_logits(form, size):
    """Scores around 1e3: exp of one overflows even in float64."""
    x = inputs(70, heads=(4, 2), sink=True)
    x["q"] *= size
    rough = {name: a.astype(np.float32) for name, a in x.items()}
    exact = {name: a.astype(np.float64) for name, a in rough.items()}
    found = with_gradients(rough, form=form, chunk=16)
    assert all(a.dtype == np.float32 and np.isfinite(a).all() for a in (*found[0], *found[1].values()))
    agree(found, with_gradients(exact, form="parallel"), 1e-6 if size == 1 else 2e-4)


@pytest.mark.parametrize("name", ["q", "k", "v", "sink"])
def test_one_float64_input_makes_the_result_float64(name):
    x = {n: a.astype(np.float64 if n == name else np.float32) for n, a in inputs(20, sink=True).items()}
    outs, d = with_gradients(x, chunk=4)
    expected, d_expected = with_gradients(x, form="parallel")
    assert outs[0].dtype == expected[0].dtype == np.float64
    for y, z in zip(outs, expected):
        close(y, z, 1e-6)
    for n in x:
        assert d[n].dtype == d_expected[n].dtype == x[n].dtype
        close(d[n], d_expected[n], 1e-6)


def test_a_query_that_prefers_one_key_by_far_gets_its_value():
    x = inputs(20, heads=(1, 1))
    x["k"][:] = 0
    x["k"][:, 5, :, 0], x["q"][..., 0] = 1e5, 1e5
    o = softmax_attention(**{n: a.astype(np.float32) for n, a in x.items()}, chunk=2)
    close(o[:, 5:], np.broadcast_to(x["v"][:, 5:6].astype(np.float32), o[:, 5:].shape), 0)


def peak(compute):
    tracemalloc.start()
    try:
        compute()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("window", [None, 64])
def test_memory_of_the_chunk_form_grows_linearly(window):
    peaks = []
    for T in (512, 2048):
        x = {n: a.astype(np.float32) for n, a in inputs(T, heads=(2, 2), batch=1).items()}
        peaks.append(peak(lambda x=x: with_gradients(x, window=window, chunk=16)))
    assert np.log(peaks[1] / peaks[0]) / np.log(4) < 1.1


def test_it_runs_on_arrays_that_take_only_what_cupy_takes():
    x = inputs(9, 11, sink=True)
    strict = {name: Strict(a) for name, a in x.items()}
    for form in FORMS:
        o, lse = softmax_attention(**strict, window=5, form=form, chunk=2, return_lse=True)
        expected = softmax_attention(**x, window=5, form=form, chunk=2, return_lse=True)
        close(o.get(), expected[0], 1e-15)
        close(lse.get(), expected[1], 1e-15)
        for y, z in zip(merge_attention(o, lse, o, lse), merge_attention(*expected, *expected)):
            close(y.get(), z, 1e-15)
    options = {"window": 5, "chunk": 2, "sequences": ((slice(0, 9), slice(0, 11)),)}
    outs, expected = chunk_forward(*strict.values(), **options), chunk_forward(*x.values(), **options)
    d, d_expected = (
        chunk_backward(y, y, a.values(), (True,) * 4, **options) for y, a in ((outs, strict), (expected, x))
    )
    for y, z in zip(d, d_expected, strict=True):
        close(y.get(), z, 1e-15)


@pytest.mark.peers
@pytest.mark.parametrize("heads", HEADS)
@pytest.mark.parametrize("window", [None, 1, 7, 64])
@pytest.mark.parametrize(("T", "S"), [(70, 70), (20, 50)])
def test_it_is_that_of_pytorch(heads, window, T, S):
    import torch

    x = inputs(T, S, heads)
    tensors = {n: torch.tensor(a, requires_grad=True) for n, a in x.items()}
    i, j = torch.arange(S - T, S)[:, None], torch.arange(S)
    mask = (j <= i) & (i - j < (window or S))
    o = torch.nn.functional.scaled_dot_product_attention(
        *(t.transpose(1, 2) for t in tensors.values()), attn_mask=mask, enable_gqa=True
    ).transpose(1, 2)
    weight = np.random.default_rng(1).standard_normal(o.shape)
    o.backward(torch.tensor(weight))
    for form in FORMS:
        ours = leaves(x)
        y = softmax_attention(**ours, window=window, form=form, chunk=16)
        close(y.data, o.detach().numpy(), 1e-14)
        for name, d in gradients([y], [weight], ours).items():
            close(d, tensors[name].grad.numpy(), 1e-13, name)


# What it refuses


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"q": np.zeros((2, 5, 4))}, "q must have 4 axes"),
        (
            {"k": np.zeros((2, 5, 2, 4))},
            r"k must have shape \(B, S, G, K\) = \(2, 5, 2, 3\) as q has it; axis K differs",
        ),
        ({"v": np.zeros((2, 6, 2, 4))}, r"v must have shape .* axis S differs"),
        (
            {"k": np.zeros((2, 5, 3, 3)), "v": np.zeros((2, 5, 3, 4))},
            "as many query heads.\n  got: 4 query heads, 3 key",
        ),
        ({"q": np.zeros((2, 6, 4, 3))}, "The queries are the last tokens of their sequence"),
        ({"sink": np.zeros(3)}, r"sink must have shape \(H\) = \(4,\)"),
        ({"q": np.zeros((2, 5, 4, 3), int)}, "q is floating point"),
        ({"sink": np.zeros(4, int)}, "sink is floating point"),
        ({"window": 0}, "window is 1 or more: a query sees itself.\n  got: 0"),
        ({"window": 2.5}, "window is 1 or more"),
        ({"form": "fast"}, "form is one of"),
        ({"chunk": 12}, "power of two"),
        ({"cu_seqlens": (0, 5)}, "batch of one"),
    ],
)
def test_wrong_inputs_are_named(wrong, rule):
    with pytest.raises((ValueError, TypeError), match=rule):
        softmax_attention(**inputs(5) | wrong)


@pytest.mark.parametrize(
    ("starts", "key_starts", "rule"),
    [
        ((0, 4, 3, 5), None, "counts up from 0 to T = 5"),
        ((0, 2, 5), (0, 2, 7, 9), "2 and 3 sequences"),
        ((0, 3, 5), (0, 2, 9), r"got: \(queries, keys\) of each sequence \[\(3, 2\), \(2, 7\)\]"),
        ((0, 3, 5), (0, 3, 8), "counts up from 0 to T = 9"),
    ],
)
def test_wrong_packing_is_named(starts, key_starts, rule):
    with pytest.raises(ValueError, match=rule):
        softmax_attention(**inputs(5, 9, batch=1), cu_seqlens=starts, key_cu_seqlens=key_starts)


def test_merging_names_wrong_shapes():
    o, lse = np.zeros((2, 5, 4, 3)), np.zeros((2, 5, 4))
    with pytest.raises(ShapeError, match=r"lse2 must have shape \(B, T, H\) = \(2, 5, 4\) as o1 has it"):
        merge_attention(o, lse, o, lse[:, :4])


# The layer

D = 8
VARIANTS = {
    "default": {},
    "grouped": {"kv_heads": 2, "value_dim": 3},
    "window": {"window": 3},
    "window of one": {"window": 1, "rope": False},
    "window longer than all": {"window": 50, "kv_heads": 1},
    "rms": {"qk_norm": "rms", "kv_heads": 2},
    "l2": {"qk_norm": "l2", "window": 4},
    "sink": {"sink": True, "key_dim": 4, "rope_base": 100.0},
    "all": {"kv_heads": 2, "key_dim": 4, "value_dim": 3, "window": 5, "qk_norm": "rms", "sink": True},
}
every_variant = pytest.mark.parametrize("name", VARIANTS)


def layer_and_input(name, T=13, batch=B):
    rng = np.random.default_rng(0)
    layer = double(SoftmaxAttention(D, **{"heads": 4} | VARIANTS[name], rng=rng))
    return layer, rng.standard_normal((batch, T, D))


def by_definition(layer, x):
    """The equations of the class, with the matrices and gains of the layer, in plain NumPy."""
    (batch, T, _), H, G, K, V = x.shape, layer.heads, layer.kv_heads, layer.key_dim, layer.value_dim
    q, k, v = np.split(x @ layer.qkv.weight.data, [H * K, H * K + G * K], -1)
    q, k, v = q.reshape(batch, T, H, K), k.reshape(batch, T, G, K), v.reshape(batch, T, G, V)
    scale = K**-0.5
    if layer.qk_norm == "rms":
        q, k = (a / np.sqrt((a * a).mean(-1, keepdims=True) + 1e-5) for a in (q, k))
        q, k = q * layer.q_norm.weight.data, k * layer.k_norm.weight.data
    if layer.qk_norm == "l2":
        q, k = (a / np.sqrt((a * a).sum(-1, keepdims=True) + 1e-6) for a in (q, k))
        q, scale = q * layer.temperature.data, 1
    if layer.rope:
        q, k = (rotate(a, np.arange(T), base=layer.rope_base) for a in (q, k))
    sink = None if layer.sink is None else layer.sink.data
    o, _ = by_formula(q, k, v, scale, layer.window, sink)
    return o.reshape(batch, T, H * V).astype(float) @ layer.output.weight.data


def held(layer, state):
    """What the slots in use hold, sequence by sequence: keys and values (slots in use, G, K or V)."""
    found = []
    for i, n in enumerate(state.position):
        n = min(n, layer.window or n)
        found.append([ml.tensor(a).data[i, :n] for a in state[:2]])
    return found


def same_states(layer, a, b, tol=1e-12):
    assert type(a) is type(b) is SoftmaxAttentionState
    assert a.position.tolist() == b.position.tolist()
    for x, y in zip(held(layer, a), held(layer, b)):
        for one, other in zip(x, y):
            close(one, other, tol)


@every_variant
@every_form
@pytest.mark.parametrize("chunk", [1, 4, 64])
def test_the_layer_is_its_definition(name, form, chunk):
    layer, x = layer_and_input(name)
    close(layer(x, form=form, chunk=chunk)[0].data, by_definition(layer, x), 1e-12)


@every_variant
@pytest.mark.parametrize("gradients_flow", [True, False])
def test_a_loop_of_steps_is_the_forward(name, gradients_flow):
    layer, x = layer_and_input(name)
    y, final = layer(x)
    state = layer.initial_state(B)
    state = SoftmaxAttentionState(*(a.astype(float) for a in state[:2]), state.position)
    with ml.no_grad() if not gradients_flow else ml.use("numpy"):
        for t in range(x.shape[1]):
            y_t, state = layer.step(x[:, t], state)
            close(y_t.data, y.data[:, t], 1e-12)
    same_states(layer, state, final)


@every_variant
def test_steps_after_a_forward_go_on_and_leave_what_is_in_a_graph_alone(name):
    layer, x = layer_and_input(name)
    t = ml.tensor(x[:, :6], requires_grad=True)
    y, state = layer(t)
    expected = ml.grad((y * y).sum(), t).data
    with ml.no_grad():
        for i in range(6, 13):
            y_i, state = layer.step(x[:, i], state)
            close(y_i.data, by_definition(layer, x)[:, i], 1e-12)
    close(ml.grad((y * y).sum(), t).data, expected, 0)


@every_variant
@every_form
def test_a_run_can_be_handed_over_at_every_token(name, form):
    """Also where a piece is shorter than the window."""
    layer, x = layer_and_input(name, T=9)
    y, final = layer(x, form=form, chunk=4)
    for t in range(10):
        head, state = layer(x[:, :t], form=form, chunk=4)
        tail, state = layer(x[:, t:], state, form=form, chunk=4)
        close(np.concatenate([head.data, tail.data], 1), y.data, 1e-12)
        same_states(layer, state, final)
    state, pieces = layer.initial_state(2), []
    for a, b in ((0, 1), (1, 3), (3, 3), (3, 4), (4, 9)):
        piece, state = layer(x[:, a:b], state, form=form, chunk=4)
        pieces.append(piece.data)
    close(np.concatenate(pieces, 1), y.data, 1e-12)
    same_states(layer, state, final)


@every_variant
def test_no_output_of_the_layer_depends_on_a_later_token(name):
    layer, x = layer_and_input(name)
    t = ml.tensor(x, requires_grad=True)
    d = ml.grad(layer(t, chunk=4)[0][:, :6].sum(), t).data
    assert d[:, :6].all()
    assert not d[:, 6:].any()


STARTS = (0, 0, 1, 3, 3, 9, 14)


def ragged(name):
    """A layer, packed input, the state of sequences of different lengths, and what is in it."""
    layer, x = layer_and_input(name, T=14, batch=1)
    y, state = layer(x, cu_seqlens=STARTS, chunk=4)
    return layer, [x[:, a:b] for a, b in pairwise(STARTS)], y, state


@every_variant
@every_form
@pytest.mark.parametrize("with_state", [False, True])
def test_packed_sequences_of_the_layer_are_separate_runs(name, form, with_state):
    layer, x = layer_and_input(name, T=14, batch=1)
    state, past = None, [np.zeros((1, 0, D))] * 6
    if with_state:  # as many tokens before as it happens: 0, 1, 2, 0, 6, 5
        layer, past, _, state = ragged(name)
    y, final = layer(x, state, cu_seqlens=STARTS, form=form, chunk=4)
    for i, (a, b) in enumerate(pairwise(STARTS)):
        whole = np.concatenate([past[i], x[:, a:b]], 1)
        y_i, final_i = layer(whole, form=form, chunk=4)
        close(y.data[:, a:b], y_i.data[:, past[i].shape[1] :], 1e-12)
        assert final.position[i] == whole.shape[1]
        for one, other in zip(held(layer, final)[i], held(layer, final_i)[0]):
            close(one, other, 1e-12)


@every_variant
@pytest.mark.parametrize("gradients_flow", [True, False])
def test_sequences_of_different_lengths_go_on_together(name, gradients_flow):
    layer, past, _, state = ragged(name)
    x = np.random.default_rng(5).standard_normal((6, 7, D))
    with ml.no_grad() if not gradients_flow else ml.use("numpy"):
        y, state = layer(x[:, :4], state)
        outs = [y.data]
        for t in range(4, 7):
            y_t, state = layer.step(x[:, t], state)
            outs.append(y_t.data[:, None])
    y = np.concatenate(outs, 1)
    for i, before in enumerate(past):
        whole = np.concatenate([before, x[i : i + 1]], 1)
        close(y[i], by_definition(layer, whole)[0, before.shape[1] :], 1e-12)


# The state


@every_variant
@pytest.mark.parametrize("T", [0, 1, 2, 13])
def test_the_state_has_the_size_it_says_at_every_length(name, T):
    layer, x = layer_and_input(name, T=T)
    _, state = layer(x)
    assert sum(a.size for pair in held(layer, state) for a in pair) == B * layer.state_floats(T)
    size = sum(a.size for a in state[:2])
    if layer.window is None:
        assert size == B * layer.state_floats(T)
    else:  # all slots are there from the start
        assert size == sum(a.size for a in layer.initial_state(B)[:2]) == B * layer.state_floats(layer.window)
        assert not any(ml.tensor(a).data[:, T:].any() for a in state[:2])


def test_a_cache_is_copied_a_few_times_only():
    layer, x = layer_and_input("default", T=200)
    state, sizes = layer.initial_state(B), []
    with ml.no_grad():
        for t in range(200):
            before = state.keys
            _, state = layer.step(x[:, t], state)
            sizes.append(state.keys is not before)
    assert sum(sizes) <= 8
    assert state.keys.shape[1] <= 400


def test_a_window_does_not_grow_and_is_written_in_place():
    layer, x = layer_and_input("window")
    layer = SoftmaxAttention(D, window=3, rng=np.random.default_rng(0))
    state = layer.initial_state(B)
    keys = state.keys
    with ml.no_grad():
        for t in range(13):
            _, state = layer.step(x[:, t].astype(np.float32), state)
    assert state.keys is keys


def test_a_step_does_not_lose_precision_to_the_dtype_of_the_state():
    layer, x = layer_and_input("window")
    state = SoftmaxAttentionState(*(a.astype(np.float32) for a in layer.initial_state(B)[:2]), np.zeros(B, int))
    with ml.no_grad():
        for t in range(13):
            y, state = layer.step(x[:, t], state)
    close(y.data, by_definition(layer, x)[:, -1], 1e-12)


@every_variant
def test_no_state_is_the_initial_state(name):
    layer, x = layer_and_input(name)
    (y, state), (z, other) = layer(x), layer(x, layer.initial_state(2))
    close(y.data, z.data, 0)
    same_states(layer, state, other, 0)


@every_variant
def test_detach_cuts_the_past_off(name):
    layer, x = layer_and_input(name)
    past = ml.tensor(x[:, :6], requires_grad=True)
    _, state = layer(past)
    through = ml.grad(layer(x[:, 6:], state)[0].sum(), past, allow_unused=True)
    if name == "window of one":
        assert through is None or not through.data.any()
    else:
        assert through.data[:, 5].any()
    cut = state.detach()
    assert type(cut) is SoftmaxAttentionState
    assert all(type(a) is np.ndarray for a in cut)
    same_states(layer, cut, state, 0)
    y, _ = layer(x[:, 6:], cut)
    close(y.data, layer(x[:, 6:], state)[0].data, 0)
    assert ml.grad(y.sum(), [past], allow_unused=True) == (None,)


@every_variant
def test_a_float32_layer_stays_in_float32(name):
    layer = SoftmaxAttention(D, **VARIANTS[name], rng=np.random.default_rng(0))
    x = np.random.default_rng(1).standard_normal((2, 9, D)).astype(np.float32)
    y, state = layer(x)
    again, after = layer.step(x[:, 0], state)
    assert {a.dtype for a in (y, *state[:2], again, *after[:2], *layer.initial_state(2)[:2])} == {np.dtype(np.float32)}


# Gradients


@every_variant
def test_gradients_of_every_parameter_are_the_slopes(name):
    layer, x = layer_and_input(name, T=5)
    _, state = layer(np.random.default_rng(3).standard_normal((2, 4, D)))

    def run(x, keys, values):
        y, after = layer(x, SoftmaxAttentionState(keys, values, state.position), chunk=2)
        last, after = layer.step(x[:, 0], after)
        return y, last, *after[:2]

    if name == "window of one":  # of one token the weight is 1: its query and key do not matter
        ml.gradcheck(run, [x, *state.detach()[:2]])
    else:
        check_gradients(layer, run, [x, *state.detach()[:2]])


@pytest.mark.parametrize("name", ["window", "grouped"])
def test_gradients_flow_through_the_state_of_sequences_of_different_lengths(name):
    layer, _, _, state = ragged(name)
    x = np.random.default_rng(3).standard_normal((6, 2, D))

    def run(x, keys, values):
        y, after = layer(x, SoftmaxAttentionState(keys, values, state.position), chunk=2)
        last, after = layer.step(x[:, 0], after)
        return y, last, *after[:2]

    ml.gradcheck(run, [x, *state.detach()[:2]])


def test_gradients_of_gradients_are_the_slopes_of_gradients():
    layer, x = layer_and_input("all", T=3)
    check_gradients(layer, lambda x: layer(x, chunk=2)[0], [x], order=2)


# How it starts, what it says of itself, and what it refuses


def test_the_layer_starts_with_gains_of_one_and_a_sink_of_zero():
    layer = SoftmaxAttention(D, heads=2, qk_norm="rms", sink=True, rng=np.random.default_rng(0))
    assert layer.q_norm.weight.data.tolist() == layer.k_norm.weight.data.tolist() == [1] * 4
    assert layer.sink.data.tolist() == [0, 0]
    assert SoftmaxAttention(D, qk_norm="l2", heads=2, rng=np.random.default_rng(0)).temperature.data.tolist() == [
        [2],
        [2],
    ]
    assert (layer.key_dim, layer.value_dim, layer.kv_heads) == (4, 4, 2)


@pytest.mark.parametrize("qk_norm", ["rms", "l2"])
def test_with_a_norm_the_size_of_queries_and_keys_does_not_matter(qk_norm):
    layer = SoftmaxAttention(D, qk_norm=qk_norm, rng=np.random.default_rng(0))
    x = np.random.default_rng(1).standard_normal((B, 13, D))
    y = layer(1e3 * x)[0].data / 1e3  # the values grow with x
    close(y, layer(1e5 * x)[0].data / 1e5, 1e-5)
    plain = SoftmaxAttention(D, rng=np.random.default_rng(0))
    assert np.abs(plain(1e3 * x)[0].data / 1e3 - plain(x)[0].data).max() > 0.1


def test_weight_decay_is_for_matrices_only():
    for norm, gains in ("rms", {"q_norm.weight", "k_norm.weight"}), ("l2", {"temperature"}):
        layer = SoftmaxAttention(D, qk_norm=norm, sink=True, rng=np.random.default_rng(0))
        decays = {name: p.decay for name, p in layer.named_parameters()}
        assert {name for name, decay in decays.items() if decay} == {"qkv.weight", "output.weight"}
        assert {name for name, decay in decays.items() if not decay} == gains | {"sink"}


def test_readers_and_writers_are_the_linears_at_the_ends():
    layer, x = layer_and_input("default")
    (reader,), (writer,) = layer.readers(), layer.writers()
    assert isinstance(reader, Linear)
    y = layer(x)[0].data
    writer.weight.assign_(2 * writer.weight.data)
    close(layer(x)[0].data, 2 * y, 1e-15)
    reader.weight.assign_(reader.weight.data[::-1])  # exchanging its rows is exchanging the channels of x
    close(layer(x[..., ::-1])[0].data, 2 * y, 1e-13)


def test_the_same_generator_gives_the_same_layer():
    a, b, c = (SoftmaxAttention(D, rng=np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert all((a.state_dict()[n] == x).all() for n, x in b.state_dict().items())
    assert any((a.state_dict()[n] != x).any() for n, x in c.state_dict().items())


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"heads": 0}, r"heads is 1 or more\.\n  got: 0"),
        ({"kv_heads": 0}, r"kv_heads is 1 or more\.\n  got: 0"),
        ({"kv_heads": 3}, r"kv_heads divides heads = 4\.\n  got: 3"),
        ({"heads": 3}, r"key_dim is D / heads, if that is whole\.\n  got: 8 / 3"),
        ({"key_dim": 0}, r"key_dim is 1 or more\.\n  got: 0"),
        ({"key_dim": 3}, r"key_dim is even: it turns pairs\.\n  got: 3"),
        ({"value_dim": 0}, r"value_dim is 1 or more\.\n  got: 0"),
        ({"window": 0}, r"window is 1 or more: a query sees itself\.\n  got: 0"),
        ({"qk_norm": "layer"}, r"qk_norm is None, \"rms\" or \"l2\"\.\n  got: 'layer'"),
    ],
)
def test_options_that_make_no_layer_are_refused(wrong, rule):
    with pytest.raises(ValueError, match=rule) as error:
        SoftmaxAttention(D, **wrong, rng=np.random.default_rng(0))
    assert error.type is ConfigError or "window" in wrong
    SoftmaxAttention(D, key_dim=3, rope=False, rng=np.random.default_rng(0))


def test_wrong_inputs_of_the_layer_are_named():
    layer, x = layer_and_input("window")
    with pytest.raises(ShapeError, match=r"x must have shape \(B, T, D\) = \(2, 13, 8\); axis D differs"):
        layer(x[..., :5])
    with pytest.raises(ShapeError, match="x_t must have 2 axes"):
        layer.step(x, layer.initial_state(2))
    with pytest.raises(ValueError, match="form is one of"):
        layer(x, form="fast")
    with pytest.raises(ShapeError, match=r"state\.keys must have shape \(B, S, G, K\) = \(2, 3, 4, 2\)"):
        layer(x, layer.initial_state(3))
    with pytest.raises(ShapeError, match=r"state\.keys must have shape .* axis S differs"):
        layer(x, double(SoftmaxAttention(D, window=4, rng=np.random.default_rng(0))).initial_state(2))
    state = layer.initial_state(2)
    with pytest.raises(ShapeError, match=r"state\.position must have shape \(B\) = \(2,\)"):
        layer(x, state._replace(position=np.zeros(3, int)))
    with pytest.raises(ShapeError, match=r"state\.values must have shape"):
        layer(x, state._replace(values=state.values[:, :2]))
    with pytest.raises(ValueError, match="batch of one"):
        layer(x, cu_seqlens=(0, 13))
