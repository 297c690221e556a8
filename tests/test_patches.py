"""SSIM against scikit-image, and what every draw of anchors and positives keeps to."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity

from src.patches import PatchSampler, ssim, windows


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def reference_ssim(a: torch.Tensor, b: torch.Tensor) -> float:
    ours = (a.double().numpy(), b.double().numpy())
    return float(structural_similarity(*ours, win_size=5, data_range=2, channel_axis=0))


def smooth_images(*shape: int, seed: int = 0, noise: float = 0.1) -> torch.Tensor:
    """Images with smooth and rough parts: neighbours are similar in some places, not in others."""
    batch, channels, height, width = shape
    coarse = torch.rand(batch, channels, 4, 4, generator=seeded(seed)) * 2 - 1
    smooth = F.interpolate(coarse, (height, width), mode="bicubic", align_corners=True)
    return (smooth + noise * torch.randn(*shape, generator=seeded(seed + 1))).clamp(-1, 1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("spread", [1.0, 0.1, 1e-2, 1e-3, 1e-5, 0.0])
def test_ssim_equals_scikit_image(channels, spread):
    generator = seeded(3)
    for level in (-1.0, -0.3, 0.0, 0.9):
        a, b = (level + spread * (torch.rand(12, channels, 5, 5, generator=generator) * 2 - 1) for _ in range(2))
        b[::3] = a[::3] + 0.3 * spread  # some alike
        b[1::3] = 2 * level - a[1::3]  # and some opposite
        b[-1] += 0.2  # and one of another level
        expected = [reference_ssim(*pair) for pair in zip(a, b, strict=True)]
        np.testing.assert_allclose(ssim(a, b).numpy(), expected, rtol=0, atol=1e-5)


def test_ssim_broadcasts_and_is_one_for_equal_patches():
    a = torch.rand(2, 4, 1, 3, 5, 5, generator=seeded())
    b = torch.rand(2, 4, 6, 3, 5, 5, generator=seeded(1))
    together = ssim(a, b)
    assert together.shape == (2, 4, 6)
    torch.testing.assert_close(together[1, 2, 3], ssim(a[1, 2, 0], b[1, 2, 3]))
    torch.testing.assert_close(ssim(b, b), torch.ones(2, 4, 6))


def test_windows_repeat_the_border():
    images = torch.rand(2, 3, 7, 9, generator=seeded())
    hw = torch.cartesian_prod(torch.arange(7), torch.arange(9)).expand(2, -1, -1)
    cut = windows(images, hw, 3)
    assert cut.shape == (2, 63, 3, 7, 7)
    padded = F.pad(images, (3, 3, 3, 3), mode="replicate")
    for index, (row, col) in enumerate(hw[0].tolist()):
        assert torch.equal(cut[:, index], padded[..., row : row + 7, col : col + 7])


def check_draw(images: torch.Tensor, anchors: torch.Tensor, positives: torch.Tensor, count: int) -> torch.Tensor:
    """Assert what holds for every draw; returns which positives are not the inward diagonal neighbour."""
    size = torch.tensor(images.shape[-2:])
    for places in (anchors, positives):
        assert places.shape == (len(images), count, 2)
        assert places.dtype == torch.int64
        assert (places >= 2).all()
        assert (places < size - 2).all()
    away = positives - anchors
    assert away.abs().max() <= 5
    assert away.any(-1).all()
    center = (size - 1) / 2
    diagonal = (away.abs() == 1).all(-1)
    # inward: no farther from the centre line than before, a half pixel across it counted as the same
    inward = diagonal & ((positives - center).abs() <= (anchors - center).abs().clamp(min=1)).all(-1)
    similarity = ssim(windows(images, anchors, 2), windows(images, positives, 2))
    assert (inward | (similarity > 0.5)).all()
    return ~inward


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    shape=st.tuples(st.integers(1, 3), st.sampled_from([1, 3]), st.integers(6, 30), st.integers(6, 30)),
    seed=st.integers(0, 1000),
    noise=st.sampled_from([0.0, 0.05, 0.2, 1.0]),
)
def test_every_draw_keeps_to_the_rules(shape, seed, noise):
    images = smooth_images(*shape, seed=seed, noise=noise)
    check_draw(images, *PatchSampler()(images, seeded(seed)), count=16)


def test_both_kinds_of_positives_occur():
    images = smooth_images(4, 1, 60, 80, noise=0.1)
    chosen = check_draw(images, *PatchSampler(count=200)(images, seeded()), count=200)
    assert 0.05 < chosen.float().mean() < 0.95


def test_a_threshold_out_of_reach_leaves_the_inward_neighbor():
    images = torch.rand(2, 1, 20, 25, generator=seeded())
    anchors, positives = PatchSampler(count=300, threshold=1.1)(images, seeded())
    middle = torch.tensor([9.5, 12.0])
    assert torch.equal(positives, anchors + torch.where(anchors < middle, 1, -1))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("value", [-1.0, 0.0, 0.7])
@pytest.mark.parametrize("size", [(6, 6), (6, 40), (40, 7), (30, 30)])
def test_on_constant_images_the_anchor_is_never_its_own_positive(channels, value, size):
    images = torch.full((3, channels, *size), value)
    check_draw(images, *PatchSampler(count=200)(images, seeded()), count=200)


def test_extreme_places_occur():
    images = torch.zeros(2, 1, 16, 19)
    anchors, positives = PatchSampler(count=4000)(images, seeded())
    assert len(anchors.flatten(0, 1).unique(dim=0)) == 12 * 15
    for places in (anchors, positives):
        assert places.amin((0, 1)).tolist() == [2, 2]
        assert places.amax((0, 1)).tolist() == [13, 16]
    away = (positives - anchors).flatten(0, 1)
    assert len(away.unique(dim=0)) == 11 * 11 - 1


def test_neighbors_are_uniform_and_reach_every_place():
    images = torch.zeros(1, 1, 6, 6)
    anchors, positives = PatchSampler(count=12_000)(images, seeded())
    pairs, counts = torch.cat((anchors, positives), -1)[0].unique(dim=0, return_counts=True)
    assert len(pairs) == 4 * 3
    assert counts.min() > 850
    assert counts.max() < 1150


def test_same_seed_same_draws_and_the_generator_advances():
    images, sampler = smooth_images(2, 3, 30, 40), PatchSampler()
    first, again = sampler(images, seeded(7)), sampler(images, seeded(7))
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    generator = seeded(7)
    draws = [sampler(images, generator)[0] for _ in range(3)]
    assert torch.equal(draws[0], first[0])
    assert not torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[1], draws[2])
    assert not torch.equal(sampler(images, seeded(8))[0], first[0])
    assert not torch.equal(first[0][0], first[0][1])  # each image has its own


@pytest.mark.parametrize("size", [(5, 30), (30, 5), (1, 1), (4, 4)])
def test_too_small_images_are_refused(size):
    with pytest.raises(ValueError, match="too small for patches of side 5"):
        PatchSampler()(torch.zeros(1, 1, *size), seeded())


def test_the_smallest_images_pass():
    images = torch.rand(2, 1, 6, 6, generator=seeded())
    check_draw(images, *PatchSampler()(images, seeded()), count=16)
