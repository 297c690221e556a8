"""The one exception that is meant for the person at the keyboard, its words, and how a script ends on it."""

import re
import sys
from collections.abc import Callable, Sequence


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


def some(names: Sequence[str], limit: int = 5) -> str:
    """The first few of many names, for a message."""
    return ", ".join(names[:limit]) + (" ..." if len(names) > limit else "")


def run(main: Callable[[], None]) -> None:
    """Call a script's main: a `UserError` ends it with one line and exit code 2, Ctrl-C with 130."""
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; go on with the same command and --resume", file=sys.stderr)
        sys.exit(130)
