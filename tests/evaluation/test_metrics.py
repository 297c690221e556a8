"""Scores against scikit-learn and against loops that anybody can check."""

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import metrics as sk

from src.evaluation.metrics import (
    area_under_curve,
    binary_scores,
    by_patient,
    classification_scores,
    confusion_matrices,
    dice_and_iou,
    region_scores,
)

CLASSES = 4
NAMES = ["breast", "nipple", "neck", "ROI"]
MAPS = arrays(np.uint8, (3, 5, 6), elements=st.integers(0, CLASSES - 1))


def sample(count: int = 60, seed: int = 0) -> tuple[list[str], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    patients = [f"{number % 17:04d}" for number in range(count)]
    labels = np.array([int(name) % 2 for name in patients])
    return patients, labels, np.clip(labels * 0.2 + rng.random(count) * 0.8, 0, 1)


def test_binary_scores_are_those_of_scikit_learn() -> None:
    _, labels, probabilities = sample()
    predicted = probabilities >= 0.5
    expected = {
        "x_accuracy": sk.accuracy_score(labels, predicted),
        "x_balanced_accuracy": sk.balanced_accuracy_score(labels, predicted),
        "x_precision": sk.precision_score(labels, predicted),
        "x_recall": sk.recall_score(labels, predicted),
        "x_f1": sk.f1_score(labels, predicted),
        "x_auc": sk.roc_auc_score(labels, probabilities),
    }
    assert binary_scores(labels, probabilities, "x") == pytest.approx(expected)


def test_binary_scores_by_counting() -> None:
    labels = np.array([1, 1, 1, 0, 0, 0, 0, 0])
    probabilities = np.array([0.9, 0.5, 0.2, 0.7, 0.1, 0.2, 0.3, 0.4])  # 2 hits, 1 miss, 1 false alarm, 4 rejections
    scores = binary_scores(labels, probabilities, "x")
    assert scores["x_accuracy"] == 6 / 8
    assert scores["x_balanced_accuracy"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert scores["x_precision"] == scores["x_recall"] == scores["x_f1"] == pytest.approx(2 / 3)
    pairs = [(p > n) + (p == n) / 2 for p in probabilities[labels == 1] for n in probabilities[labels == 0]]
    assert scores["x_auc"] == pytest.approx(np.mean(pairs))


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_only_has_no_auc(label: int, caplog: pytest.LogCaptureFixture) -> None:
    labels, probabilities = np.full(4, label), np.array([0.1, 0.4, 0.6, 0.9])
    with caplog.at_level(logging.WARNING):
        scores = binary_scores(labels, probabilities, "x")
    assert np.isnan(scores["x_auc"])
    assert np.isnan(scores["x_balanced_accuracy"])
    assert np.isnan(area_under_curve(labels, probabilities))
    assert scores["x_accuracy"] == 0.5
    assert "only one diagnosis" in caplog.text


def test_patient_probability_is_the_mean_over_its_frames() -> None:
    names, labels, probabilities = by_patient(
        ["b", "a", "b", "b"], np.array([1, 0, 1, 1]), np.array([0.9, 0.2, 0.4, 0.05])
    )
    assert names == ["a", "b"]
    assert_array_equal(labels, [0, 1])
    assert_allclose(probabilities, [0.2, 0.45])


def test_classification_scores_by_frame_and_by_patient() -> None:
    patients, labels, probabilities = sample()
    scores = classification_scores(patients, labels, probabilities)
    names = sorted(set(patients))
    means = np.array(
        [np.mean([p for n, p in zip(patients, probabilities, strict=True) if n == name]) for name in names]
    )
    truth = np.array([int(name) % 2 for name in names])
    assert scores["patient_auc"] == pytest.approx(sk.roc_auc_score(truth, means))
    assert scores["patient_accuracy"] == pytest.approx(sk.accuracy_score(truth, means >= 0.5))
    assert scores["frame_auc"] == pytest.approx(sk.roc_auc_score(labels, probabilities))
    assert len(scores) == 12


@given(truth=MAPS, predicted=MAPS)
def test_confusion_and_dice_against_scikit_learn_and_counting(truth: np.ndarray, predicted: np.ndarray) -> None:
    confusion = confusion_matrices(truth, predicted, CLASSES)
    assert confusion.shape == (len(truth), CLASSES, CLASSES)
    for image in range(len(truth)):
        expected = sk.confusion_matrix(truth[image].ravel(), predicted[image].ravel(), labels=range(CLASSES))
        assert_array_equal(confusion[image], expected)
    dice, iou = dice_and_iou(confusion)
    assert dice.shape == iou.shape == (len(truth), CLASSES)
    for image in range(len(truth)):
        for index in range(CLASSES):
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
        scores = region_scores(confusion_matrices(truth, predicted, CLASSES).sum(0), NAMES, 3)
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
    scores = region_scores(confusion_matrices(truth, predicted, CLASSES).sum(0), NAMES, 3)
    assert scores["dice/ROI"] == 0
    assert scores["dice_macro"] == pytest.approx(2 / 3)


def test_background_alone_has_no_macro_score() -> None:
    nothing = np.full((1, 4, 4), 3)
    scores = region_scores(confusion_matrices(nothing, nothing, CLASSES).sum(0), NAMES, 3)
    assert np.isnan(scores["dice_macro"])
    assert np.isnan(scores["iou_macro"])
    assert scores["pixel_accuracy"] == scores["dice/ROI"] == 1
