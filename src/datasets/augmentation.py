"""Random changes of training frames, of their regions alike."""

import math
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from src.datasets.snapshots import DEFAULT_PALETTE, palette_colours
from src.datasets.torch_datasets import Batch, sent
from src.errors import UserError
from src.settings import Augment

ROTATION, SCALE, SHIFT = 10.0, 0.1, 0.05
"""Largest rotation in degrees, change of scale, and shift as a share of the frame, either way."""
GAIN, OFFSET = 0.1, 0.05
"""Largest relative change of the gray levels' spread, and shift of their middle as a share of their range."""
_SIDES = re.compile("left|right")
STRONG_ROTATION, STRONG_SCALE, STRONG_SHIFT, ASPECT = 11.0, 1.25, 0.07, 0.08
"""The same of `strong`: scale is the largest factor either way; aspect the largest change of height against width."""
GAMMA, STRONG_GAIN, STRONG_OFFSET = 0.6, (0.6, 1.3), 0.2
"""Largest logarithm of the exponent either way; least and largest gain; largest offset as a share of the range."""
BLURRED, NOISE = 0.4, 0.03
"""Share of the frames that are blurred, and the largest standard deviation of noise as a share of the range."""
DRAWS: dict[Augment, int] = {"none": 0, "flip": 7, "full": 7, "strong": 11}
"""Uniform numbers in -1..1 for each frame: flip, rotation, scale, two shifts, gain, offset, and for `strong` aspect,
gamma, whether it is blurred, and noise."""


def augmented(
    batch: Batch, kind: Augment, draws: torch.Tensor, mirrored: Sequence[int] = (), palette: str = DEFAULT_PALETTE
) -> Batch:
    """The batch with changed frames, float32 [B, C, H, W] in 0..255, and their targets changed alike.

    flip: left and right changed over in half of the frames, and with them the classes, class k becoming `mirrored[k]`.
    full: also a rotation, scale and shift (what comes in from outside repeats the border), and another gain and offset
    of the gray levels; heat maps take theirs through the palette, so that colours stay those of temperatures. strong:
    all of these further, and another aspect and gamma, blur and noise. `draws` [B, DRAWS] in -1..1 decides them all.
    `flipped` bool [B] in the batch tells which were mirrored. Draws and `flipped` are on the CPU, so that a seed means
    the same on every device; the maps stay where they are.
    """
    if kind == "none" or not len(batch["frame"]):  # one of several processes may have no share of a batch
        return batch
    flip = draws[:, 0] < 0
    maps = {"frame": _flipped(batch["frame"].float(), flip)}
    if "target" in batch:
        maps["target"] = _flipped(batch["target"], flip, mirrored)
    if kind in ("full", "strong"):
        strong, there = kind == "strong", sent(draws, maps["frame"].device)
        grid = (_strong_grid if strong else _grid)(there, maps["frame"])
        maps = {name: sampled(values, grid) for name, values in maps.items()}
        change = _strongly_changed if strong else _changed
        maps["frame"] = _regrayed(maps["frame"], lambda levels: change(levels, there), palette)
        if strong:
            maps["frame"] = _worse(maps["frame"], draws)
    return batch | maps | {"flipped": flip}


def mirrored_classes(names: Sequence[str]) -> list[int]:
    """For each class the one that it becomes in a mirror: left and right change places in its name, others stay."""
    known = [name.lower() for name in names]
    other = map(_other_side, known)
    return [known.index(name) if name in known else place for place, name in enumerate(other)]


def _other_side(name: str) -> str:
    """What a class of a name in small letters is called in a mirror."""
    return _SIDES.sub(lambda side: "right" if side[0] == "left" else "left", name)


def refuse_unpaired(names: Sequence[str], annotations: Path) -> None:
    """`UserError` where mirrored frames would teach that left is right: a class without partner, or no pair at all.

    annotations: the file that the names are of. Most often a label was renamed on one side, so that comes first.
    """
    mirrored = mirrored_classes(names)
    alone = [name for place, name in enumerate(names) if _SIDES.search(name.lower()) and mirrored[place] == place]
    if not alone and mirrored != list(range(len(names))):
        return
    partner = _other_side(alone[0].lower()) if alone else ""
    told = f"no label {partner!r} goes with {alone[0]!r}" if alone else "no label is called left or right"
    remedy = f"if one was renamed, call it {partner!r} again" if alone else "name the sides in them"
    raise UserError(
        f"{annotations}: {told}: its labels are {', '.join(names)}; {remedy}, or train without mirrored frames: "
        "--set augment=none"
    )


def _flipped(maps: torch.Tensor, flip: torch.Tensor, channels: Sequence[int] = ()) -> torch.Tensor:
    """Maps [B, C, H, W], mirrored where `flip` [B]; channel k of a mirrored one is channel `channels[k]` of the old."""
    order = sent(torch.tensor(channels or range(maps.shape[1])), maps.device)
    frames = zip(maps, flip.tolist(), strict=True)
    return torch.stack([values.index_select(0, order).flip(-1) if mirrored else values for values, mirrored in frames])


