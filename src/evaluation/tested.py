"""Test predictions read back from predictions.csv: the scores of a run, or of several pooled, and their differences."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from src.classes import Classes
from src.errors import UserError
from src.evaluation import figures
from src.evaluation.auc import same_stratum, wins_of
from src.evaluation.calibration import apply_temperature, choose_threshold, fit_temperature, reliability
from src.evaluation.classification import binary_statistic, by_patient, independent_trials
from src.evaluation.intervals import Interval, Statistic, mean_over_runs, paired_bootstrap
from src.evaluation.predictions import MEASURES, class_maps, read_predictions
from src.evaluation.segmentation import confusion_matrices, image_statistic, pooled_statistic
from src.files import read_json
from src.settings import ClassificationSettings, DecoderRunSettings

Line = dict[str, str]
_OF_TRAINING = ("threshold", "temperature")  # what a classifier's metrics.json holds of its validation patients


@dataclass(frozen=True)
class Pairs:
    """Pairs of a sick and a healthy patient of one seed, as `auc_over_pairs` takes them."""

    labels: np.ndarray
    wins: np.ndarray
    alike: dict[str, np.ndarray]
    """Which pairs are alike in the named, 1 or 0: `fold` (ranked by one training), and the settings' strata."""


@dataclass(frozen=True)
class Tested:
    """The test predictions of one seed, over all folds."""

    patients: list[str]  # whose each unit is: a patient in classification, a frame in segmentation
    statistic: Statistic
    others: dict[str, float]  # scores without an interval
    draw: Callable[[Path, str], None]  # pictures of them into a folder; the text says of what
    trials: dict[str, int] = field(default_factory=dict)
    """Of scores that are proportions, the independent trials that they are made of; in classification."""
    pairs: Pairs | None = None  # in classification


def differences(settings: DecoderRunSettings, one: Path, other: Path) -> dict[str, Interval]:
    """The test scores of one run, or of several pooled, minus those of another on the same patients, paired."""
    pair = [by_seed(settings, read_tested(settings, folder / "results")) for folder in (one, other)]
    patients, other_patients = (next(iter(seeds.values())).patients for seeds in pair)
    found = paired_bootstrap((patients, other_patients), (mean_of(pair[0]), mean_of(pair[1])), settings.seed)
    return {f"test/{measure}": interval for measure, interval in found.items()}


def read_tested(settings: DecoderRunSettings, results: Path) -> list[Line]:
    """The test predictions of a run; those of a classifier with the threshold and temperature that go with them."""
    lines = [line for line in read_predictions(results / "predictions.csv") if line["part"] == "test"]
    if not lines:
        raise UserError(f"{results / 'predictions.csv'}: holds no test predictions")
    if isinstance(settings, ClassificationSettings) and "threshold" not in lines[0]:
        known = read_json(results / "metrics.json", "the metrics")
        lines = [line | {name: repr(known[name]) for name in _OF_TRAINING} for line in lines]
    return lines


def chosen_out_of_fold(lines: Sequence[Line]) -> tuple[float, float]:
    """Threshold and temperature for a model that no patient was kept from.

    They are chosen on the probabilities that trainings without the patient gave it, their mean over frames and seeds.
    """
    _, labels, probabilities = means_by_patient(lines)
    return choose_threshold(labels, probabilities), fit_temperature(labels, probabilities)


def means_by_patient(lines: Sequence[Line]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Patients of a classifier's lines in order, the label of each, and its mean probability."""
    patients = [line["patient"] for line in lines]
    return by_patient(patients, _numbers(lines, "label"), _numbers(lines, "probability"))


def _numbers(lines: Sequence[Line], name: str) -> np.ndarray:
    return np.array([float(line[name]) for line in lines])


def by_seed(settings: DecoderRunSettings, lines: list[Line]) -> dict[str, Tested]:
    """What the lines of each seed say."""
    seeds: dict[str, list[Line]] = {}
    for line in lines:
        seeds.setdefault(line.get("seed", ""), []).append(line)
    if isinstance(settings, ClassificationSettings):
        return {seed: _classified(of_seed, settings) for seed, of_seed in seeds.items()}
    return {seed: _segmented(of_seed, settings.background) for seed, of_seed in seeds.items()}


def mean_of(seeds: Mapping[str, Tested]) -> Statistic:
    """Each score's mean over the seeds."""
    return mean_over_runs([tested.statistic for tested in seeds.values()])


def _classified(lines: list[Line], settings: ClassificationSettings) -> Tested:
    patients = [line["patient"] for line in lines]
    frames, chosen, divisors = (_numbers(lines, name) for name in ("probability", *_OF_TRAINING))
    names, labels_by_patient, means = by_patient(patients, _numbers(lines, "label"), frames)
    first = [patients.index(name) for name in names]  # a patient lies in one fold, whose numbers all its frames have
    threshold, temperature = chosen[first], divisors[first]
    calibrated = apply_temperature(means, temperature)
    statistic, called = binary_statistic(labels_by_patient, means, threshold), means >= threshold
    alike = {}
    if settings.protocol == "kfold":
        alike["fold"] = same_stratum(labels_by_patient, [lines[place].get("fold") for place in first])
    if settings.strata:
        strata = [lines[place].get("stratum") or None for place in first]
        alike["_and_".join(settings.strata)] = same_stratum(labels_by_patient, strata)

    def draw(folder: Path, what: str) -> None:
        figures.reliability_diagram(reliability(labels_by_patient, calibrated), what, folder / "reliability.png")
        limit = float(threshold[0]) if (threshold == threshold[0]).all() else threshold
        figures.roc_and_confusion(labels_by_patient, means, limit, what, folder / "roc_and_confusion.png")

    return Tested(
        names,
        lambda counts: {f"patient_{measure}": values for measure, values in statistic(counts).items()},
        {
            "patient_ece": reliability(labels_by_patient, means).error,
            "patient_ece_calibrated": reliability(labels_by_patient, calibrated).error,
            "patient_brier_calibrated": float(np.mean((calibrated - labels_by_patient) ** 2)),
        },
        draw,
        {f"patient_{measure}": count for measure, count in independent_trials(labels_by_patient, called).items()},
        Pairs(labels_by_patient, wins_of(labels_by_patient, means), alike),
    )


def _segmented(lines: list[Line], background: str) -> Tested:
    regions = list(dict.fromkeys(line["region"] for line in lines))
    classes = Classes((*regions, background), len(regions))
    truth, predicted = class_maps(lines, classes)
    by_image = {measure: _by_region(lines, measure, len(regions)) for measure in MEASURES}
    pixels = pooled_statistic(confusion_matrices(truth, predicted, len(classes.names)), classes)
    images = image_statistic(by_image, classes)
    return Tested(
        [line["patient"] for line in lines[:: len(regions)]],
        lambda counts: {**pixels(counts), **images(counts)},
        {},
        lambda folder, what: figures.dice_boxes(by_image["dice"], classes, folder / "dice.png"),
    )


def _by_region(lines: list[Line], measure: str, regions: int) -> np.ndarray:
    """One measure of each frame and region, with a last column for the background: [N, K + 1], NaN where left out."""
    values = [float(line[measure]) if line[measure] else np.nan for line in lines]
    return np.pad(np.reshape(values, (-1, regions)), ((0, 0), (0, 1)), constant_values=np.nan)
