"""What a grading found, in the forms that other programs read.

The canonical form is JSON: one line, sorted keys, no number that is not finite, so that the same report is always the
same bytes. With a key it carries an HMAC over those bytes: whoever has the key can tell that nobody else wrote it.
All other forms are made from it.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from xml.etree import ElementTree

from ..errors import ConfigError, explain

SCHEMA = 1
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
STAGE = {"passed": "ok", "failed": "NO", "not run": "--"}


@dataclass
class StageMark:
    """One stage of one exercise.

    Attributes:
        name: "value", "law:causal", ...
        points: what it is worth.
        status: "passed", "failed" or "not run".
        message: what the learner is told; empty where it passed.
    """

    name: str
    points: float
    status: str = "not run"
    message: str = ""


@dataclass
class ExerciseMark:
    """One exercise of one student.

    Attributes:
        id, title, weight: which, and how much it counts.
        status: "done", "missing" (nothing handed in), "waiting" (not graded yet) or "error" (the checker itself failed:
            no mark, and nobody's fault but ours).
        stages: in their order.
        source_sha256: of the file that was graded.
        exercise_sha256: of the exercise, its inputs' seed and its variant: with the line above, all a mark depends on.
        seconds: how long it took.
        hints_used: as the learner's own record says; it costs nothing.
    """

    id: str
    title: str
    weight: float = 1.0
    status: str = "waiting"
    stages: list[StageMark] = field(default_factory=list)
    source_sha256: str = ""
    exercise_sha256: str = ""
    seconds: float = 0.0
    hints_used: int = 0

    @property
    def score(self) -> float:
        """Points of the stages that passed, before the weight."""
        return sum(stage.points for stage in self.stages if stage.status == "passed")

    @property
    def most(self) -> float:
        """Points of all stages, before the weight."""
        return sum(stage.points for stage in self.stages)


@dataclass
class Report:
    """All exercises of one student.

    Attributes:
        student: the name of the folder that was handed in.
        title, course, due: of the assignment.
        versions: of what graded.
        seed: which secret inputs, as a fingerprint that does not give them away; "public" without a secret.
        isolation: as whom the learner's code ran.
        variant: whose conventions; empty for everybody's.
        submitted: the newest date of the files, ISO 8601; a copy may have changed it.
        late: whether that is after `due`; None without one.
        exercises: in the assignment's order.
    """

    student: str
    title: str
    course: str
    due: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    seed: str = "public"
    isolation: str = ""
    variant: str = ""
    submitted: str = ""
    late: bool | None = None
    exercises: list[ExerciseMark] = field(default_factory=list)

    @property
    def score(self) -> float:
        """Points with their weights."""
        return round(sum(e.weight * e.score for e in self.exercises), 6)

    @property
    def most(self) -> float:
        """Points that can be had, with their weights."""
        return round(sum(e.weight * e.most for e in self.exercises), 6)


def to_json(report: Report, key: bytes | None = None) -> bytes:
    """The canonical form, signed if there is a key."""
    document: dict[str, Any] = {"schema": SCHEMA, "kind": "minilinear report"} | asdict(report)
    document |= {"score": report.score, "max": report.most}
    for mark, shown in zip(report.exercises, document["exercises"]):
        shown |= {"score": mark.score, "max": mark.most}
    if key is not None:
        document["signature"] = signature(document, key)
    return canonical(document)


def canonical(document: dict[str, Any]) -> bytes:
    """The one way to write a document down."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def signature(document: dict[str, Any], key: bytes) -> str:
    """HMAC-SHA256 of a document without its signature."""
    unsigned = {name: value for name, value in document.items() if name != "signature"}
    return "hmac-sha256:" + hmac.new(key, canonical(unsigned), hashlib.sha256).hexdigest()


def verify(data: bytes, key: bytes) -> bool:
    """Whether these bytes, every one of them, are a report that was signed with this key."""
    try:
        document = json.loads(data)
        if not isinstance(document, dict):
            return False
        good = hmac.compare_digest(str(document.get("signature")).encode(), signature(document, key).encode())
        return good and canonical(document) == data
    except (ValueError, RecursionError):
        return False


def from_json(data: bytes) -> Report:
    """Read the canonical form back.

    Raises:
        ConfigError: it is no report, or one of another schema.
    """
    try:
        document = json.loads(data)
        if document.get("kind") != "minilinear report" or document.get("schema") != SCHEMA:
            raise ValueError(f"schema {document.get('schema')!r}")
        for name in ("schema", "kind", "score", "max", "signature"):
            document.pop(name, None)
        exercises = document.pop("exercises")
        marks = []
        for exercise in exercises:
            stages = [StageMark(**stage) for stage in exercise.pop("stages")]
            exercise.pop("score"), exercise.pop("max")
            marks.append(ExerciseMark(**exercise, stages=stages))
        return Report(**document, exercises=marks)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as reason:
        fix = "a file that `minilinear learn grade` has written"
        raise ConfigError(explain(f"This is a report of schema {SCHEMA}.", got=reason, fix=fix)) from None


def to_csv(reports: Sequence[Report]) -> str:
    """A table for a gradebook: a student a row, an exercise a column, points with their weights."""
    ids = list(dict.fromkeys(mark.id for report in reports for mark in report.exercises))
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["student", "score", "max", "late", *ids])
    for report in reports:
        points = {mark.id: _number(mark.weight * mark.score) for mark in report.exercises if mark.status != "error"}
        late = {None: "", True: "late", False: "in time"}[report.late]
        rows.writerow(
            [_no_formula(report.student), _number(report.score), _number(report.most), late]
            + [points.get(name, "") for name in ids]
        )
    return text.getvalue()


