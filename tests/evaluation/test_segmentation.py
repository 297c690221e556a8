"""Scores of region maps against scikit-learn, MONAI and loops that anybody can check."""

import logging

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import metrics as sk

from src.classes import Classes
from src.evaluation.intervals import score
from src.evaluation.segmentation import (
    confusion_matrices,
    dice_and_iou,
    image_scores,
    image_statistic,
    pooled_statistic,
    region_scores,
)

CLASSES = Classes(("breast", "nipple", "neck", "ROI"), 3)
COUNT = len(CLASSES.names)
MAPS = arrays(np.uint8, (3, 5, 6), elements=st.integers(0, COUNT - 1))


@settings(deadline=None, max_examples=30)
@given(truth=MAPS, predicted=MAPS)
def test_confusion_and_dice_against_scikit_learn_and_counting(truth: np.ndarray, predicted: np.ndarray) -> None:
    confusion = confusion_matrices(truth, predicted, COUNT)
    assert confusion.shape == (len(truth), COUNT, COUNT)
    for image in range(len(truth)):
        expected = sk.confusion_matrix(truth[image].ravel(), predicted[image].ravel(), labels=range(COUNT))
        assert_array_equal(confusion[image], expected)
    dice, iou = dice_and_iou(confusion)
    assert dice.shape == iou.shape == (len(truth), COUNT)
    for image in range(len(truth)):
        for index in range(COUNT):
            a, b = truth[image] == index, predicted[image] == index
            if not (a | b).any():
                assert np.isnan(dice[image, index])
                assert np.isnan(iou[image, index])
            else:
                assert dice[image, index] == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum()))
                assert iou[image, index] == pytest.approx((a & b).sum() / (a | b).sum())


def test_absent_region_is_left_out_of_the_macro_scores(caplog: pytest.LogCaptureFixture) -> None:
    truth = np.array([[[0, 0, 1, 3], [0, 0, 3, 3]]])
    predicted = np.array([[[0, 0, 3, 3], [0, 1, 3, 3]]])
    with caplog.at_level(logging.WARNING):
        scores = region_scores(confusion_matrices(truth, predicted, COUNT).sum(0), CLASSES)
    assert "neck" in caplog.text
    assert np.isnan(scores["dice/neck"])
    assert np.isnan(scores["iou/neck"])
    assert scores["dice/breast"] == pytest.approx(6 / 7)
    assert scores["dice/nipple"] == 0  # missed and predicted elsewhere: a zero, not absent
    assert scores["dice/ROI"] == pytest.approx(6 / 7)
    assert scores["dice_macro"] == pytest.approx((6 / 7 + 0) / 2)
    assert scores["iou_macro"] == pytest.approx((3 / 4 + 0) / 2)
    assert scores["pixel_accuracy"] == 6 / 8


def test_background_stays_out_of_the_macro_scores() -> None:
    truth = np.array([[[0, 1, 2, 3, 3, 3]]])
    predicted = np.array([[[0, 1, 2, 0, 1, 2]]])
    scores = region_scores(confusion_matrices(truth, predicted, COUNT).sum(0), CLASSES)
    assert scores["dice/ROI"] == 0
    assert scores["dice_macro"] == pytest.approx(2 / 3)


def test_background_alone_has_no_macro_score() -> None:
    nothing = np.full((1, 4, 4), 3)
    scores = region_scores(confusion_matrices(nothing, nothing, COUNT).sum(0), CLASSES)
    assert np.isnan(scores["dice_macro"])
    assert np.isnan(scores["iou_macro"])
    assert scores["pixel_accuracy"] == scores["dice/ROI"] == 1


@settings(deadline=None, max_examples=30)
@given(truth=MAPS, predicted=MAPS, seed=st.integers(0, 1000))
def test_counts_of_frames_are_repeated_frames(truth: np.ndarray, predicted: np.ndarray, seed: int) -> None:
    counts = np.random.default_rng(seed).integers(0, 3, size=(4, len(truth)))
    counts[:, 0] += 1
    confusion = confusion_matrices(truth, predicted, COUNT)
    found = pooled_statistic(confusion, CLASSES)(counts)
    for row, drawn in enumerate(counts):
        expected = region_scores(np.repeat(confusion, drawn, axis=0).sum(0), CLASSES)
        for name, value in expected.items():
            assert_allclose(found[name][row], value, err_msg=name)


