"""Stubs: what is taken away, what stays, and that the cut can be undone."""

import ast

import pytest

from minilinear.errors import ConfigError
from minilinear.learn.stub import cut, find, restore

SOURCE = '''
import numpy as np
from minilinear.recurrence import delta_rule

LIMIT = 3  # given


def helper(x):
    return x


def scan(g, x):
    """One line."""
    y = np.zeros_like(x)  # (T, K)
    # the loop over time
    for t in range(len(x)):
        # each row from the one before
        y[t] = np.exp(g[t]) * y[t - 1] + x[t]
    return y
'''


def test_the_whole_body_is_cut_and_imports_of_the_library_go():
    stub, removed = cut(SOURCE, "scan", "linear-2", "Scan.\n\nWith decay.")
    assert 'raise NotImplementedError("linear-2: your code here")' in stub
    assert "import numpy as np" in stub and "minilinear.recurrence" not in stub and "helper" not in stub
    assert ast.get_docstring(ast.parse(stub).body[-1]).strip() == "Scan.\n\nWith decay."
    assert "each row" not in stub and "np.exp" not in stub and len(removed) == 1


def test_named_statements_are_cut_with_their_comments_and_can_be_put_back():
    stub, removed = cut(SOURCE, "scan", "x-1", "Scan.", ["y[t] = np.exp(g[t])*y[t-1] + x[t]"], ["helper", "LIMIT"])
    assert "# the loop over time" in stub and "each row" not in stub and "def helper" in stub and "LIMIT = 3" in stub
    namespace: dict = {}
    exec(restore(stub, removed, "x-1"), namespace)
    import numpy as np

    x = np.ones((3, 2))
    assert np.allclose(namespace["scan"](np.zeros(3), x)[:, 0], [1, 2, 3])


@pytest.mark.parametrize(
    ("blank", "words"),
    [(["y = 0"], "0 times"), (["return"], "0 times"), (["x x"], "one statement or expression")],
)
def test_a_statement_that_is_not_there_is_an_error_of_the_course(blank, words):
    with pytest.raises(ConfigError, match=words):
        cut(SOURCE, "scan", "x-1", "Scan.", blank)


def test_a_statement_that_is_there_twice_is_refused():
    with pytest.raises(ConfigError, match="2 times"):
        find(ast.parse("a = 1\nb = 2\na = 1\n"), "a = 1", "x")


def test_a_stub_that_still_shows_a_removed_line_is_refused():
    with pytest.raises(ConfigError, match="still shows"):
        cut(SOURCE, "scan", "x-1", "Hint: y[t] = np.exp(g[t]) * y[t - 1] + x[t]")


def test_a_statement_cannot_close_the_docstring():
    stub, _ = cut(SOURCE, "scan", "x-1", 'A """ quote and a \\ backslash.')
    assert ast.get_docstring(ast.parse(stub).body[-1]).strip() == "A ''' quote and a \\ backslash."
