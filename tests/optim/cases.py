"""Parameters of every role, and gradients for them."""

import numpy as np

from minilinear.nn import Parameter

KINDS = (  # shape, and what Parameter is told
    ((6, 9), {"parts": (2, 4, 3)}),  # three maps in one matrix: tall all of them
    ((3, 8), {"parts": (5, 3)}),  # a wide one and a square one
    ((4, 4), {}),
    ((7, 4), {"role": "embedding"}),
    ((4, 7), {"role": "readout", "parts": (7,)}),
    ((2, 3, 4), {}),  # a stack; decays, role "vector"
    ((3, 4), {"decay": False}),  # taps of a convolution
    ((5,), {"decay": False}),
    ((), {}),
)


def draw(steps=12, *, seed=0, dtype=np.float64):
    """Parameters, and their gradients at every step."""
    rng = np.random.default_rng(seed)

    def normal(shape):
        return np.asarray(rng.standard_normal(shape), dtype)

    parameters = [Parameter(normal(shape), **options) for shape, options in KINDS]
    return parameters, [[normal(shape) for shape, _ in KINDS] for _ in range(steps)]


def again(parameters):
    """The same Parameters once more."""
    return [Parameter(p.data, decay=p.decay, role=p.role, parts=p.parts) for p in parameters]


def run(optimizer, gradients, **options):
    for gs in gradients:
        optimizer.step(gs, **options)
    return [p.data for p in optimizer.parameters]


def trajectory(optimizer, gradients):
    """The values of one Parameter after every step."""
    values = []
    for g in gradients:
        optimizer.step([g])
        values.append(optimizer.parameters[0].data)
    return np.array(values)
