"""What exercises and the rest name of each other is there, both ways: pages, functions, equations."""

import re
from pathlib import Path

import pytest

from minilinear.cli.catalogue import catalogue_rows
from minilinear.learn import Course
from minilinear.learn.check_course import lint
from minilinear.learn.links import anchors, docs_of, headings, in_mkdocs, on_github, public, unresolved
from minilinear.learn.show import overview
from minilinear.learn.stub import shown
from minilinear.learn.workspace import Workspace
from tests.learn.small import WRITE, write_course

DOCS = Path(__file__).parents[2] / "docs"
COURSE = Course()
EXERCISES = list(COURSE.exercises.values())
PAGE = (DOCS / "exercises.md").read_text("utf-8")


def part(title: str) -> str:
    """One section of the page of exercises."""
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)[1]


def ids(text: str) -> list[str]:
    return re.findall(r"\]\((?:exercises\.md)?#([a-z]+-\d+)\)", text)


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.id)
def test_what_an_exercise_names_is_there(exercise):
    assert docs_of(COURSE.folder) == DOCS
    assert list(unresolved(exercise, DOCS)) == []


def test_every_page_leads_back_to_the_exercises_that_name_it():
    for page in sorted(DOCS.glob("*.md")):
        found = re.findall(r"<!-- exercises[^>]*-->\n\nExercises: (.*)\n\n<!--", page.read_text("utf-8"))
        naming = [e.id for e in EXERCISES if e.page.split("#")[0] == page.name]
        assert [ids(line) for line in found] == ([naming] if naming else []), page.name


def test_the_index_by_page_is_that_of_the_exercises():
    lines = dict(re.findall(r"^\* \[(.*?)\]\(\1\): (.*)$", part("Exercises by page"), re.M))
    assert {page: ids(line) for page, line in lines.items()} == {
        page: [e.id for e in EXERCISES if e.page == page] for page in {e.page for e in EXERCISES}
    }


def test_the_index_by_function_is_that_of_the_exercises():
    lines = re.findall(r"^\* \[(.*?)\]\((.*?)\): (.*)$", part("Exercises by function"), re.M)
    assert {name: ids(line) for name, _, line in lines} == {
        name: [e.id for e in EXERCISES if name in e.api] for name in {name for e in EXERCISES for name in e.api}
    }
    for name, file, _ in lines:
        assert name.rpartition(".")[2] in (DOCS / file).read_text("utf-8"), name


def test_every_equation_has_one_label_and_stands_in_the_index():
    lines = re.findall(r"^\* (eq:\S+) \((.*?\))\): `(.*)`$", part("Equations"), re.M)
    assert sorted((label, *ids(link), text) for label, link, text in lines) == sorted(
        (e.equation, e.id, e.equation_text) for e in EXERCISES
    )
    assert len({label for label, *_ in lines}) == len(EXERCISES)


def test_every_anchor_on_the_page_of_exercises_is_there():
    for file, anchor in re.findall(r"\]\(([\w-]*(?:\.md)?)#([^)]+)\)", PAGE):
        assert anchor in anchors(DOCS / (file or "exercises.md")), f"{file}#{anchor}"


def test_the_page_has_every_exercise_and_gives_nothing_away():
    assert re.findall(r"^\| \[(.*?)\]", PAGE, re.M) == re.findall(r"^### (\S+-\d+)$", PAGE, re.M) == COURSE.ids
    for exercise in EXERCISES:
        text = re.search(rf"^### {exercise.id}\n(.*?)(?=^##|\Z)", PAGE, re.M | re.S)[1]
        assert exercise.statement in text
        for secret in [*exercise.hints, exercise.after, *(wrong["says"] for wrong in exercise.wrong)]:
            assert secret not in PAGE, f"{exercise.id}: {secret}"
        if exercise.mode in ("fill", "property"):
            shown(text, exercise.cut(exercise.own)[1], exercise.id)  # it raises


def test_an_exercise_is_found_by_function_page_and_equation(tmp_path):
    workspace = Workspace.create(tmp_path / "course", COURSE)
    for words, naming in [
        (["recurrence.delta_rule"], [e.id for e in EXERCISES if "minilinear.recurrence.delta_rule" in e.api]),
        (["scans.md"], [e.id for e in EXERCISES if e.page.startswith("scans.md")]),
        (["eq:erase"], ["memory-5"]),
        (["interference"], ["memory-2"]),
    ]:
        text = "\n".join(line.text for line in overview(workspace, words))
        assert set(naming) <= set(re.findall(r"\b[a-z]+-\d+\b", text)), words


