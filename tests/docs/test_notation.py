"""The page on notation says what the code does and shows the colours of the figures."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

from docs import notation
from minilinear.figures import picture
from minilinear.recurrence import affine_scan, delta_rule, gated_linear_attention

PAGE = (Path(__file__).parents[2] / "docs" / "notation.md").read_text(encoding="utf-8")


def test_every_coloured_letter_has_a_meaning_and_its_colours():
    assert notation.MEANINGS.keys() == picture.LETTERS.keys()
    for letter, (light, dark) in picture.LETTERS.items():
        shape, meaning = notation.MEANINGS[letter]
        line = next(line for line in PAGE.split("\n") if f"■</span> `{letter}` |" in line)
        assert all(said in line for said in (shape, meaning, f"`{light}`", f"`{dark}`"))


def luminance(colour: str) -> float:
    values = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("letter", picture.LETTERS)
def test_a_letter_can_be_read_on_a_light_and_on_a_dark_page(letter):
    for colour, page in zip(picture.LETTERS[letter], ("#ffffff", "#1e2129")):
        low, high = sorted((luminance(colour), luminance(page)))
        assert (high + 0.05) / (low + 0.05) >= 4.5


@pytest.mark.parametrize("letter", picture.LETTERS)
def test_a_square_wears_the_variable_that_the_figures_wear(letter):
    worn = picture.worn(f'<svg><path fill="{picture.PALETTE[letter]}"/></svg>')
    variable = re.search(r'fill="(.*?)"', worn)[1]
    assert f'style="color: {variable}"' in notation.swatch(letter)
    assert notation.swatch(letter) in PAGE


@pytest.mark.parametrize(
    ("function", "letters"),
    [(delta_rule, "q k v beta g"), (gated_linear_attention, "q k v g"), (affine_scan, "A B")],
)
def test_shapes_are_those_of_the_docstrings(function, letters):
    doc = inspect.getdoc(function)
    for letter in letters.split():
        line = re.search(rf"^ *{letter}: .*", doc, re.MULTILINE)[0]
        assert notation.MEANINGS[letter][0].split(" or ")[0] in line


def test_every_axis_in_a_docstring_is_in_the_alphabet():
    modules = [importlib.import_module(f"minilinear.{room}") for room in ("recurrence", "attention", "delta", "models")]
    text = "\n".join(inspect.getdoc(getattr(module, name)) or "" for module in modules for name in module.__all__)
    shapes = re.findall(r"\(([BTHKS](?:, (?:[A-Z]|\d+))+)\)", text)  # not (A, B), a segment
    assert len(shapes) > 40
    used = {axis for shape in shapes for axis in shape.split(", ") if axis.isalpha()}
    assert used <= notation.AXES.keys(), used - notation.AXES.keys()
