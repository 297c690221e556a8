"""What a decoder sees of a frame: the frozen encoder's latents, with more beside them where the settings ask for it."""

from typing import Self

import torch
import torch.nn.functional as F
from torch import nn

from src.encoder import CUTSEncoder

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


Seen = CUTSEncoder | Latents | Pixels
"""What stands before a decoder."""


def decoder_input(encoder: CUTSEncoder | Pixels, coarse: bool, pixels: bool) -> Seen:
    """The encoder, with what else the decoder is to see."""
    if isinstance(encoder, Pixels) or not (coarse or pixels):
        return encoder
    return Latents(encoder, coarse, pixels)
