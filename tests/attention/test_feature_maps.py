"""Feature maps by their formulas, and what each of them promises of phi(q) . phi(k)."""

import itertools
import math

import numpy as np
import pytest

import minilinear as ml
from minilinear.attention.feature_maps import (
    DPFP,
    FAVOR,
    FEATURE_MAPS,
    EluPlusOne,
    Softmax,
    Taylor,
    feature_map,
    orthogonal_gaussian,
    uniform_rotation,
)
from minilinear.errors import ConfigError
from tests.nn.modules import check_gradients, double
from tests.recurrence.cases import close

K = 5
RNG = np.random.default_rng
every_map = pytest.mark.parametrize("name", FEATURE_MAPS)


def make(name, K=K, **options):
    return double(feature_map(name, K, rng=RNG(0), **options))


def value(map_, x):
    return ml.tensor(map_(x)).data


def draw(*shape, seed=1):
    return RNG(seed).standard_normal(shape)


# All of them


@every_map
@pytest.mark.parametrize("K", [1, 2, 5])
def test_a_map_has_the_features_it_says(name, K):
    map_ = make(name, K)
    for shape in ((K,), (2, 3, K), (0, K)):
        assert value(map_, np.ones(shape)).shape == (*shape[:-1], map_.features)


@every_map
def test_a_map_is_positive_where_it_says_so(name):
    map_, x = make(name), 3 * draw(2000, K)
    lowest = value(map_, x).min()
    if name == "taylor":  # features of either sign, but phi(q) . phi(k) = ((1 + s)^2 + 1) / 2 is positive
        assert (value(map_, x) @ value(map_, x).T).min() >= 0.5 - 1e-12
    else:
        assert map_.positive == (lowest >= 0)


@every_map
def test_a_map_looks_at_each_vector_by_itself(name):
    map_, x = make(name), draw(4, 3, K)
    close(value(map_, x)[2, 1], value(map_, x[2, 1]), 1e-14)


@every_map
def test_gradients_of_a_map_are_the_slopes(name):
    map_ = make(name)
    if map_.parameters():
        check_gradients(map_, map_, [draw(3, K)])
    for order in (1, 2):
        ml.gradcheck(map_, [draw(3, K)], order=order, eps=1e-6)


@every_map
def test_float32_stays_float32(name):
    x = draw(3, K).astype(np.float32)
    map_ = feature_map(name, K, rng=RNG(0))
    assert value(map_, x).dtype == np.float32
    close(value(map_, x), value(map_, x.astype(np.float64)), 1e-6)


def test_learnt_and_random_maps_need_a_generator():
    for name in ("t2r", "hadamard", "favor"):
        with pytest.raises(ConfigError, match=f"The feature map {name} starts at random"):
            FEATURE_MAPS[name](K)
    for name in FEATURE_MAPS.keys() - {"t2r", "hadamard", "favor"}:
        assert not list(FEATURE_MAPS[name](K).named_parameters())


def test_an_unknown_map_is_named():
    with pytest.raises(ConfigError, match=r"A feature map is one of identity, elu.*\n  got: 'exp'"):
        feature_map("exp", K, rng=RNG(0))


# One by one


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("identity", lambda x: x),
        ("elu", lambda x: x + 1 if x > 0 else math.exp(x)),
        ("relu", lambda x: max(0.0, x)),
        ("relu_squared", lambda x: max(0.0, x) ** 2),
    ],
)
def test_maps_of_single_numbers_are_their_formulas(name, formula):
    x = np.array([-800.0, -2, -1e-9, 0, 1e-9, 0.5, 3, 800])
    close(value(make(name, len(x)), x), np.array([formula(a) for a in x]), 1e-15)


def test_elu_plus_one_is_smooth_where_its_pieces_meet():
    """Slope 1 from both sides and at 0 itself, where a query starts when its projection is 0."""
    x = ml.tensor(np.array([-1e-12, 0.0, 1e-12]), requires_grad=True)
    assert np.allclose(ml.grad(EluPlusOne(3)(x).sum(), x).data, 1, rtol=1e-11)


