"""The machine that runs the pages: what it takes for code, what it keeps, what it says when a page is wrong."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = """# A page

The sum of {{ a + b }} is known only below.

```python
a, b = 1, 2
print(a + b)
```

It is {{ f"{a + b:.1f}" }}.

??? note "A box"
    ```python raises=ValueError
    raise ValueError("meant")
    ```

```text
not run
```
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """docs/run.py, for pages in a folder of the test's own."""
    spec = importlib.util.spec_from_file_location("run_pages", ROOT / "docs" / "run.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "run_pages", module)
    spec.loader.exec_module(module)
    (tmp_path / "learn").mkdir()
    monkeypatch.setattr(module, "DOCS", tmp_path)
    monkeypatch.setattr(module, "STORE", tmp_path / "store")
    monkeypatch.chdir(tmp_path)
    return module


def here(run, text, name="page.md"):
    """What a page gives, run in this process."""
    (run.DOCS / name).write_text(text, "utf-8")
    return [result["text"] for result in run.run(name)["results"]]


def test_a_page_is_read_as_prose_blocks_and_values(run):
    parts = list(run.parts(PAGE))
    blocks = [part for part in parts if isinstance(part, run.Block)]
    assert [(b.language, b.options, b.indent, b.line) for b in blocks] == [
        ("python", {}, "", 5),
        ("python", {"raises": "ValueError"}, "    ", 13),
        ("text", {}, "", 17),
    ]
    assert blocks[1].code == 'raise ValueError("meant")\n'
    assert [(p.code, p.line) for p in parts if isinstance(p, run.Value)] == [("a + b", 3), ('f"{a + b:.1f}"', 10)]


def test_what_is_read_can_be_written_again(run):
    written = ""
    for part in run.parts(PAGE):
        if isinstance(part, str):
            written += part
        elif isinstance(part, run.Value):
            written += "{{ " + part.code + " }}"
        else:
            info = "".join(f" {name}={value}" for name, value in part.options.items())
            lines = [f"```{part.language}{info}", *part.code.splitlines(), "```"]
            written += "".join(f"{part.indent}{line}\n" for line in lines)
    assert written == PAGE


def test_blocks_share_names_and_values_stand_where_they_are(run):
    text = PAGE.replace("{{ a + b }} is known only below", "nothing")
    assert here(run, text) == ["3", "3.0", "ValueError: meant"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (PAGE, r"docs/page.md:3: (?s:.*)NameError"),
        ("```python raises=TypeError\nint('x')\n```\n", r"docs/page.md:1: expected TypeError(?s:.*)ValueError"),
        ("\n```python raises=TypeError\nx = 1\n```\n", r"docs/page.md:2: .*(?s:.*)nothing was raised"),
        (
            "```python\nx = 1\n\n1 / 0\n```\n",
            r'(?s)docs/page.md:1: .*the block of line 1", line 3.*    1 / 0.*ZeroDivisionError',
        ),
    ],
)
def test_a_wrong_page_is_named_with_its_line(run, text, words):
    with pytest.raises(run.PageError, match=words):
        here(run, text)


def test_what_a_figure_shows_is_kept_with_its_finding(run):
    text = """```python
from minilinear.figures import Picture, show
show(Picture('<svg viewBox="0 0 1 1"></svg>', "one < two"))
```
"""
    (run.DOCS / "page.md").write_text(text, "utf-8")
    (result,) = run.run("page.md")["results"]
    assert result["figures"] == [
        '<figure class="ml-figure"><svg role="img" aria-label="one &lt; two" viewBox="0 0 1 1"></svg>'
        "<figcaption>one &lt; two</figcaption></figure>"
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="no bash")
def test_commands_run_on_tutorials_in_one_folder_and_end_as_the_page_says(run):
    text = '```sh\necho 1 > a\n```\n\n```sh exits=3\ncat a; exit 3\n```\n\n```sh norun="long"\nfalse\n```\n'
    assert here(run, text, "learn/page.md") == ["", "1"]
    assert here(run, text) == []
    with pytest.raises(run.PageError, match=r"docs/learn/page.md:1: the commands ended with status 1"):
        here(run, "```sh\nfalse\n```\n", "learn/page.md")


def test_results_are_stale_when_the_code_changes_and_not_when_the_prose_does(run):
    (run.DOCS / "page.md").write_text(PAGE, "utf-8")
    run.STORE.mkdir()
    run.place("page.md").write_text(json.dumps({"key": run.key("page.md"), "results": []}), "utf-8")
    assert run.stored("page.md")
    (run.DOCS / "page.md").write_text(PAGE.replace("It is", "It surely is"), "utf-8")
    assert run.stored("page.md")
    (run.DOCS / "page.md").write_text(PAGE.replace("a, b = 1, 2", "a, b = 1, 3"), "utf-8")
    assert run.stored("page.md") is None
    run.place("page.md").write_text("{", "utf-8")  # cut off
    assert run.stored("page.md") is None


def test_results_are_stale_when_the_library_changes(run, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "ROOT", tmp_path)
    run.library.cache_clear()
    (tmp_path / "gpu").mkdir()
    before = run.library()
    (tmp_path / "gpu" / "new.cu").write_text("", "utf-8")
    run.library.cache_clear()
    assert run.library() != before


def test_a_page_that_is_not_there_is_refused_with_those_that_are(run, capsys):
    (run.DOCS / "page.md").write_text(PAGE, "utf-8")
    (run.DOCS.parent / "README.md").write_text("# none\n", "utf-8")
    with pytest.raises(SystemExit):
        run.main(["docs/absent.md"])
    assert "docs/ has no page absent.md; it has page.md" in capsys.readouterr().err
