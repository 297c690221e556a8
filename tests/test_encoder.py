"""The sparse encoder against the dense one, its size, and that frozen stays frozen."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from src.encoder import CUTSEncoder


def make_encoder(channels: int, num_kernels: int = 16, seed: int = 0) -> CUTSEncoder:
    """An encoder in eval mode whose BatchNorm layers have statistics and weights as after training."""
    torch.manual_seed(seed)
    encoder = CUTSEncoder(channels, num_kernels)
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.2, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
    return encoder.eval()


def make_images(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def pick(z: torch.Tensor, hw: torch.Tensor) -> torch.Tensor:
    """Of dense latents [B, L, H, W] those at places [B, S, 2] -> [B, S, L]."""
    return torch.stack([image[:, places[:, 0], places[:, 1]].T for image, places in zip(z, hw, strict=True)])


def border_and_inner(height: int, width: int) -> torch.Tensor:
    """The corners, places on and near every border and some in the middle: [1, S, 2]."""
    near_rows = [*range(10), height // 2, *range(height - 10, height)]
    near_cols = [*range(10), width // 2, *range(width - 10, width)]
    places = [(row, col) for row in (0, height - 1, height // 2, height // 3) for col in near_cols]
    places += [(row, col) for row in near_rows for col in (0, width - 1, width // 2, width // 3)]
    places += [(row, col) for row in (3, 7, height - 8) for col in (5, 8, width - 9)]
    return torch.tensor(places)[None]


ENCODERS = {channels: make_encoder(channels, num_kernels=4) for channels in (1, 3)}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    channels=st.sampled_from([1, 3]),
    size=st.tuples(st.integers(9, 40), st.integers(9, 40)),
    batch=st.integers(1, 2),
    seed=st.integers(0, 1000),
    data=st.data(),
)
def test_at_equals_forward_anywhere(channels, size, batch, seed, data):
    place = st.tuples(st.integers(0, size[0] - 1), st.integers(0, size[1] - 1))
    count = data.draw(st.integers(1, 6))
    hw = torch.tensor([data.draw(st.lists(place, min_size=count, max_size=count)) for _ in range(batch)])
    x = make_images(batch, channels, *size, seed=seed)
    encoder = ENCODERS[channels]
    with torch.no_grad():
        torch.testing.assert_close(encoder.at(x, hw), pick(encoder(x), hw), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("channels", "size"), [(1, (9, 9)), (3, (9, 23)), (1, (16, 17)), (3, (18, 11))])
def test_at_equals_forward_at_every_place_of_a_small_image(channels, size):
    hw = torch.cartesian_prod(torch.arange(size[0]), torch.arange(size[1])).expand(2, -1, -1)
    x, encoder = make_images(2, channels, *size), make_encoder(channels)
    with torch.no_grad():
        torch.testing.assert_close(encoder.at(x, hw), pick(encoder(x), hw), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("channels", "size"), [(1, (480, 640)), (3, (120, 160))])
def test_at_equals_forward_in_whole_frames(channels, size):
    x, hw, encoder = make_images(1, channels, *size), border_and_inner(*size), make_encoder(channels)
    with torch.no_grad():
        sparse, dense = encoder.at(x, hw), pick(encoder(x), hw)
    assert sparse.shape == (1, hw.shape[1], 128)
    assert dense.std() > 0.05  # else the comparison would say nothing
    torch.testing.assert_close(sparse, dense, atol=1e-5, rtol=0)


@pytest.mark.parametrize("channels", [1, 3])
def test_gradients_of_at_equal_the_dense_ones(channels):
    encoder = make_encoder(channels)
    x = make_images(2, channels, 26, 31)
    hw = border_and_inner(26, 31).expand(2, -1, -1)
    weights = make_images(2, hw.shape[1], 128, seed=5)
    named = {name: value for name, value in encoder.named_parameters() if not name.startswith("recon")}
    sparse = torch.autograd.grad((encoder.at(x, hw) * weights).sum(), list(named.values()))
    dense = torch.autograd.grad((pick(encoder(x), hw) * weights).sum(), list(named.values()))
    assert len(named) == 16
    for name, ours, theirs in zip(named, sparse, dense, strict=True):
        assert theirs.abs().max() > 0, name
        assert ((ours - theirs).norm() / theirs.norm()).item() < 1e-4, name


def test_at_in_train_mode_updates_batch_norm_and_passes_gradients():
    encoder = make_encoder(1, 2).train()
    before = encoder.batch_norm4.running_mean.clone()
    encoder.at(make_images(2, 1, 20, 20), torch.tensor([[[0, 0], [10, 9]], [[19, 3], [8, 8]]])).sum().backward()
    assert not torch.equal(before, encoder.batch_norm4.running_mean)
    assert encoder.conv1.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(("channels", "count"), [(1, 269_920), (3, 270_720)])
def test_parameter_count(channels, count):
    named = CUTSEncoder(channels).named_parameters()
    assert sum(value.numel() for name, value in named if not name.startswith("recon")) == count


def test_frozen_cannot_be_woken():
    encoder = make_encoder(1, 2).train()
    assert encoder.freeze() is encoder
    whole = nn.Sequential(nn.Sequential(encoder), nn.BatchNorm2d(encoder.latent_dim))
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    for wake in (encoder.train, whole.train, lambda: whole.eval().train(True)):
        wake()
        assert not any(module.training for module in encoder.modules())
        assert not any(value.requires_grad for value in encoder.parameters())
    assert whole.training
    assert whole[1].training
    whole(make_images(2, 1, 12, 12)).sum().backward()
    encoder.at(make_images(2, 1, 12, 12), torch.zeros(2, 1, 2, dtype=torch.int64))
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())


def test_unfrozen_still_trains():
    encoder = make_encoder(1, 2).train()
    assert all(module.training for module in encoder.modules())


@pytest.mark.parametrize(("channels", "num_kernels", "patch_size"), [(1, 2, 5), (3, 4, 7)])
def test_from_state_dict_reads_the_sizes_off_the_weights(channels, num_kernels, patch_size):
    state = CUTSEncoder(channels, num_kernels, patch_size).state_dict()
    encoder = CUTSEncoder.from_state_dict(state)
    assert (encoder.in_channels, encoder.num_kernels, encoder.patch_size) == (channels, num_kernels, patch_size)
    assert encoder.latent_dim == 8 * num_kernels
    assert all(torch.equal(value, state[name]) for name, value in encoder.state_dict().items())


@pytest.mark.parametrize("name", ["conv1.weight", "recon.recon.weight", "batch_norm3.running_var", "conv4.bias"])
def test_from_state_dict_names_what_is_missing(name):
    state = CUTSEncoder(1, 2).state_dict()
    del state[name]
    with pytest.raises(ValueError, match=name):
        CUTSEncoder.from_state_dict(state)
