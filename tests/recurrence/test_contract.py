"""What every recurrence promises: its forms agree with each other and with S_t = A_t S_{t-1} + B_t, values and
gradients, however the sequence is cut, packed, permuted, stored or shared out.
"""

from itertools import pairwise

import numpy as np
import pytest

import minilinear as ml
from minilinear import backend
from minilinear.delta.delta_product import recurrent, transitions
from minilinear.recurrence import affine_scan, decay
from tests.autograd.strict import Strict
from tests.recurrence.cases import CASES, FEW, FORMS, close, gradients, leaves, relative_rms, run_with_gradients

every_case = pytest.mark.parametrize("case", CASES, ids=str)
few_cases = pytest.mark.parametrize("case", FEW, ids=str)
every_form = pytest.mark.parametrize("form", FORMS)


# Values


@every_case
@pytest.mark.parametrize("T", [0, 1, 13, 70])
def test_every_form_is_the_affine_recurrence(case, T):
    x = case.inputs(T)
    A, B = case.matrices(x)
    S0 = x.get("initial_state", np.zeros((*B.shape[:1], *B.shape[2:])))
    S = np.concatenate([S0[:, None], affine_scan(A, B, S0)], 1)  # S_0 .. S_T
    o = np.einsum("bthk,bthkv->bthv", x["q"], S[:, 1:]) * x["q"].shape[-1] ** -0.5
    for form, chunk in [("recurrent", 16), ("parallel", 16), *(("chunk", C) for C in (1, 2, 16, 64, 128))]:
        got = case(x, form=form, chunk=chunk, return_states=True)
        close(got[0], o, 1e-10, f"o, {form}, {chunk}")
        close(got[1], S[:, -1], 1e-10, f"final state, {form}, {chunk}")
        starts = np.arange(0, T, min(chunk, 1 << max(T - 1, 0).bit_length()))  # short sequences have short chunks
        close(got[2], S[:, starts], 1e-10, f"entering states, {form}, {chunk}")


@pytest.mark.parametrize("R", [1, 2, 3])
@pytest.mark.parametrize("gated", [False, True])
def test_the_matrices_of_the_layer_are_those_of_the_recurrence(R, gated):
    case = next(c for c in CASES if c.sizes == {"R": R} and set(c.axes) - {"g"} == set(c.recurrence.inputs))
    x = case.inputs(9)
    x["g"] = -np.random.default_rng(1).exponential(size=(2, 9, 3)) if gated else None
    arguments = (x["k"], x["v"], x["beta"], x["g"])
    for ours, theirs in zip(transitions(*arguments), case.matrices(x)):
        close(ours, theirs + 0 * ours, 1e-14)
    close(recurrent(x["q"], *arguments), case(x)[0], 1e-13)


@every_case
def test_return_states_gives_what_a_shorter_run_ends_with(case):
    x = case.inputs(13)
    for form in FORMS:
        *_, states = case(x, form=form, chunk=4, return_states=True)
        assert states.shape[1] == 4
        for n in range(4):
            close(states[:, n], case(case.along("T", x, slice(0, 4 * n)), form="recurrent")[1], 1e-12, form)


@few_cases
@every_form
def test_the_scale_multiplies_the_queries(case, form):
    x = case.inputs(5)
    o, final = case(x, form=form)
    assert relative_rms(case(x, form=form, scale=1.0)[0], o * x["q"].shape[-1] ** 0.5) < 1e-14
    assert relative_rms(case(x, form=form, scale=0.3)[1], final) == 0
    assert not case(x, form=form, scale=0)[0].any()


# Time


@every_case
def test_no_output_depends_on_a_later_token(case):
    x, t = case.inputs(13), 6
    prefix = case(case.along("T", x, slice(0, t)), form="recurrent")[0]
    for form in FORMS:
        tensors = leaves(x)
        o = case(tensors, form=form, chunk=4)[0]
        close(o.data[:, :t], prefix, 1e-13, form)
        found = gradients([o[:, :t]], [np.random.default_rng(1).standard_normal(prefix.shape)], tensors)
        for name, g in case.along("T", found, slice(t, None)).items():
            if "T" in case.axes[name]:
                assert not g.any(), f"{form}: o[:{t}] depends on {name}[{t}:]"
        for name, g in case.along("T", found, t - 1).items():
            assert g.any(), f"{form}: o[:{t}] does not depend on {name}"


