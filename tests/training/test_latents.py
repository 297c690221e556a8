"""Latents kept in memory, on disk or not at all are the same; activations computed twice change no gradient."""

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from model.heads import LatentModel, SegmentationModel
from model.unet import UNet
from src.datasets.build import build_frames
from src.datasets.torch_datasets import FrameDataset, as_input
from src.encoder import CUTSEncoder
from src.networks.build import Pixels
from src.settings import LatentSettings, SegmentationSettings
from src.training import decoder_trainer
from src.training.latents import LatentStore

CPU = torch.device("cpu")
SIZE = (32, 40)


@pytest.fixture(scope="module")
def frames(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> FrameDataset:
    root = tmp_path_factory.mktemp("frames")
    fields = {"task": "latent", "modality": "heat", "learning_rate": 1e-3, "image_size": SIZE}
    return build_frames(LatentSettings(dataset_path=phantom, output_root=root, **fields)).train


def make_store(
    root: Path, memory: int, disk: int, channels: int = 3, bf16: bool = False, pixels: bool = False
) -> LatentStore:
    torch.manual_seed(3)
    encoder: torch.nn.Module = Pixels(channels)
    latent_dim = channels
    if not pixels:
        cuts = CUTSEncoder(channels, num_kernels=16)
        cuts(torch.randn(4, channels, *SIZE))  # BatchNorms with statistics of their own
        encoder, latent_dim = cuts.freeze().folded(), cuts.latent_dim
    model = LatentModel(encoder, SegmentationModel(latent_dim, 3, 2), channels)
    settings = SegmentationSettings.model_construct(
        output_root=root, latent_memory_mb=memory, latent_disk_mb=disk, precision="bf16" if bf16 else "fp32"
    )
    return LatentStore(model, settings, CPU)


def batch_of(frames: FrameDataset, places: list[int]) -> dict[str, torch.Tensor]:
    return frames.__getitems__(places)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize(
    ("memory", "disk", "kept"), [(0, 0, (0, 0)), (1, 0, (1, 0)), (0, 100, (0, 6)), (1, 100, (1, 5))]
)
def test_where_latents_are_kept_changes_nothing(
    frames: FrameDataset, tmp_path: Path, channels: int, bf16: bool, memory: int, disk: int, kept: tuple[int, int]
) -> None:
    # A frame's latents take 0.66 MB in float32: 1 MB holds one of a heat encoder's.
    plain = make_store(tmp_path, 0, 0, channels, bf16)
    store = make_store(tmp_path, memory, disk, channels, bf16)
    for places in ([0, 1, 2], [3, 4, 5], [5, 0, 3, 3]):
        batch = batch_of(frames, places)
        assert torch.equal(store(frames, batch), plain(frames, batch, keep=False))
    if channels == 3 and not bf16:
        assert (len(store.in_memory), len(store.on_disk)) == kept
    assert not list(tmp_path.iterdir())


def test_pixels_are_kept_in_the_number_format_of_the_run(frames: FrameDataset, tmp_path: Path) -> None:
    store = make_store(tmp_path, 0, 100, bf16=True, pixels=True)
    batch = batch_of(frames, [0, 1])
    first = store(frames, batch)
    assert len(store.on_disk) == 2
    assert torch.equal(store(frames, batch), first)
    assert torch.allclose(first[:, 0].float(), as_input(batch["frame"]), atol=1e-2)


def test_folded_latents_are_the_encoders(frames: FrameDataset) -> None:
    torch.manual_seed(1)
    encoder = CUTSEncoder(3, num_kernels=4)
    for _ in range(3):
        encoder(torch.randn(4, 3, *SIZE) * 2 + 1)
    encoder.freeze()
    x = torch.rand(3, 3, *SIZE) * 2 - 1
    torch.testing.assert_close(encoder.folded()(x), encoder(x), atol=1e-5, rtol=0)


def test_activations_computed_twice_change_no_gradient_and_no_statistic() -> None:
    torch.manual_seed(0)
    once = UNet(6, 3, 4).double().train()
    twice = copy.deepcopy(once)
    twice.checkpoint_activations = True
    x = torch.randn(4, 6, 33, 47, dtype=torch.float64)
    for unet in (once, twice):
        for _ in range(2):
            unet(x).square().mean().backward()
    torch.testing.assert_close(twice.state_dict(), once.state_dict(), atol=1e-12, rtol=1e-12)
    for a, b in zip(once.parameters(), twice.parameters(), strict=True):
        torch.testing.assert_close(b.grad, a.grad, atol=1e-12, rtol=1e-9)


def test_activations_computed_twice_keep_no_map_wider_than_the_base() -> None:
    unet = UNet(6, 3, 4).train()
    unet.checkpoint_activations = True
    x, kept = torch.ones(2, 6, 32, 32), list[int]()
    with torch.autograd.graph.saved_tensors_hooks(
        lambda saved: kept.append(saved.numel() * (saved.data_ptr() != x.data_ptr())) or saved, lambda saved: saved
    ):
        unet(x)
    # Beside the latents themselves, the largest are maps at full resolution of the base width, not the doubled ones.
    assert 0 < max(kept) <= 2 * 4 * 32 * 32


@pytest.mark.parametrize(
    ("device", "free", "twice"), [("cpu", 24e9, False), ("cpu", 10e9, True), ("cuda", 140e9, True)]
)
def test_activations_are_computed_twice_where_memory_is_short_and_on_a_gpu_that_others_share(
    monkeypatch: pytest.MonkeyPatch, device: str, free: float, twice: bool
) -> None:
    """The published gray batch needs about 13.8 GB in bfloat16."""
    monkeypatch.setattr(decoder_trainer, "free_memory", lambda _: free)
    decoder = SegmentationModel(64, 8)
    model = SimpleNamespace(decoder=decoder, images=lambda channels: 1)
    latents = SimpleNamespace(dtype=torch.bfloat16, memory_left=1)
    task: Any = SimpleNamespace(model=model, latents=latents, device=torch.device(device))
    parts: Any = SimpleNamespace(train=SimpleNamespace(cache=SimpleNamespace(shape=(1, 480, 640))))
    decoder_trainer.fit_into_memory(task, parts, SegmentationSettings.model_construct(batch_size=16))
    assert decoder.unet.checkpoint_activations == twice
    assert latents.memory_left == (0 if twice else 1)
