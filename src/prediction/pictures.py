"""What a person looks at: a frame with its regions or its probability, and the labels as an indexed picture."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from src.datasets.letterbox import Size
from src.evaluation.region_colours import region_colour
from src.prediction.predictors import NOTICE, Classification, Result, Segmentation

_WIDTH = 480  # pixels: smaller frames are enlarged so that the words below them can be read
_OPACITY = 0.4
# Of the picture's width: a sheet shows wide and narrow frames at one width, and the words must be legible there.
_TEXT = 1 / 31
_DARK, _LIGHT, _WARNING = "#202124", "#e8eaed", "#ff8a80"
_LEGEND_COLUMNS = 4


@dataclass(frozen=True)
class _Type:
    """The words below a picture of so many pixels' width."""

    width: int

    @property
    def size(self) -> int:
        """Height of the letters."""
        return round(_TEXT * self.width)

    @property
    def line(self) -> int:
        """Height of a line."""
        return round(1.4 * self.size)

    @property
    def margin(self) -> int:
        """Left and right of the words."""
        return self.size // 2

    @property
    def font(self) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
        """The letters."""
        return _font(self.size)

    def fitting(self, text: str, width: int) -> str:
        """The end of a text that fits into so many pixels."""
        text = text.encode("utf-8", "replace").decode()
        if self.font.getlength(text) <= width:
            return text
        while text and self.font.getlength("..." + text) > width:
            text = text[1:]
        return "..." + text


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


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
    kind = _Type(size[1])
    lines = [(str(thermogram.name), _LIGHT), *_words(result), (NOTICE, _LIGHT)]
    legend_rows = -(-len(legend) // _LEGEND_COLUMNS)
    sheet = Image.new("RGB", (size[1], size[0] + (len(lines) + legend_rows) * kind.line + kind.margin), _DARK)
    sheet.paste(Image.fromarray(picture))
    draw = ImageDraw.Draw(sheet)
    if isinstance(result, Segmentation):
        _draw_legend(draw, result.class_names, legend, size)
    for row, (text, colour) in enumerate(lines, start=legend_rows):
        place = (kind.margin, size[0] + row * kind.line + kind.margin // 2)
        draw.text(place, kind.fitting(text, size[1] - 2 * kind.margin), fill=colour, font=kind.font)
    return sheet


def _tinted(picture: NDArray[np.uint8], labels: NDArray[np.uint8], background: int) -> NDArray[np.uint8]:
    """The regions' colours over a picture [H, W, 3], and full colour along their borders."""
    tint = np.asarray(cv2.LUT(np.repeat(labels[..., None], 3, axis=2), _colours()[None]), np.uint8)
    outside = labels == background
    mixed = np.asarray(cv2.addWeighted(picture, 1 - _OPACITY, tint, _OPACITY, 0), np.uint8)
    np.copyto(mixed, picture, where=outside[..., None])
    padded = np.pad(labels, 1, mode="edge")
    smallest = cv2.erode(padded, np.ones((3, 3), np.uint8))[1:-1, 1:-1]
    largest = cv2.dilate(padded, np.ones((3, 3), np.uint8))[1:-1, 1:-1]
    border = (smallest != largest) & ~outside
    np.copyto(mixed, tint, where=border[..., None])
    return mixed


@cache
def _colours() -> NDArray[np.uint8]:
    return np.array([ImageColor.getrgb(region_colour(index)) for index in range(256)], np.uint8)


def _words(result: Result) -> list[tuple[str, str]]:
    lines = []
    if isinstance(result, Classification):
        lines.append((f"probability of sick {result.verdict}", _LIGHT))
        lines.append((f"calibrated {result.calibrated:.3f}", _LIGHT))
    if result.unlike_training:
        text = f"UNLIKE THE TRAINING DATA: distance {result.distance:.2f} > {result.distance_threshold:.2f}"
        lines.append((text, _WARNING))
    return lines


def _draw_legend(draw: ImageDraw.ImageDraw, names: Sequence[str], shown: Sequence[int], size: Size) -> None:
    kind = _Type(size[1])
    width, side = (size[1] - kind.margin) // _LEGEND_COLUMNS, round(0.8 * kind.size)
    for place, index in enumerate(shown):
        left = kind.margin + place % _LEGEND_COLUMNS * width
        top = size[0] + place // _LEGEND_COLUMNS * kind.line + kind.margin
        draw.rectangle((left, top, left + side, top + side), fill=region_colour(index))
        text = kind.fitting(names[index].replace("_", " "), width - side - 2 * kind.margin)
        draw.text((left + side + kind.margin, top - kind.margin // 2), text, fill=_LIGHT, font=kind.font)


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
