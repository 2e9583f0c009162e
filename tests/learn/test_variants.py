"""Other conventions for every student: all of one piece, and an answer that was copied is wrong."""

from itertools import combinations

import numpy as np
import pytest
from typer.testing import CliRunner

from minilinear.cli import app
from minilinear.errors import ConfigError
from minilinear.learn.assignment import Assignment
from minilinear.learn.check_course import POINTS, form
from minilinear.learn.course import Course
from minilinear.learn.grade import Plan, grade
from minilinear.learn.host import Spare
from minilinear.learn.judge import Judge, score
from minilinear.learn.variants import (
    AFTER,
    BETA,
    HALF,
    LAST,
    PLAIN,
    READ,
    SAYS,
    TURNED,
    Variant,
    chosen,
    conventions,
    oracle,
    vary,
)

COURSE = Course()
VARIED = [name for name in COURSE.ids if conventions(COURSE[name])]
HEAD = "import numpy as np\n\n\n"


def every(name):
    """Each set of conventions that a student can have."""
    declared = conventions(COURSE[name])
    return [list(some) for n in range(1, len(declared) + 1) for some in combinations(declared, n)]


def judged(exercise, source, spare):
    return list(Judge(exercise, spare, source, examples=10, seconds=20).run(stop=False))


@pytest.fixture(scope="module")
def spare():
    with Spare() as found:
        yield found


def test_the_course_has_variants_and_none_where_a_later_file_calls_the_function():
    assert {"memory-3", "memory-5", "linear-2", "linear-9", "delta-1"} <= set(VARIED)
    assert not {"linear-1", "delta-6", "delta-7"} & set(VARIED)  # `learn use` puts them into a real training
    built_on = {COURSE[name].earlier.id for name in COURSE.ids if COURSE[name].earlier}
    assert not built_on & set(VARIED)