def test_elu_plus_one_of_a_large_number_is_finite_and_so_is_its_gradient():
    x = ml.tensor(np.array([1e4, -1e4], np.float32), requires_grad=True)
    with np.errstate(all="raise", under="ignore"):
        y = EluPlusOne(2)(x)
        d = ml.grad(y.sum(), x)
    assert y.data.tolist() == [10001, 0]
    assert d.data.tolist() == [1, 0]


def test_softmax_features_are_shares_of_one():
    y = value(Softmax(K), 100 * draw(50, K))
    close(y.sum(-1), np.ones(50), 1e-15)
    close(value(Softmax(K), draw(50, K) + 7), value(Softmax(K), draw(50, K)), 1e-14)


@pytest.mark.parametrize("K", [1, 2, 5, 8])
def test_taylor_features_are_the_exponential_to_second_order(K):
    """phi(q) . phi(k) = 1 + s + s^2 / 2, s = q . k / sqrt(K), for vectors of any size."""
    q, k = 3 * draw(20, K), 2 * draw(20, K, seed=2)
    s = q @ k.T / math.sqrt(K)
    close(value(Taylor(K), q) @ value(Taylor(K), k).T, 1 + s + s**2 / 2, 1e-14)


@pytest.mark.parametrize(("K", "nu"), [(1, 1), (3, 1), (3, 2), (4, 3), (3, 5)])
def test_dpfp_is_its_formula(K, nu):
    """Feature (j, i) is r_i r_(i-j) with r = relu([x, -x]) of 2 K numbers, indices modulo 2 K."""
    x = draw(K)
    r = [max(0.0, a) for a in (*x, *-x)]
    expected = [r[i] * r[(i - j) % (2 * K)] for j, i in itertools.product(range(1, nu + 1), range(2 * K))]
    close(value(DPFP(K, nu=nu), x), np.array(expected), 1e-15)


def test_dpfp_of_vectors_in_different_orthants_is_orthogonal():
    """It puts vectors apart that share no neighbouring signs: this is what it is for."""
    phi = value(DPFP(4), np.array([[1.0, 2, 0, 0], [0, 0, 1, 2], [-1, -2, 0, 0]]))
    assert (phi @ phi.T != 0).tolist() == np.eye(3, dtype=bool).tolist()


@pytest.mark.parametrize("nu", [0, 10])
def test_dpfp_turns_by_at_least_one_place_and_not_all_the_way(nu):
    with pytest.raises(ConfigError, match=rf"nu is from 1 to 2 K - 1 = 9\.\n  got: {nu}"):
        DPFP(K, nu=nu)


def test_learnt_maps_are_their_formulas():
    x, t2r, hadamard = draw(7, K), make("t2r"), make("hadamard")
    W, b = t2r.map.weight.data, t2r.map.bias.data
    close(value(t2r, x), np.maximum(x @ W + b, 0), 1e-15)
    W, b = hadamard.maps.weight.data, hadamard.maps.bias.data
    close(value(hadamard, x), (x @ W[:, :K] + b[:K]) * (x @ W[:, K:] + b[K:]), 1e-14)


# FAVOR+


@pytest.mark.parametrize(("K", "m"), [(1, 4096), (2, 4096), (4, 4096), (16, 4096)])
def test_favor_is_unbiased(K, m):
    """The mean over m directions is exp(q . k / sqrt K), within 3 standard errors."""
    map_ = FAVOR(K, m=m, rng=RNG(0))
    for seed in range(20):
        q, k = 0.6 * draw(2, K, seed=seed) / K**0.25
        terms = value(map_, q) * value(map_, k) * m
        error = (terms.mean() - math.exp(q @ k / math.sqrt(K))) / (terms.std() / math.sqrt(m))
        assert abs(error) < 3, f"{error:.1f} standard errors"


