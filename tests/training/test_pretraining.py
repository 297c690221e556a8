"""Losses of frames that hold nothing to learn from."""

from pathlib import Path

import pytest
import torch

from src.encoder import CUTSEncoder
from src.settings import LatentSettings
from src.training.pretraining import Pretraining


@pytest.mark.parametrize("model_setting", ["full", "no_recon", "no_contrastive"])
@pytest.mark.parametrize("levels", [(0, 0), (7, 7), (255, 0)])
def test_frames_that_show_nothing_give_finite_losses_and_gradients(
    tmp_path: Path, levels: tuple[int, int], model_setting: str
) -> None:
    fields = {"task": "latent", "modality": "gray", "learning_rate": 1e-3, "sampled_patches_per_image": 4}
    settings = LatentSettings(dataset_path=tmp_path, image_size=(32, 40), model_setting=model_setting, **fields)
    encoder = CUTSEncoder(1, num_kernels=2).train()
    frames = torch.tensor(levels, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 32, 40)
    losses = Pretraining(encoder, settings, torch.device("cpu")).losses({"frame": frames})
    losses["loss"].backward()
    assert all(value.isfinite() for value in losses.values())
    assert all(weight.grad.isfinite().all() for weight in encoder.parameters() if weight.grad is not None)
