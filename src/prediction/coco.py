"""Predicted regions as COCO JSON: one mask a region and frame, run lengths, so that every pixel survives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from src.classes import Classes
from src.prediction.predictors import NOTICE


class CocoRegions:
    """Collects frames; `content` is what CVAT ("COCO 1.0"), pycocotools and the setting `annotation_file` read.

    Category ids are the class index plus 1, the background included. Masks are uncompressed run lengths with
    `iscrowd` 1, which is how COCO stores masks that are no polygons.
    """

    def __init__(self, classes: Classes) -> None:
        self.classes = classes
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []

    def add(self, file: PurePath, labels: NDArray[np.uint8], scores: Sequence[float | None] | None = None) -> None:
        """A frame's class indices [h, w], and the mean probability of each class."""
        height, width = labels.shape
        number = len(self.images) + 1
        self.images.append({"id": number, "file_name": file.as_posix(), "height": height, "width": width})
        flat = labels.ravel(order="F")  # as run lengths go
        ends = np.append(np.flatnonzero(flat[1:] != flat[:-1]) + 1, flat.size)
        starts = np.concatenate(([0], ends[:-1]))
        chosen = flat[starts]
        for index in sorted(set(chosen.tolist()) - {self.classes.background}):
            own = chosen == index
            annotation = {
                "id": len(self.annotations) + 1,
                "image_id": number,
                "category_id": index + 1,
                "segmentation": {"size": [height, width], "counts": run_lengths(starts[own], ends[own], flat.size)},
                "area": int((ends - starts)[own].sum()),
                "bbox": list(cv2.boundingRect((labels == index).astype(np.uint8))),
                "iscrowd": 1,
            }
            score = None if scores is None else scores[index]
            self.annotations.append(annotation if score is None else annotation | {"score": round(score, 4)})

    @property
    def content(self) -> dict[str, Any]:
        """The whole file."""
        return {
            "info": {
                "description": NOTICE,
                **dict.fromkeys(("contributor", "date_created", "url", "version"), ""),
                "year": 0,
            },
            "licenses": [{"id": 0, "name": "", "url": ""}],
            "categories": [
                {"id": id, "name": name, "supercategory": ""} for id, name in enumerate(self.classes.names, 1)
            ],
            "images": self.images,
            "annotations": self.annotations,
        }


def run_lengths(starts: NDArray[np.intp], ends: NDArray[np.intp], size: int) -> list[int]:
    """COCO's run lengths of a mask of so many pixels whose runs begin and end there, first one outside of it."""
    inside = np.stack((starts, ends), 1).ravel()
    runs: list[int] = np.diff(inside, prepend=0, append=size).tolist()
    return runs if runs[-1] else runs[:-1]
