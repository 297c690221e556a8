"""Predicted regions as COCO JSON: one mask a region and frame, run lengths, so that every pixel survives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.prediction.predictors import NOTICE, Segmentation


class CocoRegions:
    """Collects frames; `content` is what CVAT ("COCO 1.0"), pycocotools and the setting `annotation_file` read.

    Category ids are the class index plus 1, the background included. Masks are uncompressed run lengths with
    `iscrowd` 1, which is how COCO stores masks that are no polygons.
    """

    def __init__(self, classes: tuple[Sequence[str], int]) -> None:
        self.names, self.background = classes
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []

    def add(self, result: Segmentation) -> None:
        """A predicted frame."""
        self.add_labels(result.thermogram.file, result.labels, result.confidences)

    def add_labels(
        self, file: PurePath, labels: NDArray[np.uint8], scores: Sequence[float | None] | None = None
    ) -> None:
        """A frame's class indices [h, w], and the mean probability of each class."""
        height, width = labels.shape
        number = len(self.images) + 1
        name = file.as_posix()
        self.images.append({"id": number, "file_name": name, "height": height, "width": width})
        by_columns = np.asfortranarray(labels)  # as run lengths go: a mask of it need not be turned
        for index in np.flatnonzero(np.bincount(labels.ravel())).tolist():
            if index == self.background:
                continue
            mask = by_columns == index
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            left, top = int(columns[0]), int(rows[0])
            annotation = {
                "id": len(self.annotations) + 1,
                "image_id": number,
                "category_id": index + 1,
                "segmentation": {"size": [height, width], "counts": run_lengths(mask)},
                "area": int(mask.sum()),
                "bbox": [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1],
                "iscrowd": 1,
            }
            score = None if scores is None else scores[index]
            self.annotations.append(annotation if score is None else annotation | {"score": round(score, 4)})

    @property
    def content(self) -> dict[str, Any]:
        """The whole file."""
        categories = [
            {"id": number, "name": name, "supercategory": ""} for number, name in enumerate(self.names, start=1)
        ]
        info = {"description": NOTICE, "contributor": "", "date_created": "", "url": "", "version": "", "year": 0}
        return {
            "info": info,
            "licenses": [{"id": 0, "name": "", "url": ""}],
            "categories": categories,
            "images": self.images,
            "annotations": self.annotations,
        }


def run_lengths(mask: NDArray[np.bool_]) -> list[int]:
    """COCO's run lengths of a mask [h, w], by columns, beginning with a run outside of it."""
    flat = np.concatenate(([False], mask.ravel(order="F")))
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    ends = np.concatenate(([0], changes, [mask.size]))
    runs: list[int] = np.diff(ends).tolist()
    return runs
