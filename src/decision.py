"""From how probable each class is in each pixel to the class that the pixel is given."""

import numpy as np
from numpy.typing import NDArray

from src.settings import Decide


def chosen_classes(probabilities: NDArray[np.float32], decide: Decide, background: int) -> NDArray[np.uint8]:
    """Probabilities [N, K, H, W] -> class indices [N, H, W].

    argmax: the most probable class of each pixel. dice: the regions whose expected Dice is highest, mean over regions,
    so that one that is probable nowhere, as a nipple that hardly stands out, is still drawn where it is likeliest.
    """
    if decide == "argmax":
        return np.asarray(probabilities.argmax(1), np.uint8)
    chosen = [_gains(frame, background).argmax(0).astype(np.uint8) for frame in probabilities]
    return np.stack(chosen) if chosen else np.zeros((0, *probabilities.shape[2:]), np.uint8)


def _gains(probabilities: NDArray[np.float32], background: int) -> NDArray[np.float64]:
    """How much each pixel raises each region's expected Dice, [K, H, W]; the background's is 0.

    Of a region's n most probable pixels the expected Dice is about 2 (their sum) / (n + sum of all). At the best n, a
    pixel more of probability p adds (2 p - Dice) / (n + sum of all). A region that is more likely absent than its best
    Dice is left out: an absent one that is not drawn counts as found. Pixels are taken as independent. Source: Dai and
    Li, RankSEG, Journal of Machine Learning Research 2023.
    """
    flat = probabilities.reshape(len(probabilities), -1).astype(np.float64)
    found = -np.sort(-flat, axis=1).cumsum(1)
    sizes = np.arange(1, flat.shape[1] + 1) + flat.sum(1, keepdims=True)
    dice = 2 * found / sizes
    best = dice.argmax(1)[:, None]
    highest = np.take_along_axis(dice, best, 1)
    gains = (2 * flat - highest) / np.take_along_axis(sizes, best, 1)
    with np.errstate(divide="ignore"):  # a certain pixel: certainly not absent
        absent = np.exp(np.log1p(-flat.clip(max=1)).sum(1, keepdims=True))
    gains[(absent >= highest)[:, 0]] = -np.inf
    gains[background] = 0
    return np.asarray(gains.reshape(probabilities.shape))
