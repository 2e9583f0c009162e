"""Without a C++ compiler the simulator's tests have nothing to run on: they are skipped, and say so."""

from pathlib import Path

import pytest

from minilinear.errors import BackendError
from minilinear.gpu.sim.compile import find_compiler

WITHOUT = {"test_cuda", "test_device", "test_execute", "test_mirror", "test_nvrtc"}  # these simulate nothing


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies in this folder."""
    try:
        find_compiler()
    except BackendError as reason:
        skipped = pytest.mark.skip(reason=str(reason).partition("\n")[0])
        for item in items:
            if Path(__file__).parent in item.path.parents and item.path.stem not in WITHOUT:
                item.add_marker(skipped)
