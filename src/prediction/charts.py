"""Small multiples of a series: each pair of regions over the frames, as paths of an SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from src.prediction.measures import sides
from src.prediction.series import Course

WIDTH, HEIGHT = 220, 130
_LEFT, _RIGHT, _TOP, _BOTTOM = 34, 6, 8, 20
_STEPS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)


@dataclass(frozen=True)
class Line:
    """One region's course; `index` is its class."""

    name: str
    index: int
    dashed: bool
    path: str


@dataclass(frozen=True)
class Panel:
    """One small chart: its lines, and ticks as (place, text)."""

    title: str
    lines: list[Line]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM


def panels(courses: Sequence[Course], names: Sequence[str]) -> list[Panel]:
    """A panel a pair of regions, or a region without another side; all show the same span, so that slopes compare.

    names: all classes, whose place is the class index. A pair whose regions are nowhere measured has no panel.
    """
    by_name = {course.region: course for course in courses}
    groups: dict[str, list[Course]] = {}
    for course in courses:
        pair = sides(course.region, by_name)
        title = course.region if pair is None else course.region.partition("_")[2]
        groups.setdefault(title, []).append(course)
    shown = {title: group for title, group in groups.items() if any(map(_known, group))}
    span = max((_range(group)[1] - _range(group)[0] for group in shown.values()), default=0)
    step = next((step for step in _STEPS if max(span, 0.2) / step <= 4), _STEPS[-1])
    span = (math.ceil(span / step) + 1) * step
    return [_panel(title, group, names, span, step) for title, group in shown.items()]


def _known(course: Course) -> list[float]:
    return [mean for mean in course.means if mean is not None]


def _range(group: Sequence[Course]) -> tuple[float, float]:
    values = [mean for course in group for mean in _known(course)]
    return min(values), max(values)


def _panel(title: str, group: Sequence[Course], names: Sequence[str], span: float, step: float) -> Panel:
    low, high = _range(group)
    bottom = math.floor(((low + high) / 2 - span / 2) / step + 0.5) * step
    first, last = group[0].numbers[0], group[0].numbers[-1]

    def across(number: float) -> float:
        return round(_LEFT + (number - first) / max(last - first, 1) * (WIDTH - _LEFT - _RIGHT), 1)

    def up(value: float) -> float:
        return round(HEIGHT - _BOTTOM - (value - bottom) / span * (HEIGHT - _TOP - _BOTTOM), 1)

    lines = []
    for course in group:
        path, pen = "", "M"
        for number, mean in zip(course.numbers, course.means, strict=True):
            path += "" if mean is None else f"{pen}{across(number)},{up(mean)}"
            pen = "M" if mean is None else "L"
        dashed = course.region.lower().startswith("right_")
        lines.append(Line(course.region.replace("_", " "), names.index(course.region), dashed, path))
    digits = max(0, math.ceil(-math.log10(step)))
    ticks = [bottom + place * step for place in range(round(span / step) + 1)]
    return Panel(
        title=title.replace("_", " "),
        lines=lines,
        x_ticks=[(across(number), str(number)) for number in dict.fromkeys((first, (first + last) // 2, last))],
        y_ticks=[(up(tick), f"{tick:.{digits}f}") for tick in ticks],
    )
