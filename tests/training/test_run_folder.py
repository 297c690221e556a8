"""What a run folder keeps of a training when it goes on, and when it is tested again."""

import json
import logging
from pathlib import Path

import pytest
import torch

from src.settings import REPOSITORY
from src.settings.file import load
from src.training.run_folder import RunFolder


@pytest.mark.parametrize("before", ["bfloat16", "float32", None])
def test_another_number_format_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture, before: str | None) -> None:
    run, path = RunFolder(tmp_path), REPOSITORY / "config" / "dmr_seg_h_enc_h_dec.yaml"
    settings = load(path, [f"dataset_path={tmp_path}"])
    if before:
        run.write_settings(settings, ["main_seg.py"], before)
    run.begin(settings, ["main_seg.py"], False, torch.float32)
    assert ("in bfloat16 until here and goes on in float32" in caplog.text) == (before == "bfloat16")
    assert "number_format: float32" in (tmp_path / "logs" / "settings.yaml").read_text(encoding="utf-8")


def test_scores_of_an_earlier_test_do_not_stay(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    settings = load(REPOSITORY / "config" / "demo" / "dmr_cfg.yaml", [f"dataset_path={tmp_path}"])
    for scores in (
        {"test/auc": 0.5, "test/auc_within_year": 0.4, "threshold": 0.3, "seconds": 7.0},
        {"test/auc": 0.6},
    ):
        run.open(settings, "train", may_replace=True)
        run.finish(scores)
    found = json.loads((tmp_path / "results" / "metrics.json").read_text(encoding="utf-8"))
    assert found == {"test/auc": 0.6, "seconds": 7.0}


def test_warnings_are_kept_as_json_for_the_report(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.open(load(REPOSITORY / "config" / "demo" / "dmr_cfg.yaml", [f"dataset_path={tmp_path}"]), "train")
    logging.getLogger("src.datasets").warning("left out: %s", 'a "b"\nc')
    run.finish({})
    lines = (tmp_path / "logs" / "warnings.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [{"level": "WARNING", "message": 'left out: a "b"\nc'}]
