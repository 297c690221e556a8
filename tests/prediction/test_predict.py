"""A folder in, everything out: for both scripts' tasks, with damaged files among the good ones."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path, PurePath
from typing import BinaryIO
from urllib.parse import unquote

import numpy as np
import pytest
import torch
from PIL import Image, ImageColor

import src
from src.classes import Classes
from src.datasets.foreign import PREDICTIONS, foreign
from src.errors import UserError
from src.evaluation.region_colours import region_colour
from src.files import NameRefusedError, atomic_write
from src.prediction import run as run_module
from src.prediction.inputs import as_frame, from_array
from src.prediction.measures import differences, measure
from src.prediction.pictures import overlay, png
from src.prediction.predictors import NOTICE, Classification, Segmentation
from src.prediction.record import read_record, save_record
from src.prediction.run import predict_files
from src.settings import REPOSITORY
from src.training.run_folder import RunFolder

MakeRun = Callable[..., Path]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class Pictures(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.sources += [unquote(value or "") for name, value in attrs if tag == "img" and name == "src"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A matrix, a gray picture and a heat map of three sizes, with a damaged file and a hostile name."""
    root = tmp_path / "mine"
    (root / "deep").mkdir(parents=True)
    generator = np.random.default_rng(0)
    np.savetxt(root / "deep" / "a.txt", generator.uniform(25, 36, (30, 70)), fmt="%.2f")
    Image.fromarray(generator.integers(0, 256, (96, 128), np.uint8)).save(root / "<b onload=x> & #1.jpg")
    Image.fromarray(generator.integers(0, 256, (50, 40, 3), np.uint8)).save(root / "c_snap.jpg")
    (root / "damaged.txt").write_text("1 2 3 4 5 6 7 8 9\n1 2\n", encoding="utf-8")
    return root


