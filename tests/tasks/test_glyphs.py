"""The drawn digits follow their recipe, moment by moment, and a small network learns them as well as it should."""

import json
from itertools import combinations, pairwise

import numpy as np
import pytest

import minilinear as ml
from minilinear.autograd import cross_entropy
from minilinear.errors import ConfigError
from minilinear.nn import Linear
from minilinear.optim import AdamW
from minilinear.randomness import stream
from minilinear.tasks.digits import READINGS
from minilinear.tasks.glyphs import MATRICES, Glyphs, draw

# (10, 8, 8, 8): each digit at each of its 2 x 4 places
PLACED = np.stack(
    [np.pad(MATRICES, ((0, 0), (i, 1 - i), (j, 3 - j))) for i in range(2) for j in range(4)], axis=1
)  # fmt: skip
AMPLITUDE_SQUARED = 1 + 0.8**2 / 12  # the mean of a^2, a uniform in [0.6, 1.4)


class WithoutNoise:
    """A generator whose normal numbers are all 0."""

    def __init__(self, rng):
        self.rng = rng

    def __getattr__(self, name):
        return getattr(self.rng, name)

    def standard_normal(self, size):
        return np.zeros(size)


def test_the_ten_drawings_fill_their_matrices_and_differ():
    assert MATRICES.shape == (10, 7, 5)
    assert set(MATRICES.ravel()) == {0, 1}
    for matrix in MATRICES:
        assert matrix[0].any()
        assert matrix[6].any()
    assert min(abs(a - b).sum() for a, b in combinations(MATRICES, 2)) >= 3


def test_a_one_and_a_seven_are_drawn_like_this():
    drawn = ["".join(" #"[int(dot)] for dot in row).rstrip() for row in MATRICES[[1, 7]].reshape(14, 5)]
    assert drawn[:7] == ["  #", " ##", "  #", "  #", "  #", "  #", " ###"]
    assert drawn[7:] == ["#####", "    #", "   #", "  #", " #", " #", " #"]


def test_a_place_changes_a_picture_more_than_a_digit_does():
    unit = PLACED.reshape(10, 8, 64) / np.sqrt(PLACED.sum((2, 3)))[..., None]
    cosines = np.einsum("dpx, eqx -> depq", unit, unit)
    same_digit, same_place = np.eye(10, dtype=bool)[:, :, None, None], np.eye(8, dtype=bool)
    assert cosines[same_digit & ~same_place].mean() == pytest.approx(0.24, abs=0.005)
    assert cosines[~same_digit & same_place].mean() == pytest.approx(0.52, abs=0.005)


def test_without_noise_a_picture_is_part_of_its_digit_at_one_place_and_of_one_amplitude():
    pictures, digits = draw(WithoutNoise(stream(0, "glyphs")), 3000)
    lit, most = pictures > 0, pictures.max((1, 2))
    assert np.where(lit, most[:, None, None], 0) == pytest.approx(pictures)
    outside = (lit[:, None] & (PLACED[digits] == 0)).sum((2, 3))  # (N, 8): lit dots where the digit has none
    assert (outside.min(1) == 0).all()
    assert most.min() >= 0.6
    assert most.max() < 1.4
    quarters = np.histogram(most, 4, (0.6, 1.4))[0]
    assert abs(quarters - 750).max() < 5 * np.sqrt(750)
    gone = 1 - lit.sum() / MATRICES[digits].sum()
    assert gone == pytest.approx(0.05, abs=0.005)


def test_all_places_and_digits_are_equally_likely():
    pictures, digits = draw(WithoutNoise(stream(1, "glyphs")), 8000)
    assert abs(np.bincount(digits, minlength=10) - 800).max() < 5 * np.sqrt(800)
    fits = (((pictures > 0)[:, None] & (PLACED[digits] == 0)).sum((2, 3)) == 0).astype(float)  # (N, 8)
    share = (fits / fits.sum(1, keepdims=True)).sum(0)
    assert abs(share - 1000).max() < 5 * np.sqrt(1000)


@pytest.mark.parametrize("digit", [0, 4, 7])
def test_first_and_second_moments_are_those_of_the_recipe(digit):
    """E[x] = 0.95 E[place], E[x x'] = 0.95^2 E[a^2] E[place place'], on the diagonal 0.95 E[a^2] E[place] + 0.3^2."""
    pictures, digits = draw(stream(2, "glyphs"), 60_000)
    x = pictures[digits == digit].reshape(-1, 64)
    place = PLACED[digit].reshape(8, 64)
    assert x.mean(0) == pytest.approx(0.95 * place.mean(0), abs=5 * 0.6 / np.sqrt(len(x)))
    expected = 0.95**2 * AMPLITUDE_SQUARED * place.T @ place / 8
    expected[np.diag_indices(64)] = 0.95 * AMPLITUDE_SQUARED * place.mean(0) + 0.3**2
    assert x.T @ x / len(x) == pytest.approx(expected, abs=6 * 0.8 / np.sqrt(len(x)))


