"""Random numbers without a generator to save: every draw is a pure function of (seed, stream name, step).

    generator = Philox with the key  SHA-256("seed step name") mod 2^128

Philox is a block cipher used as a generator (the n-th block of numbers is n, encrypted with the key), so two different
keys give two unrelated streams. A hash makes the key: any change of seed, name or step changes all of it, and unlike
Python's hash() it is the same in every process and on every machine. Training draws batch number `step` from
`stream(seed, "batch", step)`: a run that resumes at step 700 needs the number 700 and nothing else.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
"""

from __future__ import annotations

import hashlib
import operator

import numpy as np

from .errors import ConfigError, explain


def stream(seed: int, name: str, step: int = 0) -> np.random.Generator:
    """The generator that belongs to (seed, name, step), always at its beginning.

    Args:
        seed: any whole number; the run's.
        name: what the numbers are for, e.g. "weights", "batch", "dropout". Different names never share numbers.
        step: any whole number; the training step, or whatever else is counted.

    Returns:
        A NumPy generator. Its random bits, `integers` and `random` are the same on every platform; `normal` and the
        like pass through the platform's logarithm, and NumPy may improve them between versions.

    Raises:
        ConfigError: a seed or step that is not a whole number.

    Cost: about 10 microseconds.

    >>> stream(0, "batch", 7).integers(100, size=4)
    array([50, 83, 25, 12])
    """
    counts = f"{_whole('seed', seed)} {_whole('step', step)}"
    key = hashlib.sha256(f"{counts} {name}".encode()).digest()[:16]
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))


def _whole(what: str, value: int) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise ConfigError(
            explain(f"A {what} is a whole number.", got=repr(value), fix=f"{what}=0, or int(...)")
        ) from None
