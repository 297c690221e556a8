"""What several trials (folds, seeds) say together: test predictions pooled over folds, scores averaged over seeds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from src.errors import UserError
from src.evaluation import figures
from src.evaluation.calibration import apply_temperature, reliability
from src.evaluation.classification import binary_statistic, by_patient
from src.evaluation.intervals import Interval, Statistic, mean_over_runs, patient_bootstrap, score
from src.evaluation.judging import write_intervals
from src.evaluation.predictions import MEASURES, class_maps, read_predictions, write_predictions
from src.evaluation.segmentation import confusion_matrices, image_statistic, pooled_statistic
from src.files import read_json, without_nan, write_json
from src.settings import ClassificationSettings, DecoderRunSettings, SegmentationSettings

Line = dict[str, str]


class Trial(Protocol):
    """A training whose results lie in a run folder below an output root of its own."""

    @property
    def seed(self) -> int: ...
    @property
    def fold(self) -> int | None: ...
    @property
    def root(self) -> Path: ...


class Folder(Protocol):
    """Where the pooled results go."""

    @property
    def results(self) -> Path: ...
    @property
    def figures(self) -> Path: ...


@dataclass(frozen=True)
class Seed:
    """The test predictions of all folds of one seed."""

    patients: list[str]
    """Whose each unit is: a patient in classification, a frame in segmentation."""
    statistic: Statistic
    others: dict[str, float]
    """Scores without an interval."""


def pool_classifiers(settings: ClassificationSettings, trials: Sequence[Trial], run: Folder) -> None:
    """Scores by patient, each patient called sick by the threshold of its own fold."""
    drawn: list[tuple[np.ndarray, ...]] = []

    def read(lines: list[Line]) -> Seed:
        patients = [line["patient"] for line in lines]
        labels, probabilities, thresholds, temperatures = (
            np.array([float(line[name]) for line in lines])
            for name in ("label", "probability", "threshold", "temperature")
        )
        names, of_patient, means = by_patient(patients, labels, probabilities)
        limit, temperature = (by_patient(patients, labels, values)[2] for values in (thresholds, temperatures))
        calibrated = apply_temperature(means, temperature)
        drawn.append((of_patient, means, limit, calibrated))
        others = {
            "patient_ece": reliability(of_patient, means).error,
            "patient_ece_calibrated": reliability(of_patient, calibrated).error,
            "patient_brier_calibrated": float(np.mean((calibrated - of_patient) ** 2)),
        }
        by_name = binary_statistic(of_patient, means, limit)
        return Seed(names, lambda counts: {f"patient_{k}": v for k, v in by_name(counts).items()}, others)

    found = _pool(settings, trials, run, read, ("threshold", "temperature"))
    labels, means, limit, calibrated = drawn[0]
    what = "test patients" if len(drawn) == 1 else f"test patients, seed {trials[0].seed}"
    figures.reliability_diagram(reliability(labels, calibrated), what, run.figures / "reliability.png")
    auc = found["test/patient_auc"] if len(drawn) == 1 else None
    figures.roc_and_confusion(labels, means, limit, what, run.figures / "roc_and_confusion.png", auc)


def pool_segmenters(settings: SegmentationSettings, trials: Sequence[Trial], run: Folder) -> None:
    """Scores of the pooled pixels, and means over frames."""
    shown: list[tuple[np.ndarray, tuple[tuple[str, ...], int]]] = []

    def read(lines: list[Line]) -> Seed:
        regions = list(dict.fromkeys(line["region"] for line in lines))
        classes = names, background = (*regions, settings.background), len(regions)
        truth, predicted = class_maps(lines, classes)
        confusion = confusion_matrices(truth, predicted, len(names))
        by_image = {measure: _by_region(lines, measure, len(regions)) for measure in MEASURES}
        shown.append((by_image["dice"], classes))
        pixels = pooled_statistic(confusion, names, background)
        images = image_statistic(by_image, names, background)
        patients = [line["patient"] for line in lines[:: len(regions)]]
        return Seed(patients, lambda counts: {**pixels(counts), **images(counts)}, {})

    _pool(settings, trials, run, read)
    figures.dice_boxes(*shown[0], run.figures / "dice.png")


def _by_region(lines: list[Line], measure: str, regions: int) -> np.ndarray:
    """One measure of each frame and region, with a last column for the background: [N, K + 1], NaN where left out."""
    values = [float(line[measure]) if line[measure] else np.nan for line in lines]
    return np.pad(np.reshape(values, (-1, regions)), ((0, 0), (0, 1)), constant_values=np.nan)


def _pool(
    settings: DecoderRunSettings,
    trials: Sequence[Trial],
    run: Folder,
    read: Callable[[list[Line]], Seed],
    of_trial: Sequence[str] = (),
) -> dict[str, Interval]:
    """Write predictions.csv, metrics.json, intervals.json and trials.json of all trials; the intervals.

    of_trial: scores of each trial's metrics.json that its predictions need.
    """
    run.figures.mkdir(parents=True, exist_ok=True)
    lines: dict[int, list[Line]] = {}
    for trial in trials:
        results = trial.root / settings.run_name / "results"
        known = read_json(results / "metrics.json", "the metrics")
        added = {"fold": str(trial.fold or ""), "seed": str(trial.seed)} | {
            name: repr(known[name]) for name in of_trial
        }
        tested = [line | added for line in read_predictions(results / "predictions.csv") if line["part"] == "test"]
        lines.setdefault(trial.seed, []).extend(tested)
    everything = [line for of_seed in lines.values() for line in of_seed]
    columns = [name for name in everything[0] if name not in ("part", "patient", "frame")]
    write_predictions(
        run.results / "predictions.csv",
        columns,
        ([line[name] for name in ("part", "patient", "frame", *columns)] for line in everything),
    )
    seeds = {seed: read(of_seed) for seed, of_seed in lines.items()}
    first = next(iter(seeds.values()))
    if any(seed.patients != first.patients for seed in seeds.values()):
        raise UserError(f"{run.results}: the seeds were tested on different frames; train them again")
    statistic = mean_over_runs([seed.statistic for seed in seeds.values()])
    found = patient_bootstrap(first.patients, statistic, settings.seed)
    intervals = {f"test/{name}": interval for name, interval in found.items()}
    values = {seed: score(of.statistic, len(of.patients)) | of.others for seed, of in seeds.items()}
    across = {f"test/{name}": _spread([of[name] for of in values.values()]) for name in next(iter(values.values()))}
    write_json(run.results / "metrics.json", without_nan({name: of["mean"] for name, of in across.items()}))
    write_intervals(run.results / "intervals.json", intervals)
    write_json(run.results / "trials.json", _record(settings, trials) | {"across_seeds": across})
    return intervals


def _spread(values: list[float]) -> dict[str, Any]:
    """Mean and standard deviation over seeds; None where there is no such number."""
    known = np.array(values)
    spread = float(known.std(ddof=1)) if len(values) > 1 else float("nan")
    numbers = without_nan({"mean": float(known.mean()), "sd": spread})
    return {**numbers, "values": [None if np.isnan(value) else value for value in values]}


def _record(settings: DecoderRunSettings, trials: Sequence[Trial]) -> dict[str, Any]:
    shared = settings.output_root
    entries = [
        {"seed": t.seed, "fold": t.fold, "folder": str((t.root / settings.run_name).relative_to(shared))}
        for t in trials
    ]
    return {
        "protocol": settings.protocol,
        "folds": settings.folds if settings.protocol == "kfold" else None,
        "trials": entries,
    }
