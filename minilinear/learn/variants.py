"""One exercise, other conventions for every student: an answer that was copied is wrong.

An exercise that can be varied names conventions in `variants` and says what recurrence it is:

    variants = ["decay after the write", "read before the write"]
    [recurrence]
    rule = "sum"                the write adds; "delta": it erases first
    gives = ["o", "S"]          what is returned: outputs, the last state, the "states" after each token, the "loss"

A student has one or more of them, chosen by a hash of the student and the exercise. Statement, worked example and
reference change together, because all come from one place: whatever the conventions, a step is S_t = A_t S_{t-1} + B_t,
and `affine_scan` runs that. Inputs are known by their names: q, k, v, beta, a (decay) or g (its logarithm), S (the
first state).
"""

from __future__ import annotations

import copy
import hashlib
import textwrap
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ..errors import ConfigError, explain, nearest
from ..recurrence import affine_scan
from .exercise import Exercise
from .laws import LAWS

AFTER, READ, LAST, HALF, BETA, TURNED = CONVENTIONS = (
    "decay after the write",
    "read before the write",
    "from the last token",
    "write / 2",
    "beta / 2",
    "(V, K) state",
)
SAYS = {
    AFTER: "The decay comes after the write: a token's own pair decays at once.",
    READ: "Each query reads before its own token is written.",
    LAST: "The tokens are taken from the last to the first.",
    HALF: "Only half of what the text writes is written.",
    BETA: "Where the text says beta, take beta / 2.",
    TURNED: "States, given and returned, are (V, K): the S below turned round.",
}
PLAIN = "This is the answer to the usual exercise. Yours has other conventions: they stand at the end of the statement."


def vary(exercise: Exercise, student: str) -> Exercise:
    """The exercise with a student's conventions; one that cannot be varied as it is."""
    declared = conventions(exercise)
    return Variant(exercise, chosen(declared, exercise.id, student)) if declared else exercise


def conventions(exercise: Exercise) -> list[str]:
    """What an exercise lets vary.

    Raises:
        ConfigError: it names a convention that there is not, or one that changes nothing in it.
    """
    declared: list[str] = exercise.spec.get("variants", [])
    for name in declared:
        if name not in CONVENTIONS:
            fix = nearest(name, CONVENTIONS)
            raise ConfigError(explain(f"{exercise.id}: a variant is one of {CONVENTIONS}", got=name, fix=fix))
    if declared and "recurrence" not in exercise.spec:
        raise ConfigError(explain(f"{exercise.id}: what varies is a recurrence", fix='[recurrence] rule = "sum"'))
    return declared


def chosen(declared: Sequence[str], exercise: str, student: str) -> list[str]:
    """A student's own choice, one convention at least; the same one every time."""
    drawn = hashlib.sha256(f"{student}\n{exercise}".encode()).digest()
    number = 1 + int.from_bytes(drawn[:8]) % (2 ** len(declared) - 1)
    return [name for i, name in enumerate(declared) if number >> i & 1]


def unlike_reference(exercise: Exercise) -> Iterator[str]:
    """What the course check says of an exercise whose recurrence, without a change, is not its reference."""
    same = Variant(exercise, [])
    for seed in range(5):
        args = exercise.inputs.draw(exercise.inputs.sizes("random", seed=seed), seed)
        pairs = zip(same.reference(*args), exercise.reference(*args))
        if any(mine.shape != other.shape or not np.allclose(mine, other) for mine, other in pairs):
            yield f"[recurrence], from which variants are computed, is not what the reference computes (seed {seed})"
            return


class Variant(Exercise):
    """An exercise under other conventions.

    Args:
        plain: the exercise.
        changed: the conventions; none: the exercise as it was, but computed from the recurrence.
    """

    def __init__(self, plain: Exercise, changed: Sequence[str]) -> None:
        super().__init__(plain.folder, plain.earlier)
        self.plain, self.changed = plain, list(changed)
        self.spec = spec = copy.deepcopy(plain.spec)
        if TURNED in changed and "S" in spec["inputs"]:
            spec["inputs"]["S"]["axes"] = "V K"
            self.inputs.specs = spec["inputs"]
        if not changed:
            return
        example = spec["example"]
        args = [self.inputs.typed(name, value) for name, value in example["inputs"].items()]
        if TURNED in changed:
            args = [a.T if name == "S" else a for name, a in zip(example["inputs"], args)]
        example["inputs"] = {name: a.tolist() for name, a in zip(example["inputs"], args)}
        ordered = [np.array(example["inputs"][name]) for name in self.inputs.names]
        example["expects"] = [result.tolist() for result in self.reference(*ordered)]
        for stage in "example", "value":
            spec[stage]["message"] = "Your conventions stand at the end of the statement, with an example."
        self._laws()
        self.equation_text = ""
        self.statement += "\n\n" + self.story

    def _laws(self) -> None:
        """Keep the laws that every convention obeys. Others' points go to the values."""
        kept = []
        for law in self.spec.get("law", []):
            if f"law_{law['name']}" in LAWS and not (law["name"] == "causal" and LAST in self.changed):
                kept.append(law)
            else:
                self.spec["value"]["points"] += law["points"]
        self.spec["law"] = kept

    @cached_property
    def reference(self) -> Callable[..., tuple]:
        """What the conventions give, by the definition."""
        return lambda *args: oracle(dict(zip(self.inputs.names, args)), self.spec["recurrence"], self.changed)

    @cached_property
    def mistakes(self) -> list[tuple[dict[str, Any], Callable[..., tuple]]]:
        """The one mistake to expect."""
        return [({"name": "the usual conventions", "says": PLAIN}, self.plain.reference)]

    @property
    def story(self) -> str:
        """What the statement says more."""
        names, one = self.inputs.names, self.inputs.letters("k") == ["K"]
        lines = ["YOUR VARIANT. It was drawn for you; where the text above says otherwise, this holds:", ""]
        lines += [f"    {i}. {SAYS[name]}" for i, name in enumerate(self.changed, 1)]
        if not one:
            lines += ["", "With S before a token and S' after it:"]
        steps = equations(names, self.spec["recurrence"], self.changed)
        lines += ["", *(f"    {line.replace('_t', '') if one else line}" for line in steps)]
        example = self.spec["example"]
        shown = ", ".join(f"{name} = {_short(example['inputs'][name])}" for name in names)
        wanted = " and ".join(_short(value) for value in example["expects"])
        return "\n".join([*lines, "", *textwrap.wrap(f"For {shown} the result is {wanted}.", 88)])


