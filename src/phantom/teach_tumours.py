"""Teaches a network to find warm spots on breasts, on drawn pairs of torsos without and with a tumour."""

import logging
import math
from pathlib import Path

import torch
import torch.nn.functional as F

from model.tumours import Findings, TumourModel
from src.evaluation.auc import auc_without_and_with
from src.networks.findings import TumourFinder
from src.networks.taught import read_taught
from src.networks.tumours import TaughtTumours, write_tumours
from src.phantom.lesson import TESTED, Drawing, Lesson, Subject, teach
from src.phantom.pairs import draw_pair

logger = logging.getLogger(__name__)

TUMOUR_LESSON = Lesson(base_channels=12, steps=5000, batch_size=12)
EXCESS_WEIGHT = 300.0
"""Of the squared error of the excess, in squared standard deviations of a frame's levels, against the entropies."""


class Tumours(Subject[TumourModel]):
    """Evidence of a tumour and excess of warmth, on the regions that the segmenter that ships finds."""

    @staticmethod
    def draw(number: int) -> Drawing:
        """Frames float32 [2, 1, 120, 160] in -1..1 without and with a tumour, and the breast that has it (0: left)."""
        drawn = draw_pair(number)
        return torch.from_numpy(drawn.levels)[:, None].float() / 127.5 - 1, torch.tensor(drawn.side)

    def __init__(self, lesson: Lesson, device: torch.device, workers: int = 0) -> None:
        super().__init__(lesson, TumourModel, device, workers)
        self.finder = TumourFinder(read_taught(), self.network).to(device)

    def loss(self, batch: Drawing) -> torch.Tensor:
        """Entropies of places, of patients and of which of a pair is which, and the squared error of the excess."""
        frames, side = batch
        with torch.autocast(self.device.type, enabled=False):
            levels = self.finder.levels(frames.flatten(0, 1))
            # The regions of both pictures of a pair are the same: one is enough to see.
            regions = self.finder.regions(self.finder.levels(frames[:, 0])).repeat_interleave(2, 0)
        found = self.network(levels, regions)
        with torch.autocast(self.device.type, enabled=False):
            warmer = self._warmer(frames, found.grids[1::2])
            healthy, sick = found.excess.unflatten(0, (-1, 2)).unbind(1)
            error = (sick - warmer).square().mean() + healthy.square().mean()
            without, with_it = found.patients.unflatten(0, (-1, 2)).unbind(1)
            of_patients = (F.softplus(without) + F.softplus(-with_it)).mean() / 2
            of_pairs = F.softplus(without - with_it).mean()
            loss: torch.Tensor = _of_places(found, warmer, side) + of_patients + of_pairs + EXCESS_WEIGHT * error
            return loss

    def _warmer(self, frames: torch.Tensor, grids: torch.Tensor) -> torch.Tensor:
        """How much warmer the second of each pair of frames is [B, 2, SIDE, SIDE], in the first one's spread."""
        spread = frames[:, 0].std((1, 2, 3)).clamp_min(1e-2)[:, None, None, None]
        difference = (frames[:, 1] - frames[:, 0]) / spread
        laid = [F.grid_sample(difference, grids[:, side], align_corners=False)[:, 0] for side in (0, 1)]
        return torch.stack(laid, 1)


def _of_places(found: Findings, warmer: torch.Tensor, side: torch.Tensor) -> torch.Tensor:
    """Entropy of where the tumour is, or that there is none, in each breast that is found; one in four has one.

    The place is not one pixel but those that are `warmer` [B, 2, SIDE, SIDE], as far as they are.
    """
    none = torch.full_like(found.breasts, math.log(3.0))
    entropy = torch.logaddexp(found.breasts, none)
    inside = found.evidence[1::2].isfinite()
    place = (warmer.clamp_min(0) * inside).square()
    share = place / place.sum((2, 3), keepdim=True).clamp_min(1e-9)
    has_it = torch.zeros_like(found.breasts, dtype=torch.bool)
    has_it[1::2] = F.one_hot(side, 2).bool() & (place.sum((2, 3)) > 1e-9)
    there = (share * found.evidence[1::2].masked_fill(~inside, 0)).sum((2, 3)).repeat_interleave(2, 0)
    return (entropy - torch.where(has_it, there, none))[found.found].mean()


@torch.inference_mode()
def tested(subject: Tumours) -> str:
    """AUC of patients over pairs of all depths and diameters that no lesson uses, with its interval."""
    logits = torch.cat(
        [subject.finder(frames.flatten(0, 1)).patients.cpu() for frames, _ in subject.batches(0, TESTED, 16)]
    )
    return str(auc_without_and_with(logits[0::2].numpy(), logits[1::2].numpy()))


def teach_tumours(lesson: Lesson, out: Path, device: torch.device, workers: int) -> None:
    """Teach, test and write the weights `out`."""
    subject, partial = Tumours(lesson, device, workers), out.with_suffix(".partial")
    network = teach(subject, partial)
    logger.info("AUC of tumours of all depths and diameters, on torsos of no lesson: %s", tested(subject))
    state = {name: value.cpu() for name, value in network.state_dict().items()}
    write_tumours(TaughtTumours(state, lesson.base_channels, lesson.in_words("pairs of drawn torsos")), out)
    partial.unlink(missing_ok=True)
