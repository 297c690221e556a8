"""What anatomy allows of a frame's regions: in how many pieces, how large, and where; all else is said plainly.

The limits are wide: a warning asks for a look, it is no measurement. Regions are known by their names, left being the
picture's left; of one with another name only the pieces and the absence are judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from src.classes import Classes

SHARES = {"breast": (0.04, 0.35), "nipple": (0.0005, 0.025), "armpit": (0.005, 0.15), "neck": (0.003, 0.2)}
"""Least and largest share of a frontal frame that shows the chest; a breast with the chest above it takes 4 to 25%."""
WHOLE = 0.93
"""A region of which less than this share is in one piece is in several."""
LOWEST = 0.8
"""A breast's middle is above this share of the frame's height."""
BELOW_ARMPIT = (0.38, 1.1)
"""Nor is it further below its armpit's middle than this share of the frame's height, or of its own where that is more:
of 1,000 drawn torsos 99% are within .8 of their breast's height."""
AROUND = 0.15
"""So far beyond its breast's box, in sides of that box, a nipple may still lie."""

ROUND = 0.65
"""A nipple takes at least this share of the circle around it: of 945 nipples of drawn torsos half take more than .82,
one in fifty less than this."""
AGREED = 0.65
"""Least agreement with the changed copies of a frame: 29 of 2,611 regions found in 400 drawn torsos had less, and 11 of
these had a Dice below .7; of the others 48 had."""


@dataclass(frozen=True)
class Plausibility:
    """One region of one frame."""

    region: str
    pieces: int
    """Connected parts that hold at least 7% of the region; 0 where it is absent."""
    share: float
    """Of the frame's pixels."""
    warnings: tuple[str, ...]
    """In plain words; none where nothing is amiss."""


@dataclass(frozen=True)
class _Shape:
    """A region's place as shares of the frame's height and width."""

    pieces: int
    largest: float
    """Share of the region that is in its largest piece."""
    share: float
    row: float
    column: float
    box: tuple[float, float, float, float]
    """Top, left, bottom, right."""
    roundness: float
    """Its share of the smallest circle around it."""


def plausibility(
    labels: NDArray[np.uint8], classes: Classes, agreement: Sequence[float | None] = ()
) -> list[Plausibility]:
    """Judge each region of a frame: labels [h, w] class indices.

    `agreement` is of each class the one with the frame's changed copies, where it is known.
    """
    shapes = {name: _shape(labels == index) for index, name in classes.regions.items()}
    there = {name.lower(): shape for name, shape in shapes.items() if shape is not None}
    doubted = zip(classes.names, agreement, strict=False)
    disagreed = {name for name, agreed in doubted if agreed is not None and agreed < AGREED}
    found = []
    for name, shape in shapes.items():
        if shape is None:
            found.append(Plausibility(name, 0, 0.0, ("not found",)))
            continue
        warnings = _warnings(name.lower(), shape, there) + ["changed copies disagree"] * (name in disagreed)
        found.append(Plausibility(name, shape.pieces, shape.share, tuple(warnings)))
    return found


def implausible_breasts(labels: NDArray[np.uint8], classes: Classes, least: float = SHARES["breast"][0]) -> int:
    """How many breasts are absent, take less than the share `least` of a frame's labels [h, w], or are in pieces."""
    shapes = [_shape(labels == index) for index, name in classes.regions.items() if name.lower().endswith("breast")]
    return sum(shape is None or shape.share < least or shape.pieces > 1 for shape in shapes)


def _shape(mask: NDArray[np.bool_]) -> _Shape | None:
    left, top, across, down = cv2.boundingRect(mask.astype(np.uint8))
    if not across:
        return None
    height, width = mask.shape
    inside = mask[top : top + down, left : left + across].astype(np.uint8)
    area = cv2.countNonZero(inside)
    _, _, found, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
    sizes = found[1:, cv2.CC_STAT_AREA] / area
    pieces = max(1, int((sizes >= 1 - WHOLE).sum()))
    if sizes.max() < WHOLE:  # many crumbs, none of which counts by itself
        pieces = max(2, pieces)
    row = (top + inside.sum(1) @ np.arange(down) / area + 0.5) / height
    column = (left + inside.sum(0) @ np.arange(across) / area + 0.5) / width
    box = (top / height, left / width, (top + down) / height, (left + across) / width)
    outlines, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    _, radius = cv2.minEnclosingCircle(np.concatenate(outlines))
    roundness = area / (np.pi * (radius + 0.5) ** 2)
    return _Shape(pieces, float(sizes.max()), area / mask.size, float(row), float(column), box, float(roundness))


def _warnings(name: str, shape: _Shape, shapes: dict[str, _Shape]) -> list[str]:
    side, _, kind = name.rpartition("_")
    found = [] if shape.pieces == 1 else ["in two pieces" if shape.pieces == 2 else f"in {shape.pieces} pieces"]
    least, most = SHARES.get(kind, (0.0, 1.0))
    if not least <= shape.share <= most:
        found.append("very small" if shape.share < least else "very large")
    if kind == "nipple" and shape.pieces == 1 and shape.roundness < ROUND:
        found.append("not round")
    other = shapes.get(f"{'right' if side == 'left' else 'left'}_{kind}")
    if side in ("left", "right") and other and (shape.column < other.column) != (side == "left"):
        found.append("left and right exchanged?")
    if kind == "breast" and _is_low(shape, shapes.get(f"{side}_armpit")):
        found.append("on the belly?")
    if _is_misplaced(kind, shape, shapes, side):
        found.append("out of place")
    return found


def _is_low(breast: _Shape, armpit: _Shape | None) -> bool:
    top, _, bottom, _ = breast.box
    limit = max(BELOW_ARMPIT[0], BELOW_ARMPIT[1] * (bottom - top))
    return breast.row > LOWEST or (armpit is not None and breast.row - armpit.row > limit)


def _is_misplaced(kind: str, shape: _Shape, shapes: dict[str, _Shape], side: str) -> bool:
    """Whether a nipple lies off its breast, or an armpit or the neck lower than a breast."""
    breasts = [shapes[name] for name in (f"{side}_breast",) if name in shapes]
    if kind == "nipple" and breasts:
        top, left, bottom, right = breasts[0].box
        high, wide = AROUND * (bottom - top), AROUND * (right - left)
        return not (top - high <= shape.row <= bottom + high and left - wide <= shape.column <= right + wide)
    if kind == "neck":
        breasts = [shapes[name] for name in ("left_breast", "right_breast") if name in shapes]
    return kind in ("armpit", "neck") and any(shape.row > breast.row for breast in breasts)
