"""`minilinear play RUN`: type tokens, and the model says after each what it makes of them.

The state is stepped token by token, so a session may be as long as one likes. What is right is said by the task, where
it can say it; where the run has a baseline, both models answer.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ..autograd import no_grad
from ..errors import ConfigError, explain, nearest
from ..models import sample
from ..randomness import stream
from ..tasks import GroupWords, Parity, Recall, Task, Text
from ..tasks.groups import BOS
from ..training import Run, RunFolder
from .console import Backend, Plain, make_console, say
from .train import name_of

COMMANDS = ("show", "reset", "quit")
LISTED = 12  # so many tokens are named in a hint


class Unknown(ConfigError):
    """Something typed that is no token; the message is one line."""


def play(
    run: Annotated[Path, typer.Argument(help="The folder of a run whose task has tokens.")],
    seed: Annotated[int, typer.Option(help="Text: decides the draws.")] = 0,
    length: Annotated[int, typer.Option(min=1, help="Text: characters in an answer.")] = 80,
    backend: Backend = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document a line, one for each answer.")
    ] = False,
    plain: Plain = False,
) -> None:
    """Type tokens; the trained model answers after each. `show`, `reset`, `quit`.

    Words of a group: `(1 2)` or `1 2` or `swap 1 2` shuffles the cups. Parity:
    0 or 1. Recall: `k0=v3`, `k0?`, `RESET`. A text is continued.
    """
    console = make_console(False, plain)
    with ExitStack() as averaged:
        players = [Player(Run.resume(RunFolder.existing(run)), averaged)]
        task = players[0].run.task
        if task.features:
            raise ConfigError(
                explain(
                    "play is for tasks whose inputs are tokens.",
                    got=f"{task.name}, which reads rows of numbers",
                    fix=f"minilinear inspect {run}",
                )
            )
        if (run / "baseline" / "config.json").exists() and not isinstance(task, Text):
            players.append(Player(Run.resume(RunFolder.existing(run / "baseline")), averaged))
        session = Continuation(players[0], seed, length) if isinstance(task, Text) else Answers(players)
        if not as_json:
            say(console, session.greeting())
        for line in _lines():
            if line == "quit":
                break
            for answer in session.command(line) if line in COMMANDS else _answered(session, line):
                if as_json:
                    print(json.dumps(answer), flush=True)
                else:
                    say(console, session.said(answer))
                    console.file.flush()
        if not as_json:
            say(console, session.farewell())


def _lines() -> Iterator[str]:
    """What is typed, line by line, until Ctrl-D or the end of the pipe; empty lines are passed over."""
    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(errors="replace")
    while True:
        if sys.stdin.isatty():
            print("> ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            return
        if line.strip():
            yield line.rstrip("\r\n") if line.strip() not in COMMANDS else line.strip()


def _answered(session: Any, line: str) -> Iterator[dict[str, Any]]:
    try:
        yield from session.answers(line)
    except Unknown as reason:
        yield {"unknown": line, "hint": str(reason)}


# Tokens, as a person writes them.


class Spelling:
    """From what is typed to token ids.

    Args:
        task: whose tokens; its answers and BOS, which nobody types, are left out.
    """

    def __init__(self, task: Task):
        self.task = task
        last = len(task.vocabulary) - (task.values + 1 if isinstance(task, Recall) else 0)
        self.known = {name: i for i, name in enumerate(task.vocabulary[:last]) if name != BOS}
        self.permutations: dict[tuple[int, ...], int] = {}
        if isinstance(task, GroupWords):
            self.known |= {"e": task.group.identity} if "e" not in self.known else {}
            if (n := things(task)) is not None:
                self.permutations = {permutation(name, n): i for name, i in self.known.items()}
            for name, i in list(self.known.items()):
                if found := re.fullmatch(r"(s ?)?r\^(\d+)", name):  # of a polygon: r for r^1, s for s r^0, sr2, ...
                    s, k = (found[1] or "").strip(), found[2]
                    other = {f"{s}r^{k}", f"{s}r{k}", f"{s} r{k}".strip()}
                    other |= {f"{s}r", f"{s} r".strip()} if k == "1" else {s} if s and k == "0" else set()
                    self.known = dict.fromkeys(other, i) | self.known

    def ids(self, line: str) -> list[int]:
        """The token ids of a line.

        Raises:
            Unknown: something in it is no token.
        """
        if isinstance(self.task, Text):
            try:
                return [int(i) for i in self.task.encode(line)]
            except ConfigError as reason:
                raise Unknown(re.sub(r"\s*\n\s*", "; ", str(reason))[:160]) from None
        parts = [part.strip() for part in re.split("[,;]", line) if part.strip()]
        return [i for part in parts for i in (self._shuffles(part) if self.permutations else self._words(part))]

    def _shuffles(self, part: str) -> list[int]:
        """`(1 2)(3 4) (1 3)`: two tokens; `1 2` and `swap 1 2`: one."""
        part = re.sub(r"^(swap|shuffle)\s+", "", part, flags=re.IGNORECASE)
        if re.fullmatch(r"\d+(\s+\d+)+", part):
            part = f"({part})"
        found = []
        for piece in re.findall(r"(?:\([^()]*\))+|[^\s()]+|[()]", part):
            p = permutation(piece, things(self.task) or 0)
            if p not in self.permutations:
                raise Unknown(self._hint(piece))
            found.append(self.permutations[p])
        return found

    def _words(self, part: str) -> list[int]:
        """The longest token first: "s r^1" is one; what has no blanks may be a row of short ones, 0110 or 3+4=."""
        words, found, i = part.split(), [], 0
        while i < len(words):
            for j in range(len(words), i, -1):
                id = self._one(" ".join(words[i:j]))
                if id is not None:
                    found.append(id)
                    i = j
                    break
            else:
                letters = [self._one(letter) for letter in words[i]]
                if None in letters:
                    raise Unknown(self._hint(words[i]))
                found += [id for id in letters if id is not None]
                i += 1
        return found

    def _one(self, word: str) -> int | None:
        lower = {name.lower(): id for name, id in self.known.items()} if word not in self.known else {}
        return self.known.get(word, lower.get(word.lower()))

    def _hint(self, word: str) -> str:
        names = [*self.known, *COMMANDS]
        near = nearest(word, names)
        if not near.startswith("did you mean"):
            shown = list(self.known)[:LISTED]
            near = f"a token is {', '.join(shown)}" + (", ..." if len(self.known) > LISTED else "")
        return f"{word!r} is no token here; {near}"


def things(task: Task) -> int | None:
    """How many things the group's elements move, n of s_n and a_n; None for other groups and tasks."""
    found = re.fullmatch("[sa]([0-9]+)", task.name) if isinstance(task, GroupWords) else None
    return int(found[1]) if found else None


