"""predictions.csv: one line a frame, from which the classification scores can be computed again."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from src.files import write_text

Row = list[str | int | float]


def classification_rows(
    part: str, frames: Sequence[tuple[str, str]], labels: Sequence[int], probabilities: np.ndarray
) -> list[Row]:
    """part, patient, frame, label (1 sick), probability of sick."""
    triples = zip(frames, labels, probabilities.tolist(), strict=True)
    return [[part, *frame, label, probability] for frame, label, probability in triples]


def segmentation_rows(part: str, frames: Sequence[tuple[str, str]], dice: np.ndarray) -> list[Row]:
    """part, patient, frame, then the Dice of each class; empty where truth and prediction both lack it."""
    return [
        [part, *frame, *("" if np.isnan(value) else value for value in values.tolist())]
        for frame, values in zip(frames, dice, strict=True)
    ]


def write_predictions(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Write a header and the rows; numbers are written to the last digit."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["part", "patient", "frame", *columns])
    writer.writerows(rows)
    write_text(path, text.getvalue())
