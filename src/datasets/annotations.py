"""Regions from a COCO file: joined on ids, small above large."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from src.classes import Classes
from src.datasets.images import MAX_PIXELS
from src.datasets.source import Skipped
from src.errors import UserError, is_printable
from src.files import MEGABYTE, composed, read_json

_WHOLE = re.compile(r"\s*\d{1,18}(\.0*)?\s*", re.ASCII)
_NO_CLASS = re.compile("_*(background|bg|ignore|none|void|unlabell?ed|other|default)_*", re.IGNORECASE)
_MOST_CATEGORIES = 255  # a drawn mask holds one byte a pixel
_LONGEST_MASK = MEGABYTE  # characters or runs; an outline of a breast needs some hundreds
_LONGEST_OUTLINES = 200.0
"""Length of all outlines of an image together, in sides of the image; eight regions drawn by hand have about ten. What
is drawn takes time and memory in proportion to it, whatever the number of points."""
_EACH_OUTLINE = 0.05  # in the same unit, what a polygon costs beside its length

_DAMAGED_MASK = "annotations with a damaged mask"

Shape = tuple[int, Any]
"""Class index, and a list of polygons [points, 2] as (x, y) or one RLE dict."""


@dataclass(frozen=True)
class AnnotatedImage:
    """One image of the file: its declared size in pixels and its shapes in the order in which they are drawn."""

    file_name: str
    height: int
    width: int
    shapes: list[Shape] = field(default_factory=list)

    @property
    def outline(self) -> float:
        """How long the outlines of all polygons are together, in sides of the image, with a little for each."""
        polygons = (polygon for _, shape in self.shapes if isinstance(shape, list) for polygon in shape)
        steps = (np.abs(np.diff(polygon, axis=0, append=polygon[:1])) for polygon in polygons)
        return sum(_EACH_OUTLINE + float((step / (self.width, self.height)).max(axis=1).sum()) for step in steps)

    def as_plain(self) -> list[list[Any]]:
        """The shapes as JSON has them: class index, and points or run lengths."""
        return [
            [index, [polygon.tolist() for polygon in shape] if isinstance(shape, list) else shape["counts"].decode()]
            for index, shape in self.shapes
        ]


_Id = int | str
_Images = dict[_Id, AnnotatedImage | None]
"""Images by id; None where the image is left out, which is counted already."""


@dataclass(frozen=True)
class Annotations:
    """The file's classes in the order of their ids, and its images that have at least one region."""

    classes: Classes
    images: tuple[AnnotatedImage, ...]


def read_annotations(path: Path, background: str, skipped: Skipped) -> Annotations:
    """Read a COCO file with categories of ids 1..K or 0..K-1, one of them named `background`.

    Numbers may be texts or end in .0, image ids may be any text. A category of id 0 that nothing is drawn of and that
    is no class (an exporter's own, such as the group of the others) does not count.

    Raises `UserError` if the file is no such COCO file; single damaged entries are skipped with their reason, and an
    image with one of them is left out whole: what its damaged region covers would pass for background.
    """
    content = read_json(path, "the region annotations")
    lists = content if isinstance(content, dict) else {}
    for key in ("images", "annotations", "categories"):
        if not isinstance(lists.get(key), list) or not all(isinstance(item, dict) for item in lists[key]):
            raise UserError(f"{path}: no COCO file: a list of objects named '{key}' is missing")
    used = {_number(annotation.get("category_id")) for annotation in lists["annotations"]}
    classes, first = _read_classes(path, lists["categories"], background, used)
    images = _read_images(lists["images"], skipped)
    for number, annotation in enumerate(lists["annotations"]):
        try:
            _add_shape(images, classes, first, annotation)
        except ValueError as error:
            skipped.add(str(error), f"annotation {annotation.get('id', f'number {number + 1}')}")
            _leave_out(images, annotation.get("image_id"), "annotated images with a skipped annotation", skipped)
    for identity, image in images.items():
        if image and image.outline > _LONGEST_OUTLINES:
            _leave_out(images, identity, "annotated images whose outlines are longer than any hand draws", skipped)
    annotated = [image for image in images.values() if image and image.shapes]
    for image in annotated:  # small above large: exporters lose which shape was drawn above which
        image.shapes.sort(key=_area, reverse=True)
    return Annotations(classes, tuple(annotated))


def _area(shape: Shape) -> float:
    if isinstance(shape[1], dict):
        return float(coco_mask.area(shape[1]))
    corners = ((polygon - polygon[0]).T for polygon in shape[1])
    return sum(abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2 for x, y in corners)


def _read_images(entries: list[dict[str, Any]], skipped: Skipped) -> _Images:
    images: _Images = {}
    for entry in entries:
        number, name = _identity(entry.get("id")), entry.get("file_name")
        height, width = _number(entry.get("height")), _number(entry.get("width"))
        image = reason = None
        if not (isinstance(name, str) and height and width) or number is None:
            reason = "annotated images without id, file_name, height or width"
        elif height * width > MAX_PIXELS:
            reason = f"annotated images that declare more than {MAX_PIXELS // 1_000_000} megapixels"
        elif number in images:  # which of the two an annotation means cannot be known
            reason = "annotated images that share their id"
            _leave_out(images, number, reason, skipped)
        else:
            image = AnnotatedImage(name, height, width)
        if reason:
            skipped.add(reason, str(name))
        if number is not None:
            images[number] = image
    return images


def _leave_out(images: _Images, number: Any, reason: str, skipped: Skipped) -> None:
    identity = _identity(number)
    image = None if identity is None else images.get(identity)
    if identity is not None and image:
        skipped.add(reason, image.file_name)
        images[identity] = None


