"""Choosing a backend and a number of threads, and sharing out work."""

import platform
import subprocess
import sys
import threading

import numpy as np
import pytest
import threadpoolctl

import minilinear as ml
from minilinear import backend
from minilinear.errors import BackendError, ShapeError
from tests.autograd.strict import Strict


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch):
    """No choice by the environment, and none left behind."""
    monkeypatch.delenv("MINILINEAR_BACKEND", raising=False)
    backend._from_environment.cache_clear()
    token = backend._chosen.set(None)
    yield
    backend._chosen.reset(token)
    backend._from_environment.cache_clear()


@pytest.fixture
def cpucuda(monkeypatch):
    monkeypatch.setattr("minilinear.gpu.check_available", lambda name: None)


# Which implementation


def test_numpy_is_the_default():
    assert ml.current_backend() == "numpy"


def test_use_as_a_statement_stays(cpucuda):
    assert repr(ml.use("cpucuda")) == "use('cpucuda')"
    assert ml.current_backend() == "cpucuda"


def test_use_as_a_block_ends_with_it(cpucuda):
    with ml.use("cpucuda"):
        with ml.use("numpy") as inner:
            assert inner.name == ml.current_backend() == "numpy"
        assert ml.current_backend() == "cpucuda"
    assert ml.current_backend() == "numpy"


def test_a_block_ends_on_an_error_too(cpucuda):
    with pytest.raises(BackendError), ml.use("cpucuda"):
        ml.use("fortran")
    assert ml.current_backend() == "numpy"


def test_a_block_may_be_entered_again(cpucuda):
    block = ml.use("cpucuda")
    for _ in range(2):
        ml.use("numpy")
        with block:
            assert ml.current_backend() == "cpucuda"
        assert ml.current_backend() == "numpy"


def test_a_block_may_be_entered_inside_itself(cpucuda):
    block = ml.use("cpucuda")
    with block:
        with block, ml.use("numpy"):
            pass
        assert ml.current_backend() == "cpucuda"
    assert ml.current_backend() == "numpy"


def test_the_environment_chooses_until_use_does(monkeypatch, cpucuda):
    monkeypatch.setenv("MINILINEAR_BACKEND", "cpucuda")
    assert ml.current_backend() == "cpucuda"
    with ml.use("numpy"):
        assert ml.current_backend() == "numpy"


def test_a_choice_holds_for_its_own_thread(cpucuda):
    seen = []
    with ml.use("cpucuda"):
        thread = threading.Thread(target=lambda: seen.append(ml.current_backend()))
        thread.start()
        thread.join()
    assert seen == ["numpy"]


UNKNOWN = (
    r"one of numpy, cupy, cpucuda\.\n  got: 'fortran'\n"
    r"  fix: check the spelling\. ml\.use\(\"numpy\"\), or unset MINILINEAR_BACKEND"
)


def test_an_unknown_backend_is_refused_by_use_and_from_the_environment(monkeypatch):
    with pytest.raises(BackendError, match=UNKNOWN):
        ml.use("fortran")
    with pytest.raises(BackendError, match=r"did you mean cpucuda\?"):
        ml.use("cpucude")
    for odd in ([], {}, None, 3):
        with pytest.raises(BackendError, match="one of numpy, cupy, cpucuda"):
            ml.use(odd)
    monkeypatch.setenv("MINILINEAR_BACKEND", "fortran")
    with pytest.raises(BackendError, match=UNKNOWN):
        ml.current_backend()


# How many threads


def test_threads_come_from_the_environment_or_the_machine(monkeypatch):
    monkeypatch.setenv("MINILINEAR_THREADS", "3")
    assert backend.threads() == 3
    monkeypatch.delenv("MINILINEAR_THREADS")
    assert backend.threads() >= 1


@pytest.mark.parametrize("wanted", ["0", "-1", "two", "", "1.5"])
def test_a_number_of_threads_is_one_or_more(monkeypatch, wanted):
    monkeypatch.setenv("MINILINEAR_THREADS", wanted)
    with pytest.raises(
        BackendError, match=rf"MINILINEAR_THREADS.*1 or more\.\n  got: '{wanted}'\n  fix: unset it, or set 1"
    ):
        backend.threads()


@pytest.mark.parametrize("threads", ["1", "2", "5"])
@pytest.mark.parametrize(("B", "H"), [(1, 1), (1, 7), (3, 2), (5, 1), (16, 4), (0, 3), (3, 0)])
@pytest.mark.parametrize("floats", [1, backend.SMALL, 3 * backend.LARGE])
def test_parts_cover_every_head_once(monkeypatch, threads, B, H, floats):
    monkeypatch.setenv("MINILINEAR_THREADS", threads)
    seen = np.zeros((B, H), int)
    backend.in_parts(lambda b, h: np.add.at(seen, (b, h), 1), B, H, floats)
    assert (seen == 1).all()


