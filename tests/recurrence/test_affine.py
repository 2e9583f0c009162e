"""A run of tokens is one step: what chunking, handing a state on and sharing out a sequence rest on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minilinear as ml
from minilinear.errors import ShapeError
from minilinear.recurrence import affine_scan, apply_segment, associative_scan, compose, segment
from tests.autograd.strict import Strict
from tests.recurrence.cases import CASES, close, gradients, leaves
from tests.recurrence.test_errors import refused

B, H, K, V = 2, 3, 4, 5
BY_NAME = {case.name: case for case in CASES}


def dense(T, seed=0):
    """Transitions without any structure, of a size that neither dies out nor explodes."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((B, T, H, K, K)) / K**0.5, rng.standard_normal((B, T, H, K, V))


def of(name):
    return lambda T: BY_NAME[name].matrices(BY_NAME[name].inputs(T))


KINDS = {
    "dense": dense,
    "delta rule": of("delta_rule"),
    "gate per head": of("delta_rule-g(BTH)"),
    "gate per channel, two steps": of("delta_product-R2-g(BTHK)"),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def state_for(B_, seed=9):
    return np.random.default_rng(seed).standard_normal(B_.shape[:1] + B_.shape[2:])


def pair(seed, K=3, V=2):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((K, K)), rng.standard_normal((K, V))


def same(x, y, tol=1e-13):
    for a, b in zip(x, y, strict=True):
        close(a, b, tol)


# Composition


@given(st.tuples(*[st.integers(0, 2**32 - 1)] * 3), st.integers(1, 4), st.integers(0, 3))
def test_composition_is_associative(seeds, K, V):
    x, y, z = (pair(seed, K, V) for seed in seeds)
    same(compose(compose(x, y), z), compose(x, compose(y, z)), 1e-12)


@given(st.integers(0, 2**32 - 1))
def test_the_identity_changes_nothing_on_either_side(seed):
    x, one = pair(seed), (np.eye(3), np.zeros((3, 2)))
    same(compose(one, x), x, 0)
    same(compose(x, one), x, 0)
    close(apply_segment(one, x[1]), x[1], 0)


def test_the_order_matters():
    x, y = pair(0), pair(1)
    assert all(abs(a - b).max() > 0.1 for a, b in zip(compose(x, y), compose(y, x)))


@given(st.tuples(*[st.integers(0, 2**32 - 1)] * 3))
def test_to_compose_is_to_apply_one_after_the_other(seeds):
    x, y, (_, S) = (pair(seed) for seed in seeds)
    close(apply_segment(compose(x, y), S), apply_segment(y, apply_segment(x, S)), 1e-12)


def test_one_step_in_letters():
    """S_2 = A_2 (A_1 S + B_1) + B_2, written out."""
    (A1, B1), (A2, B2), (_, S) = pair(0), pair(1), pair(2)
    close(apply_segment(compose((A1, B1), (A2, B2)), S), A2 @ (A1 @ S + B1) + B2, 1e-14)


# Runs


@every_kind
@pytest.mark.parametrize("T", [0, 1, 2, 13])
def test_the_pair_of_a_run_gives_its_last_state(kind, T):
    A, B_ = KINDS[kind](T)
    S = state_for(B_)
    end = affine_scan(A, B_, S)[:, -1] if T else S
    close(apply_segment(segment(A, B_), S), end, 1e-13)


def test_the_pair_of_no_tokens_is_the_identity():
    A, B_ = segment(*(x.astype(np.float32) for x in dense(0)))
    assert (np.broadcast_to(np.eye(K), (B, H, K, K)) == A).all() and not B_.any()
    assert A.dtype == B_.dtype == np.float32 and B_.shape == (B, H, K, V)


@every_kind
@pytest.mark.parametrize("cuts", [[0, 13], [0, 1, 13], [0, 5, 5, 9, 13], [0, 12, 13], list(range(14))], ids=str)
def test_segments_may_be_run_by_themselves_in_any_order(kind, cuts):
    A, B_ = KINDS[kind](13)
    S, found = state_for(B_), {}
    for i in np.random.default_rng(0).permutation(len(cuts) - 1):
        found[i] = segment(A[:, cuts[i] : cuts[i + 1]], B_[:, cuts[i] : cuts[i + 1]])
    whole = found[0]
    for i in range(1, len(found)):
        whole = compose(whole, found[i])
    same(whole, segment(A, B_))
    close(apply_segment(whole, S), affine_scan(A, B_, S)[:, -1], 1e-13)


@every_kind
@pytest.mark.parametrize("t", range(9))
def test_a_state_may_be_handed_on_at_every_token(kind, t):
    A, B_ = KINDS[kind](8)
    S = state_for(B_)
    first = affine_scan(A[:, :t], B_[:, :t], S)
    rest = affine_scan(A[:, t:], B_[:, t:], first[:, -1] if t else S)
    close(np.concatenate([first, rest], 1), affine_scan(A, B_, S), 0)


def shared_out(A, B_, S, workers):
    """Sequence parallelism. Each worker sees its own tokens only; what goes between them is one pair each."""
    parts = list(zip(np.split(A, workers, 1), np.split(B_, workers, 1)))
    pairs = [segment(*part) for part in parts]  # all workers at once
    gathered = tuple(np.stack(x) for x in zip(*pairs))
    before = associative_scan(compose, gathered, axis=0)  # log2(workers) messages; worker p needs what lies before it
    entering = [S, *(apply_segment((before[0][p], before[1][p]), S) for p in range(workers - 1))]
    return np.concatenate([affine_scan(*part, S_p) for part, S_p in zip(parts, entering)], 1)  # all workers at once


@every_kind
@pytest.mark.parametrize("workers", [1, 2, 3, 4, 6, 12])
def test_workers_with_a_part_of_the_sequence_each_find_every_state(kind, workers):
    A, B_ = KINDS[kind](12)
    S = state_for(B_)
    close(shared_out(A, B_, S, workers), affine_scan(A, B_, S), 1e-13)


# Gradients


@every_kind
def test_gradients_are_those_of_the_oracle(kind):
    A, B_ = KINDS[kind](12)
    inputs = {"A": A, "B": B_, "S": state_for(B_)}
    weights = [np.random.default_rng(3).standard_normal(B_.shape)]
    runs = {"oracle": affine_scan, "workers": lambda A, B, S: shared_out(A, B, S, 4)}
    found = {}
    for name, run in runs.items():
        tensors = leaves(inputs)
        found[name] = gradients([run(*tensors.values())], weights, tensors)
    for name, g in found["oracle"].items():
        close(found["workers"][name], g, 1e-12, name)


@every_kind
def test_gradients_of_a_run_are_those_of_its_last_state(kind):
    A, B_ = KINDS[kind](7)
    inputs = {"A": A, "B": B_, "S": state_for(B_)}
    runs = [lambda A, B, S: apply_segment(segment(A, B), S), lambda A, B, S: affine_scan(A, B, S)[:, -1]]
    weights = [np.random.default_rng(3).standard_normal(inputs["S"].shape)]
    by_pair, by_loop = (gradients([run(*x.values())], weights, x) for run in runs for x in [leaves(inputs)])
    for name, g in by_loop.items():
        close(by_pair[name], g, 1e-12, name)


@pytest.mark.parametrize("order", [1, 2])
def test_gradcheck(order):
    ml.gradcheck(
        lambda A, B, S: np.sin(apply_segment(segment(A, B), S)), [*dense(3), state_for(dense(3)[1])], order=order
    )


def test_on_arrays_that_take_only_what_a_gpu_takes():
    A, B_ = (Strict(x) for x in dense(5))
    S = Strict(state_for(B_))
    close(apply_segment(segment(A, B_), S).get(), affine_scan(A, B_, S)[:, -1].get(), 1e-13)


# Errors


def test_wrong_shapes_are_named():
    (A, B_), one = dense(3), pair(0)
    refused(ShapeError, "A must have shape", r"\(", ".", segment, A=B_, B=B_)
    refused(ShapeError, "B must have 5 axes", r"\(", ".", segment, A=A, B=B_[0])
    refused(ShapeError, "^first holds A", r"\(3, 2\) and \(3, 2\)", "segment", compose, first=one[1:] * 2, then=one)
    refused(ShapeError, "^then holds A", r"\(3,\)", "segment", compose, first=one, then=(one[0], one[1][:, 0]))
    refused(ShapeError, "`then` has the shapes of `first`", r"\(4, 4\)", "both", compose, first=one, then=pair(0, 4))
    refused(ShapeError, "`then` has the shapes of `first`", r"\(3, 5\)", "both", compose, first=one, then=pair(0, 3, 5))
    refused(ShapeError, "A state has the shape", r"\(2, 3\)", "B, H, K, V", apply_segment, pair=one, state=one[1].T)
    refused(ShapeError, "^pair holds", r"\(2, 3\)", "segment", apply_segment, pair=(one[0], one[1].T), state=one[1])
