import re
import xml.etree.ElementTree as ET

import pytest

from minilinear.figures.timing import calls

pytest.importorskip("matplotlib")

SECONDS = {
    "kernels": [0.5, 0.002, 0.003, 0.001, 0.008, 0.002],
    "text": [0.0002, 0.0001, 0.0001, 0.0001, 0.0004, 0.0001],
}


def test_the_finding_is_that_of_the_data():
    alt = calls(SECONDS).alt
    assert "kernels: the first call took 500 ms, the median of the 5 others 2 ms, the slowest of them 4 times" in alt
    assert "text: the first call took 0.2 ms, the median of the 5 others 0.1 ms, the slowest of them 4 times" in alt


def test_the_first_call_is_no_part_of_the_median():
    assert calls({"a": [9.0, 1.0, 1.0]}).alt == calls({"a": [9.0, 1.0, 1.0]}).alt.replace("median of the 3", "")
    assert "median of the 2 others 1000 ms" in calls({"a": [9.0, 1.0, 1.0]}).alt


def test_names_are_told_apart_without_colour():
    picture = calls(SECONDS)
    drawing = ET.fromstring(picture.svg)
    shapes = {path.get("id"): path.get("d") for path in drawing.iter("{http://www.w3.org/2000/svg}path")}
    used = re.findall(r'<use [^>]*href="#([^"]*)"[^>]*fill: var\(--ml-\w+', picture.svg)
    assert len({shapes[mark] for mark in used}) == len(SECONDS)
    assert "stroke-dasharray" in picture.svg  # and the second median