def _grid(draws: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    return placed(ROTATION * draws[:, 1], 1 + SCALE * draws[:, 2], SHIFT * draws[:, 3:5], maps)


def _strong_grid(draws: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    scale = STRONG_SCALE ** draws[:, 2]  # as often larger as smaller
    return placed(STRONG_ROTATION * draws[:, 1], scale, STRONG_SHIFT * draws[:, 3:5], maps, 1 + ASPECT * draws[:, 7])


def placed(
    degrees: torch.Tensor,
    scale: torch.Tensor,
    shift: torch.Tensor,
    maps: torch.Tensor,
    aspect: torch.Tensor | float = 1.0,
) -> torch.Tensor:
    """Where each pixel of changed maps [B, C, H, W] comes from, [B, H, W, 2] as `sampled` takes it (`placement`)."""
    return grid_of(placement(degrees, scale, shift, (maps.shape[-2], maps.shape[-1]), aspect), maps)


def grid_of(matrix: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """What `sampled` takes, of a `placement` and of maps of the wanted size."""
    return F.affine_grid(matrix, list(maps.shape), align_corners=False)


def placement(
    degrees: torch.Tensor,
    scale: torch.Tensor,
    shift: torch.Tensor,
    size: tuple[int, int],
    aspect: torch.Tensor | float = 1.0,
) -> torch.Tensor:
    """From places in changed frames of (rows, columns) to those that they come from, an affine map [B, 2, 3].

    Each has a rotation [B] in degrees, a scale [B] of the source (above 1 all becomes smaller), a shift [B, 2] of
    columns and rows as a share of the frame, and an aspect [B], by which the source's columns are further apart.
    """
    height, width = size
    angle = degrees * math.pi / 180
    cos, sin = angle.cos() * scale, angle.sin() * scale
    # The grid's unit is half a side: without the aspect of the frame a rotation would shear.
    rows = [cos * aspect, -sin * height / width, 2 * shift[:, 0], sin * width / height, cos / aspect, 2 * shift[:, 1]]
    return torch.stack(rows, 1).view(-1, 2, 3)


def sampled(maps: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """Maps [B, C, H, W] at the places of a grid; what lies outside repeats the border."""
    return F.grid_sample(maps, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _changed(levels: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
    """Levels [B, H, W] in 0..255 with another gain about the middle gray and another offset."""
    gain = (1 + GAIN * draws[:, 5])[:, None, None]
    offset = (255 * OFFSET * draws[:, 6])[:, None, None]
    return ((levels - 127.5) * gain + 127.5 + offset).clamp(0, 255)


def _strongly_changed(levels: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
    """Levels [B, H, W] in 0..255 with another gamma, gain and offset. Nothing is cut off: no level may be lost."""
    least, most = STRONG_GAIN
    gain = (least + (most - least) * (draws[:, 5] + 1) / 2)[:, None, None]
    offset = (255 * STRONG_OFFSET * draws[:, 6])[:, None, None]
    exponent = (GAMMA * draws[:, 8]).exp()[:, None, None]
    return (levels / 255).clamp(1e-4, 1) ** exponent * 255 * gain + offset


def _worse(frames: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
    """Frames [B, C, H, W] in 0..255, some of them blurred, all with as much noise as the draws on the CPU say."""
    seeds = ((draws[:, 10].double() + 1) * 2**30).long().tolist()
    drawn = [torch.randn(frames.shape[1:], generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    noise, draws = sent(torch.stack(drawn), frames.device), sent(draws, frames.device)
    kernel = sent(torch.tensor([1.0, 2.0, 1.0]), frames.device)
    weights = (kernel[:, None] * kernel / 16).expand(frames.shape[1], 1, 3, 3)
    soft = F.conv2d(F.pad(frames, (1, 1, 1, 1), mode="replicate"), weights, groups=frames.shape[1])
    blurred = (draws[:, 9] + 1) / 2 < BLURRED
    frames = torch.where(blurred[:, None, None, None], soft, frames)
    return frames + 255 * NOISE * ((draws[:, 10] + 1) / 2)[:, None, None, None] * noise


def _regrayed(frames: torch.Tensor, changed: Callable[[torch.Tensor], torch.Tensor], palette: str) -> torch.Tensor:
    """Frames [B, C, H, W] in 0..255 with their gray levels [B, H, W] changed, those of heat maps within 0..255."""
    if frames.shape[1] == 1:
        return changed(frames[:, 0])[:, None]
    # A colour keeps its distance to the palette's: JPEG noise and paper markers stay what they are.
    colours = _colours(palette, frames.device)
    levels = levels_of(frames, level_table(palette, frames.device))
    moved = colours[changed(levels.float()).clamp(0, 255).round().long()] - colours[levels]
    return (frames + moved.permute(0, 3, 1, 2)).clamp(0, 255)


_CPU = torch.device("cpu")


@cache
def _colours(palette: str, device: torch.device = _CPU) -> torch.Tensor:
    """The palette's colours, float32 [256, 3] (RGB)."""
    return torch.from_numpy(palette_colours(palette).astype(np.float32)).to(device)


def levels_of(frames: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """The gray levels, int64 [B, H, W], of heat maps [B, 3, H, W] (RGB, 0..255); `table` is the palette's."""
    steps = (frames / 8).int().clamp(0, 31)
    return table.flatten()[(steps[:, 0] * 32 + steps[:, 1]) * 32 + steps[:, 2]]  # one index: a third of the time


@cache
def level_table(palette: str, device: torch.device = _CPU) -> torch.Tensor:
    """The level of the nearest palette colour for each colour in steps of 8, int64 [32, 32, 32]."""
    axis = torch.arange(32) * 8.0 + 3.5
    cube = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).view(-1, 3)
    return torch.cdist(cube, _colours(palette)).argmin(1).view(32, 32, 32).to(device)
