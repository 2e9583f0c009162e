"""Every form of a report is read back by what reads such forms; a signature holds for every byte."""

import csv
import io
import json
from xml.etree import ElementTree

import pytest

from minilinear.errors import ConfigError
from minilinear.learn.reports import (
    ExerciseMark,
    Report,
    StageMark,
    from_json,
    to_csv,
    to_feedback,
    to_gradescope,
    to_json,
    to_junit,
    verify,
)

KEY = b"a key of many bytes"


def report(**changes):
    """Half done: one exercise good, one half, one missing, one not graded yet, one that the checker broke on."""
    stages = lambda *status: [
        StageMark(name, points, each, "wanted 1\ngot \x1b[2J 2 <&" if each == "failed" else "")
        for name, points, each in zip(("shape", "value"), (4, 6), status)
    ]
    exercises = [
        ExerciseMark("a-1", "Good", 2.0, "done", stages("passed", "passed"), "12", "ab", 0.5, 1),
        ExerciseMark("a-2", "Half", 1.0, "done", stages("passed", "failed"), "34", "cd", 0.25),
        ExerciseMark("a-3", "None", 1.0, "missing", stages("not run", "not run")),
        ExerciseMark("a-4", "Later", 0.5, "waiting", stages("not run", "not run"), "56"),
        ExerciseMark("a-5", "Ours", 1.0, "error", stages("not run", "not run"), "78"),
    ]
    usual = {"student": "Ada", "title": "Week 3", "course": "1", "versions": {"numpy": "2"}, "exercises": exercises}
    return Report(**usual | changes)


def test_points_are_weighted_and_only_what_passed_counts():
    assert (report().score, report().most) == (2 * 10 + 4, 2 * 10 + 10 + 10 + 5 + 10)


def test_json_is_canonical_and_read_back():
    data = to_json(report())
    assert from_json(data) == report()
    assert to_json(from_json(data)) == data and data.count(b"\n") == 1
    document = json.loads(data)
    assert list(document) == sorted(document) and (document["score"], document["max"]) == (24, 55)
    assert document["exercises"][1]["score"] == 4
    assert from_json(to_json(report(), KEY)) == report()


@pytest.mark.parametrize("data", [b"", b"[1]", b"{}", b"\xff", b'{"kind":"minilinear report","schema":1}'])
def test_what_is_no_report_is_said(data):
    with pytest.raises(ConfigError, match="This is a report of schema 1"):
        from_json(data)


def test_another_schema_is_refused():
    with pytest.raises(ConfigError, match="schema 2"):
        from_json(to_json(report()).replace(b'"schema":1', b'"schema":2'))


def test_the_signature_fails_after_any_flipped_bit():
    data = to_json(report(), KEY)
    assert verify(data, KEY)
    for at in range(len(data)):
        for bit in (1, 32) if at % 5 else range(1, 256, 25):
            flipped = data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]
            assert not verify(flipped, KEY), data[max(0, at - 20) : at + 20]


def test_the_signature_fails_for_another_key_other_text_and_no_signature():
    data = to_json(report(), KEY)
    assert not verify(data, KEY + b"!")
    assert not verify(data + b"\n", KEY) and not verify(b" " + data, KEY) and not verify(data[:-1], KEY)
    assert not verify(to_json(report()), KEY)
    again = json.dumps(json.loads(data), indent=1).encode()
    assert not verify(again, KEY)  # the same values, other bytes
    for strange in (b"", b"[]", b"null", b'{"signature":5}', b"[" * 100_000, b'{"a":NaN,"signature":""}'):
        assert not verify(strange, KEY)


def test_csv_has_a_row_for_each_student_and_starts_no_formula():
    reports = [report(), report(student='=HYPERLINK("x")', late=True), report(student="Bob, the 2nd", late=False)]
    rows = list(csv.DictReader(io.StringIO(to_csv(reports))))
    assert [row["student"] for row in rows] == ["Ada", '\'=HYPERLINK("x")', "Bob, the 2nd"]
    assert rows[0] | {"student": ""} == {
        "student": "", "score": "24", "max": "55", "late": "", "a-1": "20", "a-2": "4", "a-3": "0", "a-4": "0",
        "a-5": "",
    }  # fmt: skip
    assert [row["late"] for row in rows] == ["", "late", "in time"]


def test_junit_counts_what_failed_and_what_was_not_run():
    root = ElementTree.fromstring(to_junit([report(), report(student="B\x00b")]))
    suite, other = root.findall("testsuite")
    counts = {name: int(suite.get(name)) for name in ("tests", "failures", "skipped", "errors")}
    assert counts == {"tests": 11, "failures": 1, "skipped": 6, "errors": 1}
    assert len(suite.findall("testcase")) == 11 and len(suite.findall("testcase/error")) == 1
    (failed,) = suite.findall("testcase/failure")
    assert failed.get("message") == "wanted 1" and failed.text == "wanted 1\ngot ?[2J 2 <&"
    case = suite.findall("testcase")[3]
    assert (case.get("classname"), case.get("name")) == ("a-2", "value") and case.find("failure") is failed
    assert len(suite.findall("testcase/skipped")) == 6 and float(suite.get("time")) == 0.75
    assert other.get("name") == "B?b"


def test_gradescope_has_a_test_for_each_exercise():
    document = json.loads(json.dumps(to_gradescope(report())))
    assert set(document) == {
        "score", "execution_time", "output", "visibility", "stdout_visibility", "extra_data", "tests"
    }  # fmt: skip
    assert document["score"] == 24 == sum(test["score"] for test in document["tests"])
    assert [test["max_score"] for test in document["tests"]] == [20, 10, 10, 5, 10]
    assert [test["status"] for test in document["tests"]] == ["passed", *["failed"] * 4]
    assert "wanted 1" in document["tests"][1]["output"] and "not been graded" in document["tests"][3]["output"]
    assert from_json(json.dumps(document["extra_data"]["report"]).encode()) == report()
    allowed = {"visible", "hidden", "after_due_date", "after_published"}
    assert {document["visibility"], document["stdout_visibility"]} <= allowed
    assert document["stdout_visibility"] == "hidden"
    assert all(test["visibility"] in allowed and test["output_format"] == "text" for test in document["tests"])


def test_feedback_is_what_a_student_reads():
    text = to_feedback(report(late=True, due="2026-12-01", submitted="2026-12-02", variant="Ada"))
    assert "Ada: 24 of 55 points" in text and "a-2  Half  4 of 10" in text
    assert "  ok  shape, 4\n  NO  value, 6\n        wanted 1" in text
    assert "Handed in 2026-12-02, due 2026-12-01." in text and "drawn for you" in text
    same = [StageMark(name, 5, "failed", "not started yet: line 3") for name in ("shape", "value")]
    text = to_feedback(report(exercises=[ExerciseMark("a-1", "Stub", 1.0, "done", same)]))
    assert text.endswith("a-1  Stub  0 of 10\n  NO  all stages\n        not started yet: line 3\n")


def test_feedback_says_what_has_no_mark():
    text = to_feedback(report())
    assert text.count("Nothing was handed in") == 1 and text.count("not graded") + text.count("not been graded") == 1
