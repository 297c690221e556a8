"""A decoder and a loss of one's own: one class and one function, each with one line in its registry."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_scripts import TINY, run_here
from torch import nn

from model import DECODERS
from model.heads import RegionDecoder
from src import load_segmenter
from src.datasets.torch_datasets import as_input
from src.errors import UserError
from src.export import export
from src.losses import LOSSES
from src.networks import checkpoint as checkpoints
from src.settings.file import load


class TwoLayers(RegionDecoder):
    """Two 1 x 1 convolutions."""

    def __init__(self, in_channels: int, num_classes: int, base_channels: int = 64) -> None:
        super().__init__(in_channels, num_classes, base_channels)
        widths = (in_channels, base_channels, num_classes)
        self.layers = nn.Sequential(nn.Conv2d(*widths[:2], 1), nn.Tanh(), nn.Conv2d(*widths[1:], 1))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layers(z)
        return logits


def brier(logits: torch.Tensor, target: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Mean squared error of the probabilities."""
    return ((logits.softmax(1) - target).square() * weights[:, None, None]).mean()


def test_a_decoder_and_a_loss_of_ones_own_train_test_predict_and_export(
    phantom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float32."""
    monkeypatch.setitem(DECODERS, "two layers", TwoLayers)
    monkeypatch.setitem(LOSSES, "brier", brier)
    own = [*TINY, "decoder=two layers", "loss=brier", "base_channels=5", "encoder=taught", "learning_rate=0.01"]
    own += ["max_epochs=3", "min_steps_per_epoch=4", "precision=fp32", "augment=flip"]
    places = ["--set", f"dataset_path={phantom}", f"output_root={tmp_path}"]
    run_here("main_seg.py", *places, *own)
    run_here("main_seg.py", "--mode", "test", *places, *own)
    run = tmp_path / "dmr_runs_seg_h_enc_h_dec"
    found = checkpoints.load(run / "checkpoints" / "dmr_run.pty")
    assert found.model["layers.0.weight"].shape[0] == 5
    losses = [entry["train/loss"] for entry in found.history]
    assert losses[-1] < 0.9 * losses[0] < 0.9  # cross-entropy of eight classes begins at 2

    segmenter = load_segmenter(run, "cpu")
    assert isinstance(segmenter.trained.model.decoder, TwoLayers)
    picture = np.array(Image.open(sorted(phantom.rglob("*_snap.jpg"))[0]).convert("RGB").resize((64, 48)))
    labels = segmenter.predict(picture).labels
    frames = torch.from_numpy(picture.transpose(2, 0, 1).copy())[None].float()
    exported = torch.jit.load(str(export(run, "torchscript", tmp_path / "network.pt")))
    assert (exported(frames).argmax(1)[0].numpy() == labels).mean() > 0.99
    with torch.no_grad():
        logits = segmenter.trained.model(as_input(frames))
    torch.testing.assert_close(exported(frames), logits.softmax(1), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("line", "known"), [("decoder: swin", "unet, linear"), ("loss: focal", "ce, ce+dice")])
def test_what_no_registry_names_is_one_line(tmp_path: Path, line: str, known: str) -> None:
    lines = ["task: segmentation", "encoder_modality: heat", "decoder_modality: heat", "learning_rate: 1e-3", line]
    path = tmp_path / "run.yaml"
    path.write_text("\n".join([*lines, f"dataset_path: '{tmp_path}'"]), encoding="utf-8")
    with pytest.raises(UserError, match=f"'.*': one of {known.replace('+', '.')} is accepted"):
        load(path)
