"""What least squares, ridge regression and one step of descent get on the task is what their formulas say."""

import json
from itertools import combinations

import numpy as np
import pytest

from minilinear.errors import ConfigError, ShapeError
from minilinear.randomness import stream
from minilinear.tasks.regression import FUNCTIONS, InContextRegression


def examples(inputs: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x (B, T, D) and y (B, T) in float64."""
    return inputs[..., :-1].astype(np.float64), targets.astype(np.float64)


def foretold(x: np.ndarray, y: np.ndarray, ridge: float) -> np.ndarray:
    """(B, T): at each position x . w, w the ridge regression on the examples before; ridge 0 is least squares."""
    B, T, D = x.shape
    outputs = np.zeros((B, T))
    for n in range(1, T):
        X, Y = x[:, :n], y[:, :n, None]
        if ridge:
            w = np.linalg.solve(X.swapaxes(1, 2) @ X + ridge * np.eye(D), X.swapaxes(1, 2) @ Y)
        else:
            w = np.linalg.pinv(X) @ Y
        outputs[:, n] = (x[:, n, None] @ w)[:, 0, 0]
    return outputs


def errors(task: InContextRegression, outputs: np.ndarray, targets: np.ndarray) -> list[float]:
    """The headline at every length: the error at each position, from the task's own score."""
    T = targets.shape[1]
    return [task.score(outputs[:, :t, None], targets[:, :t])["error"] for t in range(1, T + 1)]


# What is in a row


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_token_is_an_x_and_the_y_before(function):
    task = InContextRegression(3, 0.1, function, length=5)
    inputs, targets = task.batch(stream(0, "batch"), 7)
    assert (inputs.shape, targets.shape) == ((7, 5, 4), (7, 5))
    assert inputs.dtype == targets.dtype == np.float32
    assert (inputs[:, 1:, 3] == targets[:, :-1]).all()
    assert (inputs[:, 0, 3] == 0).all()
    assert task.evaluation(stream(0, "test"), 11, 2)[0].shape == (2, 11, 4)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("noise", [0.0, 0.7])
def test_x_is_standard_normal_and_y_has_the_variance_of_the_score(function, noise):
    task = InContextRegression(5, noise, function)
    x, y = examples(*task.evaluation(stream(1, "moments"), 4, 20_000))
    flat = x.reshape(-1, 5)
    assert flat.mean(0) == pytest.approx(np.zeros(5), abs=0.02)
    assert flat.T @ flat / len(flat) == pytest.approx(np.eye(5), abs=0.03)
    assert y.mean() == pytest.approx(0, abs=0.03)
    assert (y**2).mean() == pytest.approx(1 + noise**2, rel=0.04)


def test_the_zero_predictor_has_the_error_of_chance():
    for function in FUNCTIONS:
        task = InContextRegression(4, 0.5, function)
        _, y = task.evaluation(stream(0, "test"), 16, 20_000)
        score = task.score(np.zeros((*y.shape, 1)), y)
        assert list(score) == ["error", "error_at_1", "error_at_2", "error_at_4", "error_at_8", "error_at_16"]
        assert all(value == pytest.approx(task.chance, abs=0.08) for value in score.values())
    assert (task.better, task.kind) == ("lower", "regressor")


def test_tasks_draw_from_the_generator_alone():
    for function in FUNCTIONS:
        first, second = InContextRegression(function=function), InContextRegression(function=function)
        a, b = first.batch(stream(3, "batch", 7), 9), second.batch(stream(3, "batch", 7), 9)
        assert (a[0] == b[0]).all()
        assert (a[1] == b[1]).all()
        assert (first.batch(stream(3, "batch", 8), 9)[0][..., 0] != a[0][..., 0]).all()


# What can be reached


@pytest.mark.parametrize("function", ["linear", "sparse"])
def test_least_squares_leaves_what_the_examples_have_not_spanned(function):
    """Without noise n examples span n of the D directions of w, all alike: the error is 1 - n / D, and then 0."""
    task = InContextRegression(6, function=function)
    inputs, targets = task.evaluation(stream(2, "test"), 10, 6000)
    x, y = examples(inputs, targets)
    expected = [max(0.0, 1 - n / 6) for n in range(10)]
    assert errors(task, foretold(x, y, 0), targets) == pytest.approx(
        expected, abs=0.09 if function == "sparse" else 0.06
    )
    assert errors(task, foretold(x, y, 0), targets)[7:] == pytest.approx([0, 0, 0], abs=1e-6)


def test_least_squares_with_noise_has_the_error_of_the_textbook():
    """noise^2 (1 + D / (n - D - 1)) for n > D + 1: the mean of the inverse of a Wishart matrix."""
    D, noise = 3, 0.5
    task = InContextRegression(D, noise)
    inputs, targets = task.evaluation(stream(4, "test"), 24, 20_000)
    found = errors(task, foretold(*examples(inputs, targets), 0), targets)
    for n in 11, 15, 23:
        assert found[n] == pytest.approx(noise**2 * (1 + D / (n - D - 1)) / (1 + noise**2), rel=0.05)


def test_ridge_with_the_variances_of_the_task_has_its_posterior_variance_and_beats_the_others():
    """The error of the mean of w given the examples is x^T (D I + X^T X / noise^2)^-1 x + noise^2."""
    D, noise = 4, 0.6
    task = InContextRegression(D, noise)
    inputs, targets = task.evaluation(stream(5, "test"), 12, 20_000)
    x, y = examples(inputs, targets)
    best = np.array(errors(task, foretold(x, y, D * noise**2), targets))
    for n in 0, 1, 4, 11:
        X, q = x[:, :n], x[:, n, :, None]
        covariance = np.linalg.inv(D * np.eye(D) + X.swapaxes(1, 2) @ X / noise**2)
        posterior = (q.swapaxes(1, 2) @ covariance @ q).mean()
        assert best[n] == pytest.approx((posterior + noise**2) / (1 + noise**2), rel=0.05)
    for ridge in 0, 0.2 * D * noise**2, 5 * D * noise**2:
        assert (np.array(errors(task, foretold(x, y, ridge), targets))[2:] > best[2:]).all()
    assert (best > noise**2 / (1 + noise**2)).all()


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_one_step_of_descent_is_as_far_as_linear_attention_gets(noise):
    """eta = 1 / (n + D + 1 + D noise^2) leaves (D + 1 + D noise^2) eta of f: Mahankali et al. 2023."""
    D, n = 5, 12
    task = InContextRegression(D, noise)
    inputs, targets = task.evaluation(stream(6, "test"), n + 1, 40_000)
    x, y = examples(inputs, targets)
    gradient = (x[:, :n] * y[:, :n, None]).sum(1)  # (B, D)
    outputs = (gradient * x[:, n]).sum(1)
    error_of = lambda eta: ((eta * outputs - y[:, n]) ** 2).mean() / (1 + noise**2)
    eta = 1 / (n + D + 1 + D * noise**2)
    assert error_of(eta) == pytest.approx(((D + 1 + D * noise**2) * eta + noise**2) / (1 + noise**2), rel=0.05)
    assert error_of(eta) < min(error_of(0.8 * eta), error_of(1.25 * eta))


def test_the_delta_rule_takes_one_direction_out_at_a_time():
    """w <- w + u (y - w . x) / |x| with u = x / |x|, a random direction: the error shrinks by 1 - 1 / D."""
    D = 4
    task = InContextRegression(D)
    inputs, targets = task.evaluation(stream(10, "test"), 12, 30_000)
    x, y = examples(inputs, targets)
    outputs, w = np.zeros_like(y), np.zeros((len(x), D))
    for n in range(12):
        outputs[:, n] = (w * x[:, n]).sum(1)
        w += x[:, n] * ((y[:, n] - outputs[:, n]) / (x[:, n] ** 2).sum(1))[:, None]
    found = errors(task, outputs, targets)
    assert found[:9] == pytest.approx([(1 - 1 / D) ** n for n in range(9)], rel=0.06)


@pytest.mark.parametrize(("D", "s"), [(4, 1), (10, 2), (20, 3)])
def test_a_sparse_function_is_found_by_trying_every_choice_of_its_coordinates(D, s):
    """s weights and no noise: s + 1 examples single out the s coordinates, and least squares on them is exact."""
    inputs, targets = InContextRegression(D, function="sparse").evaluation(stream(7, "test"), s + 3, 40)
    x, y = examples(inputs, targets)
    counts = np.zeros(D, int)
    for X, Y in zip(x, y):
        residuals = {}
        for chosen in combinations(range(D), s):
            w, *_ = np.linalg.lstsq(X[:-1, chosen], Y[:-1], rcond=None)
            residuals[chosen] = (abs(X[:-1, chosen] @ w - Y[:-1]).max(), X[-1, chosen] @ w)
        (residual, answer), (next_best, _) = sorted(residuals.values())[:2]
        assert residual < 1e-5 < next_best
        assert answer == pytest.approx(Y[-1], abs=1e-4)
        counts[list(min(residuals, key=residuals.get))] += 1
    assert counts.sum() == 40 * s
    assert (counts > 0).sum() > D / 2  # and they are not the same ones every time


def test_half_of_a_two_layer_function_is_out_of_reach_of_linear_maps():
    """relu(z) = z / 2 + |z| / 2: both halves have half of the second moment, and the second is even."""
    task = InContextRegression(3, function="two_layer")
    inputs, targets = task.evaluation(stream(8, "test"), 200, 2000)
    x, y = examples(inputs, targets)
    w = np.linalg.pinv(x[:, :-1]) @ y[:, :-1, None]
    outputs = np.zeros_like(targets)
    outputs[:, -1] = (x[:, -1, None] @ w)[:, 0, 0]
    assert task.score(outputs[..., None], targets)["error"] == pytest.approx(0.5, abs=0.06)


def test_a_two_layer_function_of_one_number_is_a_line_on_each_side_of_zero():
    x, y = examples(*InContextRegression(1, function="two_layer").evaluation(stream(9, "test"), 40, 20))
    for X, Y in zip(x[..., 0], y):
        slopes = Y / X
        assert np.ptp(slopes[X > 0]) < 1e-3
        assert np.ptp(slopes[X < 0]) < 1e-3
        assert abs(slopes[X > 0].mean() - slopes[X < 0].mean()) > 1e-2


# Options, config, score


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"D": 0}, "D is a whole number"),
        ({"D": 2.0}, "D is a whole number"),
        ({"length": 0}, "length is a whole number"),
        ({"length": True}, "length is a whole number"),
        ({"noise": -0.1}, "noise is a standard deviation"),
        ({"noise": float("nan")}, "noise is a standard deviation"),
        ({"noise": float("inf")}, "noise is a standard deviation"),
        ({"noise": "1"}, "noise is a standard deviation"),
        ({"function": "quadratic"}, r"linear, sparse, two_layer(.|\n)*'quadratic'"),
        ({"function": None}, "linear, sparse, two_layer"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        InContextRegression(**options)


def test_a_sequence_has_an_example():
    with pytest.raises(ConfigError, match="at least one example"):
        InContextRegression().evaluation(stream(0, "test"), 0, 2)


def test_the_config_makes_the_task_again():
    task = InContextRegression(6, 0.25, "sparse", 20)
    config = json.loads(json.dumps(task.config()))
    again = InContextRegression(**config["options"])
    assert (config["name"], again.config()) == ("in_context_regression", config)
    assert (again.batch(stream(0, "batch"), 3)[0] == task.batch(stream(0, "batch"), 3)[0]).all()
    assert (again.features, again.vocabulary, again.tested) == (7, [], (20, 40))


def test_errors_are_read_at_their_positions():
    task = InContextRegression(noise=1.0)  # variance 2
    targets, outputs = np.zeros((2, 6)), np.zeros((2, 6, 1))
    outputs[0, :, 0] = [2, 4, 6, 8, 10, 12]
    score = task.score(outputs, targets)
    assert score == {"error": 36.0, "error_at_1": 1.0, "error_at_2": 4.0, "error_at_4": 16.0}
    assert task.score(outputs[:, :1], targets[:, :1]) == {"error": 1.0, "error_at_1": 1.0}


@pytest.mark.parametrize(
    ("outputs", "targets"),
    [
        ((4, 6), (4, 6)),
        ((4, 6, 1), (4, 5)),
        ((4, 6, 2), (4, 6)),
        ((0, 6, 1), (0, 6)),
        ((4, 0, 1), (4, 0)),
        ((4,), (4,)),
    ],
)
def test_outputs_of_another_shape_are_refused(outputs, targets):
    with pytest.raises(ShapeError, match=r"outputs \(B, T, 1\) and targets \(B, T\)"):
        InContextRegression().score(np.zeros(outputs), np.zeros(targets))
