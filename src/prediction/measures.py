"""What is measured in each region of a frame, and how left and right differ."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

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
    labels: NDArray[np.uint8], values: NDArray[np.float32] | None, unit: Unit, classes: tuple[Sequence[str], int]
) -> list[Measure]:
    """Each region of a frame: labels [h, w] class indices, values [h, w] or None; classes: names and background."""
    names, background = classes
    found = []
    for index, name in enumerate(names):
        if index == background:
            continue
        inside = (labels == index).astype(np.uint8)
        area = cv2.countNonZero(inside)
        if values is None or not area:
            found.append(Measure(name, area, None, None, None, None, unit))
            continue
        left, top, width, height = cv2.boundingRect(inside)
        box = slice(top, top + height), slice(left, left + width)
        pixels = values[box][inside[box] > 0].astype(np.float64)
        found.append(
            Measure(
                region=name,
                area=area,
                mean=float(pixels.mean()),
                median=float(np.median(pixels)),
                maximum=float(pixels.max()),
                sd=float(pixels.std()),
                unit=unit,
            )
        )
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
        result.append(
            Difference(
                pair=name.lower().removeprefix("left_"),
                area=left.area - right.area if left.area and right.area else None,
                mean=_minus(left.mean, right.mean),
                median=_minus(left.median, right.median),
                maximum=_minus(left.maximum, right.maximum),
                unit=left.unit,
            )
        )
    return result


def _minus(left: float | None, right: float | None) -> float | None:
    return None if left is None or right is None else left - right
