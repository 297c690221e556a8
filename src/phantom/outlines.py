"""The regions of a drawn torso as polygons in a frame of full size, as annotators of the database draw them."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from src.phantom.shape import BACKGROUND, CLASSES, HEIGHT, WIDTH, Mask, Shape

SCALE = 4
FRAME_HEIGHT, FRAME_WIDTH = HEIGHT * SCALE, WIDTH * SCALE
SMALLEST = 600  # pixels of a frame: of a smaller region too little is seen to draw it
_NEAR, _STEP = 6 * SCALE, 32  # pixels of a frame: further from a region nothing of it is left once it is blurred

Polygon = NDArray[np.float64]  # [P, 2] as (x, y) in the frame
Frame = NDArray[np.float32]  # [FRAME_HEIGHT, FRAME_WIDTH], in C unless said otherwise


def enlarged(field: NDArray[Any]) -> Frame:
    """A field [HEIGHT, WIDTH] in a frame's size, each pixel's middle where it was; 0 and 1 for False and True."""
    size = (FRAME_WIDTH, FRAME_HEIGHT)
    return np.asarray(cv2.resize(field.astype(np.float32), size, interpolation=cv2.INTER_LINEAR), np.float32)


def draw_outlines(shape: Shape) -> dict[str, Polygon]:
    """The polygon of each region that is to be seen, in the order of CLASSES; a breast is drawn under its nipple."""
    masks = {name: shape.labels == number for number, name in enumerate(CLASSES) if number != BACKGROUND}
    for side in ("left", "right"):
        masks[f"{side}_breast"] |= masks[f"{side}_nipple"]
    masks[CLASSES[BACKGROUND]] = _interest(shape)
    traced = {name: _trace(masks[name]) for name in CLASSES}
    return {name: polygon for name, polygon in traced.items() if polygon is not None}


def _interest(shape: Shape) -> Mask:
    """The outline of everything of interest: the regions and the chest between them."""
    regions, edge = shape.labels != BACKGROUND, 24
    padded = cv2.copyMakeBorder(regions.astype(np.uint8), edge, edge, edge, edge, cv2.BORDER_CONSTANT)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (41, 41)))
    return np.asarray(regions | ((closed[edge:-edge, edge:-edge] > 0) & shape.body))


def _trace(mask: Mask) -> Polygon | None:
    """The outline of a mask's largest piece, within a pixel of the frame; None where hardly anything of it is seen."""
    if not mask.any():
        return None
    (top, bottom), (left, right) = (_around(np.flatnonzero(mask.any(axis=axis)) * SCALE) for axis in (1, 0))
    smooth = cv2.GaussianBlur(enlarged(mask)[top:bottom, left:right], (0, 0), 0.75 * SCALE) > 0.5
    seen = smooth.astype(np.uint8)
    contours, _ = cv2.findContours(seen, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=(left, top))
    largest = max(contours, key=cv2.contourArea, default=None)
    if largest is None or cv2.contourArea(largest) < SMALLEST:
        return None
    return np.asarray(cv2.approxPolyDP(largest, 0.8, True)[:, 0], np.float64)


def _around(places: NDArray[np.intp]) -> tuple[int, int]:
    """From where to where a frame has something near these places, in the steps in which a processor adds them up."""
    first, last = int(places[0]) - _NEAR, int(places[-1]) + SCALE + _NEAR
    return max(first // _STEP * _STEP, 0), -(-last // _STEP) * _STEP
