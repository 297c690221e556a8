"""What a decoder sees of a frame: the frozen encoder's latents, the frame itself, or what a frozen segmenter found."""

from typing import Self

import torch
from torch import nn

from model.heads import LatentModel
from model.spots import CHANNELS
from src.datasets.augmentation import level_table
from src.encoder import CUTSEncoder
from src.networks.features import TaughtEncoder
from src.networks.levels import NormalisedLevels, gray_of


class Pixels(nn.Module):
    """The frames as they are, without an encoder."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.in_channels = self.latent_dim = in_channels

    def folded(self) -> Self:
        """Itself."""
        return self

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [B, C, H, W], as it is."""
        return x


class BreastMaps(nn.Module):
    """The gray level of each pixel, and how probably it is of the left and of the right breast (`model.spots`).

    segmenter: a trained one, with frames of so many channels; breasts: its classes of the left and the right one; the
    levels of heat maps are read back through their palette.
    """

    levels: torch.Tensor

    def __init__(self, segmenter: LatentModel, channels: int, breasts: tuple[int, int], palette: str) -> None:
        super().__init__()
        self.segmenter = segmenter.requires_grad_(False).eval()
        self.in_channels, self.latent_dim, self.breasts = channels, CHANNELS, list(breasts)
        self.register_buffer("levels", level_table(palette), persistent=False)

    def folded(self) -> Self:
        """Itself: its segmenter is folded already."""
        return self

    def train(self, mode: bool = True) -> Self:
        """Stays in eval mode."""
        return super().train(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [B, C, H, W] in -1..1 -> [B, 3, H, W]: level in -1..1, and two probabilities."""
        probabilities = self.segmenter(x).float().softmax(1)[:, self.breasts]
        level = x if x.shape[1] == 1 else gray_of((x + 1) * 127.5, self.levels) / 127.5 - 1
        return torch.cat((level.float(), probabilities), 1)


Frozen = CUTSEncoder | TaughtEncoder | Pixels | NormalisedLevels | BreastMaps
"""What stands before a decoder."""
