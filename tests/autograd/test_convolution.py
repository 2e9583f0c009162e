"""conv2d and pooling: what is refused, and how ties and images without room are treated."""

import numpy as np
import pytest

import minilinear as ml
from minilinear.autograd import avg_pool2d, conv2d, max_pool2d
from minilinear.errors import ShapeError
from tests.autograd.cases import leaf

x, w = np.ones((2, 4, 5, 5)), np.ones((6, 4, 3, 3))


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (
            lambda: conv2d(x[0], w),
            ShapeError,
            r"images \(B, D, height, width\)\.\n  got: \(4, 5, 5\)\n  fix: x\[None\]",
        ),
        (lambda: conv2d(x[0, 0], w), ShapeError, "fix: reshape"),
        (lambda: conv2d(x, w[0]), ShapeError, r"weight of conv2d is \(E, D / groups(.|\n)*got: \(4, 3, 3\)"),
        (lambda: conv2d(x, w[:, :, :0]), ShapeError, "weight of conv2d"),
        (lambda: conv2d(x, w[:, :3]), ShapeError, r"4 channels(.|\n)*got: weight \(6, 3, 3, 3\)(.|\n)*\(6, 4, 3, 3\)"),
        (lambda: conv2d(x, w, groups=2), ShapeError, r"D / groups = 2 channels(.|\n)*shape \(6, 2, 3, 3\)"),
        (
            lambda: conv2d(x, w, groups=3),
            ShapeError,
            r"groups of conv2d divide(.|\n)*groups=3, 4 channels(.|\n)*groups=4",
        ),
        (lambda: conv2d(x, w[:5, :2], groups=2), ShapeError, "5 of the result"),
        (lambda: conv2d(x, w, groups=0), ShapeError, "groups=0"),
        (lambda: conv2d(x, w, np.ones(4)), ShapeError, r"bias of conv2d has shape \(6,\)\.\n  got: \(4,\)"),
        (lambda: conv2d(x, w, np.ones((6, 1))), ShapeError, "bias"),
        (lambda: conv2d(x, w, stride=0), ValueError, r"stride is an integer, or a pair(.|\n)*got: 0\n  fix: stride=1"),
        (lambda: conv2d(x, w, stride=(1, -1)), ValueError, r"got: \(1, -1\)"),
        (lambda: conv2d(x, w, stride=1.5), ValueError, r"got: 1\.5"),
        (lambda: conv2d(x, w, stride=(1, 1, 1)), ValueError, "a pair of them"),
        (lambda: conv2d(x, w, padding=-1), ValueError, "padding is an integer(.|\n)*0 or more"),
        (lambda: conv2d(x, w, dilation=0), ValueError, "dilation"),
        (
            lambda: conv2d(x, w, dilation=3),
            ShapeError,
            r"fit into(.|\n)*span \(7, 7\), images of \(5, 5\)\n  fix: a smaller",
        ),
        (lambda: conv2d(x[:, :, :1], w, padding=(0, 1)), ShapeError, r"span \(3, 3\), images of \(1, 7\)"),
        (lambda: max_pool2d(x, 6), ShapeError, r"windows of max_pool2d fit(.|\n)*span \(6, 6\)"),
        (lambda: max_pool2d(x[0], 2), ShapeError, "max_pool2d takes images"),
        (lambda: avg_pool2d(x, 2, stride=0), ValueError, "stride"),
        (lambda: avg_pool2d(x, 0), ValueError, "size"),
        (lambda: avg_pool2d(x[0], 2), ShapeError, "avg_pool2d takes images"),
    ],
)
def test_what_does_not_fit_is_named(call, kind, said):
    with pytest.raises(kind, match=said):
        call()


def test_one_number_means_both_axes():
    for name in ("stride", "padding", "dilation"):
        np.testing.assert_array_equal(conv2d(x, w, **{name: 2}), conv2d(x, w, **{name: (2, 2)}))
    assert conv2d(x, w, stride=(2, 1), padding=(0, 1)).shape == (2, 6, 2, 5)
    assert conv2d(x, w, dilation=(1, 2)).shape == (2, 6, 3, 1)


def test_arrays_in_array_out():
    assert type(conv2d(x, w)) is type(max_pool2d(x, 2)) is type(avg_pool2d(x, 2)) is np.ndarray


def test_an_empty_batch():
    t, u = leaf(x[:0]), leaf(w)
    y = conv2d(t, u, np.ones(6))
    assert y.shape == (0, 6, 3, 3)
    gx, gw = ml.grad(y.sum(), [t, u])
    assert gx.shape == t.shape
    assert not gw.data.any()
    assert max_pool2d(t, 2).shape == (0, 4, 2, 2)


def test_what_no_window_reaches_has_gradient_zero():
    t = leaf(x)
    g = ml.grad(conv2d(t, w[:, :, :2, :2], stride=3).sum(), t).data
    assert (g[:, :, [0, 1, 3, 4]][:, :, :, [0, 1, 3, 4]] == 6).all()
    assert not g[:, :, 2].any()
    assert not g[:, :, :, 2].any()


def test_the_largest_entries_of_a_window_share_its_gradient():
    t = leaf(np.array([[1.0, 2.0], [2.0, 0.0]])[None, None])
    assert ml.grad(max_pool2d(t, 2).sum(), t).data.tolist() == [[[[0, 0.5], [0.5, 0]]]]