def _short(value: Any) -> str:
    """Numbers as a person writes them."""
    return f"[{', '.join(_short(each) for each in value)}]" if isinstance(value, list) else f"{value:.6g}"


def equations(names: Sequence[str], recurrence: dict[str, Any], changed: Sequence[str]) -> list[str]:
    """The recurrence under these conventions: S is the state before token t, S' the one after it."""
    decay = "exp(g_t) " if "g" in names else "a_t " if "a" in names else ""
    before = f"{decay}S" if AFTER not in changed else "S"
    scale = " / 2" if BETA in changed or HALF in changed else ""
    beta = f"(β_t{scale}) " if "beta" in names and scale else "β_t " if "beta" in names else "½ " if scale else ""
    old = f"({before})" if " " in before else before
    write = f"{beta}k_t v_tᵀ" if recurrence["rule"] == "sum" else f"{beta}k_t (v_t - {old}ᵀ k_t)ᵀ"
    after = decay.strip() if AFTER in changed else ""
    lines = [f"S' = {after} ({before} + {write})" if after else f"S' = {before} + {write}"]
    if "q" in names:
        lines.append(f"o_t = {'Sᵀ' if READ in changed else chr(83) + chr(39) + 'ᵀ'} q_t")
    if LAST in changed:
        lines.append("t = T-1, T-2, ..., 0")
    return lines


def oracle(inputs: dict[str, np.ndarray], recurrence: dict[str, Any], changed: Sequence[str]) -> tuple:
    """The results by the definition S_t = A_t S_{t-1} + B_t.

    Args:
        inputs: by name; q, k (T, K) or one token's (K,), v, beta, a or g, S.
        recurrence: rule and gives, as the exercise has them.
        changed: the conventions.

    Returns:
        What `gives` names, in that order and in the precision of the inputs.
    """
    kind = np.result_type(*(a.dtype for a in inputs.values() if a.ndim and a.dtype.kind == "f"))
    given = {name: np.asarray(a, np.float64) for name, a in inputs.items()}
    single = given["k"].ndim == 1
    k, v = (np.atleast_2d(given[name]) for name in "kv")  # (T, K), (T, V)
    (T, K), V = k.shape, v.shape[1]
    beta = np.broadcast_to(given.get("beta", np.ones(1)), T) / (2 if BETA in changed or HALF in changed else 1)
    a = np.exp(given["g"]) if "g" in given else given.get("a", np.ones(1))
    a = np.broadcast_to(a if a.ndim == 2 else np.reshape(a, (-1, 1)), (T, K))  # one decay for all keys, or one each
    S = given.get("S", np.zeros((K, V)))
    first = S.T if TURNED in changed and "S" in given else S
    decay, write = a[:, :, None] * np.eye(K), beta[:, None, None] * k[:, :, None]  # (T, K, K), (T, K, 1)
    keep = np.eye(K) - write * k[:, None] if recurrence["rule"] == "delta" else np.eye(K)
    A = decay @ keep if AFTER in changed else keep @ decay  # (T, K, K)
    B = write * v[:, None]  # (T, K, V)
    B = decay @ B if AFTER in changed else B
    order = slice(None, None, -1) if LAST in changed else slice(None)
    states = affine_scan(A[None, order, None], B[None, order, None], first[None, None])[0, :, 0]  # (T, K, V)
    entered = np.concatenate([first[None], states])[:T]
    results = {"S": states[-1] if T else first, "states": states[order]}
    results["loss"] = 0.5 * np.sum((k[0] @ first - v[0]) ** 2) if single else np.zeros(())
    if "q" in given:
        q = np.atleast_2d(given["q"])[order]
        o = np.einsum("tk,tkv->tv", q, entered if READ in changed else states)[order]
        results["o"] = o[0] if given["q"].ndim == 1 else o
    if TURNED in changed:
        results["S"], results["states"] = results["S"].T, np.swapaxes(results["states"], 1, 2)
    return tuple(np.array(results[name], kind) for name in recurrence["gives"])