def test_the_catalogue_leads_to_the_exercises_that_name_a_component():
    rows = {(row.kind, row.name): row.exercise.split(", ") for row in catalogue_rows()}
    by_name = lambda *names: [e.id for e in EXERCISES if set(names) & {name.rpartition(".")[2] for name in e.api}]
    assert rows["norm", "rms_norm"] == by_name("RMSNorm") == ["tensor-5", "tensor-6"]
    assert rows["mixer", "delta_product"] == by_name("DeltaProduct", "delta_product")
    assert rows["mixer", "kda"] == by_name("delta_rule")
    assert rows["mixer", "linear"] == by_name("LinearAttention", "gated_linear_attention")
    assert rows["mixer", "softmax"] == by_name("SoftmaxAttention")
    assert rows["optimizer", "sgd"] == ["autograd-8"] and rows["optimizer", "adamw"] == [""]
    assert rows["task", "parity"] == ["delta-11"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("recurrences.md#linear", "recurrence.md#linear", "no page recurrence.md"),
        ("#linear-attention", "#linear-attentions", "no heading that #linear-attentions"),
        ("#linear-attention", "", "no heading that #"),
        ("#linear-attention", "#s--k-vᵀ", "on GitHub and in MkDocs"),
        ("recurrence.affine_scan", "recurrence.affine.affine_scan", "not in the package's __all__"),
        ("recurrence.affine_scan", "recurence.affine_scan", "there is no"),
        ("minilinear.recurrence.affine_scan", "affine_scan", "there is no"),
    ],
)
def test_the_course_check_finds_a_link_that_leads_nowhere(tmp_path, old, new, words):
    (tmp_path / "docs").mkdir()
    (tmp_path / "course").mkdir()
    page = "# Recurrences\n\n## Linear attention\n\n## S + k vᵀ\n"
    (tmp_path / "docs" / "recurrences.md").write_text(page, "utf-8")
    assert list(lint(Course(write_course(tmp_path / "course")))) == []
    assert old in WRITE["exercise.toml"]
    write_course(tmp_path / "course", {"memory_1": {"exercise.toml": WRITE["exercise.toml"].replace(old, new)}})
    (problem,) = lint(Course(tmp_path / "course"))
    assert problem.startswith("memory-1: ") and words in problem


def test_without_docs_pages_are_not_looked_at(tmp_path):
    assert docs_of(tmp_path / "course") is None
    assert list(lint(Course(write_course(tmp_path)))) == []


@pytest.mark.parametrize(
    ("heading", "github", "mkdocs"),
    [
        ("Three forms", "three-forms", "three-forms"),
        ("`delta_rule` and *beta*", "delta_rule-and-beta", "delta_rule-and-beta"),
        ("The map φ(q) · φ(k)", "the-map-φq--φk", "the-map-q-k"),
        ("S' = S + k vᵀ", "s--s--k-vᵀ", "s-s-k-vt"),
        ("β |k|² ≤ 2", "β-k--2", "k2-2"),
        ("$O(T^2)$ in all", "ot2-in-all", "ot2-in-all"),
        ("(I + A)^-1", "i--a-1", "i-a-1"),
        ("naïve", "naïve", "naive"),
    ],
)
def test_anchors_are_made_as_github_and_mkdocs_make_them(tmp_path, heading, github, mkdocs):
    (tmp_path / "page.md").write_text(f"# {heading}\n", "utf-8")
    assert (on_github(heading), in_mkdocs(heading)) == (github, mkdocs)
    assert anchors(tmp_path / "page.md") == ({github} if github == mkdocs else set())


def test_headings_are_not_comments_nor_told_apart_by_a_number(tmp_path):
    text = "# A [link](x.md) here #\n\n```python\n# none\n```\n\n~~~\n## nor this\n~~~\n\n## Twice\n\n### Twice\n#x\n"
    assert headings(text) == ["A link here", "Twice", "Twice"]
    (tmp_path / "page.md").write_text(text, "utf-8")
    assert anchors(tmp_path / "page.md") == {"a-link-here"}


@pytest.mark.parametrize(
    ("name", "is_public"),
    [
        ("minilinear.grad", True),
        ("minilinear.recurrence.delta_rule", True),
        ("minilinear.autograd.backward.backpropagate", False),
        ("minilinear.recurrence.householder", False),
        ("minilinear.nothing.at_all", False),
        ("grad", False),
    ],
)
def test_public_is_what_a_package_offers(name, is_public):
    assert public(name) == is_public
