"""Softmax attention in blocks is the definition in float64, query by query, and so are its gradients."""

from itertools import pairwise

import numpy as np
import pytest

import minilinear as ml
from minilinear.attention import merge_attention, rotate, softmax_attention
from minilinear.attention.rope import turns
from minilinear.gpu import account, attention, reset_account
from minilinear.gpu.launch import recorded
from minilinear.tasks import task
from minilinear.training import Run, RunFolder
from minilinear.training.recipes import recipe

f32 = np.float32
FORWARD = "softmax_attention_forward"
BOTH_WAYS = {FORWARD, "softmax_attention_backward_queries", "softmax_attention_backward_keys"}


def draw(T, S=None, *, B=1, H=2, G=2, K=5, V=3, sink=False, size=1.0):
    """q, k, v and the sink, in float64 what float32 holds: both sides see the same."""
    rng, S = np.random.default_rng(T + 7 * K), T if S is None else S
    shapes = [(B, T, H, K), (B, S, G, K), (B, S, G, V), *[(H,)] * sink]
    return [(size * rng.standard_normal(shape)).astype(f32).astype(np.float64) for shape in shapes]


def found(inputs, dtype, *, cotangents=(True, True), order=1, **options):
    """o, log Z, and the gradients of a random sum over them, or of a random sum over those."""
    rng = np.random.default_rng(1)
    tensors = [ml.tensor(x.astype(dtype), requires_grad=True) for x in inputs]
    sink = tensors[3] if len(tensors) > 3 else None
    outs = softmax_attention(*tensors[:3], sink=sink, return_lse=True, **options)
    gradients = [y for y, used in zip(outs, cotangents) if used]
    for n in range(order):
        total = sum((y * rng.standard_normal(y.shape).astype(f32).astype(dtype)).sum() for y in gradients)
        gradients = ml.grad(total, tensors, create_graph=n + 1 < order, allow_unused=True)
    gradients = [np.zeros_like(x.data) if g is None else g.data for g, x in zip(gradients, tensors, strict=True)]
    return [*(y.data for y in outs), *gradients]


def compare(inputs, *, bound=1e-5, check=False, kernels=BOTH_WAYS, **options):
    """Relative to the length of all of it: single numbers may be small differences of large ones."""
    want = found(inputs, np.float64, form="recurrent" if inputs[0].shape[1] else "parallel", **options)
    reset_account()
    with ml.use("cpucuda"), recorded(check=check, seed=0) as launches:
        got = found(inputs, f32, **options)
    for ours, exact in zip(got, want, strict=True):
        assert ours.dtype == f32
        assert ours.shape == exact.shape
        assert np.linalg.norm(ours - exact) <= bound * np.linalg.norm(exact) + 1e-30
    assert [finding for launch in launches for finding in launch.findings] == []
    assert {launch.kernel.partition("<")[0] for launch in launches} == kernels
    assert account().text.get("softmax_attention") is None
    return got


@pytest.mark.parametrize("T", [1, 5, 63, 64, 65, 130])
def test_any_length(T):
    compare(draw(T, B=2))


@pytest.mark.parametrize(("K", "V"), [(1, 1), (24, 40), (5, 64), (65, 3), (128, 128), (2, 130), (256, 256)])
def test_any_width(K, V):
    compare(draw(66, K=K, V=V, H=1, G=1))


@pytest.mark.parametrize(("H", "G"), [(6, 2), (3, 1), (1, 1), (70, 1)])
@pytest.mark.parametrize("sink", [False, True], ids=["no sink", "sink"])
def test_query_heads_that_share_keys(H, G, sink):
    compare(draw(9 if H == 70 else 45, B=2, H=H, G=G, sink=sink))


@pytest.mark.parametrize("window", [1, 2, 16, 64, 65, 1000])
@pytest.mark.parametrize(("T", "S"), [(80, 80), (3, 150)])
def test_windows(T, S, window):
    compare(draw(T, S, H=4, sink=True), window=window)


@pytest.mark.parametrize(("T", "S"), [(1, 1), (1, 64), (1, 200), (70, 71), (5, 130)])
def test_queries_are_the_last_of_the_keys(T, S):
    compare(draw(T, S, B=2, H=4))


PACKED = [
    ([0, 3, 3, 40, 110], None, None),
    ([0, 3, 3, 40, 110], None, 7),
    ([0, 0, 2, 20, 20], [0, 5, 7, 95, 96], None),
    ([0, 1, 2, 3, 4], [0, 66, 67, 200, 201], 60),
]