def test_segmentation_writes_all_there_is_to_see(make_run: MakeRun, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = make_run()
    predict_files(run, "segmentation", folder, out, "cpu")
    frames = {row["frame"]: row for row in rows_of(out / "frames.csv")}
    assert {name: (row["rows"], row["columns"], row["unit"]) for name, row in frames.items()} == {
        "<b onload=x> & #1": ("96", "128", "gray level"),
        "c": ("50", "40", "none"),
        "deep/a": ("30", "70", "C"),
    }
    assert {row["unlike_training"] for row in frames.values()} <= {"yes", "no"}
    regions = rows_of(out / "regions.csv")
    coco = json.loads((out / "regions.coco.json").read_text(encoding="utf-8"))
    degrees = np.loadtxt(folder / "deep" / "a.txt")
    for name, row in frames.items():
        with Image.open(out / "labels" / f"{name}.png") as image:
            assert image.mode == "P"
            assert image.info["Comment"] == NOTICE
            labels = np.asarray(image)
        assert labels.shape == (int(row["rows"]), int(row["columns"]))
        own = [found for found in regions if found["frame"] == name]
        assert [int(found["area"]) for found in own] == [int((labels == index + 1).sum()) for index in range(4)]
        assert set(np.unique(labels)) <= set(range(5))
        if name == "deep/a":
            for index, found in enumerate(own, start=1):
                if (labels == index).any():
                    assert float(found["mean"]) == pytest.approx(degrees[labels == index].mean(), rel=1e-4)
        if name == "c":
            assert {found["mean"] for found in own} == {""}
    assert [image["file_name"] for image in coco["images"]] == [row["file"] for row in frames.values()]
    record = json.loads((out / "prediction.json").read_text(encoding="utf-8"))
    (reason,) = (reason for reason in record["left_out_or_changed"] if "different length" in reason)
    assert record["left_out_or_changed"][reason] == ["damaged.txt"]
    page = (out / "index.html").read_text(encoding="utf-8")
    parsed = Pictures()
    parsed.feed(page)
    assert len(parsed.sources) == 3
    assert all((out / source).is_file() for source in parsed.sources)
    assert not {"b", "link"} & parsed.tags
    assert "http" not in page
    with Image.open(out / "overlays" / "deep" / "a.png") as image:
        assert image.info["Comment"] == NOTICE
    for path in ("README.txt", "regions.coco.json", "index.html", "prediction.json"):
        assert (out / path).read_text(encoding="utf-8").count(NOTICE) == 1
    for path in out.glob("*.csv"):
        assert NOTICE not in path.read_text(encoding="utf-8")


def test_one_bad_name_does_not_end_a_prediction_of_many(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def of_another_system(path: Path) -> Iterator[BinaryIO]:
        if ":" in path.name or path.name.startswith("never"):
            raise NameRefusedError(f"{path}: cannot write: Invalid argument")
        with atomic_write(path) as file:
            yield file

    monkeypatch.setattr(run_module, "atomic_write", of_another_system)
    names = ["ก" * 82, "same", "SAME", "same.png/b", "12:30", "never", "good"]
    for number, name in enumerate(names):
        path = tmp_path / "in" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((48, 64), 10 * number, np.uint8)).save(path)
    predict_files(make_run("segmentation"), "segmentation", tmp_path / "in", tmp_path / "out", "cpu")
    assert {row["frame"] for row in rows_of(tmp_path / "out" / "frames.csv")} == set(names) - {"never"}
    pictures = [
        path.relative_to(tmp_path / "out" / "overlays") for path in (tmp_path / "out").rglob("overlays/**/*.png")
    ]
    assert len({str(path).casefold() for path in pictures if path.suffix == ".png"}) == 6
    assert {Path("SAME.png"), Path("good.png"), Path("same.png_/b.png")} <= set(pictures)
    left_out = json.loads((tmp_path / "out" / "prediction.json").read_text())["left_out_or_changed"]
    assert [item.partition(":")[0] for item in left_out["frames whose pictures cannot be written"]] == ["never.jpg"]
    assert len(left_out["frames whose pictures got another name"]) == 4


def test_what_threads_make_comes_in_order_and_few_are_begun() -> None:
    begun: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(40):
            begun.append(number)
            yield number

    with ThreadPoolExecutor(3) as pool:
        found = run_module._ahead(pool, lambda number: number**2, numbers())
        assert next(found) == 0
        assert len(begun) < 10
        assert list(found) == [number**2 for number in range(1, 40)]


@pytest.mark.parametrize(
    ("error", "empty_before"),
    [
        (UserError("No space left on device"), True),
        (UserError("No space left on device"), False),
        (torch.OutOfMemoryError("CUDA out of memory"), False),
    ],
)
def test_what_fails_half_way_leaves_no_half_prediction(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, empty_before: bool
) -> None:
    @contextmanager
    def full(path: Path) -> Iterator[BinaryIO]:
        if path.parent.name == "labels":
            raise error
        with atomic_write(path) as file:
            yield file

    out = tmp_path / "out"
    if empty_before:
        out.mkdir()
    monkeypatch.setattr(run_module, "atomic_write", full)
    (tmp_path / "in").mkdir()
    Image.fromarray(np.full((48, 64), 9, np.uint8)).save(tmp_path / "in" / "a.jpg")
    with pytest.raises(type(error), match=str(error)):
        predict_files(make_run("segmentation"), "segmentation", tmp_path / "in", out, "cpu")
    assert out.exists() == empty_before
    assert not list(out.glob("*"))


def test_an_output_that_cannot_be_made_is_told_before_anything_is_predicted(make_run: MakeRun, tmp_path: Path) -> None:
    picture = tmp_path / "a.jpg"
    Image.fromarray(np.full((48, 64), 9, np.uint8)).save(picture)
    with pytest.raises(UserError, match=r"a\.jpg is no folder; give another --output"):
        predict_files(make_run("segmentation"), "segmentation", picture, picture / "out", "cpu")


def test_classification_tells_probability_calibration_and_threshold(
    make_run: MakeRun, folder: Path, tmp_path: Path
) -> None:
    run = make_run("classification", "gray", "gray")
    predict_files(run, "classification", folder, tmp_path / "out", "cpu")
    rows = rows_of(tmp_path / "out" / "frames.csv")
    assert [row["frame"] for row in rows] == ["<b onload=x> & #1", "deep/a"]
    for row in rows:
        probability = float(row["probability"])
        logit = np.log(probability / (1 - probability))
        assert float(row["calibrated_probability"]) == pytest.approx(1 / (1 + np.exp(-logit / 2)), rel=1e-3)
        assert row["reaches_threshold"] == ("yes" if probability >= 0.4 else "no")
    record = json.loads((tmp_path / "out" / "prediction.json").read_text(encoding="utf-8"))
    assert any("false colours" in reason for reason in record["left_out_or_changed"])
    assert foreign(PurePath("out", "pictures"), tmp_path) == (PREDICTIONS, PurePath("out"))  # no frames of a later one


def test_one_file_and_the_default_output(make_run: MakeRun, folder: Path) -> None:
    run = make_run()
    predict_files(run, "segmentation", folder / "deep" / "a.txt", None, "cpu")
    assert (run / "predictions" / "a" / "overlays" / "a.png").is_file()
    with pytest.raises(UserError, match="holds something already"):
        predict_files(run, "segmentation", folder / "deep" / "a.txt", None, "cpu")


@pytest.mark.parametrize("palette", ["inferno", None])
def test_the_palette_is_that_of_training_or_said_to_be_assumed(
    make_run: MakeRun, folder: Path, tmp_path: Path, palette: str | None
) -> None:
    run, out = make_run(), tmp_path / "out"
    path = run / "checkpoints" / "prediction.pty"
    save_record(path, replace(read_record(path, ""), palette=palette))
    predict_files(run, "segmentation", folder, out, "cpu")
    record = json.loads((out / "prediction.json").read_text(encoding="utf-8"))
    assert (record["coloured"], record["palette"]) == (2, palette or "jet")  # the third is a heat map
    assert record["palette_of_training"] == palette
    page = (out / "index.html").read_text(encoding="utf-8")
    assert f"palette {palette or 'jet'}" in page
    assert ("ASSUMED" in page) == (palette is None)
    degrees = from_array(np.random.default_rng(0).uniform(25, 36, (30, 70)))
    found, _ = src.load_segmenter(run, "cpu").trained.frame_of(degrees)
    assert np.array_equal(found, as_frame(degrees, "heat", (48, 64), palette or "jet")[0])


def test_an_overlay_shows_each_pixel_in_its_place() -> None:
    gray = np.random.default_rng(0).integers(0, 256, (300, 500), np.uint8)
    labels = np.full(gray.shape, 1, np.uint8)
    labels[40:90, 380:460] = 0
    inside, border = labels == 0, np.zeros(gray.shape, bool)
    border[40:90, 380:460] = True
    border[41:89, 381:459] = False
    result = Segmentation(from_array(gray), 0.5, 1.0, labels, (0.9, 0.9), Classes(("left_breast", "ROI"), 1))
    shown = overlay(result)
    assert shown.shape == (300, 500, 3)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png(shown)))), shown)
    assert np.array_equal(shown[~inside], np.repeat(gray[~inside][:, None], 3, axis=1))
    colour = np.array(ImageColor.getrgb(region_colour(0)))
    assert np.array_equal(shown[border], np.broadcast_to(colour, (border.sum(), 3)))
    mixed = 0.6 * gray[inside & ~border][:, None] + 0.4 * colour
    assert np.abs(shown[inside & ~border] - mixed).max() <= 1


