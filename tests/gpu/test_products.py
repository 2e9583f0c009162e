"""Products on tensor cores: what cuBLAS is told, on a stand-in that reads the memory it is pointed to."""

from __future__ import annotations

import ctypes
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import minilinear as ml
from minilinear.gpu.products import product
from minilinear.models import ModelConfig, make_model
from minilinear.precision import products_in, rounded

ml_dtypes = pytest.importorskip("ml_dtypes")
KINDS = {0: np.dtype(np.float32), 14: np.dtype(ml_dtypes.bfloat16)}


class Array(np.ndarray):
    """NumPy's array with CuPy's way to say where it lies."""

    @property
    def data(self):
        return SimpleNamespace(ptr=self.ctypes.data)


def columns(pointer, kind, rows, columns_, step):
    """A matrix as cuBLAS sees it, the first index running fastest, `step` numbers from column to column."""
    dtype = KINDS[kind]
    memory = (ctypes.c_char * (step * columns_ * dtype.itemsize)).from_address(pointer)
    return np.frombuffer(memory, dtype).reshape(columns_, step)[:, :rows].T


class Cublas(ModuleType):
    """gemmEx as its manual has it, alpha op(A) op(B) + beta C in columns."""

    CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_32F_FAST_TF32, CUBLAS_GEMM_DEFAULT = 68, 77, -1

    def __init__(self):
        super().__init__("cublas")
        self.told = []

    def gemmEx(self, handle, op_a, op_b, m, n, k, alpha, a, kind_a, lda, b, kind_b, ldb, beta, c, kind_c, ldc, how, _):
        A = columns(a, kind_a, *((k, m) if op_a else (m, k)), lda).astype(np.float32)
        B = columns(b, kind_b, *((n, k) if op_b else (k, n)), ldb).astype(np.float32)
        if how == self.CUBLAS_COMPUTE_32F_FAST_TF32:
            A, B = rounded(A, "tf32"), rounded(B, "tf32")
        number = lambda pointer: ctypes.c_float.from_address(pointer).value
        assert number(beta) == 0
        columns(c, kind_c, m, n, ldc)[:] = number(alpha) * ((A.T if op_a else A) @ (B.T if op_b else B))
        self.told.append((handle, kind_a, kind_b, kind_c, how))


@pytest.fixture
def cublas(monkeypatch):
    library, cupy = Cublas(), ModuleType("cupy")
    cupy.empty = lambda shape, dtype: np.full(shape, np.nan, dtype).view(Array)
    cupy.cuda = SimpleNamespace(
        device=SimpleNamespace(get_cublas_handle=lambda: 7), runtime=SimpleNamespace(CUDA_R_32F=0, CUDA_R_16BF=14)
    )
    libs = ModuleType("cupy_backends.cuda.libs")
    libs.cublas = library
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    for name in ("cupy_backends", "cupy_backends.cuda", "cupy_backends.cuda.libs"):
        monkeypatch.setitem(sys.modules, name, libs if name.endswith("libs") else ModuleType(name))
    return library


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
@pytest.mark.parametrize("turned", [(), (0,), (1,), (0, 1), "apart"])
@pytest.mark.parametrize(("n", "k", "m"), [(3, 5, 4), (1, 7, 2), (6, 1, 1), (2, 0, 3), (0, 2, 3)])
def test_a_product_on_tensor_cores_is_the_rounded_product(cublas, n, k, m, turned, precision):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((n, k)).astype(np.float32), rng.standard_normal((k, m)).astype(np.float32)
    here = []
    for i, x in enumerate((a, b)):
        if turned == "apart":
            wide = np.zeros((x.shape[0], 2 * x.shape[1]), np.float32)
            wide[:, ::2] = x
            x = wide[:, ::2]
        here.append((np.asfortranarray(x) if i in turned else x).view(Array) if turned != "apart" else x.view(Array))
    c = product(*here, precision)
    np.testing.assert_allclose(c, rounded(a, precision) @ rounded(b, precision), rtol=1e-6, atol=1e-7)
    assert c.dtype == np.float32
    if n and k:
        kind, how = {"tf32": (0, 77), "bf16": (14, 68)}[precision]
        assert cublas.told == [(7, kind, kind, 0, how)]


def test_the_simulator_has_the_rounding_of_numpy_and_recomputes_bit_for_bit():
    made = lambda: make_model(
        ModelConfig(7, D=8, layers=1, mixer="softmax", mixer_options={"heads": 2}, hidden=8),
        rng=np.random.default_rng(0),
    )
    ids, found = np.random.default_rng(1).integers(0, 7, (1, 5)), {}
    for name, recomputes in (("numpy", False), ("cpucuda", False), ("cpucuda", True)):
        with ml.use(name), products_in("bf16"):
            model = made()
            model.recomputes = recomputes
            y, _ = model(ids)
            found[name, recomputes] = [y.data, *(g.data for g in ml.grad((y * y).sum(), model.parameters()))]
    for here, there, again in zip(*found.values(), strict=True):
        np.testing.assert_allclose(there, here, rtol=2e-2, atol=1e-4)  # a last bit of float32 is a bit of bf16 at times
        np.testing.assert_array_equal(there, again)
