"""Who may write in a folder: at most one process at a time.

The lock is the operating system's, on an open file, and not the existence of a file with a process id in it: it
vanishes with the process however that ends (kill -9, power cut), so there is no stale lock to recognise and no race in
removing one, and a process id that was given to somebody else deceives nobody. What stands in the file is only for the
message. The file itself stays: to remove it is to let two processes lock two files of the same name.
"""

from __future__ import annotations

import os
import sys

if sys.platform == "win32":
    import msvcrt

    def try_to_lock(file: int) -> None:
        """Lock an open file; OSError if another process has."""
        os.lseek(file, 1 << 30, os.SEEK_SET)  # Windows forbids reading locked bytes: lock one far behind the text
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def try_to_lock(file: int) -> None:
        """Lock an open file; OSError if another process has."""
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
