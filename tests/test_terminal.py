"""One translation of Unicode into ASCII: words for signs, runs of small letters as one, columns kept."""

from collections.abc import Iterator
from typing import Any

import pytest

from minilinear.learn import Course
from minilinear.terminal import speakable, spoken


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2³⁰ paths, 10⁻⁶", "2^30 paths, 10^-6"),
        ("Sₜ₋₁ + kₜvₜ", "S_{t-1} + k_t v_t"),
        ("kᵀv, (I + A)⁻¹, eˣ, xᵢ²", "k^T v, (I + A)^-1, e^x, x_i^2"),
        ("q · k / √K, 2√x, √½, √(1/D)", "q * k / sqrt(K), 2 sqrt(x), sqrt(1/2), sqrt(1/D)"),
        ("∂L/∂y ⟹ f′(x)", "dL/dy => f'(x)"),
        ("ḡ(p) = Σⱼ x̂[j]", "g_bar(p) = sum_j x_hat[j]"),
        ("βk, β_t, 1½", "beta k, beta_t, 1 1/2"),
        ("⌈N/4⌉ − 1 ≠ 0", "ceil(N/4) - 1 != 0"),
        ("naïve €", r"naive \u20ac"),
        ("x^2 * y", "x^2 * y"),
    ],
)
def test_what_is_said(text, words):
    assert spoken(text) == words


def test_columns_stay_where_they_are():
    lines = spoken("  S' = k vᵀ      | here\n  β, γ           | here\n  plain          | here").split("\n")
    assert {line.index("|") for line in lines} == {17}


def test_a_stream_that_carries_the_text_is_given_the_text():
    assert speakable("βᵀ", "utf-8") == "βᵀ" and speakable("βᵀ", "ascii") == speakable("βᵀ", None) == "beta^T"


def strings(value: Any) -> Iterator[str]:
    """Every text in tables and lists, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from strings(inner)


def test_every_text_of_the_course_has_words_in_ascii():
    course = Course()
    texts = [("course", course.title), *(("course", text) for text in strings([course.tracks, course.doors]))]
    for name, exercise in course.exercises.items():
        own = [exercise.statement, exercise.source, exercise.harness, exercise.implementations, exercise.stub()]
        texts += [(name, text) for text in [*own, *strings(exercise.spec)]]
    assert len(texts) > 1000
    for name, text in texts:
        said = spoken(text)
        assert said.isascii() and said.count("\\") == text.count("\\"), (name, said)
