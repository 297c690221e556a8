"""What is found in a frame by networks that were taught on drawings alone: regions, evidence of a tumour, features."""

from typing import Self

import torch
import torch.nn.functional as F
from torch import nn

from model.tumours import Findings, TumourModel
from src.datasets.snapshots import DEFAULT_PALETTE
from src.networks.levels import NormalisedLevels
from src.networks.taught import Taught

SEEN = ("left_breast", "right_breast", "left_nipple", "right_nipple", "left_armpit", "right_armpit")
FEATURES = (
    "evidence",
    "evidence_other_breast",
    "excess",
    "breasts_mean",
    "breasts_warmest",
    "breasts_spread",
    "nipples_mean",
    "armpits_mean",
)
"""Of a frame, the same in a mirror: the logit of a tumour in either breast and in the one that has less of it, the
greatest excess of warmth over what anatomy explains, and how far left and right differ: the breasts' mean, warmest
place and spread, the nipples' and the armpits' mean. All but the first two in standard deviations of the frame's
levels; a region that is not there differs by 0."""
_WARMEST = 5  # pixels on a side over which the warmest place is a mean


class TumourFinder(nn.Module):
    """Frames of either modality to `Findings`, through the regions that the segmenter that ships finds.

    It computes in float32: a tumour is a few gray levels.
    """

    def __init__(self, regions: Taught, tumours: TumourModel, palette: str = DEFAULT_PALETTE) -> None:
        super().__init__()
        self.levels, self.tumours = NormalisedLevels(palette), tumours
        self.segmenter, self.size = regions.unet(), regions.image_size
        self.segmenter.fold()
        self.segmenter.to(memory_format=torch.channels_last)
        self.seen = [regions.classes.names.index(name) for name in SEEN]

    def forward(self, frames: torch.Tensor) -> Findings:
        """Frames [B, 1 or 3, H, W] in -1..1."""
        levels = self.levels(frames)
        found: Findings = self.tumours(levels, self.regions(levels))
        return found

    @torch.no_grad()
    def regions(self, levels: torch.Tensor) -> torch.Tensor:
        """Normalised levels [B, 1, H, W] to probabilities [B, 6, H, W] of what SEEN names."""
        if tuple(levels.shape[-2:]) == self.size:
            return self._probabilities(levels)
        small = F.interpolate(levels, size=self.size, mode="bilinear", antialias=True)
        return F.interpolate(self._probabilities(small), size=levels.shape[-2:], mode="bilinear")

    def _probabilities(self, levels: torch.Tensor) -> torch.Tensor:
        maps: torch.Tensor = self.segmenter(levels)
        return maps.float().softmax(1)[:, self.seen]


class FrameFeatures(nn.Module):
    """A frame's FEATURES, as what a decoder sees in place of latents. Always frozen; it saw no patient."""

    in_channels = None  # any: one image a frame, whatever its modality
    latent_dim = len(FEATURES)

    def __init__(self, finder: TumourFinder) -> None:
        super().__init__()
        self.finder = finder
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """Stays in eval mode."""
        return super().train(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Frames x [B, 1 or 3, H, W] in -1..1 -> float32 [B, 8, 1, 1]."""
        with torch.autocast(x.device.type, enabled=False):
            levels = self.finder.levels(x)
            regions = self.finder.regions(levels)
            return features_of(self.finder.tumours(levels, regions), levels, regions)[..., None, None]

    def excess(self, x: torch.Tensor) -> torch.Tensor:
        """How much warmer each place of the breasts is than anatomy explains, as `Findings.excess`, [B, H, W]."""
        with torch.autocast(x.device.type, enabled=False):
            found: Findings = self.finder(x)
            return found.laid_back(*x.shape[-2:])


def features_of(found: Findings, levels: torch.Tensor, regions: torch.Tensor) -> torch.Tensor:
    """FEATURES [B, 8] of findings in levels [B, 1, H, W] with regions [B, 6, H, W]."""
    breasts = found.breasts
    excess = found.excess.masked_fill(~found.evidence.isfinite(), 0).amax((1, 2, 3))
    # [B, 3]: of breasts, nipples and armpits, left minus right.
    difference = [each[:, 0::2] - each[:, 1::2] for each in _of_regions(levels, regions > 0.5)]
    of_mean, of_spread, of_warmest = (each.abs().nan_to_num(0) for each in difference)
    columns = [found.patients, breasts.amin(1), excess, of_mean[:, 0], of_warmest[:, 0], of_spread[:, 0]]
    return torch.stack([*columns, of_mean[:, 1], of_mean[:, 2]], 1)


def _of_regions(levels: torch.Tensor, masks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mean, spread and warmest place of the levels in each mask [B, R, H, W], [B, R]; NaN where it is empty."""
    count = masks.sum((2, 3))
    weights = masks / count[..., None, None]  # NaN where there is nothing
    mean = (levels * weights).sum((2, 3))
    spread = ((levels - mean[..., None, None]).square() * weights).sum((2, 3)).sqrt()
    smooth = F.avg_pool2d(levels, _WARMEST, stride=1, padding=_WARMEST // 2, count_include_pad=False)
    warmest = torch.where(masks, smooth, -torch.inf).amax((2, 3))
    return mean, spread, torch.where(count > 0, warmest, torch.nan)
