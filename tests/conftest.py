"""What holds for every test: one thread, and the same examples on every run."""

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# BLAS reads these when NumPy is loaded, which the test modules do after this file (hypothesis alone does not).
# One thread each, because two pytest workers share two cores. A value set by hand stays: running the suite with other
# numbers is how one sees that results do not depend on them.
for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "MINILINEAR_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("MINILINEAR_FILL_OUTPUTS", "1")  # what a kernel leaves unwritten is NaN

# A busy machine is no reason to fail: no deadline, no complaint about slow examples.
settings.register_profile(
    "minilinear", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("minilinear")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # tests in the background: what they start shall hear Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def backend_as_it_was() -> Iterator[None]:
    """`use("numpy")` as a statement, in a docstring's example or by a command, holds for its test alone."""
    from minilinear.backend import _chosen  # here: what is set above is set before NumPy is loaded

    before = _chosen.get()
    yield
    _chosen.set(before)
