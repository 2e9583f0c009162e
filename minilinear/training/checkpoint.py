"""The state of a run in one file that can prove it is whole.

A checkpoint is a safetensors file: a JSON header with the names, dtypes and shapes, then the bytes, and no code, so a
file from elsewhere can do no harm (pickle's can). But safetensors does not notice a flipped bit in those bytes: the
weights come back as others. So the header carries

    digest = SHA-256( for each name in order: name, dtype, shape, bytes;  metadata )

which is computed again on loading. The file is replaced as a whole (see `atomic_write`), and the one before it is kept
as checkpoint.prev.safetensors: a machine that damages the newest file does not cost the run.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from .. import backend
from ..errors import ConfigError, RunError, explain
from .atomic import atomic_write, cannot


def save_checkpoint(path: Path, arrays: dict[str, Any], metadata: dict[str, Any]) -> None:
    """Replace the checkpoint at `path`; the one that was there becomes <stem>.prev.safetensors.

    Args:
        path: e.g. folder.checkpoint.
        arrays: wherever they live; any shapes, also 0-d and empty; bool, integers, or floats of 16, 32 or 64 bits.
        metadata: anything that comes back from JSON as it was: strings, finite numbers, lists, dicts with string keys.

    Raises:
        ConfigError: an array or metadata that the file cannot hold. RunError: it cannot be written; then the old
            checkpoint is as it was.

    Cost: the file is written twice, since the previous one is copied: at every moment `path` itself is a whole file.
    """
    arrays = {name: _storable(name, array) for name, array in arrays.items()}
    text = _text(metadata)
    data = save(arrays, metadata={"metadata": text, "sha256": _digest(arrays, text)})
    try:
        atomic_write(previous(path), path.read_bytes())
    except FileNotFoundError:
        pass  # the first one
    except OSError as reason:
        raise cannot("read", path, reason) from None
    atomic_write(path, data)


def load_checkpoint(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the metadata, exactly as they were saved.

    Raises:
        RunError: there is no such file, or a single bit of it is not as it was written.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is not a dict
    except FileNotFoundError:
        raise _unusable(path, "There is no checkpoint here.", str(path)) from None
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, MemoryError) as reason:
        raise _unusable(path, f"{path} is damaged, or not a checkpoint.", str(reason) or repr(reason)) from None
    if set(header) != {"metadata", "sha256"}:
        raise _unusable(path, f"{path} is not a checkpoint.", "a safetensors file without our digest")
    if _digest(arrays, header["metadata"]) != header["sha256"]:
        raise _unusable(path, f"{path} is damaged.", "its SHA-256 is not the one it was written with")
    return arrays, json.loads(header["metadata"])


def previous(path: Path) -> Path:
    """Where the checkpoint before the one at `path` is kept."""
    return path.with_name(f"{path.stem}.prev{path.suffix}")


def _digest(arrays: dict[str, np.ndarray], metadata: str) -> str:
    """Each part is preceded by a line that tells its length, so that no two checkpoints read alike."""
    sha = hashlib.sha256()
    for name in sorted(arrays):
        a = arrays[name]
        sha.update(json.dumps([name, a.dtype.name, a.shape]).encode() + b"\n")
        sha.update(np.ascontiguousarray(a).data if a.size else b"")
    sha.update(metadata.encode())
    return sha.hexdigest()


def _storable(name: str, array: Any) -> np.ndarray:
    """The array in the file's byte order, little endian, and C order."""
    a = backend.to_numpy(array)
    if a.dtype.kind not in "fiub" or a.dtype.itemsize > 8:
        raise ConfigError(
            explain(
                "A checkpoint holds arrays of bool, integers, or floats of 16, 32 or 64 bits.",
                got=f"{name}: {a.dtype}",
                fix="put strings and settings into the metadata",
            )
        )
    return np.asarray(a, dtype=a.dtype.newbyteorder("<"), order="C")


def _text(metadata: dict[str, Any]) -> str:
    """The metadata as JSON, if JSON gives it back as it was: no NaN, no tuples, no keys that are numbers."""
    for key, value in metadata.items():
        try:
            unchanged = json.loads(json.dumps(value, allow_nan=False)) == value and isinstance(key, str)
        except (TypeError, ValueError):
            unchanged = False
        if not unchanged:
            raise ConfigError(
                explain(
                    "Metadata is what JSON gives back unchanged: strings, finite numbers, lists, dicts.",
                    got=f"{key!r}: {value!r:.100}",
                    fix="an array goes into `arrays`; a tuple becomes a list, a key a string, NaN and infinity None",
                )
            )
    return json.dumps(metadata, sort_keys=True)


def _unusable(path: Path, rule: str, got: str) -> RunError:
    before = previous(path)
    if before.exists():
        fix = f"the one before it is there: rename {before.name} to {path.name} and resume"
    else:
        fix = "bring back the file from a copy, or begin the run again; there is no earlier checkpoint beside it"
    return RunError(explain(rule, got=got, fix=fix, see="damaged-file"))
