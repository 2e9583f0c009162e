"""Film strips: valid pictures that say what their states do."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from minilinear.errors import ShapeError
from minilinear.figures import film_frames, film_strip
from minilinear.figures.film import number

SVG = "{http://www.w3.org/2000/svg}"
K2 = np.array([[1, 0], [0, 1], [1, 0.0]])
V2 = np.array([[3, 1], [-1, 2], [0.5, 0.0]])
STATES = np.cumsum(K2[:, :, None] * V2[:, None, :], 0)


def test_every_number_of_a_small_state_is_printed_in_its_cell():
    root = ET.fromstring(film_strip(STATES, tokens=["a", "b", "c"]).svg)
    words = [text.text for text in root.iter(f"{SVG}text")]
    assert words == [word for name, S in zip("abc", STATES) for word in [name, *(number(value) for value in S.ravel())]]
    assert len(list(root.iter(f"{SVG}rect"))) == STATES.size


def test_the_darkness_of_a_cell_is_the_size_of_its_number():
    shades = [float(shade) for shade in re.findall(r'fill-opacity="([\d.]+)"', film_strip(STATES).svg)]
    assert np.allclose(shades, 0.45 * np.abs(STATES).ravel() / 3.5, atol=1e-3)


def test_a_bar_says_negative_where_no_numbers_fit():
    run = np.random.default_rng(0).standard_normal((2, 6, 7))
    run[np.abs(run) < 0.1] = 1.0
    root = ET.fromstring(film_strip(run).svg)
    assert len(list(root.iter(f"{SVG}path"))) == (run < 0).sum()


def test_the_finding_is_that_of_the_states():
    assert film_strip({"sum": STATES}).alt == (
        "sum: the tokens change 2, 2, 1 numbers; after token 3 its rows are (3.5, 1), (\u22121, 2)."
    )
    large = np.ones((3, 5, 5)) * np.array([1, 3, 2])[:, None, None]
    assert (
        "from 5.00 after token 1 to 10.00 after token 3; it is largest after token 2, with 15.00"
        in film_strip(large).alt
    )


def test_frames_show_key_value_state_query_and_what_is_read():
    frames = film_frames(STATES, K2, V2, q=[1, 1])
    assert len(frames) == 3
    for t, frame in enumerate(frames):
        words = [text.text for text in ET.fromstring(frame.svg).iter(f"{SVG}text")]
        read = np.array([1, 1]) @ STATES[t]
        for row in (K2[t], V2[t], STATES[t].ravel(), read):
            assert {number(value) for value in row} <= set(words)
        assert f"reads ({number(read[0])}, {number(read[1])})" in frame.alt
    assert "changes 1 of the state's 4 numbers" in frames[2].alt
    assert frames[2].svg.count('stroke-width="3.0"') == 1


def test_letters_have_their_colours_and_their_names():
    svg = film_frames(STATES, K2, V2, q=[1, 0])[0].svg
    for letter, words in {"k": "key k", "v": "value v", "q": "query q", "o": "o = q S"}.items():
        assert re.search(rf'fill="var\(--ml-{letter}, #\w+\)">{words}<', svg), words
    assert not re.search(r'(fill|stroke)="#', svg), "a colour that does not follow the page"


@pytest.mark.parametrize(
    "draw",
    [
        lambda: film_strip(np.zeros((3, 2))),
        lambda: film_strip({"a": np.zeros((3, 2, 2)), "b": np.zeros((2, 2, 2))}),
        lambda: film_strip(np.zeros((3, 2, 2)), tokens=["a"]),
        lambda: film_frames(STATES, K2[:2], V2, q=[1, 0]),
    ],
)
def test_shapes_that_do_not_fit_are_named(draw):
    with pytest.raises(ShapeError):
        draw()


def test_numbers_are_short_and_zero_has_no_sign():
    assert [number(x) for x in (-0.001, 0.0, -0.6, 12.0, 10.004)] == ["0", "0", "\u22120.6", "12", "10"]
