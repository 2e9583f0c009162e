import re
import xml.etree.ElementTree as ET

import numpy as np

from minilinear.figures.fits import errors, spline_fit, splines


def test_a_cubic_is_its_own_spline():
    x, y, bumps = spline_fit(lambda x: 1 - 2 * x + x**3, 4)
    assert bumps.shape == (len(x), 7)
    assert np.allclose(bumps.sum(1), y, atol=1e-12)


def test_the_finding_of_the_splines_is_that_of_the_data():
    def f(x):
        return np.exp(x)

    _, y, bumps = spline_fit(f, 5)
    picture = splines(f, 5, "exp(x)")
    assert f"error of {np.sqrt(np.mean((bumps.sum(1) - y) ** 2)):.1e}" in picture.alt
    assert picture.alt.startswith("8 bumps over 5 cells") and "more than 4 of them" in picture.alt
    words = "".join(ET.fromstring(picture.svg).itertext())
    assert "8 bumps" in words and "exp(x)" in words


def test_the_finding_of_the_errors_is_that_of_the_data():
    found = {"one": {"a": [0.2, 0.4], "b": [0.1, 0.1]}, "two": {"a": [0.02], "b": [0.5]}}
    picture = errors(found)
    assert re.findall(r"(\w+): (\w) ([\d.]+), ([\d.]+) times below (\w)", picture.alt) == [
        ("one", "b", "0.1", "3.0", "a"),
        ("two", "a", "0.02", "25.0", "b"),
    ]
    words = "".join(ET.fromstring(picture.svg).itertext())
    assert all(name in words for name in ("one", "two", "a", "b"))
    assert "var(--ml-k" in picture.svg and "var(--ml-q" in picture.svg
    assert len(set(re.findall(r"stroke-dasharray: ([\d., ]+)", picture.svg))) == 1  # the first is solid