def _number(value: Any) -> int | None:
    """A whole number from 0 on, also as exporters write one: 480.0, "480"; None for anything else."""
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value.partition(".")[0])
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0 or value != value // 1:
        return None
    return int(value)


def _identity(value: Any) -> _Id | None:
    """An image's id: a number, or any text that is none."""
    number = _number(value)
    if number is None and isinstance(value, str) and value.strip():
        return composed(value.strip())
    return number


def _read_classes(
    path: Path, categories: list[dict[str, Any]], background: str, used: Collection[int | None]
) -> tuple[Classes, int]:
    """The classes in the order of their ids, and the first id."""
    listed = [(_number(item.get("id")), item.get("name"), item.get("supercategory")) for item in categories]
    by_id = {number: composed(name).strip() for number, name, _ in listed if isinstance(name, str)}
    groups = [group for number, _, group in listed if number != 0]  # of any type
    extra = by_id.get(0, background)
    if len(by_id) > 1 and 0 not in used and extra != background and (extra in groups or _NO_CLASS.fullmatch(extra)):
        listed = [entry for entry in listed if entry[0] != 0]
        del by_id[0]
    first = 0 if 0 in by_id else 1
    ids = list(range(first, first + len(listed)))
    if set(by_id) != set(ids) or len(set(filter(is_printable, by_id.values()))) < len(ids):
        raise UserError(
            f"{path}: categories: ids {first} to {first + len(ids) - 1}, each once and with a name of its own, are "
            "accepted"
        )
    if len(ids) > _MOST_CATEGORIES:
        raise UserError(f"{path}: {len(ids)} categories, at most {_MOST_CATEGORIES} are accepted")
    names = tuple(by_id[number] for number in ids)
    wanted = composed(background).strip()
    alike = [place for place, name in enumerate(names) if name == wanted] or [
        place for place, name in enumerate(names) if name.casefold() == wanted.casefold()
    ]
    if len(alike) != 1:
        raise UserError(f"{path}: no category is named {background!r} (the setting 'background'); there are {names}")
    return Classes(names, alike[0]), first


def _add_shape(images: _Images, classes: Classes, first: int, annotation: dict[str, Any]) -> None:
    """Check one annotation and append it to its image; ValueError gives the reason why it cannot be used."""
    number, category = _identity(annotation.get("image_id")), _number(annotation.get("category_id"))
    if number is None or number not in images:
        raise ValueError("annotations whose image id is not in the file")
    if category is None or not first <= category < first + len(classes.names):
        raise ValueError("annotations whose category id is not in the file")
    index, declared, segmentation = category - first, images[number], annotation.get("segmentation")
    if index == classes.background:
        return  # the background is what no region covers, not a region of its own
    if not segmentation:
        raise ValueError("annotations without a polygon or mask")
    if declared is None:
        return
    if isinstance(segmentation, dict):
        declared.shapes.append((index, _checked_rle(segmentation, declared)))
    elif isinstance(segmentation, list):
        declared.shapes.append((index, [_checked_polygon(points, declared) for points in segmentation]))
    else:
        raise ValueError("annotations without a polygon or mask")


def _checked_polygon(points: Any, image: AnnotatedImage) -> np.ndarray:
    try:
        polygon = np.asarray(points, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        polygon = np.empty(0)
    if polygon.ndim != 1 or len(polygon) < 6 or len(polygon) % 2 or not np.isfinite(polygon).all():
        raise ValueError("annotations with a damaged polygon")
    polygon, size = polygon.reshape(-1, 2), np.array([image.width, image.height])
    if (polygon < -size).any() or (polygon > 2 * size).any():
        raise ValueError("annotations whose polygon reaches further outside the image than the image is large")
    if polygon.max() <= 1:  # no outline of a region lies within the first pixel
        raise ValueError("annotations in parts of the image's size (0 to 1), where pixels are expected")
    return polygon


def _checked_rle(segmentation: dict[str, Any], image: AnnotatedImage) -> dict[str, Any]:
    size = segmentation.get("size")
    wanted = [image.height, image.width]
    if not isinstance(size, list) or list(map(_number, size)) != wanted:
        raise ValueError("annotations whose mask has another size than their image")
    runs: Any = segmentation.get("counts")
    if isinstance(runs, str):
        runs = _run_lengths(runs)
    whole = isinstance(runs, list) and len(runs) <= _LONGEST_MASK and all(isinstance(run, int) for run in runs)
    if not whole or not _fills(runs, image.height * image.width):
        raise ValueError(_DAMAGED_MASK)
    return dict(coco_mask.frPyObjects({"size": wanted, "counts": runs}, *wanted))


def is_mask(counts: str, height: int, width: int) -> bool:
    """Whether a compressed COCO mask is one of so many rows and columns."""
    try:
        return _fills(_run_lengths(counts), height * width)
    except ValueError:
        return False


def _fills(runs: list[int], pixels: int) -> bool:
    # pycocotools draws runs that do not fill the image without a word, over whatever the memory held.
    return sum(runs) == pixels and all(run >= 0 for run in runs)


def _run_lengths(counts: str) -> list[int]:
    """Run lengths of a compressed COCO mask: 5 bits a character, each run after the third as a difference.

    Raises ValueError for too many characters, those outside the code or a number that does not end.
    """
    if len(counts) > _LONGEST_MASK:
        raise ValueError(_DAMAGED_MASK)
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 30:
            raise ValueError(_DAMAGED_MASK)
        value |= (bits & 0x1F) << shift
        shift += 5
        if not bits & 0x20:
            if bits & 0x10:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError(_DAMAGED_MASK)
    return runs
