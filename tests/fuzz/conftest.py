"""How long the fuzz tests run, and their bounds of time and memory.

By default a few inputs for each reader, always the same. `pytest tests/fuzz --hypothesis-profile=long` tries
10,000 new ones for each, FUZZ_INPUTS=N any number, and ends with a table.
"""

import logging
import resource
from collections.abc import Iterator
from pathlib import Path

import fuzzing
import pytest

MOST_MEMORY = 1 << 30  # bytes


@pytest.fixture(autouse=True)
def _bounded_memory(request: pytest.FixtureRequest) -> Iterator[None]:
    """No reader may take more than a gigabyte beside what the tests before it took."""
    logging.disable(logging.CRITICAL)  # thousands of warnings of damaged splits
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    logging.disable(logging.NOTSET)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    fuzzing.tally(request.node.name).grown = grown
    assert grown < MOST_MEMORY


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder that each input of a test writes its files to, over those of the input before."""
    return tmp_path


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not fuzzing.is_long():
        return
    terminalreporter.write_line("reader | inputs | refused | slowest, s | memory, MB")
    for name, found in fuzzing.TALLIES.items():
        columns = (name.removeprefix("test_"), found.inputs, found.refused, f"{found.slowest:.2f}", found.grown >> 20)
        terminalreporter.write_line(" | ".join(map(str, columns)))
