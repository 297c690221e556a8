"""Whatever settings and run folders hold: a result, or one line for the person."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from fuzzing import ODD_VALUES, attempt, damaged, damaged_json, fuzzed, mutated
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from src.classes import Classes
from src.datasets import splits
from src.datasets.frame_cache import open_cache
from src.datasets.source import Frame, Skipped
from src.encoder import CUTSEncoder
from src.evaluation.predictions import (
    CLASSIFICATION_COLUMNS,
    MEASURES,
    SEGMENTATION_COLUMNS,
    class_maps,
    classification_rows,
    read_predictions,
    segmentation_rows,
    write_predictions,
)
from src.networks import checkpoint
from src.networks.checkpoint import Checkpoint
from src.prediction.record import read_record as read_prediction_record
from src.prediction.trained import load_trained
from src.settings import REPOSITORY
from src.settings.file import load, read_record
from src.training.run_folder import RunFolder

SHIPPED = [read_record(path) for path in sorted((REPOSITORY / "config").glob("*.yaml"))]
SETTINGS = [values | {"dataset_path": str(REPOSITORY), "output_root": "runs"} for values in SHIPPED]
TEXTS = [yaml.safe_dump(values).encode() for values in SETTINGS] + [
    b"task: latent\nmodality: heat\nlearning_rate: !!float 1e-3\ndataset_path: &a .\nimage_size: [48, *a]\n",
    b"a: &a [x, x]\nb: &b [*a, *a]\nbatch_size: [*b, *b]\n? [1, 2]\n: 2020-13-45\n<<: {a: !!binary aGk=}\n",
]
SPLIT = {"seed": 1, "test_ratio": 0.2, "test": ["0001"], "rest": ["0002", "0003", "0004"], "groups": [["0002", "0003"]]}
DIVISION = SPLIT | {"train": ["0002", "0003"], "validation": ["0004"], "tested": ["0001"]}
STATE = {name: tensor.clone() for name, tensor in CUTSEncoder(1, 2).state_dict().items()}
ODD_TENSORS = (
    *ODD_VALUES,
    *(torch.zeros(3), torch.zeros(0, 4), torch.tensor(5), torch.full((2, 1, 5, 5), float("nan"))),
    *(
        torch.zeros(1).expand(10**6, 10**6),
        torch.zeros(100_000, 0, 5, 5),
        torch.ones(2, 1, 5, 5, dtype=torch.complex64),
    ),
    *(torch.eye(3).to_sparse(), torch.ones(2, device="meta"), torch.ones(2, 3, 5, 5), torch.ones(60_000, 1, 1, 1)),
)


def saved(value: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def dumped(value: Any) -> bytes:
    return yaml.safe_dump(value, allow_unicode=True).encode("utf-8", "surrogatepass")


OURS = {"format": "llft-1", **Checkpoint(STATE, {"seed": 1}, ["0001"], ["0001"], history=[{"loss": 0.5}]).__dict__}


def test_settings_are_whole_before_they_are_damaged(place: Path) -> None:
    for text in TEXTS[: len(SETTINGS)]:
        (place / "run.yaml").write_bytes(text)
        load(place / "run.yaml")


@fuzzed()
@given(content=st.one_of(damaged(TEXTS), mutated(SETTINGS).map(dumped)))
def test_settings(place: Path, content: bytes) -> None:
    path = place / "run.yaml"
    path.write_bytes(content)
    attempt("test_settings", lambda: load(path))


@fuzzed()
@given(
    key=st.sampled_from(sorted({key for values in SETTINGS for key in values} | {"", "a b", "views", "image_size"})),
    value=damaged(
        [b"[1, 2]", b"1e-3", b"{a: &a [], b: *a}", b"data/DMR", b"7:3", b"~nobody", b"!!timestamp 2020-01-01"]
    ),
)
def test_override(place: Path, key: str, value: bytes) -> None:
    path = place / "run.yaml"
    path.write_bytes(TEXTS[0])
    attempt("test_override", lambda: load(path, [f"{key}={value.decode(errors='surrogateescape')}"]))


@fuzzed()
@given(content=st.one_of(damaged(TEXTS), mutated(SETTINGS).map(dumped)))
def test_settings_of_a_run(place: Path, content: bytes) -> None:
    path = place / "settings.yaml"
    path.write_bytes(content)
    attempt("test_settings_of_a_run", lambda: read_record(path))


@fuzzed()
@given(content=damaged_json([SPLIT, DIVISION]))
def test_split(place: Path, content: bytes) -> None:
    path = place / "split.json"
    path.write_bytes(content)
    strata = dict.fromkeys(("0001", "0002", "0003", "0004"))
    attempt("test_split", lambda: splits.load_or_draw(path, strata, 0.2, 1))
    attempt("test_split", lambda: splits.load_division(path))


@fuzzed()
@given(content=st.one_of(damaged([saved(OURS), saved(STATE)]), mutated([OURS, STATE], ODD_TENSORS).map(saved)))
def test_checkpoint(place: Path, content: bytes) -> None:
    path = place / "dmr_runs_gray" / "checkpoints" / "dmr_run.pty"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    found = attempt("test_checkpoint", lambda: checkpoint.load_encoder(place, "gray"))
    if found is not None:
        assert found[0](torch.zeros(1, 1, 8, 8)).shape[-2:] == (8, 8)


@pytest.fixture
def whole_runs(make_run: Callable[..., Path]) -> dict[str, tuple[RunFolder, dict[Path, bytes]]]:
    """A run of each task, and its files' content."""
    runs = {task: RunFolder(make_run(task)) for task in ("segmentation", "classification")}
    return {task: (run, {path: path.read_bytes() for path in (run.best, run.prediction)}) for task, run in runs.items()}


