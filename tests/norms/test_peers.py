"""The same numbers as torch, forwards, backwards and in the running averages."""

import numpy as np
import pytest

import minilinear as ml
from minilinear.norms import BatchNorm, GroupNorm, LayerNorm, RMSNorm
from tests.nn.modules import double
from tests.recurrence.cases import close

pytestmark = pytest.mark.peers
SHAPES = {"tokens": (2, 5, 6), "pictures": (2, 6, 3, 4)}


def agree(ours, theirs, shape, between=lambda x: x):
    """Give torch our parameters; compare values, and gradients of the input and of every parameter."""
    import torch

    theirs = theirs.double()
    with torch.no_grad():
        for name, p in theirs.named_parameters():
            p.copy_(torch.tensor(dict(ours.named_parameters())[name].numpy()))
    rng = np.random.default_rng(1)
    x, g = rng.standard_normal((2, *shape))
    t, u = ml.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, z = ours(t), between(theirs(between(u)))
    close(y.data, z.detach().numpy(), 1e-13)
    theirs.zero_grad()
    z.backward(torch.tensor(g))
    names = [name for name, _ in ours.named_parameters()]
    got = ml.grad(y, [t, *ours.parameters()], g)
    for name, d in zip(["x", *names], got):
        wanted = u.grad if name == "x" else dict(theirs.named_parameters())[name].grad
        close(d.data, wanted.numpy(), 1e-12, name)


@pytest.mark.parametrize("eps", [1e-5, 0.3])
def test_layer_norm(eps):
    import torch

    agree(double(LayerNorm(6, eps=eps)), torch.nn.LayerNorm(6, eps=eps), SHAPES["tokens"])


@pytest.mark.parametrize("eps", [1e-5, 0.3])
def test_rms_norm(eps):
    import torch

    agree(double(RMSNorm(6, eps=eps)), torch.nn.RMSNorm(6, eps=eps), SHAPES["tokens"])


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_group_norm_of_pictures(groups):
    import torch

    agree(double(GroupNorm(6, groups=groups, space=2)), torch.nn.GroupNorm(groups, 6), SHAPES["pictures"])


@pytest.mark.parametrize("groups", [1, 2])
def test_group_norm_of_tokens(groups):
    import torch

    agree(double(GroupNorm(6, groups=groups)), torch.nn.GroupNorm(groups, 6), (5, 6))


def test_instance_norm():
    import torch

    norm = torch.nn.InstanceNorm2d(6, affine=True)
    agree(double(GroupNorm(6, groups=6, space=2)), norm, SHAPES["pictures"])


@pytest.mark.parametrize("momentum", [0.1, 0.7])
@pytest.mark.parametrize("shape", [(8, 6), (2, 5, 6)])
def test_batch_norm_over_several_steps_and_in_use(shape, momentum):
    import torch

    ours, theirs = double(BatchNorm(6, momentum=momentum)), torch.nn.BatchNorm1d(6, momentum=momentum).double()
    for buffer in (ours.running_mean, ours.running_var):
        buffer.data = buffer.data.astype(np.float64)
    channels_second = lambda x: x if x.ndim == 2 else x.transpose(1, 2)  # (N, D, L) is torch's
    rng = np.random.default_rng(0)
    for step in range(4):
        x = rng.standard_normal(shape) * (step + 1) + step
        ours(x)
        theirs(channels_second(torch.tensor(x)))
        close(ours.running_mean.data, theirs.running_mean.numpy(), 1e-14)
        close(ours.running_var.data, theirs.running_var.numpy(), 1e-14)
    agree(ours, theirs, shape, channels_second)
    ours.eval()
    theirs.eval()
    agree(ours, theirs, shape, channels_second)
