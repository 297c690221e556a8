"""The one exception that is meant for the person at the keyboard."""


class UserError(Exception):
    """Bad input: one line that says what is wrong, where, and what to do about it.

    The entry scripts print it without a traceback and exit with code 2.
    """
