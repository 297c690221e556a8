"""The weights that ship: their file, their features, and levels that need no modality."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from model.unet import UNet
from src.classes import Classes
from src.datasets.snapshots import palette_colours
from src.errors import UserError
from src.networks.features import TaughtEncoder, maps_of
from src.networks.levels import NormalisedLevels
from src.networks.taught import SHIPPED, Taught, read_taught, write_taught

LEAST = (0.0, 0.5, 0.0)


@pytest.fixture
def taught() -> Taught:
    torch.manual_seed(1)
    state = UNet(1, 3, 2).state_dict()
    names = ("left_breast", "right_breast", "ROI")
    return Taught(state, Classes(names, 2), 2, (48, 64), "nothing", torch.randn(8), torch.rand(8) + 0.5, LEAST)


def test_what_is_written_is_read(taught: Taught, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    write_taught(taught, path)
    found = read_taught(path)
    assert replace(found, state={}, path=SHIPPED, feature_mean=0, feature_std=0) == replace(
        taught, state={}, feature_mean=0, feature_std=0
    )
    for name, value in taught.state.items():
        torch.testing.assert_close(found.state[name], value, rtol=1e-3, atol=1e-3)  # half precision
    torch.testing.assert_close(found.feature_std, taught.feature_std, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("said", "tensors"),
    [
        ({"classes": "left_breast,right_breast"}, {}),
        ({"base_channels": "4"}, {}),
        ({"background": "skin"}, {}),
        ({"image_size": "48"}, {}),
        ({"least": "0,0"}, {}),
        ({"least": "0,0,nan"}, {}),
        ({}, {"outc.conv.bias": torch.full((3,), torch.nan)}),
        ({}, {"features.std": torch.zeros(8)}),
        ({}, {"features.mean": torch.zeros(9)}),
        ({}, {"more": torch.zeros(1)}),
    ],
)
def test_what_does_not_belong_together_is_one_line(
    taught: Taught, tmp_path: Path, said: dict[str, str], tensors: dict[str, torch.Tensor]
) -> None:
    path = tmp_path / "w.safetensors"
    write_taught(taught, path)
    metadata = {"classes": "left_breast,right_breast,ROI", "background": "ROI", "base_channels": "2"}
    metadata |= {"image_size": "48,64", "taught_on": "nothing", "least": "0,0,0"}
    save_file(load_file(path) | tensors, path, metadata | said)
    with pytest.raises(UserError, match=r"w\.safetensors: damaged"):
        read_taught(path)


def test_a_missing_or_a_cut_file_is_one_line(taught: Taught, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    with pytest.raises(UserError, match="no weights there"):
        read_taught(path)
    write_taught(taught, path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match="damaged"):
        read_taught(path)


def test_the_file_in_the_repository_is_small_and_whole() -> None:
    found = read_taught()
    assert SHIPPED.stat().st_size < 5 * 2**20
    assert found.classes.names[found.classes.background] == "ROI"
    assert {"left_nipple", "right_nipple", "neck"} < set(found.classes.names)


def test_levels_know_neither_gain_nor_modality() -> None:
    """In float32."""
    level = np.clip(np.random.default_rng(0).normal(120, 40, (48, 64)), 0, 255).round().astype(np.uint8)
    gray = torch.from_numpy(level)[None, None].float() / 127.5 - 1
    found = NormalisedLevels()(gray)
    torch.testing.assert_close(found.mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.std(), torch.tensor(1.0), atol=1e-2, rtol=0)
    torch.testing.assert_close(NormalisedLevels()(gray * 0.5 + 0.1), found, atol=0.02, rtol=0.02)
    for palette in ("jet", "inferno"):
        colours = torch.from_numpy(palette_colours(palette)[level]).permute(2, 0, 1)[None].float() / 127.5 - 1
        assert (NormalisedLevels(palette)(colours) - found).abs().mean() < 0.05
    assert NormalisedLevels()(torch.zeros(1, 1, 32, 32)).abs().max() == 0


def test_features_are_the_standardised_maps_of_the_taught_network(taught: Taught) -> None:
    """In float32."""
    frames = torch.rand(2, 1, 48, 64) * 2 - 1
    encoder = TaughtEncoder.from_taught(taught)
    levels, unet, seen = NormalisedLevels()(frames), taught.unet(), {}
    for name in ("up2", "up3", "up4"):
        getattr(unet, name).register_forward_hook(lambda _, __, out, name=name: seen.update({name: out}))
    logits = unet(levels)
    coarse = cv2.resize(seen["up2"][0, 1].numpy(), (64, 48), interpolation=cv2.INTER_LINEAR)
    z = encoder(frames)
    assert z.shape == (2, 8, 48, 64)
    raw = z * encoder.features_std[:, None, None] + encoder.features_mean[:, None, None]
    torch.testing.assert_close(raw[:, :2], seen["up4"], atol=1e-5, rtol=1e-4)
    np.testing.assert_allclose(raw[0, 5], coarse, atol=1e-4)
    torch.testing.assert_close(unet.outc(raw[:, :2]), logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(encoder.folded()(frames), z, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(maps_of(unet, levels), raw, atol=1e-5, rtol=1e-4)


def test_the_taught_encoder_stays_as_it_is(taught: Taught) -> None:
    encoder = TaughtEncoder.from_taught(taught).train()
    assert not any(module.training for module in encoder.modules())
    assert not any(weight.requires_grad for weight in encoder.parameters())
    again = TaughtEncoder.from_state_dict(encoder.state_dict())
    frames = torch.rand(1, 3, 48, 64)
    torch.testing.assert_close(again(frames), encoder(frames))
    damaged = encoder.state_dict() | {"features_mean": torch.zeros(12)}
    with pytest.raises(ValueError, match="of another size"):
        TaughtEncoder.from_state_dict(damaged)
