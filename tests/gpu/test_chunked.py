"""What the kernels of the recurrences share: the tables of chunks, and the decay inside a chunk."""

from pathlib import Path

import numpy as np
import pytest

from minilinear.gpu import sim, source
from minilinear.gpu.chunked import tables, too_large
from minilinear.recurrence.chunks import Chunks

TEXT = (Path(__file__).parent / "kernels" / "decays.cu").read_text("utf-8")


def tokens(B, T):
    return np.zeros((B, T, 1, 1), np.float32)


def test_a_batch_is_so_many_packed_sequences():
    found = tables(tokens(2, 10), chunk=4, cu_seqlens=None)
    assert (found.C, found.N, found.sequences, found.shape, found.asked) == (4, 6, 2, (2, 3), None)
    assert found.starts.tolist() == [0, 4, 8, 10, 14, 18, 20] and found.starts.dtype == np.int32
    assert found.bounds.tolist() == [0, 3, 6] and found.bounds.dtype == np.int32
    assert found.after.tolist() == [1, 2, -1, 4, 5, -2] and found.after.dtype == np.int32


def test_packed_sequences_start_chunks_and_may_be_empty():
    found = tables(tokens(1, 9), chunk=4, cu_seqlens=(0, 0, 5, 5, 9))
    assert found.starts.tolist() == [0, 4, 5, 9]
    assert found.bounds.tolist() == [0, 0, 2, 2, 3]
    assert found.after.tolist() == [1, -2, -4]
    assert (found.N, found.sequences, found.shape) == (3, 4, (1, 3))


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 64])
@pytest.mark.parametrize("chunk", [16, 128])
@pytest.mark.parametrize(("B", "T", "cu_seqlens"), [(2, 150, None), (1, 150, (0, 20, 20, 150)), (3, 5, None)])
def test_chunks_of_the_caller_are_found_among_those_of_the_kernel(rows, chunk, B, T, cu_seqlens):
    asked, found = Chunks(T, chunk, cu_seqlens), tables(tokens(B, T), chunk=chunk, cu_seqlens=cu_seqlens, rows=rows)
    assert found.C * rows <= 64 and found.C <= asked.C
    assert 2 * found.C * rows > 64 or found.C == asked.C
    lengths = np.diff(found.starts)
    assert lengths.min() > 0 and lengths.max() <= found.C
    starts = [b * T + a for b in range(B) for a in (cu_seqlens or (0, T))[:-1]]
    ends = [b * T + a for b in range(B) for a in (cu_seqlens or (0, T))[1:]]
    assert [found.starts[n] for n in found.bounds] == [*starts, B * T]
    of_kernel = np.arange(found.N)
    expected = [t for a, b in zip(starts, ends) for t in range(a, b, asked.C)]
    assert found.starts[found.entering(of_kernel)].ravel().tolist() == expected
    assert found.entering(of_kernel).shape == (B, asked.N)
    back = found.entering_backward(1.0 + np.arange(B * asked.N).reshape(B, asked.N))
    np.testing.assert_array_equal(found.entering(back).ravel(), 1 + np.arange(B * asked.N))
    assert (back != 0).sum() == B * asked.N and found.entering_backward(None) is None


def test_a_recurrent_form_takes_the_callers_chunks():
    assert tables(tokens(1, 300), chunk=256, cu_seqlens=None, rows=None).C == 256


def test_tables_are_made_once():
    make = lambda T: tables(tokens(1, T), chunk=4, cu_seqlens=[0, 3, T])
    assert make(7) is make(7) and make(7) is not make(8)


def test_states_are_256_by_256_at_most():
    assert too_large(256, 256) is None
    assert too_large(257, 1).startswith("K = 257") and too_large(1, 257)


# Decay.


def gates(kind, T, K):
    g = -np.random.default_rng(T).uniform(0, 0.3, (T, K))
    if kind == "none":
        return 0 * g[:, :1]
    if kind in ("resets", "forgets"):
        g[T // 3 :: 7] = -1e4 if kind == "resets" else -np.inf
    return g[:, :1] if kind == "scalar" else g


@pytest.mark.parametrize("kind", ["none", "scalar", "vector", "resets", "forgets"])
@pytest.mark.parametrize(
    ("T", "K", "XR", "YR"), [(64, 16, 1, 1), (1, 3, 1, 1), (37, 5, 1, 1), (32, 7, 1, 2), (21, 16, 3, 3)]
)
def test_decay_is_exact_for_any_gate(kind, T, K, XR, YR):
    rng = np.random.default_rng(T + K)
    x, y = rng.standard_normal((T * XR, K)), rng.standard_normal((T * YR, K))
    D, g = rng.standard_normal((64, 65)), gates(kind, T, K)
    sums = np.full((T, T, g.shape[1]), -np.inf)  # from token j to token t, each its own sum
    for t in range(T):
        for j in range(t + 1):
            sums[t, j] = g[j + 1 : t + 1].sum(0)
    decay = np.exp(sums).repeat(XR, 0).repeat(YR, 1)
    cotangent = D[: T * XR, : T * YR]
    expected = {
        "prefix": np.exp(np.cumsum(g, 0)),
        "suffix": np.exp(np.array([g[t + 1 :].sum(0) for t in range(T)])),
        "E": np.einsum("tk,jk,tjk->tj", x, y, np.broadcast_to(decay, (*decay.shape[:2], K))),
        "dx": np.einsum("tj,jk,tjk->tk", cotangent, y, np.broadcast_to(decay, (*decay.shape[:2], K))),
        "dy": np.einsum("tj,tk,tjk->jk", cotangent, x, np.broadcast_to(decay, (*decay.shape[:2], K))),
    }
    G = 1 if g.shape[1] == 1 else 16
    out = {
        "prefix": np.full((64, G), np.nan, np.float32),
        "suffix": np.full((64, G), np.nan, np.float32),
        "E": np.full((64, 64), np.nan, np.float32),
        "dx": np.full((T * XR, K), np.nan, np.float32),
        "dy": np.full((T * YR, K), np.nan, np.float32),
    }
    given = [z.astype(np.float32) for z in (x, y, g, D)]
    given[2] = None if kind == "none" else given[2]
    numbers = [np.int32(T), np.int32(K)]
    name = f"decays<{G}, {XR}, {YR}>"
    found = sim.run(TEXT, name, 1, 256, [*given, *out.values(), *numbers], include=[source.FOLDER], check=T < 64)
    assert not found.findings
    for what, z in expected.items():
        got = out[what][: len(z), : z.shape[1]]
        np.testing.assert_allclose(got, z, rtol=1e-5, atol=2e-6 * np.abs(z).max(), err_msg=what)
    assert not np.triu(out["E"][: T * XR : XR, : T * YR : YR], 1).any()
