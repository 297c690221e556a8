"""What trials say together, beside what one says alone."""

import json
from pathlib import Path

import numpy as np
import pytest

from src.evaluation.classification import classification_intervals
from src.evaluation.predictions import CLASSIFICATION_COLUMNS, classification_rows, write_predictions
from src.protocols.pooling import pool
from src.protocols.trial import Trial
from src.settings import REPOSITORY, ClassificationSettings
from src.settings.file import load


@pytest.mark.parametrize("seeds", [1, 2])
def test_perfect_scores_have_the_exact_interval_of_a_single_run(tmp_path: Path, seeds: int) -> None:
    path = REPOSITORY / "config" / "dmr_classification_h_enc_h_dec.yaml"
    settings = load(path, [f"dataset_path={tmp_path}", f"output_root={tmp_path}", "strata=[]"])
    assert isinstance(settings, ClassificationSettings)
    patients, labels = [f"{number:02d}" for number in range(14)], np.array([0, 1] * 7)
    probabilities = 0.2 + 0.6 * labels
    trials = [Trial(seed, None, tmp_path / str(seed)) for seed in range(seeds)]
    for trial in trials:
        results = trial.root / "run" / "results"
        results.mkdir(parents=True)
        rows = classification_rows("test", [(name, f"{name}.jpg") for name in patients], labels, probabilities, {})
        write_predictions(results / "predictions.csv", CLASSIFICATION_COLUMNS, rows)
        (results / "metrics.json").write_text('{"threshold": 0.5, "temperature": 1.0}', encoding="utf-8")
    pool(settings, trials, "run", tmp_path / "pooled")
    found = json.loads((tmp_path / "pooled" / "results" / "intervals.json").read_text(encoding="utf-8"))
    expected = classification_intervals(patients, labels, probabilities, 0.5, seed=0)
    for name in ("auc", "accuracy", "sensitivity", "specificity", "precision", "balanced_accuracy"):
        low, high = found[f"test/patient_{name}"]["low"], found[f"test/patient_{name}"]["high"]
        assert (low, high) == pytest.approx((expected[f"patient_{name}"].low, 1.0))
        assert 0 < low < 1
