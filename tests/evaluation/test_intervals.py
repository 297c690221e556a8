"""Intervals: coverage by simulation, scipy's BCa, and what resampling patients must and must not do."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from src.classes import Classes
from src.errors import UserError
from src.evaluation.classification import binary_statistic, by_patient
from src.evaluation.intervals import Interval, Statistic, paired_bootstrap, patient_bootstrap
from src.evaluation.segmentation import image_statistic

DRAWS = 500


def mean_of(values: np.ndarray) -> Statistic:
    """The mean over units; undefined where none is drawn."""

    def statistic(counts: np.ndarray) -> dict[str, np.ndarray]:
        with np.errstate(invalid="ignore"):
            return {"mean": counts @ values / counts.sum(1)}

    return statistic


def binormal(rng: np.random.Generator, patients: int, frames: int, auc: float) -> tuple[np.ndarray, ...]:
    """Patient, label and score of each frame; the AUC is that of the patients' mean scores."""
    labels = np.repeat([0, 1], [patients // 2, patients - patients // 2])
    noise = 0.8
    apart = stats.norm.ppf(auc) * np.sqrt(2 * (1 + noise**2 / frames))
    of_patient = rng.normal(size=patients) + apart * labels
    scores = np.repeat(of_patient, frames) + noise * rng.normal(size=patients * frames)
    return np.repeat(np.arange(patients), frames), np.repeat(labels, frames), scores


def only(name: str, statistic: Statistic) -> Statistic:
    return lambda counts: {name: statistic(counts)[name]}


def covers(interval: Interval, truth: float) -> bool:
    assert interval.low is not None
    assert interval.high is not None
    return interval.low <= truth <= interval.high


@pytest.mark.parametrize(("patients", "auc"), [(50, 0.9), (100, 0.75)])
def test_95_percent_intervals_of_auc_cover_it_in_95_percent_of_draws(patients: int, auc: float) -> None:
    rng = np.random.default_rng(20)
    hits = 0
    for _ in range(DRAWS):
        names, labels, scores = by_patient(*binormal(rng, patients, 4, auc))
        statistic = binary_statistic(labels, stats.norm.cdf(scores))
        hits += covers(patient_bootstrap(names, only("auc", statistic), rng, 300)["auc"], auc)
    assert 0.93 <= hits / DRAWS <= 0.97


def test_95_percent_intervals_of_mean_dice_cover_it_and_those_of_frames_do_not() -> None:
    rng = np.random.default_rng(21)
    hits = of_frames = 0
    for _ in range(DRAWS):
        frames = rng.integers(1, 6, size=80)
        patients = np.repeat(np.arange(80), frames)
        dice = np.repeat(rng.beta(16, 2, 80), frames) * rng.beta(38, 2, frames.sum())
        scores = image_statistic({"dice": np.stack([dice, dice], 1)}, Classes(("breast", "ROI"), 1))
        statistic = only("image_dice_macro", scores)
        truth = 16 / 18 * 38 / 40
        hits += covers(patient_bootstrap(patients, statistic, rng, 300)["image_dice_macro"], truth)
        of_frames += covers(patient_bootstrap(np.arange(len(dice)), statistic, rng, 300)["image_dice_macro"], truth)
    assert 0.93 <= hits / DRAWS <= 0.97
    assert of_frames / DRAWS < 0.85


def test_bca_is_that_of_scipy_at_the_widened_level() -> None:
    values = np.random.default_rng(3).exponential(size=40)
    plans = []

    def statistic(counts: np.ndarray) -> dict[str, np.ndarray]:
        plans.append(counts)
        return mean_of(values)(counts)

    found = patient_bootstrap([f"{n:02d}" for n in range(40)], statistic, seed=5)["mean"]
    counts = np.concatenate(plans)
    np.testing.assert_array_equal(counts[0], 1)
    np.testing.assert_array_equal(counts[1:41], 1 - np.eye(40))
    assert (counts[41:].sum(1) == 40).all()
    drawn = SimpleNamespace(bootstrap_distribution=counts[41:] @ values / 40)
    level = 1 - 2 * stats.norm.cdf(-stats.t.ppf(0.975, 39) * np.sqrt(40 / 39))  # 0.9588 widens for 40 patients
    assert level == pytest.approx(0.959, abs=5e-4)
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=0, confidence_level=level, method="BCa", bootstrap_result=drawn
    )
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval))
    assert found.value == pytest.approx(values.mean())


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), patients=st.integers(2, 30))
def test_an_interval_holds_its_value_or_says_why_there_is_none(seed: int, patients: int) -> None:
    rng = np.random.default_rng(seed)
    labels, probabilities = rng.integers(0, 2, patients), rng.integers(0, 6, patients) / 5
    names = [str(n) for n in range(patients)]
    for name, found in patient_bootstrap(names, binary_statistic(labels, probabilities), seed, 100).items():
        if found.low is None or found.high is None:
            assert found.reason
            assert found.low is found.high is None
        else:
            assert found.value is not None
            assert -1 <= found.low <= found.value <= found.high <= 1
            assert found.high > found.low
        assert (found.value is None) == (name not in ("accuracy", "precision", "brier") and undefined(name, labels))


