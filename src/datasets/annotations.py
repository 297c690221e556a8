"""Regions from a COCO file: joined on ids, drawn by category id, averaged to the frame's size."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeGuard

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from src.datasets.source import Frame, Skipped
from src.errors import UserError
from src.files import read_json

Shape = tuple[int, Any]
"""Class index, and a list of polygons [points, 2] as (x, y) or one RLE dict."""


@dataclass(frozen=True)
class AnnotatedImage:
    """One image of the file: its declared size in pixels and its shapes, in the file's order."""

    file_name: str
    height: int
    width: int
    shapes: list[Shape] = field(default_factory=list)

    @property
    def stem(self) -> str:
        """The file's name without folder and suffix, as a `Frame` is named."""
        return PurePosixPath(self.file_name.replace("\\", "/")).stem


@dataclass(frozen=True)
class Annotations:
    """The file's class names, index = category id - 1, and its images that have at least one region."""

    class_names: tuple[str, ...]
    background: int
    images: tuple[AnnotatedImage, ...]


def read_annotations(path: Path, background: str, skipped: Skipped) -> Annotations:
    """Read a COCO file with categories of ids 1..K, one of them named `background`.

    Raises `UserError` if the file is no such COCO file; single damaged entries are skipped with their reason.
    """
    content = read_json(path, "the region annotations")
    lists = content if isinstance(content, dict) else {}
    for key in ("images", "annotations", "categories"):
        if not isinstance(lists.get(key), list) or not all(isinstance(item, dict) for item in lists[key]):
            raise UserError(f"{path}: no COCO file: a list of objects named '{key}' is missing")
    names = _class_names(path, lists["categories"], background)
    images = {}
    for image in lists["images"]:
        name, height, width = (image.get(key) for key in ("file_name", "height", "width"))
        if not (isinstance(name, str) and _whole(height) and _whole(width) and _whole(image.get("id"))):
            skipped.add("annotated images without id, file_name, height or width", str(name))
        else:
            images[image["id"]] = AnnotatedImage(name, height, width)
    for number, annotation in enumerate(lists["annotations"]):
        what = f"annotation {annotation.get('id', f'number {number + 1}')}"
        try:
            _add_shape(images, names, names.index(background), annotation)
        except ValueError as error:
            skipped.add(str(error), what)
    annotated = tuple(image for image in images.values() if image.shapes)
    return Annotations(names, names.index(background), annotated)


def _whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1_000_000


def _class_names(path: Path, categories: list[dict[str, Any]], background: str) -> tuple[str, ...]:
    by_id = {category.get("id"): category.get("name") for category in categories}
    ids = list(range(1, len(categories) + 1))
    if set(by_id) != set(ids) or not all(isinstance(name, str) for name in by_id.values()):
        raise UserError(f"{path}: categories: ids 1 to {len(ids)}, each once and named, are accepted")
    names = tuple(str(by_id[number]) for number in ids)
    if background not in names:
        raise UserError(f"{path}: no category is named {background!r} (the setting 'background'); there are {names}")
    return names


def _add_shape(
    images: dict[int, AnnotatedImage], names: tuple[str, ...], background: int, annotation: dict[str, Any]
) -> None:
    """Check one annotation and append it to its image; ValueError gives the reason why it cannot be used."""
    image, category = annotation.get("image_id"), annotation.get("category_id")
    if not _whole(image) or image not in images:
        raise ValueError("annotations whose image id is not in the file")
    if not _whole(category) or category > len(names):
        raise ValueError("annotations whose category id is not in the file")
    index = category - 1
    if index == background:
        return  # what no region covers, not a region of its own
    declared = images[image]
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, dict):
        declared.shapes.append((index, _checked_rle(segmentation, declared)))
    elif isinstance(segmentation, list) and segmentation:
        declared.shapes.append((index, [_checked_polygon(points, declared) for points in segmentation]))
    else:
        raise ValueError("annotations without a polygon or mask")


