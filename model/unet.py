"""The usual four-level UNet with bilinear upsampling."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils.checkpoint import checkpoint

from model.frugal import convolved, normalised


class DoubleConv(nn.Module):
    """Twice: 3 x 3 convolution without bias, BatchNorm, ReLU."""

    frugal = False  # keep only what BatchNorm needs of the whole batch; the rest is computed again, a frame at a time

    def __init__(self, in_channels: int, out_channels: int, mid_channels: int | None = None) -> None:
        super().__init__()
        mid_channels = mid_channels or out_channels
        self.double_conv = nn.Sequential(
            nn.Conv2d(in_channels, mid_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(mid_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(mid_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )

    def forward(
        self, *maps: torch.Tensor, join: Callable[..., torch.Tensor] | None = None, last: "OutConv | None" = None
    ) -> torch.Tensor:
        """The map x [B, in, H, W], or what `join` makes of several -> [B, out, H, W], or what `last` makes of that."""
        join = join or nn.Identity()
        if not (self.frugal and self.training and torch.is_grad_enabled()):
            y: torch.Tensor = self.double_conv(join(*maps))
            return y if last is None else last(y)
        conv, norm, _, conv_2, norm_2, _ = cast(Any, self.double_conv)
        y = convolved(join, maps, conv.weight)
        y = normalised(norm, F.relu, y, conv_2.weight)
        if last is None:
            return normalised(norm_2, F.relu, y)
        return normalised(norm_2, F.relu, y, last.conv.weight) + cast(torch.Tensor, last.conv.bias)[:, None, None]


class Down(nn.Module):
    """Halve the resolution, then a double convolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), DoubleConv(in_channels, out_channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [B, in, H, W] -> [B, out, H // 2, W // 2]."""
        y: torch.Tensor = self.maxpool_conv(x)
        return y


class Up(nn.Module):
    """Double the resolution, pad to the skip's size, concatenate, then a double convolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.conv = DoubleConv(in_channels, out_channels, in_channels // 2)

    def forward(self, x: torch.Tensor, skip: torch.Tensor, last: "OutConv | None" = None) -> torch.Tensor:
        """x [B, in - s, h, w], skip [B, s, H, W] -> [B, out, H, W], or what `last` makes of that."""
        y: torch.Tensor = self.conv(x, skip, join=self._joined, last=last)
        return y

    def _joined(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        x = self.up(x)
        rows, cols = skip.shape[-2] - x.shape[-2], skip.shape[-1] - x.shape[-1]
        if rows or cols:  # it would copy the map where there is nothing to add, too
            x = F.pad(x, (cols // 2, cols - cols // 2, rows // 2, rows - rows // 2))
        return torch.cat((skip, x), 1)


class OutConv(nn.Module):
    """1 x 1 convolution to the classes."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, num_classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [B, in, H, W] -> [B, classes, H, W]."""
        y: torch.Tensor = self.conv(x)
        return y


class UNet(nn.Module):
    """in_channels -> base, 2, 4, 8, 8 times base -> num_classes; submodules named as in the authors' checkpoints.

    With 128 channels in, 8 classes and base 64 it has 17,335,432 parameters (arXiv 2404.06589).
    """

    def __init__(self, in_channels: int, num_classes: int, base_channels: int = 64) -> None:
        super().__init__()
        base = base_channels
        self.in_channels, self.base_channels = in_channels, base
        self.inc = DoubleConv(in_channels, base)
        self.down1 = Down(base, 2 * base)
        self.down2 = Down(2 * base, 4 * base)
        self.down3 = Down(4 * base, 8 * base)
        self.down4 = Down(8 * base, 8 * base)
        self.up1 = Up(16 * base, 4 * base)
        self.up2 = Up(8 * base, 2 * base)
        self.up3 = Up(4 * base, base)
        self.up4 = Up(2 * base, base)
        self.outc = OutConv(base, num_classes)

    @property
    def checkpoint_activations(self) -> bool:
        """Compute activations again in the backward pass instead of keeping them: a third slower, a fraction of the
        memory."""
        return self.inc.frugal

    @checkpoint_activations.setter
    def checkpoint_activations(self, frugal: bool) -> None:
        for module in self.modules():
            if isinstance(module, DoubleConv):
                module.frugal = frugal

    @property
    def _computes_again(self) -> bool:
        return self.checkpoint_activations and self.training and torch.is_grad_enabled()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [B, in, H, W] -> logits [B, classes, H, W]; H and W are at least 16."""
        if self._computes_again:
            return self._levels(x, self.outc)[-1]
        logits: torch.Tensor = self.outc(self.decoded(x)[-1])
        return logits

    def decoded(self, x: torch.Tensor) -> list[torch.Tensor]:
        """What the four decoder levels give, from the coarsest on; the last one, [B, base, H, W], is what `outc` sees.

        x as in `forward`; the others are [B, 4 base, H // 8, W // 8], [B, 2 base, H // 4, ...], [B, base, H // 2, ...].
        """
        return self._levels(x, None)

    def _levels(self, x: torch.Tensor, last: OutConv | None) -> list[torch.Tensor]:
        skips = [self._run(self.inc, x)]
        for down in (self.down1, self.down2, self.down3, self.down4):
            skips.append(self._run(down, skips[-1]))
        found = [skips.pop()]
        for up in (self.up1, self.up2, self.up3):
            found.append(self._run(up, found[-1], skips.pop()))
        found.append(self._run(self.up4, found[-1], skips.pop(), last=last))
        return found[1:]

    def _run(self, block: nn.Module, *maps: torch.Tensor, **more: Any) -> torch.Tensor:
        if self._computes_again:
            return _computed_again(partial(block, **more), block, *maps)
        y: torch.Tensor = block(*maps, **more)
        return y

    def fold(self) -> None:
        """Put each BatchNorm into the convolution before it, for good: faster in prediction; only in eval mode."""
        for block in [module for module in self.modules() if isinstance(module, DoubleConv)]:
            layers: Any = block.double_conv
            for place in (0, 3):
                layers[place] = fuse_conv_bn_eval(layers[place], layers[place + 1])
                layers[place + 1] = nn.Identity()

    def activation_bytes(self, pixels: int, bytes_per_value: int = 4) -> int:
        """About what a training step on so many pixels (over the batch) keeps, without checkpoints.

        Full resolution keeps 11 times the base width a pixel (four convolutions with their BatchNorms, upsampled map,
        concatenation), the lower levels together almost as much again; then there is the input.
        """
        return pixels * bytes_per_value * (21 * self.base_channels + self.in_channels)


def _computed_again(run: Callable[..., torch.Tensor], owner: nn.Module, *maps: torch.Tensor) -> torch.Tensor:
    """`run(*maps)`, whose inner activations the backward pass computes again; `owner` has all BatchNorms in it."""

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _statistics_kept(owner)

    y: torch.Tensor = checkpoint(run, *maps, use_reentrant=False, context_fn=contexts)
    return y


@contextmanager
def _statistics_kept(block: nn.Module) -> Iterator[None]:
    """BatchNorms normalise by the batch but leave their running statistics alone: they were updated once already."""
    norms = [module for module in block.modules() if isinstance(module, nn.BatchNorm2d)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
        norm.num_batches_tracked = None
    try:
        yield
    finally:
        for norm, (momentum, batches) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, batches
