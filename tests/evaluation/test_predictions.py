"""predictions.csv: read back as written, and refused where a line could not be scored."""

import os
from pathlib import Path

import numpy as np
import pytest

from src.classes import Classes
from src.errors import UserError
from src.evaluation.predictions import (
    CLASSIFICATION_COLUMNS,
    MEASURES,
    SEGMENTATION_COLUMNS,
    class_maps,
    classification_rows,
    read_predictions,
    segmentation_rows,
    write_predictions,
)

FRAMES = [("0001", "0001/a.jpg"), ("0002", "0002/b.jpg")]
CLASSES = Classes(("left", "right", "ROI"), 2)
MAPS = np.random.default_rng(0).integers(0, 3, (2, 2, 12, 16), np.uint8)


def segmentation(path: Path) -> Path:
    scores = {measure: np.array([[0.5, np.nan, 0.5], [0.25, 1.0, 0.5]]) for measure in MEASURES}
    write_predictions(path, SEGMENTATION_COLUMNS, segmentation_rows("test", FRAMES, *MAPS, scores, CLASSES))
    return path


def classification(path: Path) -> Path:
    rows = classification_rows("test", FRAMES, [0, 1], np.array([0.25, 0.75]), {"0001": "2012"})
    write_predictions(path, CLASSIFICATION_COLUMNS, rows)
    return path


def test_masks_are_read_back(tmp_path: Path) -> None:
    truth, predicted = class_maps(read_predictions(segmentation(tmp_path / "a.csv")), CLASSES)
    assert np.array_equal(truth, MAPS[0])
    assert np.array_equal(predicted, MAPS[1])


def test_probabilities_are_read_back(tmp_path: Path) -> None:
    lines = read_predictions(classification(tmp_path / "a.csv"))
    assert [line["probability"] for line in lines] == ["0.25", "0.75"]


@pytest.mark.parametrize(
    ("write", "old", "new"),
    [
        (classification, ",0.25,", ",nan,"),
        (classification, ",0.25,", ",much,"),
        (classification, ",0.25,", ",1.5,"),
        (classification, ",0,0.25", ",2,0.25"),
        (classification, "0001/a.jpg,0", "0001/a.jpg"),
        (classification, "patient", "person"),
        (segmentation, ",12,16,", ",12,17,"),  # pycocotools would write beyond the mask
        (segmentation, ",12,16,", ",-12,-16,"),
        (segmentation, ",12,16,", ",99999,99999,"),
        (segmentation, ",12,16,", ",12,x,"),
        (segmentation, ",0.25,", ",much,"),
        (segmentation, ",left,", ",right,"),
        (segmentation, "truth", "true"),
    ],
)
def test_a_line_that_cannot_be_scored_is_named(tmp_path: Path, write: object, old: str, new: str) -> None:
    path = tmp_path / "a.csv"
    write(path)  # type: ignore[operator]
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UserError, match=r"a\.csv: .*--mode test"):
        read_predictions(path)


def test_what_is_no_table(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\0")
    (tmp_path / "empty.csv").touch()
    for name in ("pipe.csv", "binary.csv", "empty.csv", "missing.csv"):
        with pytest.raises(UserError, match=name):
            read_predictions(tmp_path / name)
