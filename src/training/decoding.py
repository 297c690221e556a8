"""Training of a decoder on the frozen encoder's latents, and its predictions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
import torch.nn.functional as F

from model.heads import ClassificationModel, Decoder, LatentModel, SegmentationModel
from model.spots import SpotModel
from src.datasets.augmentation import DRAWS, augmented, level_table, mirrored_classes, refuse_unpaired
from src.datasets.build import Parts
from src.datasets.snapshots import DEFAULT_PALETTE
from src.datasets.torch_datasets import Batch, DiagnosisDataset, FrameDataset, RegionDataset, assumed_palette
from src.encoder import CUTSEncoder
from src.errors import UserError
from src.evaluation.classification import frame_scores
from src.evaluation.decision import chosen_classes
from src.evaluation.segmentation import confusion_matrices, region_scores
from src.losses import dice_loss
from src.networks import checkpoint as checkpoints
from src.networks.build import begin_as_taught, frozen_input, region_decoder
from src.networks.checkpoint import Checkpoint
from src.networks.decoder_input import Frozen
from src.networks.features import TaughtEncoder
from src.networks.levels import gray_of
from src.networks.precision import compute_dtype, computing_in, memory_layout
from src.networks.taught import read_taught
from src.settings import ClassificationSettings, Decide, DecoderSettings, SegmentationSettings
from src.training import distributed
from src.training.distributed import Losses
from src.training.engine import Trainable, blank_checkpoint
from src.training.epoch import (
    AfterStep,
    Progress,
    Scores,
    batches_of,
    steps_per_epoch,
    train_one_epoch,
)
from src.training.latents import LatentStore
from src.training.memory import free_memory
from src.training.run_folder import RunFolder
from src.training.schedule import rate_factor

logger = logging.getLogger(__name__)

D = TypeVar("D", bound=FrameDataset)
_FEW_STEPS = 3
_SHARE_OF_MEMORY = 0.6  # gradients and the libraries' workspace want the rest
PIXELS_AT_ONCE = 16 * 120 * 160  # in prediction: a batch of 16 heat frames, one gray frame


@dataclass(frozen=True)
class DecoderTask(Generic[D]):
    """What sets the two decoders apart."""

    model: LatentModel
    latents: LatentStore
    loss: Callable[[torch.Tensor, Batch], torch.Tensor]
    """Logits and batch to the scalar loss."""
    judge: Callable[[torch.Tensor, Batch], np.ndarray]
    """Logits and batch to what is kept of each frame, [B, ...]."""
    summarise: Callable[[D, np.ndarray], Scores]
    """What was kept of a dataset's frames, [N, ...], to the scores that the log shows."""
    score: str
    """Which of `summarise`'s an epoch may be chosen by."""

    def logits(self, dataset: FrameDataset, batch: Batch, keep: bool = True) -> torch.Tensor:
        """The batch's logits in float32; `keep` its latents for the next time."""
        with computing_in(self.latents.dtype, self.latents.device):
            return self.model.decode(lambda: self.latents(dataset, batch, keep), batch["frame"].shape[1]).float()

    def logits_of_changed(self, batch: Batch) -> torch.Tensor:
        """The logits in float32 of a batch whose frames are no longer those of a dataset."""
        with computing_in(self.latents.dtype, self.latents.device):
            return self.model.decode(lambda: self.latents.encode(batch["frame"]), batch["frame"].shape[1]).float()

    def tested_logits(self, dataset: FrameDataset, batch: Batch) -> torch.Tensor:
        """The logits that scores and predictions come from: averaged over mirrored frames where the model says so."""
        mirrored = batch | {"frame": batch["frame"].flip(-1)}
        return self.model.averaged(self.logits(dataset, batch, keep=False), lambda: self.logits_of_changed(mirrored))


def classification_task(
    frozen: Frozen,
    settings: ClassificationSettings,
    image_size: tuple[int, int],
    device: torch.device,
) -> DecoderTask[DiagnosisDataset]:
    """Binary cross-entropy on the logit; of each frame the probability of being sick is kept."""
    decoder: ClassificationModel | SpotModel
    if settings.head == "spots":
        torch.manual_seed(settings.seed)  # whatever networks were made before
        decoder = SpotModel()
        if settings.precision == "bf16":
            logger.warning("head: spots computes in float32, whatever precision says: a spot is a few gray levels")
        settings = settings.model_copy(update={"precision": "fp32"})
    else:
        decoder = ClassificationModel(frozen.latent_dim, image_size, settings.base_channels)
    model = _on_device(frozen, decoder, settings, device)
    return DecoderTask(
        model=model,
        latents=LatentStore(model, settings, device),
        loss=lambda logits, batch: F.binary_cross_entropy_with_logits(logits, batch["label"].to(device)),
        judge=lambda logits, batch: logits.cpu().double().sigmoid().numpy(),
        summarise=lambda dataset, kept: frame_scores(np.array(dataset.labels), kept),
        score="frame_auc",
    )


