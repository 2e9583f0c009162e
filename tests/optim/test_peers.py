"""The optimizers that PyTorch has, step by step over 20 steps."""

import numpy as np
import pytest

from minilinear.nn import Parameter
from minilinear.optim import SGD, Adagrad, Adam, Muon
from tests.recurrence.cases import close

pytestmark = pytest.mark.peers
SHAPES = ((3, 4), (5,), ())


def draw(shapes=SHAPES):
    rng = np.random.default_rng(0)
    parameters = [Parameter(np.asarray(rng.standard_normal(s))) for s in shapes]
    return parameters, [[np.asarray(rng.standard_normal(s)) for s in shapes] for _ in range(20)]


CASES = [
    (SGD, "SGD", {"lr": 0.1}, {}),
    (SGD, "SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}, {}),
    (SGD, "SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.4}, {}),
    (SGD, "SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}, {}),
    (Adam, "Adam", {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.3}, {}),
    (Adam, "Adam", {}, {}),
    (Adagrad, "Adagrad", {"lr": 0.1, "weight_decay": 0.3}, {"initial_sum": 0.2}),
    (Adagrad, "Adagrad", {}, {}),
]


@pytest.mark.parametrize(("ours", "theirs", "options", "renamed"), CASES)
def test_it_is_pytorchs(ours, theirs, options, renamed):
    import torch

    parameters, gradients = draw()
    tensors = [torch.tensor(p.data.copy(), requires_grad=True) for p in parameters]
    names = {"initial_sum": "initial_accumulator_value"}
    other = getattr(torch.optim, theirs)(tensors, **options, **{names[k]: v for k, v in renamed.items()})
    optimizer = ours(parameters, **options, **renamed)
    for gs in gradients:
        optimizer.step(gs)
        for tensor, g in zip(tensors, gs):
            tensor.grad = torch.tensor(g)
        other.step()
        for p, tensor in zip(parameters, tensors):
            close(p.data, tensor.detach().numpy(), 1e-12)


@pytest.mark.parametrize("in_bfloat16", [True, False])
@pytest.mark.parametrize("adjust", ["original", "match_rms_adamw"])
@pytest.mark.parametrize("nesterov", [True, False])
def test_muon_is_pytorchs(monkeypatch, nesterov, adjust, in_bfloat16):
    """Theirs holds (out, in) and runs Newton-Schulz in bfloat16, which leaves two digits of a step. With that taken
    out the two agree but for eps, which we add to the length and they take as its least value.
    """
    import torch

    if not in_bfloat16:
        monkeypatch.setattr(torch.Tensor, "bfloat16", lambda self: self.clone())
    parameters, gradients = draw(((6, 15), (15, 6), (8, 8)))
    start = [p.data for p in parameters]
    tensors = [torch.tensor(p.data.T.copy(), requires_grad=True) for p in parameters]
    options = {"lr": 0.05, "momentum": 0.8, "nesterov": nesterov, "weight_decay": 0.1}
    other = torch.optim.Muon(tensors, adjust_lr_fn=adjust, **options)
    optimizer = Muon(parameters, adjust=adjust, **options)
    for gs in gradients:
        optimizer.step(gs)
        for tensor, g in zip(tensors, gs):
            tensor.grad = torch.tensor(g.T.copy())
        other.step()
    for p, tensor, x in zip(parameters, tensors, start):
        close(p.data - x, tensor.detach().numpy().T - x, 0.03 if in_bfloat16 else 1e-6)
