"""Random changes of training frames, of their regions alike."""

import math
import re
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F

from src.datasets.snapshots import DEFAULT_PALETTE, palette_colours
from src.datasets.tasks import Batch
from src.errors import UserError
from src.settings import Augment

ROTATION, SCALE, SHIFT = 10.0, 0.1, 0.05
"""Largest rotation in degrees, change of scale, and shift as a share of the frame, either way."""
GAIN, OFFSET = 0.1, 0.05
"""Largest relative change of the gray levels' spread, and shift of their middle as a share of their range."""
_SIDES = re.compile("left|right")
DRAWS = 7
"""Uniform numbers in -1..1 for each frame: flip, rotation, scale, two shifts, gain, offset."""


def augmented(
    batch: Batch, kind: Augment, draws: torch.Tensor, mirrored: Sequence[int] = (), palette: str = DEFAULT_PALETTE
) -> Batch:
    """The batch with changed frames, float32 [B, C, H, W] in 0..255, and their targets changed alike.

    flip: left and right changed over in half of the frames, and with them the classes, class k becoming `mirrored[k]`.
    full: also a rotation, scale and shift (what comes in from outside repeats the border), and another gain and offset
    of the gray levels; heat maps take theirs through the palette, so that colours stay those of temperatures. `draws`
    [B, DRAWS] in -1..1 decides them all.
    """
    if kind == "none" or not len(batch["frame"]):  # one of several processes may have no share of a batch
        return batch
    flip = draws[:, 0] < 0
    maps = {"frame": _flipped(batch["frame"].float(), flip)}
    if "target" in batch:
        maps["target"] = _flipped(batch["target"], flip, mirrored)
    if kind == "full":
        grid = _grid(draws[:, 1:5], maps["frame"])
        maps = {name: _sampled(values, grid) for name, values in maps.items()}
        maps["frame"] = _regrayed(maps["frame"], draws[:, 5:7], palette)
    return batch | maps


def mirrored_classes(names: Sequence[str]) -> list[int]:
    """For each class the one that it becomes in a mirror: left and right change places in its name, others stay."""
    known = [name.lower() for name in names]
    other = [_SIDES.sub(lambda side: "right" if side[0] == "left" else "left", name) for name in known]
    return [known.index(name) if name in known else place for place, name in enumerate(other)]


def refuse_unpaired(names: Sequence[str]) -> None:
    """`UserError` where mirrored frames would teach that left is right: a class without partner, or no pair at all."""
    mirrored = mirrored_classes(names)
    alone = [name for place, name in enumerate(names) if _SIDES.search(name.lower()) and mirrored[place] == place]
    if alone or mirrored == list(range(len(names))):
        told = f"class {alone[0]!r} has no counterpart" if alone else "no class is called left or right"
        raise UserError(f"augment and flip_average mirror frames, but {told} among {', '.join(names)}; turn both off")


def _flipped(maps: torch.Tensor, flip: torch.Tensor, channels: Sequence[int] = ()) -> torch.Tensor:
    """Maps [B, C, H, W], mirrored where `flip` [B]; channel k of a mirrored one is channel `channels[k]` of the old."""
    mirror = maps.flip(-1)
    if channels:
        mirror = mirror[:, list(channels)]
    return torch.where(flip[:, None, None, None], mirror, maps)


def _grid(draws: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """Where each pixel of the changed frames comes from, [B, H, W, 2] as `grid_sample` takes it."""
    height, width = maps.shape[-2:]
    angle = draws[:, 0] * math.radians(ROTATION)
    scale = 1 + SCALE * draws[:, 1]
    cos, sin = angle.cos() * scale, angle.sin() * scale
    # The grid's unit is half a side: without the aspect a rotation would shear.
    rows = [cos, -sin * height / width, 2 * SHIFT * draws[:, 2], sin * width / height, cos, 2 * SHIFT * draws[:, 3]]
    return F.affine_grid(torch.stack(rows, 1).view(-1, 2, 3), list(maps.shape), align_corners=False)


def _sampled(maps: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    return F.grid_sample(maps, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _regrayed(frames: torch.Tensor, draws: torch.Tensor, palette: str) -> torch.Tensor:
    """Frames [B, C, H, W] in 0..255 with another gain about the middle gray and another offset; draws [B, 2]."""
    gain = (1 + GAIN * draws[:, 0])[:, None, None]
    offset = (255 * OFFSET * draws[:, 1])[:, None, None]

    def changed(levels: torch.Tensor) -> torch.Tensor:
        return ((levels - 127.5) * gain + 127.5 + offset).clamp(0, 255)

    if frames.shape[1] == 1:
        return changed(frames[:, 0])[:, None]
    # A colour keeps its distance to the palette's: JPEG noise and paper markers stay what they are.
    colours = _colours(palette)
    levels = levels_of(frames, level_table(palette))
    moved = colours[changed(levels.float()).round().long()] - colours[levels]
    return (frames + moved.permute(0, 3, 1, 2)).clamp(0, 255)


@cache
def _colours(palette: str) -> torch.Tensor:
    """The palette's colours, float32 [256, 3] (RGB)."""
    return torch.from_numpy(palette_colours(palette).astype(np.float32))


def levels_of(frames: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """The gray levels, int64 [B, H, W], of heat maps [B, 3, H, W] (RGB, 0..255); `table` is the palette's."""
    steps = (frames / 8).long().clamp(0, 31)
    return table[steps[:, 0], steps[:, 1], steps[:, 2]]


@cache
def level_table(palette: str) -> torch.Tensor:
    """The level of the nearest palette colour for each colour in steps of 8, int64 [32, 32, 32]."""
    axis = torch.arange(32) * 8.0 + 3.5
    cube = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).view(-1, 3)
    return torch.cdist(cube, _colours(palette)).argmin(1).view(32, 32, 32)
