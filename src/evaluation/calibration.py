"""Do probabilities mean what they say: temperature, threshold, calibration error, data of the reliability diagram.

Labels are 1 for sick. Labels and probabilities are both [N], of patients wherever patients are what is judged.
"""

import logging
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit
from scipy.stats import binomtest, rankdata

logger = logging.getLogger(__name__)

THRESHOLD = 0.5
TEMPERATURES = (0.05, 100.0)
_CERTAIN = 1e-12  # a probability this close to 0 or 1 is taken as this close: float64 logits up to 27.6
_BINS, _LEAST_IN_BIN = 10, 10


@dataclass(frozen=True)
class Reliability:
    """What a reliability diagram shows, a value a bin."""

    predicted: np.ndarray  # mean probability
    observed: np.ndarray  # share of sick
    low: np.ndarray
    high: np.ndarray  # ends of the 95% Wilson interval of the share
    counts: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error: the mean distance of share and probability, weighted by the counts."""
        return float(np.average(np.abs(self.observed - self.predicted), weights=self.counts))


def fit_temperature(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The temperature, within `TEMPERATURES`, that divides logits so that the log loss is least.

    Fit it on validation, on the unit that it is then applied to. Where no probability lies on the wrong side of 0.5 the
    loss falls all the way to temperature 0: there it stays 1, with a warning. Source: Guo et al., On calibration of
    modern neural networks, ICML 2017.
    """
    margins = (2 * labels - 1) * _logits(probabilities)
    if (margins >= 0).all():
        words = "calibration: temperature stays 1: all %d patients are on the right side of 0.5, which fits none"
        logger.warning(words, len(labels))
        return 1.0

    def log_loss(log_temperature: float) -> float:
        return float(np.logaddexp(0, -margins / np.exp(log_temperature)).mean())

    bounds = np.log(TEMPERATURES)
    found = float(minimize_scalar(log_loss, bounds=bounds, method="bounded", options={"xatol": 1e-6}).x)
    if np.abs(found - bounds).min() < 1e-3:
        words = "calibration: temperature %.3g, the end of its range: %d patients' probabilities hardly tell the sick"
        logger.warning(words, np.exp(found), len(labels))
    return float(np.exp(found))


def apply_temperature(probabilities: np.ndarray, temperature: float | np.ndarray) -> np.ndarray:
    """Probabilities after their logits were divided by the temperature; ranks, and so AUC, stay."""
    return np.asarray(expit(_logits(probabilities) / temperature))


def choose_threshold(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The threshold of the highest balanced accuracy (Youden's index): a probability that reaches it is called sick.

    Candidates are the middles between neighbouring probabilities, and 0, which calls everyone sick. Of equals the
    lowest wins: it misses the fewest sick. With one diagnosis only it is 0.5, with a warning. Choose it on validation.
    """
    sick = np.bincount(labels.astype(int), minlength=2)
    if not sick.all():
        logger.warning("threshold stays %g: only one diagnosis among %d", THRESHOLD, len(labels))
        return THRESHOLD
    levels = np.unique(probabilities)
    middles = (levels[:-1] + levels[1:]) / 2
    # Between neighbouring floats there is no middle.
    candidates = np.concatenate([[0.0], np.where(middles > levels[:-1], middles, levels[1:])])
    called = probabilities >= candidates[:, None]
    # In whole numbers, so that equals are equal: sensitivity - (1 - specificity), times both counts.
    youden = (called & (labels == 1)).sum(1) * sick[0] - (called & (labels == 0)).sum(1) * sick[1]
    return float(candidates[youden.argmax()])


def reliability(labels: np.ndarray, probabilities: np.ndarray) -> Reliability:
    """Bins of equal counts: a bin for every ten probabilities, from one up to ten bins; fewer than twenty are one bin.

    Equal probabilities share a bin, so that counts may differ. Equal counts are less biased in small samples than equal
    widths (Roelofs et al., Mitigating bias in calibration error estimation, AISTATS 2022).
    """
    bins = min(max(len(labels) // _LEAST_IN_BIN, 1), _BINS)
    share_below = (rankdata(probabilities) - 0.5) / len(labels)
    _, place, counts = np.unique(np.floor(share_below * bins), return_inverse=True, return_counts=True)
    sick = np.bincount(place, weights=labels).round().astype(int)
    ends = [binomtest(hits, count).proportion_ci(method="wilson") for hits, count in zip(sick, counts, strict=True)]
    return Reliability(
        predicted=np.bincount(place, weights=probabilities) / counts,
        observed=sick / counts,
        low=np.array([end.low for end in ends]),
        high=np.array([end.high for end in ends]),
        counts=counts,
    )


def _logits(probabilities: np.ndarray) -> np.ndarray:
    return np.asarray(logit(np.clip(np.asarray(probabilities, float), _CERTAIN, 1 - _CERTAIN)))
