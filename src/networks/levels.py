"""Frames of either modality as one channel of normalised gray level, the one input that needs no modality."""

import torch
from torch import nn

from src.datasets.augmentation import level_table, levels_of
from src.datasets.snapshots import DEFAULT_PALETTE

_LEAST_SPREAD = 1e-3  # of levels in 0..1; keeps an even frame from becoming noise


class NormalisedLevels(nn.Module):
    """The gray level of each pixel, brought to mean 0 and standard deviation 1 in each frame.

    Neither a camera's gain nor its offset has a say then. What a frame was filled up with counts as the frame does: it
    repeats the border. Heat maps are read back through `palette`.
    """

    in_channels = None  # any: one image a frame, whatever its modality
    latent_dim = 1
    table: torch.Tensor

    def __init__(self, palette: str = DEFAULT_PALETTE) -> None:
        super().__init__()
        with torch.device("cpu"):  # a palette's table has values, also in a network that is made without any
            table = level_table(palette)
        self.register_buffer("table", table, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Frames x [B, 1 or 3, H, W] in -1..1 -> float32 [B, 1, H, W]."""
        levels = gray_of((x.float() + 1) * 127.5, self.table) / 255
        spread, mean = torch.std_mean(levels, (2, 3), keepdim=True)
        return (levels - mean) / (spread + _LEAST_SPREAD)


def gray_of(frames: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Gray levels float32 [B, 1, H, W] in 0..255 of frames [B, 1 or 3, H, W] in 0..255; `table` is the palette's."""
    if frames.shape[1] == 1:
        return frames.float()
    # The 0.01 keeps a colour's whole number from being rounded into the one below on the way to -1..1 and back.
    return levels_of(frames + 0.01, table)[:, None].float()