def segmentation_task(
    frozen: Frozen,
    settings: SegmentationSettings,
    classes: tuple[tuple[str, ...], int],
    device: torch.device,
) -> DecoderTask[RegionDataset]:
    """Cross-entropy with class weights against soft targets; of each frame the confusion matrix [K, K] is kept.

    `classes`: the names and the background's index.
    """
    names, background = classes
    if settings.augment != "none":
        refuse_unpaired(names)
    decoder = region_decoder(settings.decoder, frozen.latent_dim, len(names), settings.base_channels)
    model = _on_device(frozen, decoder, settings, device)
    model.mirrored = mirrored_classes(names)
    weights = torch.tensor(settings.class_weights, device=device)
    # By order of the ids, which another annotation file may have otherwise: to be seen, not guessed.
    told = ", ".join(f"{name} {weight:g}" for name, weight in zip(names, settings.class_weights, strict=True))
    logger.info("class weights: %s", told)

    def loss(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        target = batch["target"].to(device)
        cross_entropy = F.cross_entropy(logits, target, weights)
        return cross_entropy + dice_loss(logits, target) if settings.loss == "ce+dice" else cross_entropy

    def judge(logits: torch.Tensor, batch: Batch) -> np.ndarray:
        chosen = _chosen(logits, batch, settings.decide, background)
        return confusion_matrices(batch["target"].argmax(1).numpy(), chosen, len(names))

    return DecoderTask(
        model=model,
        latents=LatentStore(model, settings, device),
        loss=loss,
        judge=judge,
        summarise=lambda dataset, kept: {"dice_macro": region_scores(kept.sum(0), names, background)["dice_macro"]},
        score="dice_macro",
    )


def _on_device(
    encoder: Frozen,
    decoder: Decoder,
    settings: DecoderSettings,
    device: torch.device,
) -> LatentModel:
    """Both networks laid out as the device computes fastest."""
    model = LatentModel(encoder.folded(), decoder, encoder.in_channels).to(device)
    model.averages_mirrored = settings.averages_mirrored
    decoder.to(memory_format=memory_layout(compute_dtype(settings.precision, device), device))
    return model


def frozen_encoder(
    mode: str, root: Path | None, settings: DecoderSettings, parts: Parts[D], run: RunFolder
) -> tuple[Frozen, Checkpoint]:
    """The encoder under the decoder, and the checkpoint that the decoder's weights go into or come from.

    To train, it is the pretrained one below `root` (the settings' output_root by default), refused if it saw test
    patients; to test, it is the very one that the run was trained on.
    """
    if mode == "test":
        trained = checkpoints.load(run.best)
        checkpoints.refuse_other_networks(trained.settings, settings, run.best)
        _refuse_other_classes(trained, parts.train, run)
        return frozen_input(settings.decoder_input, settings.encoder_modality, trained, run.best), trained
    if not settings.needs_encoder:
        blank = blank_checkpoint(settings, parts)
        if settings.decoder_input == "levels":
            blank.palette = assumed_palette(parts.train, parts.test.patients, settings.palette)
        return frozen_input(settings.decoder_input, settings.encoder_modality, blank, run.best), blank
    folder = root or settings.output_root
    encoder, pretrained = checkpoints.load_encoder(folder, settings.encoder_modality, settings.encoder)
    if isinstance(encoder, TaughtEncoder):  # which saw no patient: nothing can leak
        palette = assumed_palette(parts.train, parts.test.patients, settings.palette)
        blank = replace(blank_checkpoint(settings, parts), encoder=encoder.state_dict(), palette=palette)
        return frozen_input(settings.decoder_input, settings.encoder_modality, blank, run.best), blank
    if settings.decoder_input == "random":
        encoder = CUTSEncoder(encoder.in_channels, encoder.num_kernels).freeze()
        return encoder, replace(blank_checkpoint(settings, parts), encoder=encoder.state_dict())
    checkpoints.refuse_leak(pretrained, set(parts.test.patients), settings.transductive)
    blank = blank_checkpoint(settings, parts)
    return encoder, replace(blank, encoder=encoder.state_dict(), encoder_patients=pretrained.patients)


def _refuse_other_classes(trained: Checkpoint, dataset: FrameDataset, run: RunFolder) -> None:
    """`UserError` where the annotation file numbers the regions otherwise than when the run was trained."""
    if isinstance(dataset, RegionDataset) and trained.class_names not in ([], list(dataset.class_names)):
        raise UserError(
            f"{run.best}: was trained on the classes {', '.join(trained.class_names)}, in this order of their ids; the "
            f"annotation file has {', '.join(dataset.class_names)}"
        )


def as_trainable(task: DecoderTask[D], parts: Parts[D], settings: DecoderSettings) -> Trainable:
    """The task as `fit` takes it: the decoder is trained, the encoder frozen.

    Raises `UserError` where the epoch is to be chosen by a score that the validation patients cannot give.
    """
    validation = parts.validation
    if settings.select_by == "score" and isinstance(validation, DiagnosisDataset) and len(set(validation.labels)) < 2:
        raise UserError("select_by: score: all validation patients have one diagnosis; say select_by=loss")
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings.optimizer]
    decoder = task.model.decoder
    if isinstance(decoder, SpotModel):
        _fit_spots(task, decoder, parts.train)
    if isinstance(settings, SegmentationSettings) and settings.init == "drawn":
        assert isinstance(decoder, SegmentationModel)
        assert isinstance(parts.train, RegionDataset)
        _begin_as_drawn(decoder, parts.train)
    optimizer = kind(decoder.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)

    if settings.schedule != "constant" and settings.patience is not None:
        logger.warning(
            "schedule: %s: early stopping would cut it off; consider --set patience=null select_by=last",
            settings.schedule,
        )
    steps = steps_per_epoch(len(parts.train), settings)
    if steps < _FEW_STEPS:
        logger.warning(
            "%d frames are %d step(s) an epoch: BatchNorm's running averages lag behind such a training, and with them "
            "the validation scores; consider --set min_steps_per_epoch=5",
            len(parts.train),
            steps,
        )
    _fit_into_memory(task, parts.train, settings)

    sees_levels = task.model.encoder_channels is None
    regrays = settings.augment in ("full", "strong") or (settings.augment != "none" and sees_levels)
    palette = (regrays and assumed_palette(parts.train, parts.test.patients, settings.palette)) or DEFAULT_PALETTE

    def losses(batch: Batch) -> Losses:
        kept = settings.augment in ("none", "flip")  # frames and their mirror images come again
        logits = task.logits(parts.train, batch) if kept else task.logits_of_changed(batch)
        return {"loss": task.loss(logits, batch)} if len(logits) else distributed.no_losses(logits, "loss")

    compute = distributed.share_work(decoder, losses)

    def train_epoch(progress: Progress, after_step: AfterStep) -> Scores:
        task.model.train()
        before = (progress.epoch - 1) * steps

        def step(batch: Batch) -> Losses:
            factor = rate_factor(settings.schedule, before + progress.step, steps * settings.max_epochs)
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * factor
            if settings.augment == "none":
                return compute(batch)
            draws = _drawn(batch, settings, progress.generator)
            if sees_levels:  # which are changed themselves, not the colours that stand for them
                batch = batch | {"frame": gray_of(batch["frame"], level_table(palette))}
            return compute(augmented(batch, settings.augment, draws, task.model.mirrored, palette))

        return train_one_epoch(step, parts.train, settings, optimizer, progress, after_step)

    def validate() -> Scores:
        loss, kept = evaluate(task, parts.validation, while_training=True)
        return {"loss": loss, **task.summarise(parts.validation, kept)}

    score = {"score": task.score, "errors": "frame_accuracy"}.get(settings.select_by)
    keeps_last = settings.select_by == "last"
    return Trainable(decoder, optimizer, steps, train_epoch, validate, score, keeps_last)


