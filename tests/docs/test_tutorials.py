"""The tutorials have one shape, and every exercise of the core leads to one of them."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from minilinear.learn import Course
from tests.docs.test_pages import has_compiler
from tests.docs.test_pages import run as run

ROOT = Path(__file__).parents[2]
LEARN = ROOT / "docs" / "learn"
PAGES = sorted(LEARN.glob("[0-9]*.md"))
SKIP = "Skip this page if you can"
HEADINGS = [SKIP, "Picture", "Equation", "In code", "Check", "Break it", "Exercises", "What we left out", "Sources"]


def problems(text: str, run) -> Iterator[str]:
    """What a tutorial lacks or has too much of; nothing, if it keeps the shape."""
    parts = list(run.parts(text))
    prose = "".join(part if isinstance(part, str) else "0" if isinstance(part, run.Value) else "\n" for part in parts)
    if not (opening := re.match(r"# .+\n\n((?:[^#\n].*\n+)+)(?=## )", prose)) or "?" not in opening[1]:
        yield "it opens with a title and a question"
    sections = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", prose, re.MULTILINE | re.DOTALL))
    if [title for title in sections if title in HEADINGS] != HEADINGS or [*sections][:1] != [SKIP]:
        yield f"its headings are {', '.join(HEADINGS)}"
    if [*sections][-3:] != HEADINGS[-3:]:
        yield "nothing comes after the exercises but what is left out and the sources"
    asked = re.findall(r'^\?\?\? question "[^"\n]+\?[^"\n]*"\n    \S', sections.get(SKIP, ""), re.MULTILINE)
    if len(asked) != 3 or sections.get(SKIP, "").count("??? ") != 3:
        yield "three folded questions, each with its answer, let one skip it"
    if "\n<!-- exercises -->\n" not in sections.get("Exercises", ""):
        yield "the table of exercises stands under its heading"
    for part in parts:
        if isinstance(part, run.Block) and part.language not in ("python", "sh", "cuda"):
            yield f"outputs come from the run, and none is written: line {part.line}"
    words = len(re.findall(r"\S*\w\S*", re.sub(r"\$\$.*?\$\$", "", prose, flags=re.DOTALL)))
    if not 800 <= words <= 1700:
        yield f"it has 800 to 1,700 words of prose, not {words}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_a_tutorial_keeps_the_shape(page, run):
    assert list(problems(page.read_text("utf-8"), run)) == []


def cut(title: str) -> Callable[[str], str]:
    return lambda text: re.sub(rf"^## {title}\n.*?(?=^## |\Z)", "", text, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda text: text.replace("?", ".", text.partition("## ")[0].count("?")), "a title and a question"),
        (lambda text: text.replace("## Check\n", "## Checks\n"), "headings"),
        (lambda text: text.replace("## Picture", "## Eq").replace("## Equation", "## Picture"), "headings"),
        (lambda text: text.replace(f"## {SKIP}", f"## Before\n\n## {SKIP}"), "headings"),
        (cut("Break it"), "headings"),
        (lambda text: text.replace("## Sources", "## Aside\n\n## Sources"), "nothing comes after"),
        (lambda text: text.replace("??? question", "!!! question", 1), "three folded"),
        (lambda text: text.replace("## Picture", '??? question "A fourth?"\n    No.\n\n## Picture'), "three folded"),
        (lambda text: re.sub(r'(\?\?\? question ".*"\n)(    .*\n)+', r"\1", text, count=1), "three folded"),
        (lambda text: text.replace("<!-- exercises -->", "none"), "table of exercises"),
        (lambda text: text.replace("## Check\n", "## Check\n\n```text\n0.1\n```\n"), "none is written"),
        (lambda text: text + "word " * 800, "words of prose"),
        (lambda text: re.sub(r"^[^#?\s<`$ ].*$", "", text, flags=re.MULTILINE), "words of prose"),
    ],
)
def test_a_tutorial_that_lost_its_shape_is_noticed(spoil, words, run):
    text = PAGES[0].read_text("utf-8")
    assert spoil(text) != text
    assert words in " ".join(problems(spoil(text), run))


def findings(figures: list[str]) -> list[str]:
    return re.findall(r"<figcaption>(.*?)</figcaption>", " ".join(figures), re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_a_figure_says_its_finding_with_a_number(page, run):
    if re.search(r"minilinear\.gpu|cpucuda", page.read_text("utf-8")) and not has_compiler():
        pytest.skip("no C++ compiler")
    results = run.result(f"learn/{page.name}")["results"]
    said = [text for result in results for text in findings(result["figures"])]
    assert said
    assert [text for text in said if not re.search(r"\d", text)] == []


def test_a_figure_s_finding_is_read():
    from minilinear.figures.picture import Picture, html, scrubber

    one, none = Picture("<svg></svg>", "It is 1."), Picture("<svg></svg>", "It is none.")
    assert findings([html(one), html(scrubber([none, one], label="t"))]) == ["It is 1.", "It is none.", "It is 1."]


def test_every_tutorial_is_in_the_table_and_in_the_navigation_in_order():
    names = [f"learn/{page.name}" for page in PAGES]
    assert [int(page.name[:2]) for page in PAGES] == list(range(18))
    assert "\n<!-- pages -->\n" in (LEARN / "index.md").read_text("utf-8")  # a row for each page of the folder
    assert re.findall(r"^ +- (learn/\d.*\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE) == names


def test_every_exercise_of_the_core_leads_to_a_tutorial():
    exercises = Course().exercises.values()
    led = {exercise.id: exercise.tutorial for exercise in exercises if exercise.tutorial}
    assert {exercise.id for exercise in exercises if exercise.route == "core"} <= set(led)
    assert set(led.values()) <= {f"learn/{page.name}" for page in PAGES}
