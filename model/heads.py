"""What the UNet's maps become, and how frames of one modality reach an encoder of the other."""

from collections.abc import Sequence

import torch
from torch import nn

from model.unet import UNet


class ClassificationModel(nn.Module):
    """UNet to one map, and a linear layer over all of its pixels to one logit: sick if positive."""

    def __init__(self, in_channels: int, image_size: tuple[int, int], base_channels: int = 64) -> None:
        super().__init__()
        self.unet = UNet(in_channels, 1, base_channels)
        self.project = nn.Linear(image_size[0] * image_size[1], 1)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """z [B, L, H, W] -> logits [B]."""
        maps = self.unet(z).float().flatten(1)
        with torch.autocast(maps.device.type, enabled=False):  # one logit sums thousands of products: float32
            logits: torch.Tensor = self.project(maps)
        return logits[:, 0]


class RegionDecoder(nn.Module):
    """What finds regions: z [B, L, H, W] -> logits [B, classes, H, W].

    Training, test, prediction and export take any subclass that `model.DECODERS` names; BatchNorms and memory are seen
    to in each `UNet` of it.
    """

    def __init__(self, in_channels: int, num_classes: int, base_channels: int = 64) -> None:
        """What each subclass is made with; it takes of these what it needs."""
        super().__init__()


class SegmentationModel(RegionDecoder):
    """UNet to one map a class."""

    def __init__(self, in_channels: int, num_classes: int, base_channels: int = 64) -> None:
        super().__init__(in_channels, num_classes, base_channels)
        self.unet = UNet(in_channels, num_classes, base_channels)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """z [B, L, H, W] -> logits [B, classes, H, W]."""
        logits: torch.Tensor = self.unet(z)
        return logits


class LinearSegmentation(RegionDecoder):
    """One linear layer from each latent to its pixel's class: what latents that know anatomy need no more than."""

    def __init__(self, in_channels: int, num_classes: int, base_channels: int = 64) -> None:
        super().__init__(in_channels, num_classes, base_channels)
        self.linear = nn.Conv2d(in_channels, num_classes, 1)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """z [B, L, H, W] -> logits [B, classes, H, W]."""
        logits: torch.Tensor = self.linear(z)
        return logits


class FeatureHead(nn.Module):
    """Logistic regression on named features, of which the first is a logit itself: before training the answer."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))
        self.linear = nn.Linear(features, 1)
        nn.init.zeros_(self.linear.bias)
        nn.init.zeros_(self.linear.weight)
        nn.init.ones_(self.linear.weight[:, 0])

    @torch.no_grad()
    def fit(self, features: torch.Tensor) -> None:
        """Standardise by features [N, F]; the answer stays the same."""
        std, mean = torch.std_mean(features, 0, correction=0)
        self.mean.copy_(mean)
        self.std.copy_(std.clamp_min(1e-6))
        self.linear.weight[:, 0] = self.std[0]
        self.linear.bias[:] = self.mean[0]

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """z [B, F, 1, 1] -> logits [B]."""
        with torch.autocast(z.device.type, enabled=False):
            logits: torch.Tensor = self.linear(self.standardised(z))
        return logits[:, 0]

    def standardised(self, z: torch.Tensor) -> torch.Tensor:
        """z [B, F, 1, 1] -> [B, F], in standard deviations of the training frames."""
        return (z.float().flatten(1) - self.mean) / self.std

    def shares(self, z: torch.Tensor) -> torch.Tensor:
        """z [B, F, 1, 1] -> what each feature adds to the logit of a training frame of mean features, [B, F]."""
        return self.standardised(z) * self.linear.weight[0]


Decoder = ClassificationModel | RegionDecoder | FeatureHead


class LatentModel(nn.Module):
    """A frozen encoder and the decoder on its latents, for frames of either modality, in two steps.

    Same modality: as is. Gray encoder, heat frames: the three channels are encoded as three one-channel images and the
    decoder's logits are averaged over them. Heat encoder, gray frames: the one channel is repeated three times. An
    encoder of `encoder_channels` None takes frames of either modality as they are.
    """

    decoder: Decoder
    averages_mirrored = False  # whether the logits are averaged over a frame and its mirror image
    mirrored: Sequence[int] = ()  # the class that each becomes in a mirror; a diagnosis has none

    def __init__(self, encoder: nn.Module, decoder: Decoder, encoder_channels: int | None) -> None:
        super().__init__()
        self.encoder, self.decoder, self.encoder_channels = encoder, decoder, encoder_channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Frames x [B, C, H, W] in -1..1 -> the decoder's logits, [B] or [B, classes, H, W]."""
        logits = self.decode(self.encode(x), x.shape[1])
        if not self.averages_mirrored:
            return logits
        return self.averaged(logits, self.decode(self.encode(x.flip(-1)), x.shape[1]))

    def averaged(self, logits: torch.Tensor, of_mirrored: torch.Tensor) -> torch.Tensor:
        """The mean of the logits of frames and of those of their mirror images, both [B] or [B, classes, H, W]."""
        return (logits + self.mirrored_back(of_mirrored)) / 2

    def mirrored_back(self, logits: torch.Tensor) -> torch.Tensor:
        """The logits of mirror images as those of the frames."""
        return logits.flip(-1)[:, list(self.mirrored)] if logits.ndim > 1 else logits

    @torch.no_grad()
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Frames x [B, C, H, W] in -1..1 -> latents [B, N, L, H, W] of the N images that a frame is to the encoder."""
        if self.encoder_channels is None:
            x = x[:, None]
        elif x.shape[1] > self.encoder_channels:
            x = x[:, :, None]
        else:
            x = x.expand(-1, self.encoder_channels, -1, -1)[:, None]
        z: torch.Tensor = self.encoder(x.flatten(0, 1))
        return z.view(*x.shape[:2], *z.shape[1:])

    def decode(self, z: torch.Tensor, channels: int) -> torch.Tensor:
        """Latents z [B, N, L, H, W] of frames with so many channels -> logits, averaged over each frame's N images.

        They are [B] or [B, K, H, W].
        """
        logits: torch.Tensor = self.decoder(z.flatten(0, 1))
        images = self.images(channels)
        if images == 1:
            return logits
        return logits.view(-1, images, *logits.shape[1:]).mean(1)

    def images(self, channels: int) -> int:
        """How many images a frame with so many channels is to the encoder, N."""
        return max(1, channels // self.encoder_channels) if self.encoder_channels else 1
