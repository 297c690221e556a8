"""Healthy or sick: what a decoder of it minimises, and what it has to know of the training frames first."""

import numpy as np
import torch
import torch.nn.functional as F

from model.heads import FeatureHead
from src.datasets.torch_datasets import Batch, DiagnosisDataset
from src.evaluation.classification import frame_scores
from src.networks.build import Frozen
from src.settings import ClassificationSettings
from src.training.decoder_task import DecoderTask, small_batches
from src.training.epoch import Scores


class DiagnosisTask(DecoderTask[DiagnosisDataset]):
    """Binary cross-entropy on the logit; of each frame the probability of being sick is kept."""

    score = "frame_auc"

    def __init__(self, frozen: Frozen, settings: ClassificationSettings, device: torch.device) -> None:
        if settings.decoder_input == "features":  # a tumour is a few gray levels: float32
            settings = settings.model_copy(update={"precision": "fp32"})
        super().__init__(frozen, settings, (), device)

    @torch.no_grad()
    def prepare(self, dataset: DiagnosisDataset) -> None:
        """Standardise features by those of the dataset."""
        if isinstance(self.model.decoder, FeatureHead):
            z = [self.latents(dataset, batch) for batch in small_batches(dataset, range(len(dataset)))]
            self.model.decoder.fit(torch.cat(z).flatten(1))

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
