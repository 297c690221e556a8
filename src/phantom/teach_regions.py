"""Teaches a UNet the seven regions on drawn torsos: no real frame takes part."""

import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from model.unet import UNet
from src.classes import Classes
from src.datasets.augmentation import mirrored_classes
from src.evaluation.decision import chosen_classes
from src.evaluation.segmentation import confusion_matrices, region_scores
from src.losses import dice_loss
from src.networks.features import maps_of
from src.networks.levels import NormalisedLevels
from src.networks.taught import Taught, write_taught
from src.phantom.lesson import TESTED, Drawing, Lesson, Subject, teach
from src.phantom.shape import BACKGROUND, CLASSES, HEIGHT, WIDTH
from src.phantom.torsos import draw_torso

logger = logging.getLogger(__name__)

CLASS_WEIGHTS = (1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0)  # as published for the decoders: nipples count twice
MIRRORED = mirrored_classes(CLASSES)
LIMITS = np.arange(0, 0.96, 0.05).round(2)  # mean probabilities that are tried as the least that a nipple needs
MAY_COST = 0.03  # share of the nipples there are that the limit may lose


class Regions(Subject[UNet]):
    """The class of each pixel."""

    @staticmethod
    def draw(number: int) -> Drawing:
        """A torso's frame float32 [1, 120, 160] in -1..1 and classes int64 [120, 160]."""
        levels, classes = draw_torso(number)
        return torch.from_numpy(levels)[None].float() / 127.5 - 1, torch.from_numpy(classes).long()

    def __init__(self, lesson: Lesson, device: torch.device, workers: int = 0) -> None:
        super().__init__(lesson, partial(UNet, 1, len(CLASSES)), device, workers)
        self.normalise = NormalisedLevels().to(device)
        self.weights = torch.tensor(CLASS_WEIGHTS, device=device)

    def loss(self, batch: Drawing) -> torch.Tensor:
        """Cross-entropy, of which a pixel counts as much as its class weighs, and soft Dice loss.

        Unlike the decoders' `ce+dice`, whose targets are shares, and whose mean is over pixels whatever they weigh.
        """
        frames, classes = batch
        logits = self.network(self.normalise(frames))
        with torch.autocast(self.device.type, enabled=False):
            logits, target = logits.float(), F.one_hot(classes, len(CLASSES)).movedim(-1, 1).float()
            return F.cross_entropy(logits, classes, self.weights) + dice_loss(logits, target)

    def test_batches(self) -> Iterator[Drawing]:
        """Normalised levels and classes of torsos that no lesson uses."""
        for frames, classes in self.batches(0, TESTED, 16):
            yield self.normalise(frames), classes


@torch.inference_mode()
def tested(subject: Regions) -> dict[str, float]:
    """Dice and other scores (`region_scores`) over the pixels of torsos that no lesson uses."""
    confusion = np.zeros((len(CLASSES), len(CLASSES)), np.int64)
    for levels, classes in subject.test_batches():
        found = subject.network(levels).argmax(1).cpu()
        confusion += confusion_matrices(classes.cpu().numpy(), found.numpy(), len(CLASSES)).sum(0)
    return region_scores(confusion, Classes(CLASSES, BACKGROUND))


@torch.inference_mode()
def feature_statistics(subject: Regions) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation [F] of each feature (`maps_of`) over the pixels of the test torsos."""
    moments = [
        torch.stack([z.mean((0, 2, 3)), z.square().mean((0, 2, 3))]).double()
        for levels, _ in subject.test_batches()
        for z in [maps_of(subject.network, levels).float()]
    ]
    mean, square = torch.stack(moments).mean(0).cpu()
    return mean.float(), (square - mean**2).clamp_min(1e-6).sqrt().float()


@torch.inference_mode()
def least_probability(subject: Regions) -> float:
    """The mean probability that a nipple needs: the highest that loses at most three of a hundred of those there are.

    As in prediction, the logits are averaged over mirror images. Found are the nipples of the test torsos whose centre
    is met within a thirty-second of the frame's width. What is less sure than that is mostly drawn where there is none.
    """
    sides = [CLASSES.index(f"{side}_nipple") for side in ("left", "right")]
    there, met, sure = [], [], []
    for levels, classes in subject.test_batches():
        mirrored = subject.network(levels.flip(-1)).flip(-1)[:, MIRRORED]
        maps = ((subject.network(levels) + mirrored) / 2).softmax(1).cpu().numpy()
        for probabilities, truth in zip(maps, classes.cpu().numpy(), strict=True):
            labels = chosen_classes(probabilities[None], "whole", BACKGROUND)[0]
            for region in sides:
                drawn, real = labels == region, truth == region
                there.append(real.any())
                met.append(drawn.any() and real.any() and _apart(drawn, real) <= WIDTH / 32)
                sure.append(float(probabilities[region][drawn].mean()) if drawn.any() else -1.0)
    is_there, is_met, how_sure = np.array(there), np.array(met), np.array(sure)
    found = [(is_met & (how_sure >= at))[is_there].mean() for at in LIMITS]
    invented = [(how_sure >= at)[~is_there].mean() for at in LIMITS]
    chosen = max(index for index, share in enumerate(found) if share >= found[0] - MAY_COST)
    logger.info("nipples are drawn from a mean probability of %.2f on", LIMITS[chosen])
    logger.info(
        "found %.3f instead of %.3f, invented %.3f of %.3f", found[chosen], found[0], invented[chosen], invented[0]
    )
    return float(LIMITS[chosen])


def _apart(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Pixels between the centres of two masks."""
    return float(np.linalg.norm(np.argwhere(one).mean(0) - np.argwhere(other).mean(0)))


def teach_regions(lesson: Lesson, out: Path, device: torch.device, workers: int) -> None:
    """Teach, test and write the weights `out`."""
    subject, unfinished = Regions(lesson, device, workers), out.with_suffix(".partial")
    network = teach(subject, unfinished)
    for name, value in tested(subject).items():
        logger.info("%-24s %.3f", name, value)
    mean, std = feature_statistics(subject)
    state = {name: value.cpu() for name, value in network.state_dict().items()}
    nipple = least_probability(subject)
    least = tuple(nipple if name.endswith("nipple") else 0.0 for name in CLASSES)
    classes, size, base = Classes(CLASSES, BACKGROUND), (HEIGHT, WIDTH), lesson.base_channels
    taught_on = lesson.in_words("drawn torsos")
    write_taught(Taught(state, classes, base, size, taught_on, mean, std, least, out), out)
    unfinished.unlink(missing_ok=True)
