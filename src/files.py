"""Files that are whole or absent, read without waiting or filling the memory; folders with one writer at a time."""

import codecs
import csv
import errno
import fcntl
import hashlib
import io
import json
import logging
import math
import os
import stat
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO

from src.errors import UserError, refuse_failing_device

logger = logging.getLogger(__name__)

_PARTIAL = ".partial"
_LONG = 100  # bytes of a name, to which the process's number and the suffix are added
_OF_THE_NAME = {errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.EISDIR, errno.ENOTDIR, errno.EEXIST}
_LOCKS: dict[Path, IO[bytes]] = {}
"""Files that this process holds locked: closing one would free it."""


class NameRefusedError(UserError):
    """A file system took no file of this name; others it may take."""


def lock(path: Path, wait: bool = False) -> bool:
    """Lock a file, made if absent, until `unlock` or until this process ends, however it ends.

    False where another process holds it, unless told to `wait`. A process holds what it has locked once: asking again
    is no error, and the processes that it starts hold nothing. Raises OSError where the folder cannot be written.
    """
    if path in _LOCKS:
        return True
    file = path.open("ab")
    try:
        # Not flock: that would be inherited by processes that load batches, which outlive a killed training.
        fcntl.lockf(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        file.close()
        return False
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP):
            file.close()
            raise
        logger.warning("%s: no locks in this file system: nothing keeps a second run from writing here too", path)
    _LOCKS[path] = file
    return True


def holds_locks() -> bool:
    """Whether this process holds a file locked, as it does while it writes to a run folder."""
    return bool(_LOCKS)


def unlock(path: Path) -> None:
    _LOCKS.pop(path).close()


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Wait until no other process is in such a block for the folder, which is made if absent.

    Raises `UserError` where the folder cannot be written.
    """
    path = folder / ".lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not lock(path):
            logger.info("%s: waiting for another process that writes there", folder)
            lock(path, wait=True)
        remove_partial(folder)
    except OSError as error:
        raise UserError(_cannot_write(folder, error)) from None
    try:
        yield
    finally:
        unlock(path)


def remove_partial(folder: Path) -> None:
    """Remove what killed processes left of the files that they were writing there; only under the folder's lock."""
    for path in folder.glob(f".*{_PARTIAL}"):
        path.unlink(missing_ok=True)


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


_MARKS = (  # the longer ones first: UTF-32's begins as UTF-16's does
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def decoded(content: bytes, otherwise: str | None = None) -> str:
    """The text of a file in UTF-8 or, as its byte order mark or the zeros between its letters tell, UTF-16 or 32.

    What is neither is read as `otherwise` (such as latin-1), or raises UnicodeDecodeError. No mark is left in the text.
    """
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), None)
    begin = content[:200]
    if encoding is None and len(begin) >= 4 and b"\0" in begin:
        # Text in Latin letters, whose every second byte is zero.
        encoding = next((f"utf-16-{end}" for end, odd in (("le", 1), ("be", 0)) if not any(begin[odd::2])), None)
    try:
        text = content.decode(encoding or "utf-8")
    except UnicodeDecodeError:
        if otherwise is None:
            raise
        text = content.decode(encoding or otherwise, "replace")
    return text.lstrip("\ufeff")


def composed(text: str) -> str:
    """A name in Unicode's composed form: an accent counts alike whether it is a part of its letter or beside it."""
    return unicodedata.normalize("NFC", text)


def resolved(path: Path) -> Path:
    """The absolute path without links; `UserError` where they lead in a circle."""
    try:
        return path.resolve()
    except (RuntimeError, OSError):  # the one in Python 3.11 and 3.12, the other from then on
        raise UserError(f"{path}: links that lead in a circle") from None


def is_link(path: Path, root: Path) -> bool:
    """Whether a path below `root`, or a folder between them, is a symbolic link."""
    below = path.relative_to(root)
    return any((root / part).is_symlink() for part in (below, *below.parents[:-1]))


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """A binary file that appears at `path` once it is complete and on disk; on an error nothing changes there.

    Raises `UserError` where the folder cannot be written or the disk is full, `NameRefusedError` where it is the name.
    """
    # No name that is allowed may be too long for the moment in which it is written.
    name = path.name if len(os.fsencode(path.name)) <= _LONG else hashlib.sha256(os.fsencode(path.name)).hexdigest()
    beside = path.with_name(f".{name}.{os.getpid()}{_PARTIAL}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the new name to disk too
        finally:
            os.close(folder)
    except OSError as error:
        kind = NameRefusedError if error.errno in _OF_THE_NAME else UserError
        raise kind(_cannot_write(path, error)) from None
    except RuntimeError as error:  # what torch makes of an error of the file that it writes to
        if not isinstance(error.__context__, OSError):
            raise
        raise UserError(_cannot_write(path, error.__context__)) from None
    finally:
        with suppress(OSError):  # where the folder's name is refused, there is none
            beside.unlink(missing_ok=True)


def _cannot_write(path: Path, error: OSError) -> str:
    return f"{path}: cannot write: {error.strerror or error}; what was there before is unchanged"


def write_text(path: Path, text: str) -> None:
    with atomic_write(path) as file:
        file.write(text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; a score that does not exist is null, never NaN."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_csv(path: Path, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Write a CSV file atomically: None is an empty cell, numbers are written to the last digit."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    with atomic_write(path) as file:
        file.write(text.getvalue().encode("utf-8", "surrogateescape"))  # file names are bytes, not always text


def without_nan(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Scores as JSON can hold them: one that does not exist (NaN) becomes None."""
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in scores.items()}


def read_json(path: Path, what: str) -> Any:
    """Read JSON; `UserError` names `what` was looked for where it is missing or broken."""
    try:
        return json.loads(decoded(read_plain(path)))
    except OSError as error:
        refuse_failing_device(error, path)
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
