"""Frames of any size to the size that networks take and back: aspect kept, the rest filled from the border."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Size = tuple[int, int]
"""(rows, columns)"""


@dataclass(frozen=True)
class Letterbox:
    """Where a frame of `original` size lies inside one of `frame` size: `content` pixels from (`top`, `left`) on."""

    original: Size
    frame: Size
    content: Size
    top: int
    left: int

    @property
    def inside(self) -> tuple[slice, slice]:
        """The rows and columns of the frame that the content fills."""
        return slice(self.top, self.top + self.content[0]), slice(self.left, self.left + self.content[1])

    def apply(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Pixels [h, w] or [h, w, C], of the original's aspect, to [H, W] or [H, W, C] of the same type.

        The rest repeats the border: an even rim would be an edge that frames of the networks' aspect do not have.
        """
        small = resized(pixels, self.content)
        above, beside = self.frame[0] - self.content[0] - self.top, self.frame[1] - self.content[1] - self.left
        return np.pad(small, ((self.top, above), (self.left, beside), *((0, 0),) * (small.ndim - 2)), mode="edge")

    def restore(self, maps: NDArray[np.float32]) -> NDArray[np.float32]:
        """Maps [H, W, K] of the frame to [h, w, K] on the original's pixels; linear in between."""
        inside = np.ascontiguousarray(maps[self.inside])
        if self.content == self.original:
            return inside
        back = cv2.resize(inside, self.original[::-1], interpolation=cv2.INTER_LINEAR)
        return np.asarray(back, np.float32).reshape(*self.original, maps.shape[-1])


def letterbox(original: Size, frame: Size) -> Letterbox:
    """The largest place of the original's aspect inside the frame, in its middle; ValueError for an empty size."""
    if min(*original, *frame) < 1:
        raise ValueError(f"a frame of {original[0]} x {original[1]} pixels cannot be fitted into {frame}")
    scale = min(frame[0] / original[0], frame[1] / original[1])
    rows, columns = (min(limit, max(1, round(length * scale))) for length, limit in zip(original, frame, strict=True))
    return Letterbox(original, frame, (rows, columns), (frame[0] - rows) // 2, (frame[1] - columns) // 2)


def resized(pixels: NDArray[Any], size: Size) -> NDArray[Any]:
    """Pixels [h, w] or [h, w, C] in another size: means where it is smaller, linear in between where it is not."""
    if pixels.shape[:2] == size:
        return pixels
    shrinks = size[0] <= pixels.shape[0] and size[1] <= pixels.shape[1]
    found = cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(found).reshape(*size, *pixels.shape[2:])  # OpenCV drops an axis of one channel
