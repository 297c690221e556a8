"""Thermograms of any kind as gray levels in floating point: what networks that see levels take."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from src.datasets.augmentation import level_table
from src.datasets.letterbox import Letterbox, letterbox, resized
from src.datasets.snapshots import recognised_palette
from src.datasets.source import Skipped
from src.prediction.inputs import Thermogram

_PALETTE_PIXELS = 1000
"""That one heat map's palette is recognised by: each frame of a folder waits for it."""
BY_LUMINANCE = "heat maps in no known palette, read by their luminance"


def as_levels(
    thermogram: Thermogram, size: tuple[int, int], palette: str | None = None, notes: Skipped | None = None
) -> tuple[NDArray[np.float32], Letterbox]:
    """Gray levels float32 [1, H, W] in 0..255 of a thermogram of any kind, not rounded, and where it lies in them.

    Temperatures cover their own range. Where colours are all there is, or `palette` says in what they are drawn, they
    go back through it, before the resizing that would mix them; one that is not known is recognised, and where none
    fits, their luminance is taken and `notes` say so.
    """
    box = letterbox(thermogram.size, size)
    if thermogram.colours is not None and (palette is not None or thermogram.values is None):
        levels = _levels_of_colours(thermogram, palette, notes)
        if levels.shape != box.original:
            levels = resized(levels, box.original)
    else:
        levels = _levels_of_values(thermogram)
    return np.ascontiguousarray(box.apply(levels)[None]), box


def _levels_of_values(thermogram: Thermogram) -> NDArray[np.float32]:
    assert thermogram.values is not None
    if thermogram.unit == "gray level":
        return thermogram.values
    low, high = float(thermogram.values.min()), float(thermogram.values.max())
    return (thermogram.values - low) * np.float32(255 / (high - low) if high > low else 0)


def _levels_of_colours(thermogram: Thermogram, palette: str | None, notes: Skipped | None) -> NDArray[np.float32]:
    colours = thermogram.colours
    assert colours is not None
    palette = palette or recognised_palette(colours.transpose(2, 0, 1)[None], _PALETTE_PIXELS)
    if palette is not None:
        table = _table(palette)
        return table[colours[..., 0] // 8, colours[..., 1] // 8, colours[..., 2] // 8]
    if notes is not None:
        notes.add(BY_LUMINANCE, str(thermogram.file))
    return np.asarray(Image.fromarray(colours).convert("L"), np.float32)


@cache
def _table(palette: str) -> NDArray[np.float32]:
    return level_table(palette).numpy().astype(np.float32)
