import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from minilinear.figures.eigenvalues import eigenvalue_disc, eigenvalues, transitions

MINUS = "\N{MINUS SIGN}"


@pytest.mark.parametrize("beta", [0, 0.5, 1, 1.25, 2])
def test_one_step_has_1_and_1_minus_beta_and_two_have_the_product_as_determinant(beta):
    one, two = eigenvalues(beta)
    assert np.allclose(one, sorted([1 - beta, 1, 1]), atol=1e-7)
    assert np.isclose(np.prod(two), (1 - beta) ** 2)
    assert np.all(np.abs(two) <= 1 + 1e-7)


def test_two_steps_turn_only_where_beta_is_above_one():
    # the part in the plane has trace 2 - 2b + b^2 c^2 and determinant (1 - b)^2: complex from b^2 c^2 = 4 (b - 1) on
    first = 8 - np.sqrt(48)
    assert np.all(eigenvalues(first - 1e-3)[1].imag == 0) and np.any(eigenvalues(first + 1e-3)[1].imag != 0)


def test_two_reflections_turn_by_twice_the_angle_of_their_keys():
    for angle in (30, 45, 60):
        A = transitions(2, angle)[1][:2, :2]
        assert np.isclose(abs(np.degrees(np.angle(complex(*A[:, 0])))), 2 * angle)
        assert f"by {2 * angle}°" in eigenvalue_disc(2, angle).alt


@pytest.mark.parametrize("beta", [0, 0.5, 1.5, 2])
def test_the_finding_is_that_of_the_data_and_the_drawing_is_xml(beta):
    picture = eigenvalue_disc(beta)
    said = [float(x.replace(MINUS, "-")) for x in re.findall(rf"{MINUS}?\d+\.\d\d", picture.alt)]
    _, two = eigenvalues(beta)
    smallest = np.abs(two).min() if np.any(two.imag) else two.real.min()
    assert said == pytest.approx([1 - beta, smallest], abs=0.005)
    drawing = ET.fromstring(picture.svg)
    words = " ".join(t.text or "" for t in drawing.iter("{http://www.w3.org/2000/svg}text"))
    assert f"β = {beta:g}" in words and ("2 times" in words or "3 times" in words)
