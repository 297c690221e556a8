"""frames.csv, regions.csv, differences.csv, series.csv, rates.csv and legend.csv, and what their columns mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from src.classes import Classes
from src.evaluation.region_colours import region_colour
from src.files import write_csv
from src.prediction.identity import Identity
from src.prediction.predictors import NOTICE, Classification, Result, Segmentation
from src.prediction.series import Rate

Row = dict[str, Any]

README = f"""{NOTICE}

Left is left in the picture: it shows the patient's right breast where she faces the camera.
Open index.html in any browser. Tables have one row a frame, or a frame and region; an empty cell is what is not known.

Of the frame, in all tables
  frame                  its path below the input, without suffix
  patient, visit, view, date, frame_number, series
                         what that path tells; series names the frames of one patient that follow each other
  unit                   C: degrees Celsius; gray level: 0 to 255 of the picture; none: colours alone
Gray levels are of each picture's own scale: they compare what is within one picture, hardly ever two pictures.

frames.csv
  file                   the file that stands for the frame
  rows, columns          its pixels
  probability, calibrated_probability, threshold, reaches_threshold
                         of a classifier: probability of sick, which is compared to the threshold; and calibrated
  least_agreement        of the frame's regions, the lowest agreement (below)
  warnings               those of its regions
  distance, distance_threshold, unlike_training
                         how far it is from the training data, and whether that is further than 99% of such frames are
  second_look            of the weights that ship: whether the answer is that of a second look, at the negative too
  models_taught          of a trained run: how many of its models were trained or chosen on the patient, where the path
                         tells who it is; what these say of the frame is no test of them

features.csv             of a classifier that rests on features
  feature, value         evidence, evidence_other_breast: logits of a tumour in either breast, and in the one that has
                         less of it, by a network taught on drawn torsos; excess: most by which a place of the breasts
                         is warmer than anatomy explains; others: how far left and right differ; all but the logits
                         in standard deviations of the frame's levels
  share                  what it adds to the logit of a frame of average features

regions.csv
  region                 its name
  area, share            pixels of the frame; share of them, 0 to 1
  mean, median, maximum, sd
                         over the region's pixels, in unit
  probability            the confidence: mean probability of the region where it was chosen
  agreement              mean Dice, 0 to 1, with the answers for the mirror image and for two slightly changed copies
  pieces                 parts of at least 7% of the region; 0: not found
  warnings               what anatomy hardly allows, or copies disagree on, in words

differences.csv          left minus right
  pair                   the regions left_... and right_...
  warnings               those of the two regions: the difference means little then

series.csv               regions.csv in the order of time, for frames that are of a series; also
  difference             mean of this pair, left minus right; empty where one of both is warned of
rates.csv                how fast a region's mean changes in a series; its frames with a warning are left out
  frames                 that are measured
  coldest                number of the frame at which all regions together are coldest
  cooling, rewarming     slope of a line through the means until that frame, and from it on, in unit a frame; empty with
                         fewer than three frames
  cooling_difference, rewarming_difference
                         left minus right
The regions of a series are carried along: each frame's probabilities are averaged with those of the frames before and
after it. Agreement is the frame's own. Between two frames of DMR's dynamic protocol lie 15 seconds.

labels/                  a PNG a frame, whose pixels are the values of legend.csv
legend.csv               value: 0 is the background, others are the ids of regions.coco.json; name; colour in pictures
pictures/, overlays/     the frame in a colour map over its own range; the gray frame with its regions, or tinted where
                         the breasts are warmer than anatomy explains
"""


def frame_row(result: Result, known: Identity) -> Row:
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
    row |= {
        "distance": result.distance,
        "distance_threshold": result.distance_threshold,
        "unlike_training": _word(result.unlike_training),
    }
    row |= asdict(known)
    return row | {"second_look": _word(result.second)} if isinstance(result, Segmentation) else row


def feature_rows(result: Classification, known: Identity) -> list[Row]:
    """The lines of features.csv of one frame."""
    return [{"frame": str(result.thermogram.name), **asdict(each), **asdict(known)} for each in result.features]


def region_rows(result: Segmentation, known: Identity) -> list[Row]:
    """The lines of regions.csv of one frame."""
    agreed = result.agreement or (None,) * len(result.classes.names)
    return [
        {
            "frame": str(result.thermogram.name),
            **asdict(found),
            "probability": result.confidences[place],
            "agreement": agreed[place],
            "pieces": judged.pieces,
            "share": judged.share,
            "warnings": "; ".join(judged.warnings),
            **asdict(known),
        }
        for place, found, judged in zip(result.classes.regions, result.regions, result.plausibility, strict=True)
    ]


def difference_rows(result: Segmentation, known: Identity) -> list[Row]:
    """The lines of differences.csv of one frame: left minus right."""
    return [
        {
            "frame": str(result.thermogram.name),
            **asdict(found),
            "warnings": "; ".join(result.doubts(found.pair)),
            **asdict(known),
        }
        for found in result.differences
    ]


_OF_SERIES = ("series", "frame_number", "region", "mean", "median", "maximum", "sd", "area", "share", "unit")


def series_rows(result: Segmentation, known: Identity) -> list[Row]:
    """The lines of series.csv of one frame."""
    sure = {found.pair: found.mean for found in result.differences if not result.doubts(found.pair)}
    return [
        {name: row[name] for name in _OF_SERIES}
        | {"difference": sure.get(row["region"].lower().partition("_")[2]), "warnings": row["warnings"]}
        | {name: row[name] for name in ("frame", "patient", "visit", "view", "date")}
        for row in region_rows(result, known)
    ]


def rate_rows(name: str, found: Sequence[Rate], known: Identity) -> list[Row]:
    """The lines of rates.csv of one series."""
    whose = {key: value for key, value in asdict(known).items() if key in ("patient", "visit", "view", "date")}
    return [{"series": name, **asdict(rate), "unit": f"{rate.unit} a frame", **whose} for rate in found]


def legend_rows(classes: Classes) -> list[Row]:
    """The lines of legend.csv: the values of label pictures."""
    rows = [
        {"value": value, "name": name, "colour": region_colour(index, name) if value else "#000000"}
        for index, (name, value) in enumerate(zip(classes.names, classes.label_values, strict=True))
    ]
    return sorted(rows, key=lambda row: int(row["value"]))


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as CSV, numbers to six digits, what is not known as an empty cell."""
    cells = ([f"{value:.6g}" if isinstance(value, float) else value for value in row.values()] for row in rows)
    write_csv(path, rows[0] if rows else ["frame"], cells)


def _word(value: bool | None) -> str:
    return "unknown" if value is None else "yes" if value else "no"
