"""What is put beside the latents, against the encoder alone."""

import pytest
import torch
import torch.nn.functional as F

from src.encoder import CUTSEncoder
from src.networks.decoder_input import COARSER, Pixels, decoder_input


@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize("pixels", [False, True])
def test_channels_are_latents_then_coarse_ones_then_pixels(coarse: bool, pixels: bool) -> None:
    torch.manual_seed(0)
    encoder = CUTSEncoder(3, num_kernels=2).freeze()
    x = torch.rand(2, 3, 32, 44) * 2 - 1
    seen = decoder_input(encoder, coarse, pixels)
    with torch.no_grad():
        found = seen.folded()(x)
        parts = [encoder(x)]
        if coarse:
            small = x.unfold(2, COARSER, COARSER).unfold(3, COARSER, COARSER).mean((-2, -1))
            parts.append(F.interpolate(encoder(small), size=(32, 44), mode="bilinear"))
        if pixels:
            parts.append(x)
    assert found.shape[1] == seen.latent_dim
    torch.testing.assert_close(found, torch.cat(parts, 1), atol=1e-5, rtol=1e-5)


def test_coarse_latents_lie_where_they_were_computed_whatever_the_size() -> None:
    torch.manual_seed(0)
    encoder = CUTSEncoder(1, num_kernels=2).freeze()
    seen = decoder_input(encoder, coarse=True, pixels=False)
    whole = torch.rand(1, 1, 80, 96) * 2 - 1
    with torch.no_grad():
        found, expected = seen(whole[..., :79, :93])[:, 16:], seen(whole)[:, 16:]
    assert found.shape[-2:] == (79, 93)
    torch.testing.assert_close(found[..., :36, :52], expected[..., :36, :52])  # out of the border's reach


def test_raw_pixels_have_nothing_beside_them() -> None:
    assert isinstance(decoder_input(Pixels(3), coarse=True, pixels=True), Pixels)
