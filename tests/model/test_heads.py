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


def test_an_ensemble_averages_probabilities_and_trains_each_unet_by_itself():
    torch.manual_seed(7)
    model = SegmentationModel(16, 3, base_channels=4, ensemble=3)
    z = torch.randn(2, 16, *SIZE, generator=torch.Generator().manual_seed(0))
    logits = model(lambda: z)
    torch.testing.assert_close(logits, torch.cat([unet(z) for unet in model.unets]))
    logits[2:4].sum().backward()
    assert [unet.outc.conv.weight.grad is not None for unet in model.unets] == [True] * 3
    assert [bool(unet.outc.conv.weight.grad.any()) for unet in model.unets] == [False, True, False]
    model.eval()
    with torch.no_grad():
        each = torch.stack([unet(z).softmax(1) for unet in model.unets])
        torch.testing.assert_close(model(z).softmax(1), each.mean(0))
    assert each.std(0).mean() > 0.01  # other first weights


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


def test_the_top_head_is_the_mean_of_the_highest_hundredth():
    torch.manual_seed(1)
    model = ClassificationModel(16, SIZE, base_channels=4, head="top").eval()
    z = torch.randn(3, 16, *SIZE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits, maps = model(z), model.unet(z)
    count = round(0.01 * SIZE[0] * SIZE[1])
    expected = [sorted(frame.flatten().tolist())[-count:] for frame in maps]
    torch.testing.assert_close(logits, torch.tensor([sum(values) / count for values in expected]))
    assert all(name.startswith("unet.") for name in model.state_dict())


def test_the_mirror_head_sees_left_minus_right():
    torch.manual_seed(1)
    model = ClassificationModel(16, SIZE, base_channels=4, mirror=True).eval()
    z = torch.randn(2, 16, *SIZE, generator=torch.Generator().manual_seed(0))
    columns = torch.arange(SIZE[1] - 1, -1, -1)
    seen = torch.cat((z, z - z[..., columns]), 1)
    with torch.no_grad():
        torch.testing.assert_close(model(z), model.project(model.unet(seen).flatten(1))[:, 0])


@pytest.mark.parametrize(("how", "axes"), [("unit", [1]), ("frame", [2, 3])])
def test_normalized_latents_reach_every_unet(how, axes):
    torch.manual_seed(1)
    z = torch.randn(2, 16, *SIZE, dtype=torch.float64) * 5 + 3
    off = z - z.mean(axes, keepdim=True) if how == "frame" else z
    expected = off / off.square().mean(axes, keepdim=True).sqrt()
    mirrored = ClassificationModel(16, SIZE, base_channels=4, head="top", mirror=True, normalize=how).eval().double()
    several = SegmentationModel(16, 3, base_channels=4, ensemble=2, normalize=how).double()
    with torch.no_grad():
        seen = torch.cat((expected, expected - expected.flip(-1)), 1)
        logits = mirrored.unet(seen).float().flatten(1).topk(mirrored.top).values.mean(1)
        torch.testing.assert_close(mirrored(lambda: z), logits, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(
            several(z), torch.cat([unet(expected) for unet in several.unets]), atol=1e-5, rtol=1e-5
        )


@pytest.mark.parametrize("kind", ["classification", "segmentation"])
def test_averaged_over_mirrored_frames_a_mirrored_frame_gets_the_mirrored_answer(kind):
    model = LatentModel(make_encoder(3), make_decoder(kind), 3)
    x = make_frames(3)
    swapped = [1, 0, 2]
    with torch.no_grad():
        alone = model(x)
        model.flip_average, model.mirrored = True, swapped
        answer, mirrored = model(x), model(x.flip(-1))
    expected = answer if kind == "classification" else answer.flip(-1)[:, swapped]
    torch.testing.assert_close(mirrored, expected, atol=1e-5, rtol=1e-5)
    assert (answer - alone).abs().max() > 1e-5
