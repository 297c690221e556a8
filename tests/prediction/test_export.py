"""Exported files answer as the run does."""

import functools
import io
import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from src.errors import UserError
from src.export import example_of, export
from src.export_example import Format
from src.phantom.torsos import draw_torso
from src.prediction.predictors import NOTICE, load_classifier, load_segmenter
from src.prediction.run import predict_files


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


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Format], Path]:
    """The exported weights that ship, of each format once: it takes seconds."""

    @functools.cache
    def exported(form: Format) -> Path:
        return export(None, form, tmp_path_factory.mktemp("shipped") / f"regions.{form}")

    return exported


@pytest.mark.filterwarnings("ignore")
def test_the_weights_that_ship_answer_as_the_segmenter(shipped: Callable[[Format], Path]) -> None:
    """In float32."""
    session = onnxruntime.InferenceSession(shipped("onnx"), providers=["CPUExecutionProvider"])
    smooth = torch.randn(2, 1, 8, 10, generator=torch.Generator().manual_seed(0))
    frames = F.interpolate(smooth, (120, 160), mode="bicubic").mul(40).add(128).clamp(0, 255)
    (found,) = session.run(["probabilities"], {"frames": frames.numpy()})
    with torch.no_grad():
        answer = load_segmenter(device="cpu").trained.model(frames / 127.5 - 1).softmax(1)
    np.testing.assert_allclose(found, answer, atol=1e-4)


def run_example(script: Path, *arguments: Path) -> str:
    """What the script says where this repository is not.

    In a process of its own, but where that would take seconds to import torch: there it cannot import the repository.
    """
    command = [str(script), *map(str, arguments)]
    if "import torch" not in script.read_text(encoding="utf-8"):
        done = subprocess.run(
            [sys.executable, *command], cwd=script.parent, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done.stdout
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as said:
        patch.setattr(sys, "argv", command)
        for package in ("src", "model"):
            patch.setitem(sys.modules, package, None)
        runpy.run_path(command[0], run_name="__main__")
    return said.getvalue()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", ["onnx", "torchscript"])
def test_the_script_beside_it_draws_what_predict_draws(
    form: Format, tmp_path: Path, shipped: Callable[[Format], Path]
) -> None:
    """Of the weights that ship, which decide by `whole` and `least`, on a frame of another size and aspect."""
    frame = cv2.resize(draw_torso(2000)[0], (320, 200), interpolation=cv2.INTER_LINEAR)
    cv2.imwrite(str(tmp_path / "frame.png"), frame)
    said = run_example(example_of(shipped(form)), tmp_path / "frame.png", tmp_path / "labels.png")
    predict_files(None, "segmentation", tmp_path / "frame.png", tmp_path / "out", "cpu")
    found, expected = (
        np.asarray(Image.open(path)) for path in (tmp_path / "labels.png", tmp_path / "out" / "labels" / "frame.png")
    )
    assert len(np.unique(expected)) == 7  # one nipple is out of sight
    assert found.shape == expected.shape == frame.shape
    assert (found != expected).mean() < 1e-3  # rounding at borders
    assert "left_breast" in said


@pytest.mark.filterwarnings("ignore")
def test_the_script_beside_a_classifier_calibrates_as_predict_does(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    run = make_run("classification", "gray", "gray")
    frame = np.random.default_rng(0).integers(0, 256, (48, 64), np.uint8)
    cv2.imwrite(str(tmp_path / "frame.png"), frame)
    said = run_example(example_of(export(run, "onnx")), tmp_path / "frame.png")
    result = load_classifier(run, "cpu").predict(frame)
    assert f"{result.verdict}; calibrated {result.calibrated:.3f}" in said


@pytest.mark.parametrize("pooled", [".", "dmr_runs_seg_h_enc_h_dec"])
def test_several_models_are_no_file(tmp_path: Path, pooled: str) -> None:
    (tmp_path / pooled / "results").mkdir(parents=True)
    (tmp_path / pooled / "results" / "trials.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match="export the final model"):
        export(tmp_path, "onnx")


def test_a_folder_without_a_run_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no checkpoint"):
        export(tmp_path, "onnx")
