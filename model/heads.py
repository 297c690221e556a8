"""What the UNet's maps become, and how frames of one modality reach an encoder of the other."""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from model.spots import SpotModel
from model.unet import Latents, UNet

TOP_SHARE = 0.01
"""Of a map's pixels, those that the head `top` averages: on a heat map about a disc of 16 pixels across."""


Normalize = Literal["none", "unit", "frame"]
"""What becomes of latents before the UNet: nothing; one length for each, since the contrastive loss sees its direction
alone; mean 0 and variance 1 for each channel over its frame."""


class ClassificationModel(nn.Module):
    """UNet to one map, and the map to one logit: sick if positive.

    head: flat is a linear layer over all pixels, as published; top the mean of the map's highest 1%, wherever they lie.
    mirror: the UNet also sees each latent's difference to the one at the mirrored place, left against right.
    """

    def __init__(
        self,
        in_channels: int,
        image_size: tuple[int, int],
        base_channels: int = 64,
        head: Literal["flat", "top"] = "flat",
        mirror: bool = False,
        normalize: Normalize = "none",
    ) -> None:
        super().__init__()
        self.mirror, self.normalize = mirror, normalize
        self.top = max(1, round(TOP_SHARE * image_size[0] * image_size[1]))
        self.unet = UNet(in_channels * (1 + mirror), 1, base_channels)
        if head == "flat":
            self.project: nn.Linear | None = nn.Linear(image_size[0] * image_size[1], 1)
        else:
            self.project = None

    @property
    def unets(self) -> list[UNet]:
        """The one that there is."""
        return [self.unet]

    def forward(self, z: Latents) -> torch.Tensor:
        """z [B, L, H, W] -> logits [B]."""
        load = _loader(z, self.normalize)
        maps = self.unet(lambda: _beside_mirror(load()) if self.mirror else load()).float().flatten(1)
        if self.project is None:
            highest: torch.Tensor = maps.topk(self.top, dim=1).values
            return highest.mean(1)
        with torch.autocast(maps.device.type, enabled=False):  # one logit sums thousands of products: float32
            logits: torch.Tensor = self.project(maps)
        return logits[:, 0]


def _loader(z: Latents, how: Normalize) -> Callable[[], torch.Tensor]:
    """Loads z [B, L, H, W] with the mean square of each latent, or the variance of each channel, at 1 if so wished."""

    def load() -> torch.Tensor:
        loaded = z() if callable(z) else z
        if how == "unit":
            return F.normalize(loaded, dim=1).mul(loaded.shape[1] ** 0.5)
        return F.instance_norm(loaded) if how == "frame" else loaded

    return load


def _beside_mirror(z: torch.Tensor) -> torch.Tensor:
    """z [B, L, H, W] -> [B, 2 L, H, W]: itself, and itself minus its mirror image."""
    return torch.cat((z, z - z.flip(-1)), 1)


class SegmentationModel(nn.Module):
    """UNet to one map a class, or several such UNets of other first weights whose probabilities are averaged.

    Source: Lakshminarayanan, Pritzel and Blundell, deep ensembles, arXiv 1612.01474.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        base_channels: int = 64,
        ensemble: int = 1,
        normalize: Normalize = "none",
    ) -> None:
        super().__init__()
        self.normalize = normalize
        self.unet = UNet(in_channels, num_classes, base_channels)
        self.others = nn.ModuleList(UNet(in_channels, num_classes, base_channels) for _ in range(ensemble - 1))

    @property
    def unets(self) -> list[UNet]:
        """All of them."""
        return [self.unet, *self.others]

    def forward(self, z: Latents) -> torch.Tensor:
        """z [B, L, H, W] -> logits [B, classes, H, W]; in training those of each UNet, [UNets * B, classes, H, W]."""
        load = _loader(z, self.normalize)
        if not self.others:
            logits: torch.Tensor = self.unet(load)
            return logits
        loaded = load()
        each = [unet(loaded) for unet in self.unets]
        if self.training:
            return torch.cat(each)
        return torch.stack(each).float().log_softmax(2).logsumexp(0) - math.log(len(each))


class LinearSegmentation(nn.Module):
    """One linear layer from each latent to its pixel's class: what latents that know anatomy need no more than."""

    def __init__(self, in_channels: int, num_classes: int, normalize: Normalize = "none") -> None:
        super().__init__()
        self.normalize = normalize
        self.linear = nn.Conv2d(in_channels, num_classes, 1)

    @property
    def unets(self) -> list[UNet]:
        """None."""
        return []

    def forward(self, z: Latents) -> torch.Tensor:
        """z [B, L, H, W] -> logits [B, classes, H, W]."""
        logits: torch.Tensor = self.linear(_loader(z, self.normalize)())
        return logits


RegionDecoder = SegmentationModel | LinearSegmentation
Decoder = ClassificationModel | RegionDecoder | SpotModel


class LatentModel(nn.Module):
    """A frozen encoder and the decoder on its latents, for frames of either modality, in two steps.

    Same modality: as is. Gray encoder, heat frames: the three channels are encoded as three one-channel images and the
    decoder's logits are averaged over them. Heat encoder, gray frames: the one channel is repeated three times. An
    encoder of `encoder_channels` None takes frames of either modality as they are.
    """

    decoder: Decoder
    flip_average = False
    """Whether the logits are averaged over a frame and its mirror image."""
    mirrored: Sequence[int] = ()
    """The class that each becomes in a mirror; a diagnosis has none."""

    def __init__(self, encoder: nn.Module, decoder: Decoder, encoder_channels: int | None) -> None:
        super().__init__()
        self.encoder, self.decoder, self.encoder_channels = encoder, decoder, encoder_channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Frames x [B, C, H, W] in -1..1 -> the decoder's logits, [B] or [B, classes, H, W]."""

        def logits(x: torch.Tensor) -> torch.Tensor:
            return self.decode(self.encode(x), x.shape[1])

        return self.averaged(logits(x), lambda: logits(x.flip(-1)))

    def averaged(self, logits: torch.Tensor, of_mirrored: Callable[[], torch.Tensor]) -> torch.Tensor:
        """The logits of frames, averaged with those of their mirror images where `flip_average` says so."""
        if not self.flip_average:
            return logits
        other = of_mirrored()
        if other.ndim > 1:
            other = other.flip(-1)[:, list(self.mirrored)]
        return (logits + other) / 2

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

    def decode(self, z: Latents, channels: int) -> torch.Tensor:
        """Latents of frames with so many channels -> logits, averaged over each frame's N images, [B] or [B, K, H, W].

        z [B, N, L, H, W], or a function that gives it and may be called twice (`UNet.forward`). In training, an
        ensemble gives the logits of each UNet (`SegmentationModel.forward`).
        """
        load = z if callable(z) else lambda: z
        logits: torch.Tensor = self.decoder(lambda: load().flatten(0, 1))
        images = self.images(channels)
        if images == 1:
            return logits
        return logits.view(-1, images, *logits.shape[1:]).mean(1)

    def images(self, channels: int) -> int:
        """How many images a frame with so many channels is to the encoder, N."""
        return max(1, channels // self.encoder_channels) if self.encoder_channels else 1
