"""The losses against plain loops."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from src.losses import contrastive_loss, dice_loss, pretraining_loss


def draw(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plain_loss(anchors: torch.Tensor, positives: torch.Tensor, temperature: float) -> float:
    """Image by image and pair by pair."""
    total = 0.0
    for image in range(len(anchors)):
        a, p = anchors[image].tolist(), positives[image].tolist()
        positive = negative = 0.0
        for i in range(len(a)):
            for j in range(len(p)):
                dot = sum(x * y for x, y in zip(a[i], p[j], strict=True))
                term = math.exp(dot / (math.hypot(*a[i]) * math.hypot(*p[j])) / temperature)
                if i == j:
                    positive += term
                else:
                    negative += term
        total += -math.log(positive / (negative + 1e-7) + 1e-7)
    return total / len(anchors)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(2, 12)),
    seed=st.integers(0, 1000),
    temperature=st.sampled_from([0.1, 0.5, 1.0]),
)
def test_contrastive_loss_equals_a_plain_loop(shape, seed, temperature):
    anchors, positives = draw(*shape, seed=seed), draw(*shape, seed=seed + 5000)
    ours = contrastive_loss(anchors, positives, temperature)
    assert ours.shape == ()
    assert ours.item() == pytest.approx(plain_loss(anchors, positives, temperature), rel=1e-6, abs=1e-6)


def test_contrastive_loss_in_single_precision_at_the_papers_sizes():
    anchors, positives = draw(4, 16, 128, seed=1), draw(4, 16, 128, seed=2)
    ours = contrastive_loss(anchors.float(), positives.float()).item()
    assert ours == pytest.approx(plain_loss(anchors, positives, 0.5), abs=1e-6)


def test_contrastive_loss_falls_as_the_pairs_agree_and_ignores_lengths():
    anchors, others = draw(2, 8, 16, seed=1), draw(2, 8, 16, seed=2)
    losses = [contrastive_loss(anchors, anchors + spread * others).item() for spread in (0.0, 0.5, 2.0)]
    assert losses == sorted(losses)
    assert losses[0] < losses[2]
    scaled = contrastive_loss(7 * anchors, 0.3 * others)
    torch.testing.assert_close(scaled, contrastive_loss(anchors, others))


@pytest.mark.parametrize("weight", [0.0, 0.001, 0.5, 1.0])
def test_pretraining_loss_weighs_its_parts(weight):
    latents = (draw(2, 4, 16, seed=1), draw(2, 4, 16, seed=2))
    patches, rebuilt = draw(2, 4, 75, seed=3), draw(2, 4, 75, seed=4)
    losses = pretraining_loss(latents, patches, rebuilt, weight=weight, temp=0.2)
    contrastive, mse = plain_loss(*latents, 0.2), ((patches - rebuilt) ** 2).mean().item()
    assert losses.keys() == {"loss", "contrastive", "reconstruction"}
    assert losses["contrastive"].item() == pytest.approx(contrastive, abs=1e-6)
    assert losses["reconstruction"].item() == pytest.approx(mse, abs=1e-6)
    assert losses["loss"].item() == pytest.approx(weight * contrastive + (1 - weight) * mse, abs=1e-6)


def test_dice_loss_is_none_where_all_agree_and_whole_where_nothing_does() -> None:
    target = torch.zeros(2, 2, 8, 8)
    target[:, 0, :, :4] = 1
    target[:, 1, :, 4:] = 1
    assert dice_loss(40 * target, target).item() == pytest.approx(0, abs=1e-6)
    assert dice_loss(40 * target.flip(1), target).item() == pytest.approx(1 - 1 / (32 + 32 + 1))
    # Even odds everywhere: of each class 16 of 32 true pixels are found, and 16 more are claimed.
    probabilities = torch.full((1, 2, 8, 8), 0.5)
    assert dice_loss(probabilities.log(), target[:1]).item() == pytest.approx(1 - (2 * 16 + 1) / (32 + 32 + 1))
