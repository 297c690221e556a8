"""regions.csv, differences.csv and frames.csv."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from src.files import atomic_write
from src.prediction.predictors import NOTICE, Classification, Result, Segmentation

Row = dict[str, Any]


def frame_row(result: Result) -> Row:
    """A line of frames.csv: what is said of the whole frame."""
    thermogram = result.thermogram
    row: Row = {
        "frame": str(thermogram.name),
        "file": str(thermogram.file),
        "rows": thermogram.size[0],
        "columns": thermogram.size[1],
        "unit": thermogram.unit,
    }
    if isinstance(result, Classification):
        row |= {
            "probability": result.probability,
            "calibrated_probability": result.calibrated,
            "threshold": result.threshold,
            "reaches_threshold": _word(result.reaches_threshold),
        }
    if isinstance(result, Segmentation):
        least = result.least_agreement
        row |= {"least_agreement": least and least[1], "warnings": "; ".join(result.warnings)}
    return row | {
        "distance": result.distance,
        "distance_threshold": result.distance_threshold,
        "unlike_training": _word(result.unlike_training),
        "notice": NOTICE,
    }


def region_rows(result: Segmentation) -> list[Row]:
    """The lines of regions.csv of one frame."""
    places = [index for index in range(len(result.class_names)) if index != result.background]
    agreed = result.agreement or (None,) * len(result.class_names)
    return [
        {
            "frame": str(result.thermogram.name),
            **asdict(found),
            "probability": result.confidences[place],
            "agreement": agreed[place],
            "pieces": judged.pieces,
            "share": judged.share,
            "warnings": "; ".join(judged.warnings),
            "notice": NOTICE,
        }
        for place, found, judged in zip(places, result.regions, result.plausibility, strict=True)
    ]


def difference_rows(result: Segmentation) -> list[Row]:
    """The lines of differences.csv of one frame: left minus right."""
    return [{"frame": str(result.thermogram.name), **asdict(found), "notice": NOTICE} for found in result.differences]


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as CSV, numbers to six digits, what is not known as an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows[0] if rows else ["frame", "notice"])
    writer.writerows(_cells(row.values()) for row in rows)
    with atomic_write(path) as file:
        file.write(text.getvalue().encode("utf-8", "surrogateescape"))  # file names are bytes, not always text


def _cells(values: Iterable[Any]) -> list[str]:
    return ["" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value) for value in values]


def _word(value: bool | None) -> str:
    return "unknown" if value is None else "yes" if value else "no"
