"""How far a frame lies from those of training, in what the decoder sees: latents, or pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.covariance import LedoitWolf

QUANTILE = 0.99
_LEAST_FRAMES = 2  # fewer have no spread
_LEAST_SPREAD = 0.01  # of the mean spread: a channel that never moved in training must not count for everything


@dataclass(frozen=True)
class Typicality:
    """The centre and spread of the training frames' pooled latents, and the distance that validation frames reach."""

    mean: np.ndarray
    """[F]"""
    scale: np.ndarray
    """[F], what each feature is divided by first."""
    precision: np.ndarray
    """[F, F], inverse of the shrunk covariance of the divided features."""
    threshold: float
    """A frame that is further is called unlike the training data."""
    quantile: float
    """Share of the validation frames that are no further than the threshold."""
    frames: tuple[int, int]
    """How many frames of training and of validation it was made from."""

    def distances(self, pooled: np.ndarray) -> np.ndarray:
        """Mahalanobis distances [N] of pooled latents [N, F], divided by the root of F: about 1 in training."""
        off = (np.asarray(pooled, float) - self.mean) / self.scale
        squares = np.einsum("nf,fg,ng->n", off, self.precision, off)
        return np.asarray(np.sqrt(np.maximum(squares, 0) / off.shape[1]))


def fit_typicality(train: np.ndarray, validation: np.ndarray, quantile: float = QUANTILE) -> Typicality | None:
    """Fit on pooled latents [N, F] of training frames, and take the threshold from those of validation frames [M, F].

    The threshold is the smallest validation distance that at least `quantile` of them do not exceed: with fewer than
    1 / (1 - quantile) frames the largest. None where there are too few frames. Source: Lee et al., A simple unified
    framework for detecting out-of-distribution samples, NeurIPS 2018; Ledoit and Wolf 2004 for the shrinkage.
    """
    if len(train) < _LEAST_FRAMES or not len(validation):
        return None
    train = np.asarray(train, float)
    spread = train.std(0)
    if not spread.any():
        return None
    scale = np.maximum(spread, _LEAST_SPREAD * spread.mean())
    mean = train.mean(0)
    precision = LedoitWolf(assume_centered=True).fit((train - mean) / scale).precision_
    fitted = Typicality(mean, scale, precision, np.inf, quantile, (len(train), len(validation)))
    threshold = float(np.quantile(fitted.distances(validation), quantile, method="higher"))
    return Typicality(mean, scale, precision, threshold, quantile, fitted.frames)