def _begin_as_drawn(decoder: SegmentationModel, dataset: RegionDataset) -> None:
    taught = read_taught()
    begin_as_taught(decoder.unet, taught, (dataset.class_names, dataset.background))
    logger.info("the training begins with the weights that ship (taught on %s)", taught.taught_on)
    if dataset.image_size != taught.image_size:
        logger.warning(
            "init: drawn: those weights know frames of %d x %d, not of %d x %d; consider image_size",
            *(*taught.image_size, *dataset.image_size),
        )


def _drawn(batch: Batch, settings: DecoderSettings, generator: torch.Generator) -> torch.Tensor:
    """How the batch's frames are to be changed, [B, DRAWS of the kind] in -1..1."""
    total = int(batch["total"])  # all processes draw for the whole batch, as the sampler does
    drawn = torch.rand(total, DRAWS[settings.augment], generator=generator) * 2 - 1
    return drawn[distributed.own_share(total)]


@torch.no_grad()
def _fit_spots(task: DecoderTask[D], decoder: SpotModel, dataset: FrameDataset) -> None:
    """Tell the decoder what is usual in the breasts of the dataset."""
    shaped, missing = [], 0
    for batch in small_batches(dataset, range(len(dataset))):
        z = task.latents(dataset, batch).flatten(0, 1)
        shaped.append(decoder.shaped(z))
        missing += int((~decoder.found(z)).any(1).sum())
    if missing:
        logger.warning(
            "the segmenter finds not both breasts in %d of %d training frames; there they are looked for where they "
            "usually lie",
            *(missing, len(dataset)),
        )
    try:
        decoder.fit(torch.cat(shaped))
    except ValueError as error:
        raise UserError(f"head: spots: {error}") from None


