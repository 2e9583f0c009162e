"""Every error that is raised on purpose leads to an explanation, and every explanation is of such an error."""

import io
import json
import re
import subprocess
import sys
import textwrap
import traceback
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from minilinear import errors
from minilinear.cli import main
from minilinear.cli.console import say_notes
from minilinear.cli.explain import sections
from minilinear.errors import ConfigError, ShapeError, check_axes, explain, help_line, kind_in, kind_of

from .raised import CLASSES, module_of, raised, runs_here, sites

SECTIONS = sections()


def test_every_class_has_a_section():
    kinds = {value.see for name, value in CLASSES.items() if name != "Explained"}
    assert len(kinds) == len(CLASSES) - 1, "two classes share one"
    assert kinds <= SECTIONS.keys()


def test_every_place_leads_to_a_section_and_every_section_is_led_to():
    assert len(sites()) > 400
    lost = [site for site in sites() if site.kind not in SECTIONS]
    assert not lost
    elsewhere = {"operands"}  # in NumPy's own classes: autograd/primitive.py gives it to them as a note
    assert SECTIONS.keys() == {site.kind for site in sites()} | elsewhere


def test_what_is_made_in_one_place_and_raised_in_another_names_its_kind():
    """The room of an error is that of the raise; what is read from the syntax tree is where it was made."""
    varying = {name for name in errors.ROOMS if name in CLASSES}
    assert not [site for site in sites() if not site.here and not site.named and site.error in varying]


@pytest.mark.parametrize("name", errors.ROOMS)
def test_every_room_of_the_table_raises_such_errors(name):
    places = {module_of(site.file) for site in sites() if issubclass(CLASSES[site.error], CLASSES[name])}
    for room in errors.ROOMS[name]:
        assert any(f"{place}.".startswith(f"minilinear.{room}.") for place in places), room


@pytest.mark.parametrize("kind", SECTIONS)
def test_the_example_raises_its_kind(kind):
    section = SECTIONS[kind]
    if not runs_here(section):
        pytest.skip("no C++ compiler")
    error, said = raised(section)
    assert error.__notes__ == [help_line(kind)]
    assert said.rstrip("\n").endswith(f"\n{help_line(kind)}")
    if kind != "operands":
        assert isinstance(error, errors.Explained)


def test_the_longest_room_counts_then_the_nearest_class():
    assert kind_in(ConfigError, "minilinear.tasks.text") == "text"
    assert kind_in(ConfigError, "minilinear.tasks.textual") == "task-setting"
    assert kind_in(ConfigError, "minilinear.tasks") == "task-setting"
    assert kind_in(ConfigError, "minilinear.tasksome") == kind_in(ConfigError, "") == "setting"
    assert kind_in(errors.CompileError, "minilinear.gpu.sim.compile") == "compile"
    assert kind_in(errors.BackendError, "minilinear.gpu.sim.compile") == "compiler"

    class OfAReader(ShapeError):
        """Without a kind of its own."""

    assert kind_in(OfAReader, "minilinear.optim.sgd") == "parameters"
    assert kind_in(OfAReader, "elsewhere") == "shape"


def test_the_message_stays_as_it_is_and_the_note_comes_behind_it():
    error = ShapeError(explain("A rule.", got=1, fix="so", see="axes"))
    assert str(error) == "A rule.\n  got: 1\n  fix: so"
    printed = "".join(traceback.format_exception_only(error))
    assert printed == f"minilinear.errors.ShapeError: {error}\n  help: minilinear explain axes\n"
    assert not hasattr(error, "words")
    error.add_note("one of the caller's")
    assert error.__notes__ == [help_line("axes"), "one of the caller's"]


def test_an_error_without_a_message_or_a_traceback_has_a_kind_too():
    assert kind_of(ShapeError()) == kind_of(ShapeError("words")) == "shape"


def test_python_itself_prints_the_line_last():
    code = "import numpy as np, minilinear as ml; ml.tensor([1], requires_grad=True)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.endswith("fix: dtype=np.float32, or 1.0 for 1\n  help: minilinear explain floating-point\n")


def test_the_check_of_axes_names_its_own_kind():
    with pytest.raises(ShapeError) as caught:
        check_axes("q", np.ones(2), "B T", {})
    assert kind_of(caught.value) == "axes"


# The command


def typed(*arguments: str, monkeypatch, capsys) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["minilinear", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    out, err = capsys.readouterr()
    return int(end.value.code or 0), out, err


def test_the_command_prints_a_section(monkeypatch, capsys):
    code, out, _ = typed("explain", "beta-range", "--plain", monkeypatch=monkeypatch, capsys=capsys)
    section = SECTIONS["beta-range"]
    assert code == 0 and out.isascii()
    assert out.startswith("beta-range\n\nThe delta rule multiplies")
    assert textwrap.indent(section.example, "    ") in out
    assert textwrap.indent(section.said, "    ") in out
    assert max(map(len, out.split("\n    from")[0].splitlines())) <= 100


def test_links_are_shown_by_their_names(monkeypatch, capsys):
    _, out, _ = typed("explain", "no-rule", "--plain", monkeypatch=monkeypatch, capsys=capsys)
    assert "(all of them: docs/rules.md)" in out and "(docs/engine.md)" in out and "](" not in out


def test_without_a_kind_it_lists_all(monkeypatch, capsys):
    _, out, _ = typed("explain", "--plain", monkeypatch=monkeypatch, capsys=capsys)
    assert all(kind in out for kind in SECTIONS)
    _, out, _ = typed("explain", "--json", monkeypatch=monkeypatch, capsys=capsys)
    assert [each["kind"] for each in json.loads(out)] == list(SECTIONS)


def test_an_unknown_kind_gets_the_nearest(monkeypatch, capsys):
    code, _, err = typed("explain", "beta-rnage", monkeypatch=monkeypatch, capsys=capsys)
    assert code == 2
    assert "fix: did you mean beta-range?" in err


@pytest.mark.parametrize("options", [[], ["--plain"]])
def test_a_command_prints_the_line_once_and_last(options, monkeypatch, capsys):
    code, _, err = typed("train", "s3", "--set", "R", *options, monkeypatch=monkeypatch, capsys=capsys)
    assert code == 2
    assert err.count("help: ") == 1
    assert err.splitlines()[-1] == help_line("set-option")


def test_the_line_is_dim_where_there_are_colours():
    stream = io.StringIO()
    say_notes(ShapeError("words"), Console(file=stream, force_terminal=True, color_system="standard", no_color=False))
    assert stream.getvalue() == f"\x1b[2m{help_line('shape')}\x1b[0m\n"


def test_the_page_has_an_anchor_for_each_kind():
    page = (Path(__file__).parents[1] / "docs" / "errors.md").read_text(encoding="utf-8")
    assert re.findall(r"^### (.*)$", page, re.MULTILINE) == list(SECTIONS)
    assert all(re.fullmatch("[a-z]+(-[a-z]+)*", kind) for kind in SECTIONS)
