"""What is said about a result is what the numbers carry."""

import io
import xml.etree.ElementTree as ET

import pytest
from rich.console import Console

from minilinear.cli.result import result_picture, verdict
from minilinear.svg import line_chart
from minilinear.training import Progress
from minilinear.training.display import Display, sparkline


def result(R, mean, baseline=None, task="s3"):
    def accuracy(at_128):
        return {n: {"mean": at_128, "last": at_128} for n in ("32", "64", "128", "256")}

    found = {"chance": 1 / 6, "task": task, "mixer": "delta_product", "set": {"R": R}, "scores": accuracy(mean)}
    if baseline is not None:
        found["baseline"] = {"mixer": "delta_product", "set": {"R": 1}, "scores": accuracy(baseline)}
    return found


def test_the_sentence_to_remember_needs_both_halves():
    assert verdict(result(2, 0.97, 0.4)) == (
        "three cups, 128 shuffles: two reflections per token still know where the ball is, right at 97% of the "
        "positions; one does not, at 40%; guessing is 17%."
    )
    assert "with one, at 93%" in verdict(result(2, 0.97, 0.93))
    assert "right at 60%" in verdict(result(2, 0.6, 0.3))
    assert verdict(result(1, 0.3)).startswith("three cups, 128 shuffles: one reflection per token, right at 30%")
    assert verdict(result(4, 0.95, 0.2, task="z7")).startswith("128 letters: four reflections per token still")
    assert "six" not in verdict(result(6, 0.95, 0.2, task="a5"))


def test_pictures_are_svg():
    for picture in (
        result_picture(result(2, 0.97, 0.4)),
        line_chart({"loss": [(1, 2.0), (10, 1.5), (20, 1.2)]}, title="a < b & c", x="step", y="bits"),
        line_chart({"nothing": []}, title="", x="", y=""),
        line_chart({"one": [(3, 3)]}, title="", x="", y=""),
    ):
        assert ET.fromstring(picture).tag.endswith("svg")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_the_display_fits_its_stream(encoding):
    class Stream(io.TextIOWrapper):
        def isatty(self):
            return True

    stream = Stream(io.BytesIO(), encoding=encoding)
    console = Console(file=stream, force_terminal=True, width=80)
    with Display(console, ["R=2", "R=1"], [100, 100]) as display:
        for step in range(1, 100):
            display._last = 0.0
            display.update(0, Progress(step, 2.0 / step, 1.0, 1e-3, 0.1 * step, 10))
    stream.flush()
    assert b"R=2" in stream.buffer.getvalue()


def test_without_a_terminal_there_are_plain_lines():
    out = io.StringIO()
    with Display(Console(file=out, width=80), ["R=2"], [10]) as display:
        display._last = -100.0
        display.update(0, Progress(1, 1.5, 1.0, 1e-3, 0.1, 10))
    assert out.getvalue() == "R=2: step 1/10, loss 1.5000\n"


def test_a_sparkline_goes_from_low_to_high():
    assert sparkline([1, 2, 3], 8, "_-^") == "_-^"
    assert len(sparkline(range(1000), 32)) == 32
    assert sparkline([], 8) == "" and sparkline([5.0, float("nan")], 8, "_^") == "_"
