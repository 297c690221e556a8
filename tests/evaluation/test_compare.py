"""Two runs side by side: differences by patient, regions and diagnoses, and what cannot be compared."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from src.classes import Classes
from src.errors import UserError
from src.evaluation import compare
from src.evaluation.judging import judge_segmenter
from src.evaluation.predictions import (
    CLASSIFICATION_COLUMNS,
    SEGMENTATION_COLUMNS,
    classification_rows,
    segmentation_rows,
    write_predictions,
)
from src.evaluation.region_colours import region_colour

CLASSES = Classes(("left_breast", "neck", "ROI"), 2)
PATIENTS = [f"{number:04d}" for number in range(8)]


def write_run(root: Path, task: str, metrics: dict[str, float]) -> Path:
    (root / "logs").mkdir(parents=True)
    (root / "results").mkdir()
    settings = {"task": task, "background": "ROI", "seed": 1, "strata": [], "protocol": "holdout"}
    (root / "logs" / "settings.yaml").write_text(yaml.safe_dump({"settings": settings}), encoding="utf-8")
    (root / "results" / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    return root


def segmenter(root: Path, errors: int, patients: list[str] = PATIENTS) -> Path:
    """A run that draws a breast so many columns too narrow."""
    run = write_run(root / "dmr_runs_seg_h_enc_h_dec", "segmentation", {"test/dice_macro": 0.5})
    truth = np.full((len(patients), 16, 16), 2, np.uint8)
    truth[:, 2:12, 2:8], truth[:, :2, 4:12] = 0, 1
    predicted = truth.copy()
    for place in range(len(patients)):
        predicted[place, 2:12, 2 : 2 + errors + place % 2] = 2
    by_image, _ = judge_segmenter(patients, truth, predicted, CLASSES, 0)
    frames = [(patient, f"{patient}.jpg") for patient in patients]
    rows = segmentation_rows("test", frames, truth, predicted, by_image, CLASSES)
    write_predictions(run / "results" / "predictions.csv", SEGMENTATION_COLUMNS, rows)
    return run


def classifier(root: Path, noise: float, relabelled: int | None = None) -> Path:
    run = write_run(root, "classification", {"threshold": 0.5, "temperature": 1.0})
    labels = [number % 2 for number in range(len(PATIENTS))]
    if relabelled is not None:
        labels[relabelled] = 1 - labels[relabelled]
    spread = np.linspace(-1, 1, len(PATIENTS)) * noise
    probabilities = np.clip(0.5 + 0.2 * (2 * np.array(labels) - 1) + spread, 0, 1)
    frames = [(patient, f"{patient}.jpg") for patient in PATIENTS]
    rows = classification_rows("test", frames, labels, probabilities, {})
    write_predictions(run / "results" / "predictions.csv", CLASSIFICATION_COLUMNS, rows)
    return run


def test_differences_are_of_the_same_patients_and_name_the_region(tmp_path: Path) -> None:
    better, worse = segmenter(tmp_path / "a", 0), segmenter(tmp_path / "b", 2)
    found = compare.compared(better, worse)
    assert (found.names, found.patients, found.frames) == (("a", "b"), 8, (8, 8))
    overlap = [2 * (60 - 10 * k) / (120 - 10 * k) for k in (0.5, 2.5)]  # columns lost on average
    assert found.differences["dice/left_breast"].value == pytest.approx(overlap[0] - overlap[1])
    assert found.differences["dice/left_breast"].low is not None
    assert found.differences["dice/left_breast"].low > 0.1
    assert (found.differences["dice/neck"].low, found.differences["dice/neck"].high) == (0, 0)
    lines = compare.table(found).splitlines()
    (macro,) = (line for line in lines if line.startswith("mean of regions"))
    assert macro.endswith("*")


def test_it_writes_a_table_for_programs_and_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [str(classifier(tmp_path / name, noise)) for name, noise in (("a", 0.1), ("b", 0.6))]
    monkeypatch.setattr(sys, "argv", ["compare", *runs, "--output", str(tmp_path / "out")])
    compare.main()
    printed = capsys.readouterr().out
    assert "AUC by patient" in printed
    with (tmp_path / "out" / "comparison.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["score"]: row for row in csv.DictReader(file)}
    assert float(rows["patient_auc"]["value"]) == pytest.approx(
        float(rows["patient_auc"]["a"]) - float(rows["patient_auc"]["b"])
    )
    content = json.loads((tmp_path / "out" / "comparison.json").read_text(encoding="utf-8"))
    assert content["differences"]["patient_auc"]["value"] == float(rows["patient_auc"]["value"])
    with Image.open(tmp_path / "out" / "comparison.png") as image:
        assert min(image.size) > 300


def test_other_patients_are_named(tmp_path: Path) -> None:
    one, other = segmenter(tmp_path / "a", 0), segmenter(tmp_path / "b", 0, [*PATIENTS[:7], "0099"])
    with pytest.raises(UserError, match=r"a/dmr_runs_seg_h_enc_h_dec alone: 0007; .* alone: 0099"):
        compare.compared(one, other)


def test_a_patient_with_another_diagnosis_is_named(tmp_path: Path) -> None:
    one, other = classifier(tmp_path / "a", 0.1), classifier(tmp_path / "b", 0.1, relabelled=3)
    with pytest.raises(UserError, match="0003: healthy in one, sick in the other"):
        compare.compared(one, other)


def test_two_tasks_and_models_without_a_test_are_no_pair(tmp_path: Path) -> None:
    one, other = segmenter(tmp_path / "a", 0), classifier(tmp_path / "b", 0.1)
    with pytest.raises(UserError, match="two tasks"):
        compare.compared(one, other)
    (one / "results" / "expected.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match="tested on none"):
        compare.compared(one, one)


def test_a_region_has_its_colour_wherever_it_stands() -> None:
    assert region_colour(1, "neck") == region_colour(7, "neck") == region_colour(7)
    assert region_colour(3, "Left breast") == region_colour(0)
    assert region_colour(10, "lump") == region_colour(1)
