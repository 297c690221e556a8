"""What a person looks at: a frame with its regions or its probability, and the labels as an indexed picture."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from src.evaluation.palette import region_colour
from src.prediction.letterbox import Size
from src.prediction.predictors import NOTICE, Classification, Result, Segmentation

_WIDTH = 480  # pixels: smaller frames are enlarged so that the words below them can be read
_OPACITY = 0.4
_LINE, _TEXT, _MARGIN = 20, 13, 8
_DARK, _LIGHT, _WARNING = "#202124", "#e8eaed", "#ff8a80"
_LEGEND_COLUMNS = 4


@cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(_TEXT)


def overlay(result: Result) -> Image.Image:
    """The gray frame, its regions coloured where there are some, with a caption, a warning and the notice below."""
    thermogram = result.thermogram
    enlarged = max(1, -(-_WIDTH // thermogram.size[1]))
    size = (thermogram.size[0] * enlarged, thermogram.size[1] * enlarged)
    gray = np.asarray(cv2.resize(thermogram.gray_picture(), size[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)
    picture = np.repeat(gray[..., None], 3, axis=2)
    legend: list[int] = []
    if isinstance(result, Segmentation):
        labels = np.asarray(cv2.resize(result.labels, size[::-1], interpolation=cv2.INTER_NEAREST), np.uint8)
        picture = _tinted(picture, labels, result.background)
        legend = [index for index in range(len(result.class_names)) if index != result.background]
    lines = [(str(thermogram.name), _LIGHT), *_words(result), (NOTICE, _LIGHT)]
    legend_rows = -(-len(legend) // _LEGEND_COLUMNS)
    sheet = Image.new("RGB", (size[1], size[0] + (len(lines) + legend_rows) * _LINE + _MARGIN), _DARK)
    sheet.paste(Image.fromarray(picture))
    draw = ImageDraw.Draw(sheet)
    if isinstance(result, Segmentation):
        _draw_legend(draw, result.class_names, legend, size)
    for row, (text, colour) in enumerate(lines, start=legend_rows):
        draw.text((_MARGIN, size[0] + row * _LINE + 4), _fitting(text, size[1]), fill=colour, font=_font())
    return sheet


def _tinted(picture: NDArray[np.uint8], labels: NDArray[np.uint8], background: int) -> NDArray[np.uint8]:
    """The regions' colours over a picture [H, W, 3], and full colour along their borders."""
    tint = _colours()[labels]
    outside = labels == background
    mixed = np.asarray(cv2.addWeighted(picture, 1 - _OPACITY, tint, _OPACITY, 0), np.uint8)
    mixed[outside] = picture[outside]
    padded = np.pad(labels, 1, mode="edge")
    smallest = cv2.erode(padded, np.ones((3, 3), np.uint8))[1:-1, 1:-1]
    largest = cv2.dilate(padded, np.ones((3, 3), np.uint8))[1:-1, 1:-1]
    border = (smallest != largest) & ~outside
    mixed[border] = tint[border]
    return mixed


@cache
def _colours() -> NDArray[np.uint8]:
    return np.array([ImageColor.getrgb(region_colour(index)) for index in range(256)], np.uint8)


def _words(result: Result) -> list[tuple[str, str]]:
    lines = []
    if isinstance(result, Classification):
        side = "reaches" if result.reaches_threshold else "is below"
        text = f"probability of sick {result.probability:.3f} {side} the threshold {result.threshold:.3f}"
        lines.append((f"{text}; calibrated {result.calibrated:.3f}", _LIGHT))
    if result.unlike_training:
        text = f"UNLIKE THE TRAINING DATA: distance {result.distance:.2f}, threshold {result.distance_threshold:.2f}"
        lines.append((text, _WARNING))
    return lines


def _draw_legend(draw: ImageDraw.ImageDraw, names: Sequence[str], shown: Sequence[int], size: Size) -> None:
    width = size[1] // _LEGEND_COLUMNS
    for place, index in enumerate(shown):
        left = _MARGIN + place % _LEGEND_COLUMNS * width
        top = size[0] + place // _LEGEND_COLUMNS * _LINE + 6
        draw.rectangle((left, top, left + 11, top + 11), fill=region_colour(index))
        text = _fitting(names[index].replace("_", " "), width - 18)
        draw.text((left + 17, top - 2), text, fill=_LIGHT, font=_font())


def _fitting(text: str, width: int) -> str:
    """The end of a text that fits into so many pixels."""
    text = text.encode("utf-8", "replace").decode()
    if _font().getlength(text) <= width - 2 * _MARGIN:
        return text
    while text and _font().getlength("..." + text) > width - 2 * _MARGIN:
        text = text[1:]
    return "..." + text


def label_picture(result: Segmentation) -> bytes:
    """An indexed PNG of the original size: a pixel's value is its class index, the background is black.

    Its text fields hold the class names and the notice.
    """
    image = Image.frombytes("P", result.labels.shape[::-1], result.labels.tobytes())
    palette = _colours().ravel().tolist()
    palette[3 * result.background : 3 * result.background + 3] = [0, 0, 0]
    image.putpalette(palette)
    text = PngInfo()
    text.add_text("Comment", NOTICE)
    text.add_text("Classes", json.dumps(dict(enumerate(result.class_names))))
    return png(image, text)


def png(image: Image.Image, text: PngInfo | None = None) -> bytes:
    """The bytes of a PNG file."""
    if text is None:
        text = PngInfo()
        text.add_text("Comment", NOTICE)
    file = io.BytesIO()
    image.save(file, format="PNG", compress_level=1, pnginfo=text)
    return file.getvalue()
