"""predictions.csv: one line a frame, from which the classification scores can be computed again."""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

from src.classes import Classes
from src.datasets.annotations import is_mask
from src.datasets.images import MAX_PIXELS
from src.errors import UserError
from src.files import MEGABYTE, decoded, read_plain, write_csv

Row = Sequence[str | int | float]
_MOST_BYTES, _MOST_LINES, _MOST_PIXELS = 256 * MEGABYTE, 1_000_000, 2_000_000_000
MEASURES = ("dice", "iou", "surface_dice", "hausdorff95")
CLASSIFICATION_COLUMNS = ("label", "probability", "stratum")
SEGMENTATION_COLUMNS = ("region", "height", "width", "truth", "predicted", *MEASURES)


def classification_rows(
    part: str,
    frames: Sequence[tuple[str, str]],
    labels: Sequence[int],
    probabilities: np.ndarray,
    strata: Mapping[str, str | None],
) -> list[Row]:
    """part, patient, frame, label (1 sick), probability of sick, stratum of the patient, empty where unknown."""
    triples = zip(frames, labels, probabilities.tolist(), strict=True)
    return [[part, *frame, label, probability, strata.get(frame[0]) or ""] for frame, label, probability in triples]


def segmentation_rows(
    part: str,
    frames: Sequence[tuple[str, str]],
    truth: np.ndarray,
    predicted: np.ndarray,
    by_image: Mapping[str, np.ndarray],
    classes: Classes,
) -> list[Row]:
    """part, patient, frame, then `SEGMENTATION_COLUMNS`: one line a frame and region, the background left out.

    truth, predicted: class indices uint8 [N, H, W], of which each line holds the region's mask run-length encoded as
    pycocotools does; by_image: measures [N, K]; a score is empty where truth and prediction both lack the region.
    """
    rows: list[Row] = []
    for place, frame in enumerate(frames):
        for index, name in classes.regions.items():
            masks = [_encoded(maps[place] == index) for maps in (truth, predicted)]
            scores = [by_image[measure][place, index] for measure in MEASURES]
            written: Row = ["" if np.isnan(score) else float(score) for score in scores]
            rows.append([part, *frame, name, *truth.shape[1:], *masks, *written])
    return rows


def _encoded(mask: np.ndarray) -> str:
    counts: bytes = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"]
    return counts.decode("ascii")


def _decoded(row: Mapping[str, str], column: str) -> np.ndarray:
    size = [int(row["height"]), int(row["width"])]
    return np.asarray(coco_mask.decode({"size": size, "counts": row[column].encode("ascii")}))


def read_predictions(path: Path) -> list[dict[str, str]]:
    """The lines of a predictions.csv by column.

    Raises `UserError` where there is none, it has no lines, or a line holds no prediction.
    """
    try:
        reader = csv.reader(io.StringIO(decoded(read_plain(path, _MOST_BYTES)), newline=""), strict=True)
        columns = next(reader, [])
        lines = list(islice(reader, _MOST_LINES + 1))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: cannot read the predictions: {error}") from None
    if not lines:
        raise UserError(f"{path}: holds no predictions")
    if len(lines) > _MOST_LINES or not {"part", "patient", "frame"} <= set(columns):
        raise UserError(f"{path}: no predictions of this code; test the run again: --mode test")
    rows = []
    for number, line in enumerate(lines, start=2):
        row = dict(zip(columns, line, strict=False))
        if len(line) != len(columns) or not _is_prediction(row):
            raise UserError(f"{path}: line {number}: no prediction of this code; test the run again: --mode test")
        rows.append(row)
    if "region" in columns and not _are_whole(rows):
        raise UserError(f"{path}: not one line for each region of each frame; test the run again: --mode test")
    return rows


def _are_whole(rows: Sequence[Mapping[str, str]]) -> bool:
    """Whether the lines are those of all regions of a frame, in one order and size, then those of the next frame."""
    regions = list(dict.fromkeys(row["region"] for row in rows))
    frames = [tuple(row[key] for key in ("part", "patient", "frame", "height", "width")) for row in rows]
    pixels = len(rows) // len(regions) * int(rows[0]["height"]) * int(rows[0]["width"])
    return (
        len(rows) % len(regions) == 0
        and pixels <= _MOST_PIXELS
        and all(
            row["region"] == regions[place % len(regions)]
            and frames[place] == frames[place - place % len(regions)]
            and frames[place][3:] == frames[0][3:]
            for place, row in enumerate(rows)
        )
    )


def _is_prediction(row: Mapping[str, str]) -> bool:
    """Whether what the line holds can be scored."""
    try:
        if "probability" in row:
            numbers = [float(row[name]) for name in ("threshold", "temperature") if name in row]
            fits = row["label"] in ("0", "1") and 0 <= float(row["probability"]) <= 1
            return fits and all(map(math.isfinite, numbers))
        height, width = int(row["height"]), int(row["width"])
        fits = height > 0 and width > 0 and height * width <= MAX_PIXELS
        fits = fits and row["region"] != "" and all(math.isfinite(float(row[name] or 0)) for name in MEASURES)
        return fits and all(is_mask(row[column], height, width) for column in ("truth", "predicted"))
    except (KeyError, ValueError):
        return False


def class_maps(rows: Sequence[Mapping[str, str]], classes: Classes) -> tuple[np.ndarray, np.ndarray]:
    """True and predicted class indices of the frames of segmentation rows, both uint8 [N, H, W], in their order."""
    regions = len(classes.regions)
    shape = (len(rows) // regions, int(rows[0]["height"]), int(rows[0]["width"]))
    maps = []
    for column in ("truth", "predicted"):
        found = np.full(shape, classes.background, np.uint8)
        for place, row in enumerate(rows):
            found[place // regions][_decoded(row, column) > 0] = classes.names.index(row["region"])
        maps.append(found)
    return maps[0], maps[1]


def write_predictions(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Write a header and the rows; numbers are written to the last digit."""
    write_csv(path, ["part", "patient", "frame", *columns], rows)
