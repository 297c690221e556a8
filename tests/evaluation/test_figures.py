"""Figures from easy and from awkward arrays."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.classes import Classes
from src.evaluation import figures
from src.evaluation.calibration import reliability
from src.evaluation.intervals import Interval

NAMES = ("left_breast", "ROI", "neck")


def is_picture(path: Path) -> bool:
    with Image.open(path) as picture:
        return min(picture.size) > 200 and len(np.unique(np.asarray(picture.convert("L")))) > 10


@pytest.mark.parametrize("auc", [None, Interval(0.8, 0.6, 0.9), Interval(1.0, reason="x"), Interval(None, reason="x")])
@pytest.mark.parametrize("labels", [[0, 1, 0, 1], [1, 1, 1, 1]])
def test_roc_with_and_without_an_interval(tmp_path: Path, auc: Interval | None, labels: list[int]) -> None:
    path = tmp_path / "roc.png"
    figures.roc_and_confusion(np.array(labels), np.array([0.1, 0.6, 0.7, 0.9]), 0.5, "patients", path, auc)
    assert is_picture(path)


@pytest.mark.parametrize("count", [1, 15, 300])
def test_reliability_diagram_of_few_and_many(tmp_path: Path, count: int) -> None:
    rng = np.random.default_rng(count)
    figures.reliability_diagram(
        reliability(rng.integers(0, 2, count), rng.random(count)), "patients", tmp_path / "bins.png"
    )
    assert is_picture(tmp_path / "bins.png")


def test_dice_boxes_of_present_and_absent_regions(tmp_path: Path) -> None:
    dice = np.array([[0.9, np.nan, np.nan], [0.8, np.nan, np.nan]])
    figures.dice_boxes(dice, Classes(NAMES, 1), tmp_path / "dice.png")
    assert is_picture(tmp_path / "dice.png")
