import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from minilinear.figures.cayley import NAMES, S3, cayley, learned_runs, plane_of, products, triangle
from minilinear.figures.committed import committed

SVG = "{http://www.w3.org/2000/svg}"
RUNS = {(run["seed"], run["set"]["R"]): run["A"] for run in learned_runs()}


def exact(noise=0.0):
    """A head of 4 x 4 that permutes three numbers and forgets the fourth, in coordinates of no meaning."""
    places = {"e": [0, 1, 2], "23": [0, 2, 1], "12": [1, 0, 2], "123": [1, 2, 0], "132": [2, 0, 1], "13": [2, 1, 0]}
    A = np.zeros((6, 1, 4, 4))
    for x, name in enumerate(NAMES):
        A[x, 0, places[name], range(3)] = 1
    basis = np.random.default_rng(1).standard_normal((4, 4))
    return np.linalg.inv(basis) @ A @ basis + noise * np.random.default_rng(2).standard_normal(A.shape)


def texts(picture):
    return [t.text for t in ET.fromstring(picture.svg).iter(f"{SVG}text")]


def test_the_plane_of_exact_matrices_is_the_triangle():
    plane = plane_of(exact())
    third = np.sqrt(3) / 2
    assert np.allclose(plane.M[NAMES.index("e")], np.eye(2))
    assert np.allclose(plane.M[NAMES.index("23")], [[-1, 0], [0, 1]])
    assert np.allclose(plane.M[NAMES.index("123")], [[-0.5, third], [-third, -0.5]])  # upright to the right
    assert np.allclose(plane.leak, 0, atol=1e-12)
    assert np.allclose(plane.rows @ exact()[:, 0], plane.M @ plane.rows)
    near, distance = products(plane.M)
    assert np.array_equal(near, S3.table) and distance.max() < 1e-12


def test_a_head_that_does_not_turn_has_no_plane():
    with pytest.raises(ValueError, match="A head turns its state"):
        plane_of(RUNS[0, 1])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_run_with_two_reflections_has_learnt_the_table_and_none_with_one(seed):
    assert np.array_equal(products(plane_of(RUNS[seed, 2]).M)[0], S3.table)
    alone = RUNS[seed, 1]
    assert all((products(alone[:, h])[0] == S3.table).sum() < 18 for h in range(alone.shape[1]))


def test_the_finding_is_that_of_the_data():
    A = RUNS[0, 2]
    near, distance = products(plane_of(A).M)
    assert f"{(near == S3.table).sum()} of 36" in cayley(A).alt and f"{distance.max():.3f} away" in cayley(A).alt
    M = plane_of(A).M
    turned = np.degrees(np.arccos(np.trace(M[NAMES.index("123")]) / 2 / np.sqrt(np.linalg.det(M[NAMES.index("123")]))))
    said = float(re.search(r"turns by ([\d.]+) degrees", triangle(A).alt)[1])
    assert said == pytest.approx(turned, abs=0.1)
    assert float(re.search(r"more than ([\d.]+) of", triangle(A).alt)[1]) < 0.05
    assert "turns by 120.0 degrees" in triangle(exact()).alt and "more than 0.00 of" in triangle(exact()).alt


def test_every_cell_has_a_name_and_a_wrong_one_a_cross():
    assert texts(cayley(RUNS[0, 2])).count("e") == 4 + 2 * 6  # in each of two tables: its row, its column and six cells
    rough = cayley(exact(noise=0.3))
    wrong = 36 - int(re.search(r"(\d+) of 36", rough.alt)[1])
    assert 0 < wrong == sum("\N{MULTIPLICATION X}" in t for t in texts(rough))


def test_the_triangles_have_their_corners_numbered():
    numbers = [t for t in texts(triangle(RUNS[0, 2])) if t in "123"]
    assert sorted(numbers) == ["1"] * 6 + ["2"] * 6 + ["3"] * 6


@pytest.mark.parametrize("draw", [cayley, triangle])
def test_a_drawing_has_the_colours_of_the_page(draw):
    svg = draw(RUNS[0, 2]).svg
    assert "currentColor" in svg and not re.search(r"(?<!, )#[0-9a-f]{6}", svg)


def test_committed_runs_say_where_they_come_from():
    document = committed("s3-transitions")
    assert {"command", "date", "machine"} <= set(document) and "docs/transitions.py" in document["command"]
