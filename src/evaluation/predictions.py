"""predictions.csv: one line a frame, from which the classification scores can be computed again."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

from src.errors import UserError
from src.files import write_text

Row = Sequence[str | int | float]
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
    classes: tuple[tuple[str, ...], int],
) -> list[Row]:
    """part, patient, frame, then `SEGMENTATION_COLUMNS`: one line a frame and region, the background left out.

    truth, predicted: class indices uint8 [N, H, W], of which each line holds the region's mask run-length encoded as
    pycocotools does; by_image: measures [N, K]; a score is empty where truth and prediction both lack the region.
    """
    names, background = classes
    rows: list[Row] = []
    for place, frame in enumerate(frames):
        for index, name in enumerate(names):
            if index == background:
                continue
            masks = [_encoded(maps[place] == index) for maps in (truth, predicted)]
            scores = [by_image[measure][place, index] for measure in MEASURES]
            written: Row = ["" if np.isnan(score) else float(score) for score in scores]
            rows.append([part, *frame, name, *truth.shape[1:], *masks, *written])
    return rows


def _encoded(mask: np.ndarray) -> str:
    counts: bytes = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"]
    return counts.decode("ascii")


def _decoded(rows: Sequence[Mapping[str, str]], column: str) -> np.ndarray:
    size = [int(rows[0]["height"]), int(rows[0]["width"])]
    return np.stack([coco_mask.decode({"size": size, "counts": row[column].encode("ascii")}) for row in rows])


def read_predictions(path: Path) -> list[dict[str, str]]:
    """The lines of a predictions.csv by column; `UserError` where there is none or it has no lines."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: cannot read the predictions: {error}") from None
    if not rows:
        raise UserError(f"{path}: holds no predictions")
    return rows


def class_maps(
    rows: Sequence[Mapping[str, str]], classes: tuple[tuple[str, ...], int]
) -> tuple[np.ndarray, np.ndarray]:
    """True and predicted class indices of the frames of segmentation rows, both uint8 [N, H, W], in their order."""
    names, background = classes
    regions = len(names) - 1
    shape = (len(rows) // regions, int(rows[0]["height"]), int(rows[0]["width"]))
    maps = []
    for column in ("truth", "predicted"):
        found = np.full(shape, background, np.uint8)
        for place, mask in enumerate(_decoded(rows, column)):
            found[place // regions][mask > 0] = names.index(rows[place]["region"])
        maps.append(found)
    return maps[0], maps[1]


def write_predictions(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Write a header and the rows; numbers are written to the last digit."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["part", "patient", "frame", *columns])
    writer.writerows(rows)
    write_text(path, text.getvalue())
