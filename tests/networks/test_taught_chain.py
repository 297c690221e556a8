"""The chain of three scripts on latents that know anatomy: the encoder that ships, and small decoders on it."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_scripts import TINY, run_here

from model import DECODERS
from src import load_classifier, load_segmenter
from src.export import Exported
from src.files import read_json
from src.networks import checkpoint as checkpoints
from src.networks.checkpoint import same_weights
from src.networks.features import TaughtEncoder
from src.networks.taught import read_taught
from src.prediction.inputs import from_array

RUN, CLASSIFIER = "dmr_runs_seg_h_enc_h_dec", "dmr_runs_classification_h_enc_h_dec"
LENGTH = ["max_epochs=8", "min_steps_per_epoch=5", "patience=null", "select_by=last", "precision=fp32"]
LINEAR = [*TINY, "encoder=taught", "decoder=linear", "optimizer=adamw", "learning_rate=0.01", "weight_decay=0.05"]
LINEAR += ["loss=ce+dice", "decide=whole", *LENGTH]


def places(phantom: Path, root: Path) -> list[str]:
    return ["--set", f"dataset_path={phantom}", f"output_root={root}"]


@pytest.fixture(scope="module")
def root(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("taught")
    for flags in ([], ["--gray"]):
        run_here("main_latent.py", *flags, *places(phantom, root), *TINY, "encoder=taught")
    run_here("main_seg.py", *places(phantom, root), *LINEAR)
    return root


def test_the_encoder_is_taken_without_training_and_names_no_patient(root: Path) -> None:
    found = checkpoints.load(root / "dmr_runs_gray" / "checkpoints" / "dmr_run.pty")
    assert TaughtEncoder.owns(found.model)
    assert (found.patients, found.epoch) == ([], 0)
    expected = TaughtEncoder.from_taught(read_taught()).state_dict()
    assert same_weights(dict(found.model), dict(expected))
    metrics = read_json(root / "dmr_runs" / "results" / "metrics.json", "metrics")
    assert metrics["epochs"] == 0
    assert (root / "dmr_runs" / "results" / "figures" / "latents.png").is_file()


def test_an_encoder_of_earlier_weights_is_named(root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """They stay in the folder after an update of this software."""
    checkpoints.load_encoder(root, "heat", "taught")
    assert "weights that ship" not in caplog.text
    shutil.copytree(root / "dmr_runs", tmp_path / "dmr_runs")
    path = tmp_path / "dmr_runs" / "checkpoints" / "dmr_run.pty"
    checkpoints.save(path, replace(checkpoints.load(path), model=TaughtEncoder(2).state_dict()))
    encoder, _ = checkpoints.load_encoder(tmp_path, "heat", "taught")
    assert encoder.latent_dim == 8
    assert f"{path}: not the weights that ship today" in caplog.text
    assert "--overwrite" in caplog.text


def test_a_pretrained_encoder_is_not_replaced_without_being_asked(
    root: Path, phantom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(root / "split.json", tmp_path)
    tiny = ["num_kernels=2", "sampled_patches_per_image=4", "max_epochs=1", "min_steps_per_epoch=1"]
    run_here("main_latent.py", *places(phantom, tmp_path), *TINY, *tiny)
    run = tmp_path / "dmr_runs" / "checkpoints" / "dmr_run.pty"
    before = run.read_bytes()
    with pytest.raises(SystemExit):
        run_here("main_latent.py", "--resume", *places(phantom, tmp_path), *TINY, "encoder=taught")
    assert "a pretrained encoder" in capsys.readouterr().err
    assert run.read_bytes() == before


def test_a_linear_decoder_learns_and_leaves_the_encoder_as_it_is(root: Path) -> None:
    run = root / RUN / "checkpoints" / "dmr_run.pty"
    found = checkpoints.load(run)
    assert set(found.model) == {"linear.weight", "linear.bias"}
    assert found.palette == "jet"
    encoder = checkpoints.load(root / "dmr_runs" / "checkpoints" / "dmr_run.pty").model
    assert same_weights(found.encoder, encoder)
    losses = [entry["train/loss"] for entry in found.history]
    assert losses[-1] < 0.75 * losses[0]


def test_a_decoder_needs_no_encoder_run_before_it(root: Path, phantom: Path, tmp_path: Path) -> None:
    """In float32."""
    shutil.copy(root / "split.json", tmp_path)
    run_here("main_seg.py", *places(phantom, tmp_path), *LINEAR)
    one, other = (checkpoints.load(place / RUN / "checkpoints" / "dmr_run.pty") for place in (root, tmp_path))
    assert same_weights(one.model, other.model)
    assert same_weights(one.encoder, other.encoder)


def test_testing_resuming_predicting_and_exporting_agree(root: Path, phantom: Path, tmp_path: Path) -> None:
    """In float32."""
    again = tmp_path / "again"
    shutil.copytree(root, again)
    before = read_json(root / RUN / "results" / "metrics.json", "metrics")
    run_here("main_seg.py", "--mode", "test", *places(phantom, again), *LINEAR)
    assert read_json(again / RUN / "results" / "metrics.json", "metrics") == before
    run_here("main_seg.py", "--resume", *places(phantom, again), *LINEAR, "max_epochs=9")
    run_here(
        "main_seg.py", *places(phantom, tmp_path), "--encoder-ckpt-root", str(root), "--set", *LINEAR, "max_epochs=9"
    )
    one, other = (checkpoints.load(at / RUN / "checkpoints" / "last.pty") for at in (again, tmp_path))
    assert same_weights(one.model, other.model)

    trained = load_segmenter(root / RUN, "cpu").trained
    picture = np.array(Image.open(sorted(phantom.rglob("*_snap.jpg"))[0]).convert("RGB").resize((64, 48)))
    with torch.no_grad():
        exported = Exported(trained.model)(torch.from_numpy(picture.transpose(2, 0, 1).copy())[None].float())
    (outputs,) = trained([trained.frame_of(from_array(picture))])
    torch.testing.assert_close(outputs.logits.softmax(0), exported[0], atol=1e-4, rtol=1e-3)


def test_an_encoder_of_the_other_kind_is_one_line(
    root: Path, phantom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for flags, words in (
        (["encoder=cuts", "decoder=linear", *TINY], "encoder: taught there, cuts in the settings; this makes one"),
        ([*LINEAR, "decoder_input=random"], "encoder: taught: goes with decoder_input: latents, levels or pixels"),
    ):
        with pytest.raises(SystemExit):
            run_here("main_seg.py", *places(phantom, tmp_path), *flags, "--encoder-ckpt-root", str(root))
        assert words in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run_here("main_seg.py", "--baselines", "--overwrite", *places(phantom, tmp_path), *LINEAR)
    assert "--baselines: compares latents of encoder: cuts" in capsys.readouterr().err


def test_folds_take_the_encoder_that_ships_and_diagnoses_see_its_latents(
    root: Path, phantom: Path, tmp_path: Path
) -> None:
    kfold = ["protocol=kfold", "folds=2", "max_epochs=1", "min_steps_per_epoch=1"]
    run_here("main_seg.py", *places(phantom, tmp_path), *LINEAR, *kfold)
    for fold in (1, 2):
        trial = tmp_path / "kfold_2" / "seed_2021" / f"fold_{fold}"
        encoder = checkpoints.load(trial / RUN / "checkpoints" / "dmr_run.pty").encoder
        assert same_weights(encoder, dict(TaughtEncoder.from_taught(read_taught()).state_dict()))
        assert not (trial / "dmr_runs").exists()  # nothing is pretrained
    settings = [*TINY, "encoder=taught", "base_channels=2", "strata=[]"]
    run_here("main_binary.py", *places(phantom, root), *settings)
    assert 0 <= load_classifier(root / CLASSIFIER, "cpu").predict(np.zeros((48, 64), np.uint8)).probability <= 1


def test_the_registry_knows_both_decoders() -> None:
    z = torch.randn(2, 12, 32, 32)
    for kind in DECODERS.values():
        assert kind(12, 5)(z).shape == (2, 5, 32, 32)
