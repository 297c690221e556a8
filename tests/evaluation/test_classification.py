"""Scores of probabilities against scikit-learn and against counting that anybody can check."""

import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import metrics as sk

from src.errors import UserError
from src.evaluation.classification import (
    binary_scores,
    binary_statistic,
    by_patient,
    classification_intervals,
    classification_scores,
    frame_scores,
)


def sample(count: int = 60, seed: int = 0) -> tuple[list[str], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    patients = [f"{number % 17:04d}" for number in range(count)]
    labels = np.array([int(name) % 2 for name in patients])
    return patients, labels, np.clip(labels * 0.2 + rng.random(count) * 0.8, 0, 1)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000), steps=st.integers(2, 12), threshold=st.sampled_from([0.0, 0.3, 0.5, 0.9]))
def test_counts_of_units_are_repeated_units_to_scikit_learn(seed: int, steps: int, threshold: float) -> None:
    rng = np.random.default_rng(seed)
    labels = np.array([0, 1, *rng.integers(0, 2, 10)])
    probabilities = rng.integers(0, steps, 12) / steps  # many ties
    counts = rng.integers(0, 4, size=(3, 12))
    counts[:, :2] += 1  # both classes are drawn
    found = binary_statistic(labels, probabilities, threshold)(counts)
    for row, drawn in enumerate(counts):
        truth, values = np.repeat(labels, drawn), np.repeat(probabilities, drawn)
        called = values >= threshold
        expected = {
            "accuracy": sk.accuracy_score(truth, called),
            "balanced_accuracy": sk.balanced_accuracy_score(truth, called),
            "precision": sk.precision_score(truth, called, zero_division=0),
            "recall": sk.recall_score(truth, called),
            "f1": sk.f1_score(truth, called, zero_division=0),
            "auc": sk.roc_auc_score(truth, values),
            "average_precision": sk.average_precision_score(truth, values),
            "sensitivity": sk.recall_score(truth, called),
            "specificity": sk.recall_score(truth, called, pos_label=0),
            "mcc": sk.matthews_corrcoef(truth, called),
            "brier": sk.brier_score_loss(truth, values),
        }
        assert {name: values[row] for name, values in found.items()} == pytest.approx(expected)


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
    assert np.isnan(frame_scores(labels, probabilities)["frame_auc"])
    assert np.isnan(scores["x_mcc"])
    assert np.isnan(scores["x_average_precision"]) == np.isnan(scores["x_f1"]) == (label == 0)
    assert np.isnan(scores["x_sensitivity"]) == np.isnan(scores["x_recall"]) == (label == 0)
    assert np.isnan(scores["x_specificity"]) == (label == 1)
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
    assert scores["patient_brier"] == pytest.approx(np.mean((means - truth) ** 2))
    assert {name for name in scores if name.startswith("frame_")} == {
        f"frame_{name}" for name in ("accuracy", "balanced_accuracy", "precision", "recall", "f1", "auc")
    }


def test_threshold_moves_the_scores_that_depend_on_it() -> None:
    patients, labels, probabilities = sample()
    low, high = (classification_scores(patients, labels, probabilities, threshold) for threshold in (0.0, 1.1))
    assert low["patient_sensitivity"] == high["patient_specificity"] == 1
    assert low["patient_specificity"] == high["patient_sensitivity"] == high["patient_precision"] == 0
    assert low["patient_mcc"] == high["patient_mcc"] == 0
    assert low["patient_auc"] == high["patient_auc"]


def test_a_probability_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(UserError, match="1 of 2 probabilities are not numbers"):
        binary_scores(np.array([0, 1]), np.array([0.5, np.nan]), "x")


def test_intervals_are_of_the_scores_by_patient() -> None:
    patients, labels, probabilities = sample()
    scores = classification_scores(patients, labels, probabilities, 0.4)
    intervals = classification_intervals(patients, labels, probabilities, 0.4, seed=1)
    assert set(intervals) == {name for name in scores if name.startswith("patient_")}
    for name, interval in intervals.items():
        assert interval.value == pytest.approx(scores[name])
    assert "upwards" in intervals["patient_ece"].reason


def test_a_perfect_score_has_an_exact_interval_where_there_is_one() -> None:
    labels = np.repeat([1, 0], [4, 8])
    found = classification_intervals([f"{n}" for n in range(12)], labels, labels * 0.8 + 0.1, 0.5, seed=0)
    for name, trials in {"accuracy": 12, "sensitivity": 4, "specificity": 8, "auc": 4, "precision": 4}.items():
        interval = found[f"patient_{name}"]
        # All of `trials` succeed with this probability in 2.5% of samples.
        assert (interval.value, interval.low, interval.high) == (1, pytest.approx(0.025 ** (1 / trials)), 1)
        assert "exact" in interval.reason
    assert found["patient_mcc"].low is None
    reversed_ = classification_intervals([f"{n}" for n in range(12)], labels, 0.9 - labels * 0.8, 0.5, seed=0)
    assert (reversed_["patient_auc"].low, reversed_["patient_auc"].value) == (0, 0)
    assert reversed_["patient_auc"].high == pytest.approx(1 - 0.025 ** (1 / 4))


def test_one_sick_patient_is_too_few_for_an_interval() -> None:
    labels = np.array([1, 0, 0, 0])
    found = classification_intervals(list("abcd"), labels, np.array([0.9, 0.2, 0.6, 0.1]), 0.5, seed=0)
    for name in ("auc", "sensitivity", "balanced_accuracy"):
        assert found[f"patient_{name}"].low is None
        assert "one patient" in found[f"patient_{name}"].reason
    assert found["patient_accuracy"].low is not None
