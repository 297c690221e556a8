"""What is measured in each region of a frame, and how left and right differ."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from src.classes import Classes
from src.prediction.inputs import Unit


@dataclass(frozen=True)
class Measure:
    """One region of one frame; numbers in `unit`, None where the frame has no values or the region no pixel."""

    region: str
    area: int
    """Pixels of the original frame."""
    mean: float | None
    median: float | None
    maximum: float | None
    sd: float | None
    """Standard deviation over the pixels."""
    unit: Unit


@dataclass(frozen=True)
class Difference:
    """Left minus right of a pair of regions, in `unit`; None where one of them is missing or nothing is measured."""

    pair: str
    area: int | None
    mean: float | None
    median: float | None
    maximum: float | None
    unit: Unit


def measure(
    labels: NDArray[np.uint8], values: NDArray[np.float32] | None, unit: Unit, classes: Classes
) -> list[Measure]:
    """Each region of a frame: labels [h, w] class indices, values [h, w] or None."""
    found = []
    for index, name in classes.regions.items():
        inside = (labels == index).astype(np.uint8)
        left, top, width, height = cv2.boundingRect(inside)
        mean = median = maximum = sd = None
        if values is not None and width:
            box = slice(top, top + height), slice(left, left + width)
            pixels = values[box][inside[box] > 0].astype(np.float64)
            mean, median, maximum, sd = [float(of(pixels)) for of in (np.mean, np.median, np.max, np.std)]
        found.append(Measure(name, cv2.countNonZero(inside), mean, median, maximum, sd, unit))
    return found


def sides(region: str, names: Iterable[str]) -> tuple[str, str] | None:
    """The left and the right one of the pair that a region belongs to, as they are spelled among `names`; None where it
    belongs to none: pairs are called left_... and right_....
    """
    spelled = {name.lower(): name for name in names}
    side, _, kind = region.lower().partition("_")
    left, right = spelled.get(f"left_{kind}"), spelled.get(f"right_{kind}")
    return (left, right) if side in ("left", "right") and left is not None and right is not None else None


def differences(measures: Sequence[Measure]) -> list[Difference]:
    """Left minus right of every pair of regions that are called left_... and right_...."""
    by_name = {found.region: found for found in measures}
    result = []
    for name, left in by_name.items():
        pair = sides(name, by_name)
        if pair is None or name != pair[0]:
            continue
        right = by_name[pair[1]]
        area = left.area - right.area if left.area and right.area else None
        pairs = (left.mean, right.mean), (left.median, right.median), (left.maximum, right.maximum)
        mean, median, maximum = (minus(*both) for both in pairs)
        result.append(Difference(name.lower().removeprefix("left_"), area, mean, median, maximum, left.unit))
    return result


def minus(left: float | None, right: float | None) -> float | None:
    """Left minus right; None where one of them is."""
    return None if left is None or right is None else left - right