@every_case
def test_a_run_can_be_handed_over_at_every_token(case):
    x, T = case.inputs(13), 13
    for form in FORMS:
        o, final = case(x, form=form, chunk=4)
        for t in range(T + 1):
            head, middle = case(case.along("T", x, slice(0, t)), form=form, chunk=4)
            rest = case.along("T", x, slice(t, T)) | {"initial_state": middle}
            tail, end = case(rest, form=form, chunk=4)
            close(np.concatenate([head, tail], 1), o, 1e-12, f"o, {form}, {t}")
            close(end, final, 1e-12, f"final state, {form}, {t}")


@every_case
@every_form
def test_gradients_pass_through_a_state_that_is_handed_over(case, form):
    """Cut at any token, with a cotangent on everything that comes out, the initial state's gradient included: what
    back-propagation through time does when a sequence comes in pieces.
    """
    x, T = case.inputs(7, B=1), 7
    (o, final), wanted = run_with_gradients(case, x, form=form, chunk=4)
    for t in range(T + 1):
        tensors = leaves(x)
        head, middle = case(case.along("T", tensors, slice(0, t)), form=form, chunk=4)
        rest = case.along("T", tensors, slice(t, T)) | {"initial_state": middle}
        tail, end = case(rest, form=form, chunk=4)
        rng = np.random.default_rng(1)
        weights = [rng.standard_normal(y.shape) for y in (o, final)]
        found = gradients([np.concatenate([head, tail], 1), end], weights, tensors)
        for name, g in wanted.items():
            close(found[name], g, 1e-11, f"d {name}, {form}, cut at {t}")


@every_case
@every_form
def test_packed_sequences_are_handed_over_each_at_its_own_token(case, form):
    """The first parts of three sequences in one call, the rest in another, from the states of the first."""
    x, starts, cuts = case.inputs(17, sequences=3), (0, 6, 6, 17), (2, 6, 13)
    whole, wanted = run_with_gradients(case, x, form=form, chunk=4, cu_seqlens=starts)
    before = np.concatenate([np.arange(a, cut) for a, cut in zip(starts, cuts)])
    after = np.concatenate([np.arange(cut, b) for cut, b in zip(cuts, starts[1:])])
    firsts = np.cumsum([0, *(cut - a for a, cut in zip(starts, cuts))])
    rests = np.cumsum([0, *(b - cut for cut, b in zip(cuts, starts[1:]))])
    tensors = leaves(x)
    head, middle = case(case.along("T", tensors, before), form=form, chunk=4, cu_seqlens=firsts)
    rest = case.along("T", tensors, after) | {"initial_state": middle}
    tail, end = case(rest, form=form, chunk=4, cu_seqlens=rests)
    o = np.concatenate([head, tail], 1)[:, np.argsort(np.concatenate([before, after]))]
    rng = np.random.default_rng(1)
    weights = [rng.standard_normal(y.shape) for y in whole]
    for y, z in zip((o, end), whole):
        close(y.data, z, 1e-12, form)
    for name, g in gradients([o, end], weights, tensors).items():
        close(g, wanted[name], 1e-11, f"d {name}, {form}")


# Gradients


@pytest.mark.parametrize("case", [case for case in CASES if "g" in case.axes], ids=str)
@pytest.mark.parametrize("packed", [False, True])
def test_mild_and_strong_gates_go_different_ways_to_the_same_place(case, packed, monkeypatch):
    x = case.inputs(70, sequences=2 if packed else None)
    options = {"chunk": 32, "return_states": True} | ({"cu_seqlens": (0, 29, 70)} if packed else {})
    values, wanted = run_with_gradients(case, x, form="recurrent", **options)
    for limit in (0, 60, 1e9):  # never, where it is allowed, and always one product per chunk
        monkeypatch.setattr(decay, "MILD", limit)
        outs, found = run_with_gradients(case, x, **options)
        for y, z in zip(outs, values):
            close(y, z, 1e-10, f"limit {limit}")
        for name, g in wanted.items():
            close(found[name], g, 1e-9, f"d {name}, limit {limit}")


@every_case
@pytest.mark.parametrize(("T", "chunks"), [(13, (1, 4, 16)), (70, (64,))])
def test_the_forms_have_the_same_gradients(case, T, chunks):
    x = case.inputs(T)
    for chunk in chunks:
        _, wanted = run_with_gradients(case, x, form="recurrent", chunk=chunk, return_states=True)
        for form in ("chunk", "parallel"):
            _, got = run_with_gradients(case, x, form=form, chunk=chunk, return_states=True)
            for name, g in wanted.items():
                assert g.any()
                close(got[name], g, 1e-9, f"d {name}, {form}, {chunk}")


