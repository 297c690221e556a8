"""Latents of a frozen encoder, kept: no augmentation changes the frames, so each frame is encoded once."""

import torch

from model.heads import LatentModel
from src.datasets.tasks import Batch, FrameDataset, as_input


class KeptLatents:
    """Encodes batches, and remembers the latents of as many frames as `memory_mb` holds.

    Frames are told apart by their row in the frame cache, so that all parts of a run's data may share one memory.
    """

    def __init__(self, model: LatentModel, memory_mb: int) -> None:
        self.model, self.bytes_left = model, memory_mb * 2**20
        self.kept: dict[int, torch.Tensor] = {}

    def __call__(self, dataset: FrameDataset, batch: Batch, device: torch.device) -> torch.Tensor:
        """The batch's latents [B, N, L, H, W] on the device, as `LatentModel.encode` gives them."""
        rows = [dataset.rows[index] for index in batch["index"].tolist()]
        new = [place for place, row in enumerate(rows) if row not in self.kept]
        fresh = {}
        if new:
            z = self.model.encode(as_input(batch["frame"][new].to(device)))
            fresh = {rows[place]: latents for place, latents in zip(new, z, strict=True)}
        latents = torch.stack([self.kept[row] if row in self.kept else fresh[row] for row in rows])
        for row, z in fresh.items():
            size = z.numel() * z.element_size()
            if size <= self.bytes_left:
                self.kept[row] = z.clone()
                self.bytes_left -= size
        return latents
