"""What settings off by default do together: trained, tested and predicted with, through the scripts."""

import csv
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask
from test_scripts import TINY_DECODER, TINY_ENCODER, run_here

from src import load_classifier, load_segmenter
from src.datasets.frame_cache import read_frame
from src.datasets.torch_datasets import Batch
from src.export import SUFFIXES, Exported, Format, export
from src.files import read_json
from src.networks import checkpoint as checkpoints
from src.networks.checkpoint import same_weights
from src.phantom.dataset import ANNOTATION_FILE
from src.prediction.trained import Task, load_trained
from src.training import decoder_trainer
from src.training.decoder_task import DecoderTask

SEGMENTER, CLASSIFIER = "dmr_runs_seg_h_enc_h_dec", "dmr_runs_classification_h_enc_h_dec"
PIXELS = "baselines/raw_pixels"
SHARED = ["augment=full", "optimizer=adamw", "schedule=cosine", "select_by=score", "max_epochs=2"]
SHARED += ["min_steps_per_epoch=2"]
REGIONS = ["loss=ce+dice"]
DIAGNOSIS = ["strata=[]"]
ALONE = ["decoder_input=pixels", "baseline=true"]


@pytest.fixture(scope="module")
def root(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("recipe")
    places = ["--set", f"dataset_path={phantom}", f"output_root={root}"]
    run_here("main_latent.py", *places, *TINY_ENCODER)
    for seen in ([], ALONE):
        run_here("main_seg.py", *places, *TINY_DECODER, *SHARED, *REGIONS, *seen)
        run_here("main_binary.py", *places, *TINY_DECODER, *SHARED, *DIAGNOSIS, *seen)
    return root


def test_a_run_is_tested_with_the_networks_it_was_trained_with(
    root: Path, phantom: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (root / SEGMENTER / "results" / "metrics.json").read_bytes()
    places = [f"dataset_path={phantom}", f"output_root={root}", *TINY_DECODER, *SHARED, *REGIONS]
    with pytest.raises(SystemExit):
        run_here("main_seg.py", "--mode", "test", "--set", *places, "augment=none", "decide=whole")
    assert "augment: full then, none now; decide: argmax then, whole now" in capsys.readouterr().err
    assert (root / SEGMENTER / "results" / "metrics.json").read_bytes() == before


def test_another_length_of_a_schedule_is_no_resumption(
    root: Path, phantom: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = [f"dataset_path={phantom}", f"output_root={root}", *TINY_DECODER, *SHARED, *REGIONS]
    with pytest.raises(SystemExit):
        run_here("main_seg.py", "--resume", "--set", *places, "max_epochs=3")
    assert "max_epochs: 2 then, 3 now" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("run", "form"),
    [
        *((CLASSIFIER, form) for form in ("torchscript", "pt2")),
        (f"{SEGMENTER}/{PIXELS}", "torchscript"),  # each takes seconds
        (SEGMENTER, "torchscript"),
    ],
)
def test_exported_networks_are_the_tested_ones(root: Path, tmp_path: Path, run: str, form: Format) -> None:
    path = export(root / run, form, tmp_path / f"network{SUFFIXES[form]}")
    assert path.stat().st_size > 0
    if form == "torchscript":
        x = torch.randint(0, 256, (3, 3, 48, 64), generator=torch.Generator().manual_seed(1)).float()
        task: Task = "segmentation" if "_seg_" in run else "classification"
        expected = Exported(load_trained(root / run, task, "cpu").model).eval()
        with torch.no_grad():
            torch.testing.assert_close(torch.jit.load(str(path))(x), expected(x), atol=1e-4, rtol=1e-4)


def lines_of(run: Path) -> list[dict[str, str]]:
    with (run / "results" / "predictions.csv").open(encoding="utf-8", newline="") as file:
        return [line for line in csv.DictReader(file) if line["part"] == "test"]


@pytest.mark.parametrize("name", [SEGMENTER, f"{SEGMENTER}/{PIXELS}"])
def test_predictions_are_those_that_were_scored(root: Path, phantom: Path, name: str) -> None:
    run = root / name
    segmenter, lines = load_segmenter(run, "cpu"), lines_of(run)
    for frame in {line["frame"] for line in lines}:
        pixels, _, _ = read_frame(phantom / frame, "heat", (48, 64))
        labels = segmenter.predict(np.ascontiguousarray(pixels.transpose(1, 2, 0))).labels
        for line in lines:
            if line["frame"] == frame:
                scored = coco_mask.decode({"size": [48, 64], "counts": line["predicted"].encode()}).astype(bool)
                found = labels == segmenter.trained.record.classes.names.index(line["region"])
                total = int(scored.sum() + found.sum())
                assert 2 * (scored & found).sum() >= 0.95 * total


@pytest.mark.parametrize(
    ("precision", "close"),
    [("fp32", 1e-5), ("bf16", 2**-9)],  # of values in -1..1, which bfloat16's 8 bits round by up to 2**-9
)
def test_frames_of_another_aspect_are_scored_as_they_are_predicted(
    phantom: Path, tmp_path: Path, precision: str, close: float
) -> None:
    data = tmp_path / "data"
    shutil.copytree(phantom, data)
    for path in data.rglob("*_snap.jpg"):
        with Image.open(path) as image:
            image.resize((120, 160)).save(path, quality=95)  # portrait; the drawn regions stretch with it
    drawn = read_json(data / ANNOTATION_FILE, "regions")
    for picture in drawn["images"]:
        picture |= {"width": 120, "height": 160}
    for region in drawn["annotations"]:
        outline = np.array(region["segmentation"][0]).reshape(-1, 2) * (120 / 640, 160 / 480)
        region["segmentation"] = [outline.ravel().tolist()]
    (data / ANNOTATION_FILE).write_text(json.dumps(drawn))
    places = ["--set", f"dataset_path={data}", f"output_root={tmp_path}", *TINY_DECODER, f"precision={precision}"]
    length = ["learning_rate=0.01", "min_steps_per_epoch=6", "max_epochs=2", "patience=null", "select_by=last"]
    run_here("main_seg.py", *places, "decoder_input=pixels", "precision=fp32", *length)
    run = tmp_path / SEGMENTER
    segmenter, lines = load_segmenter(run, "cpu"), lines_of(run)
    assert any(coco_mask.area({"size": [48, 64], "counts": line["predicted"].encode()}) for line in lines)
    for frame in {line["frame"] for line in lines}:
        pixels, box, _ = read_frame(data / frame, "heat", (48, 64))
        assert box.content == (48, 36)
        found = segmenter.predict(np.ascontiguousarray(pixels[:, *box.inside].transpose(1, 2, 0))).labels
        for line in lines:
            if line["frame"] == frame:
                scored = coco_mask.decode({"size": [48, 64], "counts": line["predicted"].encode()}).astype(bool)
                assert not np.delete(scored, np.r_[box.inside[1]], axis=1).any()
                of_region = found == segmenter.trained.record.classes.names.index(line["region"])
                assert (scored[box.inside] != of_region).mean() < 0.01

    # Nor has what fills them up a say in which frames are unlike those of training.
    rows = []
    split = json.loads((run / "results" / "split.json").read_text(encoding="utf-8"))
    for patient in (*split["train"], *split["validation"]):
        (path,) = (data / patient).glob("*_snap.jpg")
        pixels, box, _ = read_frame(path, "heat", (48, 64))
        colours = pixels[:, *box.inside].reshape(3, -1) / 127.5 - 1
        rows.append(np.concatenate([colours.mean(1), colours.std(1)]))
    typicality = segmenter.trained.record.typicality
    assert typicality is not None
    np.testing.assert_allclose(typicality.mean, np.mean(rows, axis=0), rtol=0, atol=close)


@pytest.mark.parametrize("name", [CLASSIFIER, f"{CLASSIFIER}/{PIXELS}"])
def test_probabilities_are_those_that_were_scored(root: Path, phantom: Path, name: str) -> None:
    run = root / name
    classifier = load_classifier(run, "cpu")
    for line in lines_of(run):
        picture = Image.open(phantom / line["frame"]).resize((64, 48), Image.Resampling.BOX)
        assert classifier.predict(np.asarray(picture)).probability == pytest.approx(
            float(line["probability"]), abs=0.01
        )


@pytest.fixture(scope="module")
def segmenter(root: Path, phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Trains a segmenter on the module's encoder, below a new folder."""

    def train(*settings: str) -> Path:
        folder = tmp_path_factory.mktemp("segmenter")
        places = ["--encoder-ckpt-root", str(root), "--set", f"dataset_path={phantom}", f"output_root={folder}"]
        run_here("main_seg.py", *places, *TINY_DECODER, *settings)
        return folder / "dmr_runs_seg_h_enc_h_dec"

    return train


def test_kept_latents_of_mirrored_frames_are_those_computed_anew(segmenter: Callable[..., Path]) -> None:
    settings = ["augment=flip", "max_epochs=2", "min_steps_per_epoch=3"]
    kept, anew, none = (
        checkpoints.load(segmenter(*settings, *more) / "checkpoints" / "last.pty")
        for more in ([], ["latent_memory_mb=0", "latent_disk_mb=0"], ["augment=none"])
    )
    assert same_weights(kept.model, anew.model)
    assert not same_weights(kept.model, none.model)


def test_the_last_epoch_is_kept_where_the_settings_say_so(
    segmenter: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    losses, evaluate = [3.0, 1.0, 2.0, 4.0], decoder_trainer.evaluate

    def worse_again(task: Any, dataset: Any, while_training: bool = False) -> tuple[float, np.ndarray]:
        loss, kept = evaluate(task, dataset, while_training)
        return (losses[next(epochs)] if while_training else loss), kept

    monkeypatch.setattr(decoder_trainer, "evaluate", worse_again)
    for select_by, best in (("last", 4), ("loss", 2)):
        epochs = iter(range(4))
        run = segmenter(f"select_by={select_by}", "patience=null", "max_epochs=4")
        assert [entry["val/loss"] for entry in checkpoints.load(run / "checkpoints" / "last.pty").history] == losses
        assert read_json(run / "results" / "metrics.json", "metrics")["best_epoch"] == best


def test_each_frame_is_tested_once(segmenter: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    tested, logits = Counter[tuple[str, str]](), DecoderTask.tested_logits

    def counted(self: DecoderTask[Any], dataset: Any, batch: Batch) -> torch.Tensor:
        tested.update(dataset.names[place] for place in batch["index"].tolist())
        return logits(self, dataset, batch)

    monkeypatch.setattr(DecoderTask, "tested_logits", counted)
    split = read_json(segmenter("max_epochs=1") / "results" / "split.json", "split")
    assert set(tested.values()) == {1}
    assert {patient for patient, _ in tested} == {*split["validation"], *split["tested"]}


def test_fewer_training_patients_are_among_more(
    segmenter: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    few, more, everyone = (
        read_json(segmenter(*count) / "results" / "split.json", "split")
        for count in (["train_patients=2"], ["train_patients=4"], [])
    )
    assert (len(few["train"]), len(more["train"])) == (2, 4)
    assert set(few["train"]) < set(more["train"]) < set(everyone["train"])
    assert few["validation"] == everyone["validation"]
    assert few["tested"] == everyone["tested"]
    with pytest.raises(SystemExit):
        segmenter("train_patients=1000")
    assert f"there are {len(everyone['train'])} training patients" in capsys.readouterr().err
