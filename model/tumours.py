"""A network that looks for warm spots on breasts: each is seen beside the other one, mirrored and laid on it."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from model.unet import UNet

SIDE = 64  # rows and columns of a breast's picture
MARGIN = 0.15  # of a breast's box, that is seen around it on each side
OF_A_SIDE = 5
"""Channels of that picture: level, breast, nipple, and what of the level is as wide as a spot, vessels in and out."""
NARROW, WIDE = 1.5, 7.0
"""Standard deviations in its pixels between which a spot's lies: two or three fortieths of a breast."""
_GAIN = 4.0  # of what is as wide as a spot, which is faint beside the level itself
_VESSEL = 3  # pixels of the picture: lines that are thinner are taken for vessels, and out
_EXCESS = 0.1  # the excess is of this order, what a UNet gives of that of 1
SMALLEST = 0.005  # share of the frame below which what looks like a breast is none
STRAY = 0.01
"""Share of a breast's pixels that may lie beyond each side of its box, so that a stray one does not stretch it."""
_USUAL = ((0.35, 0.85, 0.1, 0.5), (0.35, 0.85, 0.5, 0.9))
"""(top, bottom, start, end) of the left and the right breast, as shares of the frame, where none is found."""


@dataclass(frozen=True)
class Pictures:
    """What the network sees of the breasts of B frames, the image's left one first."""

    seen: torch.Tensor  # [B, 2, OF_A_SIDE, SIDE, SIDE], as said there; breast and nipple are probabilities
    grids: torch.Tensor  # [B, 2, SIDE, SIDE, 2]: where each place lies in the frame, (x, y) in -1..1
    found: torch.Tensor  # bool [B, 2]: whether the breast is there; where it is not, the usual place is looked at


@dataclass(frozen=True)
class Findings:
    """What the network says of the breasts of B frames, the image's left one first."""

    evidence: torch.Tensor
    """[B, 2, SIDE, SIDE]: the logarithm of how many times likelier the frame is with a spot at each place than without
    any; -inf outside the breast. The right breast is mirrored."""
    excess: torch.Tensor
    """[B, 2, SIDE, SIDE]: by how many standard deviations of the frame's levels each place is warmer than anatomy
    explains."""
    grids: torch.Tensor  # [B, 2, SIDE, SIDE, 2]: where each place lies in the frame, (x, y) in -1..1
    found: torch.Tensor  # bool [B, 2]: whether the breast is there; where it is not, the usual place was looked at

    def laid_back(self, rows: int, columns: int) -> torch.Tensor:
        """The excess on the frame's pixels, [B, rows, columns]; 0 outside the breasts, and where it is less."""
        seen = self.excess.masked_fill(~self.evidence.isfinite(), 0).clamp_min(0)
        steps = [(torch.arange(count, device=seen.device) + 0.5) / count * 2 - 1 for count in (rows, columns)]
        laid = []
        for side in (0, 1):
            grid = self.grids[:, side]
            x = _within(steps[1], grid[:, 0, 0, 0], grid[:, 0, -1, 0])[:, None, :].expand(-1, rows, -1)
            y = _within(steps[0], grid[:, 0, 0, 1], grid[:, -1, 0, 1])[:, :, None].expand(-1, -1, columns)
            laid.append(F.grid_sample(seen[:, side : side + 1], torch.stack((x, y), -1), align_corners=False)[:, 0])
        return torch.maximum(*laid)

    @property
    def breasts(self) -> torch.Tensor:
        """[B, 2]: the logit of a tumour in each breast, if half of the breasts had one."""
        places = self.evidence.isfinite().sum((2, 3)).clamp_min(1)
        return self.evidence.flatten(2).logsumexp(2) - places.log()

    @property
    def patients(self) -> torch.Tensor:
        """[B]: the logit of a tumour in either breast, if half of the patients had one in one of them."""
        return self.breasts.logsumexp(1) - math.log(2)