@every_case
def test_one_cotangent_at_a_time_gives_the_same_gradients(case):
    x = case.inputs(7, B=1)
    for used in range(3):
        found = {}
        for form in FORMS:
            tensors, rng = leaves(x), np.random.default_rng(1)
            outs = case(tensors, form=form, chunk=2, return_states=True)
            weights = [rng.standard_normal(y.shape) if i == used else None for i, y in enumerate(outs)]
            found[form] = gradients(outs, weights, tensors)
        for name, g in found["recurrent"].items():
            close(found["chunk"][name], g, 1e-10, f"d {name}, cotangent {used}")
            close(found["parallel"][name], g, 1e-10, f"d {name}, cotangent {used}")


@every_case
@pytest.mark.parametrize(("order", "T"), [(1, 11), (2, 5)])
def test_gradients_of_the_chunk_form_are_the_slopes(case, order, T):
    x = case.inputs(T, B=1, H=2)

    def function(*tensors):
        return case(dict(zip(x, tensors)), chunk=4, return_states=True)

    ml.gradcheck(function, list(x.values()), order=order)


# Packed sequences

STARTS = (0, 0, 5, 6, 6, 19, 23)  # of length 0, 5, 1, 0, 13, 4


@every_case
def test_packed_sequences_are_separate_runs(case):
    x, sequences = case.inputs(23, sequences=6), list(pairwise(STARTS))
    rng = np.random.default_rng(2)
    for form in FORMS:
        tensors = leaves(x)
        packed = case(tensors, form=form, chunk=4, cu_seqlens=STARTS, return_states=True)
        weights = [rng.standard_normal(y.shape) for y in packed]
        got = gradients(packed, weights, tensors)
        parts, total, chunks = [], 0.0, 0
        alone = leaves(x)
        for i, (a, b) in enumerate(sequences):
            tokens = case.along("T", alone, slice(a, b))
            if "initial_state" in tokens:
                tokens["initial_state"] = tokens["initial_state"][i : i + 1]
            o, final, states = case(tokens, form=form, chunk=4, return_states=True)
            parts.append((o, final, states))
            n = states.shape[1]
            pieces = weights[0][:, a:b], weights[1][i : i + 1], weights[2][:, chunks : chunks + n]
            total = total + sum((y * w).sum() for y, w in zip((o, final, states), pieces))
            chunks += n
        for y, axis, pieces in zip(packed, (1, 0, 1), zip(*parts)):
            close(
                y.data, np.concatenate([p.data if isinstance(p, ml.Tensor) else p for p in pieces], axis), 1e-12, form
            )
        for (name, _), g in zip(alone.items(), ml.grad(total, list(alone.values()))):
            close(got[name], g.data, 1e-11, f"d {name}, {form}")


@few_cases
@every_form
def test_one_packed_sequence_is_a_batch_of_one(case, form):
    x = case.inputs(9, sequences=1)
    options = {"form": form, "chunk": 4, "return_states": True}
    for y, z in zip(case(x, cu_seqlens=(0, 9), **options), case(x, **options)):
        assert (y == z).all()


@few_cases
@every_form
@pytest.mark.parametrize("starts", [np.array([0, 3, 9]), [0, 3, 9], ml.tensor([0, 3, 9]).numpy()])
def test_starts_may_be_any_sequence_of_integers(case, form, starts):
    x = case.inputs(9, sequences=2)
    assert (case(x, form=form, cu_seqlens=starts)[0] == case(x, form=form, cu_seqlens=(0, 3, 9))[0]).all()


@few_cases
@every_form
def test_nothing_packed(case, form):
    x = case.inputs(0, sequences=2)
    o, final, states = case(x, form=form, cu_seqlens=(0, 0, 0), return_states=True)
    assert (o.shape, states.shape) == ((1, 0, 3, 4), (1, 0, 3, 3, 4))
    assert (final == x.get("initial_state", np.zeros((2, 3, 3, 4)))).all()


@few_cases
@every_form
def test_without_tokens_there_are_gradients_of_0(case, form):
    x = leaves({name: value for name, value in case.inputs(0).items() if name != "initial_state"})
    o, _ = case(x, form=form)
    assert all(not d.data.any() for d in ml.grad(o.sum(), list(x.values()), allow_unused=True) if d is not None)


