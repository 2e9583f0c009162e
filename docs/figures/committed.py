"""Measurements that take too long for a page: JSON files in docs/data/ with their command, date and machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parents[1] / "data"


def committed(name: str) -> dict[str, Any]:
    """The document docs/data/NAME.json."""
    return json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))
