"""Ctrl-C and SIGTERM: kept through a step, obeyed at once where nothing is lost, and by force the second time."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from src import errors
from src.errors import SIGNALS, Stopped
from src.training.stopping import StopRequests


def exit_code_of(work: Callable[[], None]) -> int:
    """That of a process which does the work."""
    child = os.fork()
    if child == 0:
        try:
            errors.run(work, "go on so")
            os._exit(0)
        except SystemExit as end:
            os._exit(end.code if isinstance(end.code, int) else 1)
        finally:
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_kept_until_it_is_asked_for(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    kept = []

    def work() -> None:
        with StopRequests() as stop:
            os.kill(os.getpid(), number)
            kept.append(stop.asked)

    with pytest.raises(Stopped) as end:
        work()
    assert kept == [end.value.number] == [number]
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("number", SIGNALS)
def test_a_second_signal_ends_at_once(number: signal.Signals, tmp_path: Path) -> None:
    def work() -> None:
        with StopRequests():
            for _ in range(2):
                os.kill(os.getpid(), number)
            (tmp_path / "went on").touch()

    assert exit_code_of(work) == 128 + number
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("kept", [True, False])
def test_a_block_that_loses_nothing_ends_at_once_and_saves(number: signal.Signals, kept: bool, tmp_path: Path) -> None:
    def work() -> None:
        with StopRequests() as stop:
            if kept:
                os.kill(os.getpid(), number)
            with stop.at_once(before_end=(tmp_path / "saved").touch):
                try:
                    os.kill(os.getpid(), number)
                except BaseException:  # an exception out of the handler might be caught by anyone
                    (tmp_path / "caught").touch()
                (tmp_path / "went on").touch()

    assert exit_code_of(work) == 128 + number
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


@pytest.mark.parametrize("number", SIGNALS)
def test_without_training_a_signal_ends_with_its_code(number: signal.Signals) -> None:
    assert exit_code_of(lambda: os.kill(os.getpid(), number)) == 128 + number


def test_an_unforeseen_error_of_the_system_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as end:
        errors.run(lambda: (tmp_path / "nowhere" / "file").write_text("x") and None)
    assert end.value.code == 2
    assert capsys.readouterr().err == (
        f"error: {tmp_path}/nowhere/file: No such file or directory; what was saved before is whole\n"
    )
