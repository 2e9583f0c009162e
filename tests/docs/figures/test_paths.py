import re
import xml.etree.ElementTree as ET

import numpy as np

from minilinear.figures.paths import arrived, paths, spectra


def test_a_path_has_arrived_when_it_stays():
    distance = np.array([4, 0.5, 2, 0.5, 0.1])
    path = distance[:, None] * [0.6, 0.8]
    assert arrived(path, 1) == 3
    assert arrived(path, 5) == 0
    assert arrived(path, 0.1) is None


def test_the_finding_of_the_paths_is_that_of_the_data():
    H = np.diag([1.0, 4.0])
    gradient_descent = np.array([np.linalg.matrix_power(np.eye(2) - 0.4 * H, t) @ [-4, 1] for t in range(30)])
    first = next(t for t in range(30) if max(np.linalg.norm(gradient_descent[t:], axis=1)) < 0.01)
    still = np.full((30, 2), 3.0)
    picture = paths({"a valley": (H, {"SGD": gradient_descent, "none": still})})
    assert picture.alt.endswith(f"A valley: SGD {first}, none never.")
    words = "".join(ET.fromstring(picture.svg).itertext())
    assert "a valley" in words and "SGD" in words and "none" in words


def test_the_finding_of_the_spectra_is_that_of_the_data():
    values = {"flat": np.array([2.0, 1.0, 4.0]), "steep": np.array([1.0, 0.01, 0.1])}
    picture = spectra(values)
    assert re.findall(r"(\w+) ([\d.]+)(?=[,.])", picture.alt) == [("flat", "0.5"), ("steep", "0.1")]
    ET.fromstring(picture.svg)
    for colour in ("var(--ml-k", "var(--ml-q"):
        assert colour in picture.svg
    assert len(set(re.findall(r"stroke-dasharray: ([\d., ]+)", picture.svg))) == 1  # the first is solid
