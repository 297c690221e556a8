"""Folds, seeds, the published protocol and baselines through the scripts, each score computed again from its file."""

import csv
import itertools
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from pycocotools import mask as coco_mask
from sklearn import metrics as sk
from test_scripts import TINY_DECODER, TINY_ENCODER, run_here

from src.datasets import splits
from src.evaluation import auc
from src.networks import checkpoint as checkpoints
from src.protocols.pooling import pool
from src.protocols.trial import Trial
from src.settings import ClassificationSettings

CLASSIFIER, SEGMENTER = "dmr_runs_classification_h_enc_h_dec", "dmr_runs_seg_h_enc_h_dec"
SEEDS, FOLDS = 2, 2
# Its encoder takes the number format from the decoder.
ENCODER = [setting for setting in TINY_ENCODER if setting != "precision=fp32"]
BASELINES = {"random_encoder", "raw_pixels"}


def train(script: str, phantom: Path, root: Path, *flags: str) -> None:
    places = ["--encoder-set", *ENCODER, "--set", f"dataset_path={phantom}", f"output_root={root}", *TINY_DECODER]
    run_here(script, *flags, *places)


PIXELS = ["--set", "decoder_input=pixels"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--encoder-set", "max_epochs=1"], "--encoder-set: goes with"),
        (["--mode", "test", "--seeds", "2", "--encoder-set", "max_epochs=1"], "--encoder-set: goes with"),
        (
            ["--seeds", "2", "--encoder-set", "seed=1", "max_epochs=1", "precision=fp32"],
            "--encoder-set: precision, seed:",
        ),
        (["--seeds", "2", "--encoder-set", "max_epochs=1", *PIXELS], "no encoder is pretrained"),
        (["--seeds", "2", "--encoder-ckpt-root", "."], "pretrains an encoder of its own"),
        (["--encoder-ckpt-root", ".", *PIXELS], "decoder_input: pixels needs no encoder"),
        (["--mode", "test", "--encoder-ckpt-root", "."], "goes with --mode train"),
        (["--folds", "3"], "folds: goes with protocol: kfold, not with holdout"),
    ],
)
def test_what_would_not_be_read_is_refused(
    phantom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], words: str
) -> None:
    with pytest.raises(SystemExit) as end:
        run_here("main_seg.py", *flags, "--set", f"dataset_path={phantom}", f"output_root={tmp_path}", *TINY_DECODER)
    assert end.value.code == 2
    assert words in capsys.readouterr().err.strip().splitlines()[-1]
    assert not list(tmp_path.rglob("*.pty"))