def test_favor_is_its_formula():
    map_, x = FAVOR(K, m=7, rng=RNG(0)), draw(3, K)
    y = x / K**0.25
    expected = np.exp(y @ map_.omega.data.T.astype(float) - (y**2).sum(-1, keepdims=True) / 2) / math.sqrt(7)
    close(value(map_, x), expected, 1e-14)


def test_the_error_of_favor_halves_with_four_times_the_directions():
    """With one block of directions or none, Var / mean^2 = (exp |q' + k'|^2 - 1) / m, q' = q / K^(1/4); blocks of
    orthogonal directions do no worse. Many directions are needed: this is the weakness of the method.
    """
    q, k = 0.8 * draw(2, 16, seed=3) / 2
    s, spread = math.exp(q @ k / 4), math.exp(((q + k) ** 2).sum() / 4) - 1
    for m in (4, 16, 64, 256):
        estimates = []
        for seed in range(400):
            map_ = FAVOR(16, m=m, rng=RNG(seed))
            estimates.append(value(map_, q) @ value(map_, k))
        error = np.mean((np.array(estimates) / s - 1) ** 2)
        assert 0.4 * spread / m < error < 1.25 * spread / m, m


@pytest.mark.parametrize("K", [1, 2, 3, 8])
def test_directions_point_anywhere_equally_often(K):
    """Every omega has mean 0 and covariance I, at every place of a block: QR alone does not give that."""
    blocks = np.stack([orthogonal_gaussian(K, K, RNG(seed)) for seed in range(3000)]).astype(float)
    assert np.abs(blocks.mean(0)).max() < 5 / math.sqrt(3000)
    covariance = np.einsum("nri,nrj->rij", blocks, blocks) / 3000
    assert np.abs(covariance - np.eye(K)).max() < 6 * math.sqrt(2 / 3000)


@pytest.mark.parametrize("K", [1, 2, 5])
def test_a_uniform_rotation_is_what_gram_and_schmidt_make_of_gaussian_vectors(K):
    """U^T G is upper triangular with a positive diagonal, which leaves no sign to choose."""
    for seed in range(10):
        R = uniform_rotation(K, RNG(seed)) @ RNG(seed).standard_normal((K, K))
        assert np.abs(np.tril(R, -1)).max() < 1e-13
        assert (np.diagonal(R) > 0).all()


def test_directions_are_orthogonal_in_blocks_and_as_long_as_gaussian_vectors():
    omega = orthogonal_gaussian(21, 8, RNG(0)).astype(float)
    assert omega.shape == (21, 8)
    lengths = np.linalg.norm(omega, axis=1)
    for block in (omega[:8], omega[8:16], omega[16:]):
        gram = block @ block.T
        assert np.abs(gram - np.diag(np.diag(gram))).max() < 1e-5 * gram.max()
    assert len(set(lengths.round(5))) == 21
    many = np.linalg.norm(orthogonal_gaussian(8000, 8, RNG(1)).astype(float), axis=1) ** 2  # chi-squared of 8
    assert many.mean() == pytest.approx(8, rel=0.02)
    assert many.var() == pytest.approx(16, rel=0.1)


def test_favor_needs_a_direction_and_has_as_many_as_channels_by_default():
    assert FAVOR(6, rng=RNG(0)).features == 6
    with pytest.raises(ConfigError, match=r"m is 1 or more\.\n  got: 0"):
        FAVOR(6, m=0, rng=RNG(0))


def test_random_directions_are_saved_and_not_trained():
    a, b = FAVOR(4, m=6, rng=RNG(0)), FAVOR(4, m=6, rng=RNG(1))
    assert not a.parameters()
    b.load_state_dict(a.state_dict())
    assert (value(a, draw(3, 4)) == value(b, draw(3, 4))).all()