def test_what_cannot_be_done_is_one_line(make_run: MakeRun, folder: Path, tmp_path: Path) -> None:
    run, empty = make_run(), tmp_path / "empty"
    empty.mkdir()
    cases = [
        (run, "segmentation", empty, tmp_path / "o", "the folder is empty"),
        (run, "segmentation", folder / "damaged.txt", tmp_path / "o", "could be read"),
        (run, "segmentation", folder, folder / "o", "may not lie in the input"),
        (run, "classification", folder, tmp_path / "o", "a run of segmentation"),
        (tmp_path, "segmentation", folder, tmp_path / "o", "no trained run"),
        (run, "segmentation", folder, tmp_path / "o", "decide: argmax then, whole now"),
    ]
    for at, task, source, output, words in cases:
        asked = {"decide": "whole" if "whole" in words else "argmax", "max_epochs": 3, "dataset_path": "/elsewhere"}
        with pytest.raises(UserError, match=words) as caught:
            predict_files(at, task, source, output, "cpu", asked if task == "segmentation" else None)
        assert "\n" not in str(caught.value)
        assert not (output / "index.html").exists()
    (run / "checkpoints" / "prediction.pty").unlink()
    with pytest.raises(UserError, match="--mode test"):
        src.load_segmenter(run)


def test_the_answer_for_an_array_is_that_for_its_file(make_run: MakeRun, folder: Path, tmp_path: Path) -> None:
    segmenter = src.load_segmenter(make_run())
    degrees = np.loadtxt(folder / "deep" / "a.txt")
    predict_files(segmenter.trained.run.root, "segmentation", folder, tmp_path / "out", "cpu")
    found = segmenter.predict(degrees)
    with Image.open(tmp_path / "out" / "labels" / "deep" / "a.png") as image:
        values = np.array([1, 2, 3, 4, 0])
        assert (np.asarray(image) == values[found.labels]).mean() > 0.999  # batches round differently
    assert found.regions == measure(found.labels, degrees.astype(np.float32), "C", found.classes)
    assert found.notice == NOTICE


def test_folded_networks_say_what_the_trained_ones_say(make_run: MakeRun) -> None:
    import torch

    from model.heads import SegmentationModel
    from src.datasets.torch_datasets import as_input
    from src.networks import checkpoint as checkpoints

    run = make_run()
    trained = src.load_segmenter(run, "cpu").trained
    saved = checkpoints.load(trained.run.best)
    decoder = SegmentationModel(16, 5, 2).eval()
    decoder.load_state_dict(saved.model)
    frames = torch.randint(0, 256, (2, 3, 48, 64), dtype=torch.uint8)
    encoder = checkpoints.as_encoder(saved.encoder or {}, trained.run.best)
    with torch.no_grad():
        plain = decoder(encoder(as_input(frames)))
        torch.testing.assert_close(trained.model(as_input(frames)), plain, atol=1e-4, rtol=1e-4)


