"""TeX to MathML, and the spaces in it."""

import re
import sys

import pytest

from tests.docs.test_pages import ROOT

pytest.importorskip("latex2mathml", reason="formulas need the docs extra")
pytestmark = pytest.mark.docs


@pytest.fixture
def shown(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    formulas = __import__("formulas")

    def shown(tex):
        """A sign in front as `~-`, a thin space as `_`, the rest as its text."""
        made = re.sub(r'<mo form="prefix" lspace="0" rspace="0">', "~", formulas.mathml(tex, display=False))
        return re.sub(r"<[^>]*>", "", re.sub(r"<mspace[^>]*>", "_", made)).replace("\N{MINUS SIGN}", "-")

    yield shown
    sys.modules.pop("formulas")


@pytest.mark.parametrize(
    ("tex", "text"),
    [
        ("a - b", "a-b"),
        (r"\exp(-G)", "exp(~-G)"),
        ("g = -10", "g=~-10"),
        ("x^{-1}", "x~-1"),
        ("(a) - b", "(a)-b"),
        ("[-1, -x]", "[~-1,~-x]"),
        (r"+ \dots + g", "~+…+g"),
        (r"-\log \gamma", "~-log_γ"),
        (r"2 \log x", "2_log_x"),
        (r"\le \min(a, b)", "≤min(a,b)"),
        (r"\log_2 x", "log2x"),
    ],
)
def test_signs_and_names_have_the_spaces_of_tex(shown, tex, text):
    assert shown(tex) == text


def test_a_command_that_is_left_is_refused(shown):
    with pytest.raises(ValueError, match="command"):
        shown(r"\nosuchcommand{x}")
