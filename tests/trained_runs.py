"""Run folders with random weights, as training would leave them, at a size that takes milliseconds."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from model.heads import ClassificationModel, SegmentationModel
from src.classes import Classes
from src.encoder import CUTSEncoder
from src.evaluation.typicality import fit_typicality
from src.networks import checkpoint as checkpoints
from src.networks.checkpoint import Checkpoint
from src.prediction.record import Record, save_record
from src.training.run_folder import RunFolder

NAMES = ("left_breast", "right_breast", "left_nipple", "right_nipple", "ROI")
SIZE = (48, 64)


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Writes the folder of a run: task, modalities of encoder and decoder, number format."""

    def make(task: str = "segmentation", encoder: str = "heat", decoder: str = "heat", precision: str = "fp32") -> Path:
        torch.manual_seed(5)
        run = RunFolder(tmp_path / f"dmr_runs_{task}_{encoder[0]}_enc_{decoder[0]}_dec")
        cuts = CUTSEncoder({"gray": 1, "heat": 3}[encoder], num_kernels=2).freeze()
        head = SegmentationModel(16, len(NAMES), 2) if task == "segmentation" else ClassificationModel(16, SIZE, 2)
        for module in head.modules():  # as after training: averages that are not their first values
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.normal_(module.running_mean, std=0.1)
                torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
        settings = {"task": task, "encoder_modality": encoder, "decoder_modality": decoder, "image_size": list(SIZE)}
        settings |= {"precision": precision, "base_channels": 2}
        names, state = NAMES if task == "segmentation" else (), cuts.state_dict()
        ours = Checkpoint(head.state_dict(), settings, class_names=list(names), encoder=state, best_epoch=3)
        checkpoints.save(run.best, ours)
        generator = np.random.default_rng(2)
        frames = generator.normal(size=(40, 32))
        record = Record(Classes(names, 4), fit_typicality(frames, range(len(frames))))
        save_record(run.prediction, record)
        run.results.mkdir(parents=True, exist_ok=True)
        (run.results / "metrics.json").write_text(json.dumps({"threshold": 0.4, "temperature": 2.0}), encoding="utf-8")
        return run.root

    return make
