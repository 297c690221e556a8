"""What the UNet's maps become, and how frames of one modality reach an encoder of the other."""

import torch
from torch import nn

from model.unet import UNet


class ClassificationModel(nn.Module):
    """UNet to one map, flattened, and a linear layer to one logit: sick if positive."""

    def __init__(self, in_channels: int, image_size: tuple[int, int], base_channels: int = 64) -> None:
        super().__init__()
        self.unet = UNet(in_channels, 1, base_channels)
        self.project = nn.Linear(image_size[0] * image_size[1], 1)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """z [B, L, H, W] -> logits [B]."""
        logits: torch.Tensor = self.project(self.unet(z).flatten(1))
        return logits[:, 0]


class SegmentationModel(nn.Module):
    """UNet to one map a class."""

    def __init__(self, in_channels: int, num_classes: int, base_channels: int = 64) -> None:
        super().__init__()
        self.unet = UNet(in_channels, num_classes, base_channels)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """z [B, L, H, W] -> logits [B, classes, H, W]."""
        logits: torch.Tensor = self.unet(z)
        return logits


class LatentModel(nn.Module):
    """A frozen encoder and the decoder on its latents, for frames of either modality.

    Same modality: as is. Gray encoder, heat frames: the three channels are encoded as three one-channel images and the
    decoder's logits are averaged over them. Heat encoder, gray frames: the one channel is repeated three times.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, encoder_channels: int) -> None:
        super().__init__()
        self.encoder, self.decoder, self.encoder_channels = encoder, decoder, encoder_channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Frames x [B, C, H, W] in -1..1 -> the decoder's logits, [B] or [B, classes, H, W]."""
        channels = x.shape[1]
        one_by_one = channels > self.encoder_channels
        if one_by_one:
            x = x.flatten(0, 1)[:, None]
        elif channels < self.encoder_channels:
            x = x.expand(-1, self.encoder_channels, -1, -1)
        with torch.no_grad():
            z = self.encoder(x)
        logits: torch.Tensor = self.decoder(z)
        return logits.view(-1, channels, *logits.shape[1:]).mean(1) if one_by_one else logits
