"""Ctrl-C and SIGTERM in training: the step is finished and saved first; a second signal ends the process at once."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self

from src.errors import Stopped

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequests:
    """While it is entered, a signal is kept in `asked` until someone has time for it, at the latest at its end.

    For the main thread only.
    """

    def __init__(self) -> None:
        self.asked: int | None = None
        self._may_raise = False

    def __enter__(self) -> Self:
        self._before: dict[int, Any] = {number: signal.signal(number, self._take) for number in _SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if kind is None and self.asked is not None:
            self.stop()

    def _take(self, number: int, _: FrameType | None) -> None:
        if self.asked is not None:
            os._exit(128 + number)
        self.asked = number
        if self._may_raise:
            self.stop()
        # Straight to the terminal: a signal may arrive in the middle of a log line.
        os.write(2, b"\nfinishing this step, then saving; the same once more ends at once without saving\n")

    def stop(self) -> NoReturn:
        """End the run as the signal asked for."""
        raise Stopped(self.asked or signal.SIGTERM)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """A block that changes nothing that is to be saved: a signal, also one kept before, ends it where it is."""
        self._may_raise = True
        try:
            if self.asked is not None:
                self.stop()
            yield
        finally:
            self._may_raise = False


def leave_to_parent(_: int) -> None:
    """In a process that loads batches: the training that started it decides when to end."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
