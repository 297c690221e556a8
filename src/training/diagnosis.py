"""Healthy or sick: what a decoder of it minimises, and what it has to know of the breasts first."""

from __future__ import annotations

import logging

import numpy as np
import torch
import torch.nn.functional as F

from model.spots import SpotModel
from src.datasets.torch_datasets import Batch, DiagnosisDataset
from src.errors import UserError
from src.evaluation.classification import frame_scores
from src.networks.decoder_input import Frozen
from src.settings import ClassificationSettings
from src.training.decoder_task import DecoderTask, small_batches
from src.training.epoch import Scores

logger = logging.getLogger(__name__)


class DiagnosisTask(DecoderTask[DiagnosisDataset]):
    """Binary cross-entropy on the logit; of each frame the probability of being sick is kept."""

    score = "frame_auc"

    def __init__(self, frozen: Frozen, settings: ClassificationSettings, device: torch.device) -> None:
        if settings.sees_breasts:
            torch.manual_seed(settings.seed)  # whatever networks were made before
            if settings.precision == "bf16":
                logger.warning("head: spots computes in float32, whatever precision says: a spot is a few gray levels")
            settings = settings.model_copy(update={"precision": "fp32"})
        super().__init__(frozen, settings, (), device)

    @torch.no_grad()
    def prepare(self, dataset: DiagnosisDataset) -> None:
        """Tell `head: spots` what is usual in the breasts of the dataset."""
        decoder = self.model.decoder
        if not isinstance(decoder, SpotModel):
            return
        shaped, missing = [], 0
        for batch in small_batches(dataset, range(len(dataset))):
            z = self.latents(dataset, batch).flatten(0, 1)
            shaped.append(decoder.shaped(z))
            missing += int((~decoder.found(z)).any(1).sum())
        if missing:
            logger.warning(
                "the segmenter finds not both breasts in %d of %d training frames; there they are looked for where "
                "they usually lie",
                *(missing, len(dataset)),
            )
        try:
            decoder.fit(torch.cat(shaped))
        except ValueError as error:
            raise UserError(f"head: spots: {error}") from None

    def loss(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Logits [B] to the scalar loss."""
        return F.binary_cross_entropy_with_logits(logits, batch["label"].to(self.device))

    def judge(self, logits: torch.Tensor, batch: Batch) -> np.ndarray:
        """Probabilities [B]."""
        probabilities: np.ndarray = logits.cpu().double().sigmoid().numpy()
        return probabilities

    def summarise(self, dataset: DiagnosisDataset, kept: np.ndarray) -> Scores:
        """Scores by frame."""
        return frame_scores(np.array(dataset.labels), kept)
