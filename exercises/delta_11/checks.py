import numpy as np

from minilinear.recurrence import delta_rule
from minilinear.tasks import Parity


def library(bits):
    """Parity's own answers; and that the library's delta rule gives them from k = v = 1, beta = 2 bit."""
    ones = np.ones((1, len(bits), 1, 1))
    o, _ = delta_rule(0.5 * ones, ones, ones, beta=2.0 * bits[None, :, None], scale=1.0)
    assert np.array_equal(o[0, :, 0, 0], Parity().answers(bits[None])[0])
    return o[0, :, 0, 0], np.array([1.0, -1.0])


def law_forever(yours, args, **_):
    """A thousand ones after the word: still 0 and 1 in turn."""
    (bits,) = args
    word = np.append(bits, np.ones(1000, int))
    outputs, _ = yours([word])
    return np.allclose(outputs, np.cumsum(word) % 2, atol=1e-6)
