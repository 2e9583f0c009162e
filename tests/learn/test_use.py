"""The learner's function as the library's primitive: the same values and gradients, and really theirs that runs."""

from itertools import chain

import numpy as np
import pytest

import minilinear as ml
from minilinear.errors import ConfigError, TrainingFailed
from minilinear.learn import Course
from minilinear.learn.use import operation, primitive, using
from minilinear.recurrence import delta_product, gated_linear_attention

COURSE = Course()


def inputs(name, rng, T=11, B=2, H=3, K=4, V=5, R=2):
    shapes = {
        "gated_linear_attention": [(B, T, H, K), (B, T, H, K), (B, T, H, V)],
        "delta_product": [(B, T, H, K), (B, T, R, H, K), (B, T, R, H, V), (B, T, R, H)],
    }[name]
    arrays = [rng.standard_normal(shape) / 2 for shape in shapes]
    if name == "delta_product":
        arrays[3] = rng.uniform(0, 1, shapes[3])
    return arrays, rng.standard_normal((B, H, K, V))


def call(name, arrays, state):
    if name == "delta_product":
        q, k, v, beta = arrays
        return delta_product(q, k, v, beta=beta, initial_state=state, chunk=4, return_states=True)
    return gated_linear_attention(*arrays, initial_state=state, chunk=4, return_states=True)


def values_and_gradients(name, seed=0):
    rng = np.random.default_rng(seed)
    arrays, state = inputs(name, rng)
    leaves = [ml.tensor(x, requires_grad=True) for x in [*arrays, state]]
    o, final, states = call(name, leaves[:-1], leaves[-1])
    loss = (o * rng.standard_normal(o.shape)).sum() + (final * rng.standard_normal(final.shape)).sum()
    return [o.data, final.data, states.data], [g.data for g in ml.grad(loss, leaves)]


@pytest.mark.parametrize("with_gradient", [True, False])
@pytest.mark.parametrize("exercise", ["linear-1", "delta-6"])
def test_values_and_gradients_are_the_librarys(exercise, with_gradient):
    each = operation(exercise)
    sources = {each.forward: COURSE[each.forward].source}
    if with_gradient:
        sources[each.backward] = COURSE[each.backward].source
    wanted = values_and_gradients(each.name)
    with using(COURSE, sources) as banner:
        got = values_and_gradients(each.name)
    assert "YOUR" in banner[0] and ("YOURS" in banner[1]) == with_gradient
    for mine, theirs in zip(chain(*got), chain(*wanted), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-10)
    assert values_and_gradients(each.name)[0][0].tobytes() == wanted[0][0].tobytes()  # the library's again


@pytest.mark.parametrize("exercise", ["linear-1", "linear-8", "delta-6", "delta-7"])
def test_it_is_the_learners_code_that_runs(exercise):
    each = operation(exercise)
    sources = {name: COURSE[name].source for name in (each.forward, each.backward)}
    name = COURSE[exercise].name
    sources[exercise] += (
        f"\n\n_right = {name}\n\n\ndef {name}(*args):\n    return tuple(2 * x for x in _right(*args))\n"
    )
    if exercise == "linear-1":
        sources[exercise] = sources[exercise].replace("tuple(2 * x for x in _right(*args))", "2 * _right(*args)")
    wanted = values_and_gradients(each.name)
    with using(COURSE, sources):
        got = values_and_gradients(each.name)
    part = 0 if exercise == each.forward else 1
    assert not np.allclose(got[part][0], wanted[part][0])
    if part:
        np.testing.assert_allclose(got[0][0], wanted[0][0], rtol=1e-9)


def test_what_the_exercise_does_not_have_runs_by_the_librarys_text():
    each = operation("delta-6")
    rng = np.random.default_rng(1)
    (q, k, v, beta), state = inputs("delta_product", rng)
    g = -rng.uniform(0, 1, (2, 11, 3))
    wanted = delta_product(q, k, v, beta=beta, g=g, initial_state=state)
    with using(COURSE, {"delta-6": "def delta_rule(*args):\n    raise AssertionError('not asked for')\n"}):
        got = delta_product(q, k, v, beta=beta, g=g, initial_state=state)
        with pytest.raises(TrainingFailed, match=r"delta_6\.py, line 2: AssertionError: not asked for"):
            delta_product(q, k, v, beta=beta, initial_state=state)
    assert got[0].tobytes() == wanted[0].tobytes()
    assert primitive(each, {"delta-6": COURSE["delta-6"].source}).name == "your delta_product"


def test_an_exercise_that_no_run_can_use_is_said():
    with pytest.raises(ConfigError, match=r"delta-6 \(with delta-7"):
        operation("memory-1")
