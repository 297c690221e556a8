"""Pretraining of the encoder: anchors and positives of each frame, contrastive and reconstruction loss."""

import numpy as np
import torch

from src.datasets.torch_datasets import Batch, FrameDataset, as_input, sent
from src.encoder import CUTSEncoder
from src.losses import pretraining_loss
from src.networks.features import TaughtEncoder
from src.networks.precision import compute_dtype, computing_in
from src.patches import PatchSampler, windows
from src.settings import LatentSettings
from src.training import distributed
from src.training.distributed import Losses
from src.training.engine import Trainable
from src.training.epoch import (
    AfterStep,
    Progress,
    Scores,
    batches_of,
    epoch_generator,
    steps_per_epoch,
    train_one_epoch,
)
from src.training.memory import room_for_frames


class Pretraining:
    """What one pretraining run computes, for any frames."""

    def __init__(self, encoder: CUTSEncoder, settings: LatentSettings, device: torch.device) -> None:
        self.encoder, self.settings, self.device = encoder, settings, device
        self.dtype = compute_dtype(settings.precision, device)
        self.generator = epoch_generator(settings.seed, 0)
        self.sampler = PatchSampler(
            settings.sampled_patches_per_image,
            settings.patch_size,
            settings.neighborhood,
            settings.candidates,
            settings.ssim_threshold,
        )

    def losses(self, batch: Batch) -> Losses:
        """Losses of a batch at places that `generator` draws; the encoder is evaluated there and nowhere else."""
        x = as_input(sent(batch["frame"], self.device))
        # In training, processes share a batch and draw places for all of it.
        total = int(batch["total"]) if "total" in batch else None
        share = slice(None) if total is None else distributed.own_share(total)
        anchors, positives = self.sampler(x, self.generator, total, share)
        patches = windows(x, anchors, self.settings.patch_size // 2).flatten(2)
        with computing_in(self.dtype, self.device):
            z_anchors, z_positives = self.encoder.at(x, torch.cat((anchors, positives), 1)).chunk(2, 1)
            rebuilt = self.encoder.recon(z_anchors)
        if not len(x):
            return distributed.no_losses(rebuilt, "loss", "contrastive", "reconstruction")
        return pretraining_loss(
            (z_anchors.float(), z_positives.float()),
            patches,
            rebuilt.float(),
            self.settings.contrastive_weight,
            self.settings.temperature,
        )

    @torch.no_grad()
    def evaluate(self, dataset: FrameDataset) -> Scores:
        """Mean losses over all frames at the same places every time."""
        self.encoder.eval()
        self.generator = epoch_generator(self.settings.seed, 0)
        sums = dict[str, float]()
        for batch in batches_of(dataset, range(len(dataset)), self.settings.batch_size):
            for name, value in self.losses(batch).items():
                sums[name] = sums.get(name, 0.0) + len(batch["frame"]) * value.item()
        return {name: value / len(dataset) for name, value in sums.items()}


class EncoderTrainer(Trainable):
    """Trains the encoder of a pretraining: AdamW."""

    def __init__(self, pretraining: Pretraining, train: FrameDataset, validation: FrameDataset) -> None:
        self.pretraining, room = pretraining, room_for_frames(pretraining.device)
        self.train, self.validation = (part.on(pretraining.device, room) for part in (train, validation))
        self.model, self.settings = pretraining.encoder, pretraining.settings
        rate, decay = self.settings.learning_rate, self.settings.weight_decay
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=rate, weight_decay=decay)
        self.steps_per_epoch = steps_per_epoch(len(train), self.settings)
        self.train_step = distributed.share_work(self.model, pretraining.losses)

    def train_epoch(self, progress: Progress, after_step: AfterStep) -> Scores:
        """The steps that are left of an epoch; returns the losses' means."""
        self.model.train()
        self.pretraining.generator = progress.generator
        return train_one_epoch(self.train_step, self.train, self.settings, self.optimizer, progress, after_step)

    def validate(self) -> Scores:
        """The losses of the validation frames."""
        return self.pretraining.evaluate(self.validation)


@torch.no_grad()
def encode_for_pictures(
    encoder: CUTSEncoder | TaughtEncoder, dataset: FrameDataset, device: torch.device
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """The frames uint8 [N, C, H, W], what their latents rebuild in -1..1, [N, C, h, w], and the latents.

    A taught encoder's rebuild nothing. Latents [N, L, h, w] are kept at every step-th row and column, so that h is at
    most about 120.
    """
    encoder.eval()
    frames = dataset.everything()["frame"]
    step = max(1, frames.shape[-2] // 120)
    latents, rebuilt = [], []
    for frame in frames:
        z = encoder(as_input(frame[None].to(device)))[0, :, ::step, ::step]
        latents.append(z.cpu().numpy())
        if isinstance(encoder, CUTSEncoder):
            patches = encoder.recon(z.permute(1, 2, 0)).reshape(*z.shape[1:], encoder.in_channels, -1)
            rebuilt.append(patches[..., encoder.patch_size**2 // 2].permute(2, 0, 1).cpu().numpy())
    return frames.numpy(), np.stack(rebuilt) if rebuilt else None, np.stack(latents)