# Batch, heads, threads and storage


@few_cases
@every_form
@pytest.mark.parametrize("nothing", ["B", "H", "K", "V"])
def test_no_batch_no_heads_no_keys_no_values(case, form, nothing):
    x = case.inputs(5, **{nothing: 0})
    tensors = leaves(x)
    outs = case(tensors, form=form, chunk=2, return_states=True)
    found = ml.grad(sum(y.sum() for y in outs), list(tensors.values()), allow_unused=True)
    shape = {"B": 2, "H": 3, "K": 3, "V": 4} | {nothing: 0}
    B, H, K, V = (shape[a] for a in "BHKV")
    assert [y.shape for y in outs] == [(B, 5, H, V), (B, H, K, V), (B, 3, H, K, V)]
    assert all(g is None or (g.shape == t.shape and not g.data.any()) for g, t in zip(found, tensors.values()))


@every_case
@pytest.mark.parametrize(("axis", "order"), [("B", [1, 0]), ("H", [2, 0, 1])])
def test_batch_elements_and_heads_do_not_speak_to_each_other(case, axis, order):
    x = case.inputs(13)
    for form in FORMS:
        outs, found = run_with_gradients(case, x, form=form, chunk=4, return_states=True)
        moved = case.along(axis, x, order)
        tensors = leaves(moved)
        got = case(tensors, form=form, chunk=4, return_states=True)
        places = {"B": (0, 0, 0), "H": (2, 1, 2)}[axis]
        rng = np.random.default_rng(1)
        weights = [np.take(rng.standard_normal(y.shape), order, i) for y, i in zip(outs, places)]
        for y, z, i in zip(got, outs, places):
            close(y.data, np.take(z, order, i), 1e-13, form)
        for name, g in gradients(got, weights, tensors).items():
            close(g, case.along(axis, found, order)[name], 1e-12, f"d {name}, {form}")


# The largest relative RMS over all cases, K = V = 3 and 8, was: recurrent 1.5e-7 for values and 2.3e-7 for gradients,
# chunk 6.4e-7 and 8.8e-7, parallel, whose one triangular system has T R = 210 rows, 1.0e-6 and 2.6e-6.
FLOAT32 = {"recurrent": (3e-7, 4e-7), "chunk": (1e-6, 1.5e-6), "parallel": (2e-6, 4e-6)}


@every_case
def test_float32_is_close_to_float64(case):
    x = case.inputs(70, dtype=np.float32, K=8, V=8)
    exact = {name: a.astype(np.float64) for name, a in x.items()}
    wanted, wanted_gradients = run_with_gradients(case, exact, form="recurrent", chunk=16, return_states=True)
    for form, (for_values, for_gradients) in FLOAT32.items():
        outs, found = run_with_gradients(case, x, form=form, chunk=16, return_states=True)
        assert {y.dtype for y in (*outs, *found.values())} == {np.dtype(np.float32)}
        for y, z in zip(outs, wanted):
            close(y, z, for_values, form)
        for name, g in wanted_gradients.items():
            close(found[name], g, for_gradients, f"d {name}, {form}")


@few_cases
@pytest.mark.parametrize("packed", [False, True])
def test_results_do_not_depend_on_how_the_work_is_shared_out(case, packed, monkeypatch):
    options = {"chunk": 16, "return_states": True} | ({"cu_seqlens": (0, 7, 50)} if packed else {})
    sizes = {"H": 5, "K": 6, "V": 7} | ({} if packed else {"B": 3})
    x = case.inputs(50, dtype=np.float32, sequences=2 if packed else None, **sizes)
    monkeypatch.setenv("MINILINEAR_THREADS", "1")
    monkeypatch.setattr(backend, "LARGE", 1 << 60)  # one part
    wanted, wanted_gradients = run_with_gradients(case, x, **options)
    for threads, small, large in ("1", 0, 1), ("2", 0, 1 << 60), ("3", 0, 1 << 60), ("4", 0, 5000), ("2", 1 << 60, 1):
        monkeypatch.setenv("MINILINEAR_THREADS", threads)
        monkeypatch.setattr(backend, "SMALL", small)
        monkeypatch.setattr(backend, "LARGE", large)
        outs, found = run_with_gradients(case, x, **options)
        for y, z in zip((*outs, *found.values()), (*wanted, *wanted_gradients.values())):
            assert (y == z).all()


