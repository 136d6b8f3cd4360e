"""Checksums of the files of an export: they show that a file was damaged or changed after the export.

Each export contains this file, so it does not import rectools-tuner. `sha256sum -c SHA256SUMS` checks the
same. Checksums are no signature: whoever can change a file can also change its checksum.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

__all__ = ["CHECKSUMS", "broken_rule", "write_checksums"]

CHECKSUMS = "SHA256SUMS"
#: Bytes that are read at once.
_CHUNK = 2**20


def write_checksums(folder: Path) -> None:
    """Write the checksums of all files in a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != CHECKSUMS)
    lines = [f"{_checksum(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    (folder / CHECKSUMS).write_text("".join(lines), encoding="utf-8")


def broken_rule(folder: Path) -> str | None:
    """Return which files are not as they were exported, and what to do; None if all are.

    Raises
    ------
    OSError, ValueError
        If the checksums cannot be read.
    """
    changed = _changed_files(folder)
    missing = [name for name in changed if not (folder / name).exists()]
    if missing:
        named = ", ".join(missing[:5])
        return f"files must be as they were exported, but {named} cannot be found: copy the export again"
    if not changed:
        return None
    return (
        f"files must be as they were exported, but {', '.join(changed[:5])} "
        f"{'has' if len(changed) == 1 else 'have'} changed since; copy the export again, or allow "
        "it (--changed, in Python changed=True) if you trust whoever changed it"
    )


def _changed_files(folder: Path) -> list[str]:
    """Return the files that have changed or are missing since the export, and code that was added."""
    text = (folder / CHECKSUMS).read_text(encoding="utf-8")
    if not text.endswith("\n"):  # it was interrupted, so the other files cannot be judged
        return [CHECKSUMS]
    known = {name: checksum for checksum, _, name in (line.partition("  ") for line in text.splitlines())}
    changed = [name for name, checksum in known.items() if _checksum(folder / name) != checksum]
    code = (path.relative_to(folder).as_posix() for path in folder.rglob("*.py"))
    return sorted({*changed, *(name for name in code if name not in known)})


def _checksum(path: Path) -> str | None:
    """Return the SHA-256 of a file; None if it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError:
        return None
    return digest.hexdigest()
