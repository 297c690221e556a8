"""What several trials (folds, seeds) say together: test predictions pooled over folds, scores averaged over seeds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from src.errors import UserError
from src.evaluation import figures
from src.evaluation.auc import PairAUC, auc_over_pairs, same_stratum, wins_of
from src.evaluation.calibration import apply_temperature, reliability
from src.evaluation.classification import binary_statistic, by_patient, independent_trials
from src.evaluation.intervals import (
    Interval,
    Statistic,
    exact_where_constant,
    mean_over_runs,
    paired_bootstrap,
    patient_bootstrap,
    score,
)
from src.evaluation.judging import write_intervals
from src.evaluation.predictions import MEASURES, class_maps, read_predictions, write_predictions
from src.evaluation.segmentation import confusion_matrices, image_statistic, pooled_statistic
from src.files import read_json, without_nan, write_json
from src.settings import ClassificationSettings, DecoderRunSettings

Line = dict[str, str]
_OF_TRAINING = ("threshold", "temperature")
"""What a classifier's metrics.json holds of its validation patients."""


@dataclass(frozen=True)
class Trial:
    """One training of several."""

    seed: int
    fold: int | None
    root: Path
    """Its output root."""


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

    patients: list[str]
    """Whose each unit is: a patient in classification, a frame in segmentation."""
    statistic: Statistic
    others: dict[str, float]
    """Scores without an interval."""
    draw: Callable[[Path, str], None]
    """Pictures of them into a folder; the text says of what."""
    trials: dict[str, int] = field(default_factory=dict)
    """Of scores that are proportions, the independent trials that they are made of; in classification."""
    pairs: Pairs | None = None
    """In classification."""


def pool(settings: DecoderRunSettings, trials: Sequence[Trial], name: str, folder: Path) -> None:
    """Write predictions.csv, metrics.json, intervals.json, trials.json and pictures of all trials' runs `name`.

    Test predictions are pooled over the folds of each seed; scores are means over seeds, and an interval is that of the
    mean, with the same patients resampled in all seeds. A patient is called sick by the threshold of its own fold. The
    AUC compares probabilities of different trainings; beside it stands the one over pairs of one fold.
    """
    results = folder / "results"
    (results / "figures").mkdir(parents=True, exist_ok=True)
    lines: list[Line] = []
    for trial in trials:
        added = {"fold": str(trial.fold or ""), "seed": str(trial.seed)}
        lines += [line | added for line in _test_lines(settings, trial.root / name / "results")]
    columns = [column for column in lines[0] if column not in ("part", "patient", "frame")]
    ordered = ([line[column] for column in ("part", "patient", "frame", *columns)] for line in lines)
    write_predictions(results / "predictions.csv", columns, ordered)

    seeds = _by_seed(settings, lines)
    tested = list(seeds.values())
    if any(of.patients != tested[0].patients for of in tested):
        raise UserError(f"{folder}: the seeds were tested on different frames; train them again")
    intervals = patient_bootstrap(tested[0].patients, _mean(seeds), settings.seed)
    for measure in tested[0].trials:  # a mean of 1 (or 0) is one in every seed, and the same patients are no new trials
        fewest = min(of.trials[measure] for of in tested)
        intervals[measure] = exact_where_constant(intervals[measure], fewest)
    values = [score(of.statistic, len(of.patients)) | of.others for of in tested]
    across = {f"test/{measure}": _spread([of[measure] for of in values]) for measure in values[0]}
    metrics = {measure: spread["mean"] for measure, spread in across.items()}
    for alike, within in _within(tested, settings.seed).items():
        key = f"patient_auc_within_{alike}"
        intervals[key] = within.interval
        metrics |= {f"test/{key}": within.interval.value, f"test/{key}_pairs": within.pairs}
    write_json(results / "metrics.json", metrics)
    write_intervals(results / "intervals.json", {f"test/{measure}": found for measure, found in intervals.items()})
    write_json(results / "trials.json", _record(settings, trials, name) | {"across_seeds": across})
    tested[0].draw(results / "figures", "test patients" + (f", seed {trials[0].seed}" if len(seeds) > 1 else ""))


