"""muP: what a step changes does not grow with the width."""

import numpy as np
import pytest

import minilinear as ml
from minilinear.errors import ConfigError, ShapeError
from minilinear.nn import Embedding, Linear, Module, Parameter
from minilinear.optim import SGD, Adam, AdamW, Muon, mup_groups, rescale_init
from tests.recurrence.cases import close


class MLP(Module):
    """Numbers in, two hidden layers, scores out."""

    def __init__(self, width, *, seed=0, scores=4):
        rng = np.random.default_rng(seed)
        self.first = Linear(16, width, rng=rng)
        self.second = Linear(width, width, rng=rng)
        self.head = Linear(width, scores, role="readout", rng=rng)
        for map in self.first, self.second, self.head:  # the standard parametrisation: 1 / sqrt(in)
            fan_in = map.weight.shape[0]
            map.weight.assign_((fan_in**-0.5 * rng.standard_normal(map.weight.shape)).astype(np.float32))

    def __call__(self, x):
        h = self.second(np.maximum(self.first(x), 0))
        return h, self.head(np.maximum(h, 0))


DATA = np.random.default_rng(1)
X, Y = DATA.standard_normal((64, 16)).astype(np.float32), DATA.standard_normal((64, 4)).astype(np.float32)


def gradients(model):
    _, y = model(X)
    return [g.data for g in ml.grad(((y - Y) ** 2).mean(), model.parameters())]


def moved(width, make, kind=None):
    """How far three steps move the inputs of the last activation, and the scores: mean of the absolute changes."""
    model, base = MLP(width), MLP(64)
    if kind:
        rescale_init(model, base)
    optimizer, before = make(mup_groups(model, base, kind) if kind else model.parameters()), model(X)
    for _ in range(3):
        optimizer.step(gradients(model))
    return [float(abs(b.data - a.data).mean()) for a, b in zip(before, model(X))]


@pytest.mark.parametrize(
    ("kind", "make", "hidden", "scores"),
    [
        ("adam", lambda p: Adam(p, lr=0.02), 5.3, 1.1),
        ("adam", lambda p: AdamW(p, lr=0.02, weight_decay=0.1), 5.3, 1.1),
        ("muon", lambda p: Muon(p, lr=0.02, adam_lr=0.2), 1.0, 2.5),
        ("sgd", lambda p: SGD(p, lr=0.1), 1.7, 2.6),
    ],
    ids=["adam", "adamw", "muon", "sgd"],
)
def test_what_a_step_changes_keeps_its_size_as_the_width_grows(kind, make, hidden, scores):
    """The coordinate check: widths 64 and 256. In the standard parametrisation one of the two grows, by the factors
    given; under Adam the hidden layer changes by as much more as it is wider.
    """
    narrow, wide = (moved(width, make, kind) for width in (64, 256))
    assert [w / n for n, w in zip(narrow, wide)] == pytest.approx([1, 1], abs=0.35)
    narrow, wide = (moved(width, make) for width in (64, 256))
    assert [w / n for n, w in zip(narrow, wide)] == pytest.approx([hidden, scores], rel=0.1)


@pytest.mark.parametrize("kind", ["adam", "sgd", "muon"])
def test_the_base_model_is_trained_as_ever(kind):
    make = {"adam": AdamW, "sgd": SGD, "muon": Muon}[kind]
    plain, grouped = MLP(64), MLP(64)
    rescale_init(grouped, MLP(64, seed=3))
    one, other = make(plain.parameters(), lr=0.01), make(mup_groups(grouped, MLP(64, seed=3), kind), lr=0.01)
    for _ in range(3):
        one.step(gradients(plain))
        other.step(gradients(grouped))
    assert all((a.data == b.data).all() for a, b in zip(plain.parameters(), grouped.parameters(), strict=True))


