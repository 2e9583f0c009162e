"""assignment.toml: what it says is used, and what is wrong in it is said."""

from datetime import timedelta

import pytest

from minilinear.errors import ConfigError
from minilinear.learn.assignment import read_assignment

IDS = ["memory-1", "memory-2", "delta-1"]
TEXT = """
schema = 1
title = "Week 3"
course = "1"
due = 2026-12-01T23:59:00+01:00
[weights]
memory-2 = 1
delta-1 = 2.5
"""


def read(folder, text):
    path = folder / "assignment.toml"
    path.write_text(text, "utf-8")
    return read_assignment(path, IDS, "1")


def test_an_assignment_is_read_in_its_own_order(tmp_path):
    found = read(tmp_path, TEXT)
    assert list(found.weights.items()) == [("memory-2", 1.0), ("delta-1", 2.5)]
    assert (found.title, found.course, found.variants) == ("Week 3", "1", False)
    assert found.due.utcoffset() == timedelta(hours=1) and found.due.hour == 23
    assert read(tmp_path, TEXT.replace("[weights]", "variants = true\n[weights]")).variants
    assert read(tmp_path, TEXT.replace("due = 2026-12-01T23:59:00+01:00", "")).due is None


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("schema = 1", "schema = 2", "`schema` is 1"),
        ("schema = 1", "", "An assignment says `schema`"),
        ('course = "1"', 'course = "2"', 'made with version 2 of the course.\n  got: 1\n  fix: .* course = "1"'),
        ('title = "Week 3"', "title = 3", "`title` is a str"),
        ("due", "deadline", "got: deadline"),
        ("+01:00", "", "time zone"),
        ("2026-12-01T23:59:00+01:00", '"tomorrow"', "without quotes"),
        ("delta-1", "delta-2", "did you mean delta-1"),
        ("2.5", "0", "weight of delta-1 is a number above 0"),
        ("2.5", "nan", "weight of delta-1 is a number above 0"),
        ("2.5", "true", "weight of delta-1 is a number above 0"),
        ("memory-2 = 1\ndelta-1 = 2.5", "", "names an exercise at least"),
        ("[weights]", "[weights", "is a TOML file"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, old, new, rule):
    assert old in TEXT
    with pytest.raises(ConfigError, match=f"(?s)assignment.toml.*{rule}"):
        read(tmp_path, TEXT.replace(old, new))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="Cannot read"):
        read_assignment(tmp_path / "no.toml", IDS, "1")
