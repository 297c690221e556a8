"""Scores of predictions, from arrays alone. A score that does not exist is NaN, with its reason in the log."""

import logging
from collections.abc import Sequence

import numpy as np
from sklearn import metrics as sk

logger = logging.getLogger(__name__)

THRESHOLD = 0.5


def area_under_curve(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Area under the ROC curve; NaN where only one class is there."""
    return float(sk.roc_auc_score(labels, probabilities)) if len(np.unique(labels)) == 2 else float("nan")


def binary_scores(labels: np.ndarray, probabilities: np.ndarray, prefix: str) -> dict[str, float]:
    """Accuracy, balanced accuracy, precision, recall, F1 at threshold 0.5, and AUC; labels are 1 for sick; both [N]."""
    predicted = (probabilities >= THRESHOLD).astype(int)
    both = len(np.unique(labels)) == 2
    if not both:
        logger.warning("%s: only one diagnosis among %d: no AUC, no balanced accuracy", prefix, len(labels))
    scores = {
        "accuracy": sk.accuracy_score(labels, predicted),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, predicted) if both else float("nan"),
        "precision": sk.precision_score(labels, predicted, zero_division=0),
        "recall": sk.recall_score(labels, predicted, zero_division=0),
        "f1": sk.f1_score(labels, predicted, zero_division=0),
        "auc": area_under_curve(labels, probabilities),
    }
    return {f"{prefix}_{name}": float(value) for name, value in scores.items()}


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


def classification_scores(patients: Sequence[str], labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Scores by frame (`frame_...`) and by patient (`patient_...`)."""
    _, patient_labels, patient_probabilities = by_patient(patients, labels, probabilities)
    return {
        **binary_scores(labels, probabilities, "frame"),
        **binary_scores(patient_labels, patient_probabilities, "patient"),
    }


def confusion_matrices(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Pixels of true class i predicted as j, of each image: truth, predicted [N, H, W] -> int64 [N, K, K]."""
    pairs = truth.astype(np.int64) * classes + predicted
    counts = [np.bincount(image.ravel(), minlength=classes**2) for image in pairs]
    return np.stack(counts).reshape(-1, classes, classes)


def dice_and_iou(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Dice and IoU of each class: confusion [..., K, K] -> [..., K]; NaN where truth and prediction both lack it."""
    hit = np.diagonal(confusion, axis1=-2, axis2=-1).astype(float)
    total = confusion.sum(-1) + confusion.sum(-2)
    with np.errstate(invalid="ignore"):
        return 2 * hit / total, hit / (total - hit)


def region_scores(confusion: np.ndarray, class_names: Sequence[str], background: int) -> dict[str, float]:
    """Dice and IoU of each class from one confusion matrix [K, K] summed over all frames.

    The macro means leave the background out, which is reported under its own name, and regions absent from truth and
    prediction.
    """
    dice, iou = dice_and_iou(confusion)
    scores = {f"dice/{name}": float(value) for name, value in zip(class_names, dice, strict=True)}
    scores |= {f"iou/{name}": float(value) for name, value in zip(class_names, iou, strict=True)}
    regions = [index for index in range(len(class_names)) if index != background and not np.isnan(dice[index])]
    absent = [name for index, name in enumerate(class_names) if index != background and index not in regions]
    if absent:
        logger.warning("neither in truth nor in prediction, so left out of the macro scores: %s", ", ".join(absent))
    scores["dice_macro"] = float(dice[regions].mean()) if regions else float("nan")
    scores["iou_macro"] = float(iou[regions].mean()) if regions else float("nan")
    scores["pixel_accuracy"] = float(np.trace(confusion) / confusion.sum())
    return scores
