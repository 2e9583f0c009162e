"""A stream is a pure function of (seed, name, step)."""

import os
import subprocess
import sys

import numpy as np
import pytest

from minilinear.errors import ConfigError
from minilinear.randomness import stream


def bits(*arguments) -> list[int]:
    return stream(*arguments).bit_generator.random_raw(4).tolist()


def test_the_bits_are_these_on_every_machine():
    assert bits(0, "batch", 7)[:2] == [15350060178589224302, 2306923490933385170]
    assert stream(0, "batch", 7).integers(100, size=4).tolist() == [50, 83, 25, 12]


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_another_process_draws_the_same(hash_seed):
    code = "from minilinear.randomness import stream; print(*stream(3, 'weights', 2).integers(10**9, size=5))"
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    drawn = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True, env=environment)
    assert drawn.stdout.split() == [str(n) for n in stream(3, "weights", 2).integers(10**9, size=5)]


def test_each_argument_changes_everything():
    # with some that run together if they are only written one after another, or cut to 32 bits
    arguments = [
        (seed, name, step)
        for seed in (0, 1, 12, -1, 2**32, 2**70)
        for name in ("a", "b", "2 a", "")
        for step in (0, 1, 2)
    ]
    first = {bits(*each)[0] for each in arguments}
    assert len(first) == len(arguments)


def test_two_streams_are_unrelated():
    x, y = stream(0, "a").standard_normal(100_000), stream(0, "a", 1).standard_normal(100_000)
    assert abs(np.corrcoef(x, y)[0, 1]) < 0.02


def test_numpy_integers_count_as_integers():
    assert bits(np.int64(3), "a", np.uint8(2)) == bits(3, "a", 2)


@pytest.mark.parametrize(("arguments", "what"), [((0.5, "a"), "seed"), (("0", "a"), "seed"), ((0, "a", None), "step")])
def test_what_is_no_whole_number_is_refused(arguments, what):
    with pytest.raises(ConfigError, match=rf"A {what} is a whole number"):
        stream(*arguments)