@pytest.fixture(scope="module")
def folds(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the k-fold trials and results of both tasks lie."""
    root = tmp_path_factory.mktemp("folds")
    protocol = ["--protocol", "kfold", "--folds", str(FOLDS), "--baselines"]
    train("main_binary.py", phantom, root, *protocol, "--seeds", str(SEEDS))
    train("main_seg.py", phantom, root, *protocol)
    return root / f"kfold_{FOLDS}"


@pytest.fixture(scope="module")
def published(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("published")
    train("main_seg.py", phantom, root, "--protocol", "published")
    return root / "published"


def test_an_encoder_of_the_same_settings_is_not_pretrained_again_in_another_place(
    published: Path, phantom: Path, tmp_path: Path
) -> None:
    trial = Path("published", "seed_2021")
    before = published / "seed_2021" / "dmr_runs"
    shutil.copytree(before, tmp_path / trial / "dmr_runs")
    train("main_seg.py", phantom, tmp_path, "--protocol", "published")
    log = (tmp_path / trial / "dmr_runs" / "logs" / "train.log").read_bytes()
    assert log == (before / "logs" / "train.log").read_bytes()


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def lines_of(run: Path) -> list[dict[str, str]]:
    with (run / "results" / "predictions.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_each_patient_is_tested_once_a_seed_by_trainings_without_it(folds: Path, phantom: Path) -> None:
    everyone = Counter(path.name for path in phantom.iterdir() if path.is_dir())
    for seed in sorted(folds.glob("seed_*")):
        tested = Counter(name for fold in seed.iterdir() for name in splits.load(fold / "split.json").test)
        assert tested == everyone
        for fold in seed.iterdir():
            test = set(splits.load(fold / "split.json").test)
            trained = list(fold.rglob("dmr_run.pty"))
            assert trained
            for path in trained:
                assert not test & set(checkpoints.load(path).patients), path
    assert len(list(folds.glob("seed_*"))) == SEEDS
    of_seed = [{f.name: splits.load(f / "split.json").test for f in s.iterdir()} for s in folds.glob("seed_*")]
    assert of_seed[0] == of_seed[1]


def test_every_pooled_classification_score_can_be_computed_from_its_file(folds: Path) -> None:
    run = folds / CLASSIFIER
    seeds: dict[str, dict[str, list[dict[str, str]]]] = {}
    for line in lines_of(run):
        seeds.setdefault(line["seed"], {}).setdefault(line["patient"], []).append(line)
    found: dict[str, list[float]] = {}
    for patients in seeds.values():
        assert len(patients) == 12
        labels = np.array([int(lines[0]["label"]) for lines in patients.values()])
        means = np.array([np.mean([float(line["probability"]) for line in lines]) for lines in patients.values()])
        called = means >= [float(lines[0]["threshold"]) for lines in patients.values()]
        temperatures = np.array([float(lines[0]["temperature"]) for lines in patients.values()])
        calibrated = 1 / (1 + (1 / means - 1) ** (1 / temperatures))
        for name, value in {
            "auc": sk.roc_auc_score(labels, means),
            "average_precision": sk.average_precision_score(labels, means),
            "accuracy": sk.accuracy_score(labels, called),
            "balanced_accuracy": sk.balanced_accuracy_score(labels, called),
            "precision": sk.precision_score(labels, called),
            "recall": sk.recall_score(labels, called),
            "f1": sk.f1_score(labels, called),
            "sensitivity": sk.recall_score(labels, called),
            "specificity": sk.recall_score(labels, called, pos_label=0),
            "mcc": sk.matthews_corrcoef(labels, called),
            "brier": sk.brier_score_loss(labels, means),
            "brier_calibrated": sk.brier_score_loss(labels, calibrated),
            "ece": abs(means.mean() - labels.mean()),  # so few patients are one bin
            "ece_calibrated": abs(calibrated.mean() - labels.mean()),
        }.items():
            found.setdefault(f"test/patient_{name}", []).append(value)
    metrics, trials = read(run / "results" / "metrics.json"), read(run / "results" / "trials.json")
    assert all((folds.parent / trial["folder"]).is_dir() for trial in trials["trials"])
    intervals = read(run / "results" / "intervals.json")
    of_pairs = {f"test/patient_auc_within_{name}" for name in ("fold", "fold_pairs", "year", "year_pairs")}
    assert metrics.keys() == found.keys() | of_pairs
    for key, values in found.items():
        assert metrics[key] == pytest.approx(np.mean(values))
        assert key not in intervals or intervals[key]["value"] == pytest.approx(np.mean(values))
        assert trials["across_seeds"][key]["values"] == pytest.approx(values)
        assert trials["across_seeds"][key]["sd"] == pytest.approx(np.std(values, ddof=1))
    assert len(trials["trials"]) == SEEDS * FOLDS
    settings = yaml.safe_load((run / "logs" / "settings.yaml").read_text(encoding="utf-8"))["settings"]
    assert (settings["output_root"], settings["protocol"]) == (str(folds.parent), "kfold")


def test_the_area_within_folds_compares_patients_ranked_by_one_training(
    folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auc, "MIN_PAIRS", 1)
    monkeypatch.setattr(auc, "MIN_PATIENTS", 1)
    trials = [
        Trial(int(path.parent.name.removeprefix("seed_")), int(path.name.removeprefix("fold_")), path)
        for path in sorted(folds.glob("seed_*/fold_*"))
    ]
    weights = trials[0].root / CLASSIFIER / "checkpoints" / "dmr_run.pty"
    settings = ClassificationSettings(**checkpoints.load(weights).settings | {"output_root": folds.parent})
    pool(settings, trials, CLASSIFIER, tmp_path)

    by_patient: dict[tuple[str, str, str], list[tuple[int, float]]] = {}
    for line in lines_of(tmp_path):
        who = line["seed"], line["fold"], line["patient"]
        by_patient.setdefault(who, []).append((int(line["label"]), float(line["probability"])))
    means = {who: np.mean(values, axis=0) for who, values in by_patient.items()}
    won = [
        (np.sign(means[a][1] - means[b][1]) + 1) / 2
        for a, b in itertools.permutations(means, 2)
        if a[:2] == b[:2] and means[a][0] > means[b][0]
    ]
    metrics = read(tmp_path / "results" / "metrics.json")
    assert metrics["test/patient_auc_within_fold_pairs"] == len(won) / SEEDS
    assert metrics["test/patient_auc_within_fold"] == pytest.approx(np.mean(won))


def test_every_pooled_segmentation_score_can_be_computed_from_its_file(folds: Path) -> None:
    from monai import metrics  # which takes seconds

    run = folds / SEGMENTER
    by_frame: dict[tuple[str, str], list[float]] = {}
    areas: dict[str, np.ndarray] = {}
    class_maps: dict[str, np.ndarray] = {}
    regions = list(dict.fromkeys(line["region"] for line in lines_of(run)))
    for line in lines_of(run):
        size, region = [int(line["height"]), int(line["width"])], line["region"]
        decoded = [
            coco_mask.decode({"size": size, "counts": line[key].encode("ascii")}) for key in ("predicted", "truth")
        ]
        maps = class_maps.setdefault(line["frame"], np.full((2, *size), len(regions)))
        maps[np.stack(decoded) == 1] = regions.index(region)
        masks = [torch.from_numpy(mask)[None, None] for mask in decoded]
        predicted, truth = (bool(mask.any()) for mask in masks)
        expected = {"dice": np.nan, "iou": np.nan, "surface_dice": np.nan, "hausdorff95": np.nan}
        if predicted or truth:
            expected = {"dice": 0.0, "iou": 0.0, "surface_dice": 0.0, "hausdorff95": np.hypot(*size)}
        if predicted and truth:
            expected = {
                "dice": metrics.compute_dice(*masks, ignore_empty=False).item(),
                "iou": metrics.compute_iou(*masks, ignore_empty=False).item(),
                "surface_dice": metrics.compute_surface_dice(*masks, [2], include_background=True).item(),
                "hausdorff95": metrics.compute_hausdorff_distance(*masks, True, percentile=95).item(),
            }
        for measure, value in expected.items():
            assert float(line[measure] or "nan") == pytest.approx(value, nan_ok=True)
            by_frame.setdefault((measure, region), []).append(value)
        both = decoded[0] & decoded[1]
        areas[region] = areas.get(region, 0) + np.array([mask.sum() for mask in (*decoded, both)])
    found: dict[str, float] = {}
    for measure in ("dice", "iou", "surface_dice", "hausdorff95"):
        means = {region: np.nanmean(by_frame[measure, region]) for region in regions}
        found |= {f"test/image_{measure}/{region}": mean for region, mean in means.items()}
        found[f"test/image_{measure}_macro"] = np.mean(list(means.values()))
    maps = np.stack(list(class_maps.values()), axis=1)
    inside = maps == len(regions)
    areas["ROI"] = np.array([inside[0].sum(), inside[1].sum(), inside.all(axis=0).sum()])
    for region, (predicted, truth, both) in areas.items():
        found[f"test/dice/{region}"] = 2 * both / (predicted + truth)
        found[f"test/iou/{region}"] = both / (predicted + truth - both)
    for measure in ("dice", "iou"):
        found[f"test/{measure}_macro"] = np.mean([found[f"test/{measure}/{region}"] for region in regions])
    found["test/pixel_accuracy"] = (maps[0] == maps[1]).mean()
    metrics = read(run / "results" / "metrics.json")
    assert metrics == {name: pytest.approx(value) for name, value in found.items()}


def test_differences_are_the_run_minus_each_baseline(folds: Path) -> None:
    for run, names in (
        (CLASSIFIER, BASELINES | {"latent_regression", "gray_regression"}),
        (SEGMENTER, BASELINES),
    ):
        differences = read(folds / run / "baselines" / "differences.json")
        assert differences.keys() == names
        own = read(folds / run / "results" / "metrics.json")
        for name in names:
            other = read(folds / run / "baselines" / name / "results" / "metrics.json")
            key = "test/patient_brier" if run == CLASSIFIER else "test/pixel_accuracy"
            assert differences[name][key]["value"] == pytest.approx(own[key] - other[key])
            assert own[key] != other[key]


def test_baselines_train_on_the_same_patients(folds: Path) -> None:
    for run in folds.rglob(f"seed_*/fold_*/{SEGMENTER}"):
        divisions = [
            read(path / "results" / "split.json") for path in (run, *(run / "baselines" / n for n in BASELINES))
        ]
        assert divisions[0] == divisions[1] == divisions[2]


def test_published_protocol_divides_frames_and_chooses_the_epoch_on_its_test_frames(published: Path) -> None:
    division = read(published / "seed_2021" / SEGMENTER / "results" / "split.json")
    assert division["unit"] == "frame"
    assert division["validation"] == division["tested"]
    assert set(division["tested"]) <= set(division["test"])
    assert not set(division["train"]) & set(division["tested"])
    trained = checkpoints.load(published / "seed_2021" / SEGMENTER / "checkpoints" / "last.pty")
    assert trained.settings["select_by"] == "loss"
    assert trained.settings["transductive"]


def test_the_published_classifier_keeps_the_epoch_of_the_fewest_errors_on_its_test_frames(
    published: Path, phantom: Path, tmp_path: Path
) -> None:
    trial = tmp_path / "published" / "seed_2021"
    shutil.copytree(published / "seed_2021" / "dmr_runs", trial / "dmr_runs")
    train("main_binary.py", phantom, tmp_path, "--protocol", "published", "--set", "learning_rate=0.05", "max_epochs=4")
    trained = checkpoints.load(trial / CLASSIFIER / "checkpoints" / "last.pty")
    assert trained.settings["select_by"] == "errors"
    right = [entry["val/frame_accuracy"] for entry in trained.history]
    assert trained.best_epoch == 1 + right.index(max(right))
    lines = [line for line in lines_of(trial / CLASSIFIER) if line["part"] == "test"]
    kept = [(float(line["probability"]) >= 0.5) == (line["label"] == "1") for line in lines]
    assert np.mean(kept) == pytest.approx(max(right))
    division = read(trial / CLASSIFIER / "results" / "split.json")
    assert division["unit"] == "patient"
    assert division["validation"] == division["tested"] == read(trial / "split_classification_heat.json")["test"]
    metrics = read(tmp_path / "published" / CLASSIFIER / "results" / "metrics.json")
    assert metrics["test/patient_auc"] is not None


def test_a_finished_trial_is_not_taken_for_one_of_other_settings(
    published: Path, phantom: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in published.rglob("*.json")}
    assert published / SEGMENTER / "results" / "metrics.json" in before
    flags = ["--protocol", "published", "--resume", "--set", "learning_rate=0.5"]
    with pytest.raises(SystemExit):
        train("main_seg.py", phantom, published.parent, *flags)
    assert "learning_rate" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in published.rglob("*.json")} == before


def test_a_finished_trial_is_left_alone_and_other_folds_are_refused(
    published: Path, phantom: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = published.parent
    weights = published / "seed_2021" / SEGMENTER / "checkpoints" / "dmr_run.pty"
    before = weights.stat().st_mtime_ns
    train("main_seg.py", phantom, root, "--protocol", "published", "--resume")
    assert weights.stat().st_mtime_ns == before
    path = published / "seed_2021" / "split_segmentation.json"
    split = read(path)
    split["test"], split["rest"] = split["test"][1:], [*split["rest"], split["test"][0]]
    path.write_text(json.dumps(split), encoding="utf-8")
    with pytest.raises(SystemExit):
        train("main_seg.py", phantom, root, "--protocol", "published", "--resume")
    assert "was drawn from other patients" in capsys.readouterr().err
