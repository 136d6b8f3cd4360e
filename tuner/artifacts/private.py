"""Files that no other user of the machine can read, whatever the umask.

Files and folders that a process makes inside `private_files` have the rights 0600 and 0700. This includes
files of libraries, such as SQLite's, and of processes that are started there. Existing files keep their
rights. To let others read a result, give them the right with ``chmod -R go+rX``.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["narrow_rights", "private_files"]

#: The rights of all others than the owner.
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@contextmanager
def private_files() -> Iterator[None]:
    """Give rights on new files to their owner only. All threads of this process are concerned."""
    before = os.umask(_OTHERS)
    try:
        yield
    finally:
        os.umask(before)


def narrow_rights(path: Path) -> bool:
    """Take the rights of others than the owner from a file, or from a folder with all that is in it.

    Returns
    -------
    bool
        Whether others had rights on `path`.

    Raises
    ------
    OSError
        If the rights cannot be changed, such as those of another user's file.
    """
    below = path.rglob("*") if path.is_dir() else ()
    wide = [one for one in (path, *below) if not one.is_symlink() and one.stat().st_mode & _OTHERS]
    for one in wide:
        one.chmod(stat.S_IMODE(one.stat().st_mode) & ~_OTHERS)
    return path in wide
