"""Temperature, threshold and calibration error against slow, obvious versions."""

import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, logit
from sklearn import metrics as sk

from src.evaluation.calibration import (
    TEMPERATURES,
    apply_temperature,
    choose_threshold,
    fit_temperature,
    reliability,
)


def draw(count: int, temperature: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and probabilities whose logits are `temperature` times too large."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, count)
    return (rng.random(count) < expit(logits)).astype(int), expit(logits * temperature)


@pytest.mark.parametrize("temperature", [0.2, 1.0, 4.0])
def test_temperature_that_spoiled_the_logits_is_found(temperature: float) -> None:
    labels, probabilities = draw(20_000, temperature, 0)
    found = fit_temperature(labels, probabilities)
    assert found == pytest.approx(temperature, rel=0.05)
    calibrated = apply_temperature(probabilities, found)
    assert reliability(labels, calibrated).error < 0.015
    assert sk.roc_auc_score(labels, calibrated) == sk.roc_auc_score(labels, probabilities)


@settings(deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(5, 40))
def test_no_temperature_of_a_fine_grid_is_better(seed: int, count: int) -> None:
    labels, probabilities = draw(count, 2.0, seed)
    found = fit_temperature(labels, probabilities)
    if ((2 * labels - 1) * logit(probabilities) >= 0).all():
        assert found == 1
        return
    assert TEMPERATURES[0] <= found <= TEMPERATURES[1]

    grid = np.array([found, *np.geomspace(*TEMPERATURES, 200)])
    of_truth = np.abs(1 - labels - apply_temperature(probabilities, grid[:, None]))
    losses = -np.log(np.maximum(of_truth, 1e-300)).mean(1)
    assert losses[0] <= losses.min() + 1e-6


def test_separated_validation_leaves_probabilities_alone(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert fit_temperature(np.array([0, 0, 1, 1]), np.array([0.0, 0.3, 0.5, 1.0])) == 1
    assert "stays 1" in caplog.text
    probabilities = np.array([0.0, 0.2, 1.0])
    assert_allclose(apply_temperature(probabilities, 1.0), probabilities, atol=1e-11)


def test_certain_and_wrong_probabilities_are_flattened_not_infinite(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = fit_temperature(np.array([0, 1, 0, 1]), np.array([1.0, 0.0, 0.0, 1.0]))
    assert found == pytest.approx(TEMPERATURES[1], rel=1e-3)
    assert "end of its range" in caplog.text
    assert_allclose(apply_temperature(np.array([0.0, 1.0]), found), 0.5, atol=0.07)


@settings(deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(2, 25), steps=st.integers(1, 30))
def test_no_other_threshold_is_more_balanced(seed: int, count: int, steps: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.array([0, 1, *rng.integers(0, 2, count)])
    probabilities = rng.integers(0, steps + 1, count + 2) / steps
    found = choose_threshold(labels, probabilities)

    def sensitivity_and_specificity(threshold: float) -> tuple[float, float]:
        called = probabilities >= threshold
        return called[labels == 1].mean(), 1 - called[labels == 0].mean()

    chosen = sensitivity_and_specificity(found)
    for threshold in np.linspace(0, 1.01, 100):
        other = sensitivity_and_specificity(threshold)
        assert sum(other) <= sum(chosen) + 1e-12
        if abs(sum(other) - sum(chosen)) < 1e-12:  # of equals, the one that misses the fewest sick
            assert other[0] <= chosen[0]


def test_threshold_lies_in_the_middle_of_a_gap() -> None:
    labels = np.array([0, 0, 1, 1])
    assert choose_threshold(labels, np.array([0.1, 0.2, 0.8, 0.9])) == pytest.approx(0.5)
    assert choose_threshold(labels, np.full(4, 0.3)) == 0
    close = np.array([0.3, 0.3, np.nextafter(0.3, 1), np.nextafter(0.3, 1)])
    assert_array_equal(close >= choose_threshold(labels, close), labels == 1)


def test_one_diagnosis_chooses_no_threshold(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert choose_threshold(np.ones(3, int), np.array([0.1, 0.7, 0.8])) == 0.5
    assert "one diagnosis" in caplog.text


@pytest.mark.parametrize(
    ("count", "sizes"), [(7, [7]), (19, [19]), (20, [10, 10]), (35, [12, 11, 12]), (500, [50] * 10)]
)
def test_calibration_error_by_sorting(count: int, sizes: list[int]) -> None:
    labels, probabilities = draw(count, 3.0, count)
    bins = reliability(labels, probabilities)
    assert_array_equal(bins.counts, sizes)
    order = np.argsort(probabilities)
    parts = np.split(order, np.cumsum(sizes)[:-1])
    assert_allclose(bins.predicted, [probabilities[part].mean() for part in parts])
    assert_allclose(bins.observed, [labels[part].mean() for part in parts])
    gaps = [abs(labels[part].mean() - probabilities[part].mean()) * len(part) for part in parts]
    assert bins.error == pytest.approx(sum(gaps) / count)
    assert (bins.low <= bins.observed + 1e-12).all()
    assert (bins.high >= bins.observed - 1e-12).all()


def test_equal_probabilities_share_a_bin() -> None:
    labels = np.tile([0, 1], 20)
    bins = reliability(labels, np.repeat([0.5, 0.9], [35, 5]))
    assert_array_equal(bins.counts, [35, 5])
    assert_allclose(bins.predicted, [0.5, 0.9])
    assert_array_equal(reliability(labels, np.full(40, 0.5)).counts, [40])
    assert reliability(labels, np.full(40, 0.5)).error == 0
