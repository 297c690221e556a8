"""Latents of a frozen encoder, kept: each frame is encoded once, and its mirror image where that comes again."""

import logging
import shutil
import tempfile
from typing import IO

import torch

from model.heads import LatentModel
from src.datasets.torch_datasets import Batch, FrameDataset, as_input, sent
from src.errors import UserError
from src.networks.precision import compute_dtype, computing_in, memory_layout
from src.settings import DecoderSettings
from src.training import distributed

logger = logging.getLogger(__name__)


PIXELS_AT_ONCE = 16 * 120 * 160
"""Whose latents are computed together at the most: those of a batch of 16 heat frames, or of one gray frame."""
Key = tuple[int, bool]  # a frame's row in the frame cache, and whether it is its mirror image


class LatentStore:
    """Encodes batches, and keeps the latents of as many frames as the settings' memory and disk hold.

    Frames are told apart by their row in the frame cache, so that all parts of a run's data share one store, and from
    their mirror images by `flipped` bool [B], where the batch has it. Latents are kept in the number format they were
    computed in, so that keeping them changes no result. The file on disk has no name: it is gone when the process is,
    however that ends.
    """

    def __init__(self, model: LatentModel, settings: DecoderSettings, device: torch.device) -> None:
        self.model, self.device = model, device
        self.dtype = compute_dtype(settings.precision, device)
        self.channels_last = memory_layout(self.dtype, device) == torch.channels_last
        self.memory_left = settings.latent_memory_mb * 2**20
        self.disk_left, self.folder = settings.latent_disk_mb * 2**20, settings.output_root
        self.in_memory: dict[Key, torch.Tensor] = {}
        self.on_disk: dict[Key, int] = {}
        self.file: IO[bytes] | None = None
        self.shape = torch.Size()

    def __call__(self, dataset: FrameDataset, batch: Batch, keep: bool = True) -> torch.Tensor:
        """The latents [B, N, L, H, W] of the batch's places in the dataset, whatever the batch's frames are by now."""
        rows = [dataset.rows[index] for index in batch["index"].tolist()]
        if not rows:  # one of several processes may have no share of a batch
            return self.encode(batch["frame"])
        flipped = batch["flipped"].tolist() if "flipped" in batch else [False] * len(rows)
        keys = list(zip(rows, flipped, strict=True))
        latents = {key: self._kept(key) for key in set(keys) if key in self.in_memory or key in self.on_disk}
        for place, key in enumerate(keys):
            if key not in latents:  # one frame at a time: what a frame becomes does not depend on its batch
                latents[key] = self._encode(batch["frame"][place : place + 1])[0]
                if keep:
                    self._keep(key, latents[key])
        return self._as_images(torch.stack([latents[key].to(self.device) for key in keys]))  # from disk: on the CPU

    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        """Latents [B, N, L, H, W] of frames [B, C, H, W] in 0..255 that are of no use a second time."""
        at_once = max(1, PIXELS_AT_ONCE // (frames.shape[2] * frames.shape[3]))
        return self._as_images(torch.cat([self._encode(part) for part in torch.split(frames, at_once)]))

    def _as_images(self, latents: torch.Tensor) -> torch.Tensor:
        return latents.permute(0, 1, 4, 2, 3) if self.channels_last else latents

    def _encode(self, frames: torch.Tensor) -> torch.Tensor:
        """Frames [B, C, H, W] in 0..255 -> [B, N, L, H, W], or [B, N, H, W, L] for channels last."""
        with computing_in(self.dtype, self.device):
            z = self.model.encode(as_input(sent(frames, self.device))).to(self.dtype)  # pixels come in float32
        return (z.permute(0, 1, 3, 4, 2) if self.channels_last else z).contiguous()

    def _keep(self, key: Key, latents: torch.Tensor) -> None:
        size = latents.numel() * latents.element_size()
        if size <= self.memory_left:
            self.in_memory[key] = latents
            self.memory_left -= size
        elif size <= self.disk_left and self._open(size):
            assert self.file is not None
            self.shape = latents.shape
            try:
                self.on_disk[key] = self.file.seek(0, 2)
                self.file.write(_bytes_of(latents.cpu()))
            except OSError as error:
                raise UserError(
                    f"{self.folder}: cannot keep latents there: {error.strerror or error}; try --set latent_disk_mb=0"
                ) from None
            self.disk_left -= size

    def _open(self, size: int) -> bool:
        """Whether there is a file on disk to write to; it is made when first asked for."""
        if self.file is None:
            free = shutil.disk_usage(self.folder).free // distributed.processes()
            self.disk_left = min(self.disk_left, free // 2)
            if size > self.disk_left:
                return False
            logger.info("latents beyond latent_memory_mb go to disk, up to %d MB", self.disk_left // 2**20)
            self.file = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115, it lives as long as the store
        return True

    def _kept(self, key: Key) -> torch.Tensor:
        if key in self.in_memory:
            return self.in_memory[key]
        assert self.file is not None
        latents = torch.empty(self.shape, dtype=self.dtype)
        self.file.seek(self.on_disk[key])
        if self.file.readinto(_bytes_of(latents)) != latents.numel() * latents.element_size():  # type: ignore[attr-defined]
            raise UserError(f"{self.folder}: latents kept there cannot be read again")
        return latents


def _bytes_of(tensor: torch.Tensor) -> memoryview:
    """The memory of a contiguous CPU tensor."""
    return memoryview(tensor.view(torch.uint8).numpy().data).cast("B")
