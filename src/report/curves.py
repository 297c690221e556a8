"""The report's curves: drawn by `src.evaluation.figures` as SVG, in the colours of the page around them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from src.classes import Classes
from src.evaluation import figures
from src.evaluation.calibration import apply_temperature, reliability
from src.evaluation.classification import by_patient
from src.evaluation.figure_style import embedded
from src.evaluation.intervals import Interval
from src.report.reading import mapping
from src.report.runs import CASES, Group, Run, number
from src.report.tables import digits


@dataclass(frozen=True)
class Curve:
    """A figure inside the page; `source` names the files that it is drawn from."""

    title: str
    svg: Markup
    source: str
    replaces: str = ""  # the run's picture of the same, by name


class _Patients(NamedTuple):
    """What a classifier said of each test patient, all [N]."""

    labels: np.ndarray
    probabilities: np.ndarray
    thresholds: np.ndarray
    calibrated: np.ndarray


def loss_curve(run: Run) -> Curve | None:
    """Training and validation loss by epoch, the chosen epoch marked; None where no epoch has a loss."""
    history = _losses(run)
    source = f"{run.name}/logs/metrics.jsonl"
    draw = partial(figures.loss_curves, history, run.results.value("best_epoch"))
    return Curve("Loss", embedded(source, draw), source, "loss_curves") if history else None


def trial_curves(run: Run, trials: Sequence[Run]) -> Curve | None:
    """The losses of all trainings that a pooled result is of, in one picture."""
    found = [(history, int(trial.results.value("best_epoch") or 0)) for trial in trials if (history := _losses(trial))]
    source = f"logs/metrics.jsonl of the trials that {run.name}/results/trials.json lists"
    draw = partial(figures.trial_curves, [history for history, _ in found], [kept for _, kept in found])
    return Curve("Loss", embedded(source, draw), source, "loss_curves") if found else None


def _losses(run: Run) -> list[dict[str, float]]:
    """Epochs with their losses, NaN where one is missing; without those that have none."""
    history = []
    for entry in run.history:
        losses = {name: number(entry.get(name)) for name in ("train/loss", "val/loss")}
        epoch = number(entry.get("epoch"))
        if epoch is not None and set(losses.values()) != {None}:
            known = {name: np.nan if loss is None else loss for name, loss in losses.items()}
            history.append({"epoch": epoch, **known})
    return history


def classifier_curves(run: Run) -> list[Curve]:
    """ROC with the confusion matrix, and reliability, both by test patient; none where a diagnosis is missing."""
    found = _test_patients(run)
    if found is None:
        return []
    same = len(np.unique(found.thresholds)) == 1
    threshold = float(found.thresholds[0]) if same else found.thresholds
    known = mapping(run.results.intervals.get("test/patient_auc"))
    value, low, high = (number(known.get(name)) for name in ("value", "low", "high"))
    auc = Interval(value, low, high)
    who = "test patients"
    source = f"{run.name}/results/predictions.csv (part test), with threshold and temperature of metrics.json"
    roc = partial(figures.roc_and_confusion, found.labels, found.probabilities, threshold, who, auc=auc)
    diagram = partial(figures.reliability_diagram, reliability(found.labels, found.calibrated), who)
    return [
        Curve("ROC and confusion matrix", embedded(source, roc), source, "roc_and_confusion"),
        Curve("Reliability, after temperature", embedded(source, diagram), source, "reliability"),
    ]


def roc_of_cases(group: Group) -> Curve | None:
    """The ROC curves of a group's cases in one picture, where there are several."""
    predictions = {}
    for case, run in sorted(group.of("classification").items(), key=lambda item: CASES.index(item[0])):
        found, area = _test_patients(run), run.results.value("test/patient_auc")
        if run.finished and found is not None:
            label = case if area is None else f"{case}: AUC {digits(area)}"
            predictions[label] = (found.labels, found.probabilities)
    if len(predictions) < 2:
        return None
    source = "results/predictions.csv of each run (part test); the areas from metrics.json"
    svg = embedded(group.name + source, lambda to: figures.roc_curves(predictions, to))
    return Curve(f"ROC by patient: {group.label}", svg, source)


def dice_boxes(run: Run, names: list[str], background: str) -> Curve | None:
    """Dice of each test frame by region; `names` are the classes, whose places give the colours."""
    if not names:
        return None
    if background not in names:
        names = [*names, background]
    frames: dict[tuple[str, str], np.ndarray] = {}
    for line in run.test_lines:
        if line.get("region") in names:
            key = line.get("patient", ""), line.get("frame", "")
            of_frame = frames.setdefault(key, np.full(len(names), np.nan))
            of_frame[names.index(line["region"])] = _float(line.get("dice"))
    if not frames:
        return None
    dice, classes = np.stack(list(frames.values())), Classes(tuple(names), names.index(background))
    source = f"{run.name}/results/predictions.csv (part test)"
    svg = embedded(source, lambda to: figures.dice_boxes(dice, classes, to))
    return Curve("Dice by region, a dot a test frame", svg, source, "dice")


def _test_patients(run: Run) -> _Patients | None:
    """The test patients of the first seed; None unless both diagnoses are among them."""
    rows = []
    for line in run.test_lines:
        row = [_float(line.get(name) or run.results.metrics.get(name)) for name in ("threshold", "temperature")]
        row = [_float(line.get("label")), _float(line.get("probability")), *np.where(np.isnan(row), (0.5, 1.0), row)]
        if np.isfinite(row).all() and row[0] in (0, 1) and 0 <= row[1] <= 1 and row[3] > 0:
            rows.append((line.get("patient", ""), *row))
    if len({row[1] for row in rows}) < 2:
        return None
    patients, labels, *columns = zip(*rows, strict=True)
    means = [by_patient(patients, np.array(labels), np.array(column)) for column in columns]
    probabilities, thresholds, temperatures = (values for _, _, values in means)
    return _Patients(means[0][1], probabilities, thresholds, apply_temperature(probabilities, temperatures))


def _float(value: Any) -> float:
    """A number, or text of one; NaN for anything else."""
    try:
        return float(value) if isinstance(value, int | float | str) else np.nan
    except ValueError:
        return np.nan
