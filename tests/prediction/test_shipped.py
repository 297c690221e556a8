"""Regions without a training: the weights that ship, on frames of every kind."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from test_scripts import run_here

import src
from src.datasets.snapshots import palette_colours
from src.datasets.source import Skipped
from src.networks.taught import read_taught
from src.phantom.torsos import draw_torso
from src.prediction.inputs import from_array
from src.prediction.levels import BY_LUMINANCE, as_levels
from src.prediction.plausibility import implausible_breasts
from src.prediction.shipped import load_shipped
from src.prediction.trained import Trained


@pytest.fixture(scope="module")
def frame(phantom: Path) -> np.ndarray:
    """A torso as gray levels [480, 640]."""
    path = next(path for path in sorted(phantom.rglob("*.jpg")) if not path.stem.endswith("_snap"))
    return np.asarray(Image.open(path).convert("L"))


def test_one_torso_has_one_answer_whatever_it_comes_as(frame: np.ndarray) -> None:
    segmenter = src.load_segmenter(device="cpu")
    gray = segmenter.predict(frame)
    assert gray.labels.shape == frame.shape
    assert (gray.labels != gray.classes.background).mean() > 0.1
    degrees = 22 + frame.astype(np.float64) * 0.05
    colours = palette_colours("inferno")[frame]
    larger = cv2.resize(frame, (960, 720), interpolation=cv2.INTER_LINEAR)
    for other in (degrees, colours):
        assert (segmenter.predict(other).labels == gray.labels).mean() > 0.98
    shrunk = cv2.resize(segmenter.predict(larger).labels, (640, 480), interpolation=cv2.INTER_NEAREST)
    assert (shrunk == gray.labels).mean() > 0.98


def test_threads_share_a_cpu_and_take_turns_on_a_gpu() -> None:
    trained = load_shipped("cpu")
    assert trained.side_by_side > 1
    assert [replace(trained, device=torch.device(kind)).side_by_side for kind in ("cuda", "mps")] == [1, 1]


def test_a_mirrored_frame_has_the_mirrored_answer(frame: np.ndarray) -> None:
    segmenter = src.load_segmenter(device="cpu")
    exchanged = np.array(segmenter.trained.model.mirrored)
    found, mirrored = segmenter.predict(frame), segmenter.predict(np.ascontiguousarray(frame[:, ::-1]))
    assert (exchanged[mirrored.labels[:, ::-1]] == found.labels).mean() > 0.99


@pytest.mark.parametrize(
    ("torso", "breasts", "mended"),
    [
        pytest.param(2363, 2, True, id="a breast that the first look misses"),
        pytest.param(2064, 1, False, id="a breast that is gone"),
        pytest.param(2000, 2, False, id="nothing amiss"),
    ],
)
def test_a_missed_breast_is_found_at_the_second_look_and_none_is_invented(
    torso: int, breasts: int, mended: bool
) -> None:
    levels, classes = draw_torso(torso)
    segmenter = load_shipped("cpu")
    assert 2 - implausible_breasts(classes, segmenter.record.classes) == breasts
    frame = segmenter.frame_of(from_array(levels))
    once, twice = Trained.say(segmenter, [frame]), segmenter.say([frame])
    assert torch.equal(once.logits, twice.logits) != mended
    assert any(twice.second) == mended
    found = [segmenter.implausible(said.logits[0], frame[1]) for said in (once, twice)]
    assert found == [2 - breasts + mended, 2 - breasts]


def test_colours_of_no_known_palette_are_read_by_luminance_and_said_to_be() -> None:
    generator = np.random.default_rng(0)
    colours, notes = generator.integers(0, 256, (60, 80, 3), np.uint8), Skipped()
    levels, box = as_levels(from_array(colours), (120, 160), notes=notes)
    assert list(notes.reasons) == [BY_LUMINANCE]
    expected = box.apply(np.asarray(Image.fromarray(colours).convert("L"), np.float32))
    np.testing.assert_allclose(levels[0], expected)


def test_temperatures_are_not_rounded_and_cover_their_range() -> None:
    degrees = np.linspace(30, 30.1, 60 * 80).reshape(60, 80)
    levels, _ = as_levels(from_array(degrees), (60, 80))
    assert len(np.unique(levels)) > 4000
    assert (levels.min(), levels.max()) == pytest.approx((0, 255), abs=0.1)


def test_the_script_answers_on_a_fresh_clone(
    frame: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    Image.fromarray(frame).save(source / "a.png")
    Image.fromarray(palette_colours("jet")[frame]).save(source / "b_snap.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("src.cli.run_to_predict_with", lambda arguments, settings: None)
    run_here("main_seg.py", "--mode", "predict", "--input", str(source), "--device", "cpu")
    out = tmp_path / "predictions" / "in"
    record = json.loads((out / "prediction.json").read_text(encoding="utf-8"))
    assert record["run"] is None
    assert "drawn torsos" in record["by"]
    assert record["frames"] == 2
    with (out / "regions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {"agreement", "pieces", "share", "warnings"} < rows[0].keys()
    for row in rows:
        assert row["agreement"] == "" or 0 <= float(row["agreement"]) <= 1
        assert (row["area"] == "0") == (row["pieces"] == "0") == ("not found" in row["warnings"])
    page = (out / "index.html").read_text(encoding="utf-8")
    for row in rows:
        if row["warnings"]:
            assert f"{row['region'].replace('_', ' ')}: {row['warnings'].replace(';', ',')}" in page
    names = {category["name"] for category in json.loads((out / "regions.coco.json").read_text())["categories"]}
    assert names == set(read_taught().classes.names)
    monkeypatch.undo()
    with pytest.raises(SystemExit):
        run_here("main_seg.py", "--mode", "predict", "--input", str(source), "--set", f"output_root={tmp_path}")
    error = capsys.readouterr().err
    assert re.search(r"no trained run there.*name none to use the weights that ship", error)
