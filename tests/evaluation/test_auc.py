"""AUC within strata against going through the pairs one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.metrics import roc_auc_score

from src.evaluation.auc import MIN_PAIRS, PairAUC, auc_over_pairs, auc_without_and_with, wins_of, within_strata_auc
from src.evaluation.intervals import patient_bootstrap
from src.evaluation.judging import Predicted, Strata, judge_classifier


def pair_by_pair(labels: np.ndarray, scores: np.ndarray, strata: list[str | None]) -> tuple[float, int]:
    wins = [
        1.0 if scores[one] > scores[other] else 0.5 if scores[one] == scores[other] else 0.0
        for one in np.flatnonzero(labels == 1)
        for other in np.flatnonzero(labels == 0)
        if strata[one] is not None and strata[one] == strata[other]
    ]
    return float(np.mean(wins)) if wins else np.nan, len(wins)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), patients=st.integers(12, 60), levels=st.integers(2, 30))
def test_against_pair_by_pair(seed: int, patients: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    labels, scores = rng.integers(0, 2, patients), rng.integers(0, levels, patients) / levels
    strata = [[None, "2012", "2013", "2014"][number] for number in rng.integers(0, 4, patients)]
    found = within_strata_auc(labels, scores, strata, seed)
    value, pairs = pair_by_pair(labels, scores, strata)
    assert found.pairs == pairs
    if found.interval.value is None:
        assert pairs < MIN_PAIRS or min(found.healthy, found.sick) < 5
        assert "cannot be answered" in str(found)
    else:
        assert_allclose(found.interval.value, value)


def test_one_stratum_is_the_plain_auc_and_its_interval_holds_it() -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 80)
    scores = rng.normal(size=80) + labels
    found = within_strata_auc(labels, scores, ["all"] * 80, 0)
    assert found.interval.value == pytest.approx(roc_auc_score(labels, scores))
    assert found.interval.low is not None
    assert found.interval.high is not None
    assert found.interval.low < found.interval.value < found.interval.high
    assert (found.healthy, found.sick) == ((labels == 0).sum(), (labels == 1).sum())


def test_what_differs_between_years_only_counts_for_nothing() -> None:
    rng = np.random.default_rng(1)
    year = rng.integers(2012, 2018, 300)
    labels = (rng.random(300) < (year - 2011) / 7).astype(int)
    scores = year + rng.normal(0, 0.1, 300)
    assert roc_auc_score(labels, scores) > 0.75
    found = within_strata_auc(labels, scores, [str(one) for one in year], 0).interval
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.5 < found.high


def test_a_perfect_score_has_the_exact_interval_of_pairs_without_a_common_patient() -> None:
    labels = np.repeat([0, 1], 6)
    found = within_strata_auc(labels, labels.astype(float), ["2012"] * 12, 0)
    assert (found.interval.value, found.interval.high, found.pairs) == (1, 1, 36)
    assert found.interval.low == pytest.approx(0.025 ** (1 / 6))


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="3 labels and 2 strata"):
        within_strata_auc(np.array([0, 1, 1]), np.zeros(3), ["a", "b"], 0)


def test_an_interval_of_a_higher_level_is_wider() -> None:
    values = np.random.default_rng(0).normal(size=40)
    patients = [str(number) for number in range(40)]
    usual, wide = (
        patient_bootstrap(patients, lambda counts: {"mean": counts @ values / 40}, 0, level=level)["mean"]
        for level in (0.95, 0.999)
    )
    assert usual.low is not None
    assert wide.low is not None
    assert wide.low < usual.low


def test_the_classifier_is_judged_within_strata_too() -> None:
    labels = np.repeat([0, 1], 20)
    patients = [f"{number:04d}" for number in range(40)]
    year = {patient: "2012" if number % 2 else "2013" for number, patient in enumerate(patients[:-2])}
    probabilities = np.random.default_rng(0).random(40) * 0.6 + 0.3 * labels
    predicted = Predicted([(patient, "") for patient in patients], labels, probabilities)
    scores, intervals = judge_classifier(predicted, predicted, Strata(["year"], year), 0)
    strata = [year.get(patient) for patient in patients]
    expected: PairAUC = within_strata_auc(labels, probabilities, strata, 0)
    assert scores["test/patient_auc_within_year"] == expected.interval.value
    assert scores["test/patient_auc_within_year_pairs"] == expected.pairs == 10 * 9 * 2
    assert intervals["test/patient_auc_within_year"] == expected.interval
    unknown_scores, unknown = judge_classifier(predicted, predicted, Strata(["year"], {}), 0)
    assert np.isnan(unknown_scores["test/patient_auc_within_year"])
    assert "0 pairs" in unknown["test/patient_auc_within_year"].reason
    assert not any("within" in name for name in judge_classifier(predicted, predicted, Strata([], {}), 0)[0])


def test_a_drawn_patient_brings_both_scores() -> None:
    """Scores of the same patients rise and fall together: their AUC is known better than that of as many strangers."""
    rng = np.random.default_rng(0)
    without = rng.normal(size=200)
    with_it = without + 0.2 + 0.1 * rng.normal(size=200)
    found = auc_without_and_with(without, with_it)
    wins = (with_it[:, None] > without)[~np.eye(200, dtype=bool)]
    assert found.value == pytest.approx(wins.mean())
    labels, scores = np.repeat([0, 1], 200), np.concatenate([without, with_it])
    strangers = auc_over_pairs(labels, wins_of(labels, scores), np.ones((200, 200)), 0).interval
    assert found.low is not None
    assert strangers.low is not None
    assert found.value - found.low < 0.6 * (strangers.value - strangers.low)
