import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from minilinear.figures.checks import STEPS, step_errors, step_size

X, D = np.random.default_rng(0).standard_normal((2, 8))


def f(x):
    return np.sum(np.exp(np.sin(x)))


def gradient(x):
    return np.cos(x) * np.exp(np.sin(x))


@pytest.mark.parametrize(("name", "power"), [("central, float64", 2), ("one-sided, float64", 1)])
def test_the_error_of_the_formula_has_its_order(name, power):
    errors = step_errors(f, gradient(X), X, D)[name]
    large = (STEPS <= 1e-2) & (STEPS >= 1e-4)  # above them higher terms, below them rounding
    slope = np.polyfit(np.log(STEPS[large]), np.log(errors[large]), 1)[0]
    assert abs(slope - power) < 0.02


def test_the_one_sided_error_is_half_a_step_of_the_second_derivative():
    second = (D * D * (np.cos(X) ** 2 - np.sin(X)) * np.exp(np.sin(X))).sum()
    at = np.argmin(abs(STEPS - 1e-4))
    error = step_errors(f, gradient(X), X, D)["one-sided, float64"][at]
    assert np.isclose(error, abs(STEPS[at] / 2 * second / (gradient(X) * D).sum()), rtol=1e-2)


def test_at_the_root_of_the_machine_epsilon_the_error_is_near_its_least():
    curves = step_errors(f, gradient(X), X, D)
    for name, dtype, root, least in [
        ("central, float64", np.float64, 1 / 3, 2 / 3),
        ("one-sided, float64", np.float64, 1 / 2, 1 / 2),
        ("central, float32", np.float32, 1 / 3, 2 / 3),
    ]:
        epsilon = float(np.finfo(dtype).eps)
        at = np.argmin(abs(np.log(STEPS / epsilon**root)))
        assert curves[name][at] < 20 * epsilon**least
        assert curves[name][-1] > 1e3 * curves[name][at] and curves[name][0] > 10 * curves[name][at]


def test_a_wrong_gradient_has_its_own_floor():
    errors = step_errors(f, 1.001 * gradient(X), X, D)["central, float64"]
    assert np.isclose(errors[np.argmin(abs(STEPS - 1e-5))], 1e-3, rtol=2e-3)


def test_the_finding_is_that_of_the_data():
    picture, curves = step_size(f, gradient(X), X, D), step_errors(f, gradient(X), X, D)
    found = re.findall(r"([\d.e-]+) for ([a-z-]+, float\d\d) at a step of ([\d.e-]+\d)", picture.alt)
    assert found == [(f"{e.min():.0e}", name, f"{STEPS[e.argmin()]:.0e}") for name, e in curves.items()]


def test_curves_differ_without_colour():
    drawing = step_size(f, gradient(X), X, D).svg
    ET.fromstring(drawing)
    dashes = set(re.findall(r"stroke-dasharray: ([^;\"]*)", drawing))
    assert len(dashes) >= 2  # two of three lines are dashed, each in its way; the third is solid