class TumourModel(nn.Module):
    """A UNet over pictures of breasts, the same one for both sides: in a mirror the findings are exchanged, no more.

    Each place's evidence is that of one spot there; a breast's is their mean likelihood ratio, as an ideal observer
    takes it who does not know where the spot would be.

    Source: Barrett and Myers, Foundations of Image Science, 2004, section 13.2 (signals of unknown place).
    """

    usual: torch.Tensor

    def __init__(self, base_channels: int = 16) -> None:
        super().__init__()
        self.base_channels = base_channels
        self.unet = UNet(2 * OF_A_SIDE, 2, base_channels)
        self.register_buffer("usual", torch.tensor(_USUAL), persistent=False)

    def forward(self, levels: torch.Tensor, regions: torch.Tensor) -> Findings:
        """Normalised levels [B, 1, H, W], and probabilities [B, 4 or more, H, W].

        The latter are those of left and right breast, left and right nipple.
        """
        pictures = self.pictures(levels, regions)
        seen = pictures.seen
        maps = self.unet(torch.cat((seen, seen.flip(1)), 2).flatten(0, 1)).float().unflatten(0, (-1, 2))
        inside = (seen[:, :, 1] > 0.5) | ~pictures.found[..., None, None]
        evidence = maps[:, :, 0].masked_fill(~inside, -math.inf)
        return Findings(evidence, _EXCESS * maps[:, :, 1], pictures.grids, pictures.found)

    def pictures(self, levels: torch.Tensor, regions: torch.Tensor) -> Pictures:
        """Both breasts in one shape, the right one mirrored; arguments as for `forward`."""
        breasts = (regions[:, :2] + regions[:, 2:4]).clamp(max=1)  # a nipple lies on its breast
        found = is_there(breasts > 0.5)
        grids = torch.stack([self._grid(breasts[:, side], found[:, side], side) for side in (0, 1)], 1)
        seen = torch.stack([_seen(levels, breasts, regions, grids[:, side], side) for side in (0, 1)], 1)
        # The level of both together is 0: how warm a patient is, and what a camera makes of it, has no say.
        level = seen[:, :, :1] - seen[:, :, :1].mean((1, 2, 3, 4), keepdim=True)
        flat = level.flatten(0, 1)
        wide = torch.cat((_as_wide_as_a_spot(flat), _as_wide_as_a_spot(_opened(flat))), 1)
        of_spots = _GAIN * wide.view(-1, 2, 2, SIDE, SIDE)
        return Pictures(torch.cat((level, seen[:, :, 1:], of_spots), 2), grids, found)

    def _grid(self, breast: torch.Tensor, found: torch.Tensor, side: int) -> torch.Tensor:
        """Where each place of a breast's picture lies in the frame, [B, SIDE, SIDE, 2] as `grid_sample` takes it."""
        inside = (breast > 0.5).float()
        box = torch.stack([*_ends(inside.sum(2)), *_ends(inside.sum(1))], 1)
        top, bottom, start, end = torch.where(found[:, None], box, self.usual[side]).unbind(1)
        steps = (torch.arange(SIDE, device=box.device) + 0.5) / SIDE * (1 + 2 * MARGIN) - MARGIN
        y = top[:, None] + (bottom - top)[:, None] * steps
        x = start[:, None] + (end - start)[:, None] * (steps if side == 0 else steps.flip(0))
        y, x = y[:, :, None].expand(-1, -1, SIDE), x[:, None, :].expand(-1, SIDE, -1)
        return torch.stack((x, y), -1) * 2 - 1


def _seen(
    levels: torch.Tensor, breasts: torch.Tensor, regions: torch.Tensor, grid: torch.Tensor, side: int
) -> torch.Tensor:
    """Level, breast and nipple [B, 3, SIDE, SIDE] of a side, where its grid lies."""
    seen = torch.stack((levels[:, 0], breasts[:, side], regions[:, 2 + side]), 1)
    return F.grid_sample(seen, grid, padding_mode="border", align_corners=False)


def _as_wide_as_a_spot(level: torch.Tensor) -> torch.Tensor:
    """The difference of two Gaussians of levels [B, 1, SIDE, SIDE]."""
    return _blurred(level, NARROW) - _blurred(level, WIDE)


def _blurred(level: torch.Tensor, sigma: float) -> torch.Tensor:
    reach = int(3 * sigma)
    steps = torch.arange(-reach, reach + 1, dtype=level.dtype, device=level.device)
    kernel = torch.exp(-0.5 * (steps / sigma) ** 2)
    kernel = (kernel / kernel.sum())[None, None, None]
    padded = F.pad(level, (reach, reach, reach, reach), mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel), kernel.transpose(2, 3))


def _opened(level: torch.Tensor) -> torch.Tensor:
    """Levels [B, 1, SIDE, SIDE] without what is warmer than its surroundings and narrower than _VESSEL.

    Source: Serra, Image Analysis and Mathematical Morphology, 1982 (gray opening).
    """
    lowest = -F.max_pool2d(-level, _VESSEL, stride=1, padding=_VESSEL // 2)
    return F.max_pool2d(lowest, _VESSEL, stride=1, padding=_VESSEL // 2)


def _within(places: torch.Tensor, first: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
    """Places [P] of the frame in -1..1 as those of breasts' pictures, whose first and last pixels lie there, [B, P]."""
    share = (places - first[:, None]) / (last - first)[:, None]
    return (2 * share - 1) * (SIDE - 1) / SIDE


def is_there(inside: torch.Tensor) -> torch.Tensor:
    """Whether masks [..., H, W] are large enough to be a breast's, bool [...]."""
    return inside.float().mean((-2, -1)) >= SMALLEST


def _ends(amounts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Between which places, as shares of the length, the amounts [B, L] lie but for STRAY of them at either end."""
    length, total = amounts.shape[1], amounts.sum(1, keepdim=True)
    before = (amounts.cumsum(1) < STRAY * total).sum(1)
    after = (amounts.flip(1).cumsum(1) < STRAY * total).sum(1)
    return before / length, 1 - after / length