def _fit_into_memory(task: DecoderTask[D], dataset: FrameDataset, settings: DecoderSettings) -> None:
    """Turn on the UNets' activation checkpoints where the settings ask for them or a batch would not fit otherwise."""
    decoder = task.model.decoder
    if isinstance(decoder, SpotModel):
        return
    unets = decoder.unets
    if not unets:
        return
    channels, height, width = dataset.cache.shape
    images = settings.batch_size * task.model.images(channels)
    needed = len(unets) * unets[0].activation_bytes(images * height * width, task.latents.dtype.itemsize)
    free = min(distributed.gather(free_memory(task.latents.device)))  # all processes decide alike
    twice = settings.checkpoint_activations == "on" or (
        settings.checkpoint_activations == "auto" and needed > _SHARE_OF_MEMORY * free
    )
    for unet in unets:
        unet.checkpoint_activations = twice
    if twice:
        task.latents.memory_left = 0  # the batch needs the memory more
        logger.info("a batch's activations take about %.1f GB of %.1f GB free: checkpointed", needed / 1e9, free / 1e9)


@torch.no_grad()
def evaluate(task: DecoderTask[D], dataset: D, while_training: bool = False) -> tuple[float, np.ndarray]:
    """Mean loss over the dataset's frames, and what `judge` keeps of each, [N, ...].

    `while_training` latents are kept for the next epoch, and the frames are shared among the processes.
    """
    task.model.eval()
    places = list(range(len(dataset)))[distributed.own_share(len(dataset)) if while_training else slice(None)]
    kept: list[np.ndarray] = []
    total = 0.0
    for batch in small_batches(dataset, places):
        logits = task.logits(dataset, batch) if while_training else task.tested_logits(dataset, batch)
        total += len(logits) * task.loss(logits, batch).item()
        kept += list(task.judge(logits, batch))
    found = distributed.gather((places, total, kept)) if while_training else [(places, total, kept)]
    by_place = {place: frame for places, _, kept in found for place, frame in zip(places, kept, strict=True)}
    return sum(total for _, total, _ in found) / len(dataset), np.stack([by_place[i] for i in range(len(dataset))])


@torch.no_grad()
def predicted_classes(
    task: DecoderTask[RegionDataset], dataset: RegionDataset, decide: Decide
) -> tuple[np.ndarray, np.ndarray]:
    """True and chosen class of each pixel, both uint8 [N, H, W]; all are kept in memory, so for a few frames."""
    task.model.eval()
    truth, predicted = [], []
    for batch in small_batches(dataset, range(len(dataset))):
        truth.append(batch["target"].argmax(1).to(torch.uint8).numpy())
        predicted.append(_chosen(task.tested_logits(dataset, batch), batch, decide, dataset.background))
    return np.concatenate(truth), np.concatenate(predicted)


def _chosen(logits: torch.Tensor, batch: Batch, decide: Decide, background: int) -> np.ndarray:
    """The class of each pixel, uint8 [B, H, W], from logits [B, K, H, W].

    As in prediction, only what the file fills of a frame has a say; the rest is background, as in the truth.
    """
    probabilities = logits.softmax(1).cpu().numpy()
    chosen = np.full((len(logits), *logits.shape[2:]), background, np.uint8)
    for place, (top, left, rows, columns) in enumerate(batch["content"].tolist()):
        inside = (slice(top, top + rows), slice(left, left + columns))
        chosen[place][inside] = chosen_classes(probabilities[place : place + 1, :, *inside], decide, background)[0]
    return chosen


def small_batches(dataset: FrameDataset, places: Iterable[int]) -> Iterator[Batch]:
    """Batches of the dataset's places in this order, no larger than prediction has memory for."""
    height, width = dataset.image_size
    return batches_of(dataset, places, max(1, PIXELS_AT_ONCE // (height * width)), 0)
