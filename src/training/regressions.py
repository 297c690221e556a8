"""Baselines of the diagnosis without a decoder: logistic regressions on a few numbers of each frame."""

import time
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from src.datasets.build import Parts
from src.datasets.torch_datasets import DiagnosisDataset
from src.errors import UserError
from src.evaluation.judging import Predicted, Strata, judge_and_write
from src.files import without_nan, write_json
from src.training.decoder_task import DecoderTask, small_batches

REGRESSIONS = ("latent_regression", "gray_regression")
"""On the mean of each latent over the frame; on mean and spread of the gray levels."""


def run_regressions(
    folder: Path, task: DecoderTask[DiagnosisDataset], parts: Parts[DiagnosisDataset], strata: Strata, seed: int
) -> None:
    """Fit both on the training patients; results of each go to <folder>/<name>/results, as those of a run."""
    if len(set(parts.train.labels)) < 2:
        raise UserError("--baselines: all training patients have one diagnosis: nothing to regress")
    datasets = {"train": parts.train, "val": parts.validation, "test": parts.test}
    features = {part: _features(task, dataset) for part, dataset in datasets.items()}
    for name in REGRESSIONS:
        started = time.perf_counter()
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
        model.fit(features["train"][name], parts.train.labels)
        predicted = []
        for part in ("val", "test"):
            probabilities = model.predict_proba(features[part][name])[:, 1]
            predicted.append(Predicted(datasets[part].names, np.array(datasets[part].labels), probabilities))
        results = folder / name / "results"
        results.mkdir(parents=True, exist_ok=True)
        scores, _ = judge_and_write(results, predicted, strata, seed)
        write_json(results / "metrics.json", without_nan(scores | {"seconds": time.perf_counter() - started}))


@torch.no_grad()
def _features(task: DecoderTask[DiagnosisDataset], dataset: DiagnosisDataset) -> dict[str, np.ndarray]:
    """What each regression reads of each frame, [N, F]."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in REGRESSIONS}
    for batch in small_batches(dataset, range(len(dataset))):
        latents = task.latents(dataset, batch, keep=False).float()  # [B, N, L, H, W]
        gray = batch["frame"].float().mean(1).flatten(1)
        found["latent_regression"].append(latents.mean((3, 4)).flatten(1).cpu().numpy())
        found["gray_regression"].append(torch.stack([gray.mean(1), gray.std(1)], 1).numpy())
    return {name: np.concatenate(values) for name, values in found.items()}
