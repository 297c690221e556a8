"""The encoder, sampler and loss against slow or plain versions of themselves."""

import pytest
import torch
from skimage.metrics import structural_similarity

from model.unet import UNet
from src.encoder import CUTSEncoder
from src.losses import contrastive_loss
from src.patches import PatchSampler, ssim


@pytest.mark.parametrize(("channels", "size"), [(1, (9, 12)), (3, (20, 33)), (3, (40, 17))])
def test_at_equals_forward_everywhere(channels: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    encoder = CUTSEncoder(channels)
    for name, buffer in encoder.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    encoder.eval()
    x = torch.rand(2, channels, *size) * 2 - 1
    every = torch.cartesian_prod(torch.arange(size[0]), torch.arange(size[1])).expand(2, -1, -1)
    dense = encoder(x).flatten(2).mT
    sparse = encoder.at(x, every)
    torch.testing.assert_close(sparse, dense, atol=1e-5, rtol=0)
    weights = [value for name, value in encoder.named_parameters() if not name.startswith("recon")]
    probe = torch.randn_like(dense)
    for ours, plain in zip(
        torch.autograd.grad((sparse * probe).sum(), weights),
        torch.autograd.grad((dense * probe).sum(), weights),
        strict=True,
    ):
        assert (ours - plain).norm() <= 1e-4 * plain.norm()


def test_parameter_counts_and_freezing() -> None:
    for channels, expected in ((1, 269_920), (3, 270_720)):
        encoder = CUTSEncoder(channels)
        assert sum(p.numel() for n, p in encoder.named_parameters() if "recon" not in n) == expected
        assert not torch.nn.Sequential(encoder.freeze()).train()[0].training
    assert sum(p.numel() for p in UNet(128, 8).parameters()) == 17_335_432


def test_ssim_equals_skimage() -> None:
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        a, b = torch.rand(2, 3, 5, 5, generator=generator, dtype=torch.float64) * 2 - 1
        expected = structural_similarity(a.numpy(), b.numpy(), win_size=5, data_range=2, channel_axis=0)
        assert ssim(a, b).item() == pytest.approx(expected, abs=1e-5)


def test_sampler_stays_inside_and_never_pairs_an_anchor_with_itself() -> None:
    generator = torch.Generator().manual_seed(2)
    for images in (torch.zeros(4, 1, 12, 9), torch.rand(4, 3, 12, 9)):
        anchors, positives = PatchSampler()(images, generator)
        for places in (anchors, positives):
            assert (places >= 2).all()
            assert (places <= torch.tensor([9, 6])).all()
        assert (anchors != positives).any(-1).all()
        assert (anchors - positives).abs().max() <= 5


def test_contrastive_loss_equals_a_loop_over_images() -> None:
    anchors, positives = torch.randn(2, 3, 4, 8, generator=torch.Generator().manual_seed(3))
    losses = []
    for a, p in zip(anchors, positives, strict=True):
        s = torch.stack([torch.stack([torch.cosine_similarity(x, y, dim=0) for y in p]) for x in a]).div(0.5).exp()
        hit = s.trace()
        losses.append(-torch.log(hit / (s.sum() - hit + 1e-7) + 1e-7))
    torch.testing.assert_close(contrastive_loss(anchors, positives), torch.stack(losses).mean())
