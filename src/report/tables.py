"""A table of the report as text, and how numbers are written in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_lowercase
from typing import Any

from src.report.runs import number


@dataclass(frozen=True)
class Cell:
    """One cell of a table: a value, in small its interval or remark, and a note that the table writes below itself."""

    text: str
    below: str = ""
    note: str = ""
    kind: str = ""  # how it is set: head, difference, warning, absent or nothing


@dataclass(frozen=True)
class Table:
    """A titled table; `source` names the files that its numbers stand in."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    source: str
    remark: str = ""
    text: bool = False  # whether the cells are words rather than numbers
    not_run: Sequence[tuple[str, str]] = ()
    """What could stand here and does not: its name, and what to type or what is wrong."""

    @property
    def letters(self) -> dict[str, str]:
        """The notes of the cells, each once, with the letter that stands for it; numbers after 26."""
        notes = dict.fromkeys(cell.note for row in self.rows for cell in row if cell.note)
        return {note: ascii_lowercase[place : place + 1] or str(place + 1) for place, note in enumerate(notes)}


ABSENT = Cell("\N{EN DASH}", kind="absent")  # what a file does not tell


def digits(value: float) -> str:
    """A number with as many digits as its size asks for."""
    if value == int(value) and abs(value) >= 10:
        return f"{value:.0f}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def score_cell(value: Any, interval: Any, kind: str = "", signed: bool = False) -> Cell:
    """A score with its 95% interval below, or with a note of the reason why there is none."""
    found = interval if isinstance(interval, Mapping) else {}
    known = number(found.get("value")) if value is None else number(value)
    low, high = number(found.get("low")), number(found.get("high"))
    reason = str(found.get("reason") or "")
    if known is None:
        return Cell(ABSENT.text, note=reason, kind="absent")
    below = "" if low is None or high is None else f"{digits(low)} to {digits(high)}"
    if not below and found and not reason:
        reason = "without an interval"
    return Cell(f"{known:+.3f}" if signed else digits(known), below, reason, kind)


def plural(count: int, noun: str) -> str:
    """A count with its noun."""
    return f"{count} {noun}" + ("" if count == 1 else "s")


def plain(value: Any) -> str:
    """A setting's value as YAML's readers know it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{', '.join(plain(item) for item in value)}]"
    return str(value)


def as_list(value: Any) -> list[Any]:
    """A list as it is, anything else as an empty one."""
    return value if isinstance(value, list) else []