def test_noise_alone_is_normal_with_deviation_three_tenths():
    pictures, digits = draw(stream(4, "glyphs"), 20_000)
    noise = np.sort(pictures[PLACED[digits].sum(1) == 0])  # where no place of the digit has a dot
    assert len(noise) > 100_000
    assert noise.mean() == pytest.approx(0, abs=0.004)
    assert noise.std() == pytest.approx(0.3, abs=0.003)
    quantiles = noise[(len(noise) * np.array([0.0228, 0.1587, 0.5, 0.8413, 0.9772])).astype(int)]
    assert quantiles == pytest.approx([-0.6, -0.3, 0, 0.3, 0.6], abs=0.01)


def test_who_knows_the_recipe_is_nearly_always_right():
    """The best that can be done: the likelihood of each digit, summed over places and amplitudes."""
    pictures, digits = draw(stream(3, "glyphs"), 400)
    normal = lambda x: np.exp(-0.5 * (x / 0.3) ** 2)
    dark = normal(pictures)[:, None, None]  # (N, 1, 1, 8, 8)
    likelihood = np.zeros((len(pictures), 10))
    for amplitude in np.linspace(0.65, 1.35, 8):
        bright = 0.95 * normal(pictures - amplitude)[:, None, None] + 0.05 * dark
        likelihood += np.where(PLACED > 0, bright / dark, 1).prod((3, 4)).sum(2)
    accuracy = Glyphs().score(likelihood, digits)["accuracy"]
    assert 0.97 < accuracy <= 1


@pytest.mark.parametrize("read", READINGS)
def test_new_pictures_are_drawn_for_every_batch(read):
    task = Glyphs(read)
    T, F = READINGS[read]
    x, y = task.batch(stream(0, "batch"), 50)
    assert (x.shape, x.dtype, y.shape, y.dtype) == ((50, T, F), np.float32, (50,), np.int64)
    pictures, digits = draw(stream(0, "batch"), 50)
    assert (x == task.sequences(pictures)).all()
    assert (y == digits).all()
    assert (x == Glyphs(read).batch(stream(0, "batch"), 50)[0]).all()
    assert (x != task.batch(stream(0, "batch", 1), 50)[0]).any()
    held_out = task.evaluation(stream(0, "test"), T, 3000)
    assert held_out[0].shape == (3000, T, F)


def test_a_seed_fixes_8000_pictures_and_2000_that_are_held_out():
    task, again = Glyphs("flat", seed=5), Glyphs("flat", seed=5)
    assert [len(y) for _, y in task.parts] == [8000, 2000]
    for mine, others in zip(task.parts, again.parts):
        assert (mine[0] == others[0]).all()
        assert (mine[1] == others[1]).all()
    training, held_out = ({x.tobytes() for x in part[0]} for part in task.parts)
    assert len(training | held_out) == 10_000
    assert {x.tobytes() for x in task.batch(stream(0, "batch"), 3000)[0]} < training
    assert {x.tobytes() for x in task.evaluation(stream(0, "test"), 1, 2000)[0]} == held_out
    assert len(task.evaluation(stream(0, "test"), 1, 5000)[0]) == 2000
    assert (task.parts[0][1][:2000] != task.parts[1][1]).mean() > 0.8  # the two were not drawn from one stream
    other = {x.tobytes() for x in Glyphs("flat", seed=6).parts[0][0]}
    assert not other & training


@pytest.mark.parametrize("seed", [None, 0, -3])
def test_the_config_makes_the_task_again(seed):
    task = Glyphs("pixels", seed)
    config = json.loads(json.dumps(task.config()))
    again = Glyphs(**config["options"])
    assert config == again.config() == {"name": "glyphs", "options": {"read": "pixels", "seed": seed}}
    assert (again.batch(stream(0, "batch"), 3)[0] == task.batch(stream(0, "batch"), 3)[0]).all()
    assert (task.kind, task.features, task.tested, task.chance) == ("classifier", 1, (64,), 0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"read": "lines"}, "rows, pixels, patches, flat"),
        ({"seed": 0.5}, "or None for new pictures"),
        ({"seed": "0"}, "or None for new pictures"),
        ({"seed": True}, "or None for new pictures"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        Glyphs(**options)


@pytest.mark.parametrize("seed", [None, 0])
def test_a_picture_has_one_length(seed):
    with pytest.raises(ConfigError, match="sequence of 1"):
        Glyphs("flat", seed).evaluation(stream(0, "test"), 8, 2)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, None])
def test_a_network_with_three_hidden_layers_learns_them(seed):
    """64-96-96-96-10 with ReLU and Adam, ten passes over 8000 pictures: 0.94 of the fixed set, 0.95 of new ones."""
    task, rng, widths = Glyphs("flat", seed), stream(0, "weights"), (64, 96, 96, 96, 10)
    layers = [Linear(n, m, rng=rng) for n, m in pairwise(widths)]
    parameters = [p for layer in layers for p in layer.parameters()]
    optimizer = AdamW(parameters, lr=1e-3, weight_decay=0.0)

    def scores(x):
        for layer in layers[:-1]:
            x = np.maximum(layer(x), 0)
        return layers[-1](x)

    for step in range(1250):
        x, y = task.batch(stream(0, "batch", step), 64)
        loss = cross_entropy(scores(x[:, 0]), y).mean()
        optimizer.step([g.data for g in ml.grad(loss, parameters)])
    x, y = task.evaluation(stream(0, "test"), 1, 2000)
    with ml.no_grad():
        assert task.score(scores(x[:, 0]).numpy(), y)["accuracy"] > 0.9
