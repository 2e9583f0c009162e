"""What every figure is made of: colours that follow the page, a finding that is read out, ids that do not collide."""

import re
from xml.etree import ElementTree

import pytest

from minilinear import svg
from minilinear.figures import Picture, picture, scrubber, show


def chart(label="x", alt="2 is the largest"):
    with picture.axes() as (fig, ax):
        ax.plot([0, 1], [1, 2], color=picture.PALETTE["q"], marker="o", label=label)
        ax.legend()
        return picture.drawn(fig, alt)


def test_a_chart_has_the_page_s_colours_and_no_background_of_its_own():
    drawing = chart().svg
    ElementTree.fromstring(drawing)
    assert f"var(--ml-q, {picture.PALETTE['q']})" in drawing and "currentColor" in drawing
    assert picture.INK not in drawing and "<style" not in drawing and "xlink" not in drawing
    assert not re.search(r"fill: #[fF]{6}", drawing)


def test_two_charts_on_a_page_have_no_id_in_common_and_one_is_drawn_the_same_twice():
    ids = [set(re.findall(r'\bid="([^"]*)"', chart(label).svg)) for label in ("x", "y")]
    assert ids[0] and not ids[0] & ids[1]
    assert chart() == chart()
    for drawing in (chart().svg, chart("y").svg):
        used = set(re.findall(r'url\(#([^)]*)\)|href="#([^"]*)"', drawing))
        assert {a or b for a, b in used} <= set(re.findall(r'\bid="([^"]*)"', drawing))


def test_a_drawing_by_hand_loses_its_white_page():
    made = picture.by_hand([svg.text(0, 10, "S", fill=picture.PALETTE["S"])], 20, 20, "one letter")
    assert "#ffffff" not in made.svg and "var(--ml-S" in made.svg


def test_a_finding_is_the_caption_and_what_is_read_out():
    made = picture.html(Picture('<svg viewBox="0 0 1 1"></svg>', 'a < "b"'))
    assert made.count("a &lt; &quot;b&quot;") == 2 and made.startswith(
        '<figure class="ml-figure"><svg role="img" aria-label='
    )


def test_a_script_prints_the_finding(capsys):
    show(chart())
    show(scrubber([chart(alt="first"), chart(alt="last")], label="t"))
    assert capsys.readouterr().out == "2 is the largest\nlast\n"


def test_a_slider_brings_its_script_into_a_notebook_and_not_onto_a_page():
    made = scrubber([chart(), chart()], label="t", names=["0", "1/2"])
    assert 'data-name="1/2"' in made._repr_html_()
    assert made._repr_html_().count("<script>") == 1 and "<script>" not in picture.html(made)
    with pytest.raises(ValueError, match=r"Every frame of a scrubber has a name\.\n  got: 2 frames, 1 names"):
        scrubber([chart(), chart()], label="t", names=["0"])
