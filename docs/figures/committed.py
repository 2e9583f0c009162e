"""Measurements that take too long for a page: JSON files in docs/data/ with their command, date and machine."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any


def committed(name: str) -> dict[str, Any]:
    """The document docs/data/NAME.json."""
    return json.loads(files("minilinear.data").joinpath(f"{name}.json").read_text(encoding="utf-8"))