def disc(row: int, column: int, radius: int, size: tuple[int, int] = (60, 80)) -> np.ndarray:
    rows, columns = np.indices(size)
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def discs() -> tuple[np.ndarray, np.ndarray]:
    """Truth and prediction [3, 60, 80]: shifted discs, some cut by the border, all of them in every image."""
    maps = np.full((2, 3, 60, 80), 3, np.uint8)
    for image in range(3):
        for index, (row, column, radius) in enumerate([(20, 20, 15), (30, 60, 6), (58, 40, 9)]):
            maps[0, image][disc(row, column, radius)] = index
            maps[1, image][disc(row + image, column - 2 * image + index, radius + image - 1)] = index
    return maps[0], maps[1]


def one_hot(maps: np.ndarray) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.from_numpy(maps.astype(np.int64)), COUNT).movedim(-1, 1)


@pytest.mark.filterwarnings("ignore::FutureWarning:monai")
def test_image_scores_are_those_of_monai() -> None:
    from monai import metrics

    truth, predicted = discs()
    found = image_scores(truth, predicted, CLASSES)
    masks = one_hot(predicted), one_hot(truth)
    limits = [2.0] * COUNT
    expected = {
        "dice": metrics.compute_dice(*masks),
        "iou": metrics.compute_iou(*masks),
        "surface_dice": metrics.compute_surface_dice(*masks, class_thresholds=limits, include_background=True),
        "hausdorff95": metrics.compute_hausdorff_distance(*masks, include_background=True, percentile=95),
    }
    for name, values in expected.items():
        assert_allclose(found[name][:, :3], values[:, :3], rtol=1e-6, err_msg=name)
        assert np.isnan(found[name][:, 3]).all()


def test_border_scores_of_squares() -> None:
    truth, predicted = np.full((2, 1, 20, 30), 3, np.uint8)
    truth[0, 5:15, 5:15] = 0
    predicted[0, 5:15, 8:18] = 0
    found = image_scores(truth, predicted, CLASSES)
    border = {(row, col) for row in range(5, 15) for col in range(5, 15) if row in (5, 14) or col in (5, 14)}
    moved = {(row, col + 3) for row, col in border}
    distances = [
        [min(np.hypot(row - other_row, col - other_col) for other_row, other_col in other) for row, col in one]
        for one, other in ((border, moved), (moved, border))
    ]
    near = sum(distance <= 2 for of_one in distances for distance in of_one)
    assert found["surface_dice"][0, 0] == pytest.approx(near / 72)
    assert found["hausdorff95"][0, 0] == pytest.approx(max(np.percentile(of_one, 95) for of_one in distances))
    assert found["dice"][0, 0] == pytest.approx(0.7)


def test_empty_regions_follow_their_rule() -> None:
    truth, predicted = np.full((2, 2, 30, 40), 3, np.uint8)
    truth[0, 2:9, 2:9] = 0  # missed
    predicted[0, 20:25, 20:25] = 1  # made up
    truth[1, 2:9, 2:9] = predicted[1, 2:9, 2:9] = 2  # found exactly
    found = image_scores(truth, predicted, CLASSES)
    for name in ("dice", "iou", "surface_dice"):
        assert_array_equal(found[name], [[0, 0, np.nan, np.nan], [np.nan, np.nan, 1, np.nan]])
    assert_array_equal(found["hausdorff95"], [[50, 50, np.nan, np.nan], [np.nan, np.nan, 0, np.nan]])


def test_means_over_images_leave_absent_regions_out() -> None:
    values = np.array([[0.5, np.nan, np.nan, np.nan], [1.0, 0.4, np.nan, np.nan], [0.0, 0.8, np.nan, np.nan]])
    statistic = image_statistic({"dice": values}, CLASSES)
    scores = score(statistic, 3)
    assert scores["image_dice/breast"] == pytest.approx(0.5)
    assert scores["image_dice/nipple"] == pytest.approx(0.6)
    assert np.isnan(scores["image_dice/neck"])
    assert scores["image_dice_macro"] == pytest.approx(0.55)
    assert set(scores) == {"image_dice/breast", "image_dice/nipple", "image_dice/neck", "image_dice_macro"}
    found = statistic(np.array([[2, 0, 1], [1, 0, 0], [0, 0, 0]]))
    assert_allclose(found["image_dice/breast"], [1 / 3, 0.5, np.nan])
    assert_allclose(found["image_dice/nipple"], [0.8, np.nan, np.nan])
    assert_allclose(found["image_dice_macro"], [(1 / 3 + 0.8) / 2, 0.5, np.nan])
