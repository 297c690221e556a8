"""The taught network without its last layer, as a frozen encoder: latents of every pixel that know anatomy."""

from copy import deepcopy
from typing import Self

import torch
import torch.nn.functional as F
from torch import nn

from model.unet import UNet
from src.datasets.snapshots import DEFAULT_PALETTE
from src.encoder import refuse_misfit
from src.networks.levels import NormalisedLevels
from src.networks.taught import Taught


def maps_of(unet: UNet, levels: torch.Tensor) -> torch.Tensor:
    """Normalised levels [B, 1, H, W] -> [B, 4 base, H, W]: the last three decoder levels' maps, finest first.

    The two coarser ones are brought to the frame's size by bilinear interpolation.
    """
    _, coarse, middle, last = unet.decoded(levels)
    size = last.shape[-2:]
    upsampled = (F.interpolate(maps, size=size, mode="bilinear") for maps in (middle, coarse))
    return torch.cat((last, *upsampled), 1)


class TaughtEncoder(nn.Module):
    """Frames of either modality to standardised features of a UNet taught on drawn torsos. Always frozen.

    It saw no patient's frame, so that there is none to keep from it.
    """

    in_channels = None  # any: one image a frame, whatever its modality

    def __init__(self, base_channels: int, palette: str = DEFAULT_PALETTE) -> None:
        super().__init__()
        self.levels = NormalisedLevels(palette)
        self.unet = UNet(1, 1, base_channels)
        self.unet.outc = nn.Identity()  # type: ignore[assignment]
        self.latent_dim = 4 * base_channels
        self.register_buffer("features_mean", torch.zeros(self.latent_dim))
        self.register_buffer("features_std", torch.ones(self.latent_dim))
        self.requires_grad_(False).eval()

    @classmethod
    def from_taught(cls, taught: Taught) -> Self:
        """The encoder in the weights that ship."""
        return cls.from_state_dict(cls.weights_in(taught))

    @staticmethod
    def weights_in(taught: Taught) -> dict[str, torch.Tensor]:
        """The state of that encoder."""
        weights = {f"unet.{name}": value for name, value in taught.state.items() if not name.startswith("outc.")}
        return weights | {"features_mean": taught.feature_mean, "features_std": taught.feature_std}

    @staticmethod
    def owns(state: dict[str, torch.Tensor]) -> bool:
        """Whether weights are such an encoder's rather than `CUTSEncoder`'s."""
        return "features_mean" in state

    @classmethod
    def from_state_dict(cls, state: dict[str, torch.Tensor], palette: str = DEFAULT_PALETTE) -> Self:
        """The encoder whose size the weights imply; ValueError names what does not fit."""
        base = state["features_mean"].numel() // 4
        if not base:
            raise ValueError("features_mean: at least 4 numbers are needed")
        with torch.device("meta"):  # what the shapes claim may need more memory than there is
            claimed = UNet(1, 1, base)
        own = {f"unet.{name}": value for name, value in claimed.state_dict().items() if not name.startswith("outc.")}
        sizes = {name: list(value.shape) for name, value in state.items()}
        wanted = {name: list(value.shape) for name, value in own.items()}
        wanted |= {"features_mean": [4 * base], "features_std": [4 * base]}
        if sizes != wanted:
            different = sorted(name for name in sizes.keys() | wanted.keys() if sizes.get(name) != wanted.get(name))
            raise ValueError(f"weights of another size, missing or of no use: {', '.join(different[:5])}")
        encoder = cls(base, palette)
        refuse_misfit(encoder, state)
        encoder.load_state_dict(state)
        return encoder

    def train(self, mode: bool = True) -> Self:
        """Stays in eval mode."""
        return super().train(False)

    def folded(self) -> Self:
        """The same with BatchNorms folded into the convolutions: the same features but for rounding, faster."""
        folded = deepcopy(self)
        folded.unet.fold()
        folded.unet.to(memory_format=torch.channels_last)
        return folded

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Frames x [B, 1 or 3, H, W] in -1..1 -> [B, latent_dim, H, W]."""
        z = maps_of(self.unet, self.levels(x))
        mean, std = (values[:, None, None] for values in (self.features_mean, self.features_std))
        return (z - mean) / std

    features_mean: torch.Tensor
    features_std: torch.Tensor
