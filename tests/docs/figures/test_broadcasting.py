import re
import xml.etree.ElementTree as ET

import numpy as np

from minilinear.figures.broadcasting import there_and_back

SVG = "{http://www.w3.org/2000/svg}"
G = np.array([[1.0, 0.0, -1.0], [2.0, 1.0, 3.0]])


def test_the_finding_is_that_of_the_data():
    alt = there_and_back([10, 20], [1, 2, 3], G).alt
    to_row, to_column = (
        [float(number) for number in found.split(", ")]
        for found in re.findall(r": ((?:-?[\d.]+(?:, )?)+?)[;.](?:\s|$)", alt)
    )
    assert to_row == G.sum(0).tolist()
    assert to_column == G.sum(1).tolist()


def test_every_number_is_shown():
    drawing = ET.fromstring(there_and_back([10, 20], [1, 2, 3], G).svg)
    words = [text.text for text in drawing.iter(f"{SVG}text")]
    column, row = np.array([10.0, 20.0]), np.array([1.0, 2.0, 3.0])
    shown = [column[:, None] + row, G, column, row, G.sum(0), G.sum(1)]
    expected = sorted(f"{number:g}" for numbers in shown for number in numbers.ravel())
    assert sorted(word for word in words if re.fullmatch(r"-?[\d.]+", word)) == expected


def test_the_row_is_dashed_and_the_column_is_not():
    drawing = ET.fromstring(there_and_back([10, 20], [1, 2, 3], G).svg)
    boxes = list(drawing.iter(f"{SVG}rect"))
    for letter, dashed in ("k", True), ("q", False):
        found = [box.get("stroke-dasharray") is not None for box in boxes if f"--ml-{letter}," in box.get("stroke")]
        assert found and set(found) == {dashed}
