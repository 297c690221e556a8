"""What a decoder sees of a frame: the frozen encoder's latents, with more beside them where the settings ask for it, or
what a frozen segmenter found."""

from typing import Self

import torch
import torch.nn.functional as F
from torch import nn

from model.heads import LatentModel
from model.spots import CHANNELS
from src.datasets.augmentation import level_table
from src.encoder import CUTSEncoder
from src.networks.features import TaughtEncoder
from src.networks.levels import NormalisedLevels, gray_of

COARSER = 4
"""How many times smaller the frame is on which the second level of latents is computed."""


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


class Latents(nn.Module):
    """An encoder's latents, and beside them those of the shrunken frame, the pixels, or both.

    A latent sees 17 x 17 pixels; one of the shrunken frame sees 68 x 68.
    """

    def __init__(self, encoder: CUTSEncoder, coarse: bool, pixels: bool) -> None:
        super().__init__()
        self.encoder, self.coarse, self.pixels = encoder, coarse, pixels
        self.in_channels = encoder.in_channels
        self.latent_dim = encoder.latent_dim * (1 + coarse) + encoder.in_channels * pixels

    def folded(self) -> Self:
        """The same with the encoder's BatchNorms folded into its convolutions."""
        folded = type(self)(self.encoder, self.coarse, self.pixels)
        folded.encoder = self.encoder.folded()  # type: ignore[assignment]
        return folded

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [B, C, H, W] in -1..1 -> [B, latent_dim, H, W]."""
        maps = [self.encoder(x)]
        if self.coarse:
            height, width = x.shape[-2:]
            whole = F.pad(x, (0, -width % COARSER, 0, -height % COARSER), mode="replicate")
            z = F.interpolate(self.encoder(F.avg_pool2d(whole, COARSER)), scale_factor=COARSER, mode="bilinear")
            maps.append(z[..., :height, :width])
        if self.pixels:
            maps.append(x.to(maps[0].dtype))
        return torch.cat(maps, 1) if len(maps) > 1 else maps[0]


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
"""What stands before a decoder, with nothing beside it."""
Seen = Frozen | Latents
"""What stands before a decoder."""


def decoder_input(encoder: Frozen, coarse: bool, pixels: bool) -> Seen:
    """The encoder, with what else the decoder is to see."""
    if not isinstance(encoder, CUTSEncoder) or not (coarse or pixels):
        return encoder
    return Latents(encoder, coarse, pixels)
