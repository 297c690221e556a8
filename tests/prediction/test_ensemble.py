"""The models of k-fold together: the mean of their probabilities, then the one decision, in both tasks."""

import csv
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from src import cli, load_classifier, load_segmenter
from src.errors import UserError
from src.evaluation.calibration import choose_threshold
from src.evaluation.decision import chosen_classes
from src.networks import checkpoint as checkpoints
from src.prediction.run import predict_files
from src.training.run_folder import RunFolder

MakeRun = Callable[..., Path]
PATIENTS = (["0001", "0002"], ["0002", "0003"], ["0003", "0001"])


@pytest.fixture
def make_folds(make_run: MakeRun, tmp_path: Path) -> Callable[[str], Path]:
    """Three folds of other weights, pooled as k-fold leaves them."""

    def make(task: str) -> Path:
        run = make_run(task)
        root = tmp_path / "root" / "kfold_3"
        name = "dmr_runs_seg_h_enc_h_dec" if task == "segmentation" else "dmr_runs_classification_h_enc_h_dec"
        entries = []
        for fold, patients in enumerate(PATIENTS, start=1):
            trial = root / "seed_2021" / f"fold_{fold}" / name
            shutil.copytree(run, trial)
            best = RunFolder(trial).best
            found = checkpoints.load(best)
            generator = torch.Generator().manual_seed(fold)
            model = {
                key: value + 0.3 * torch.randn(value.shape, generator=generator) if "bias" in key else value
                for key, value in found.model.items()
            }
            checkpoints.save(best, replace(found, model=model, patients=patients))
            entries.append({"seed": 2021, "fold": fold, "folder": f"kfold_3/seed_2021/fold_{fold}/{name}"})
        results = root / name / "results"
        results.mkdir(parents=True)
        (results / "trials.json").write_text(json.dumps({"protocol": "kfold", "trials": entries}), encoding="utf-8")
        (results / "metrics.json").write_text("{}", encoding="utf-8")
        lines = ["part,patient,frame,label,probability,stratum,threshold,temperature"]
        for patient, label, probability in (("0001", 1, 0.7), ("0002", 0, 0.6), ("0003", 0, 0.2)):
            lines.append(f"test,{patient},{patient}.jpg,{label},{probability},,0.5,1.0")
        (results / "predictions.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return root

    return make


@pytest.fixture
def heat_map() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)


def frames_of(array: np.ndarray) -> torch.Tensor:
    from src.datasets.torch_datasets import as_input

    return as_input(torch.from_numpy(array.transpose(2, 0, 1)[None]).float())


def test_regions_are_decided_on_the_mean_of_the_probabilities(
    make_folds: Callable[[str], Path], heat_map: np.ndarray
) -> None:
    root = make_folds("segmentation")
    folds = [load_segmenter(path, "cpu") for path in sorted(root.glob("seed_2021/*/*"))]
    with torch.no_grad():
        single = [fold.trained.model(frames_of(heat_map)).softmax(1).numpy() for fold in folds]
    mean = np.mean(single, axis=0)
    found = load_segmenter(root, "cpu").predict(heat_map)
    np.testing.assert_array_equal(found.labels, chosen_classes(mean, "argmax", 4)[0])
    assert any((found.labels != chosen_classes(one, "argmax", 4)[0]).any() for one in single)
    chosen = mean[0].max(0)
    for index, confidence in enumerate(found.confidences):
        if confidence is not None:
            assert confidence == pytest.approx(chosen[found.labels == index].mean(), abs=1e-5)
    alone = [fold.predict(heat_map).distance for fold in folds]
    assert found.distance == pytest.approx(np.mean(alone))


def test_the_probability_is_the_mean_and_its_threshold_comes_from_unseen_patients(
    make_folds: Callable[[str], Path], heat_map: np.ndarray, tmp_path: Path
) -> None:
    root = make_folds("classification")
    folds = [load_classifier(path, "cpu") for path in sorted(root.glob("seed_2021/*/*"))]
    found = load_classifier(root / "dmr_runs_classification_h_enc_h_dec", "cpu").predict(heat_map)
    assert found.probability == pytest.approx(np.mean([fold.predict(heat_map).probability for fold in folds]))
    assert found.threshold == choose_threshold(np.array([1, 0, 0]), np.array([0.7, 0.6, 0.2]))
    source = tmp_path / "frame.png"
    Image.fromarray(heat_map).save(source)
    predict_files(root, "classification", source, tmp_path / "out", "cpu")
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "of each patient, by the models of k-fold that had not seen the patient" in page


def test_frames_of_patients_that_models_were_taught_on_say_so(
    make_folds: Callable[[str], Path], heat_map: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, source = make_folds("segmentation"), tmp_path / "frames"
    for patient in ("0001", "0009"):
        (source / patient).mkdir(parents=True)
        Image.fromarray(heat_map).save(source / patient / f"T{patient}.1.1.S.2020-01-01.00_snap.png")
    predict_files(root, "segmentation", source, tmp_path / "out", "cpu")
    with (tmp_path / "out" / "frames.csv").open(encoding="utf-8", newline="") as file:
        assert [row["models_taught"] for row in csv.DictReader(file)] == ["2 of 3", "0 of 3"]
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert page.count("2 of 3 models were trained or chosen on this patient.") == 1
    assert "1 frame(s) are of patients that some of the 3 models were trained or chosen on" in capsys.readouterr().err


def test_an_output_root_is_told_which_folder_holds_kfold(
    make_folds: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_folds("segmentation")
    command = ["main_seg.py", "--mode", "predict", "--input", "frames", "--ensemble"]
    monkeypatch.setattr(sys, "argv", [*command, str(root)])
    assert cli.parse_decoder("").run == root
    monkeypatch.setattr(sys, "argv", [*command, str(root.parent)])
    with pytest.raises(SystemExit):
        cli.parse_decoder("")
    assert f"no finished k-fold; name {root}" in capsys.readouterr().err


def test_what_does_not_belong_together_is_refused(make_folds: Callable[[str], Path]) -> None:
    root = make_folds("segmentation")
    run = root / "dmr_runs_seg_h_enc_h_dec"
    shutil.copytree(run, root / "dmr_runs_seg_g_enc_h_dec")
    with pytest.raises(UserError, match="several runs lie there"):
        load_segmenter(root)
    trials = run / "results" / "trials.json"
    trials.write_text(trials.read_text(encoding="utf-8").replace("kfold_3/seed", "../seed"), encoding="utf-8")
    load_segmenter(run, "cpu")  # a folder may be called otherwise by now
    trials.write_text(trials.read_text(encoding="utf-8").replace("seed_2021", "..", 1), encoding="utf-8")
    with pytest.raises(UserError, match="outside of its own"):
        load_segmenter(run)
    trials.write_text('{"protocol": "published", "trials": [{"folder": "a/b", "seed": 0}]}', encoding="utf-8")
    with pytest.raises(UserError, match="not of k-fold"):
        load_segmenter(run)
