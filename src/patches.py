"""Places in a frame: windows around them, their similarity, and the draw of anchors and positives."""

from dataclasses import dataclass

import torch


def windows(images: torch.Tensor, hw: torch.Tensor, radius: int) -> torch.Tensor:
    """Cut the square window of side 2 * radius + 1 around each place; outside the image its border is repeated.

    images [B, C, H, W], hw int64 [B, N, 2] as (row, column) -> [B, N, C, 2 * radius + 1, 2 * radius + 1].
    """
    height, width = images.shape[-2:]
    offsets = torch.arange(-radius, radius + 1, device=images.device)
    rows = (hw[..., 0, None] + offsets).clamp(0, height - 1)
    cols = (hw[..., 1, None] + offsets).clamp(0, width - 1)
    batch = torch.arange(len(images), device=images.device)[:, None, None, None]
    return images.permute(0, 2, 3, 1)[batch, rows[..., :, None], cols[..., None, :]].movedim(-1, 2)


def ssim(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Structural similarity of two patches of values in -1..1, under one uniform window that is the patch itself.

    a, b [..., C, P, P], broadcastable -> [...]. Sample covariance, K1 = 0.01, K2 = 0.03, mean over channels, as
    `skimage.metrics.structural_similarity(win_size=P, data_range=2)` computes it (Wang et al. 2004, equation 13).
    """
    c1, c2 = (0.01 * 2.0) ** 2, (0.03 * 2.0) ** 2
    samples = a.shape[-1] * a.shape[-2]
    mean_a, mean_b = a.mean((-2, -1)), b.mean((-2, -1))
    da, db = a - mean_a[..., None, None], b - mean_b[..., None, None]
    var_a = da.square().sum((-2, -1)) / (samples - 1)
    var_b = db.square().sum((-2, -1)) / (samples - 1)
    cov = (da * db).sum((-2, -1)) / (samples - 1)
    luminance = (2 * mean_a * mean_b + c1) / (mean_a.square() + mean_b.square() + c1)
    structure = (2 * cov + c2) / (var_a + var_b + c2)
    return (luminance * structure).mean(-1)


@dataclass(frozen=True)
class PatchSampler:
    """Draws anchors uniformly, and for each the most similar of a few neighbours as its positive (CUTS, section 3)."""

    count: int = 16
    patch_size: int = 5
    neighborhood: int = 5
    candidates: int = 10
    threshold: float = 0.5

    def __call__(
        self, images: torch.Tensor, generator: torch.Generator, total: int | None = None, share: slice = slice(None)
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """images [B, C, H, W] -> anchors, positives, both int64 [B, count, 2] as (row, column) on the images' device.

        Every patch lies inside its image and no positive is its own anchor. A positive is the candidate of the highest
        SSIM where that exceeds the threshold, else the diagonal neighbour toward the image's centre. `generator`
        lives on the CPU, so that a seed draws the same places on every device. Where the images are one process's
        `share` of a batch of `total`, places are drawn for the whole batch. Raises ValueError for images with fewer
        than patch_size + 1 rows or columns.
        """
        radius = self.patch_size // 2
        size = torch.tensor(images.shape[-2:])
        if int(size.min()) <= self.patch_size:
            raise ValueError(f"images of {tuple(size.tolist())} are too small for patches of side {self.patch_size}")
        low, high = torch.tensor(radius), size - 1 - radius  # first and last place whose patch lies inside
        shape = (len(images) if total is None else total, self.count, 2 + self.candidates)
        draw = torch.rand(shape, generator=generator, dtype=torch.float64)[share]
        anchors = low + (draw[..., :2] * (high - low + 1)).long()
        nearby = self._neighbors(anchors, draw[..., 2:], low, high)

        inward = torch.where(anchors < (size - 1) / 2, 1, -1)
        anchors, nearby, fallback = (
            t.to(images.device, non_blocking=True) for t in (anchors, nearby, anchors + inward)
        )
        places = torch.cat((anchors[:, :, None], nearby), 2)
        patches = windows(images, places.flatten(1, 2), radius)
        patches = patches.reshape(*places.shape[:3], *patches.shape[2:])
        similarity, best = ssim(patches[:, :, :1], patches[:, :, 1:]).max(-1)
        positives = nearby.gather(2, best[..., None, None].expand(-1, -1, 1, 2))[:, :, 0]
        return anchors, torch.where((similarity > self.threshold)[..., None], positives, fallback)

    def _neighbors(
        self, anchors: torch.Tensor, draw: torch.Tensor, low: torch.Tensor, high: torch.Tensor
    ) -> torch.Tensor:
        """Uniform over the neighbourhood cut at the border, the anchor left out: int64 [B, count, candidates, 2]."""
        first = torch.maximum(anchors - self.neighborhood, low)
        rows, cols = (torch.minimum(anchors + self.neighborhood, high) - first + 1).unbind(-1)
        own = (anchors[..., 0] - first[..., 0]) * cols + anchors[..., 1] - first[..., 1]
        index = (draw * (rows * cols - 1)[..., None]).long()
        index += index >= own[..., None]
        return first[:, :, None] + torch.stack((index // cols[..., None], index % cols[..., None]), -1)