def permutation(cycles: str, n: int) -> tuple[int, ...]:
    """Where "(1 2)(2 3)" takes each of n things, one cycle after the other, counting from 0; () for what is none.

    >>> permutation("(1 2)(2 3)", 3)
    (2, 0, 1)
    """
    if cycles != "e" and not re.fullmatch(r"(\(\s*\d+(\s+\d+)+\s*\))+", cycles):
        return ()
    p = list(range(n))
    for cycle in re.findall(r"\(([^()]*)\)", cycles):
        moved = [int(number) - 1 for number in cycle.split()]
        if len(set(moved)) < len(moved) or not all(0 <= i < n for i in moved):
            return ()
        takes = dict(zip(moved, moved[1:] + moved[:1]))
        p = [takes.get(i, i) for i in p]
    return tuple(p)


# Who plays.


class Player:
    """A model and its state, one token after another.

    Args:
        run: a trained run.
        averaged: where the averaged weights are put in place, if the run has them: evaluation is of these.
    """

    def __init__(self, run: Run, averaged: ExitStack):
        self.run, self.name, self.model = run, name_of(run), run.model
        if run.average is not None:
            averaged.enter_context(run.average.applied())
        self.model.eval()
        self.right = 0
        self.reset()

    def reset(self) -> None:
        """Forget everything; BOS is read, where the task begins with it."""
        self.state = self.model.initial_state(1)
        if BOS in self.run.task.vocabulary:
            self.read(self.run.task.vocabulary.index(BOS))

    def read(self, token: int) -> np.ndarray:
        """The scores (vocabulary) after one more token."""
        with no_grad():
            scores, self.state = self.model.step(np.array([token]), self.state)
        return scores.numpy()[0]


