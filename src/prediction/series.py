"""Frames of one patient one after the other: regions that do not jump, and how fast each cools and warms again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray

from src.prediction.identity import SHORTEST
from src.prediction.inputs import Thermogram, Unit
from src.prediction.measures import minus, sides
from src.prediction.trained import Outputs


@dataclass(frozen=True)
class Answer:
    """What the networks say of one frame; `series` is "" where it is of none."""

    thermogram: Thermogram
    series: str
    outputs: Outputs


def carried(answers: Iterable[Answer]) -> Iterator[Answer]:
    """The answers, those of a series averaged with their neighbours': the frame before and the one after it.

    Averages are of probabilities, with equal weights. A frame whose neighbours lie otherwise in what the networks see
    is averaged with none of these; one of no series stays what it is.
    """
    before: Answer | None = None
    now: Answer | None = None
    for after in chain(answers, (None,)):
        if now is not None:
            yield _averaged(now, [near for near in (before, after) if near is not None and _belong(near, now)])
        before, now = now, after


def _belong(one: Answer, other: Answer) -> bool:
    return bool(one.series) and one.series == other.series and one.outputs.box == other.outputs.box


def _averaged(answer: Answer, neighbours: Sequence[Answer]) -> Answer:
    if not neighbours:
        return answer
    probabilities = torch.stack([each.outputs.logits.softmax(0) for each in (answer, *neighbours)]).mean(0)
    logits = probabilities.clamp_min(torch.finfo(torch.float32).tiny).log()
    return replace(answer, outputs=replace(answer.outputs, logits=logits))


@dataclass(frozen=True)
class Course:
    """One region of a series over its frames."""

    region: str
    numbers: tuple[int, ...]
    """The numbers of the series' frames."""
    means: tuple[float | None, ...]
    """Of the region in each of them; None where it is not found or warned of."""


@dataclass(frozen=True)
class Rate:
    """How fast a region's mean changes, in units a frame; None where fewer than `SHORTEST` frames tell."""

    region: str
    frames: int
    """Frames that the region is measured in, those with a warning left out."""
    coldest: int
    """Number of the frame at which the series turns from cooling to warming, the same for all its regions."""
    cooling: float | None
    """Slope until that frame, negative where it cools."""
    rewarming: float | None
    """Slope from that frame on."""
    cooling_difference: float | None
    """Left minus right; None for a region that has no other side."""
    rewarming_difference: float | None
    unit: Unit


def rates(courses: Sequence[Course], unit: Unit) -> list[Rate]:
    """The rates of a series' regions, whose courses have the same numbers: slopes of least squares lines."""
    if not courses:
        return []
    numbers = np.array(courses[0].numbers, np.float64)
    means = {course.region: np.array(course.means, np.float64) for course in courses}  # None becomes NaN
    turn = _coldest(list(means.values()))
    cooling = {name: _slope(numbers[: turn + 1], values[: turn + 1]) for name, values in means.items()}
    rewarming = {name: _slope(numbers[turn:], values[turn:]) for name, values in means.items()}
    return [
        Rate(
            region=name,
            frames=int(np.isfinite(values).sum()),
            coldest=courses[0].numbers[turn],
            cooling=cooling[name],
            rewarming=rewarming[name],
            cooling_difference=_difference(name, cooling),
            rewarming_difference=_difference(name, rewarming),
            unit=unit,
        )
        for name, values in means.items()
    ]


def _coldest(means: Sequence[NDArray[np.float64]]) -> int:
    """The frame at which the regions are coldest together, each by its difference from its own mean over time."""
    known = [values - np.nanmean(values) for values in means if np.isfinite(values).any()]
    if not known:
        return 0
    stacked = np.stack(known)
    counts = np.isfinite(stacked).sum(0)
    together = np.where(counts > 0, np.nansum(stacked, axis=0) / np.maximum(counts, 1), np.inf)
    return int(together.argmin())


def _slope(numbers: NDArray[np.float64], values: NDArray[np.float64]) -> float | None:
    known = np.isfinite(values)
    if len(np.unique(numbers[known])) < SHORTEST:
        return None
    return float(np.polyfit(numbers[known], values[known], 1)[0])


def _difference(name: str, slopes: Mapping[str, float | None]) -> float | None:
    pair = sides(name, slopes)
    return None if pair is None else minus(slopes[pair[0]], slopes[pair[1]])
