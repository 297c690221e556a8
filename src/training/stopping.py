"""Ctrl-C and SIGTERM in training: the step is finished and saved first; a second signal ends the process at once."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self

from src.errors import SIGNALS, Stopped, UserError, leave


class StopRequests:
    """While it is entered, a signal is kept in `asked` until someone has time for it, at the latest at its end.

    `words` are what it says then. For the main thread only.
    """

    def __init__(
        self, words: str = "finishing this step, then saving; the same once more ends at once without saving"
    ) -> None:
        self.asked: int | None = None
        self._words = words
        self._before_end: Callable[[], None] | None = None

    def __enter__(self) -> Self:
        self._handlers: dict[int, Any] = {number: signal.signal(number, self._take) for number in SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if kind is None and self.asked is not None:
            self.stop()

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.asked is not None:
            leave("ended at once, without saving", 128 + number)
        self.asked = number
        if self._before_end is None:
            # Straight to the terminal: a signal may arrive in the middle of a log line.
            os.write(2, f"\n{self._words}\n".encode())
            return
        try:
            self._before_end()
        except UserError as error:
            leave(f"error: {error}", 2)
        if callable(self._handlers[number]):
            self._handlers[number](number, frame)
        leave("interrupted", 128 + number)

    def stop(self) -> NoReturn:
        """End the run as the signal asked for."""
        raise Stopped(self.asked or signal.SIGTERM)

    @contextmanager
    def at_once(self, before_end: Callable[[], None]) -> Iterator[None]:
        """A block that may end anywhere, once `before_end` has been called: also for a signal that was kept before it.

        It ends without an exception, which numpy and others might catch.
        """
        if self.asked is not None:
            before_end()
            self.stop()
        self._before_end = before_end
        try:
            yield
        finally:
            self._before_end = None


def leave_to_parent(_: int) -> None:
    """In a process that loads batches: the training that started it decides when to end."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
