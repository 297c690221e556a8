"""Seven regions: what a decoder of them minimises, and how its logits become classes."""

import logging

import numpy as np
import torch

from src.classes import Classes
from src.datasets.augmentation import refuse_unpaired
from src.datasets.torch_datasets import Batch, RegionDataset
from src.evaluation.decision import chosen_classes
from src.evaluation.segmentation import confusion_matrices, region_scores
from src.losses import LOSSES
from src.networks.build import Frozen, begin_as_taught
from src.networks.taught import read_taught
from src.settings import SegmentationSettings
from src.training.decoder_task import DecoderTask
from src.training.epoch import Scores

logger = logging.getLogger(__name__)


class RegionTask(DecoderTask[RegionDataset]):
    """The settings' loss against soft targets; of each frame the true and the chosen class of each pixel are kept."""

    score = "dice_macro"

    def __init__(self, frozen: Frozen, settings: SegmentationSettings, classes: Classes, device: torch.device) -> None:
        self.settings, self.classes, names = settings, classes, classes.names
        if settings.augment != "none":
            refuse_unpaired(names, settings.annotations_path)
        super().__init__(frozen, settings, names, device)
        self.weights = torch.tensor(settings.class_weights, device=device)
        # By order of the ids, which another annotation file may have otherwise: to be seen, not guessed.
        told = ", ".join(f"{name} {weight:g}" for name, weight in zip(names, settings.class_weights, strict=True))
        logger.info("class weights: %s", told)

    def prepare(self, dataset: RegionDataset) -> None:
        """Begin with the weights that ship, where the settings say so."""
        if self.settings.init != "drawn":
            return
        taught = read_taught()
        begin_as_taught(self.model.decoder, taught, self.classes)
        logger.info("the training begins with the weights that ship (taught on %s)", taught.taught_on)
        if dataset.image_size != taught.image_size:
            logger.warning(
                "init: drawn: those weights know frames of %d x %d, not of %d x %d; consider image_size",
                *(*taught.image_size, *dataset.image_size),
            )

    def loss(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Logits [B, K, H, W] to the scalar loss."""
        return LOSSES[self.settings.loss](logits, batch["target"], self.weights)

    def judge(self, logits: torch.Tensor, batch: Batch) -> np.ndarray:
        """True and chosen class of each pixel, uint8 [B, 2, H, W]."""
        truth = batch["target"].argmax(1).to(torch.uint8).cpu().numpy()
        return np.stack((truth, self.chosen(logits, batch)), 1)

    def summarise(self, dataset: RegionDataset, kept: np.ndarray) -> Scores:
        """The mean Dice over the regions."""
        confusion = confusion_matrices(kept[:, 0], kept[:, 1], len(self.classes.names))
        return {"dice_macro": region_scores(confusion.sum(0), self.classes)["dice_macro"]}

    def chosen(self, logits: torch.Tensor, batch: Batch) -> np.ndarray:
        """The class of each pixel, uint8 [B, H, W], from logits [B, K, H, W].

        As in prediction, only what the file fills of a frame has a say; the rest is background, as in the truth.
        """
        probabilities, decide = logits.softmax(1).cpu().numpy(), self.settings.decide
        found = np.full((len(logits), *logits.shape[2:]), self.classes.background, np.uint8)
        for place, (top, left, rows, columns) in enumerate(batch["content"].tolist()):
            inside = (slice(top, top + rows), slice(left, left + columns))
            frame = probabilities[place : place + 1, :, *inside]
            found[place][inside] = chosen_classes(frame, decide, self.classes.background)[0]
        return found
