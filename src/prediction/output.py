"""The folder of a prediction: what is collected of each frame, and the tables, notes and page made of it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from src.datasets.source import Skipped
from src.files import write_json, write_text
from src.prediction import tables
from src.prediction.coco import CocoRegions
from src.prediction.identity import Identity
from src.prediction.inputs import Unit
from src.prediction.page import UNITS, Card, Page, SeriesPart, card, rate_lines, render
from src.prediction.predictors import NOTICE, Classification, Classifier, Result, Segmentation, Segmenter
from src.prediction.series import Course, Rate, rates
from src.prediction.trained import Trained


@dataclass(frozen=True)
class Place:
    """A folder of pictures, one a frame, in the output."""

    folder: str
    suffix: str

    def of(self, name: PurePath) -> PurePosixPath:
        """Where the picture of a frame lies."""
        return PurePosixPath(self.folder) / f"{name.as_posix()}{self.suffix}"


PICTURES, OVERLAYS, LABELS = Place("pictures", ".jpg"), Place("overlays", ".png"), Place("labels", ".png")


@dataclass
class _Followed:
    """One series while its frames come in."""

    known: Identity
    units: set[Unit] = field(default_factory=set)
    numbers: list[int] = field(default_factory=list)
    means: dict[str, list[float | None]] = field(default_factory=dict)
    """Of each region in each frame; None where a warning says not to trust it."""

    def add(self, result: Segmentation, number: int) -> None:
        """Its next frame."""
        self.units.add(result.thermogram.unit)
        self.numbers.append(number)
        for measured, judged in zip(result.regions, result.plausibility, strict=True):
            self.means.setdefault(measured.region, []).append(None if judged.warnings else measured.mean)

    @property
    def courses(self) -> list[Course]:
        """Its regions over time; none where its frames have no unit, or not all the same."""
        if len(self.units) != 1 or "none" in self.units:
            return []
        return [Course(region, tuple(self.numbers), tuple(means)) for region, means in self.means.items()]

    @property
    def unit(self) -> Unit:
        """Of all its frames."""
        return next(iter(self.units)) if len(self.units) == 1 else "none"

    @property
    def rates(self) -> list[Rate]:
        """How fast its regions cool and warm again."""
        return rates(self.courses, self.unit)


@dataclass
class Collected:
    """What is written once all frames are through; small for each frame."""

    predictor: Segmenter | Classifier
    coco: CocoRegions | None = None
    cards: list[Card] = field(default_factory=list)
    rows: defaultdict[str, list[tables.Row]] = field(default_factory=lambda: defaultdict(list))
    """Of the tables, by the names of their files."""
    followed: dict[str, _Followed] = field(default_factory=dict)
    warnings: Counter[str] = field(default_factory=Counter)
    """How many regions have each warning."""
    unlike: int = 0
    doubtful: int = 0
    """Frames with a region that is implausible."""
    coloured: int = 0
    """Frames without a heat map, where the run reads heat maps."""
    taught: int = 0
    """Frames of patients that a model was trained or chosen on."""

    def __post_init__(self) -> None:
        self.rows["frames.csv"] = []
        if isinstance(self.predictor, Segmenter):
            classes = self.trained.record.classes
            self.coco = CocoRegions(classes)
            self.rows |= {"regions.csv": [], "differences.csv": []}
            self.rows["legend.csv"] = tables.legend_rows(classes)

    @property
    def done(self) -> int:
        """How many frames are predicted."""
        return len(self.rows["frames.csv"])

    @property
    def trained(self) -> Trained:
        """What predicts."""
        return self.predictor.trained

    def add(self, result: Result, known: Identity, name: PurePosixPath) -> None:
        """A frame's share of the tables, the COCO file and the page; `name` is that of its pictures."""
        pictures = {"picture": PICTURES.of(name)}
        if isinstance(result, Segmentation):
            pictures |= {"with regions": OVERLAYS.of(name), "labels": LABELS.of(name)}
        if isinstance(result, Classification) and result.excess is not None:
            pictures |= {"excess": OVERLAYS.of(name)}
            self.rows["features.csv"] += tables.feature_rows(result, known)
        row, note = tables.frame_row(result, known), ""
        if self.trained.run is not None:
            of, models = self.trained.models_taught_on(known.patient), self.trained.models
            row["models_taught"] = f"{of} of {models}" if known.patient else None
            self.taught += of > 0
            who = "The model" if models == 1 else f"{of} of {models} models"
            note = f"{who} {'was' if of == 1 else 'were'} trained or chosen on this patient." if of else ""
        self.rows["frames.csv"].append(row)
        self.cards.append(card(result, pictures, note))
        self.unlike += result.unlike_training is True
        self.coloured += self.trained.colours(result.thermogram)
        if isinstance(result, Segmentation) and self.coco is not None:
            self.coco.add(result.thermogram.file, result.labels, result.confidences)
            self.doubtful += bool(result.warnings)
            self.warnings.update(warning for judged in result.plausibility for warning in judged.warnings)
            self.rows["regions.csv"] += tables.region_rows(result, known)
            self.rows["differences.csv"] += tables.difference_rows(result, known)
            if known.series and known.frame_number is not None:
                self.rows["series.csv"] += tables.series_rows(result, known)
                self.followed.setdefault(known.series, _Followed(known)).add(result, known.frame_number)

    @property
    def colouring(self) -> str:
        """How frames came to the heat maps that the run reads."""
        of_training = "that of the run's training data"
        if self.trained.record.palette is None:
            of_training = f"which is ASSUMED: {of_training} is not known"
        begin = f"{self.coloured} frame(s) came without a heat map and were coloured with the palette"
        return f"{begin} {self.trained.palette}, {of_training}."

    @property
    def known_patients(self) -> str:
        """How many frames say nothing of how good the models are."""
        who = "the model was" if self.trained.models == 1 else f"some of the {self.trained.models} models were"
        return f"{self.taught} frame(s) are of patients that {who} trained or chosen on: they test nothing"

    @property
    def warned(self) -> str:
        """How many frames and regions have a warning, in one line."""
        if not self.warnings:
            return "no warnings: all regions are where and as large as anatomy has them"
        kinds = ", ".join(f"{kind} {count}" for kind, count in self.warnings.most_common())
        return f"{self.doubtful} of {self.done} frame(s) have regions with a warning: {kinds}"


