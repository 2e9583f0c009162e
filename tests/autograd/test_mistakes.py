"""Sixty planted mistakes and more: each is refused, in words that say what to do."""

import pytest

from tests.autograd.mistakes import MISTAKES, SURPRISES, message, value

ALL = [(group, name) for group, mistakes in MISTAKES.items() for name in mistakes]


@pytest.mark.parametrize(("group", "name"), ALL)
def test_a_mistake_is_refused_in_words_that_help(group, name):
    mistake = MISTAKES[group][name]
    error, said = message(mistake)
    assert isinstance(error, mistake.kind)
    missing = [words for words in mistake.words if words not in said]
    assert not missing, said
    if not mistake.numpys:
        rule, *rest = said.split("\n  ")
        assert rule.endswith(".") and len(rest) in (1, 2)
        assert [line.split(": ")[0] for line in rest] in (["fix"], ["got", "fix"], ["got"])


def test_there_are_sixty_and_few_of_them_are_left_to_numpy():
    assert len(ALL) >= 60
    assert sum(MISTAKES[group][name].numpys for group, name in ALL) <= 8


@pytest.mark.parametrize("name", SURPRISES)
def test_what_surprises_is_so(name):
    code, want = SURPRISES[name]
    assert value(code) == want
