"""What a person looks at: a frame in a colour map or with its regions, their outlines, and the labels as a picture."""

from __future__ import annotations

import io
import json
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor
from PIL.PngImagePlugin import PngInfo, putchunk

from src.datasets.letterbox import resized
from src.datasets.snapshots import encode_jpeg, palette_colours
from src.evaluation.region_colours import region_colour
from src.prediction.predictors import NOTICE, Classification, Result, Segmentation

WIDTH = 480
"""Pixels of a picture on the page, and the least ones of one with regions: smaller frames are enlarged."""
COLOUR_MAP = "inferno"
FULL_TINT = 0.1
"""Standard deviations of a frame from which on an excess of warmth is tinted fully."""
_TINT = (255, 80, 0)
_OPACITY = 0.4
_HEAD = 33  # bytes of a PNG file before anything else may stand
_SMOOTH = 1 / 700  # of the frame's width: so far an outline may leave the pixels' border


def picture(result: Result) -> bytes:
    """A JPEG, `WIDTH` pixels wide: the values in the colour map, or the colours that the frame came in."""
    thermogram, shown = result.thermogram, result.scale
    rows, columns = thermogram.size
    size = max(1, round(rows * WIDTH / columns)), WIDTH
    if shown is None:
        assert thermogram.colours is not None
        return encode_jpeg(resized(thermogram.colours, size))
    assert thermogram.values is not None
    span = shown.high - shown.low
    levels = (resized(thermogram.values, size) - shown.low) * np.float32(255 / span if span > 0 else 0)
    return encode_jpeg(np.take(palette_colours(COLOUR_MAP), levels.clip(0, 255).astype(np.uint8), axis=0))


def overlay(result: Segmentation) -> NDArray[np.uint8]:
    """The gray frame, its regions coloured; frames below `WIDTH` pixels are enlarged."""
    gray = _enlarged(result.thermogram.gray_picture())
    labels = _enlarged(result.labels, cv2.INTER_NEAREST)
    return _tinted(gray, labels, result.classes.background, _colours(result.classes.names))


def excess_picture(result: Classification) -> NDArray[np.uint8]:
    """The gray frame, tinted where the breasts are warmer than anatomy explains."""
    gray, excess = result.thermogram.gray_picture(), result.excess
    assert excess is not None
    spread = 1.0 if result.thermogram.values is None else float(result.thermogram.values.std())
    share = 0.8 * _enlarged(np.clip(excess / max(spread, 1e-6) / FULL_TINT, 0, 1))[..., None]
    shown = np.repeat(_enlarged(gray)[..., None], 3, 2).astype(np.float32)
    return np.asarray((1 - share) * shown + share * np.array(_TINT, np.float32), np.uint8)


def _enlarged(pixels: NDArray[Any], how: int = cv2.INTER_LINEAR) -> NDArray[Any]:
    """Pixels [h, w], a whole number of times as wide and high where they are fewer than `WIDTH`."""
    times = max(1, -(-WIDTH // pixels.shape[1]))
    found = cv2.resize(pixels, (pixels.shape[1] * times, pixels.shape[0] * times), interpolation=how)
    return np.asarray(found, pixels.dtype)


def _tinted(
    gray: NDArray[np.uint8], labels: NDArray[np.uint8], background: int, colours: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """RGB [H, W, 3] of gray levels [H, W]: regions in their colours, which are full along their borders."""
    smallest = cv2.erode(labels, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_REPLICATE)
    largest = cv2.dilate(labels, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_REPLICATE)
    border = (smallest != largest) & (labels != background)
    # The colour of each level in each region: one look-up a pixel.
    levels = np.arange(256, dtype=np.float32)[None, :, None]
    colours = colours[: max(int(labels.max()), background) + 1]
    table = np.round((1 - _OPACITY) * levels + _OPACITY * colours[:, None]).astype(np.uint8)
    table[background] = levels[0]
    shown = np.take(table.reshape(-1, 3), labels * np.intp(256) + gray, axis=0)
    shown[border] = colours[labels[border]]
    return shown


@cache
def _colours(names: tuple[str, ...]) -> NDArray[np.uint8]:
    """The colour of each class, and of what could be further ones."""
    names += ("",) * (256 - len(names))
    return np.array([ImageColor.getrgb(region_colour(index, name)) for index, name in enumerate(names)], np.uint8)


def outlines(result: Segmentation) -> dict[int, str]:
    """Of each region that was found, its border as the path of an SVG, in pixels of the frame."""
    found = {}
    for index in np.flatnonzero(np.bincount(result.labels.ravel())).tolist():
        if index == result.classes.background:
            continue
        mask = (result.labels == index).astype(np.uint8)
        pieces, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        drawn = (cv2.approxPolyDP(piece, _SMOOTH * mask.shape[1], closed=True)[:, 0] for piece in pieces)
        found[index] = "".join(map(_path, drawn))
    return found


def _path(points: NDArray[np.int32]) -> str:
    """A closed path through points [N, 2] (x, y); steps are shorter to write than places."""
    steps = " ".join(f"{x},{y}" for x, y in np.diff(points, axis=0).tolist())
    return f"M{points[0][0]},{points[0][1]}" + (f"l{steps}" if steps else "h.1") + "z"


def label_picture(result: Segmentation) -> bytes:
    """An indexed PNG of the original size, whose pixels are `Classes.label_values`; 0 is black.

    Its text fields hold the class names and the notice.
    """
    names, values = result.classes.names, result.classes.label_values
    pixels = np.array(values, np.uint8)[result.labels]
    image = Image.frombytes("P", pixels.shape[::-1], pixels.tobytes())
    # A region's value is one above its class index.
    image.putpalette([0, 0, 0, *_colours(names)[:255].ravel().tolist()])
    text = PngInfo()
    text.add_text("Comment", NOTICE)
    text.add_text("Classes", json.dumps(dict(sorted(zip(values, names, strict=True)))))
    file = io.BytesIO()
    image.save(file, format="PNG", compress_level=1, pnginfo=text)
    return file.getvalue()


def png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG file of RGB [H, W, 3], with the notice in it; to try no other filter halves the time."""
    how = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]
    content = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), how)[1].tobytes()
    file = io.BytesIO()
    file.write(content[:_HEAD])
    putchunk(file, b"tEXt", b"Comment\0" + NOTICE.encode())
    file.write(content[_HEAD:])
    return file.getvalue()
