"""What a drawn torso is made of: a frame's size and classes, a camera, the outlines of either side and of the whole.

Lengths are in halves: the unit is half the chest's width at the breasts. On either side `u` points outward from the
midline and `y` down from the upper edge of the breasts; a camera places both in the frame. "Left" is the image's left.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

HEIGHT, WIDTH = 120, 160
CLASSES = ("left_breast", "right_breast", "left_nipple", "right_nipple", "left_armpit", "right_armpit", "ROI", "neck")
BACKGROUND = CLASSES.index("ROI")
SIDES = (-1, 1)  # the sign of x on the image's left and right

Points = NDArray[np.float32]  # [P, 2]: (u, y) of a side, or (x, y) in the frame
Mask = NDArray[np.bool_]  # [HEIGHT, WIDTH]
Field = NDArray[np.float32]  # [HEIGHT, WIDTH]


@dataclass(frozen=True)
class Camera:
    """Places (u, y) of a side in the frame; `turn` shows more of one side than of the other."""

    half: float  # pixels that half the chest takes
    origin: tuple[float, float]  # pixel (x, y) of the midline at the breasts' upper edge
    tilt: float
    turn: float
    stretch: float  # height against width

    def place(self, points: Points, side: int) -> Points:
        """Pixels (x, y) [P, 2] of points (u, y) [P, 2]."""
        x = side * points[:, 0] * self.half * (1 + self.turn * side)
        y = points[:, 1] * self.half * self.stretch
        cos, sin = np.cos(self.tilt), np.sin(self.tilt)
        placed = np.stack([cos * x - sin * y + self.origin[0], sin * x + cos * y + self.origin[1]], 1)
        return np.asarray(placed, np.float32)

    def torso_coordinates(self) -> tuple[Field, Field]:
        """Of each pixel the signed (u, y), negative on the image's left."""
        y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
        x, y = x - self.origin[0], y - self.origin[1]
        cos, sin = np.cos(self.tilt), np.sin(self.tilt)
        u, v = cos * x + sin * y, cos * y - sin * x
        return u / self.half / (1 + self.turn * np.sign(u)), v / (self.half * self.stretch)


@dataclass(frozen=True)
class Side:
    """One side of a torso; what is not there is None."""

    side: int
    breast: Mask
    """The region, or where it was before surgery: with the chest above and beside the breast, as annotators draw it."""
    dome: Mask  # what of the region stands out as a breast
    has_breast: bool
    centre: tuple[float, float]  # pixel (x, y) of the breast's middle
    size: tuple[float, float]  # the breast's half width and half height in pixels
    droop: float
    nipple: tuple[float, float] | None  # pixel (x, y) of its middle
    nipple_label: Mask | None
    armpit: Mask
    arm: Mask


@dataclass(frozen=True)
class Shape:
    """All outlines of a drawn torso."""

    camera: Camera
    sides: tuple[Side, Side]
    body: Mask  # everything warm but the head
    head: Mask
    neck: Mask
    labels: NDArray[np.uint8]  # class of each pixel [HEIGHT, WIDTH], as CLASSES numbers them


def closed_curve(points: Points, each: int = 8) -> Points:
    """A closed Catmull-Rom curve [P * each, 2] through points [P, 2]."""
    t = np.linspace(0, 1, each, endpoint=False, dtype=np.float32)[None, :, None]
    a, b, c, d = (np.roll(points, shift, 0)[:, None] for shift in (1, 0, -1, -2))
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    return np.asarray(curve.reshape(-1, 2), np.float32)


def fill(outline: Points) -> Mask:
    """The pixels inside an outline [P, 2] in the frame."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
    return mask.astype(bool)
