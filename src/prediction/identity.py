"""What a frame's name tells of it: patient, visit, view, day, and its number in a series."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import PurePath

from src.datasets.layouts import UNKNOWN_DATE, UNKNOWN_VIEW, read_clues

_TAIL = re.compile(r"(\d+)\.(\d+)\.[SD]\.(\d{4}-\d{2}-\d{2})\.(\d+)", re.IGNORECASE)
_NUMBER = re.compile(r"[._-]?\d+$")
SHORTEST = 3
"""Frames that make a series: fewer have no course over time."""


@dataclass(frozen=True)
class Identity:
    """What a name tells; "" and None where it tells nothing."""

    patient: str = ""
    visit: int | None = None
    view: int | None = None
    date: str | None = None
    frame_number: int | None = None
    series: str = ""
    """The name without the frame's number, where a series is of that name."""


def identities(names: Iterable[PurePath]) -> dict[PurePath, Identity]:
    """What each name tells, a path without suffix, in the layouts that the import reads.

    Frames of one patient whose names differ in the number alone are a series where there are `SHORTEST` of them.
    """
    found = {name: _identity(name) for name in names}
    sizes = Counter(each.series for each in found.values())
    return {name: each if sizes[each.series] >= SHORTEST else replace(each, series="") for name, each in found.items()}


def _identity(name: PurePath) -> Identity:
    # A name may have dots, of which the last would pass for a suffix.
    clues = read_clues(name.with_name(f"{name.name}.png"))
    visit, view, date, number = None, clues.view, clues.date, clues.frame
    if (match := _TAIL.fullmatch(clues.tail or "")) is not None:
        visit, view, date, number = int(match[1]), int(match[2]), match[3], int(match[4])
    series = _NUMBER.sub("", name.as_posix()) if clues.patient and number is not None else ""
    known_view = None if view == UNKNOWN_VIEW else view
    return Identity(clues.patient, visit, known_view, None if date == UNKNOWN_DATE else date, number, series)


def in_order(found: dict[PurePath, Identity]) -> list[PurePath]:
    """The names sorted, the frames of a series by their numbers: 2 before 10."""
    first: dict[str, str] = {}
    for name, each in found.items():
        if each.series:
            first[each.series] = min(first.get(each.series, name.as_posix()), name.as_posix())

    def place(name: PurePath) -> tuple[str, int, str]:
        each = found[name]
        return first.get(each.series, name.as_posix()), each.frame_number or 0 if each.series else 0, name.as_posix()

    return sorted(found, key=place)
