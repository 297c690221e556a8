"""What pretraining and the decoders minimise."""

from collections.abc import Callable

import torch
import torch.nn.functional as F


def contrastive_loss(anchors: torch.Tensor, positives: torch.Tensor, temperature: float = 0.5) -> torch.Tensor:
    """Pooled contrastive loss over the anchors and positives of each image; scalar, mean over images.

    anchors, positives [B, S, L]. With cosine similarities s_ij of anchor i and positive j over the temperature:
    -log(sum_i exp s_ii / (sum_{i != j} exp s_ij + 1e-7) + 1e-7). The papers call it NT-Xent; it is the pooled form of
    the published code, not the per-anchor InfoNCE (arXiv 2404.06589 and 2209.11359).
    """
    similarity = F.normalize(anchors, dim=-1) @ F.normalize(positives, dim=-1).mT / temperature
    similarity = similarity.exp()
    positive = similarity.diagonal(dim1=-2, dim2=-1).sum(-1)
    negative = similarity.sum((-2, -1)) - positive
    return -(positive / (negative + 1e-7) + 1e-7).log().mean()


def dice_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """One minus the soft Dice overlap, mean over frames and classes; scalar.

    logits, target (shares of each class) [B, K, H, W]. A class that is neither in a frame nor predicted there counts as
    found (Milletari et al., arXiv 1606.04797, with plain sums below the line).
    """
    probabilities = logits.softmax(1)
    overlap = (probabilities * target).sum((2, 3))
    total = (probabilities + target).sum((2, 3))
    return (1 - (2 * overlap + 1) / (total + 1)).mean()


def cross_entropy(logits: torch.Tensor, target: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of soft targets with class weights [K], mean over pixels; logits and target as in `dice_loss`."""
    return F.cross_entropy(logits, target, weights)


def cross_entropy_and_dice(logits: torch.Tensor, target: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """`cross_entropy` and `dice_loss`, added."""
    return cross_entropy(logits, target, weights) + dice_loss(logits, target)


LOSSES: dict[str, Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "ce": cross_entropy,
    "ce+dice": cross_entropy_and_dice,
}
"""What the decoders of regions minimise, by the setting `loss`: of logits, target and the class weights."""


def pretraining_loss(
    latents: tuple[torch.Tensor, torch.Tensor],
    patches: torch.Tensor,
    rebuilt: torch.Tensor,
    weight: float,
    temp: float,
) -> dict[str, torch.Tensor]:
    """The three scalars 'loss', 'contrastive' and 'reconstruction'; loss = weight * contrastive + (1 - weight) * MSE.

    latents: anchors' and positives', each [B, S, L]; patches and rebuilt, both [B, S, C*P*P], are the anchors' input
    patches and what the head makes of their latents.
    """
    contrastive = contrastive_loss(*latents, temperature=temp)
    reconstruction = F.mse_loss(rebuilt, patches)
    loss = weight * contrastive + (1 - weight) * reconstruction
    return {"loss": loss, "contrastive": contrastive, "reconstruction": reconstruction}
