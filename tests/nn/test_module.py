"""A Module finds its Parameters in the order they were set, gives copies of their values, and takes only its own."""

import numpy as np
import pytest

import minilinear as ml
from minilinear.errors import ConfigError, ShapeError
from minilinear.nn import Buffer, Embedding, Linear, Module, Parameter
from tests.recurrence.cases import close


class Tower(Module):
    """Parameters, modules, a list of modules, and things that are neither."""

    def __init__(self, rng):
        self.scale = Parameter(np.array(2.0, np.float32), decay=False)
        self.floors = [Linear(3, 3, rng=rng), Linear(3, 2, bias=False, rng=rng)]
        self.name, self.numbers, self.nothing, self.constant = "tower", [1, 2], None, ml.tensor(np.ones(3))
        self.top = Linear(2, 1, rng=rng)


NAMES = ["scale", "floors.0.weight", "floors.0.bias", "floors.1.weight", "top.weight", "top.bias"]


@pytest.fixture
def tower():
    return Tower(np.random.default_rng(0))


def test_a_parameter_is_a_leaf_with_a_copy_of_its_value():
    array = np.ones(3, np.float32)
    p = Parameter(array)
    array[0] = 5
    assert p.data.tolist() == [1, 1, 1]
    assert p.dtype == np.float32
    assert p.requires_grad
    assert p.decay
    assert not Parameter(array, decay=False).decay
    (p * p).sum().backward()
    assert p.grad.tolist() == [2, 2, 2]


def test_parameters_are_found_in_the_order_they_were_set(tower):
    assert [name for name, _ in tower.named_parameters()] == NAMES
    assert tower.parameters()[0] is tower.scale
    assert tower.parameters()[3] is tower.floors[1].weight
    assert tower.parameter_count() == 1 + 12 + 6 + 3
    assert [name for name, _ in tower.modules()] == ["", "floors.0.", "floors.1.", "top."]


class Counting(Module):
    def __init__(self):
        self.seen, self.weight = Buffer(np.zeros(2, np.float32)), Parameter(np.ones(2, np.float32))


def test_buffers_are_saved_and_loaded_but_not_trained():
    a, b = Counting(), Counting()
    assert [name for name, _ in a.named_buffers()] == ["seen"]
    assert [name for name, _ in a.named_parameters()] == ["weight"]
    a.seen.data = np.full(2, 3, np.float32)
    saved = a.state_dict()
    b.load_state_dict(saved)
    saved["seen"][:] = 7  # both ways a copy
    assert a.seen.data.tolist() == b.seen.data.tolist() == [3, 3]
    with pytest.raises(ShapeError, match=r"seen has shape \(2,\)\.\n  got: \(3,\)"):
        b.load_state_dict(saved | {"seen": np.zeros(3)})
    with pytest.raises(ValueError, match=r"missing \['seen'\]"):
        b.load_state_dict({"weight": saved["weight"]})


def test_training_and_use_reach_every_module(tower):
    assert all(module.training for _, module in tower.modules())
    tower.eval()
    assert not any(module.training for _, module in tower.modules())
    tower.train()
    assert tower.floors[1].training


def test_a_parameter_says_what_it_is_for():
    rng = np.random.default_rng(0)
    assert Linear(3, (2, 4), rng=rng).weight.role == "hidden"
    assert Linear(3, (2, 4), rng=rng).weight.parts == (2, 4)
    assert Linear(3, 5, role="readout", rng=rng).weight.role == "readout"
    assert Linear(3, 5, rng=rng).bias.role == "vector"
    assert Parameter(np.ones((4, 3)), decay=False).role == "vector"
    assert Embedding(7, 3, rng=rng).weight.role == "embedding"
    with pytest.raises(ConfigError, match=r"role is one of hidden, embedding, readout, vector\.\n  got: 'matrix'"):
        Parameter(np.ones(3), role="matrix")


def test_a_state_dict_is_a_copy(tower):
    saved = tower.state_dict()
    assert list(saved) == NAMES
    saved["top.bias"][:] = 7
    assert tower.top.bias.data.tolist() == [0]


def test_a_state_dict_can_be_loaded_into_another(tower):
    other = Tower(np.random.default_rng(1))
    assert (other.top.weight.data != tower.top.weight.data).all()
    saved = tower.state_dict()
    other.load_state_dict(saved)
    saved["top.weight"][:] = 7  # what was loaded is a copy too
    for name, x in other.state_dict().items():
        assert (x == tower.state_dict()[name]).all()


def test_parameters_keep_their_dtype_when_loaded(tower):
    tower.load_state_dict({n: x.astype(np.float64) for n, x in tower.state_dict().items()})
    assert {p.dtype for p in tower.parameters()} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("change", "kind", "rule"),
    [
        (
            lambda s: s.pop("scale"),
            ValueError,
            r"do not belong to this Tower\.\n  got: missing \['scale'\], unknown \[\]",
        ),
        (lambda s: s.update(roof=1), ValueError, r"missing \[\], unknown \['roof'\]\n  fix: build the model"),
        (lambda s: s.update({"top.bias": np.zeros(2)}), ShapeError, r"top\.bias has shape \(1,\)\.\n  got: \(2,\)"),
        (lambda s: s.update(scale=np.zeros(1)), ShapeError, r"scale has shape \(\)"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_changed(tower, change, kind, rule):
    before = tower.state_dict()
    arrays = {name: x + 1 for name, x in before.items()}
    change(arrays)
    with pytest.raises(kind, match=rule):
        tower.load_state_dict(arrays)
    assert all((x == before[name]).all() for name, x in tower.state_dict().items())


def test_a_module_without_parameters():
    empty = Module()
    assert empty.parameters() == []
    assert empty.parameter_count() == 0
    empty.load_state_dict({})


def test_gradients_reach_every_parameter(tower):
    x = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    y = tower.top(tower.floors[1](tower.floors[0](x) * tower.scale))
    y.sum().backward()
    assert all(p.grad.shape == p.shape for p in tower.parameters())
    close(tower.top.bias.grad, np.full(1, 5.0), 0)
