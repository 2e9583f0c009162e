"""The recurrences written token by token in PyTorch, in float64, differentiated by PyTorch."""

import numpy as np
import pytest

import minilinear as ml
from tests.recurrence.cases import CASES, FORMS, close, gradients, leaves

pytestmark = pytest.mark.peers


def in_torch(q, k, v, beta=None, g=None, erase_key=None, initial_state=None):
    import torch

    if beta is None:  # linear attention: nothing is read before writing
        beta, erase_key = torch.ones_like(k[..., 0]), torch.zeros_like(k)
    if k.ndim == 4:  # one step
        k, v, beta = k[:, :, None], v[:, :, None], beta[:, :, None]
        erase_key = erase_key if erase_key is None else erase_key[:, :, None]
    p = k if erase_key is None else erase_key
    B, T, R, H, K = k.shape
    S = torch.zeros(B, H, K, v.shape[-1], dtype=q.dtype) if initial_state is None else initial_state
    outs = []
    for t in range(T):
        if g is not None:
            S = torch.exp(g[:, t] if g.ndim == 4 else g[:, t, :, None])[..., None] * S
        for r in range(R):
            error = v[:, t, r] - torch.einsum("bhkv,bhk->bhv", S, p[:, t, r])
            S = S + torch.einsum("bh,bhk,bhv->bhkv", beta[:, t, r], k[:, t, r], error)
        outs.append(torch.einsum("bhkv,bhk->bhv", S, q[:, t]) * K**-0.5)
    return torch.stack(outs, 1), S


@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_and_gradients_are_those_of_pytorch(case):
    import torch

    x = case.inputs(37, K=6, V=5)
    theirs = {name: torch.tensor(a, requires_grad=True) for name, a in x.items()}
    expected = in_torch(**theirs)
    rng = np.random.default_rng(1)
    weights = [rng.standard_normal(tuple(y.shape)) for y in expected]
    total = sum((y * torch.tensor(w)).sum() for y, w in zip(expected, weights))
    wanted = dict(zip(theirs, torch.autograd.grad(total, list(theirs.values()))))
    for form in FORMS:
        tensors = leaves(x)
        outs = case(tensors, form=form, chunk=16)
        assert all(isinstance(y, ml.Tensor) for y in outs)
        for y, z in zip(outs, expected):
            close(y.data, z.detach().numpy(), 1e-10, form)
        for name, d in gradients(outs, weights, tensors).items():
            close(d, wanted[name].numpy(), 1e-10, f"d {name}, {form}")
