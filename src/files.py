"""Files that are whole or absent, and reading that neither waits nor fills the memory."""

import errno
import json
import math
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from src.errors import UserError

MEGABYTE = 1 << 20
TEXT_LIMIT = 32 * MEGABYTE
"""Bytes of a JSON or text file that are read: Python's objects take up to 24 times as much memory."""


def open_plain(path: Path) -> BinaryIO:
    """A plain file to read. Raises OSError for anything else: a pipe would wait for a writer, a device never end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "no plain file", str(path))
    return path.open("rb")


def read_plain(path: Path, limit: int = TEXT_LIMIT) -> bytes:
    """The content of a plain file of at most `limit` bytes; OSError where it is larger or cannot be read."""
    with open_plain(path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        size = f"{limit // MEGABYTE} megabytes" if limit >= MEGABYTE else f"{limit // 1024} kilobytes"
        raise OSError(errno.EFBIG, f"larger than {size}", str(path))
    return content


def is_link(path: Path, root: Path) -> bool:
    """Whether a path below `root`, or a folder between them, is a symbolic link."""
    below = path.relative_to(root)
    return any((root / part).is_symlink() for part in (below, *below.parents[:-1]))


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """A binary file that appears at `path` once it is complete and on disk; on an error nothing changes there.

    Raises `UserError` where the folder cannot be written or the disk is full.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot write: {error.strerror or error}") from None
    finally:
        beside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_write(path) as file:
        file.write(text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; a score that does not exist is null, never NaN."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def without_nan(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Scores as JSON can hold them: one that does not exist (NaN) becomes None."""
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in scores.items()}


def read_json(path: Path, what: str) -> Any:
    """Read JSON; `UserError` names `what` was looked for where it is missing or broken."""
    try:
        return json.loads(read_plain(path).decode("utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot read {what}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: {what} is not valid JSON: {error}") from None


def is_complete(folder: Path, arguments: Any, record: str, partial: str, what: str) -> bool:
    """Whether a folder holds the finished result of these arguments, as JSON knows them, by its file `record`.

    An absent or empty folder, or an unfinished result with the same arguments in its file `partial`, is not complete.
    Raises `UserError` where the folder holds anything else.
    """
    if not folder.exists():
        return False
    if not folder.is_dir():
        raise UserError(f"{folder} is a file; give a new folder for the {what}")
    for name in (record, partial):
        try:
            if json.loads((folder / name).read_text(encoding="utf-8"))["arguments"] == arguments:
                return name == record
        except (OSError, ValueError, KeyError, TypeError):
            continue
    if any(folder.iterdir()):
        raise UserError(f"{folder} holds something other than this {what}; give an empty folder or delete that one")
    return False
