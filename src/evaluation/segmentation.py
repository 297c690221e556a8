"""Scores of maps of regions, by pixels of all images and image by image, from arrays alone."""

import logging
from collections.abc import Mapping

import numpy as np
from scipy.ndimage import binary_erosion, distance_transform_edt

from src.classes import Classes
from src.evaluation.intervals import Statistic, score

logger = logging.getLogger(__name__)

TOLERANCE = 2  # pixels by which a border may be off in the surface Dice


def confusion_matrices(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Pixels of true class i predicted as j, of each image: truth, predicted [N, H, W] -> int64 [N, K, K]."""
    images = zip(truth, predicted, strict=True)
    counts = [np.bincount((a.astype(np.int64) * classes + b).ravel(), minlength=classes**2) for a, b in images]
    return np.stack(counts).reshape(-1, classes, classes)


def dice_and_iou(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Dice and IoU of each class: confusion [..., K, K] -> [..., K]; NaN where truth and prediction both lack it."""
    hit = np.diagonal(confusion, axis1=-2, axis2=-1).astype(float)
    total = confusion.sum(-1) + confusion.sum(-2)
    with np.errstate(invalid="ignore"):
        return 2 * hit / total, hit / (total - hit)


def pooled_statistic(confusion: np.ndarray, classes: Classes) -> Statistic:
    """`dice/<region>`, `iou/<region>`, their macro means and pixel accuracy, for `patient_bootstrap`.

    confusion: [N, K, K], a matrix a frame; the matrices are summed before anything is divided.
    """
    flat = confusion.reshape(len(confusion), -1)

    def statistic(counts: np.ndarray) -> dict[str, np.ndarray]:
        pooled = (counts @ flat).reshape(-1, *confusion.shape[1:])
        scores: dict[str, np.ndarray] = {}
        for measure, values in zip(("dice", "iou"), dice_and_iou(pooled), strict=True):
            scores |= {f"{measure}/{name}": values[:, index] for index, name in enumerate(classes.names)}
            scores[f"{measure}_macro"] = _mean_of_present(np.delete(values, classes.background, axis=1))
        with np.errstate(invalid="ignore"):
            scores["pixel_accuracy"] = np.trace(pooled, axis1=1, axis2=2) / pooled.sum((1, 2))
        return scores

    return statistic


def region_scores(confusion: np.ndarray, classes: Classes) -> dict[str, float]:
    """Dice and IoU of each class from one confusion matrix [K, K] summed over all frames.

    The macro means leave the background out, which is reported under its own name, and regions absent from truth and
    prediction.
    """
    scores = score(pooled_statistic(confusion[None], classes), 1)
    absent = [name for name in classes.regions.values() if np.isnan(scores[f"dice/{name}"])]
    if absent:
        logger.warning("neither in truth nor in prediction, so left out of the macro scores: %s", ", ".join(absent))
    return scores


def image_scores(truth: np.ndarray, predicted: np.ndarray, classes: Classes) -> dict[str, np.ndarray]:
    """`dice`, `iou`, `surface_dice` and `hausdorff95` of each region in each image, float [N, K].

    truth, predicted: class indices uint8 [N, H, W]. The surface Dice counts border pixels within `TOLERANCE` pixels of
    the other border; the Hausdorff distance is the larger of the two directed 95th percentiles, in pixels.

    Empty regions: absent in truth and prediction, a region is left out (NaN); absent in one of them, its overlaps are 0
    and its Hausdorff distance is the frame's diagonal. The background's column is NaN. Source: MONAI, `monai.metrics`.
    """
    count, height, width = truth.shape
    dice, iou = dice_and_iou(confusion_matrices(truth, predicted, len(classes.names)))
    surface = np.where(np.isnan(dice), np.nan, 0.0)
    distance = np.where(np.isnan(dice), np.nan, np.hypot(height, width))
    indices = np.arange(len(classes.names))[:, None, None]
    for image in range(count):
        of_truth, of_predicted = truth[image] == indices, predicted[image] == indices
        both = of_truth.any((1, 2)) & of_predicted.any((1, 2))
        both[classes.background] = False
        for index in np.flatnonzero(both):
            surface[image, index], distance[image, index] = _border_scores(of_truth[index], of_predicted[index])
    found = {"dice": dice, "iou": iou, "surface_dice": surface, "hausdorff95": distance}
    for values in found.values():
        values[:, classes.background] = np.nan
    return found


def image_statistic(scores: Mapping[str, np.ndarray], classes: Classes) -> Statistic:
    """Means over images of what `image_scores` gives, such as `image_dice/<region>` and `image_dice_macro`.

    For `patient_bootstrap`. Images that lack a region (NaN) are left out of its mean; the macro mean is over the means
    of the regions.
    """
    regions = classes.regions

    def statistic(counts: np.ndarray) -> dict[str, np.ndarray]:
        means: dict[str, np.ndarray] = {}
        for measure, values in scores.items():
            with np.errstate(invalid="ignore"):
                of_regions = counts @ np.nan_to_num(values) / (counts @ ~np.isnan(values))
            means |= {f"image_{measure}/{name}": of_regions[:, index] for index, name in regions.items()}
            means[f"image_{measure}_macro"] = _mean_of_present(of_regions[:, list(regions)])
        return means

    return statistic


def _border_scores(truth: np.ndarray, predicted: np.ndarray) -> tuple[float, float]:
    """Surface Dice and 95% Hausdorff distance of two masks, bool [H, W], neither of them empty.

    To the bit what MONAI's `compute_surface_dice` and `compute_hausdorff_distance` give.
    """
    import torch  # here, since what reads scores does without it; its quantile rounds as MONAI's

    rows, columns = np.nonzero(truth | predicted)
    box = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    borders = [mask & ~binary_erosion(mask) for mask in (truth[box], predicted[box])]
    distances = [distance_transform_edt(~borders[other])[borders[own]] for own, other in ((0, 1), (1, 0))]
    near = sum(int((found <= TOLERANCE).sum()) for found in distances)
    furthest = (torch.from_numpy(found.astype(np.float32)).quantile(0.95) for found in distances)
    return near / sum(map(len, distances)), max(map(float, furthest))


def _mean_of_present(values: np.ndarray) -> np.ndarray:
    """Mean of each row [R, K] over its values that are not NaN; NaN where there are none."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nansum(values, axis=1) / (~np.isnan(values)).sum(1))
