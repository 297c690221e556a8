"""The networks that ship as predictors: they need no run, and saw no patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from src.datasets.letterbox import Letterbox
from src.evaluation.decision import chosen_classes
from src.networks.build import shipped_classifier, shipped_networks
from src.networks.precision import compute_dtype
from src.networks.taught import read_taught
from src.networks.tumours import read_tumours
from src.prediction.plausibility import SHARES, implausible_breasts
from src.prediction.record import Record
from src.prediction.trained import Frame, Said, Trained
from src.training.engine import choose_device

_NEARLY_SMALL = 1.25 * SHARES["breast"][0]
"""A breast that takes more than this of what the networks see is not too small on the frame's own pixels."""


@dataclass(frozen=True)
class ShippedSegmenter(Trained):
    """The segmenter that ships, which looks twice at a frame in which a breast is missing, very small or in pieces.

    The second look is at the negative, too: where gray levels are the luminance of false colours warmer is not always
    brighter, and a breast can be missed that the negative shows. The mean of frame and negative is taken where fewer
    breasts are amiss in it; else, where that helps, the mean over the changed copies of both. Of 2,000 drawn torsos
    that were never taught 63 were looked at twice: of the 3 whose breasts were both there it mended 2; of the 60 with a
    breast removed or as small as that it changed none.
    """

    def say(self, frames: Sequence[Frame]) -> Said:
        """As of any networks, after the second look; the views are those of the first one."""
        first = super().say(frames)
        before = [self.implausible(maps, box) for maps, box in zip(first.logits, first.boxes, strict=True)]
        doubted = [place for place, count in enumerate(before) if count]
        if not doubted:
            return first
        negative = super().say([(255 - frames[place][0], first.boxes[place]) for place in doubted])
        own = first.logits[doubted]
        looks = [own, *(view[doubted] for view in first.views), negative.logits, *negative.views]
        answers = (own + negative.logits) / 2, torch.stack(looks).mean(0)
        logits, second = first.logits.clone(), [False] * len(before)
        for index, place in enumerate(doubted):
            least = before[place]
            for answer in answers:
                if (count := self.implausible(answer[index], first.boxes[place])) < least:
                    logits[place], second[place], least = answer[index], True, count
        return replace(first, logits=logits, second=tuple(second))

    def implausible(self, logits: torch.Tensor, box: Letterbox) -> int:
        """How many breasts are not as anatomy allows, by logits [K, H, W] of one frame, on its own pixels."""
        probabilities = logits.softmax(0).permute(1, 2, 0).numpy()
        coarse, classes = probabilities[box.inside], self.record.classes
        if not implausible_breasts(self._decided(coarse), classes, _NEARLY_SMALL):
            return 0
        return implausible_breasts(self._decided(box.restore(probabilities)), classes)

    def _decided(self, probabilities: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Probabilities [h, w, K] -> class indices [h, w]."""
        maps = probabilities.transpose(2, 0, 1)[None]
        found: NDArray[np.uint8] = chosen_classes(maps, self.decide, self.record.classes.background, self.least)[0]
        return found


def load_shipped(device: str = "auto") -> ShippedSegmenter:
    """The segmenter that ships; `UserError` where its file is missing or damaged.

    It computes in float32 on a CPU: so narrow a network is faster that way (14 ms a frame of one core with
    avx512_bf16, 20 in bfloat16).
    """
    taught, chosen = read_taught(), choose_device(device)
    model = shipped_networks(taught).to(chosen)
    dtype = compute_dtype("fp32" if chosen.type == "cpu" else "auto", chosen)
    return ShippedSegmenter(
        *(None, model, "gray", taught.image_size, chosen, dtype, Record(taught.classes), 0, "whole", taught.least),
        sees_levels=True,
        taught_on=taught.taught_on,
    )


def load_shipped_classifier(device: str = "auto") -> Trained:
    """What the networks that ship find of tumours: evidence, of no patient's diagnosis."""
    taught, chosen = read_taught(), choose_device(device)
    return Trained(
        *(None, shipped_classifier().to(chosen), "gray", taught.image_size, chosen, torch.float32, Record(), 0),
        sees_levels=True,
        taught_on=read_tumours().taught_on,
    )