def test_the_table():
    model, base = MLP(256), MLP(64)
    names = [name for name, _ in model.named_parameters()]
    assert names == ["first.weight", "first.bias", "second.weight", "second.bias", "head.weight", "head.bias"]

    def factors(kind):
        return [(group.lr, group.weight_decay) for group in mup_groups(model, base, kind)]

    assert factors("adam") == [(1, 1), (1, 1), (1 / 4, 4), (1, 1), (1 / 4, 4), (1, 1)]
    assert factors("sgd") == [(4, 1), (4, 1), (1, 1), (4, 1), (1 / 4, 1), (1, 1)]
    # A hidden matrix is Muon's: of the first layer too, whose role is "hidden" here.
    assert factors("muon") == [(1, 1), (1, 1), (1, 1), (1, 1), (1 / 4, 4), (1, 1)]


def rms(p):
    return float(np.sqrt(np.mean(p.data.astype(np.float64) ** 2)))


def test_initial_sizes():
    model, base = MLP(256), MLP(64)
    rescale_init(model, base)
    assert rms(model.first.weight) == pytest.approx(rms(base.first.weight), rel=1e-5)
    assert rms(model.second.weight) == pytest.approx(rms(base.second.weight) / 2, rel=1e-5)
    assert rms(model.head.weight) == pytest.approx(rms(base.head.weight) / 4, rel=1e-5)
    once = model.state_dict()
    rescale_init(model, base)
    for name, value in model.state_dict().items():
        close(value, once[name], 1e-6)
    assert model.first.weight.dtype == np.float32


def test_what_starts_at_zero_stays_there():
    model = MLP(256)
    model.head.weight.assign_(np.zeros((256, 4), np.float32))
    rescale_init(model, MLP(64))
    assert not model.head.weight.data.any()


@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_a_small_readout_is_a_readout_with_a_factor(kind):
    """y = x W' with W' = W / m trains as y = x W / m does: Adam lr 1 / m for 1, SGD 1 / m for m."""
    m, rng = 8.0, np.random.default_rng(0)
    x, target, W = rng.standard_normal((5, 6)), rng.standard_normal((5, 3)), rng.standard_normal((6, 3))
    with_factor, folded = Parameter(W), Parameter(W / m)
    if kind == "adam":
        a, b = Adam([with_factor], lr=0.1, eps=0), Adam([folded], lr=0.1 / m, eps=0)
    else:
        a, b = SGD([with_factor], lr=0.1 * m, momentum=0.9), SGD([folded], lr=0.1 / m, momentum=0.9)
    for _ in range(6):
        a.step([ml.grad(((x @ with_factor / m - target) ** 2).mean(), with_factor).data])
        b.step([ml.grad(((x @ folded - target) ** 2).mean(), folded).data])
        close(folded.data, with_factor.data / m, 1e-12)


def test_embeddings_and_taps():
    class Tokens(Module):
        def __init__(self, D):
            rng = np.random.default_rng(0)
            self.embedding = Embedding(11, D, std=D**-0.5, rng=rng)
            self.taps = Parameter(np.ones((4, D), np.float32), decay=False)
            self.scale = Parameter(np.ones((), np.float32), decay=False)

    model, base = Tokens(32), Tokens(8)
    assert [g.lr for g in mup_groups(model, base)] == [1, 1, 1]
    factors = {id(g.parameters[0]): g.lr for g in mup_groups(model, base, "sgd")}
    assert [factors[id(p)] for p in (model.embedding.weight, model.taps, model.scale)] == [4, 4, 1]
    base.taps.assign_(2 * base.taps.data)
    rescale_init(model, base)
    assert rms(model.embedding.weight) == pytest.approx(rms(base.embedding.weight), rel=1e-5)
    assert (model.taps.data == 1).all()


def test_models_that_differ_in_more_than_width():
    with pytest.raises(ConfigError, match="adam, sgd, muon"):
        mup_groups(MLP(8), MLP(4), "lamb")
    with pytest.raises(ShapeError, match=r"head\.weight differs from its base in more than width"):
        mup_groups(MLP(8), MLP(4, scores=5))
    with pytest.raises(ShapeError, match="same Parameters"):
        rescale_init(MLP(8), MLP(4).second)
