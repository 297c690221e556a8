"""Polygons to training masks to predicted COCO to pycocotools to masks: every pixel the same."""

import contextlib
import io
import json
from pathlib import Path, PurePath

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO

from src.classes import Classes
from src.datasets.annotations import read_annotations
from src.datasets.region_targets import draw_classes
from src.datasets.source import Skipped
from src.prediction.coco import CocoRegions


def opened(path: Path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def masks_of(coco: COCO, image: int, shape: tuple[int, int], background: int) -> np.ndarray:
    labels = np.full(shape, background, np.uint8)
    for annotation in coco.loadAnns(coco.getAnnIds(imgIds=[image])):
        labels[coco.annToMask(annotation) > 0] = annotation["category_id"] - 1
    return labels


def test_round_trip_on_the_truth_is_exact(phantom: Path, tmp_path: Path) -> None:
    truth = read_annotations(phantom / "52_instances_default.json", "ROI", Skipped())
    assert len(truth.images) >= 5
    drawn = [draw_classes(image, truth.classes.background, (image.height, image.width)) for image in truth.images]
    regions = CocoRegions(truth.classes)
    for image, labels in zip(truth.images, drawn, strict=True):
        regions.add(PurePath(image.file_name), labels)
    path = tmp_path / "regions.coco.json"
    path.write_text(json.dumps(regions.content), encoding="utf-8")
    coco = opened(path)
    again = read_annotations(path, "ROI", Skipped())
    assert again.classes == truth.classes
    for number, (labels, image) in enumerate(zip(drawn, again.images, strict=True), start=1):
        assert np.array_equal(masks_of(coco, number, labels.shape, truth.classes.background), labels)
        assert np.array_equal(draw_classes(image, again.classes.background, labels.shape), labels)
    for annotation in coco.loadAnns(coco.getAnnIds()):
        mask = coco.annToMask(annotation).astype(bool)
        left, top, width, height = annotation["bbox"]
        assert annotation["area"] == mask.sum() == mask[top : top + height, left : left + width].sum()
        assert mask[top].any() and mask[:, left].any() and mask[top + height - 1].any()  # noqa: PT018


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_run_lengths_are_those_of_the_obvious_loop(rows: int, columns: int, seed: int) -> None:
    mask = np.random.default_rng(seed).random((rows, columns)) < 0.5
    runs, inside, length = [], False, 0
    for column in range(columns):
        for row in range(rows):
            if mask[row, column] != inside:
                runs.append(length)
                inside, length = not inside, 0
            length += 1
    regions = CocoRegions(Classes(("region", "rest"), 1))
    regions.add(PurePath("x.jpg"), 1 - mask.astype(np.uint8))
    assert [each["segmentation"]["counts"] for each in regions.annotations] == [[*runs, length]] * bool(mask.any())


def test_what_cvat_asks_for_is_there() -> None:
    regions = CocoRegions(Classes(("a", "ROI"), 1))
    regions.add(PurePath("folder/x.jpg"), np.array([[0, 1], [1, 1]], np.uint8), [0.75, None])
    content = regions.content
    assert {"info", "licenses", "categories", "images", "annotations"} == content.keys()
    assert content["images"] == [{"id": 1, "file_name": "folder/x.jpg", "height": 2, "width": 2}]
    (annotation,) = content["annotations"]
    assert annotation["segmentation"] == {"size": [2, 2], "counts": [0, 1, 3]}
    assert annotation["score"] == pytest.approx(0.75)
    assert "no diagnosis" in content["info"]["description"]
