"""The obvious PyTorch for each stage, with nothing done for speed: what ours is compared with."""

import numpy as np
import torch
import torch.nn.functional as F
from skimage.metrics import structural_similarity
from torch import nn

from src.encoder import CUTSEncoder
from src.losses import pretraining_loss
from src.patches import PatchSampler, windows


def pretraining_step(
    encoder: CUTSEncoder, optimizer: torch.optim.Optimizer, x: torch.Tensor, generator: torch.Generator
) -> None:
    """Latents of every pixel, then those of the places gathered from them; x [B, C, H, W]."""
    anchors, positives = PatchSampler()(x, generator)
    z = encoder(x).permute(0, 2, 3, 1)
    batch = torch.arange(len(x))[:, None]
    z_anchors, z_positives = (z[batch, hw[..., 0], hw[..., 1]] for hw in (anchors, positives))
    patches = windows(x, anchors, encoder.patch_size // 2).flatten(2)
    losses = pretraining_loss((z_anchors, z_positives), patches, encoder.recon(z_anchors), 0.01, 0.5)
    optimizer.zero_grad()
    losses["loss"].backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def sample_places(images: np.ndarray, rng: np.random.Generator, count: int = 16, candidates: int = 10) -> np.ndarray:
    """Positives of random anchors, one skimage call a candidate; images [B, C, H, W] in -1..1 -> int [B, count, 2]."""
    _, _, height, width = images.shape
    chosen = np.zeros((len(images), count, 2), dtype=int)
    for number, image in enumerate(images):
        for place in range(count):
            anchor = rng.integers(2, (height - 2, width - 2))
            best = 0.5
            chosen[number, place] = anchor + np.where(anchor < (height / 2, width / 2), 1, -1)
            for _ in range(candidates):
                near = np.clip(anchor + rng.integers(-5, 6, 2), 2, (height - 3, width - 3))
                a, b = (image[:, y - 2 : y + 3, x - 2 : x + 3] for y, x in (anchor, near))
                similarity = structural_similarity(a, b, win_size=5, data_range=2, channel_axis=0)  # type: ignore[no-untyped-call]
                if similarity > best:
                    best, chosen[number, place] = similarity, near
    return chosen


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
