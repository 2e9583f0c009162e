"""GroupNorm: groups of channels of a token or of a picture; one group is LayerNorm, one channel each InstanceNorm."""

import numpy as np
import pytest

import minilinear as ml
from minilinear.errors import ConfigError, ShapeError
from minilinear.norms import GroupNorm, LayerNorm, group_norm, layer_norm
from tests.nn.modules import check_gradients, double
from tests.recurrence.cases import close

rng = np.random.default_rng(0)
WEIGHT, BIAS = rng.standard_normal(6), rng.standard_normal(6)
SHAPES = {0: [(6,), (0, 6), (5, 6), (2, 3, 6)], 1: [(6, 5), (2, 6, 5)], 2: [(2, 6, 3, 4), (0, 6, 3, 4), (6, 3, 4)]}
CASES = [(space, shape, groups) for space, shapes in SHAPES.items() for shape in shapes for groups in (1, 2, 3, 6)]


def written_out(x, groups, space, eps):
    """Group by group, one after the other."""
    y, size = np.empty_like(x), 6 // groups
    axis = x.ndim - 1 - space
    inside = tuple(range(axis, x.ndim))
    for i in range(groups):
        group = (*[slice(None)] * axis, slice(i * size, (i + 1) * size))
        part = x[group]
        y[group] = (part - part.mean(inside, keepdims=True)) / np.sqrt(part.var(inside, keepdims=True) + eps)
    per_channel = (6, *[1] * space)
    return y * WEIGHT.reshape(per_channel) + BIAS.reshape(per_channel)


@pytest.mark.parametrize(("space", "shape", "groups"), CASES)
def test_it_is_its_definition(space, shape, groups):
    x = np.random.default_rng(1).standard_normal(shape) + np.arange(np.prod(shape)).reshape(shape) % 3
    y = group_norm(x, WEIGHT, BIAS, groups=groups, space=space, eps=0.01)
    assert y.shape == shape
    close(y, written_out(x, groups, space, 0.01), 1e-13)
    close(group_norm(ml.tensor(x), WEIGHT, BIAS, groups=groups, space=space, eps=0.01).data, y, 1e-15)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize(("space", "shape"), [(0, (2, 6)), (2, (2, 6, 2, 3))])
def test_gradients_are_the_slopes(space, shape, order):
    layer = double(GroupNorm(6, groups=2, space=space, eps=0.1))
    check_gradients(layer, layer, [np.random.default_rng(1).standard_normal(shape)], order=order)


def test_pictures_without_pixels_stay_so():
    assert group_norm(np.ones((2, 6, 0, 4)), WEIGHT, BIAS, groups=2, space=2).shape == (2, 6, 0, 4)


def test_one_group_is_layer_norm():
    x = rng.standard_normal((2, 5, 6))
    close(group_norm(x, WEIGHT, BIAS, groups=1), layer_norm(x, WEIGHT, BIAS), 1e-15)


def test_as_many_groups_as_heads_is_a_layer_norm_for_each_head():
    x = rng.standard_normal((2, 5, 3, 4))  # B, T, H, V
    layer = double(GroupNorm(12, groups=3))
    heads = layer_norm(x) * layer.weight.data.reshape(3, 4) + layer.bias.data.reshape(3, 4)
    close(layer(x.reshape(2, 5, 12)).data, heads.reshape(2, 5, 12), 1e-14)
    changed = x.copy()
    changed[:, :, 1] += rng.standard_normal((2, 5, 4))  # one head does not see another
    same = layer(changed.reshape(2, 5, 12)).data.reshape(x.shape)[:, :, [0, 2]]
    close(same, heads[:, :, [0, 2]], 1e-14)


def test_a_group_for_each_channel_is_instance_norm():
    x = rng.standard_normal((2, 6, 3, 4))
    y = (x - x.mean((2, 3), keepdims=True)) / np.sqrt(x.var((2, 3), keepdims=True) + 1e-5)
    close(GroupNorm(6, groups=6, space=2)(x).data, y, 1e-13)


def test_instance_norm_of_a_single_pixel_is_the_shift():
    y = group_norm(rng.standard_normal((2, 6, 1, 1)), WEIGHT, BIAS, groups=6, space=2)
    assert (y == BIAS[:, None, None]).all()


def test_the_layer_starts_with_gains_of_one_and_shifts_of_zero():
    x = rng.standard_normal((5, 6))
    close(GroupNorm(6, groups=1)(x).data, LayerNorm(6)(x).data, 1e-15)


@pytest.mark.parametrize("groups", [0, -1, 4, 12])
def test_groups_that_do_not_divide_the_channels_are_refused(groups):
    with pytest.raises(ConfigError, match=rf"groups divides D\.\n  got: D 6, groups {groups}"):
        GroupNorm(6, groups=groups)
    with pytest.raises(ConfigError, match="groups divides D"):
        group_norm(np.ones((2, 6)), WEIGHT, BIAS, groups=groups)


def test_channels_elsewhere_are_refused():
    with pytest.raises(ShapeError, match=r"for an axis -3 of 6 channels\.\n  got: \(2, 3, 4, 6\)"):
        GroupNorm(6, groups=2, space=2)(np.ones((2, 3, 4, 6)))
    with pytest.raises(ShapeError, match=r"for an axis -3 of 6 channels\.\n  got: \(6, 4\)"):
        GroupNorm(6, groups=2, space=2)(np.ones((6, 4)))
