"""The final model, trained on all: for as long as k-fold found, with k-fold's score, and with no test of its own."""

import csv
import json
import shutil
from pathlib import Path
from statistics import median_high
from typing import Any

import numpy as np
import pytest
import yaml
from test_scripts import TINY_DECODER, run_here

from src.datasets import splits
from src.evaluation.calibration import choose_threshold
from src.evaluation.classification import by_patient
from src.networks import checkpoint as checkpoints
from src.report.page import report

CLASSIFIER, SEGMENTER = "dmr_runs_classification_h_enc_h_dec", "dmr_runs_seg_h_enc_h_dec"
SMALL = [*TINY_DECODER, "decoder_input=pixels", "max_epochs=3"]


def train(script: str, phantom: Path, root: Path, *flags: str) -> None:
    run_here(script, *flags, "--set", f"dataset_path={phantom}", f"output_root={root}", *SMALL)


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def root(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """K-fold and the final model of both tasks."""
    root = tmp_path_factory.mktemp("final")
    for script in ("main_seg.py", "main_binary.py"):
        train(script, phantom, root, "--protocol", "kfold", "--folds", "2")
        train(script, phantom, root, "--protocol", "final", "--folds", "2")
    return root


@pytest.mark.parametrize("name", [SEGMENTER, CLASSIFIER])
def test_it_is_trained_on_all_for_the_median_of_the_kept_epochs(root: Path, name: str) -> None:
    folds = [checkpoints.load(path) for path in root.glob(f"kfold_2/seed_2021/fold_*/{name}/checkpoints/dmr_run.pty")]
    tested = {
        patient
        for path in root.glob(f"kfold_2/seed_2021/fold_*/{name}/results/split.json")
        for patient in splits.load_division(path).tested
    }
    final = checkpoints.load(root / "final" / name / "checkpoints" / "dmr_run.pty")
    assert len(folds) == 2
    assert final.epoch == final.best_epoch == median_high([fold.best_epoch for fold in folds])
    assert set(final.patients) == tested
    assert not final.validation


@pytest.mark.parametrize("name", [SEGMENTER, CLASSIFIER])
def test_its_score_is_that_of_kfold_and_nothing_is_called_tested(root: Path, name: str) -> None:
    results, kfold = root / "final" / name / "results", root / "kfold_2" / name / "results"
    scores, of_kfold = read(results / "metrics.json"), read(kfold / "metrics.json")
    known = {key.replace("test/", "expected/"): value for key, value in of_kfold.items() if value is not None}
    assert known.items() <= scores.items()
    assert not [key for key in scores if key.startswith(("test/", "val/"))]
    assert not (results / "predictions.csv").exists()
    assert {path.name for path in (results / "figures").iterdir()} == {"loss_curves.png"}
    division = splits.load_division(results / "split.json")
    assert division.train
    assert not division.validation
    assert not division.tested
    key = "expected/dice_macro" if name == SEGMENTER else "expected/patient_auc"
    assert read(results / "intervals.json")[key] == read(kfold / "intervals.json")[key.replace("expected", "test")]


def test_its_threshold_comes_from_patients_whom_the_model_did_not_see(root: Path) -> None:
    path = root / "kfold_2" / CLASSIFIER / "results" / "predictions.csv"
    lines = list(csv.DictReader(path.open(encoding="utf-8", newline="")))
    patients = [line["patient"] for line in lines]
    labels, probabilities = ([float(line[key]) for line in lines] for key in ("label", "probability"))
    _, by_label, means = by_patient(patients, np.array(labels), np.array(probabilities))
    scores = read(root / "final" / CLASSIFIER / "results" / "metrics.json")
    assert scores["threshold"] == choose_threshold(by_label, means)


def test_the_report_sets_it_apart(root: Path) -> None:
    page = report(root, lambda task, case: f"{task} {case}")
    assert "Final models: trained on all" in page
    assert "trained on all patients, the score is that of k-fold" in page
    parts = [part.partition("</section>")[0] for part in page.split('<section class="number">')]
    (headline,) = (part for part in parts if part.startswith("<h2>Regions"))
    assert "2-fold cross-validation" in headline
    assert "final" not in headline


def test_the_settings_name_it_in_prediction(
    root: Path, phantom: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frame = next(phantom.glob("*/*_snap.jpg"))
    for number, flags in enumerate((["--protocol", "final"], [])):  # no run of one split is there
        out = tmp_path / str(number)
        places = ["--output", str(out), "--set", f"output_root={root}", *SMALL]
        run_here("main_seg.py", "--mode", "predict", "--input", str(frame), *flags, *places)
        assert Path(read(out / "prediction.json")["run"]) == root / "final" / SEGMENTER


def test_it_goes_on_where_it_stopped_and_takes_what_kfold_says_by_now(
    root: Path, phantom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(root, tmp_path / "copy")
    kfold = tmp_path / "copy" / "kfold_2" / SEGMENTER / "results" / "metrics.json"
    kfold.write_text(json.dumps(read(kfold) | {"test/dice_macro": 0.25}), encoding="utf-8")
    train("main_seg.py", phantom, tmp_path / "copy", "--protocol", "final", "--folds", "2", "--resume")
    final = tmp_path / "copy" / "final" / SEGMENTER
    assert read(final / "results" / "metrics.json")["expected/dice_macro"] == 0.25
    record = yaml.safe_load((final / "logs" / "settings.yaml").read_text(encoding="utf-8"))["settings"]
    assert (record["protocol"], record["select_by"]) == ("final", "last")
    with pytest.raises(SystemExit):
        train("main_seg.py", phantom, tmp_path / "copy", "--protocol", "final", "--folds", "2")
    assert "a run is there" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "run it first: python main_seg.py --protocol kfold --folds 5"),
        (["--folds", "2", "--seeds", "2"], "is one training"),
        (["--folds", "2", "--set", "learning_rate=0.5"], "was trained with other settings: learning_rate"),
        (["--folds", "2", "--set", "train_patients=2"], "the final model is trained on all"),
    ],
)
def test_what_it_cannot_be_is_one_line(
    root: Path, phantom: Path, capsys: pytest.CaptureFixture[str], flags: list[str], words: str
) -> None:
    with pytest.raises(SystemExit) as end:
        run_here(
            "main_seg.py", "--protocol", "final", "--set", f"dataset_path={phantom}", f"output_root={root}", *SMALL,
            *flags,
        )  # fmt: skip
    assert end.value.code == 2
    assert words in capsys.readouterr().err.strip().splitlines()[-1]


def test_kfold_has_curves_of_all_its_trainings(root: Path) -> None:
    for name, picture in ((SEGMENTER, "dice"), (CLASSIFIER, "roc_and_confusion")):
        figures = {path.stem for path in (root / "kfold_2" / name / "results" / "figures").glob("*.png")}
        assert {"loss_curves", picture} <= figures
