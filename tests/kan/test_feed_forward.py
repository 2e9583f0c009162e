"""Two layers in the place of a feed-forward layer. What they share with all others is in tests/mlp/test_mlp.py."""

from functools import partial

import numpy as np
import pytest

from minilinear.kan import FEED_FORWARDS, KAN, BSplineLayer, ChebyshevLayer, RBFLayer
from minilinear.kan.feed_forward import weights_of_an_edge
from tests.kan.fit_table import NETWORKS, TARGETS, fit
from tests.nn.modules import check_gradients, double

rng = np.random.default_rng(0)
stream = lambda: np.random.default_rng(0)


@pytest.mark.parametrize("name", FEED_FORWARDS)
def test_gradients(name):
    layer = double(FEED_FORWARDS[name](4, 6, rng=stream()))
    check_gradients(layer, layer, [rng.uniform(-0.9, 0.9, (3, 4))])


@pytest.mark.parametrize(
    ("layer", "weights"),
    [(BSplineLayer, 9), (partial(BSplineLayer, G=10, degree=2), 13), (RBFLayer, 9), (ChebyshevLayer, 5)],
)
def test_an_edge_has_a_weight_for_each_basis_function_and_one_for_the_base(layer, weights):
    assert weights_of_an_edge(layer) == weights
    assert KAN(90, layer=layer, rng=stream()).up.D_out == round(360 / weights)


def test_a_narrow_one_keeps_four_hidden_values():
    assert KAN(3, rng=stream()).up.D_out == 4


@pytest.mark.parametrize("network", NETWORKS)
def test_networks_learn_a_product(network):
    error, _, _ = fit(network, "x y", seed=0, steps=150, lr=1e-2)
    assert error < 0.1  # the product itself has a root mean square of 1/3
    assert set(TARGETS) == {"exp(sin(pi x) + y^2)", "x y"}
