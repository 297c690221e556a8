"""Regions from a COCO file: joined on ids, drawn by category id, averaged to the frame's size."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeGuard

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from src.datasets.images import MAX_PIXELS
from src.datasets.letterbox import Letterbox
from src.datasets.source import Frame, Skipped
from src.errors import UserError, is_printable
from src.files import MEGABYTE, read_json
from src.settings import Modality

_MOST_CATEGORIES = 255  # a drawn mask holds one byte a pixel
_LONGEST_MASK = MEGABYTE  # characters or runs; an outline of a breast needs some hundreds
_LONGEST_OUTLINES = 200.0
"""Length of all outlines of an image together, in sides of the image; eight regions drawn by hand have about ten. What
is drawn takes time and memory in proportion to it, whatever the number of points."""
_EACH_OUTLINE = 0.05  # in the same unit, what a polygon costs beside its length

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
    def outline(self) -> float:
        """How long the outlines of all polygons are together, in sides of the image, with a little for each."""
        polygons = [polygon for _, shape in self.shapes if isinstance(shape, list) for polygon in shape]
        return sum(_EACH_OUTLINE + _length(polygon, self) for polygon in polygons)

    def as_plain(self) -> list[list[Any]]:
        """The shapes as JSON has them: class index, and points or run lengths."""
        return [
            [index, [polygon.tolist() for polygon in shape] if isinstance(shape, list) else shape["counts"].decode()]
            for index, shape in self.shapes
        ]

    @property
    def path(self) -> PurePosixPath:
        """The file name as a path, whichever slashes it came with; its stem is what a `Frame` is named."""
        return PurePosixPath(self.file_name.replace("\\", "/"))


_Place = tuple[str, Path]
"""Patient, and folder of a frame."""
_Images = dict[int, AnnotatedImage | None]
"""Images by id; None where the image is left out, which is counted already."""


@dataclass(frozen=True)
class Annotations:
    """The file's class names, index = category id - 1, and its images that have at least one region."""

    class_names: tuple[str, ...]
    background: int
    images: tuple[AnnotatedImage, ...]


def read_annotations(path: Path, background: str, skipped: Skipped) -> Annotations:
    """Read a COCO file with categories of ids 1..K, one of them named `background`.

    Raises `UserError` if the file is no such COCO file; single damaged entries are skipped with their reason, and an
    image with one of them is left out whole: what its damaged region covers would pass for background.
    """
    content = read_json(path, "the region annotations")
    lists = content if isinstance(content, dict) else {}
    for key in ("images", "annotations", "categories"):
        if not isinstance(lists.get(key), list) or not all(isinstance(item, dict) for item in lists[key]):
            raise UserError(f"{path}: no COCO file: a list of objects named '{key}' is missing")
    names = _class_names(path, lists["categories"], background)
    images = _read_images(lists["images"], skipped)
    for number, annotation in enumerate(lists["annotations"]):
        try:
            _add_shape(images, names, names.index(background), annotation)
        except ValueError as error:
            skipped.add(str(error), f"annotation {annotation.get('id', f'number {number + 1}')}")
            _leave_out(images, annotation.get("image_id"), "annotated images with a skipped annotation", skipped)
    for number, image in images.items():
        if image and image.outline > _LONGEST_OUTLINES:
            _leave_out(images, number, "annotated images whose outlines are longer than any hand draws", skipped)
    annotated = tuple(image for image in images.values() if image and image.shapes)
    return Annotations(names, names.index(background), annotated)


def _read_images(entries: list[dict[str, Any]], skipped: Skipped) -> _Images:
    images: _Images = {}
    for entry in entries:
        number, name, height, width = (entry.get(key) for key in ("id", "file_name", "height", "width"))
        image = reason = None
        if not (isinstance(name, str) and _whole(height, 1) and _whole(width, 1) and _whole(number)):
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
        if _whole(number):
            images[number] = image
    return images


def _leave_out(images: _Images, number: Any, reason: str, skipped: Skipped) -> None:
    image = images.get(number) if _whole(number) else None
    if image:
        skipped.add(reason, image.file_name)
        images[number] = None


def _whole(value: Any, least: int = 0) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _class_names(path: Path, categories: list[dict[str, Any]], background: str) -> tuple[str, ...]:
    by_id = {item["id"]: item["name"] for item in categories if _whole(item.get("id")) and "name" in item}
    ids = list(range(1, len(categories) + 1))
    named = [name for name in by_id.values() if isinstance(name, str) and is_printable(name)]
    if set(by_id) != set(ids) or len(set(named)) < len(ids):
        raise UserError(f"{path}: categories: ids 1 to {len(ids)}, each once and with a name of its own, are accepted")
    if len(ids) > _MOST_CATEGORIES:
        raise UserError(f"{path}: {len(ids)} categories, at most {_MOST_CATEGORIES} are accepted")
    names = tuple(str(by_id[number]) for number in ids)
    if background not in names:
        raise UserError(f"{path}: no category is named {background!r} (the setting 'background'); there are {names}")
    return names


def _add_shape(images: _Images, names: tuple[str, ...], background: int, annotation: dict[str, Any]) -> None:
    """Check one annotation and append it to its image; ValueError gives the reason why it cannot be used."""
    number, category = annotation.get("image_id"), annotation.get("category_id")
    if not _whole(number) or number not in images:
        raise ValueError("annotations whose image id is not in the file")
    if not _whole(category, 1) or category > len(names):
        raise ValueError("annotations whose category id is not in the file")
    index, declared, segmentation = category - 1, images[number], annotation.get("segmentation")
    if index == background:
        return  # the background is what no region covers, not a region of its own
    if not segmentation:
        raise ValueError("annotations without a polygon or mask")
    if declared is None:
        return
    if isinstance(segmentation, dict):
        declared.shapes.append((index, _checked_rle(segmentation, declared)))
    elif isinstance(segmentation, list) and segmentation:
        declared.shapes.append((index, [_checked_polygon(points, declared) for points in segmentation]))
    else:
        raise ValueError("annotations without a polygon or mask")


