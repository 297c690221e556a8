"""How a decoder is judged: threshold and temperature from validation, scores and intervals from test patients."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from src.classes import Classes
from src.evaluation.auc import within_strata_auc
from src.evaluation.calibration import apply_temperature, choose_threshold, fit_temperature, reliability
from src.evaluation.classification import by_patient, classification_intervals, classification_scores
from src.evaluation.intervals import Interval, patient_bootstrap
from src.evaluation.predictions import CLASSIFICATION_COLUMNS, Row, classification_rows, write_predictions
from src.evaluation.segmentation import confusion_matrices, image_scores, image_statistic, pooled_statistic
from src.files import write_json


@dataclass(frozen=True)
class Predicted:
    """Probabilities of being sick: patient and file of each frame, its label (1 for sick) and its probability, [N]."""

    names: Sequence[tuple[str, str]]
    labels: np.ndarray
    probabilities: np.ndarray

    @property
    def patients(self) -> list[str]:
        """Whose each frame is."""
        return [patient for patient, _ in self.names]

    def by_patient(self) -> tuple[np.ndarray, np.ndarray]:
        """The label and the mean probability of each patient."""
        return by_patient(self.patients, self.labels, self.probabilities)[1:]


@dataclass(frozen=True)
class Strata:
    """The traits by which patients are alike, and the stratum of each patient, None where it is unknown."""

    traits: Sequence[str]
    of_patient: Mapping[str, str | None]


def judge_and_write(
    results: Path, predicted: Sequence[Predicted], strata: Strata, seed: int
) -> tuple[dict[str, float], dict[str, Interval]]:
    """What `judge_classifier` says of validation and test; predictions.csv and intervals.json go to the folder."""
    rows: list[Row] = []
    for part, of in zip(("val", "test"), predicted, strict=True):
        rows += classification_rows(part, of.names, of.labels.tolist(), of.probabilities, strata.of_patient)
    write_predictions(results / "predictions.csv", CLASSIFICATION_COLUMNS, rows)
    validation, test = predicted
    scores, intervals = judge_classifier(validation, test, strata, seed)
    write_intervals(results / "intervals.json", intervals)
    return scores, intervals


def judge_classifier(
    validation: Predicted, test: Predicted, strata: Strata, seed: int
) -> tuple[dict[str, float], dict[str, Interval]]:
    """Choose threshold and temperature on validation patients, then score both parts with them.

    Returns `threshold`, `temperature` and the scores `val/...` and `test/...`, of which `..._calibrated` are those of
    probabilities after the temperature, and the intervals of the test scores by patient. With strata there is also
    `test/patient_auc_within_<traits>`, over `..._pairs` pairs of patients of one: what tells strata apart, such as the
    year, cannot raise it.
    """
    threshold = choose_threshold(*validation.by_patient())
    temperature = fit_temperature(*validation.by_patient())
    scores = {"threshold": threshold, "temperature": temperature}
    for part, predicted in (("val", validation), ("test", test)):
        found = classification_scores(predicted.patients, predicted.labels, predicted.probabilities, threshold)
        scores |= {f"{part}/{name}": value for name, value in found.items()}
    labels, probabilities = test.by_patient()
    calibrated = apply_temperature(probabilities, temperature)
    scores["test/patient_brier_calibrated"] = float(np.mean((calibrated - labels) ** 2))
    scores["test/patient_ece_calibrated"] = reliability(labels, calibrated).error
    of_test = classification_intervals(test.patients, test.labels, test.probabilities, threshold, seed)
    intervals = {f"test/{name}": found for name, found in of_test.items()}
    if strata.traits:
        names = by_patient(test.patients, test.labels, test.probabilities)[0]
        within = within_strata_auc(labels, probabilities, [strata.of_patient.get(name) for name in names], seed)
        key = f"test/patient_auc_within_{'_and_'.join(strata.traits)}"
        value = within.interval.value
        scores |= {key: float("nan") if value is None else value, f"{key}_pairs": within.pairs}
        intervals[key] = within.interval
    return scores, intervals


def judge_segmenter(
    patients: Sequence[str], truth: np.ndarray, predicted: np.ndarray, classes: Classes, seed: int
) -> tuple[dict[str, np.ndarray], dict[str, Interval]]:
    """Scores of each region in each frame, [N, K] by measure, and intervals of their means and of the pooled scores.

    patients: whose each frame is; truth, predicted: class indices uint8 [N, H, W].
    """
    confusion = confusion_matrices(truth, predicted, len(classes.names))
    by_image = image_scores(truth, predicted, classes)
    intervals = patient_bootstrap(patients, pooled_statistic(confusion, classes), seed)
    intervals |= patient_bootstrap(patients, image_statistic(by_image, classes), seed)
    return by_image, {f"test/{name}": found for name, found in intervals.items()}


def worst_frames(by_image: dict[str, np.ndarray], count: int) -> list[int]:
    """The places of the frames with the lowest mean Dice over the regions that are there, lowest first."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a frame without any region has no mean and comes last
        means = np.nanmean(by_image["dice"], axis=1)
    return [int(place) for place in np.argsort(means, kind="stable")[:count]]


def write_intervals(path: Path, intervals: dict[str, Interval]) -> None:
    """Write results/intervals.json: value, low, high and, where there is no interval, the reason of each score."""
    write_json(path, {name: asdict(interval) for name, interval in intervals.items()})
