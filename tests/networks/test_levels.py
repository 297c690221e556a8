"""Training on levels, from random weights and from those that ship: trained, resumed, tested, predicted, exported."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_scripts import TINY_DECODER, run_here

from src import load_segmenter
from src.datasets.snapshots import palette_colours
from src.export import Exported
from src.files import read_json
from src.networks import checkpoint as checkpoints
from src.networks.checkpoint import same_weights
from src.networks.taught import read_taught
from src.prediction.inputs import from_array

RUN = "dmr_runs_seg_h_enc_h_dec"
LEVELS = [*TINY_DECODER, "decoder_input=levels", "augment=strong", "precision=fp32"]
LEVELS += ["max_epochs=2", "min_steps_per_epoch=2", "patience=null", "select_by=last"]
DRAWN = [*LEVELS, "init=drawn", "base_channels=24", "learning_rate=0.000001"]


def train(phantom: Path, root: Path, *settings: str, flags: tuple[str, ...] = ()) -> Path:
    run_here("main_seg.py", *flags, "--set", f"dataset_path={phantom}", f"output_root={root}", *settings)
    return root / RUN


@pytest.fixture(scope="module")
def run(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(phantom, tmp_path_factory.mktemp("levels"), *LEVELS)


@pytest.fixture(scope="module")
def drawn(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(phantom, tmp_path_factory.mktemp("drawn"), *DRAWN)


def test_a_run_keeps_the_palette_of_its_heat_maps(run: Path) -> None:
    found = checkpoints.load(run / "checkpoints" / "dmr_run.pty")
    assert (found.palette, found.encoder) == ("jet", None)
    assert load_segmenter(run, "cpu").trained.palette == "jet"


def test_a_training_begins_with_the_weights_that_ship(drawn: Path) -> None:
    """In float32."""
    weights, taught = checkpoints.load(drawn / "checkpoints" / "last.pty").model, read_taught()
    for name, value in taught.state.items():
        if value.is_floating_point() and "running" not in name:
            torch.testing.assert_close(weights[f"unet.{name}"], value, atol=1e-4, rtol=0)


def test_what_does_not_fit_the_weights_that_ship_is_one_line_and_removes_no_run(
    run: Path, phantom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(run.parent, tmp_path / "out")
    for settings, words in (
        (["init=drawn", "decoder_input=pixels"], "goes with decoder_input: levels"),
        ([*LEVELS, "init=drawn"], "base_channels: 2 here, 24 in"),
    ):
        with pytest.raises(SystemExit):
            train(phantom, tmp_path / "out", *settings, flags=("--overwrite",))
        assert words in capsys.readouterr().err
        for name in ("results/metrics.json", "checkpoints/dmr_run.pty"):
            assert (tmp_path / "out" / RUN / name).read_bytes() == (run / name).read_bytes()


def test_it_goes_on_where_it_stopped(drawn: Path, phantom: Path, tmp_path: Path) -> None:
    """In float32."""
    root = tmp_path / "again"
    shutil.copytree(drawn.parent, root)
    train(phantom, tmp_path / "whole", *DRAWN, "max_epochs=3")
    train(phantom, root, *DRAWN, "max_epochs=3", flags=("--resume",))
    one, other = (checkpoints.load(at / RUN / "checkpoints" / "last.pty") for at in (root, tmp_path / "whole"))
    assert same_weights(one.model, other.model)


def test_testing_and_the_exported_network_see_what_prediction_sees(run: Path, phantom: Path) -> None:
    """In float32."""
    before = read_json(run / "results" / "metrics.json", "metrics")
    run_here("main_seg.py", "--mode", "test", "--set", f"dataset_path={phantom}", f"output_root={run.parent}", *LEVELS)
    assert read_json(run / "results" / "metrics.json", "metrics") == before
    trained = load_segmenter(run, "cpu").trained
    path = next(iter(sorted(phantom.rglob("*_snap.jpg"))))
    picture = np.array(Image.open(path).convert("RGB").resize((64, 48)))
    frames = torch.from_numpy(picture.transpose(2, 0, 1).copy())[None].float()
    with torch.no_grad():
        exported = Exported(trained.model)(frames)
    (outputs,) = trained([trained.frame_of(from_array(picture))])
    torch.testing.assert_close(outputs.logits.softmax(0), exported[0], atol=1e-4, rtol=1e-3)


def test_gray_frames_and_heat_maps_are_predicted_alike(drawn: Path) -> None:
    level = np.asarray(Image.fromarray(np.random.default_rng(3).integers(0, 256, (6, 8), np.uint8)).resize((64, 48)))
    segmenter = load_segmenter(drawn, "cpu")
    gray, heat = segmenter.predict(level), segmenter.predict(palette_colours("jet")[level])
    assert (gray.labels == heat.labels).mean() > 0.95


def test_gray_frames_can_be_trained_on(phantom: Path, tmp_path: Path) -> None:
    train(phantom, tmp_path, *LEVELS, "max_epochs=1", flags=("--gray_encoder", "--gray_decoder"))
    found = load_segmenter(tmp_path / "dmr_runs_seg_g_enc_g_dec", "cpu")
    assert found.predict(np.zeros((60, 80, 3), np.uint8)).labels.shape == (60, 80)