def _checked_polygon(points: Any, image: AnnotatedImage) -> np.ndarray:
    try:
        polygon = np.asarray(points, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("annotations with a damaged polygon") from None
    if polygon.ndim != 1 or len(polygon) < 6 or len(polygon) % 2 or not np.isfinite(polygon).all():
        raise ValueError("annotations with a damaged polygon")
    polygon, size = polygon.reshape(-1, 2), np.array([image.width, image.height])
    if (polygon < -size).any() or (polygon > 2 * size).any():
        raise ValueError("annotations whose polygon reaches further outside the image than the image is large")
    return polygon


def _length(polygon: np.ndarray, image: AnnotatedImage) -> float:
    """Length of a closed outline [points, 2] in sides of the image."""
    steps = np.abs(np.diff(polygon, axis=0, append=polygon[:1])) / (image.width, image.height)
    return float(steps.max(axis=1).sum())


def _checked_rle(segmentation: dict[str, Any], image: AnnotatedImage) -> dict[str, Any]:
    if segmentation.get("size") != [image.height, image.width]:
        raise ValueError("annotations whose mask has another size than their image")
    counts = segmentation.get("counts")
    if isinstance(counts, str | list) and len(counts) > _LONGEST_MASK:
        raise ValueError("annotations with a damaged mask")
    if isinstance(counts, str):
        runs = _run_lengths(counts)
    elif isinstance(counts, list) and all(isinstance(run, int) for run in counts):
        runs = counts
    else:
        raise ValueError("annotations with a damaged mask")
    if not _fills(runs, image.height * image.width):
        raise ValueError("annotations with a damaged mask")
    return dict(coco_mask.frPyObjects({"size": segmentation["size"], "counts": runs}, image.height, image.width))


def is_mask(counts: str, height: int, width: int) -> bool:
    """Whether a compressed COCO mask is one of so many rows and columns."""
    try:
        return len(counts) <= _LONGEST_MASK and _fills(_run_lengths(counts), height * width)
    except ValueError:
        return False


def _fills(runs: list[int], pixels: int) -> bool:
    # pycocotools draws runs that do not fill the image without a word, over whatever the memory held.
    return sum(runs) == pixels and all(run >= 0 for run in runs)


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


def soft_target(image: AnnotatedImage, classes: int, background: int, box: Letterbox) -> np.ndarray:
    """Share of each class in every pixel of the box's frame, float32 [K, H, W], summing to 1 over the classes.

    The shapes are drawn on a canvas that is the nearest whole multiple of the box's content to the declared size (480 x
    640 for a heat frame of 120 x 160, as the paper draws them) and averaged in floating point. What the frame was
    filled up with is background: a region that reaches the border ends there.
    """
    size = box.content
    factor = max(1, round(min(image.height / size[0], image.width / size[1])))
    drawn = draw_classes(image, background, (size[0] * factor, size[1] * factor))
    shares = [
        cv2.resize((drawn == index).astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA)
        for index in range(classes)
    ]
    target = np.zeros((classes, *box.frame), np.float32)
    target[background] = 1
    target[:, *box.inside] = shares
    return target


def match_frames(
    frames: Mapping[Modality, Sequence[Frame]], annotations: Annotations, skipped: Skipped
) -> dict[Frame, AnnotatedImage]:
    """The annotated image of each frame that has one, found by the file's name.

    Where the annotated paths name patients' folders, the patient must agree too. `frames` are all that the collection
    lists: without those that a run cannot use, another patient's frame of the same name would take their place.
    """
    places: dict[str, set[_Place]] = {}
    counts: Counter[tuple[Modality, Path, str]] = Counter()
    for modality, listed in frames.items():
        for frame in listed:
            places.setdefault(frame.name, set()).add((frame.patient, frame.path.parent))
            counts[modality, frame.path.parent, frame.name] += 1
    patients = {patient for found in places.values() for patient, _ in found}
    by_patient = any(patients.intersection(image.path.parent.parts) for image in annotations.images)
    images: dict[tuple[Path, str], list[AnnotatedImage]] = {}
    for image in annotations.images:
        name = image.path.stem
        found = _places_of(image, places.get(name, set()), by_patient)
        if not found:
            skipped.add("annotated images without a frame of that name", image.file_name)
        elif len(found) > 1 or any(counts[modality, found[0], name] > 1 for modality in frames):
            skipped.add("annotated images whose name fits several frames", image.file_name)
        else:
            images.setdefault((found[0], name), []).append(image)
    for key, same in list(images.items()):
        if len(same) > 1:  # each may hold a part of the regions, or another opinion
            for image in same:
                skipped.add("annotated images that share their frame", image.file_name)
            del images[key]
    everything = (frame for listed in frames.values() for frame in listed)
    return {
        frame: images[frame.path.parent, frame.name][0]
        for frame in everything
        if (frame.path.parent, frame.name) in images
    }


def _places_of(image: AnnotatedImage, places: set[_Place], by_patient: bool) -> list[Path]:
    """The folders of these whose frame the image may mean; the whole path decides where the patient leaves several."""
    parts = image.path.parent.parts
    fitting = [folder for patient, folder in places if not (parts and by_patient) or patient in parts]
    ending = [folder for folder in fitting if parts[-len(folder.parts) :] == folder.parts]
    return ending if len(fitting) > 1 and ending else fitting
