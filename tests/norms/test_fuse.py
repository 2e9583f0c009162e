"""A frozen norm disappears in the Linear beside it."""

import numpy as np
import pytest

from minilinear.errors import ShapeError
from minilinear.nn import Linear
from minilinear.norms import BatchNorm, fuse_affine_into_linear
from tests.nn.modules import double
from tests.recurrence.cases import close

rng = np.random.default_rng(0)
X = rng.standard_normal((3, 4, 6))
SIDES = {"before": 6, "after": 5}
every_side = pytest.mark.parametrize("side", SIDES)
with_and_without_bias = pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])


def linear(bias):
    return double(Linear(6, (2, 3), bias=bias, role="readout", rng=np.random.default_rng(1)))


@every_side
@with_and_without_bias
def test_any_affine_map_of_each_channel_fuses(side, bias):
    layer = linear(bias)
    a, c = rng.standard_normal((2, SIDES[side]))
    fused = fuse_affine_into_linear(a, c, layer, side)
    close(fused(X).data, layer(a * X + c).data if side == "before" else a * layer(X).data + c, 1e-14)


@every_side
@with_and_without_bias
def test_batch_norm_in_use_fuses(side, bias):
    layer, norm = linear(bias), double(BatchNorm(SIDES[side]))
    for _ in range(3):
        norm(rng.standard_normal((50, SIDES[side])) * 3 + 1)
    norm.eval()
    fused = fuse_affine_into_linear(*norm.affine(), layer, side)
    close(fused(X).data, layer(norm(X)).data if side == "before" else norm(layer(X)).data, 1e-13)


@every_side
def test_the_linear_that_was_given_stays_as_it_was(side):
    layer = linear(True)
    saved = layer.state_dict()
    fused = fuse_affine_into_linear(np.full(SIDES[side], 2.0), np.ones(SIDES[side]), layer, side)
    assert fused is not layer and fused.weight is not layer.weight
    assert all((saved[name] == p.data).all() for name, p in layer.named_parameters())


def test_dtype_role_and_parts_are_those_of_the_linear():
    layer = Linear(6, (2, 3), bias=False, role="readout", rng=np.random.default_rng(1))
    fused = fuse_affine_into_linear(np.ones(6), np.ones(6), layer, "before")  # in float64
    assert fused.weight.dtype == fused.bias.dtype == np.float32
    assert (fused.weight.role, fused.weight.parts, fused.weight.decay) == ("readout", (2, 3), True)
    assert (fused.bias.role, fused.bias.decay) == ("vector", False)


@every_side
def test_a_map_of_other_channels_is_refused(side):
    good, bad = np.ones(SIDES[side]), np.ones(11 - SIDES[side])
    with pytest.raises(ShapeError, match=rf"{side} this Linear of 6 to 5 numbers has a of shape .*\n  got.*\n  fix"):
        fuse_affine_into_linear(bad, good, linear(True), side)
    with pytest.raises(ShapeError, match="has c of shape"):
        fuse_affine_into_linear(good, bad, linear(True), side)


def test_another_side_is_refused():
    with pytest.raises(ValueError, match=r'side is "before" or "after" the Linear\.\n  got: \'left\''):
        fuse_affine_into_linear(np.ones(6), np.ones(6), linear(True), "left")