def undefined(name: str, labels: np.ndarray) -> bool:
    if name == "specificity":
        return bool((labels == 1).all())
    if name in ("sensitivity", "recall", "f1", "average_precision"):
        return bool((labels == 0).all())
    return len(set(labels.tolist())) < 2


def test_more_frames_of_the_same_patients_change_nothing() -> None:
    rng = np.random.default_rng(8)
    patients = np.array([f"{n:02d}" for n in rng.integers(0, 20, 70)])
    labels, probabilities = rng.integers(0, 2, 70), rng.random(70)
    once = patient_bootstrap(patients, binary_statistic(labels, probabilities), 1)
    places = rng.permutation(np.repeat(np.arange(70), 5))
    more = patient_bootstrap(patients[places], binary_statistic(labels[places], probabilities[places]), 1)
    for name, interval in once.items():
        assert (interval.value, interval.low, interval.high) == pytest.approx(
            (more[name].value, more[name].low, more[name].high)
        )
    # As if each frame were a patient, the interval would shrink.
    wrong = patient_bootstrap(np.arange(350), binary_statistic(labels[places], probabilities[places]), 1)["auc"]
    auc = more["auc"]
    assert wrong.high is not None
    assert wrong.low is not None
    assert auc.high is not None
    assert auc.low is not None
    assert wrong.high - wrong.low < 0.7 * (auc.high - auc.low)


def test_the_seed_decides() -> None:
    values = np.random.default_rng(1).random(30)
    patients = [str(n) for n in range(30)]
    first, again, other = (patient_bootstrap(patients, mean_of(values), seed)["mean"] for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_resamples_of_one_diagnosis_are_left_out_and_counted() -> None:
    labels = np.array([1, 1, 0, 0, 0])
    found = patient_bootstrap(list("abcde"), binary_statistic(labels, np.array([0.9, 0.4, 0.6, 0.2, 0.1])), 0, 2000)
    # Sick only or healthy only: (2/5)^5 + (3/5)^5 = 8.8% of resamples.
    assert found["auc"].undefined == pytest.approx(176, abs=40)
    assert found["accuracy"].undefined == 0
    assert found["auc"].low is not None


@pytest.mark.parametrize(
    ("patients", "values", "reason"),
    [
        (["a", "a"], [0.2, 0.9], "one patient: nothing"),
        (["a", "b"], [np.nan, 0.9], "undefined"),
        (["a", "b", "c"], [0.7, 0.7, 0.7], "same value"),
    ],
)
def test_what_has_no_interval_says_so(patients: list[str], values: list[float], reason: str) -> None:
    found = patient_bootstrap(patients, mean_of(np.array(values)), 0)["mean"]
    assert found.low is found.high is None
    assert reason in found.reason
    assert ("undefined" if np.isnan(values).any() else "no interval") in str(found)


def test_a_score_that_resampling_pushes_away_has_no_interval() -> None:
    def different(counts: np.ndarray) -> dict[str, np.ndarray]:
        return {"patients": (counts > 0).sum(1).astype(float)}

    found = patient_bootstrap([str(n) for n in range(50)], different, 0)["patients"]
    assert found.value == 50
    assert found.low is None
    assert "one side" in found.reason


def test_a_run_paired_with_itself_differs_by_nothing() -> None:
    patients, labels, scores = binormal(np.random.default_rng(4), 30, 3, 0.8)
    statistic = binary_statistic(labels, stats.norm.cdf(scores))
    for name, found in paired_bootstrap((patients, patients), (statistic, statistic), 0).items():
        assert (found.value, found.low, found.high) == (0, 0, 0), name


def test_paired_means_are_the_mean_of_differences() -> None:
    rng = np.random.default_rng(6)
    first, patients = rng.random(40), np.array([f"{n:02d}" for n in range(40)])
    second = first + rng.normal(0.05, 0.02, 40)
    order = rng.permutation(40)  # frames may come in another order
    found = paired_bootstrap((patients, patients[order]), (mean_of(first), mean_of(second[order])), 9)["mean"]
    expected = patient_bootstrap(patients, mean_of(first - second), 9)["mean"]
    assert (found.value, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high))
    assert found.high is not None
    assert found.high < 0


def test_runs_on_different_patients_or_scores_are_not_paired() -> None:
    values = mean_of(np.arange(3.0))
    with pytest.raises(UserError, match="different patients cannot be paired: 2 in one only, such as c"):
        paired_bootstrap((["a", "b", "c"], ["a", "b", "d"]), (values, values), 0)
    with pytest.raises(UserError, match="different scores"):
        paired_bootstrap((["a", "b", "c"], ["a", "b", "c"]), (values, lambda counts: {"sum": counts.sum(1)}), 0)
