"""A secret comes from a file that nobody else may read, and from nothing else."""

import os

import pytest

from minilinear.errors import ConfigError
from minilinear.learn.secret_file import read_secret

POSIX = pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")


def write(path, mode=0o600, text="0123456789abcdef0123\n"):
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_secret_is_read_without_the_line_end(tmp_path):
    assert read_secret(write(tmp_path / "seed"), "seed") == b"0123456789abcdef0123"


@POSIX
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o666])
def test_a_file_that_others_can_touch_is_refused(tmp_path, mode):
    with pytest.raises(ConfigError, match=rf"(?s)mode 0600.*got: mode {mode:04o}.*chmod 600"):
        read_secret(write(tmp_path / "seed", mode), "seed")


@POSIX
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_refused(tmp_path):
    path = write(tmp_path / "seed")
    os.chown(path, 61000, 61000)
    with pytest.raises(ConfigError, match="user 61000"):
        read_secret(path, "seed")


@POSIX
def test_links_and_pipes_are_refused_and_not_waited_for(tmp_path):
    (tmp_path / "link").symlink_to(write(tmp_path / "seed"))
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(ConfigError, match="Cannot read the seed file"):
        read_secret(tmp_path / "link", "seed")
    with pytest.raises(ConfigError, match="plain file"):
        read_secret(tmp_path / "pipe", "seed")


def test_a_short_secret_and_none_are_refused_with_the_line_that_makes_one(tmp_path):
    with pytest.raises(ConfigError, match=r"(?s)16 bytes at least.*got: 2.*token_hex"):
        read_secret(write(tmp_path / "seed", text="42\n"), "seed")
    with pytest.raises(ConfigError, match=r"(?s)Cannot read the key file.*token_hex"):
        read_secret(tmp_path / "none", "key")
