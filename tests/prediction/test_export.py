"""Exported files answer as the run does."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from src.errors import UserError
from src.export import export
from src.prediction.predictors import NOTICE, load_classifier, load_segmenter


def expected(run: Path, frames: np.ndarray) -> np.ndarray:
    from src.datasets.torch_datasets import as_input

    loader = load_segmenter if "segmentation" in run.name else load_classifier
    with torch.no_grad():
        logits = loader(run, "cpu").trained.model(as_input(torch.from_numpy(frames)))
    return (logits.softmax(1) if logits.ndim == 4 else logits.sigmoid()).numpy()


@pytest.mark.filterwarnings("ignore")
def test_onnx_answers_as_the_run_for_any_number_of_frames(make_run: Callable[..., Path]) -> None:
    run = make_run()
    path = export(run, "onnx")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map["notice"] == NOTICE
    for count in (1, 3):
        frames = np.random.default_rng(count).uniform(0, 255, (count, 3, 48, 64)).astype(np.float32)
        (found,) = session.run(["probabilities"], {"frames": frames})
        np.testing.assert_allclose(found, expected(run, frames), atol=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_torchscript_and_pt2_answer_as_the_run(make_run: Callable[..., Path]) -> None:
    run = make_run("classification", "gray", "heat")  # three images a frame, whose logits are averaged
    frames = np.random.default_rng(0).uniform(0, 255, (3, 3, 48, 64)).astype(np.float32)
    extra = {"facts.json": ""}
    script = torch.jit.load(export(run, "torchscript"), _extra_files=extra)
    program = torch.export.load(export(run, "pt2")).module()
    assert json.loads(extra["facts.json"])["notice"] == NOTICE
    for model in (script, program):
        with torch.no_grad():
            np.testing.assert_allclose(model(torch.from_numpy(frames)).numpy(), expected(run, frames), atol=1e-4)


def test_a_folder_without_a_run_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no checkpoint"):
        export(tmp_path, "onnx")
