"""Copies are alike whatever was renamed; two people's own work is not."""

import itertools

from minilinear.learn.similarity import compare_class, fingerprints

STUB = '''import numpy as np


def attend(q, k, v):
    """The loop."""
    raise NotImplementedError("memory-3: your code here")
'''
ADA = '''import numpy as np


def attend(q, k, v):
    """The loop."""
    S = np.zeros((k.shape[1], v.shape[1]))
    out = np.empty((len(q), v.shape[1]))
    for t in range(len(q)):
        S = S + np.outer(k[t], v[t])
        out[t] = q[t] @ S + 1.0
    return out
'''
COPY = '''import numpy


def attend(q, k, v):
    """All of this is mine."""
    "and this"
    memory = numpy.zeros((k.shape[1], v.shape[1]))  # a memory
    result = numpy.empty((len(q), v.shape[1]))
    for step in range(len(q)):
        memory = numpy.outer(k[step], v[step]) + memory
        result[step] = 1.5 + q[step] @ memory
    return result
'''
BOB = """import numpy as np


def attend(q, k, v):
    state, rows = 0.0, []
    for query, key, value in zip(q, k, v):
        state = state + key[:, None] * value[None, :]
        rows.append(state.T @ query)
    return np.stack(rows)
"""
CLEO = """import numpy as np


def attend(q, k, v):
    o = np.zeros_like(v)
    for i in range(len(q)):
        for j in range(i + 1):
            o[i] += np.dot(q[i], k[j]) * v[j]
    return o
"""


def alike(**sources):
    pairs = compare_class({name: {"memory-3": text} for name, text in sources.items()}, {"memory-3": STUB})
    return {(pair.one, pair.other): pair.alike for pair in pairs}


def test_a_renamed_copy_is_the_same_and_own_work_is_not():
    found = alike(ada=ADA, copy=COPY, bob=BOB, cleo=CLEO)
    assert found.pop(("ada", "copy")) == 1.0
    assert len(found) == 5 and max(found.values()) < 0.2
    for one, other in itertools.combinations([ADA, BOB, CLEO], 2):
        assert alike(one=one, other=other)["one", "other"] < 0.2


def test_a_copy_with_a_line_more_is_still_seen():
    longer = COPY.replace("    return result", "    result = result.astype(v.dtype)\n    return result")
    found = alike(ada=ADA, copy=longer, bob=BOB, cleo=CLEO)
    assert 0.5 < found["ada", "copy"] < 1 and found["ada", "copy"] == max(found.values())


def test_what_computes_something_else_is_not_the_same():
    for old, new in [("np.outer(k[t], v[t])", "np.inner(k[t], v[t])"), ("S + np", "S - np"), ("q[t] @ S", "S @ q[t]")]:
        assert old in ADA and alike(ada=ADA, other=ADA.replace(old, new))["ada", "other"] < 1


def test_what_the_stub_gives_counts_for_nobody():
    given = STUB.replace(
        '    raise NotImplementedError("memory-3: your code here")', ADA.partition('"""The loop."""\n')[2].rstrip()
    )
    theirs = given.rstrip() + "\n\n\ndef more(x):\n    return {}\n"
    files = {"ada": {"a": theirs.format("x + np.sin(x)")}, "bob": {"a": theirs.format("[each for each in x if each]")}}
    (pair,) = compare_class(files, {"a": given})
    assert pair.alike < 0.2
    (pair,) = compare_class(files, {"a": ""})
    assert pair.alike > 0.5


def test_only_what_both_handed_in_is_compared():
    files = {"ada": {"a": ADA, "b": BOB}, "bob": {"a": COPY}, "cleo": {"b": CLEO}, "none": {}, "bad": {"a": "def ("}}
    pairs = {(pair.one, pair.other): pair for pair in compare_class(files, {})}
    assert set(pairs) == {("ada", "bob"), ("ada", "cleo")}
    assert pairs["ada", "bob"].exercises.keys() == {"a"} and pairs["ada", "cleo"].exercises.keys() == {"b"}


def test_hostile_files_have_no_fingerprints():
    for text in ("def (", "\x00", "(" * 500 + ")" * 500, "-" * 100_000 + "1", "é" * 10):
        fingerprints(text)
    assert not fingerprints("def (")
