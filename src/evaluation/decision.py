"""From how probable each class is in each pixel to the class that the pixel is given."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from src.settings import Decide

LEAST = 0.1
"""Where its most probable pixel is below this, `dice` takes a region to be absent, however many pixels show traces of
it. How probable its absence is cannot be had from the pixels' probabilities: they are far from independent."""
STRAY = 0.5
"""Of a region's pieces, `whole` keeps the most probable one and those at least this share as probable."""
_ROUNDS = 4  # what is taken from one region can break another; in practice two rounds end it


@dataclass(frozen=True)
class Decision:
    """How a frame's pixels are given their classes: class k where `slope[k]` p + `offset[k]` is highest."""

    slope: NDArray[np.float32]
    offset: NDArray[np.float32]
    background: int
    whole: bool = False
    """Whether stray pieces of a region go to the next best class (`_without_strays`)."""
    least: tuple[float, ...] = ()
    """Of each class the mean probability below which its region goes to the next best classes; () keeps all."""

    def __call__(self, probabilities: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Probabilities [K, H, W] of the frame, in any size -> class indices [H, W]."""
        worth = probabilities * self.slope[:, None, None]
        worth += self.offset[:, None, None]  # in place: an original may be large
        labels = np.asarray(worth.argmax(0), np.uint8)
        if self.whole:
            labels = _without_strays(labels, worth, self.background)
        for region, least in enumerate(self.least):
            unsure = labels == region
            if unsure.any() and worth[region][unsure].mean() < least:
                worth[region][unsure] = -np.inf
                labels[unsure] = worth[:, unsure].argmax(0)
        return labels


def _without_strays(labels: NDArray[np.uint8], worth: NDArray[np.float32], background: int) -> NDArray[np.uint8]:
    """Labels [H, W] whose regions hang together, as in a body: stray pieces go to the next best class there.

    A piece is stray where its probability, summed over its pixels, is below STRAY of that of the region's best piece:
    two equal halves stay, for a person to see that something is wrong. worth [K, H, W] is changed.
    """
    for _ in range(_ROUNDS):
        found_any = False
        for region in set(np.unique(labels).tolist()) - {background}:
            count, pieces = cv2.connectedComponents((labels == region).astype(np.uint8), connectivity=8)
            if count <= 2:  # the outside, and one piece
                continue
            weights = np.bincount(pieces.ravel(), worth[region].ravel(), count)[1:]
            stray = np.isin(pieces, 1 + np.flatnonzero(weights < STRAY * weights.max()))
            worth[region][stray] = -np.inf
            labels[stray] = worth[:, stray].argmax(0)
            found_any |= bool(stray.any())
        if not found_any:
            break
    return labels


def decision(probabilities: NDArray[np.float32], decide: Decide, background: int) -> Decision:
    """What `decide` makes of a frame's probabilities [K, H, W], in the size in which the networks give them.

    argmax: the most probable class of each pixel. whole: the same, but stray pieces of a region go to the next best
    class, since a region hangs together in a body. dice: the regions whose expected Dice is highest, mean over regions,
    so that one that is nowhere the most probable, as a nipple that hardly stands out, can still be drawn where it is
    likeliest; a pixel goes to the region that gains most by it.

    Of a region's n most probable pixels the expected Dice is about 2 (their sum) / (n + sum of all). At the best n, a
    pixel more of probability p adds (2 p - Dice) / (n + sum of all). The background adds nothing. Source: Dai and Li,
    RankSEG, Journal of Machine Learning Research 2023.
    """
    classes = len(probabilities)
    if decide != "dice":
        as_they_are = (np.ones(classes, np.float32), np.zeros(classes, np.float32))
        return Decision(*as_they_are, background, whole=decide == "whole")
    flat = probabilities.reshape(classes, -1).astype(np.float64)
    found = -np.sort(-flat, axis=1).cumsum(1)
    sizes = np.arange(1, flat.shape[1] + 1) + flat.sum(1, keepdims=True)
    dice = 2 * found / sizes
    best = (np.arange(classes), dice.argmax(1))
    slope, offset = 2 / sizes[best], -dice[best] / sizes[best]
    absent = flat.max(1) < LEAST
    slope[absent], offset[absent] = 0, -np.inf
    slope[background], offset[background] = 0, 0
    return Decision(slope.astype(np.float32), offset.astype(np.float32), background)


def chosen_classes(probabilities: NDArray[np.float32], decide: Decide, background: int) -> NDArray[np.uint8]:
    """Probabilities of frames as the networks give them [N, K, H, W] -> class indices [N, H, W]."""
    if decide == "argmax":  # what `decision` comes to, at once
        return np.asarray(probabilities.argmax(1), np.uint8)
    chosen = [decision(frame, decide, background)(frame) for frame in probabilities]
    return np.stack(chosen) if chosen else np.zeros((0, *probabilities.shape[2:]), np.uint8)
