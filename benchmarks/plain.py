"""What ours is compared with: the obvious PyTorch for each stage, with nothing done for speed, and the published steps.

A published one does what CUTS' encoder does, on which the paper builds (https://github.com/ChenLiu-1996/CUTS,
`src/model/CUTS_model.py`, `src/data_utils/patch_sampler.py`): latents of every pixel, one call of scikit-image a
candidate, and each place read from the latents by itself.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from skimage.metrics import structural_similarity
from torch import nn

from src.encoder import CUTSEncoder
from src.losses import pretraining_loss
from src.patches import PatchSampler, windows

Read = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Latents z [B, L, H, W] and places [B, S, 2] -> the latents there, [B, S, L]."""


def pretraining_step(
    encoder: CUTSEncoder, optimizer: torch.optim.Optimizer, x: torch.Tensor, generator: torch.Generator
) -> None:
    """Latents of every pixel, then those of the places gathered from them; x [B, C, H, W]."""
    _learn(encoder, optimizer, x, PatchSampler()(x, generator), gathered)


def published_pretraining_step(
    encoder: CUTSEncoder, optimizer: torch.optim.Optimizer, x: torch.Tensor, rng: np.random.Generator
) -> None:
    """The same with loops over images and places, as CUTS does it; x [B, C, H, W]."""
    _learn(encoder, optimizer, x, tuple(map(torch.from_numpy, sample_places(x.numpy(), rng))), one_by_one)


def _learn(
    encoder: CUTSEncoder,
    optimizer: torch.optim.Optimizer,
    x: torch.Tensor,
    places: tuple[torch.Tensor, ...],
    read: Read,
) -> None:
    z = encoder(x)
    anchors, positives = (read(z, hw) for hw in places)
    patches = windows(x, places[0], encoder.patch_size // 2).flatten(2)
    losses = pretraining_loss((anchors, positives), patches, encoder.recon(anchors), 0.01, 0.5)
    optimizer.zero_grad()
    losses["loss"].backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def gathered(z: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """All places at once."""
    return z.permute(0, 2, 3, 1)[torch.arange(len(z))[:, None], places[..., 0], places[..., 1]]


def one_by_one(z: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Each place by itself, so that each has a gradient of the size of z."""
    found = torch.zeros(*places.shape[:2], z.shape[1])
    for image in range(len(z)):
        for number, (row, column) in enumerate(places[image].tolist()):
            found[image, number] = z[image, :, row, column]
    return found


def sample_places(
    images: np.ndarray, rng: np.random.Generator, count: int = 16, candidates: int = 10
) -> tuple[np.ndarray, np.ndarray]:
    """Random anchors and their positives, one call a candidate; images [B, C, H, W] in -1..1 -> int [B, count, 2]."""
    _, _, height, width = images.shape
    anchors = rng.integers(2, (height - 2, width - 2), (len(images), count, 2))
    positives = anchors + np.where(anchors < (height / 2, width / 2), 1, -1)
    for image, of_image, chosen in zip(images, anchors, positives, strict=True):
        for place, anchor in enumerate(of_image):
            best = 0.5
            for _ in range(candidates):
                near = np.clip(anchor + rng.integers(-5, 6, 2), 2, (height - 3, width - 3))
                a, b = (image[:, y - 2 : y + 3, x - 2 : x + 3] for y, x in (anchor, near))
                similarity = structural_similarity(a, b, win_size=5, data_range=2, channel_axis=0)  # type: ignore[no-untyped-call]
                if similarity > best:
                    best, chosen[place] = similarity, near
    return anchors, positives


def segmentation_step(
    encoder: CUTSEncoder,
    decoder: nn.Module,
    optimizer: torch.optim.Optimizer,
    x: torch.Tensor,
    target: torch.Tensor,
) -> None:
    """The frozen encoder's forward in every step, then the decoder's; x [B, C, H, W], target [B, K, H, W]."""
    with torch.no_grad():
        z = encoder(x)
    loss = F.cross_entropy(decoder(z), target)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
