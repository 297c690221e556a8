"""What a decoder sees of a frame: the frozen encoder's latents, the frame itself, or what was found in it."""

import torch
from torch import nn

from src.encoder import CUTSEncoder
from src.networks.features import TaughtEncoder
from src.networks.findings import FrameFeatures
from src.networks.levels import NormalisedLevels


class Pixels(nn.Module):
    """The frames as they are, without an encoder."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.in_channels = self.latent_dim = in_channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [B, C, H, W], as it is."""
        return x


Frozen = CUTSEncoder | TaughtEncoder | Pixels | NormalisedLevels | FrameFeatures  # what stands before a decoder