def _no_formula(text: str) -> str:
    """A spreadsheet runs a cell that begins like a formula; with an apostrophe it is text."""
    return "'" + text if text[:1] in tuple("=+-@\t\r") else text


def _number(x: float) -> str:
    return f"{x:.6f}".rstrip("0").rstrip(".")


def to_junit(reports: Sequence[Report]) -> bytes:
    """JUnit XML: a student a suite, a stage a case. What was not run counts as skipped."""
    suites = ElementTree.Element("testsuites", name="minilinear")
    for report in reports:
        stages = [(mark, stage) for mark in report.exercises for stage in mark.stages]
        count = {status: sum(stage.status == status for _, stage in stages) for status in STAGE}
        broken = [mark for mark in report.exercises if mark.status == "error"]
        suite = ElementTree.SubElement(
            suites, "testsuite", name=_xml(report.student), tests=str(len(stages) + len(broken)),
            errors=str(len(broken)), failures=str(count["failed"]), skipped=str(count["not run"]),
            time=f"{sum(mark.seconds for mark in report.exercises):.3f}",
        )  # fmt: skip
        for mark, stage in stages:
            each = mark.seconds / len(mark.stages)
            case = ElementTree.SubElement(
                suite, "testcase", classname=_xml(mark.id), name=_xml(stage.name), time=f"{each:.3f}"
            )
            if stage.status == "failed":
                first = _xml(stage.message.split("\n")[0])
                ElementTree.SubElement(case, "failure", message=first).text = _xml(stage.message)
            elif stage.status == "not run":
                ElementTree.SubElement(case, "skipped", message=_xml(stage.message or mark.status))
        for mark in broken:
            case = ElementTree.SubElement(suite, "testcase", classname=_xml(mark.id), name="checker", time="0.000")
            ElementTree.SubElement(case, "error", message="the checker failed; no mark was given")
    return ElementTree.tostring(suites, "utf-8", xml_declaration=True) + b"\n"


def _xml(text: str) -> str:
    """XML has no way to write some characters at all."""
    return NOT_XML.sub("?", text)


def to_gradescope(report: Report) -> dict[str, Any]:
    """The document that Gradescope reads: an exercise a test."""
    tests = []
    for number, mark in enumerate(report.exercises, 1):
        done = mark.status == "done" and mark.score == mark.most
        tests.append(
            {
                "name": f"{mark.id}: {mark.title}",
                "number": str(number),
                "score": round(mark.weight * mark.score, 6),
                "max_score": round(mark.weight * mark.most, 6),
                "status": "passed" if done else "failed",
                "output": _exercise_text(mark),
                "output_format": "text",
                "visibility": "visible",
            }
        )
    return {
        "score": report.score,
        "execution_time": round(sum(mark.seconds for mark in report.exercises)),
        "output": f"{report.title}: {_number(report.score)} of {_number(report.most)} points",
        "visibility": "visible",
        "stdout_visibility": "hidden",  # it is the checker's, for the instructor
        "extra_data": {"report": json.loads(to_json(report))},
        "tests": tests,
    }


def to_feedback(report: Report) -> str:
    """What the student reads."""
    lines = [report.title, f"{report.student}: {_number(report.score)} of {_number(report.most)} points"]
    if report.variant:
        lines.append("The exercises have the conventions that were drawn for you.")
    if report.late:
        lines.append(f"Handed in {report.submitted}, due {report.due}.")
    for mark in report.exercises:
        most, score = _number(mark.weight * mark.most), _number(mark.weight * mark.score)
        lines += ["", f"{mark.id}  {mark.title}  {score} of {most}", _exercise_text(mark)]
    return "\n".join(lines) + "\n"


def _exercise_text(mark: ExerciseMark) -> str:
    """The stages of one exercise, and what was found."""
    said = {
        "missing": "Nothing was handed in for this exercise.",
        "waiting": "This exercise has not been graded yet.",
        "error": "The checker failed here, not you: this exercise will be graded again.",
    }
    lines = [said[mark.status]] if mark.status in said else []
    said_once = {stage.message.split("\n")[0] for stage in mark.stages if stage.status == "failed"}
    if mark.status == "done" and mark.score == 0 and len(said_once) == 1:  # a stub, a file that does not parse
        lines += ["  NO  all stages", f"        {said_once.pop()}"]
    elif mark.status == "done":
        for stage in mark.stages:
            lines.append(f"  {STAGE[stage.status]}  {stage.name}, {_number(stage.points)}")
            if stage.status == "failed":
                lines += ["        " + line for line in stage.message.split("\n")]
    return "\n".join(lines)
