"""The one exception that is meant for the person at the keyboard, its words, and how a script ends on it."""

import sys
from collections.abc import Callable, Sequence


class UserError(Exception):
    """Bad input: one line that says what is wrong, where, and what to do about it.

    The entry scripts print it without a traceback and exit with code 2.
    """


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
