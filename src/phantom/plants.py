"""Shortcuts that can be planted into a phantom: what tells the sick from the healthy besides a tumour.

Real collections hold such things without anybody's intent: the sick were recorded later, by another camera, with
another export. A check that claims to find them can be tried on these.
"""

from collections.abc import Collection
from datetime import date
from typing import Literal, get_args

import cv2
import numpy as np

from src.phantom.outlines import FRAME_HEIGHT, FRAME_WIDTH, Frame

Plant = Literal["year", "range", "marker", "resolution"]
"""year: the sick were recorded later; range: the healthy were exported over a wider range of temperatures, in flatter
grays; marker: the paper marker lies below the breasts of the sick; resolution: the sick stood before a coarse camera.
"""
PLANTS: tuple[Plant, ...] = get_args(Plant)
Plants = Collection[Plant]

MARKER_SHARE = 5 / 6  # of the patients have a paper marker where none is planted
_MARKER_SHARES = {True: 0.95, False: 0.15}  # of the sick and the healthy
_OVERLAP = 0.6  # each diagnosis has so much of the recording years: the first or the last part
_MARGIN = 1.5  # C that the healthy's export adds at both ends of a frame's range
_COARSE = (FRAME_WIDTH // 4, FRAME_HEIGHT // 4)  # columns, rows of the coarse camera


def planted_day(plants: Plants, sick: bool, day: date, first: date, last: date) -> date:
    """The day of recording, moved towards the first or the last one for a planted year."""
    if "year" not in plants:
        return day
    return last - (last - day) * _OVERLAP if sick else first + (day - first) * _OVERLAP


def marker_share(plants: Plants, sick: bool) -> float:
    """How probable a paper marker is."""
    return _MARKER_SHARES[sick] if "marker" in plants else MARKER_SHARE


def export_margin(plants: Plants, sick: bool) -> float:
    """By how many C an export's range of temperatures exceeds the frame's own at both ends."""
    return _MARGIN if "range" in plants and not sick else 0.0


def through_camera(plants: Plants, sick: bool, frame: Frame) -> Frame:
    """The frame [480, 640] in C, or what is left of it where a coarse camera is planted."""
    if "resolution" not in plants or not sick:
        return frame
    coarse = cv2.resize(frame, _COARSE, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(coarse, (FRAME_WIDTH, FRAME_HEIGHT), interpolation=cv2.INTER_LINEAR), np.float32)
