"""Wrong commands and calls get a message that says what is right, and never a traceback."""

import pytest

from .wrong_calls import CALLS, COMMANDS, called, folder, in_words, typed


@pytest.fixture(scope="module")
def somewhere():
    with folder() as path:
        yield path


def test_there_are_a_hundred():
    assert len(COMMANDS) + len(CALLS) >= 100


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_command_says_what_is_right(command, somewhere):
    code, said = typed(command)
    assert code in (2, 3), said
    assert COMMANDS[command] in " ".join(in_words(said).split()), said
    assert "Traceback" not in said


@pytest.mark.parametrize("code", CALLS)
def test_a_wrong_call_says_what_is_right(code, somewhere):
    kind, said = called(code)
    assert kind, "it was answered"
    assert CALLS[code] in said, said
