"""Layers computed a frame at a time, for batches that memory would not hold otherwise.

Of the whole batch a BatchNorm needs two numbers a channel: nothing as large as its input is kept but that itself, and
nothing as large is made but its gradient. What leads from there to a convolution is cheap and made again.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable

Prepare = Callable[..., torch.Tensor]  # maps of one frame, each [1, ...], and weights -> a map [1, C, H, W]


def convolved(prepare: Prepare, maps: Sequence[torch.Tensor], kernel: torch.Tensor) -> torch.Tensor:
    """The convolution of `prepare(*maps)`, maps [B, ...], for a `prepare` that does not mix frames.

    Keeps the maps alone.
    """
    found: torch.Tensor = _Convolved.apply(prepare, kernel, *maps)
    return found


def normalised(
    norm: nn.BatchNorm2d, after: Prepare, y: torch.Tensor, kernel: torch.Tensor | None = None
) -> torch.Tensor:
    """`after(norm(y))` of y [B, C, H, W], or its convolution; `norm` in train mode, `after` does not mix frames.

    Keeps y alone. Where several processes share a batch, `norm` has a method `total` that sums over them. Raises
    ValueError where each channel has one value, as BatchNorm itself does.
    """
    if y.numel() == y.shape[1]:
        raise ValueError(f"one value a channel cannot be normalised: input of {tuple(y.shape)}")
    found: torch.Tensor = _Normalised.apply(norm, after, kernel, y, norm.weight, norm.bias)
    return found


class _Convolved(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, prepare: Prepare, kernel: torch.Tensor, *maps: torch.Tensor) -> torch.Tensor:
        ctx.prepare, ctx.computing = prepare, _number_format(kernel)
        ctx.save_for_backward(kernel, *maps)
        return _each_frame(prepare, maps, kernel)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        kernel, *maps = ctx.saved_tensors
        needed = ctx.needs_input_grad[2:]
        with ctx.computing():
            return None, *_gradients(ctx.prepare, maps, (), kernel, gradient, needed)


class _Normalised(torch.autograd.Function):
    """Gradients are found as if the statistics were given; then follows what each value owes to having made them."""

    @staticmethod
    def forward(
        ctx: Any,
        norm: nn.BatchNorm2d,
        after: Prepare,
        kernel: torch.Tensor | None,
        y: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
    ) -> torch.Tensor:
        ctx.total = getattr(norm, "total", nn.Identity())
        ctx.values, mean, variance = _statistics(y, ctx.total)
        _track(norm, ctx.values, mean, variance)

        def prepare(frame: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
            return after(F.batch_norm(frame, mean, variance, weight, bias, eps=norm.eps))

        ctx.prepare, ctx.computing = prepare, _number_format(y)
        ctx.save_for_backward(kernel, y, weight, bias, mean, (variance + norm.eps).rsqrt())
        return _each_frame(partial(prepare, weight=weight, bias=bias), [y], kernel)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        kernel, y, weight, bias, mean, inverse = ctx.saved_tensors
        with ctx.computing():
            of_kernel, found, *own = _gradients(ctx.prepare, [y], [weight, bias], kernel, gradient, [True] * 3)
        # The gradient of the normalised map, summed over the batch: times that map, and alone.
        times_map, alone = ctx.total(torch.stack(own)) / ctx.values
        slope = weight * inverse.square() * times_map
        start = weight * inverse * alone - slope * mean
        for frame, values in zip(found, y, strict=True):
            frame -= values * slope[:, None, None] + start[:, None, None]
        return None, None, of_kernel, found, *own


def _each_frame(prepare: Prepare, maps: Sequence[torch.Tensor], kernel: torch.Tensor | None) -> torch.Tensor:
    def made(maps: Sequence[torch.Tensor]) -> torch.Tensor:
        y = prepare(*maps)
        return y if kernel is None else F.conv2d(y, kernel, padding=kernel.shape[-1] // 2)

    frames = len(maps[0])
    if not frames:  # one of several processes may have no share of a batch
        return made(maps)
    found = torch.empty(0)
    for place, own in enumerate(_frames(maps)):
        frame = made(own)
        if not place:
            found = torch.empty_like(frame.expand(frames, *frame.shape[1:]))  # in the layout that was chosen for it
        found[place : place + 1] = frame
    return found


def _gradients(
    prepare: Prepare,
    maps: Sequence[torch.Tensor],
    weights: Sequence[torch.Tensor],
    kernel: torch.Tensor | None,
    gradient: torch.Tensor,
    needed: Sequence[bool],
) -> list[Any]:
    """Of the kernel, then of the `needed` of maps and weights (None for the others), from the outcome's gradient."""
    of_kernel = None if kernel is None else torch.zeros_like(kernel)
    found = [torch.zeros_like(x) if needs else None for x, needs in zip((*maps, *weights), needed, strict=True)]
    for place, (frames, towards) in enumerate(zip(_frames(maps), torch.split(gradient, 1), strict=True)):
        with torch.enable_grad():
            own = [x.detach().requires_grad_(needs) for x, needs in zip((*frames, *weights), needed, strict=True)]
            y = prepare(*own)
        if kernel is not None and of_kernel is not None:
            towards, part, _ = torch.ops.aten.convolution_backward(
                *(towards, y.detach().to(towards.dtype), kernel.to(towards.dtype), None),
                *([1, 1], [kernel.shape[-1] // 2] * 2, [1, 1], False, [0, 0], 1, [any(needed), True, False]),
            )
            of_kernel += part
        wanted = [x for x in own if x.requires_grad]
        parts = iter(torch.autograd.grad(y, wanted, towards.to(y.dtype)) if wanted else ())
        for index, total in enumerate(found):
            if total is not None:
                (total[place : place + 1] if index < len(maps) else total).add_(next(parts))
    return [of_kernel, *found]


def _frames(maps: Sequence[torch.Tensor]) -> Iterator[tuple[torch.Tensor, ...]]:
    return zip(*(torch.split(values, 1) for values in maps), strict=True)


def _statistics(
    y: torch.Tensor, total: Callable[[torch.Tensor], torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """How many values each channel of all processes' y [B, C, H, W] has; their mean and biased variance, [C]."""
    wide = torch.promote_types(y.dtype, torch.float32)
    sums, squares = y.new_zeros(2, y.shape[1], dtype=wide)
    values = total(sums.new_tensor(float(y.numel() // y.shape[1])))
    for frame in y:
        sums += frame.sum((1, 2), dtype=wide)
    mean = total(sums) / values
    for frame in y:
        squares += (frame - mean[:, None, None]).square_().sum((1, 2))
    return values, mean, total(squares) / values


@torch.no_grad()
def _track(norm: nn.BatchNorm2d, values: torch.Tensor, mean: torch.Tensor, variance: torch.Tensor) -> None:
    """What `norm` does in train mode for its running averages."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.momentum is not None
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked += 1
    norm.running_mean.lerp_(mean, norm.momentum)
    norm.running_var.lerp_(variance * (values / (values - 1)), norm.momentum)


def _number_format(values: torch.Tensor) -> Callable[[], AbstractContextManager[None]]:
    """What brings the number format of now back, for the device of these values."""
    kind = values.device.type
    enabled, dtype = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)
    return partial(torch.autocast, kind, dtype=dtype, enabled=enabled, cache_enabled=False)
