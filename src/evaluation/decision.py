"""From how probable each class is in each pixel to the class that the pixel is given."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from src.settings import Decide

STRAY = 0.5  # of a region's pieces, `whole` keeps the most probable one and those at least this share as probable
_ROUNDS = 4  # what is taken from one region can break another; in practice two rounds end it


def chosen_classes(
    probabilities: NDArray[np.float32], decide: Decide, background: int, least: Sequence[float] = ()
) -> NDArray[np.uint8]:
    """Probabilities of frames [N, K, H, W] -> class indices [N, H, W].

    argmax: the most probable class of each pixel. whole: the same, but stray pieces of a region go to the next best
    class, since a region hangs together in a body. `least` is, of each class, the mean probability below which its
    region is taken to be absent.
    """
    labels = np.asarray(probabilities.argmax(1), np.uint8)
    if decide == "argmax" and not any(least):
        return labels
    for frame, found in zip(probabilities, labels, strict=True):
        denied = np.zeros(frame.shape, np.bool_)
        if decide == "whole":
            _give_strays_away(found, frame, denied, background)
        for region, limit in enumerate(least):
            unsure = found == region
            if limit and unsure.any() and frame[region][unsure].mean() < limit:
                denied[region] |= unsure
                found[unsure] = np.where(denied[:, unsure], -np.inf, frame[:, unsure]).argmax(0)
    return labels


def _give_strays_away(
    labels: NDArray[np.uint8], frame: NDArray[np.float32], denied: NDArray[np.bool_], background: int
) -> None:
    """Let the regions of labels [H, W] hang together, as in a body: stray pieces go to the next best class there.

    A piece is stray where its probability, summed over its pixels, is below STRAY of that of the region's best piece:
    two equal halves stay, for a person to see that something is wrong. frame [K, H, W]: probabilities; denied, of the
    same shape: which classes a pixel may not have, changed too.
    """
    for _ in range(_ROUNDS):
        found_any = False
        for region in set(np.flatnonzero(np.bincount(labels.ravel())).tolist()) - {background}:
            mask = (labels == region).astype(np.uint8)
            left, top, width, height = cv2.boundingRect(mask)
            box = slice(top, top + height), slice(left, left + width)
            count, pieces = cv2.connectedComponents(mask[box], connectivity=8)
            if count <= 2:  # the outside, and one piece
                continue
            inside, forbidden = frame[:, *box], denied[:, *box]
            weights = np.bincount(pieces.ravel(), inside[region].ravel(), count)[1:]
            stray = np.isin(pieces, 1 + np.flatnonzero(weights < STRAY * weights.max()))
            forbidden[region] |= stray
            labels[box][stray] = np.where(forbidden[:, stray], -np.inf, inside[:, stray]).argmax(0)
            found_any |= bool(stray.any())
        if not found_any:
            break
