"""How far a frame's regions stay what they are when the frame is changed a little, in ways that change no anatomy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from src.datasets.augmentation import grid_of, placement, sampled
from src.datasets.letterbox import Letterbox
from src.evaluation.decision import chosen_classes
from src.settings import Decide


@dataclass(frozen=True)
class Change:
    """Rotation in degrees, scale of what is shown, shift of columns and rows as shares of the frame, and gain."""

    degrees: float
    scale: float
    shift: tuple[float, float]
    gain: float


CHANGES = (Change(4, 1.07, (0.02, 0.02), 1.1), Change(-4, 0.93, (-0.02, -0.02), 0.9))
"""Always the same: a frame has one answer. Four, each with fewer changes, find wrong regions no better."""


def changed_views(
    x: torch.Tensor, logits_of: Callable[[torch.Tensor], torch.Tensor], at_once: int
) -> list[torch.Tensor]:
    """Logits float32 [B, K, H, W] on the CPU of each of `CHANGES` of frames x [B, C, H, W] in -1..1, mapped back.

    All copies are one batch, in parts of `at_once` frames where memory asks for it.
    """
    # Places in bfloat16 would be off by pixels, and the agreement with them.
    with torch.autocast(x.device.type, enabled=False):
        changed, matrix = _changed(x)
    logits = torch.cat([logits_of(part).float().cpu() for part in torch.split(changed, at_once)])
    with torch.autocast("cpu", enabled=False):
        back = sampled(logits, grid_of(_inverse(matrix.cpu()), logits))
    return list(torch.split(back, len(x)))


def _changed(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The copies [CHANGES * B, C, H, W] of frames x [B, C, H, W] in -1..1, and the maps [CHANGES * B, 2, 3] to them."""
    count, copies = len(x), x.repeat(len(CHANGES), 1, 1, 1)
    values = np.repeat([(c.degrees, 1 / c.scale, *c.shift, c.gain) for c in CHANGES], count, axis=0)
    degrees, scale, across, down, gain = torch.tensor(values.T, dtype=x.dtype, device=x.device)
    matrix = placement(degrees, scale, torch.stack((across, down), 1), (x.shape[2], x.shape[3]))
    # A gain alone would be normalised away again where networks see levels; a power is not.
    power = gain[:, None, None, None]
    return sampled(((copies + 1) / 2).clamp(0, 1) ** power * 2 - 1, grid_of(matrix, copies)), matrix


def _inverse(matrix: torch.Tensor) -> torch.Tensor:
    """The inverse [B, 2, 3] of affine maps [B, 2, 3]."""
    turned = torch.linalg.inv(matrix[:, :, :2])
    return torch.cat((turned, -turned @ matrix[:, :, 2:]), 2)


def agreement(
    maps: Sequence[torch.Tensor], box: Letterbox, decide: Decide, background: int, least: Sequence[float] = ()
) -> tuple[float | None, ...]:
    """Of a frame the mean Dice of each class between its prediction and those of its views.

    maps: the logits of the frame and then of the views, all [K, H, W]. None for a class that none of them has; 0 counts
    where only one of two has it.
    """
    inside = torch.stack(list(maps))[..., *box.inside].softmax(1).numpy()
    own, *others = chosen_classes(inside, decide, background, least)
    dice = np.array([_dice(own, other, len(maps[0])) for other in others])
    known = ~np.isnan(dice)
    sums = np.where(known, dice, 0).sum(0)
    return tuple(float(total / n) if n else None for total, n in zip(sums, known.sum(0), strict=True))


def _dice(one: NDArray[np.uint8], other: NDArray[np.uint8], classes: int) -> NDArray[np.float64]:
    both = np.bincount(one[one == other], minlength=classes)
    sizes = np.bincount(one.ravel(), minlength=classes) + np.bincount(other.ravel(), minlength=classes)
    return np.where(sizes > 0, 2 * both / np.maximum(sizes, 1), np.nan)
