"""The one exception that is meant for the person at the keyboard, its words, and how a script ends on it."""

import errno
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import NoReturn


class UserError(Exception):
    """Bad input: one line that says what is wrong, where, and what to do about it.

    The entry scripts print it without a traceback and exit with code 2.
    """

    def __str__(self) -> str:
        return one_line(super().__str__())


_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def one_line(text: str, limit: int = 1000) -> str:
    """Any text as one line of at most so many characters: input that is quoted may hold line ends or be megabytes."""
    shown = _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 4] + " ..."


def is_printable(text: str) -> bool:
    """Whether a name can stand in a log or a table as it is: no control characters, and valid Unicode."""
    return not _UNPRINTABLE.search(text)


class RefusedError(UserError, ValueError):
    """Why a file or an array is not used; where many are read, a reason to count."""


class DeviceError(UserError):
    """The disk or the network failed, not the file: what a file holds is not known, so nothing may go on without it."""


SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """One of `SIGNALS` asked the process to end, and what it had done is saved."""

    def __init__(self, number: int, line: str | None = None) -> None:
        super().__init__(line or "stopped and saved")
        self.number = number
        self.is_whole = line is not None
        """Whether `line` says all there is to say."""


_OF_THE_FILE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG}
_OF_THE_FILE.add(errno.EINVAL)  # a place before the file's begin, which a damaged file makes its reader look for
_OF_THE_FILE.add(errno.EFBIG)  # larger than `src.files.read_plain` reads


def refuse_failing_device(error: OSError, path: object) -> None:
    """`DeviceError` where an error of reading `path` is not one of that file, such as an absent or a forbidden one."""
    if error.errno is not None and error.errno not in _OF_THE_FILE:
        raise DeviceError(f"{path}: cannot be read now: {error.strerror}; try again") from None


def some(names: Sequence[str], limit: int = 5) -> str:
    """The first few of many names, and how many more there are, for a message."""
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def run(main: Callable[[], None], advice: str = "", applies: Callable[[], bool] = lambda: True) -> None:
    """Call a script's main: a `UserError` ends it with one line and exit code 2, Ctrl-C with 130, SIGTERM with 143.

    So does an error of the operating system that nothing foresaw, such as a disk full of log. `advice`: what to do
    after an interruption, where that `applies` by then.
    """

    def what_to_do() -> str:
        return f"; {advice}" if advice and applies() else ""

    def interrupt(number: int, _: FrameType | None) -> None:
        # Not by an exception: numpy and others would now and then take it for one of theirs.
        leave(f"interrupted{what_to_do()}", 128 + number)

    before = {number: signal.signal(number, interrupt) for number in SIGNALS}
    try:
        main()
    except UserError as error:
        _end(f"error: {error}", 2)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _end(f"error: {where}{error.strerror or error}; what was saved before is whole", 2)
    except KeyboardInterrupt as error:
        number = error.number if isinstance(error, Stopped) else signal.SIGINT
        told = "" if isinstance(error, Stopped) and error.is_whole else what_to_do()
        _end(f"{str(error) or 'interrupted'}{told}", 128 + number)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_at_once() -> None:
    """Let Ctrl-C and SIGTERM end the process in one line, until `run` says more of it: for a script's slow imports."""
    for number in SIGNALS:
        signal.signal(number, lambda number, _: leave("interrupted", 128 + number))


def _end(line: str, code: int) -> NoReturn:
    print(line, file=sys.stderr)
    sys.exit(code)


def leave(line: str, code: int) -> NoReturn:
    """End the process in the middle of whatever it does, as a signal handler may."""
    os.write(2, f"\n{line}\n".encode())
    os._exit(code)