def write_all(out: Path, source: Path, collected: Collected, skipped: Skipped, given: int | None = None) -> None:
    """Write the tables, the notes and the page; `given`: how many frames there were, where it was interrupted."""
    written, regions = collected.rows, collected.trained.record.classes.regions
    for name, each in collected.followed.items():
        written["rates.csv"] += tables.rate_rows(name, each.rates, each.known)
    for name, rows in written.items():
        tables.write_table(out / name, rows)
    if collected.coco is not None:
        write_text(out / "regions.coco.json", json.dumps(collected.coco.content))
    write_text(out / "README.txt", tables.README)
    write_json(out / "prediction.json", _record(source, collected, skipped, given))
    page = Page(
        title=f"Predictions for {source.name or source}",
        facts=_facts(collected, given),
        files=[*written, *(["regions.coco.json"] if collected.coco is not None else []), "README.txt"],
        regions=[(index, name.replace("_", " ")) for index, name in regions.items()],
        cards=collected.cards,
        series=[_part(name, each, collected) for name, each in collected.followed.items()],
        left_out=skipped.reasons,
    )
    write_text(out / "index.html", render(page))


def _part(name: str, followed: _Followed, collected: Collected) -> SeriesPart:
    from src.prediction.charts import panels  # with matplotlib: a second, which few predictions need

    return SeriesPart(
        name=name,
        patient=followed.known.patient,
        date=followed.known.date or "",
        frames=len(followed.numbers),
        unit=UNITS[followed.unit],
        panels=panels(followed.courses, collected.trained.record.classes.names),
        rates=rate_lines(followed.rates),
    )


def _facts(collected: Collected, given: int | None) -> list[str]:
    trained, done = collected.trained, collected.done
    known = trained.record.typicality
    untold = "the weights saw drawn torsos alone" if trained.run is None else "the run had too few frames"
    facts = [
        f"{done} frame(s), by {trained.name}." + (f" INTERRUPTED: there were {given}." if given is not None else ""),
        f"Which frames are unlike the training data cannot be told: {untold}."
        if known is None
        else f"{collected.unlike} frame(s) are unlike the training data: further from it in what the decoder sees than "
        f"{known.threshold:.2f}, which one in {round(1 / (1 - known.quantile))} frames of its kind would be, judged by "
        f"its {known.frames} frames of training and validation. What is predicted for them is worth little.",
    ]
    if collected.coco is not None:
        facts.append(
            f"{collected.doubtful} frame(s) have regions with a warning, which anatomy hardly allows or changed copies "
            "disagree on; differences with such a region are struck out."
            if collected.doubtful
            else "No region has a warning."
        )
    if collected.coloured:
        facts.append(collected.colouring)
    if collected.taught:
        facts.append(f"{collected.known_patients[0].upper()}{collected.known_patients[1:]}.")
    if isinstance(collected.predictor, Classifier):
        facts.append(
            f"Threshold and calibration were chosen on means over the frames of each {trained.chosen_on}."
            if trained.run is not None
            else "No patient's diagnosis was ever seen: the probability would be right if half of all patients had a "
            "tumour, and tumours were as they were drawn. It ranks frames at best, and diagnoses nobody."
        )
        if any(each.features for each in collected.cards):
            facts.append(
                "The second picture is tinted where the breasts are warmer than anatomy explains, fully from a tenth "
                "of the frame's standard deviation on (some .4\N{NO-BREAK SPACE}°C). A feature's share is what it adds "
                "to the logit of the probability; README.txt says what the features are."
            )
    if collected.followed:
        facts.append(
            "Regions of a series are carried along: each frame's probabilities are averaged with those of the frames "
            "before and after it."
        )
    facts.append("Each picture has a scale of its own: equal colours in two need not be equal temperatures.")
    return facts


def _record(source: Path, collected: Collected, skipped: Skipped, given: int | None) -> dict[str, Any]:
    """prediction.json."""
    trained = collected.trained
    of_regions = {"doubtful": collected.doubtful, "warnings": dict(collected.warnings)}
    return {
        "notice": NOTICE,
        "input": str(source),
        "run": None if trained.run is None else str(trained.run.root),
        "by": trained.name,
        "task": "segmentation" if collected.coco is not None else "classification",
        "models": trained.models,
        "epoch": trained.best_epoch,
        "frames": collected.done,
        "interrupted_of": given,
        "unlike_training": collected.unlike,
        **(of_regions if collected.coco is not None else {}),
        "coloured": collected.coloured,
        "palette": trained.palette if collected.coloured else None,
        "palette_of_training": trained.record.palette,
        "left_out_or_changed": skipped.reasons,
    }
