"""Training of a decoder on the frozen encoder's latents, and its predictions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from model.heads import ClassificationModel, LatentModel, SegmentationModel
from src.datasets.build import Parts
from src.datasets.tasks import Batch, DiagnosisDataset, FrameDataset, RegionDataset, as_input
from src.encoder import CUTSEncoder
from src.evaluation.metrics import area_under_curve, confusion_matrices, region_scores
from src.settings import ClassificationSettings, DecoderSettings, SegmentationSettings
from src.training import checkpoint as checkpoints
from src.training.checkpoint import Checkpoint
from src.training.engine import (
    Losses,
    Scores,
    Trainable,
    batches_of,
    blank_checkpoint,
    epoch_generator,
    mean_losses,
    steps_per_epoch,
    train_one_epoch,
    training_batches,
)
from src.training.latents import KeptLatents
from src.training.run_folder import RunFolder

logger = logging.getLogger(__name__)

D = TypeVar("D", bound=FrameDataset)
_FEW_STEPS = 3
_PIXELS_AT_ONCE = 16 * 120 * 160  # in prediction: a batch of 16 heat frames, one gray frame


@dataclass(frozen=True)
class DecoderTask(Generic[D]):
    """What sets the two decoders apart."""

    model: LatentModel
    loss: Callable[[torch.Tensor, Batch], torch.Tensor]
    """Logits and batch to the scalar loss."""
    judge: Callable[[torch.Tensor, Batch], np.ndarray]
    """Logits and batch to what is kept of each frame, [B, ...]."""
    summarise: Callable[[D, np.ndarray], Scores]
    """What was kept of a dataset's frames, [N, ...], to the scores that the log shows."""


def classification_task(
    encoder: CUTSEncoder, settings: ClassificationSettings, image_size: tuple[int, int]
) -> DecoderTask[DiagnosisDataset]:
    """Binary cross-entropy on the logit; of each frame the probability of being sick is kept."""
    decoder = ClassificationModel(encoder.latent_dim, image_size, settings.base_channels)
    return DecoderTask(
        model=LatentModel(encoder, decoder, encoder.in_channels),
        loss=lambda logits, batch: F.binary_cross_entropy_with_logits(logits, batch["label"].to(logits.device)),
        judge=lambda logits, batch: logits.cpu().double().sigmoid().numpy(),
        summarise=lambda dataset, kept: {"frame_auc": area_under_curve(np.array(dataset.labels), kept)},
    )


def segmentation_task(
    encoder: CUTSEncoder, settings: SegmentationSettings, class_names: tuple[str, ...], background: int
) -> DecoderTask[RegionDataset]:
    """Cross-entropy with class weights against soft targets; of each frame the confusion matrix [K, K] is kept."""
    decoder = SegmentationModel(encoder.latent_dim, len(class_names), settings.base_channels)
    weights = torch.tensor(settings.class_weights)

    def judge(logits: torch.Tensor, batch: Batch) -> np.ndarray:
        return confusion_matrices(batch["target"].argmax(1).numpy(), logits.argmax(1).cpu().numpy(), len(class_names))

    return DecoderTask(
        model=LatentModel(encoder, decoder, encoder.in_channels),
        loss=lambda logits, batch: F.cross_entropy(
            logits, batch["target"].to(logits.device), weights.to(logits.device)
        ),
        judge=judge,
        summarise=lambda dataset, kept: {
            "dice_macro": region_scores(kept.sum(0), class_names, background)["dice_macro"],
        },
    )


def frozen_encoder(
    mode: str, root: Path | None, settings: DecoderSettings, parts: Parts[D], run: RunFolder
) -> tuple[CUTSEncoder, Checkpoint]:
    """The encoder under the decoder, and the checkpoint that the decoder's weights go into or come from.

    To train, it is the pretrained one below `root` (the settings' output_root by default), refused if it saw test
    patients; to test, it is the very one that the run was trained on.
    """
    if mode == "test":
        trained = checkpoints.load(run.best)
        return checkpoints.as_encoder(trained.encoder or {}, run.best), trained
    encoder, pretrained = checkpoints.load_encoder(root or settings.output_root, settings.encoder_modality)
    checkpoints.refuse_leak(pretrained, set(parts.test.patients), settings.transductive)
    return encoder, replace(blank_checkpoint(settings, parts), encoder=encoder.state_dict())


def as_trainable(task: DecoderTask[D], parts: Parts[D], settings: DecoderSettings, device: torch.device) -> Trainable:
    """The task as `fit` takes it: Adam on the decoder, the encoder frozen."""
    optimizer = torch.optim.Adam(
        task.model.decoder.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )

    steps = steps_per_epoch(len(parts.train), settings)
    if steps < _FEW_STEPS:
        logger.warning(
            "%d frames are %d step(s) an epoch: BatchNorm's running averages lag behind such a training, and with them "
            "the validation scores; consider --set min_steps_per_epoch=5",
            len(parts.train),
            steps,
        )
    latents = KeptLatents(task.model, settings.latent_memory_mb)

    def losses(batch: Batch) -> Losses:
        return {"loss": task.loss(task.model.decode(latents(parts.train, batch, device)), batch)}

    def train_epoch(epoch: int, bar: tqdm[Any]) -> Scores:
        task.model.train()
        batches = training_batches(parts.train, settings, epoch_generator(settings.seed, epoch))
        return train_one_epoch(losses, batches, optimizer, bar)

    def validate() -> Scores:
        loss, kept = evaluate(task, parts.validation, device, latents)
        return {"loss": loss, **task.summarise(parts.validation, kept)}

    return Trainable(task.model.decoder, optimizer, steps, train_epoch, validate)


@torch.no_grad()
def evaluate(
    task: DecoderTask[D], dataset: D, device: torch.device, latents: KeptLatents | None = None
) -> tuple[float, np.ndarray]:
    """Mean loss over the dataset's frames, and what `judge` keeps of each, [N, ...]."""
    task.model.eval()
    latents = latents or KeptLatents(task.model, 0)
    kept: list[np.ndarray] = []

    def steps() -> Iterator[tuple[int, Losses]]:
        for batch in _small_batches(dataset):
            logits = task.model.decode(latents(dataset, batch, device))
            kept.append(task.judge(logits, batch))
            yield len(batch["frame"]), {"loss": task.loss(logits, batch)}

    return mean_losses(steps())["loss"], np.concatenate(kept)


@torch.no_grad()
def predicted_classes(
    model: LatentModel, dataset: RegionDataset, device: torch.device
) -> tuple[np.ndarray, np.ndarray]:
    """True and most probable class of each pixel, both uint8 [N, H, W]; all are kept in memory, so for a few frames."""
    model.eval()
    truth, predicted = [], []
    for batch in _small_batches(dataset):
        truth.append(batch["target"].argmax(1).to(torch.uint8).numpy())
        predicted.append(model(as_input(batch["frame"].to(device))).argmax(1).to(torch.uint8).cpu().numpy())
    return np.concatenate(truth), np.concatenate(predicted)


def _small_batches(dataset: FrameDataset) -> Iterator[Batch]:
    height, width = dataset.image_size
    return iter(batches_of(dataset, range(len(dataset)), max(1, _PIXELS_AT_ONCE // (height * width)), 0))
