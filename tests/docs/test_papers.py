"""The paper map: complete, and true of the code."""

import importlib
import re
from pathlib import Path

import pytest

from docs import papers
from minilinear.learn import Course
from tests.test_docstrings import PACKAGES

ROOT = Path(__file__).parents[2]
PAPERS = papers.papers()
PLACES = [(paper["id"], place) for paper in PAPERS for place in paper.get("where", [])]
ROOMS = ("linearize", "rnn", "mixing", "operators", "labs")


def anchors(page: Path) -> set[str]:
    """Those of a page's headings, as the site and GitHub write them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_paper_is_there_once():
    assert [paper["id"] for paper in PAPERS] == list(range(1, 188))
    assert len({paper["title"].lower() for paper in PAPERS}) == 187
    numbers = [paper["arxiv"] for paper in PAPERS if "arxiv" in paper]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: str(paper["id"]))
def test_a_paper_says_what_became_of_it(paper):
    assert set(paper) <= {
        *("id", "title", "authors", "year", "venue", "arxiv", "repo"),
        *("topic", "status", "room", "where", "why"),
    }
    assert paper["status"] in papers.STATUS
    assert paper["topic"] in papers.TOPICS
    if paper["status"] == "done":
        assert any(place.startswith("minilinear.") for place in paper["where"])
        assert any(place.startswith("docs/") for place in paper["where"])
    else:
        assert paper["why"].endswith(".")
    assert (paper.get("room") in ROOMS) == (paper["status"] == "planned")
    if paper["status"] == "left out":
        assert "where" not in paper


@pytest.mark.parametrize("paper", [paper for paper in PAPERS if "arxiv" in paper], ids=lambda paper: str(paper["id"]))
def test_an_arxiv_number_is_one(paper):
    year, month = re.fullmatch(r"(\d\d)(\d\d)\.\d{4,5}", paper["arxiv"]).groups()
    assert 1 <= int(month) <= 12
    assert len(paper["arxiv"]) == (10 if int(year) >= 15 else 9)
    assert 2000 + int(year) <= paper["year"] <= 2000 + int(year) + 4  # on arXiv first, in print later


@pytest.mark.parametrize(("number", "place"), PLACES)
def test_what_is_named_exists(number, place):
    if place.startswith("minilinear."):
        package, _, name = place.rpartition(".")
        assert package in PACKAGES
        assert name in importlib.import_module(package).__all__
    elif place.startswith("docs/"):
        file, _, anchor = place.partition("#")
        assert (ROOT / file).is_file()
        assert not anchor or anchor in anchors(ROOT / file)
    elif place.startswith("tests/"):
        assert (ROOT / place).is_file()
    else:
        assert place in Course().exercises


def test_every_cited_paper_is_on_the_page():
    page = (ROOT / "docs" / "paper-map.md").read_text(encoding="utf-8")
    numbers = {number for _, _, text in papers.sources() for number in re.findall(r"\b\d{4}\.\d{4,5}\b", text)}
    assert len(numbers) > 50
    assert not {number for number in numbers if f"https://arxiv.org/abs/{number}" not in page}


def test_a_mechanism_whose_source_is_one_of_the_papers_is_done():
    """A paper that a public name has as its source is no longer planned, let alone left out."""
    status = {paper["arxiv"]: paper["status"] for paper in PAPERS if "arxiv" in paper}
    cited = {number for _, _, text in papers.sources() for number in re.findall(r"\b\d{4}\.\d{4,5}\b", text)}
    assert {number: status[number] for number in cited & status.keys() if status[number] != "done"} == {}


def test_the_counts_on_the_page_are_those_of_the_file():
    page = papers.paper_map()
    for status in papers.STATUS:
        number = sum(paper["status"] == status for paper in PAPERS)
        assert len(re.findall(rf"^\| \d+\. .* \| (?:\*\*)?{status}", page, re.MULTILINE)) == number
        assert re.search(rf"\b{number}\s+(?:is|are) {status}", page)