@few_cases
@every_form
@pytest.mark.parametrize("T", [0, 5])
def test_arrays_give_arrays_and_tensors_give_tensors(case, form, T):
    x = case.inputs(T)
    for y in case(x, form=form, return_states=True):
        assert type(y) is np.ndarray
    for name, a in x.items():  # one Tensor among arrays is enough
        outs = case(x | {name: ml.tensor(a)}, form=form, return_states=True)
        tracked = case(x | {name: ml.tensor(a, requires_grad=True)}, form=form, return_states=True)
        assert {type(y) for y in (*outs, *tracked)} == {ml.Tensor}
        if T == 0:
            continue
        assert not outs[0].requires_grad
        assert tracked[0].requires_grad
    with ml.no_grad():
        assert not case(leaves(x), form=form)[0].requires_grad


def strided(x):
    """The same numbers, every second one of a larger array, with the axes stored backwards."""
    larger = np.full(tuple(2 * n for n in reversed(x.shape)), np.nan)
    view = larger[(slice(None, None, 2),) * x.ndim].T
    view[...] = x
    return view


def read_only_backwards(x):
    view = np.ascontiguousarray(x[::-1])[::-1]
    view.flags.writeable = False
    return view


@few_cases
@every_form
@pytest.mark.parametrize("stored", [strided, read_only_backwards, np.asfortranarray])
def test_inputs_may_be_stored_in_any_way(case, form, stored):
    x = case.inputs(13)
    views = {name: stored(a) for name, a in x.items()}
    for y, z in zip(case(views, form=form, chunk=4), case(x, form=form, chunk=4)):
        close(y, z, 1e-13)


@few_cases
@every_form
def test_tensors_may_be_views(case, form):
    x = case.inputs(13)
    _, wanted = run_with_gradients(case, x, form=form, chunk=4)
    turned = leaves({name: np.ascontiguousarray(a.T) for name, a in x.items()})
    outs, rng = case({name: t.T for name, t in turned.items()}, form=form, chunk=4), np.random.default_rng(1)
    for name, g in gradients(outs, [rng.standard_normal(y.shape) for y in outs], turned).items():
        close(g.T, wanted[name], 1e-12, name)


@every_case
@every_form
@pytest.mark.parametrize("limit", [0, 60])
def test_every_form_runs_on_arrays_that_take_only_what_cupy_takes(case, form, limit, monkeypatch):
    monkeypatch.setattr(decay, "MILD", limit)
    x = case.inputs(5, B=1, dtype=np.float32)
    wanted_values, wanted = run_with_gradients(case, x, form=form, chunk=2, return_states=True)
    tensors = leaves({name: Strict(a) for name, a in x.items()})
    outs, rng = case(tensors, form=form, chunk=2, return_states=True), np.random.default_rng(1)
    weights = [Strict(rng.standard_normal(y.shape).astype(np.float32)) for y in outs]
    found = ml.grad(sum((y * w).sum() for y, w in zip(outs, weights)), list(tensors.values()))
    for y, z in zip(outs, wanted_values):
        close(y._array.value, z, 1e-6)
    for (name, g), t in zip(wanted.items(), found):
        close(t._array.value, g, 1e-6, name)


@few_cases
@every_form
def test_inputs_are_left_as_they_were(case, form):
    x = case.inputs(13)
    before = {name: a.copy() for name, a in x.items()}
    run_with_gradients(case, x, form=form, chunk=4)
    case(x, form=form, chunk=4)
    assert all((x[name] == a).all() for name, a in before.items())


@few_cases
def test_a_final_state_is_no_view_of_the_initial_one(case):
    x = case.inputs(0) | {"initial_state": np.ones((2, 3, 3, 4))}
    final = case(x)[1]
    final += 1
    assert (x["initial_state"] == 1).all()


@few_cases
@every_form
def test_dtypes_may_be_mixed(case, form):
    """The result is in the widest dtype; every gradient in the dtype of its input."""
    x = case.inputs(13)
    wanted, wanted_gradients = run_with_gradients(case, x, form=form, chunk=4)
    for name in x:
        mixed = {n: b if n == name else b.astype(np.float32) for n, b in x.items()}
        outs, found = run_with_gradients(case, mixed, form=form, chunk=4)
        assert outs[0].dtype == np.float64
        for y, z in zip(outs, wanted):
            close(y, z, 2e-6, name)
        for n, g in found.items():
            assert g.dtype == mixed[n].dtype
            close(g, wanted_gradients[n], 2e-6, n)
