"""The scores of a folder's runs in words, and what a run ends with."""

import json
from pathlib import Path

import pytest
import yaml

from src.errors import UserError
from src.evaluation.summary import closing, summary
from src.places import output_root

SEGMENTER = "dmr_runs_seg_h_enc_h_dec"


def finished(run: Path, scores: dict[str, float], protocol: str = "holdout", kind: str = "test") -> Path:
    (run / "results").mkdir(parents=True)
    (run / "logs").mkdir()
    named = {f"{kind}/{name}": value for name, value in scores.items()}
    (run / "results" / "metrics.json").write_text(json.dumps(named), encoding="utf-8")
    ends = {name: {"low": value - 0.1, "high": value + 0.1} for name, value in named.items()}
    (run / "results" / "intervals.json").write_text(json.dumps(ends), encoding="utf-8")
    settings = {"task": "segmentation", "protocol": protocol, "baseline": False}
    (run / "logs" / "settings.yaml").write_text(yaml.safe_dump({"settings": settings}), encoding="utf-8")
    return run


SCORES = {"dice_macro": 0.8, "dice/neck": 0.7, "dice/ROI": 0.9, "image_dice/neck": 0.6}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    finished(tmp_path / SEGMENTER, SCORES)
    finished(tmp_path / "kfold_5" / SEGMENTER, SCORES, "kfold")
    finished(tmp_path / "kfold_5" / "seed_1" / "fold_1" / SEGMENTER, SCORES, "kfold")
    final = finished(tmp_path / "final" / SEGMENTER, SCORES, "final", "expected")
    (final / "results" / "expected.json").write_text("{}", encoding="utf-8")
    return tmp_path


def test_an_output_root_shows_its_runs_and_those_of_protocols(root: Path) -> None:
    blocks = summary(root).split("\n\n")
    assert [block.splitlines()[0] for block in blocks] == [
        SEGMENTER,
        f"kfold_5/{SEGMENTER}",
        f"final/{SEGMENTER}: trained on all patients; the score is that of k-fold",
    ]
    assert "test/dice/neck                          0.700  (0.600 to 0.800)" in blocks[0]
    assert "ROI" not in blocks[0]  # the background
    assert "expected/dice_macro" in blocks[2]
    assert "test/" not in blocks[2]
    assert summary(root / "kfold_5") == summary(root / "kfold_5" / SEGMENTER) == blocks[1]
    with pytest.raises(UserError, match="no finished run"):
        summary(root / "kfold_5" / "seed_1")


def test_a_run_ends_with_one_screen_and_what_comes_next(root: Path) -> None:
    told = {name: closing(root / name / SEGMENTER) for name in ("", "kfold_5", "final", "kfold_5/seed_1/fold_1")}
    assert all(len(text.splitlines()) < 24 for text in told.values())
    assert "--protocol kfold tests each patient once" in told[""]
    assert "--protocol final, without --seeds, trains the model to use" in told["kfold_5"]
    assert f"--mode predict --run {root / 'final' / SEGMENTER} --input" in told["final"]
    assert told["kfold_5/seed_1/fold_1"] == f"fold_1/{SEGMENTER}: test/dice_macro 0.800  (0.700 to 0.900)"


def test_every_folder_of_a_run_leads_to_its_output_root(root: Path) -> None:
    folders = [".", SEGMENTER, "kfold_5", f"kfold_5/{SEGMENTER}", f"kfold_5/seed_1/fold_1/{SEGMENTER}", "final"]
    assert {output_root(root / name) for name in folders} == {root}
