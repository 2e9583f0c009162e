import re
import xml.etree.ElementTree as ET

import numpy as np

from minilinear.attention import LinearAttention, SoftmaxAttention
from minilinear.figures.memory import against_length, kept, slope, states


def test_the_slope_is_the_power():
    lengths = [128, 512, 1024]
    for power in (0, 0.5, 1, 2):
        assert np.isclose(slope({T: 7 * T**power for T in lengths}), power, atol=1e-6)
    assert f"{slope(dict.fromkeys(lengths, 3)):.2f}" == "0.00"
    assert 1 < slope({T: T**2 + 100 * T for T in lengths}) < 2


def test_what_is_counted_is_what_the_layers_say():
    rng = np.random.default_rng(0)
    for make in (SoftmaxAttention, LinearAttention):
        layer = make(64, heads=4, rng=rng)
        for T in (1, 9, 40):
            assert kept(layer, T) == layer.state_floats(T)


def test_the_finding_is_that_of_the_data():
    picture = states([4, 16, 64])
    numbers = [
        int(n.replace(",", "")) for n in re.findall(r"holds ([\d,]+) numbers.*?attention ([\d,]+)", picture.alt)[0]
    ]
    assert numbers == [64 * 4 * 32, 4 * 16 * 17]
    assert f"{numbers[0] / numbers[1]:.0f} times" in picture.alt and "1.00 and 0.00" in picture.alt


def test_each_line_is_told_by_slope_colour_dash_and_marker():
    lines = {"one": {T: T for T in (2, 4, 8)}, "two": {T: T * T for T in (2, 4, 8)}}
    picture = against_length(lines, "bytes held")
    assert picture.alt == "Bytes held, as a power of T: one T^1.00 (8.0 at T = 8), two T^2.00 (64.0 at T = 8)."
    drawing = ET.fromstring(picture.svg)
    words = "".join(drawing.itertext())
    assert "one: slope 1.00" in words and "two: slope 2.00" in words
    assert "var(--ml-k" in picture.svg and "var(--ml-S" in picture.svg
    assert len(set(re.findall(r"stroke-dasharray: ([\d., ]+)", picture.svg))) == 1  # the first is solid
    ticks, markers = 2, 2
    assert len(set(re.findall(r'href="#(\w+-m\w+)"', picture.svg))) == ticks + markers