def _checked_polygon(points: Any, image: AnnotatedImage) -> np.ndarray:
    try:
        polygon = np.asarray(points, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError("annotations with a damaged polygon") from None
    if polygon.ndim != 1 or len(polygon) < 6 or len(polygon) % 2 or not np.isfinite(polygon).all():
        raise ValueError("annotations with a damaged polygon")
    polygon, size = polygon.reshape(-1, 2), np.array([image.width, image.height])
    if (polygon < -size).any() or (polygon > 2 * size).any():
        raise ValueError("annotations whose polygon reaches further outside the image than the image is large")
    return polygon


def _checked_rle(segmentation: dict[str, Any], image: AnnotatedImage) -> dict[str, Any]:
    if segmentation.get("size") != [image.height, image.width]:
        raise ValueError("annotations whose mask has another size than their image")
    counts = segmentation.get("counts")
    if isinstance(counts, str):
        runs = _run_lengths(counts)
    elif isinstance(counts, list) and all(isinstance(run, int) for run in counts):
        runs = counts
    else:
        raise ValueError("annotations with a damaged mask")
    # pycocotools draws runs that do not fill the image without a word, over whatever the memory held.
    if any(run < 0 for run in runs) or sum(runs) != image.height * image.width:
        raise ValueError("annotations with a damaged mask")
    return dict(coco_mask.frPyObjects({"size": segmentation["size"], "counts": runs}, image.height, image.width))


def _run_lengths(counts: str) -> list[int]:
    """Run lengths of a compressed COCO mask: 5 bits a character, each run after the third as a difference.

    Raises ValueError for characters outside the code or a number that does not end.
    """
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 30:
            raise ValueError("annotations with a damaged mask")
        value |= (bits & 0x1F) << shift
        shift += 5
        if not bits & 0x20:
            if bits & 0x10:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError("annotations with a damaged mask")
    return runs


def draw_classes(image: AnnotatedImage, background: int, size: tuple[int, int]) -> np.ndarray:
    """Class index of every pixel, uint8 [H, W], on a canvas of `size`; later shapes overwrite earlier ones."""
    canvas = np.full(size, background, dtype=np.uint8)
    scale = np.array([size[1] / image.width, size[0] / image.height])
    for index, shape in image.shapes:
        if isinstance(shape, dict):
            mask = cv2.resize(coco_mask.decode(shape), size[::-1], interpolation=cv2.INTER_NEAREST)
        else:
            polygons = [(polygon * scale).ravel().tolist() for polygon in shape]
            mask = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, *size)))
        canvas[mask > 0] = index
    return canvas


def soft_target(image: AnnotatedImage, classes: int, background: int, size: tuple[int, int]) -> np.ndarray:
    """Share of each class in every pixel, float32 [K, H, W], summing to 1 over the classes.

    The shapes are drawn on a canvas that is the nearest whole multiple of `size` to the declared size (480 x 640 for a
    heat frame of 120 x 160, as the paper draws them) and averaged in floating point.
    """
    factor = max(1, round(image.height / size[0]))
    drawn = draw_classes(image, background, (size[0] * factor, size[1] * factor))
    shares = [
        cv2.resize((drawn == index).astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA)
        for index in range(classes)
    ]
    return np.stack(shares)


def match_frames(frames: Iterable[Frame], annotations: Annotations, skipped: Skipped) -> dict[Frame, AnnotatedImage]:
    """The frames that have regions, found by the annotated file's name, or by its path where names repeat."""
    by_name: dict[str, list[Frame]] = {}
    for frame in frames:
        by_name.setdefault(frame.name, []).append(frame)
    found = {}
    for image in annotations.images:
        candidates = by_name.get(image.stem, [])
        if len(candidates) > 1:
            folder = PurePosixPath(image.file_name.replace("\\", "/")).parts[:-1]
            candidates = [frame for frame in candidates if frame.path.parts[:-1] == folder]
        if len(candidates) == 1:
            found[candidates[0]] = image
        else:
            skipped.add("annotated images without a frame of that name", image.file_name)
    return found