def compare_with_baselines(settings: DecoderRunSettings, folder: Path) -> None:
    """Write baselines/differences.json: the run's scores minus those of each run below its `baselines`, paired."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((folder / "baselines").glob("*/results/predictions.csv")):
        other = path.parent.parent
        found[other.name] = {name: asdict(interval) for name, interval in differences(settings, folder, other).items()}
    write_json(folder / "baselines" / "differences.json", found)


def differences(settings: DecoderRunSettings, one: Path, other: Path) -> dict[str, Interval]:
    """The test scores of one run, or of several pooled, minus those of another on the same patients, paired."""
    pair = [_by_seed(settings, _test_lines(settings, folder / "results")) for folder in (one, other)]
    patients, other_patients = (next(iter(seeds.values())).patients for seeds in pair)
    found = paired_bootstrap((patients, other_patients), (_mean(pair[0]), _mean(pair[1])), settings.seed)
    return {f"test/{measure}": interval for measure, interval in found.items()}


def _test_lines(settings: DecoderRunSettings, results: Path) -> list[Line]:
    """The test predictions of a run; those of a classifier with the threshold and temperature that go with them."""
    lines = [line for line in read_predictions(results / "predictions.csv") if line["part"] == "test"]
    if not lines:
        raise UserError(f"{results / 'predictions.csv'}: holds no test predictions")
    if isinstance(settings, ClassificationSettings) and "threshold" not in lines[0]:
        known = read_json(results / "metrics.json", "the metrics")
        lines = [line | {name: repr(known[name]) for name in _OF_TRAINING} for line in lines]
    return lines


def _by_seed(settings: DecoderRunSettings, lines: list[Line]) -> dict[str, Tested]:
    seeds: dict[str, list[Line]] = {}
    for line in lines:
        seeds.setdefault(line.get("seed", ""), []).append(line)
    if isinstance(settings, ClassificationSettings):
        return {seed: _classified(of_seed, settings) for seed, of_seed in seeds.items()}
    return {seed: _segmented(of_seed, settings.background) for seed, of_seed in seeds.items()}


def _mean(seeds: Mapping[str, Tested]) -> Statistic:
    return mean_over_runs([tested.statistic for tested in seeds.values()])


def _classified(lines: list[Line], settings: ClassificationSettings) -> Tested:
    patients = [line["patient"] for line in lines]
    labels, *of_frames = (
        np.array([float(line[name]) for line in lines]) for name in ("label", "probability", *_OF_TRAINING)
    )
    names, labels_by_patient, _ = by_patient(patients, labels, labels)
    means = by_patient(patients, labels, of_frames[0])[2]
    first = [patients.index(name) for name in names]  # a patient lies in one fold, whose numbers all its frames have
    threshold, temperature = (values[first] for values in of_frames[1:])
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


def _within(tested: Sequence[Tested], seed: int) -> dict[str, PairAUC]:
    """AUC over the pairs that are alike in each of the named, the mean over seeds."""
    known = [of.pairs for of in tested if of.pairs is not None]
    if not known:
        return {}
    labels, wins = known[0].labels, np.mean([pairs.wins for pairs in known], axis=0)
    return {name: auc_over_pairs(labels, wins * alike, alike, seed) for name, alike in known[0].alike.items()}


def _segmented(lines: list[Line], background: str) -> Tested:
    regions = list(dict.fromkeys(line["region"] for line in lines))
    classes = names, index = (*regions, background), len(regions)
    truth, predicted = class_maps(lines, classes)
    by_image = {measure: _by_region(lines, measure, len(regions)) for measure in MEASURES}
    pixels = pooled_statistic(confusion_matrices(truth, predicted, len(names)), names, index)
    images = image_statistic(by_image, names, index)
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


def _spread(values: list[float]) -> dict[str, Any]:
    """Mean and standard deviation over seeds; None where there is no such number."""
    known = np.array(values)
    spread = float(known.std(ddof=1)) if len(values) > 1 else float("nan")
    numbers = without_nan({"mean": float(known.mean()), "sd": spread})
    return {**numbers, "values": [None if np.isnan(value) else value for value in values]}


def _record(settings: DecoderRunSettings, trials: Sequence[Trial], name: str) -> dict[str, Any]:
    shared = settings.output_root
    entries = [{"seed": t.seed, "fold": t.fold, "folder": str((t.root / name).relative_to(shared))} for t in trials]
    return {
        "protocol": settings.protocol,
        "folds": settings.folds if settings.protocol == "kfold" else None,
        "trials": entries,
    }