@pytest.mark.parametrize(("starts", "key_starts", "window"), PACKED, ids=str)
def test_packed_sequences(starts, key_starts, window):
    inputs = draw(starts[-1], (key_starts or starts)[-1], H=6, sink=True)
    where = {"cu_seqlens": starts, "key_cu_seqlens": key_starts}
    o, *_ = compare(inputs, window=window, **where)
    q, k, v, sink = (x.astype(f32) for x in inputs)
    with ml.use("cpucuda"):
        alone = [
            softmax_attention(q[:, a:b], k[:, c:d], v[:, c:d], sink=sink, window=window)
            for (a, b), (c, d) in zip(pairwise(starts), pairwise(key_starts or starts))
            if a < b
        ]
    assert np.allclose(o, np.concatenate(alone, 1), atol=1e-6)  # tiles of rows begin elsewhere, for each by itself


@pytest.mark.parametrize("cotangents", [(True, False), (False, True)], ids=["of o", "of log Z"])
def test_gradients_of_one_output_alone(cotangents):
    inputs = draw(70, sink=True, H=4)
    compare(inputs, cotangents=cotangents)


@pytest.mark.parametrize("sink", [-np.inf, -1e4, 1e3, 1e4])
def test_extreme_sinks(sink):
    """Of -inf: as without one. Of 1e4: nothing is seen, and log Z is the sink. Scores of 30 are rounded to 2e-6."""
    inputs = draw(70, sink=True)
    inputs[3][0] = sink
    o, lse, *gradients = compare(inputs, bound=2e-5)
    with ml.use("cpucuda"):
        without, log_Z = softmax_attention(*(x.astype(f32) for x in inputs[:3]), return_lse=True)
    if sink < 0:
        assert np.array_equal(o[:, :, 0], without[:, :, 0])
        assert np.array_equal(lse[:, :, 0], log_Z[:, :, 0])
    else:
        assert not o[:, :, 0].any()
        assert (lse[:, :, 0] == f32(sink)).all()
    assert all(np.isfinite(x).all() for x in gradients)


def test_large_scores():
    """Scores of 1e3 are float32 to 6e-5, and so is what stands in the exponent: P has no more digits than that."""
    inputs = draw(130, K=16, size=20.0)
    scores = inputs[0][0, :, 0] @ inputs[1][0, :, 0].T / 4
    assert 1e3 < abs(scores).max() < 1e4
    got = compare(inputs, bound=2e-3)
    assert all(np.isfinite(x).all() for x in got)


@pytest.mark.parametrize(("T", "S", "B", "H"), [(0, 0, 1, 2), (0, 5, 2, 2), (4, 4, 0, 2), (4, 4, 1, 0)])
def test_of_nothing(T, S, B, H):
    q, k, v = draw(T, S, B=B, H=H, G=min(H, 2))
    with ml.use("cpucuda"):
        tensors = [ml.tensor(x.astype(f32), requires_grad=True) for x in (q, k, v)]
        o, lse = softmax_attention(*tensors, return_lse=True)
        gradients = ml.grad(o.sum() + lse.sum(), tensors)
    assert o.shape == (B, T, H, 3)
    assert lse.shape == (B, T, H)
    assert all(not g.data.any() and g.shape == x.shape for g, x in zip(gradients, (q, k, v)))


@pytest.mark.parametrize("options", [{}, {"window": 3}, {"cu_seqlens": [0, 2, 2, 9]}], ids=str)
def test_check_mode_finds_nothing(options):
    compare(draw(9, H=4, sink=True), check=True, **options)


def test_halves_of_the_keys_merge_to_the_whole():
    """Through log Z of both: its cotangent must be right."""
    q, k, v = draw(40, 40)

    def halves(q, k, v):
        late = softmax_attention(q, k[:, 20:], v[:, 20:], return_lse=True, cu_seqlens=None)
        # All 20 queries see all of the first half: it is given to each as a sequence whose end it is.
        early = softmax_attention(
            q.reshape(1, 20, *q.shape[2:]), *(np.concatenate([x[:, :20]] * 20, 1) for x in (k, v)), return_lse=True,
            cu_seqlens=[*range(21)], key_cu_seqlens=[*range(0, 401, 20)],
        )  # fmt: skip
        return merge_attention(*early, *late)

    def run(function, dtype):
        rng = np.random.default_rng(3)
        tensors = [ml.tensor(x.astype(dtype), requires_grad=True) for x in (q[:, 20:], k, v)]
        outs = function(*tensors)
        total = sum((y * rng.standard_normal(y.shape).astype(dtype)).sum() for y in outs)
        return [y.data for y in (*outs, *ml.grad(total, tensors))]

    want = run(lambda *x: softmax_attention(*x, return_lse=True, form="recurrent"), np.float64)
    with ml.use("cpucuda"):
        got = run(halves, f32)
    for ours, exact in zip(got, want):
        assert np.linalg.norm(ours - exact) <= 1e-5 * np.linalg.norm(exact)