def test_measures_of_a_known_frame() -> None:
    labels = np.array([[0, 0, 1], [2, 2, 1]], np.uint8)
    values = np.array([[30, 32, 33], [0, 0, 35]], np.float32)
    left, right = measure(labels, values, "C", Classes(("left_breast", "right_breast", "ROI"), 2))
    assert (left.area, left.mean, left.median, left.maximum, left.sd, left.unit) == (2, 31, 31, 32, 1, "C")
    (found,) = differences([left, right])
    assert (found.pair, found.area, found.mean, found.median, found.maximum) == ("breast", 0, -3, -3, -3)
    (missing,) = differences(measure(labels * 0, values, "C", Classes(("left_breast", "right_breast", "ROI"), 2)))
    assert (missing.area, missing.mean) == (None, None)


@pytest.mark.parametrize(
    ("module", "spared"),
    [
        ("src", ("torch", "cv2")),
        ("src.datasets.prepare", ("torch",)),
        ("src.prediction.command", ("torch", "cv2")),
        ("src.prediction.run", ("scipy", "sklearn", "matplotlib", "tensorboard")),
    ],
)
def test_what_is_not_needed_is_not_waited_for(module: str, spared: tuple[str, ...]) -> None:
    command = f"import sys, {module}; assert not sys.modules.keys() & {set(spared)}"
    subprocess.run([sys.executable, "-c", command], cwd=REPOSITORY, check=True, timeout=60)


@pytest.mark.parametrize(
    ("probability", "words"),
    [
        (0.7, "0.700 reaches the threshold 0.490"),
        (0.48999, "0.48999 is below the threshold 0.49000"),
        (0.49, "0.490 reaches the threshold 0.490"),
    ],
)
def test_probability_and_threshold_are_told_apart(probability: float, words: str) -> None:
    result = Classification(from_array(np.zeros((40, 40), np.uint8)), None, None, probability, probability, 0.49)
    assert result.verdict == words


@pytest.mark.parametrize(
    "scores",
    ["[]", "{}", '{"threshold": NaN, "temperature": 1}', '{"threshold": 0.5, "temperature": 0}', '{"threshold": "x"}'],
)
def test_scores_that_are_none_are_one_line(make_run: MakeRun, scores: str) -> None:
    run = make_run("classification")
    (run / "results" / "metrics.json").write_text(scores, encoding="utf-8")
    with pytest.raises(UserError, match=r"metrics\.json: no "):
        src.load_classifier(run, "cpu")


@pytest.mark.parametrize(
    "changed",
    [
        *({"image_size": value} for value in ([10**6, 10**6], [48], "48", [48.5, 64])),
        *({"decoder_modality": "x"}, {"decoder_modality": None}, {"precision": 16}, {"task": ["segmentation"]}),
    ],
)
def test_settings_in_a_checkpoint_are_checked(make_run: MakeRun, changed: dict[str, object]) -> None:
    run = RunFolder(make_run())
    content = torch.load(run.best, weights_only=True)
    content["settings"] |= changed
    torch.save(content, run.best)
    with pytest.raises(UserError, match=r"dmr_run\.pty: "):
        src.load_segmenter(run.root, "cpu")


@pytest.mark.parametrize(
    "changed",
    [
        *({"unet.inc.double_conv.0.weight": value} for value in (torch.tensor(1.0), torch.ones(10**6, 0, 3, 3))),
        *({"unet.outc.conv.bias": value} for value in (torch.full((5,), torch.inf), torch.ones(4))),
        {"unknown": torch.ones(1)},
    ],
)
def test_weights_of_a_decoder_are_checked(make_run: MakeRun, changed: dict[str, torch.Tensor]) -> None:
    run = RunFolder(make_run())
    content = torch.load(run.best, weights_only=True)
    content["model"] |= changed
    torch.save(content, run.best)
    with pytest.raises(UserError, match=r"dmr_run\.pty: "):
        src.load_segmenter(run.root, "cpu")


@pytest.mark.parametrize(
    "changed",
    [
        {"class_names": ["a"]},
        {"background": 9},
        {"typicality": {"mean": torch.ones(3)}},
        {"class_names": torch.ones(9, 0)},
        {"more": torch.ones(3) * 1j},
    ],
)
def test_a_damaged_record_names_the_command(make_run: MakeRun, changed: dict[str, object]) -> None:
    run = RunFolder(make_run())
    torch.save(torch.load(run.prediction, weights_only=True) | changed, run.prediction)
    with pytest.raises(UserError, match=r"prediction\.pty: .*--mode test"):
        src.load_segmenter(run.root, "cpu")
