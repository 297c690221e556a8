"""Scores of probabilities of being sick, by frame and by patient, from arrays alone.

A score that does not exist is NaN, with its reason in the log:
- without sick: sensitivity, recall, F1, average precision, AUC, balanced accuracy, MCC;
- without healthy: specificity, AUC, balanced accuracy, MCC.
Precision is 0 where nobody is called sick, MCC is 0 where everybody is called the same, as in scikit-learn.
"""

import logging
from collections.abc import Sequence

import numpy as np
from sklearn import metrics as sk

from src.errors import UserError
from src.evaluation.calibration import THRESHOLD, reliability
from src.evaluation.intervals import Interval, Statistic, exact_where_constant, patient_bootstrap, score

logger = logging.getLogger(__name__)

_OF_FRAMES = ("accuracy", "balanced_accuracy", "precision", "recall", "f1", "auc")


def frame_scores(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """The scores of frames that an epoch may be chosen by; labels are 1 for sick; both [N].

    The AUC, NaN where only one class is there, and the share of frames on the right side of .5.
    """
    right = (probabilities >= THRESHOLD) == (labels == 1)
    auc = float(sk.roc_auc_score(labels, probabilities)) if len(np.unique(labels)) == 2 else float("nan")
    return {"frame_auc": auc, "frame_accuracy": float(right.mean())}


def binary_statistic(
    labels: np.ndarray, probabilities: np.ndarray, threshold: float | np.ndarray = THRESHOLD
) -> Statistic:
    """Every score but the calibration error, for `patient_bootstrap`; labels are 1 for sick; both [N].

    threshold: of all, or of each [N].

    Raises `UserError` where a probability is not a number.
    """
    if np.isnan(probabilities).any():
        count = int(np.isnan(probabilities).sum())
        raise UserError(
            f"{count} of {len(probabilities)} probabilities are not numbers: the weights diverged; "
            "train again with a lower learning_rate"
        )
    sick = labels == 1
    called = probabilities >= threshold
    # From the highest probability down; equal ones are one step.
    order = np.argsort(-probabilities, kind="stable")
    steps = np.flatnonzero(np.diff(probabilities[order], prepend=np.inf))

    def statistic(counts: np.ndarray) -> dict[str, np.ndarray]:
        tp, fn = counts @ (sick & called), counts @ (sick & ~called)
        fp, tn = counts @ (~sick & called), counts @ (~sick & ~called)
        hits = np.add.reduceat(counts[:, order] * sick[order], steps, axis=1)
        alarms = np.add.reduceat(counts[:, order] * ~sick[order], steps, axis=1)
        found, alarmed = hits.cumsum(1), alarms.cumsum(1)
        with np.errstate(invalid="ignore", divide="ignore"):
            sensitivity, specificity = tp / (tp + fn), tn / (tn + fp)
            margins = (tp + fp) * (tn + fn)
            correlation = (tp * tn - fp * fn) / np.sqrt(np.where(margins > 0, margins, 1) * (tp + fn) * (tn + fp))
            ranked = hits * (alarmed[:, -1:] - alarmed + alarms / 2)
            precisions = hits * found / np.maximum(found + alarmed, 1)
            return {
                "accuracy": (tp + tn) / (tp + tn + fp + fn),
                "balanced_accuracy": (sensitivity + specificity) / 2,
                "precision": tp / np.maximum(tp + fp, 1),
                "recall": sensitivity,
                "f1": np.where(tp + fn > 0, 2 * tp / (2 * tp + fp + fn), np.nan),
                "auc": ranked.sum(1) / ((tp + fn) * (tn + fp)),
                "average_precision": precisions.sum(1) / (tp + fn),
                "sensitivity": sensitivity,
                "specificity": specificity,
                "mcc": correlation,
                "brier": counts @ (probabilities - sick) ** 2 / counts.sum(1),
            }

    return statistic


def binary_scores(
    labels: np.ndarray, probabilities: np.ndarray, prefix: str, threshold: float = THRESHOLD
) -> dict[str, float]:
    """The scores of `binary_statistic`, and `ece`, the expected calibration error, each as `<prefix>_<score>`."""
    if len(np.unique(labels)) < 2:
        logger.warning("%s: only one diagnosis among %d: scores that need both are left out", prefix, len(labels))
    scores = score(binary_statistic(labels, probabilities, threshold), len(labels))
    scores["ece"] = reliability(labels, probabilities).error
    return {f"{prefix}_{name}": value for name, value in scores.items()}


def by_patient(
    patients: Sequence[str], labels: np.ndarray, probabilities: np.ndarray
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Patients in order, the label of each, and the mean probability over its frames."""
    names, place = np.unique(np.asarray(patients), return_inverse=True)
    frames = np.bincount(place)
    return (
        [str(name) for name in names],
        (np.bincount(place, weights=labels) / frames).round().astype(int),
        np.bincount(place, weights=probabilities) / frames,
    )


def classification_scores(
    patients: Sequence[str], labels: np.ndarray, probabilities: np.ndarray, threshold: float = THRESHOLD
) -> dict[str, float]:
    """Six scores by frame (`frame_...`), and all by patient (`patient_...`), which are the ones to judge by."""
    _, patient_labels, patient_probabilities = by_patient(patients, labels, probabilities)
    frame_scores = binary_scores(labels, probabilities, "frame", threshold)
    return {
        **{f"frame_{name}": frame_scores[f"frame_{name}"] for name in _OF_FRAMES},
        **binary_scores(patient_labels, patient_probabilities, "patient", threshold),
    }


def classification_intervals(
    patients: Sequence[str],
    labels: np.ndarray,
    probabilities: np.ndarray,
    threshold: float,
    seed: int | np.random.Generator,
) -> dict[str, Interval]:
    """`patient_bootstrap` of the scores by patient (`patient_...`), from frames or from patients.

    Resampling a score of 1 or 0 gives nothing but 1 or 0; there an exact binomial interval stands in, where there is
    one. The calibration error has no interval: uneven resamples push it up, so that theirs lie above the truth.
    """
    names, labels, probabilities = by_patient(patients, labels, probabilities)
    found = patient_bootstrap(names, binary_statistic(labels, probabilities, threshold), seed)
    trials = independent_trials(labels, probabilities >= threshold)
    found = {name: exact_where_constant(interval, trials.get(name, 0)) for name, interval in found.items()}
    error = reliability(labels, probabilities).error
    found["ece"] = Interval(error, reason="resampling biases the calibration error upwards")
    return {f"patient_{name}": interval for name, interval in found.items()}


def independent_trials(labels: np.ndarray, called: np.ndarray) -> dict[str, int]:
    """Independent trials, of which a score of 1 (or 0) says that all succeeded (or failed).

    AUC: disjoint pairs of a sick and a healthy patient, each in the right order with a probability of AUC. Balanced
    accuracy: the same pairs; both of a pair are right less often, both are wrong less often, than it says.
    """
    sick = int((labels == 1).sum())
    healthy = len(labels) - sick
    pairs = min(sick, healthy)
    return {
        "accuracy": len(labels),
        "sensitivity": sick,
        "recall": sick,
        "specificity": healthy,
        "precision": int(called.sum()),
        "auc": pairs,
        "balanced_accuracy": pairs,
    }
