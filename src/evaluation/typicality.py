"""How far a frame lies from those of training, in what the decoder sees: latents, or pixels."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np

QUANTILE = 0.99
_LEAST_GROUPS = 4  # fewer say nothing of a tail
_MOST_FOLDS = 20
_LEAST_SPREAD = 0.01  # of the mean spread: a channel that never moved in training must not count for everything


@dataclass(frozen=True)
class Typicality:
    """The centre and spread of known frames' pooled latents, and the distance that hardly any frame like them exceeds.

    Source: Lee et al., A simple unified framework for detecting out-of-distribution samples, NeurIPS 2018.
    """

    mean: np.ndarray  # [F]
    scale: np.ndarray  # [F], what each feature is divided by first
    precision: np.ndarray  # [F, F], inverse of the shrunk covariance of the divided features
    threshold: float  # a frame that is further is called unlike the training data
    quantile: float  # share of the frames of the same kind that are expected to be no further than the threshold
    frames: int  # how many frames, of training and of validation, it was made from

    def distances(self, pooled: np.ndarray) -> np.ndarray:
        """Mahalanobis distances [N] of pooled latents [N, F], divided by the root of F: about 1 in training."""
        off = (np.asarray(pooled, float) - self.mean) / self.scale
        squares = np.einsum("nf,fg,ng->n", off, self.precision, off)
        return np.asarray(np.sqrt(np.maximum(squares, 0) / off.shape[1]))


def fit_typicality(pooled: np.ndarray, groups: Sequence[Hashable]) -> Typicality | None:
    """Fit on pooled latents [N, F] of frames; those of one group, such as a patient, are no news about each other.

    The limit comes from distances that each frame has from a fit without its group (leave one out, or 20 folds where
    there are more groups). Few frames do not show their hundredth, so the tail is estimated: logarithms of such
    distances are about normal, and the limit is the upper end of the prediction interval for one more of them,
    exp(m + t s sqrt(1 + 1/n)), with their mean m over the n groups, their standard deviation s, and Student's t of
    n - 1 degrees of freedom. None where there are fewer than 4 groups or frames do not differ.
    """
    from scipy import stats  # predicting fits nothing, and does not wait for it

    pooled = np.asarray(pooled, float)
    order = {group: place for place, group in enumerate(dict.fromkeys(groups))}
    count, numbers = len(order), np.array([order[group] for group in groups])
    if count < _LEAST_GROUPS:
        return None
    folds, logarithms = numbers % min(_MOST_FOLDS, count), np.zeros(len(pooled))
    for fold in np.unique(folds):
        without = _fit(pooled[folds != fold])
        if without is None:
            return None
        logarithms[folds == fold] = np.log(np.maximum(without.distances(pooled[folds == fold]), 1e-6))
    fitted = _fit(pooled)
    if fitted is None:
        return None
    weights = 1 / np.bincount(numbers)[numbers] / count  # each group counts as one
    centre = float(weights @ logarithms)
    spread = float(np.sqrt(weights @ (logarithms - centre) ** 2 * count / (count - 1)))
    limit = float(np.exp(centre + stats.t.ppf(QUANTILE, count - 1) * spread * np.sqrt(1 + 1 / count)))
    return replace(fitted, threshold=limit)


def _fit(pooled: np.ndarray) -> Typicality | None:
    """Centre and shrunk spread (Ledoit and Wolf 2004), without a limit."""
    from sklearn.covariance import LedoitWolf

    spread = pooled.std(0)
    if len(pooled) < 2 or not spread.any():
        return None
    scale, mean = np.maximum(spread, _LEAST_SPREAD * spread.mean()), pooled.mean(0)
    precision = LedoitWolf(assume_centered=True).fit((pooled - mean) / scale).precision_
    return Typicality(mean, scale, precision, np.inf, QUANTILE, len(pooled))
