"""BatchNorm: two functions in one, and the averages that lead from the first to the second."""

import numpy as np
import pytest

import minilinear as ml
from minilinear.errors import ShapeError
from minilinear.nn import Linear, Parameter
from minilinear.norms import BatchNorm
from tests.autograd.strict import Strict
from tests.nn.modules import check_gradients, double, put
from tests.recurrence.cases import close

X = np.random.default_rng(0).standard_normal((3, 4, 6)) * np.arange(1, 7) + 2
MASK = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]], bool)


def layer(**options):
    """In float64, with gains and shifts that are not 1 and 0, and averages that have seen something."""
    norm = double(BatchNorm(6, **options))
    rng = np.random.default_rng(5)
    norm.running_mean.data, norm.running_var.data = rng.standard_normal(6), rng.random(6) + 0.5
    return norm


@pytest.mark.parametrize("shape", [(7, 6), (3, 4, 6), (2, 3, 4, 6)])
def test_in_training_it_takes_the_statistics_of_all_tokens(shape):
    norm, x = layer(eps=0.01), np.random.default_rng(1).standard_normal(shape)
    rows = x.reshape(-1, 6)
    y = (x - rows.mean(0)) / np.sqrt(rows.var(0) + 0.01) * norm.weight.data + norm.bias.data
    close(norm(x).data, y, 1e-14)


def test_in_use_it_takes_the_running_ones():
    norm = layer(eps=0.01)
    norm.eval()
    mean, var = norm.running_mean.data, norm.running_var.data
    y = (X - mean) / np.sqrt(var + 0.01) * norm.weight.data + norm.bias.data
    close(norm(X).data, y, 1e-14)
    close(norm(X[0, 0]).data, y[0, 0], 1e-14)  # a single token is no trouble


def test_training_moves_the_averages_and_use_does_not():
    norm, rows = layer(momentum=0.3), X.reshape(-1, 6)
    mean, var = norm.running_mean.data, norm.running_var.data
    norm(X)
    close(norm.running_mean.data, 0.7 * mean + 0.3 * rows.mean(0), 1e-14)
    close(norm.running_var.data, 0.7 * var + 0.3 * rows.var(0, ddof=1), 1e-14)
    saved = norm.state_dict()
    norm.eval()
    norm(X + 1)
    assert all((a == b).all() for a, b in zip(saved.values(), norm.state_dict().values()))
    assert list(saved) == ["weight", "bias", "running_mean", "running_var"]


def test_with_momentum_one_use_follows_training_but_for_the_unbiased_variance():
    norm = layer(momentum=1.0, eps=0)
    in_training = norm(X).data
    norm.eval()
    n = 12
    shift = norm.bias.data
    close(norm(X).data - shift, (in_training - shift) * np.sqrt((n - 1) / n), 1e-13)


def test_it_starts_as_the_identity_in_use():
    norm = BatchNorm(6, eps=0)
    norm.eval()
    close(norm(X).data, X, 1e-15)
    assert norm.momentum == 0.1
    assert norm.running_mean.data.dtype == norm.running_var.data.dtype == np.float32


def test_averages_keep_their_dtype():
    norm = BatchNorm(6)
    norm(X)
    assert norm.running_mean.data.dtype == norm.running_var.data.dtype == np.float32
    assert norm.running_mean.data.any()


def test_what_is_masked_does_not_count_but_is_normalised():
    norm, bare = layer(eps=0.01), layer(eps=0.01)
    rows = X[MASK]
    y = (X - rows.mean(0)) / np.sqrt(rows.var(0) + 0.01) * norm.weight.data + norm.bias.data
    close(norm(X, MASK).data, y, 1e-14)
    bare(rows)
    close(norm.running_mean.data, bare.running_mean.data, 1e-14)
    close(norm.running_var.data, bare.running_var.data, 1e-14)


def test_a_mask_that_hides_nothing_changes_nothing():
    close(layer()(X, np.ones((3, 4), bool)).data, layer()(X).data, 1e-14)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "masked"])
def test_gradients_are_the_slopes(mask, order):
    norm = layer()
    check_gradients(norm, lambda x: norm(x, mask), [X], order=order)
    norm.eval()
    check_gradients(norm, norm, [X], order=order)


def test_the_gradient_of_a_batch_sums_to_nothing():
    t = ml.tensor(X, requires_grad=True)
    y = layer()(t)
    d = ml.grad((y * y * y).sum(), t).data
    assert np.abs(d.sum((0, 1))).max() < 1e-12 < np.abs(d).max()


def test_behind_a_linear_its_bias_and_the_scale_of_its_columns_are_not_seen():
    linear, norm = double(Linear(6, 6, rng=np.random.default_rng(0))), layer(eps=0)
    y = norm(linear(X)).data
    linear.bias.assign_(linear.bias.data + np.arange(6.0))
    linear.weight.assign_(linear.weight.data * np.arange(1.0, 7.0))
    close(norm(linear(X)).data, y, 1e-12)


def test_float32_stays_float32_also_with_a_mask():
    norm = BatchNorm(6)
    for mask in (None, MASK):
        assert norm(X.astype(np.float32), mask).dtype == np.float32
    norm.eval()
    assert norm(X.astype(np.float32)).dtype == np.float32


def test_it_runs_on_arrays_that_take_only_what_cupy_takes():
    plain, norm = layer(), layer()
    for name, p in list(norm.named_parameters()):
        put(norm, name, Parameter(Strict(p.numpy()), decay=False))
    for buffer in (norm.running_mean, norm.running_var):
        buffer.data = Strict(buffer.data)
    for mask in (None, MASK):
        y = norm(Strict(X.copy()), mask if mask is None else Strict(mask.copy()))
        close(y.numpy(), plain(X, mask).data, 1e-14)
    norm.eval()
    plain.eval()
    close(norm(Strict(X.copy())).numpy(), plain(X).data, 1e-14)
    assert type(norm.affine()[0]) is type(norm.running_mean.data) is Strict


@pytest.mark.parametrize(
    ("x", "mask"), [(X[:1, :1], None), (X[0, 0], None), (X, MASK & ~MASK), (X, np.arange(12).reshape(3, 4) == 5)]
)
def test_one_token_has_no_variance(x, mask):
    norm = layer()
    saved = norm.state_dict()
    with pytest.raises(ValueError, match=r"two tokens or more.*\n  got: [01] in x .*\n  fix: .*norm\.eval"):
        norm(x, mask)
    assert all((a == b).all() for a, b in zip(saved.values(), norm.state_dict().values()))


def test_a_mask_has_a_number_for_each_token():
    with pytest.raises(ShapeError, match=r"a number for each token, \(3, 4\)\.\n  got: \(3, 4, 1\)"):
        layer()(X, MASK[..., None])


def test_it_is_affine_in_use_only():
    norm = layer()
    with pytest.raises(ValueError, match=r"in use only.*\n  fix: norm\.eval"):
        norm.affine()
    norm.eval()
    a, c = norm.affine()
    close(a * X + c, norm(X).data, 1e-13)
    assert type(a) is type(c) is np.ndarray


def test_a_large_mean_costs_no_digits_in_float32_in_use_either():
    x = (np.random.default_rng(2).standard_normal((500, 6)) + 1e4).astype(np.float32)
    norm = BatchNorm(6)
    norm.eval()
    norm.running_mean.data, norm.running_var.data = np.full(6, 1e4, np.float32), np.full(6, 2, np.float32)
    assert np.abs(norm(x).data - (x.astype(np.float64) - 1e4) / np.sqrt(2 + 1e-5)).max() < 1e-6
