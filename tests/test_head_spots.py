"""The classifier that sees through a segmenter, from training to export, through the scripts."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_scripts import TINY_DECODER, run_here

from src.datasets.frame_cache import read_frame
from src.datasets.letterbox import letterbox
from src.errors import UserError
from src.export import SUFFIXES, Format, export
from src.files import read_json, write_json
from src.networks import checkpoint as checkpoints
from src.prediction.trained import load_trained

SPOTS = ["head=spots", "optimizer=adamw", "learning_rate=0.01", "schedule=onecycle", "select_by=last", "max_epochs=3"]
CLASSIFIER, SEGMENTER = "dmr_runs_classification_h_enc_h_dec", "dmr_runs_seg_h_enc_h_dec"


@pytest.fixture(scope="module")
def trained(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output root of a segmenter on pixels and a classifier that sees through it."""
    root = tmp_path_factory.mktemp("spots")
    places = ["--set", f"dataset_path={phantom}", f"output_root={root}"]
    run_here("main_seg.py", *places, *TINY_DECODER, "decoder_input=pixels", "min_steps_per_epoch=40")
    run_here("main_binary.py", *places, *TINY_DECODER, *SPOTS)
    return root


def classify(phantom: Path, root: Path, *arguments: str) -> None:
    places = [f"dataset_path={phantom}", f"output_root={root}", *TINY_DECODER, *SPOTS]
    run_here("main_binary.py", *arguments, "--set", *places)


def probabilities_of(root: Path) -> dict[str, float]:
    with (root / CLASSIFIER / "results" / "predictions.csv").open(encoding="utf-8", newline="") as file:
        return {line["frame"]: float(line["probability"]) for line in csv.DictReader(file) if line["part"] == "test"}


def scored_frames(root: Path, phantom: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """The test frames as the run read them, float32 [N, 3, H, W], and their probabilities in predictions.csv."""
    found = probabilities_of(root)
    frames = np.stack([read_frame(phantom / name, "heat", (48, 64))[0] for name in found])
    return torch.from_numpy(frames).float(), torch.tensor(list(found.values()))


def test_testing_again_and_predicting_give_what_was_scored(trained: Path, phantom: Path) -> None:
    before = probabilities_of(trained)
    classify(phantom, trained, "--mode", "test")
    assert probabilities_of(trained) == before
    x, expected = scored_frames(trained, phantom)
    assert expected.std() > 1e-3
    classifier = load_trained(trained / CLASSIFIER, "classification", "cpu")
    box = letterbox((48, 64), (48, 64))
    logits = classifier([(frame.numpy().astype(np.uint8), box) for frame in x]).logits
    torch.testing.assert_close(logits.sigmoid(), expected, atol=1e-4, rtol=1e-3)


def test_the_checkpoint_holds_the_segmenter(trained: Path) -> None:
    frozen = checkpoints.load(trained / CLASSIFIER / "checkpoints" / "dmr_run.pty").segmenter
    segmenter = checkpoints.load(trained / SEGMENTER / "checkpoints" / "dmr_run.pty")
    assert frozen is not None
    assert all(torch.equal(frozen["model"][name], value) for name, value in segmenter.model.items())
    assert frozen["names"][:2] == ["left_breast", "right_breast"]


@pytest.mark.parametrize("form", [pytest.param("onnx", marks=pytest.mark.slow), "torchscript", "pt2"])
def test_exported_networks_are_the_tested_ones(trained: Path, phantom: Path, tmp_path: Path, form: Format) -> None:
    if form == "onnx":
        pytest.importorskip("onnxscript")
    path = export(trained / CLASSIFIER, form, tmp_path / f"network{SUFFIXES[form]}")
    x, expected = scored_frames(trained, phantom)
    with torch.no_grad():
        if form == "onnx":
            import onnxruntime

            session = onnxruntime.InferenceSession(str(path))
            found = torch.from_numpy(session.run(None, {"frames": x.numpy()})[0])
        elif form == "torchscript":
            found = torch.jit.load(str(path))(x)
        else:
            found = torch.export.load(str(path)).module()(x)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)


def test_a_segmenter_that_saw_test_patients_is_refused(
    trained: Path, phantom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained, tmp_path / "root", ignore=shutil.ignore_patterns(CLASSIFIER))
    run = tmp_path / "root" / SEGMENTER
    split = read_json(run / "results" / "split.json", "the split")
    moved = split["test"][-1]
    write_json(run / "results" / "split.json", split | {"test": split["test"][:-1], "rest": [*split["rest"], moved]})
    with pytest.raises(SystemExit):
        classify(phantom, tmp_path / "root")
    assert f"did not leave out 1 of this run's test patients (such as {moved})" in capsys.readouterr().err

    # As in the published protocol, where it chooses its epoch on them; and where its encoder saw them.
    write_json(run / "results" / "split.json", split)
    segmenter = checkpoints.load(run / "checkpoints" / "dmr_run.pty")
    for field, complaint in (("patients", "did not leave out 1"), ("encoder_patients", "was trained on 1 of")):
        seen = replace(segmenter, **{field: [*getattr(segmenter, field), moved]})
        checkpoints.save(run / "checkpoints" / "dmr_run.pty", seen)
        with pytest.raises(SystemExit):
            classify(phantom, tmp_path / "root", "--overwrite")
        assert complaint in capsys.readouterr().err


def test_no_resumption_on_another_segmenter(
    trained: Path, phantom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained, tmp_path / "root")
    path = tmp_path / "root" / SEGMENTER / "checkpoints" / "dmr_run.pty"
    segmenter = checkpoints.load(path)
    segmenter.model["unet.outc.conv.bias"] += 1
    checkpoints.save(path, segmenter)
    with pytest.raises(SystemExit):
        classify(phantom, tmp_path / "root", "--resume")
    assert "segmenter: another one now" in capsys.readouterr().err


def test_what_is_missing_is_named(phantom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        classify(phantom, tmp_path)
    assert "no segmenter there, which head: spots needs; train it first: python main_seg.py" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        classify(phantom, tmp_path, "--baselines")
    assert "head: spots: sees no latents that --baselines could replace" in capsys.readouterr().err


def test_a_damaged_segmenter_is_one_line(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / CLASSIFIER, tmp_path / "run")
    path = tmp_path / "run" / "checkpoints" / "dmr_run.pty"
    whole = checkpoints.load(path)
    assert whole.segmenter is not None
    for damage in ({"names": ["a", "b"]}, {"palette": "none"}, {"model": {}}, {"settings": {}}):
        whole_again = checkpoints.load(path)
        whole_again.segmenter = whole.segmenter | damage
        checkpoints.save(path.with_name("other.pty"), whole_again)
        path.with_name("other.pty").replace(path)
        with pytest.raises(UserError, match=r"dmr_run\.pty"):
            load_trained(tmp_path / "run", "classification", "cpu")
        checkpoints.save(path, whole)