def test_second_derivatives_go_through_the_text():
    compare(draw(9, sink=True), order=2, kernels={FORWARD})


def test_what_the_kernels_do_not_take_runs_as_text():
    reset_account()
    with ml.use("cpucuda"):
        softmax_attention(*draw(3))
        softmax_attention(*(x.astype(f32) for x in draw(3, K=257)))
    ran, text = account()
    assert "softmax_attention" not in ran
    assert [*text["softmax_attention"]] == [
        "K = 257, V = 3: the kernels have 256 of each at most",
        "q is float64, the kernels are float32",
    ]
    many = np.broadcast_to(f32(0), (1, 2**16, 2**10, 2**5))  # four bytes
    options = {"window": None, "sequences": ((slice(0, 2**16), slice(0, 2**16)),), "chunk": 64}
    refuses = attention.TWINS["softmax_attention"].refuses
    assert "2,147,483,648" in refuses(many, many, many, None, **options)
    assert refuses(many, many[:, :, :1], many[:, :, :1, :1], None, **options) is not None
    assert refuses(many[:, 1:], many[:, :, :1], many[:, :, :1], None, **options) is None
    assert "65536 heads" in refuses(*[many[:, :1].reshape(1, 1, 2**15, 1).repeat(2, 2)] * 3, None, **options)


def test_a_table_is_made_once_and_its_longest_way_comes_first():
    where = ((0, 300, 0, 300),)
    tables = [attention.table("numpy", 0, attention.query_tiles, 2, 300, 300, 2, where, 300) for _ in range(2)]
    assert tables[0] is tables[1]
    keys = tables[0][:, 3] - tables[0][:, 2]
    assert (np.diff(keys) <= 0).all()
    assert sorted(map(tuple, tables[0])) == sorted(attention.query_tiles(2, 300, 300, 2, where, 300))


# Rotary positions.


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("positions", [np.arange(7), 5 + np.arange(14).reshape(2, 7)], ids=["of all", "of each"])
@pytest.mark.parametrize(("H", "K"), [(3, 2), (1, 10), (2, 64)])
def test_rotary_positions(H, K, positions, interleaved):
    x = np.random.default_rng(K).standard_normal((2, 7, H, K)).astype(f32)
    g = np.random.default_rng(1).standard_normal(x.shape).astype(f32)
    found = []
    for dtype, name in ((np.float64, "numpy"), (f32, "cpucuda")):
        with ml.use(name), recorded(check=True) as launches:
            leaf = ml.tensor(x.astype(dtype), requires_grad=True)
            y = rotate(leaf, positions, interleaved=interleaved)
            dx = ml.grad((y * y * g.astype(dtype)).sum(), leaf, create_graph=True)
            ddx = ml.grad((dx * g.astype(dtype)).sum(), leaf)
            found.append([t.data for t in (y, dx, ddx)])
    for exact, got in zip(*found):
        assert got.dtype == f32
        np.testing.assert_allclose(got, exact, rtol=1e-5, atol=1e-5)
    assert {launch.kernel for launch in launches} == {"rotate"}
    assert [finding for launch in launches for finding in launch.findings] == []


def test_angles_are_made_once_for_queries_and_keys_of_all_layers():
    turns.cache_clear()
    x = np.ones((1, 5, 2, 4), f32)
    for _ in range(3):
        rotate(x, np.arange(5)), rotate(x, [0, 1, 2, 3, 4])
    rotate(x, np.arange(1, 6)), rotate(x.astype(float), np.arange(5))
    assert turns.cache_info().misses == 3


@pytest.mark.parametrize(
    "more",
    [
        {"mixer": "softmax"},
        {"mixer": "softmax", "kv_heads": 1, "window": 4, "sink": True, "qk_norm": "rms"},
        {"mixer": "gated_delta_net+softmax", "layers": 2},
    ],
    ids=str,
)
def test_losses_with_kernels_are_those_of_numpy(more):
    made = task("s3", lengths=(4, 6))
    changes = {"D": 8, "hidden": 8, "heads": 2} | more
    losses = {}
    reset_account()
    for name in ("numpy", "cpucuda"):
        with ml.use(name):
            run = Run(recipe(made, changes=changes, training={"steps": 3, "batch": 4}), RunFolder("nowhere"), made)
            losses[name] = [run.advance().loss for _ in range(3)]
    np.testing.assert_allclose(losses["cpucuda"], losses["numpy"], rtol=2e-5)
    assert account().kernels["softmax_attention"] >= 3
