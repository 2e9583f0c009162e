"""Replacing a file as a whole: whoever reads it, at any time and after any crash, finds the old one or the new one.

write  .name.tmp     beside the old file, since a rename does not cross file systems
fsync                the bytes reach the disk before the name does
rename               one step, on every system
fsync the folder     the name reaches the disk
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from ..errors import RunError, explain


def atomic_write(path: Path, data: bytes) -> None:
    """Replace the file at `path`, or make it.

    Raises:
        RunError: it cannot be written; then the old file is as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as reason:
        raise cannot("write", path, reason) from None
    if os.name == "posix":  # Windows cannot open a folder, and some network disks cannot sync one
        with contextlib.suppress(OSError):
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def cannot(do: str, path: Path, reason: OSError) -> RunError:
    """What to raise when the system refuses: `do` is "write", "read", "lock", ..."""
    elsewhere, local = "a folder that you may write to", "a folder on a local disk"
    fixes: dict[int | None, str] = {
        errno.ENOSPC: "free some space; what was there before is whole",
        errno.EACCES: elsewhere,
        errno.EPERM: elsewhere,
        errno.EROFS: elsewhere,
        errno.ENOENT: "make the folder that it lies in",
        errno.ENOLCK: local,
        errno.EOPNOTSUPP: local,
    }
    return RunError(
        explain(f"Cannot {do} {path}.", got=reason.strerror, fix=fixes.get(reason.errno), see="system-refuses")
    )