class Referee:
    """What is right after each token, in a time that does not grow, where the task's past can be shortened.

    Args:
        task: it is asked for `answers`, a group for its product; another task says nothing.
    """

    def __init__(self, task: Task):
        self.task = task
        self.answers: Callable[[np.ndarray], np.ndarray] | None = getattr(task, "answers", None)
        self.reset()

    def reset(self) -> None:
        """Back to the beginning."""
        self.past: list[int] = []
        self.product = self.task.group.identity if isinstance(self.task, GroupWords) else 0

    def after(self, token: int) -> int | None:
        """The right answer after one more token, or None where there is none."""
        if isinstance(self.task, GroupWords):
            self.product = int(self.task.group.table[self.product, token])
            return self.product
        if self.answers is None:
            return None
        right = int(self.answers(np.array([[*self.past, token]]))[0, -1])
        self.past = self._shortened([*self.past, token], right)
        return right if right >= 0 else None

    def _shortened(self, past: list[int], right: int) -> list[int]:
        """A past with the same answers to everything that may follow."""
        if isinstance(self.task, Parity):
            return [right]
        if isinstance(self.task, Recall):  # the last write to each key, since the last reset
            *before, last = past
            if self.task.vocabulary[last] == "RESET":
                return []
            if last >= self.task.keys * self.task.values:  # a question
                return before
            values = self.task.values
            return [write for write in before if write // values != last // values] + [last]
        return past


class Answers:
    """A session in which every token has an answer.

    Args:
        players: the model, and its baseline where there is one; both are of one task.
    """

    def __init__(self, players: Sequence[Player]):
        self.players, self.task = players, players[0].run.task
        self.spelling, self.referee = Spelling(self.task), Referee(self.task)
        self.tokens = self.asked = 0

    def greeting(self) -> str:
        """What is played, and how."""
        names = [name for name in self.task.vocabulary if name in self.spelling.known]
        tokens = ", ".join(names[:LISTED]) + (", ..." if len(names) > LISTED else "")
        lines = [f"{self.task.name}, {' and '.join(player.name for player in self.players)}. Tokens: {tokens}"]
        if self.spelling.permutations:
            lines.append("The ball is under cup 1. swap 1 2, or (1 2), or 1 2 exchanges what stands at two places.")
        if self.players[0].run.step == 0:
            lines.append("This model has not been trained: there is no checkpoint yet.")
        return "\n".join([*lines, "show says how things stand, reset begins again, quit or Ctrl-D ends."])

    def answers(self, line: str) -> Iterator[dict[str, Any]]:
        """One after each token of a line; nothing is read of a line that has an unknown one."""
        for token in self.spelling.ids(line):
            self.tokens += 1
            right = self.referee.after(token)
            self.asked += right is not None
            found: dict[str, Any] = {"n": self.tokens, "token": self.task.vocabulary[token]}
            found["right"] = None if right is None else self.task.vocabulary[right]
            found["answers"] = {}
            for player in self.players:
                scores = player.read(token).astype(np.float64)
                best, p = int(scores.argmax()), np.exp(scores - scores.max())
                player.right += best == right
                answer = {"answer": self.task.vocabulary[best], "probability": round(float(p[best] / p.sum()), 4)}
                found["answers"][player.name] = answer | ({} if right is None else {"correct": best == right})
            yield found

    def command(self, line: str) -> Iterator[dict[str, Any]]:
        """`show` and `reset`."""
        if line == "reset":
            self.referee.reset()
            self.tokens = self.asked = 0
            for player in self.players:
                player.right = 0
                player.reset()
        yield {"command": line, "tokens": self.tokens, "asked": self.asked, "chance": self.task.chance} | {
            "right": {player.name: player.right for player in self.players}
        }

    def said(self, answer: dict[str, Any]) -> str:
        """An answer as a person reads it."""
        if "hint" in answer:
            return f"? {answer['hint']}"
        if "command" in answer:
            if answer["command"] == "reset":
                return "everything is forgotten: a new beginning"
            return "\n".join([*self._cups(self._arrangement()), self._score()])
        lines = [f"{answer['n']:>4}. {answer['token']}"]
        lines += self._cups(answer["right"])
        if answer["right"] is not None and not self.spelling.permutations:
            lines[0] += f"   right: {answer['right']}"
        for name, given in answer["answers"].items():
            verdict = {True: ": right", False: ": wrong", None: ""}[given.get("correct")]
            lines.append(f"      {name:<14} {self._read(given['answer'])}, {given['probability']:.0%} sure{verdict}")
        return "\n".join(lines)

    def farewell(self) -> str:
        """How often each model was right."""
        return self._score()

    def _score(self) -> str:
        if not self.asked:
            return f"{self.tokens} tokens, none of them with an answer to score"
        scores = ", ".join(f"{player.name} {player.right} of {self.asked}" for player in self.players)
        return f"right: {scores}; guessing is right at {self.task.chance:.0%}"

    def _arrangement(self) -> str | None:
        return self.task.vocabulary[self.referee.product] if self.spelling.permutations else None

    def _read(self, label: str) -> str:
        n = things(self.task)
        p = permutation(label, n) if n else ()
        return f"ball at place {p[0] + 1}, all cups {label}" if p else label

    def _cups(self, label: str | None) -> list[str]:
        """Each cup at its place, with the number of the place where it began, and the ball of cup 1."""
        n = things(self.task)
        if n is None or label is None:
            return []
        p = permutation(label, n)
        cups = "  ".join(f"/{p.index(place) + 1}\\" for place in range(n))
        return [f"      {'cups':<14} {cups}    {label}", f"      {'':<14} {' ' * (5 * p[0] + 1)}o"]


class Continuation:
    """A session in which a text is continued.

    Args:
        player: the model.
        seed: of the draws.
        length: characters in an answer.
    """

    def __init__(self, player: Player, seed: int, length: int):
        self.player, self.task, self.length = player, player.run.task, length
        self.spelling, self.rng = Spelling(self.task), stream(seed, "play")
        self.characters = 0

    def greeting(self) -> str:
        """What is played, and how."""
        return "Begin a text; the model continues it. show, reset, quit or Ctrl-D."

    def answers(self, line: str) -> Iterator[dict[str, Any]]:
        """What the model writes after the line; it reads its own writing, too."""
        ids, text = self.spelling.ids(line), []
        for token in ids:
            scores = self.player.read(token)
        for _ in range(self.length):
            text.append(sample(scores, self.rng, 0.8))
            scores = self.player.read(text[-1])
        self.characters += len(ids) + len(text)
        yield {"text": line, "answer": self.task.decode(text)}  # type: ignore[attr-defined]  # it is a Text

    def command(self, line: str) -> Iterator[dict[str, Any]]:
        """`show` and `reset`."""
        if line == "reset":
            self.player.reset()
            self.characters = 0
        yield {"command": line, "characters": self.characters}

    def said(self, answer: dict[str, Any]) -> str:
        """An answer as a person reads it."""
        if "hint" in answer:
            return f"? {answer['hint']}"
        if "command" in answer:
            return f"{answer['characters']} characters read and written since the beginning"
        return answer["text"] + answer["answer"]

    def farewell(self) -> str:
        """How much was read and written."""
        return f"{self.characters} characters read and written"
