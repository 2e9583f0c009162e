"""The pages that are made from the code are what the code makes of them."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from minilinear.autograd import Primitive
from tests.autograd.mistakes import MISTAKES
from tests.autograd.test_ops import operations

SCRIPT = Path(__file__).parents[2] / "docs" / "generate.py"


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location("generate", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_page_is_stale():
    done = subprocess.run([sys.executable, str(SCRIPT), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["rules.md", "mistakes.md", "exercises.md", "figures/graph.svg"])
def test_a_stale_page_is_noticed(generate, monkeypatch, name):
    quoting, made_with = generate.MADE.partition("{}")[0], generate.MADE.format(generate.numpy())
    page = (generate.DOCS / name).read_text(encoding="utf-8")
    if page.startswith(quoting) and not page.startswith(made_with):
        pytest.skip("the page quotes another NumPy")
    make = generate.PAGES[name]
    monkeypatch.setitem(generate.PAGES, name, lambda: make() + "more")
    assert generate.stale() == [name]


def test_every_operation_and_every_mistake_is_on_its_page(generate):
    rules, mistakes = generate.rules(), generate.mistakes()
    assert all(f"| `{name}` |" in rules for name in operations())
    assert all(f"**{name}**" in mistakes for entries in MISTAKES.values() for name in entries)


# fmt: off
ONE_LINE = Primitive(lambda x, y: x * y, lambda g, out, x, y: g * y, lambda g, out, x, y: g * x, name="one_line")
SEVERAL_LINES = Primitive(lambda x: x ** 3,
                          lambda g, out, x: 3 * g
                                            * x * x, name="several_lines")
# fmt: on


def named(g, out, x):
    """Back where it came from. And more."""
    return g


def test_rules_of_every_kind_are_read(generate):
    scaled = lambda k: lambda g, out, x: k * g
    assert generate.rule_of(Primitive(lambda x: 2 * x, scaled(2), name="scaled")) == ["x: `k * g`"]
    nested = Primitive(lambda x: x, lambda g, out, x: sum((lambda: g)() for _ in range(1)), name="nested")
    fused = Primitive(lambda x: x, backward=lambda gs, outs, xs, needs: [gs[0]], reference=named, name="fused")
    assert generate.rule_of(ONE_LINE) == ["x: `g * y`", "y: `g * x`"]
    assert generate.rule_of(SEVERAL_LINES) == ["x: `3 * g * x * x`"]
    assert generate.rule_of(Primitive(lambda x, y: x, None, lambda g, out, x, y: g)) == ["x: none", "y: `g`"]
    assert generate.rule_of(Primitive(lambda x: x, named)) == ["x: `named`: Back where it came from."]
    assert generate.rule_of(nested) == ["x: `sum((lambda: g)() for _ in range(1))`"]
    assert generate.rule_of(fused) == ["all at once: `[gs[0]]`; again through `named`: Back where it came from."]