@pytest.mark.parametrize(("floats", "stays"), [(1, True), (backend.SMALL, False)])
def test_small_work_stays_in_the_calling_thread_and_large_work_does_not(monkeypatch, floats, stays):
    monkeypatch.setenv("MINILINEAR_THREADS", "2")
    ids = []
    backend.in_parts(lambda b, h: ids.append(threading.get_ident()), 4, 2, floats)
    assert (set(ids) == {threading.get_ident()}) is stays


def test_large_parts_are_cut_to_fit_a_cache(monkeypatch):
    monkeypatch.setenv("MINILINEAR_THREADS", "1")
    parts = []
    backend.in_parts(lambda b, h: parts.append((b, h)), 4, 2, backend.LARGE)
    assert len(parts) == 8


@pytest.mark.parametrize("floats", [1, backend.SMALL])
def test_blas_keeps_to_one_thread_inside(monkeypatch, floats):
    monkeypatch.setenv("MINILINEAR_THREADS", "2")
    blas_threads = lambda: {i["num_threads"] for i in threadpoolctl.threadpool_info() if i["user_api"] == "blas"}
    inside = []
    with threadpoolctl.threadpool_limits(2, "blas"):
        before = blas_threads()
        backend.in_parts(lambda b, h: inside.append(blas_threads()), 2, 2, floats)
        assert blas_threads() == before
    assert inside
    assert all(seen == {1} for seen in inside)


def test_an_error_in_a_part_is_raised(monkeypatch):
    monkeypatch.setenv("MINILINEAR_THREADS", "2")

    def fails(b, h):
        raise ShapeError("here")

    for floats in (1, backend.SMALL):
        with pytest.raises(ShapeError, match="here"):
            backend.in_parts(fails, 2, 2, floats)


# Work shared out as a whole


def test_side_by_side_covers_everything_once_and_in_order():
    for n, workers in [(1, 4), (5, 2), (7, 3), (4, 4)]:
        parts = backend.side_by_side(lambda part: (part.start, part.stop), n, workers)
        assert [i for a, b in parts for i in range(a, b)] == list(range(n))
        assert len(parts) == min(n, workers)


def test_side_by_side_hands_contexts_to_its_threads():
    with ml.no_grad():
        t = ml.tensor([1.0], requires_grad=True)
        assert backend.side_by_side(lambda part: (t * 2).requires_grad, 2, 2) == [False, False]


def test_work_inside_work_is_not_shared_out_again(monkeypatch):
    """Two pools waiting for each other would stand still for ever."""
    monkeypatch.setenv("MINILINEAR_THREADS", "2")

    def outer(part):
        here, inner = threading.get_ident(), []
        backend.in_parts(lambda b, h: inner.append(threading.get_ident()), 4, 2, backend.SMALL)
        inner += backend.side_by_side(lambda part: threading.get_ident(), 2, 2)
        return set(inner) == {here}

    assert backend.side_by_side(outer, 2, 2) == [True, True]


def test_freed_memory_can_be_kept():
    """In a process of its own, since it lasts."""
    code = "import minilinear.backend as b; print(b.keep_freed_memory())"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert out in ("True", "False")
    if sys.platform == "linux" and "glibc" in platform.libc_ver():
        assert out == "True"


# Triangular solves


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_solve_triangular_of_batches_that_broadcast(lower, dtype):
    rng = np.random.default_rng(0)
    a = (3 * np.eye(4) + 0.3 * rng.standard_normal((2, 1, 4, 4))).astype(dtype)
    b = rng.standard_normal((5, 4, 3)).astype(dtype)
    x = backend.solve_triangular(a, b, lower)
    assert x.dtype == dtype
    assert x.shape == (2, 5, 4, 3)
    np.testing.assert_allclose(
        (np.tril if lower else np.triu)(a) @ x, b + 0 * x, atol=1e-5 if dtype == np.float32 else 1e-13
    )


@pytest.mark.parametrize(("a", "b"), [((0, 3, 3), (0, 3, 2)), ((2, 3, 3), (3, 0)), ((2, 0, 0), (0, 2))])
def test_solve_triangular_of_nothing(a, b):
    assert backend.solve_triangular(np.ones(a), np.ones(b), lower=True).size == 0


def test_a_constant_is_sent_to_a_gpu_once():
    here = np.arange(3.0)
    assert backend.constant(here, here) is here
    like = Strict(np.zeros(2))
    there = backend.constant(here, like)
    assert isinstance(there, Strict) and there.value.tolist() == [0, 1, 2]
    assert backend.constant(here.copy(), like) is there
    assert backend.constant(there, like) is there
    assert backend.constant(here.astype(np.float32), like).dtype == np.float32
    assert backend.constant(here.reshape(3, 1), like).shape == (3, 1)
    for i in range(backend.MOST_CONSTANTS):
        backend.constant(np.array([i]), like)
    assert len(backend._constants) == backend.MOST_CONSTANTS
    assert backend.constant(here, like) is not there  # forgotten, and sent again
    backend._constants.clear()
