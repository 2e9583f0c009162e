"""Section `machine`: what it ran on, with which software, and what code it was."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .places import Processor, command
from .record import Item

PACKAGES = ("minilinear", "numpy", "scipy", "ml_dtypes", "torch", "triton", "flash-linear-attention")


def code() -> dict[str, Any]:
    """The commit, and the digest of what differs from it, "" if nothing does; None where this is no clone."""
    folder = str(Path(__file__).parents[3])
    commit = command("git", "-C", folder, "rev-parse", "HEAD")
    changed = command("git", "-C", folder, "diff", "HEAD")
    digest = None if changed is None else hashlib.sha256(changed.encode()).hexdigest()[:16] if changed else ""
    return {"commit": commit, "changed": digest}


def items(place: Processor) -> Iterator[Item]:
    yield "device", place.describe
    yield "software", lambda: {**place.software(), "python": sys.version.split()[0], **_installed()}
    yield "run", lambda: {"command": sys.argv, "utc": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}", **_system()}


def _installed() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def _system() -> dict[str, str]:
    return {"system": platform.platform()}
