"""A table of the report as text, and how numbers are written in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from src.report.runs import number

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Cell:
    """One cell of a table: a value, in small its interval or remark, and the letters of its notes."""

    text: str
    below: str = ""
    mark: str = ""
    kind: str = ""
    """How it is set: head, difference, warning, absent or nothing."""


@dataclass
class Notes:
    """Remarks of a table's cells, each written once below it."""

    texts: list[str] = field(default_factory=list)

    def mark(self, text: str) -> str:
        """The letter that stands for a remark."""
        if not text:
            return ""
        if text not in self.texts:
            self.texts.append(text)
        place = self.texts.index(text)
        return _LETTERS[place] if place < len(_LETTERS) else str(place + 1)

    def lines(self) -> list[tuple[str, str]]:
        """Letters and remarks."""
        return [(self.mark(text), text) for text in self.texts]


@dataclass(frozen=True)
class Table:
    """A titled table; `source` names the files that its numbers stand in."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    source: str
    notes: Sequence[tuple[str, str]] = ()
    remark: str = ""
    text: bool = False
    """Whether the cells are words rather than numbers."""
    not_run: Sequence[tuple[str, str]] = ()
    """What could stand here and does not: its name, and what to type or what is wrong."""


ABSENT = Cell("\N{EN DASH}", kind="absent")
"""What a file does not tell."""


def digits(value: float) -> str:
    """A number with as many digits as its size asks for."""
    if value == int(value) and abs(value) >= 10:
        return f"{value:.0f}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def score_cell(value: Any, interval: Any, notes: Notes, kind: str = "", signed: bool = False) -> Cell:
    """A score with its 95% interval below, or with the letter of the reason why there is none."""
    found = interval if isinstance(interval, Mapping) else {}
    known = number(found.get("value")) if value is None else number(value)
    low, high = number(found.get("low")), number(found.get("high"))
    reason = str(found.get("reason") or "")
    if known is None:
        return Cell(ABSENT.text, mark=notes.mark(reason), kind="absent")
    below = "" if low is None or high is None else f"{digits(low)} to {digits(high)}"
    if not below and found and not reason:
        reason = "without an interval"
    return Cell((f"{known:+.3f}" if signed else digits(known)), below, notes.mark(reason), kind=kind)


def some(names: Sequence[str], limit: int = 3) -> str:
    """The first names, and how many more there are."""
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


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
