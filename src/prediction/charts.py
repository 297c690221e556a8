"""Small multiples of a series: each pair of regions over the frames, drawn as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from src.evaluation.figure_style import Target, embedded, save, styled
from src.evaluation.region_colours import region_colour
from src.prediction.measures import sides
from src.prediction.series import Course


def panels(courses: Sequence[Course], names: Sequence[str]) -> list[tuple[str, Markup]]:
    """Title and chart of each pair of regions, or region without another side; all show the same span, so that slopes
    compare.

    names: all classes, whose place is the class index. A pair whose regions are nowhere measured has no chart.
    """
    by_name = {course.region: course for course in courses}
    groups: dict[str, list[Course]] = {}
    for course in courses:
        pair = sides(course.region, by_name)
        title = course.region if pair is None else course.region.partition("_")[2]
        groups.setdefault(title, []).append(course)
    means = {title: np.array([course.means for course in group], float) for title, group in groups.items()}
    ends = {title: (np.nanmin(found), np.nanmax(found)) for title, found in means.items() if np.isfinite(found).any()}
    span = max((high - low for low, high in ends.values()), default=0)
    ticks = np.array(MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(0, max(span, 0.2)))
    ticks = np.append(ticks, ticks[-1] + ticks[1])  # one more, as the lowest one need not be where values begin
    drawn = []
    for title, (low, high) in ends.items():
        bottom = np.round((low + high - ticks[-1]) / 2 / ticks[1]) * ticks[1]
        draw = partial(_draw, groups[title], names, ticks + bottom)
        drawn.append((title.replace("_", " "), embedded(title, draw)))
    return drawn


@styled
def _draw(group: Sequence[Course], names: Sequence[str], ticks: np.ndarray, target: Target) -> None:
    figure = Figure(figsize=(3.05, 1.8))
    axes = figure.add_axes((0.15, 0.16, 0.82, 0.78))
    for course in group:
        colour = region_colour(names.index(course.region), course.region)
        dashes = "--" if course.region.lower().startswith("right_") else "-"
        axes.plot(course.numbers, np.array(course.means, float), dashes, color=colour, linewidth=1.8)
    first, last = group[0].numbers[0], group[0].numbers[-1]
    axes.set(xticks=(first, (first + last) // 2, last), yticks=ticks, ylim=(ticks[0], ticks[-1]))
    axes.margins(x=0)
    axes.ticklabel_format(useOffset=False)
    axes.tick_params(length=0, labelsize=9, pad=5)
    axes.spines[:].set_visible(False)
    axes.grid(axis="y", clip_on=False)
    save(figure, target)
