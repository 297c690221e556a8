"""The diagnosis on features that networks taught on drawings find: trained, exported, and without any training."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_scripts import TINY, run_here

import src
from model.tumours import TumourModel
from model.unet import UNet
from src.datasets.augmentation import level_table
from src.errors import UserError
from src.export import export
from src.networks import checkpoint as checkpoints
from src.networks.build import frame_features
from src.networks.findings import FEATURES, FrameFeatures, TumourFinder, features_of
from src.networks.taught import read_taught

CLASSIFIER = "dmr_runs_classification_h_enc_h_dec"
SETTINGS = ["decoder_input=features", *[each for each in TINY if not each.startswith("image_size")], "strata=[]"]


def run_on(phantom: Path, root: Path, *flags: str) -> None:
    run_here("main_binary.py", *flags, "--set", f"dataset_path={phantom}", f"output_root={root}", *SETTINGS)


@pytest.fixture(scope="module")
def trained(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("features")
    run_on(phantom, root)
    return root / CLASSIFIER


@pytest.fixture(scope="module")
def frame(phantom: Path) -> np.ndarray:
    """A torso as gray levels [480, 640]."""
    path = next(path for path in sorted(phantom.rglob("*.jpg")) if not path.stem.endswith("_snap"))
    return np.asarray(Image.open(path).convert("L"))


def test_no_encoder_is_needed_and_the_networks_are_kept_with_the_run(trained: Path) -> None:
    found = checkpoints.load(trained / "checkpoints" / "dmr_run.pty")
    assert found.encoder is not None
    assert not found.encoder_patients
    own = frame_features().state_dict()
    assert all(torch.equal(value, own[name]) for name, value in found.encoder.items())
    assert found.model["mean"].shape == (len(FEATURES),)
    assert (found.model["std"] > 0).all()
    assert not (trained.parent / "dmr_runs").exists()


def test_a_run_answers_in_a_process_of_its_own(trained: Path, frame: np.ndarray) -> None:
    """Where no palette's table has been computed yet."""
    expected = src.load_classifier(trained, "cpu").predict(frame).probability
    level_table.cache_clear()
    assert src.load_classifier(trained, "cpu").predict(frame).probability == expected


def test_a_run_answers_through_the_networks_of_its_day(trained: Path, tmp_path: Path, frame: np.ndarray) -> None:
    """Those that ship today may be wider."""
    found = checkpoints.load(trained / "checkpoints" / "dmr_run.pty")
    weights = replace(read_taught(), base_channels=2, state=UNet(1, 8, 2).state_dict())
    narrow = FrameFeatures(TumourFinder(weights, TumourModel(3)))
    run = tmp_path / CLASSIFIER
    shutil.copytree(trained, run)
    checkpoints.save(run / "checkpoints" / "dmr_run.pty", replace(found, encoder=narrow.state_dict()))
    assert 0 <= src.load_classifier(run, "cpu").predict(frame).probability <= 1
    lacking = {name: value for name, value in narrow.state_dict().items() if "segmenter.inc" not in name}
    checkpoints.save(run / "checkpoints" / "dmr_run.pty", replace(found, encoder=lacking))
    with pytest.raises(UserError, match="no networks that find features"):
        src.load_classifier(run, "cpu")


def test_a_test_gives_the_same_scores_again(trained: Path, phantom: Path) -> None:
    scores = trained / "results" / "metrics.json"
    before = json.loads(scores.read_text())
    run_on(phantom, trained.parent, "--mode", "test")
    after = json.loads(scores.read_text())
    assert after["test/loss"] == before["test/loss"]


def test_shares_add_up_to_the_answer(trained: Path, frame: np.ndarray) -> None:
    classifier = src.load_classifier(trained, "cpu")
    found = classifier.predict(frame)
    assert [each.feature for each in found.features] == list(FEATURES)
    bias = float(classifier.trained.model.decoder.linear.bias)  # type: ignore[union-attr, arg-type]
    logit = float(np.log(found.probability / (1 - found.probability)))
    assert sum(each.share for each in found.features) + bias == pytest.approx(logit, abs=1e-4)
    assert found.excess is not None
    assert found.excess.shape == frame.shape
    mirrored = classifier.predict(np.ascontiguousarray(frame[:, ::-1]))
    for one, other in zip(found.features, mirrored.features, strict=True):
        assert other.value == pytest.approx(one.value, abs=0.15)  # the segmenter is not quite the same in a mirror


def test_without_any_run_there_is_evidence_alone(frame: np.ndarray, tmp_path: Path) -> None:
    found = src.load_classifier(device="cpu").predict(frame)
    assert (found.calibrated, found.threshold, found.reaches_threshold) == (None, None, None)
    evidence = {each.feature: each.value for each in found.features}["evidence"]
    assert found.probability == pytest.approx(1 / (1 + np.exp(-evidence)), abs=1e-5)
    Image.fromarray(frame).save(tmp_path / "frame.png")
    out = tmp_path / "out"
    run_here("main_binary.py", "--mode", "predict", "--input", str(tmp_path / "frame.png"), "--output", str(out))
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "uncalibrated" in page
    assert "diagnoses nobody" in page
    table = (out / "features.csv").read_text(encoding="utf-8-sig").splitlines()
    rows = {row["feature"]: row for row in csv.DictReader(table)}
    assert float(rows["evidence"]["value"]) == pytest.approx(evidence, abs=1e-4)
    assert (out / "overlays" / "frame.png").is_file()


def test_what_is_exported_answers_as_the_run(trained: Path, frame: np.ndarray, tmp_path: Path) -> None:
    path = export(trained, "torchscript", tmp_path / "classifier.pt")
    classifier = src.load_classifier(trained, "cpu")
    small = np.asarray(Image.fromarray(frame).resize((160, 120), Image.Resampling.BOX))
    colours = src.datasets.snapshots.palette_colours(classifier.trained.palette)[small]
    frames = torch.from_numpy(colours.transpose(2, 0, 1).copy()).float()[None]
    exported = torch.jit.load(path)(torch.cat([frames, frames]))  # type: ignore[no-untyped-call]
    assert exported[0].item() == pytest.approx(classifier.predict(colours).probability, abs=1e-4)


def test_a_region_that_is_not_there_differs_by_nothing(frame: np.ndarray) -> None:
    finder = frame_features().finder
    levels = torch.randn(2, 1, 120, 160)
    regions = torch.zeros(2, 6, 120, 160)
    regions[:, 0, 40:80, 20:70] = regions[:, 1, 40:80, 90:140] = 1
    with torch.no_grad():
        found = features_of(finder.tumours(levels, regions), levels, regions)
    assert found.isfinite().all()
    assert (found[:, FEATURES.index("nipples_mean")] == 0).all()
    left, right = levels[:, 0, 40:80, 20:70], levels[:, 0, 40:80, 90:140]
    expected = (left.mean((1, 2)) - right.mean((1, 2))).abs()
    torch.testing.assert_close(found[:, FEATURES.index("breasts_mean")], expected, rtol=1e-3, atol=1e-4)


def test_regions_cannot_be_found_in_features(phantom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run_here("main_seg.py", "--set", f"dataset_path={phantom}", f"output_root={tmp_path}", "decoder_input=features")
    assert "features: goes with the diagnosis" in capsys.readouterr().err
