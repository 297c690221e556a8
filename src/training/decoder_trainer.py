"""How a decoder learns: one step, one validation, and what is seen to before the first of them."""

import logging
import math
from typing import Generic

import torch

from model.unet import UNet
from src.datasets.augmentation import DRAWS, augmented, level_table
from src.datasets.build import Parts
from src.datasets.snapshots import DEFAULT_PALETTE
from src.datasets.torch_datasets import Batch, DiagnosisDataset, assumed_palette, on_device
from src.errors import UserError
from src.networks.levels import gray_of
from src.settings import DecoderSettings
from src.training import distributed
from src.training.decoder_task import D, DecoderTask, evaluate
from src.training.distributed import Losses
from src.training.engine import Trainable
from src.training.epoch import AfterStep, Progress, Scores, steps_per_epoch, train_one_epoch
from src.training.memory import free_memory, room_for_frames
from src.training.schedule import rate_factor

logger = logging.getLogger(__name__)

_OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
_FEW_STEPS = 3
_AT_ONCE = 64  # heat maps that are read back to levels together
_SHARE_OF_MEMORY = 0.6  # gradients and the libraries' workspace want the rest
_MOST_ON_GPU = 10e9  # bytes: others may work there too, and what is estimated as 13.8 GB took 21 GB on an H200


class DecoderTrainer(Trainable, Generic[D]):
    """Trains a task's decoder; the encoder before it is frozen.

    Raises `UserError` where the epoch is to be chosen by a score that the validation patients cannot give.
    """

    def __init__(self, task: DecoderTask[D], parts: Parts[D], settings: DecoderSettings) -> None:
        self.task, self.parts, self.settings = task, parts, settings
        room = room_for_frames(task.device)
        self.train, self.validation = parts.train.on(task.device, room), parts.validation.on(task.device, room)
        labels = parts.validation.labels if isinstance(parts.validation, DiagnosisDataset) else None
        if settings.select_by == "score" and labels is not None and len(set(labels)) < 2:
            raise UserError("select_by: score: all validation patients have one diagnosis; say select_by=loss")
        task.prepare(parts.train)
        self.model = task.model.decoder
        kind = _OPTIMIZERS[settings.optimizer]
        self.optimizer = kind(self.model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
        self.steps_per_epoch = steps_per_epoch(len(parts.train), settings)
        self.score = {"score": task.score, "errors": "frame_accuracy"}.get(settings.select_by)
        self.keeps_last = settings.select_by == "last"
        self.sees_levels = task.model.encoder_channels is None
        self.palette = self._palette()
        if settings.augment != "none" and self.sees_levels and self.train.resident:  # once, not in each step
            frames = torch.split(self.train.resident["frame"], _AT_ONCE)
            self.train.resident["frame"] = torch.cat([self._levels(some) for some in frames])
        self.losses = distributed.share_work(self.model, self._losses)
        self._warn()
        fit_into_memory(task, parts, settings)

    def train_epoch(self, progress: Progress, after_step: AfterStep) -> Scores:
        """The steps that are left of an epoch; returns the mean loss."""
        self.task.model.train()
        self.progress = progress
        return train_one_epoch(self.train_step, self.train, self.settings, self.optimizer, progress, after_step)

    def train_step(self, batch: Batch) -> Losses:
        """The loss of one batch, at the learning rate of its step; `train_one_epoch` goes down its gradient."""
        step = (self.progress.epoch - 1) * self.steps_per_epoch + self.progress.step
        factor = rate_factor(self.settings.schedule, step, self.steps_per_epoch * self.settings.max_epochs)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * factor
        return self.losses(self._changed(on_device(batch, self.task.device)))

    def validate(self) -> Scores:
        """Loss and scores of the validation frames; nothing where all patients are trained on."""
        if not len(self.validation):
            return {}
        loss, kept = evaluate(self.task, self.validation, while_training=True)
        return {"loss": loss, **self.task.summarise(self.validation, kept)}

    def _losses(self, batch: Batch) -> Losses:
        comes_again = self.settings.augment in ("none", "flip")  # a frame and its mirror image, whose latents are kept
        logits = self.task.logits(self.train, batch) if comes_again else self.task.logits_of_changed(batch)
        return {"loss": self.task.loss(logits, batch)} if len(logits) else distributed.no_losses(logits, "loss")

    def _changed(self, batch: Batch) -> Batch:
        """The batch with its frames and targets changed as the settings say, by numbers of the epoch's generator."""
        augment, total = self.settings.augment, int(batch["total"])
        if augment == "none":
            return batch
        # All processes draw for the whole batch, as the sampler does.
        drawn = torch.rand(total, DRAWS[augment], generator=self.progress.generator) * 2 - 1
        if self.sees_levels:  # which are changed themselves, not the colours that stand for them
            batch = batch | {"frame": self._levels(batch["frame"])}
        own = drawn[distributed.own_share(total)]
        return augmented(batch, augment, own, self.task.model.mirrored, self.palette)

    def _levels(self, frames: torch.Tensor) -> torch.Tensor:
        return gray_of(frames, level_table(self.palette, self.task.device))

    def _palette(self) -> str:
        """What heat maps are changed through; looked for only where that is done."""
        augment, parts = self.settings.augment, self.parts
        regrays = augment in ("full", "strong") or (augment != "none" and self.sees_levels)
        found = assumed_palette(parts.train, parts.test.patients, self.settings.palette) if regrays else None
        return found or DEFAULT_PALETTE

    def _warn(self) -> None:
        if self.settings.schedule != "constant" and self.settings.patience is not None:
            logger.warning(
                "schedule: %s: early stopping would cut it off; consider --set patience=null select_by=last",
                self.settings.schedule,
            )
        if self.steps_per_epoch < _FEW_STEPS:
            logger.warning(
                "%d frames are %d step(s) an epoch: BatchNorm's running averages lag behind such a training, and with "
                "them the validation scores; consider --set min_steps_per_epoch=5",
                *(len(self.parts.train), self.steps_per_epoch),
            )


def fit_into_memory(task: DecoderTask[D], parts: Parts[D], settings: DecoderSettings) -> None:
    """Turn on the UNets' activation checkpoints where the settings ask for them or a batch would not fit otherwise."""
    unets = [module for module in task.model.decoder.modules() if isinstance(module, UNet)]
    channels, height, width = parts.train.cache.shape
    pixels = settings.batch_size * task.model.images(channels) * height * width
    needed = sum(unet.activation_bytes(pixels, task.latents.dtype.itemsize) for unet in unets)
    free = min(distributed.gather(free_memory(task.device)))  # all processes decide alike
    room = min(_SHARE_OF_MEMORY * free, _MOST_ON_GPU if task.device.type == "cuda" else math.inf)
    twice = settings.checkpoint_activations == "on" or (settings.checkpoint_activations == "auto" and needed > room)
    for unet in unets:
        unet.checkpoint_activations = twice
    if unets and twice:
        task.latents.memory_left = 0  # the batch needs the memory more
        logger.info(
            "a batch's activations take about %.1f GB, %.1f GB are for them: checkpointed", needed / 1e9, room / 1e9
        )