@pytest.mark.parametrize("name", VARIED)
def test_without_a_change_the_definition_is_the_reference(name):
    exercise = COURSE[name]
    same = Variant(exercise, [])
    for seed in range(10):
        for dtype in (np.float64, np.float32):
            args = exercise.inputs.draw(exercise.inputs.sizes("random", seed=seed), seed)
            args = exercise.inputs.floats(args, dtype)
            got, want = same.reference(*args), exercise.reference(*args)
            for mine, theirs in zip(got, want, strict=True):
                assert mine.dtype == theirs.dtype and mine.shape == theirs.shape
                np.testing.assert_allclose(mine, theirs, rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("name", VARIED)
def test_no_two_sets_of_conventions_have_the_same_answers(name):
    exercise = COURSE[name]
    sets = [[], *every(name)]
    args = exercise.inputs.draw(exercise.inputs.sizes("largest"), 1)
    answers = []
    for changed in sets:
        given = dict(zip(exercise.inputs.names, args))
        if TURNED in changed:
            given["S"] = given["S"].T
        answers.append(Variant(exercise, changed).reference(*given.values()))
    for (i, one), (j, other) in combinations(enumerate(answers), 2):
        same = all(a.shape == b.shape and np.allclose(a, b) for a, b in zip(one, other))
        assert not same, (sets[i], sets[j])


@pytest.mark.parametrize("name", VARIED)
def test_statement_example_and_reference_are_of_one_piece(name):
    for changed in every(name):
        variant = Variant(COURSE[name], changed)
        assert sum(spec["points"] for _, spec in variant.stages) == POINTS
        example = variant.spec["example"]
        args = [variant.inputs.typed(each, example["inputs"][each]) for each in variant.inputs.names]
        for got, want in zip(variant.reference(*args), example["expects"], strict=True):
            np.testing.assert_allclose(got, want)
        stub = variant.stub()
        assert "YOUR VARIANT" in stub and variant.equation_text == "" and stub.count("NotImplementedError") == 1
        assert all(line in stub for line in variant.story.split("\n"))
        assert max(len(line) for line in variant.statement.split("\n")) <= 88


def test_a_student_has_the_same_conventions_every_time_and_not_those_of_all_others():
    declared = conventions(COURSE["linear-2"])
    students = [f"student-{n}" for n in range(200)]
    drawn = [tuple(chosen(declared, "linear-2", student)) for student in students]
    assert drawn == [tuple(chosen(declared, "linear-2", student)) for student in students]
    counts = {each: drawn.count(each) for each in drawn}
    assert len(counts) == 15 and () not in counts and max(counts.values()) < 40
    assert drawn != [tuple(chosen(declared, "linear-9", student)) for student in students]
    assert chosen(declared, "linear-2", "ada") == [AFTER, LAST]  # today's is tomorrow's


def test_an_exercise_without_conventions_stays_as_it_is():
    assert vary(COURSE["memory-1"], "ada") is COURSE["memory-1"]


LOOPS = {
    (READ,): "S = 0 * np.outer(k[0], v[0])\n    o = np.zeros_like(v)\n    for t in range(len(q)):\n"
    "        o[t] = q[t] @ S\n        S = np.exp(g[t]) * S + np.outer(k[t], v[t])\n    return o",
    (AFTER, HALF): "S = 0 * np.outer(k[0], v[0])\n    o = np.zeros_like(v)\n    for t in range(len(q)):\n"
    "        S = np.exp(g[t]) * (S + np.outer(k[t], v[t]) / 2)\n        o[t] = q[t] @ S\n    return o",
    (LAST,): "S = 0 * np.outer(k[0], v[0])\n    o = np.zeros_like(v)\n    for t in reversed(range(len(q))):\n"
    "        S = np.exp(g[t]) * S + np.outer(k[t], v[t])\n        o[t] = q[t] @ S\n    return o",
}


@pytest.mark.parametrize("changed", LOOPS, ids=" and ".join)
def test_who_follows_their_own_statement_passes(changed, spare):
    variant = Variant(COURSE["linear-2"], changed)
    source = f"{HEAD}def decayed_attention(q, k, v, g):\n    {LOOPS[changed]}\n"
    results = judged(variant, source, spare)
    assert score(results) == POINTS, [result for result in results if result.found]


def test_a_state_turned_round_and_half_of_beta(spare):
    variant = Variant(COURSE["delta-1"], [BETA, TURNED])
    body = "e = S @ k - v\n    return 0.5 * np.sum(e**2), S - beta / 2 * np.outer(e, k)"
    results = judged(variant, f"{HEAD}def sgd_step(S, k, v, beta):\n    {body}\n", spare)
    assert score(results) == POINTS, [result for result in results if result.found]


@pytest.mark.parametrize("name", VARIED)
def test_a_copied_answer_fails_and_is_told_why(name, spare):
    """The usual solution, in each student's variant."""
    told = 0
    for changed in every(name)[:4]:
        results = {
            result.stage: result for result in judged(Variant(COURSE[name], changed), COURSE[name].source, spare)
        }
        assert results["example"].found or results["value"].found
        assert score(list(results.values())) <= POINTS / 2
        told += PLAIN in results["example"].found + results["value"].found
    assert told


def test_a_neighbour_s_answer_fails_too(spare):
    source = f"{HEAD}def decayed_attention(q, k, v, g):\n    {LOOPS[READ,]}\n"
    for changed in ((LAST,), (READ, LAST), (READ, HALF)):
        results = judged(Variant(COURSE["linear-2"], changed), source, spare)
        assert {result.stage for result in results if result.found} >= {"value"}


def test_the_course_check_finds_a_recurrence_that_is_another(monkeypatch):
    exercise = COURSE["linear-2"]
    assert not list(form(exercise))
    monkeypatch.setitem(exercise.spec, "recurrence", {"rule": "delta", "gives": ["o"]})
    (problem,) = form(exercise)
    assert "is not what the reference computes" in problem


def test_what_cannot_be_varied_is_said():
    exercise = COURSE["memory-1"]
    exercise.spec["variants"] = ["decay after the writ"]
    try:
        with pytest.raises(ConfigError, match="did you mean decay after the write"):
            conventions(exercise)
        exercise.spec["variants"] = [HALF]
        with pytest.raises(ConfigError, match="what varies is a recurrence"):
            conventions(exercise)
    finally:
        del exercise.spec["variants"]


def test_a_workspace_and_the_marks_have_the_same_conventions(tmp_path):
    """What a student learns at home is what is graded, and only theirs."""
    declared = conventions(COURSE["linear-2"])
    ada, bob = "ada", next(n for n in map(str, range(99)) if chosen(declared, "linear-2", n) == [READ])
    runner = CliRunner()
    assert runner.invoke(app, ["learn", "init", str(tmp_path / bob), "--variant", bob]).exit_code == 0
    stub = (tmp_path / bob / "linear_2.py").read_text()
    assert SAYS[READ] in stub and SAYS[LAST] not in stub
    assert "YOUR VARIANT" not in (tmp_path / bob / "memory_1.py").read_text()
    answer = f"{HEAD}def decayed_attention(q, k, v, g):\n    {LOOPS[READ,]}\n"
    (tmp_path / bob / "linear_2.py").write_text(answer)
    for more in ([], ["--plain"]):
        done = runner.invoke(app, ["learn", "run", "linear-2", "--workspace", str(tmp_path / bob), *more])
        assert done.exit_code == 0, done.output
    for verb in ("hint", "solution"):
        for name, said in (("linear-2", 1), ("memory-1", 0)):
            more = ["--give-up"] if (verb, name) == ("solution", "memory-1") else []
            done = runner.invoke(app, ["learn", verb, name, "--workspace", str(tmp_path / bob), *more])
            assert done.output.count(f"usual conventions; yours differ in: {READ}") == said, done.output
    (tmp_path / ada).mkdir()
    (tmp_path / ada / "linear_2.py").write_text(answer)  # copied
    plan = Plan(COURSE.folder, Assignment("Week 3", COURSE.version, {"linear-2": 1.0}, variants=True))
    found = {report.student: report for report in grade({n: tmp_path / n for n in (ada, bob)}, plan, tmp_path / "out")}
    assert found[bob].score == POINTS and found[ada].score < POINTS and found[ada].variant == ada


@pytest.mark.parametrize("rule", ["sum", "delta"])
@pytest.mark.parametrize(
    "changed", [some for n in range(5) for some in combinations((AFTER, READ, LAST, BETA), n)], ids=" and ".join
)
def test_the_definition_is_the_loop_that_the_words_say(rule, changed):
    """With a decay for every key, which does not commute with erasing."""
    T, K, V = 5, 3, 2
    rng = np.random.default_rng(0)
    q, k, g = rng.standard_normal((3, T, K))
    v, beta, first = rng.standard_normal((T, V)), rng.uniform(0, 2, T), rng.standard_normal((K, V))
    inputs = {"q": q, "k": k, "v": v, "beta": beta, "g": g, "S": first}
    o, states, last = oracle(inputs, {"rule": rule, "gives": ["o", "states", "S"]}, changed)
    S = first
    for t in reversed(range(T)) if LAST in changed else range(T):
        entered, fade, step = S, np.exp(g[t])[:, None], beta[t] / 2 if BETA in changed else beta[t]
        S = S if AFTER in changed else fade * S
        S = S + step * np.outer(k[t], v[t] - k[t] @ S if rule == "delta" else v[t])
        S = fade * S if AFTER in changed else S
        np.testing.assert_allclose(states[t], S)
        np.testing.assert_allclose(o[t], q[t] @ (entered if READ in changed else S))
    np.testing.assert_allclose(last, S)
