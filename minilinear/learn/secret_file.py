"""Secrets of an instructor: the seed of the inputs that are graded, the key of the signatures.

They come from files of mode 0600 and by no other way: a learner's process may read the arguments and the environment
of the processes around it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ..errors import ConfigError, explain

SHORTEST = 16  # bytes


def read_secret(path: Path, what: str) -> bytes:
    """A secret from a file that nobody else may read.

    Args:
        path: the file.
        what: "seed" or "key", for the messages.

    Returns:
        The bytes of the file without white space around them.

    Raises:
        ConfigError: somebody else may read the file, or it holds too little to be a secret.
    """
    make = f'umask 077; python -c "import secrets; print(secrets.token_hex())" > {path}'
    try:  # without waiting for a pipe's other end, and through no link
        file = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError as reason:
        raise ConfigError(explain(f"Cannot read the {what} file {path}.", got=reason.strerror, fix=make)) from None
    with os.fdopen(file, "rb") as opened:
        found = os.fstat(opened.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise ConfigError(explain(f"The {what} lies in a plain file.", got=path, fix=make))
        if os.name == "posix" and (found.st_mode & 0o077 or found.st_uid != os.geteuid()):
            raise ConfigError(
                explain(
                    f"Nobody but you may read the {what} file {path}: it is yours, with mode 0600.",
                    got=f"mode {stat.S_IMODE(found.st_mode):04o}, user {found.st_uid}",
                    fix=f"chmod 600 {path}; if others may have seen it, make a new one",
                )
            )
        secret = opened.read(4096).strip()
    if len(secret) < SHORTEST:
        raise ConfigError(
            explain(f"A {what} nobody can guess has {SHORTEST} bytes at least.", got=f"{len(secret)}", fix=make)
        )
    return secret