@fuzzed(40)
@given(data=st.data())
def test_trained_run(whole_runs: dict[str, tuple[RunFolder, dict[Path, bytes]]], data: st.DataObject) -> None:
    run, files = whole_runs[data.draw(st.sampled_from(("segmentation", "classification")))]
    path = data.draw(st.sampled_from((run.best, run.prediction)))
    for each, content in files.items():
        each.write_bytes(content)
    whole = torch.load(path, weights_only=True)
    path.write_bytes(saved(data.draw(mutated([whole], ODD_TENSORS))))

    def read() -> None:
        read_prediction_record(run.prediction, "a command")
        trained = load_trained(run.root, "segmentation" if "seg" in run.root.name else "classification", "cpu")
        assert trained.size[0] > 0

    attempt("test_trained_run", read)


def predictions(place: Path) -> list[bytes]:
    masks = np.random.default_rng(0).integers(0, 3, (2, 8, 9), np.uint8)
    frames = [("0001", "0001/a.jpg"), ("0002", "0002/b.jpg")]
    scores = {measure: np.full((2, 3), 0.5) for measure in MEASURES}
    tables = {
        CLASSIFICATION_COLUMNS: classification_rows("test", frames, [0, 1], np.array([0.25, 0.5]), {"0001": "2012"}),
        SEGMENTATION_COLUMNS: segmentation_rows(
            "test", frames, masks, 2 - masks, scores, Classes(("a", "b", "ROI"), 2)
        ),
    }
    for number, (columns, rows) in enumerate(tables.items()):
        write_predictions(place / f"valid{number}.csv", columns, rows)
    return [(place / f"valid{number}.csv").read_bytes() for number in range(2)]


def changed_cells(valid: list[bytes]) -> st.SearchStrategy[bytes]:
    """Tables whose cells were exchanged, removed or replaced."""

    def table(rows: Any) -> bytes:
        file = io.StringIO()
        csv.writer(file).writerows(row if isinstance(row, list) else [row] for row in rows if row is not None)
        return file.getvalue().encode("utf-8", "surrogatepass")

    tables = [list(csv.reader(io.StringIO(content.decode()))) for content in valid]
    return mutated(tables).filter(lambda rows: isinstance(rows, list)).map(table)


@fuzzed()
@given(data=st.data())
def test_predictions(place: Path, data: st.DataObject) -> None:
    valid = predictions(place)
    path = place / "predictions.csv"
    path.write_bytes(data.draw(st.one_of(damaged(valid), changed_cells(valid))))

    def read() -> None:
        lines = read_predictions(path)
        if "region" in lines[0]:
            regions = tuple(dict.fromkeys(line["region"] for line in lines))
            class_maps(lines, Classes((*regions, "ROI"), len(regions)))

    attempt("test_predictions", read)


_WHOLE_INDEX = {"usable": ["0001/a.jpg"], "originals": [[24, 32]], "digests": ["0"], "notes": {"cut": ["0002/b.jpg"]}}


@fuzzed(60)
@given(content=damaged_json([_WHOLE_INDEX]))
def test_index_of_decoded_frames(place: Path, content: bytes) -> None:
    frames = [Frame("0001", Path("0001/a.jpg"), "a")]
    (place / "0001").mkdir(exist_ok=True)
    if not (place / "0001/a.jpg").exists():
        Image.fromarray(np.zeros((24, 32), np.uint8)).save(place / "0001/a.jpg")
    for left in (place / "cache").glob("*.json"):
        left.unlink()
    open_cache(place / "cache", place, frames, "gray", (24, 32), Skipped())
    (index,) = (place / "cache").glob("*.json")
    index.write_bytes(content)
    skipped = Skipped()
    found = attempt(
        "test_index_of_decoded_frames", lambda: open_cache(place / "cache", place, frames, "gray", (24, 32), skipped)
    )
    assert found is None or found.read([0]).shape == (1, 1, 24, 32)
