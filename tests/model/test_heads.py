"""The heads on the UNet, and the four ways from frames through an encoder to logits."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from model.heads import ClassificationModel, LatentModel, SegmentationModel
from src.encoder import CUTSEncoder

SIZE = (17, 22)


def make_encoder(channels: int) -> CUTSEncoder:
    torch.manual_seed(channels)
    return CUTSEncoder(channels, num_kernels=2).freeze()


def make_decoder(kind: str) -> nn.Module:
    torch.manual_seed(7)
    if kind == "classification":
        return ClassificationModel(16, SIZE, base_channels=4).eval()
    return SegmentationModel(16, 3, base_channels=4).eval()


def make_frames(channels: int, batch: int = 3) -> torch.Tensor:
    return torch.rand(batch, channels, *SIZE, generator=torch.Generator().manual_seed(channels)) * 2 - 1


def test_classification_names_and_shapes():
    model = ClassificationModel(128, (35, 50))
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    assert shapes["project.weight"] == (1, 35 * 50)
    assert shapes["project.bias"] == (1,)
    assert shapes["unet.inc.double_conv.0.weight"] == (64, 128, 3, 3)
    assert shapes["unet.outc.conv.weight"] == (1, 64, 1, 1)
    assert all(name.startswith(("unet.", "project.")) for name in shapes)


def test_classification_is_one_logit_from_the_flattened_map():
    model = make_decoder("classification")
    z = torch.randn(3, 16, *SIZE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits, maps = model(z), model.unet(z)
    assert maps.shape == (3, 1, *SIZE)
    assert logits.shape == (3,)
    weight = model.project.weight.detach().reshape(SIZE)
    torch.testing.assert_close(logits, (maps[:, 0] * weight).sum((1, 2)) + model.project.bias.item())


def test_segmentation_is_the_unets_maps():
    model = make_decoder("segmentation")
    z = torch.randn(2, 16, *SIZE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(model(z), model.unet(z))
        assert model(z).shape == (2, 3, *SIZE)
    assert all(name.startswith("unet.") for name in model.state_dict())


@pytest.mark.parametrize("kind", ["classification", "segmentation"])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(("encoder_channels", "frame_channels"), [(1, 1), (1, 3), (3, 1), (3, 3)])
def test_latent_model_takes_either_modality(kind, batch, encoder_channels, frame_channels):
    encoder, decoder = make_encoder(encoder_channels), make_decoder(kind)
    x = make_frames(frame_channels, batch)
    with torch.no_grad():
        ours = LatentModel(encoder, decoder, encoder_channels)(x)
        if encoder_channels == frame_channels:
            expected = decoder(encoder(x))
        elif encoder_channels == 1:
            expected = sum(decoder(encoder(x[:, channel : channel + 1])) for channel in range(3)) / 3
        else:
            expected = decoder(encoder(torch.cat([x, x, x], dim=1)))
    assert ours.shape == ((batch,) if kind == "classification" else (batch, 3, *SIZE))
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("encoder_channels", "frame_channels"), [(1, 3), (3, 1)])
def test_only_the_decoder_learns(encoder_channels, frame_channels):
    encoder = make_encoder(encoder_channels)
    model = LatentModel(encoder, make_decoder("classification"), encoder_channels).train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    optimizer = torch.optim.SGD([value for value in model.parameters() if value.requires_grad], lr=0.1)
    logits = model(make_frames(frame_channels))
    F.binary_cross_entropy_with_logits(logits, torch.tensor([0.0, 1.0, 1.0])).backward()
    assert all(value.grad is not None for value in model.decoder.parameters())
    assert all(value.grad is None for value in encoder.parameters())
    optimizer.step()
    assert model.decoder.training
    assert not encoder.training
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())


@pytest.mark.parametrize("kind", ["classification", "segmentation"])
def test_averaged_over_mirrored_frames_a_mirrored_frame_gets_the_mirrored_answer(kind):
    model = LatentModel(make_encoder(3), make_decoder(kind), 3)
    x = make_frames(3)
    swapped = [1, 0, 2]
    with torch.no_grad():
        alone = model(x)
        model.averages_mirrored, model.mirrored = True, swapped
        answer, mirrored = model(x), model(x.flip(-1))
    expected = answer if kind == "classification" else answer.flip(-1)[:, swapped]
    torch.testing.assert_close(mirrored, expected, atol=1e-5, rtol=1e-5)
    assert (answer - alone).abs().max() > 1e-5
