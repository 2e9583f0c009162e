"""AdamW is its equations, step by step, and those of PyTorch."""

import numpy as np
import pytest

from minilinear.errors import ShapeError
from minilinear.nn import Parameter
from minilinear.optim import AdamW
from tests.recurrence.cases import close

OPTIONS = {"lr": 0.03, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.2}
SHAPES = ((3, 4), (5,), ())


def draw(steps=50):
    """Parameters in float64, one of them without decay, and their gradients at every step."""
    rng = np.random.default_rng(0)
    parameters = [Parameter(np.asarray(rng.standard_normal(s)), decay=s != (5,)) for s in SHAPES]
    return parameters, [[np.asarray(rng.standard_normal(s)) for s in SHAPES] for _ in range(steps)]


def test_it_is_the_written_update():
    parameters, gradients = draw()
    optimizer = AdamW(parameters, **OPTIONS)
    x, m, v = [p.data.copy() for p in parameters], [np.zeros(s) for s in SHAPES], [np.zeros(s) for s in SHAPES]
    b1, b2 = OPTIONS["betas"]
    for t, gs in enumerate(gradients, 1):
        lr = OPTIONS["lr"] * 0.9**t
        optimizer.step(gs, lr=lr)
        for i, g in enumerate(gs):
            m[i] = b1 * m[i] + (1 - b1) * g
            v[i] = b2 * v[i] + (1 - b2) * g**2
            decay = OPTIONS["weight_decay"] if parameters[i].decay else 0
            step = lr * (m[i] / (1 - b1**t)) / (np.sqrt(v[i] / (1 - b2**t)) + OPTIONS["eps"])
            x[i] = (1 - lr * decay) * x[i] - step
            close(parameters[i].data, x[i], 1e-13)
    assert optimizer.t == 50


@pytest.mark.peers
def test_it_is_pytorchs():
    import torch

    parameters, gradients = draw()
    theirs = [torch.tensor(p.data.copy(), requires_grad=True) for p in parameters]
    groups = [{"params": [t], "weight_decay": OPTIONS["weight_decay"] * p.decay} for t, p in zip(theirs, parameters)]
    other = torch.optim.AdamW(groups, lr=OPTIONS["lr"], betas=OPTIONS["betas"], eps=OPTIONS["eps"])
    optimizer = AdamW(parameters, **OPTIONS)
    for gs in gradients:
        optimizer.step(gs)
        for t, g in zip(theirs, gs):
            t.grad = torch.tensor(g)
        other.step()
        for p, t in zip(parameters, theirs):
            close(p.data, t.detach().numpy(), 1e-12)


def test_the_defaults():
    optimizer = AdamW([])
    assert (optimizer.lr, optimizer.betas, optimizer.eps, optimizer.weight_decay) == (1e-3, (0.9, 0.999), 1e-8, 0.01)
    optimizer.step([])
    assert optimizer.t == 1


def test_the_first_step_is_one_learning_rate_in_every_coordinate():
    p = Parameter(np.zeros(3))
    AdamW([p], lr=0.1).step([np.array([1e-3, -5.0, 2e4])])
    close(p.data, np.array([-0.1, 0.1, -0.1]), 1e-4)


def test_float32_stays_float32_and_gradients_are_left_alone():
    p, g = Parameter(np.ones(3, np.float32)), np.ones(3, np.float32)
    optimizer = AdamW([p])
    optimizer.step([g])
    assert p.dtype == optimizer.m[0].dtype == optimizer.v[0].dtype == np.float32
    assert g.tolist() == [1, 1, 1]


def test_it_goes_on_from_its_state_as_if_it_had_never_stopped():
    parameters, gradients = draw()
    optimizer = AdamW(parameters, **OPTIONS)
    for gs in gradients[:20]:
        optimizer.step(gs)
    resumed_parameters = [Parameter(p.data, decay=p.decay) for p in parameters]
    resumed, saved = AdamW(resumed_parameters, **OPTIONS), optimizer.state_dict()
    resumed.load_state_dict(saved)
    assert sorted(saved) == ["m.0", "m.1", "m.2", "t", "v.0", "v.1", "v.2"]
    for gs in gradients[20:]:
        optimizer.step(gs)
        resumed.step(gs)
    for p, r in zip(parameters, resumed_parameters):
        assert (p.data == r.data).all()
    assert resumed.t == optimizer.t == 50


def test_it_finds_the_lowest_point():
    p = Parameter(np.array([3.0, -2.0]))
    optimizer = AdamW([p], weight_decay=0)
    for _ in range(500):
        optimizer.step([np.array([1.0, 100.0]) * (p.data - 1)], lr=0.05)
    close(p.data, np.ones(2), 1e-2)


def test_gradients_are_one_for_each_parameter_in_its_shape():
    p = Parameter(np.ones(2))
    for wrong in ([], [np.ones(3)], [None], [np.ones(2)] * 2):
        with pytest.raises(ShapeError, match="one gradient for each"):
            AdamW([p]).step(wrong)


def test_averages_of_other_parameters_are_refused():
    with pytest.raises(ShapeError, match="another list of parameters"):
        AdamW([Parameter(np.ones(2))]).load_state_dict(AdamW([Parameter(np.ones(3))]).state_dict())
