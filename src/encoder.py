"""The CUTS-style encoder: every pixel's latent, or only those of the places asked for."""

from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from src.patches import windows

KERNEL = 5
BLOCKS = 4


class ReconstructionHead(nn.Module):
    """One linear layer from an anchor's latent to its input patch."""

    def __init__(self, latent_dim: int, patch_values: int) -> None:
        super().__init__()
        self.recon = nn.Linear(latent_dim, patch_values)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """z [..., L] -> [..., C*P*P]."""
        rebuilt: torch.Tensor = self.recon(z)
        return rebuilt


class CUTSEncoder(nn.Module):
    """Four 5 x 5 convolutions without stride: one latent vector a pixel, receptive field 17 x 17 (arXiv 2404.06589).

    Submodules carry the names of the authors' checkpoints, `recon.recon` is the reconstruction head.
    """

    def __init__(self, in_channels: int, num_kernels: int = 16, patch_size: int = 5) -> None:
        super().__init__()
        widths = [in_channels, *(num_kernels * 2**block for block in range(BLOCKS))]
        for block in range(BLOCKS):
            conv = nn.Conv2d(widths[block], widths[block + 1], KERNEL, padding="same", padding_mode="replicate")
            self.add_module(f"conv{block + 1}", conv)
            self.add_module(f"batch_norm{block + 1}", nn.BatchNorm2d(widths[block + 1]))
        self.in_channels, self.num_kernels, self.latent_dim = in_channels, num_kernels, widths[-1]
        self.patch_size = patch_size
        self.recon = ReconstructionHead(self.latent_dim, in_channels * patch_size**2)
        self.frozen = False

    @classmethod
    def from_state_dict(cls, state: dict[str, torch.Tensor]) -> Self:
        """Build the encoder whose sizes the weights imply, and load them; ValueError names what does not fit."""
        missing = {"conv1.weight", "recon.recon.weight"} - state.keys()
        if missing:
            raise ValueError(f"no weights of an encoder: {', '.join(sorted(missing))} missing")
        first, last = state["conv1.weight"], state["recon.recon.weight"]
        if not (first.ndim == 4 and last.ndim == 2 and first.numel() and last.numel()):
            raise ValueError("no weights of an encoder: conv1 and recon.recon are of another shape")
        num_kernels, in_channels = first.shape[:2]
        sizes = in_channels, num_kernels, round((len(last) / in_channels) ** 0.5)
        with torch.device("meta"):  # what the shapes claim may need more memory than there is
            claimed = cls(*sizes)
        refuse_misfit(claimed, state)
        encoder = cls(*sizes)
        encoder.load_state_dict(state)
        return encoder

    def freeze(self) -> Self:
        """Eval mode and no gradients for good: `train()` cannot wake it."""
        self.frozen = True
        self.requires_grad_(False)
        return self.eval()

    def train(self, mode: bool = True) -> Self:
        """As `nn.Module.train`, but a frozen encoder stays in eval mode."""
        return super().train(mode and not self.frozen)

    def _blocks(self) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
        modules: dict[str, Any] = dict(self.named_children())
        return [(modules[f"conv{block + 1}"], modules[f"batch_norm{block + 1}"]) for block in range(BLOCKS)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [B, C, H, W] with values in -1..1 -> z [B, L, H, W]."""
        for conv, norm in self._blocks():
            x = F.leaky_relu(norm(conv(x)))
        return x

    def folded(self) -> "FoldedEncoder":
        """The frozen encoder's `forward` alone, faster; RuntimeError unless in eval mode."""
        return FoldedEncoder([fuse_conv_bn_eval(conv, norm) for conv, norm in self._blocks()])

    def at(self, x: torch.Tensor, hw: torch.Tensor) -> torch.Tensor:
        """Latents of the places asked for, without those of the rest of the image.

        x [B, C, H, W], hw int64 [B, S, 2] as (row, column) -> [B, S, L]. In eval mode equal to `forward(x)` at these
        places: each place's 17 x 17 window passes through the convolutions without padding, and before each further
        block the positions outside the image take the border's *features*, as replicate padding in each layer does.
        In train mode BatchNorm sees the windows' positions instead of the whole image's.
        """
        radius = BLOCKS * (KERNEL // 2)
        places, size = hw.flatten(0, 1), tuple(x.shape[-2:])
        order, near = _border_first(places, size, radius)
        z, near_border = windows(x, hw, radius).flatten(0, 1)[order], places[order[:near]]
        *blocks, (last, last_norm) = self._blocks()
        for conv, norm in blocks:
            z = F.leaky_relu(norm(F.conv2d(z, conv.weight, conv.bias)), inplace=True)
            radius -= KERNEL // 2
            if near:
                outside, inside = z.split_with_sizes((near, len(z) - near))
                z = torch.cat((_repeat_border(outside, near_border, size, radius), inside))
        z = F.linear(z.flatten(1), last.weight.flatten(1), last.bias)  # the windows are as large as the kernel
        z = F.leaky_relu(last_norm(z[..., None, None]))
        return z[order.argsort()].reshape(*hw.shape[:2], self.latent_dim)


def refuse_misfit(module: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """ValueError names the weights that a module, such as one on the meta device, lacks or could not take."""
    own = module.state_dict()
    for what, names in (("missing", own.keys() - state.keys()), ("of no use", state.keys() - own.keys())):
        if names:
            raise ValueError(f"weights {what}: {', '.join(sorted(names))}")
    for name, wanted in own.items():
        given = state[name]
        if given.shape != wanted.shape:
            raise ValueError(f"weights {name}: size {list(given.shape)}, {list(wanted.shape)} is needed")
        if given.is_floating_point() != wanted.is_floating_point() or not given.isfinite().all():
            raise ValueError(f"weights {name}: finite numbers are needed")


class FoldedEncoder(nn.Module):
    """An encoder's `forward` with BatchNorm folded into the convolutions: the same latents but for rounding."""

    def __init__(self, convolutions: list[nn.Conv2d]) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(convolutions).requires_grad_(False)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [B, C, H, W] with values in -1..1 -> z [B, L, H, W], in channels-last memory."""
        x = x.contiguous(memory_format=torch.channels_last)
        for conv in self.convolutions:
            x = F.leaky_relu(conv(x), inplace=True)
        return x


def _border_first(places: torch.Tensor, size: tuple[int, ...], radius: int) -> tuple[torch.Tensor, int]:
    """An order of places [N, 2] that begins with those whose windows reach out of the image, and the number of these;
    on a GPU, which counting would wait for, of all."""
    if places.device.type != "cpu":
        return torch.arange(len(places), device=places.device), len(places)
    last = torch.tensor(size) - 1 - radius
    reaches_out = ((places < radius) | (places > last)).any(1)
    return reaches_out.logical_not().argsort(stable=True), int(reaches_out.sum())


def _repeat_border(z: torch.Tensor, places: torch.Tensor, size: tuple[int, ...], radius: int) -> torch.Tensor:
    """Fill the positions of windows z [N, C, 2r+1, 2r+1] outside the image with their nearest position inside."""
    around = torch.arange(-radius, radius + 1, device=places.device)
    rows, columns = (
        (place[:, None] + around).clamp(0, side - 1) - place[:, None] + radius
        for place, side in zip(places.unbind(-1), size, strict=True)
    )
    which = torch.arange(len(z), device=z.device)[:, None, None]
    return z.permute(0, 2, 3, 1)[which, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
