import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from minilinear.figures.reflection import along, corrected, reflection, two_reflections


def test_one_projects_and_two_reflects():
    k, x = along(115), np.array([0.3, 1.2])
    assert np.isclose(k @ corrected(x, k, 1), 0)
    assert np.allclose(corrected(corrected(x, k, 2), k, 2), x)


def test_the_lengths_that_are_said_are_those_of_the_vectors():
    k, x = along(115), 1.45 * along(68)
    lengths = [np.linalg.norm(corrected(x, k, beta)) for beta in (0, 1, 2)]
    picture = reflection()
    said = re.search(r"from ([\d.]+) to ([\d.]+) and back to (\d+\.\d+)", picture.alt)
    assert said and [float(x) for x in said.groups()] == pytest.approx(lengths, abs=0.005)
    assert f"along k, {k @ x:.2f}, becomes 0.00" in picture.alt


@pytest.mark.parametrize("angle", [30, 60])
def test_two_reflections_are_said_to_turn_by_twice_their_angle(angle):
    picture = two_reflections(angle)
    assert f"{angle}° apart turn every vector by {2 * angle}°" in picture.alt


@pytest.mark.parametrize("picture", [reflection(), two_reflections()])
def test_mirrors_and_results_are_told_apart_without_colour(picture):
    drawing = ET.fromstring(picture.svg)
    dashes = {path.get("stroke-dasharray") for path in drawing.iter("{http://www.w3.org/2000/svg}path")}
    assert len(dashes) >= 4  # whole, mirror, what became of x, the way there
