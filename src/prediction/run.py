"""`--mode predict`: a folder or a file in, a folder of pictures, tables and a sheet out."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from tqdm import tqdm

from src.datasets.source import Skipped
from src.errors import UserError
from src.files import NameRefusedError, atomic_write, write_json, write_text
from src.networks import checkpoint as checkpoints
from src.prediction.coco import CocoRegions
from src.prediction.inputs import FrameFiles, Thermogram, find_frames, read_thermogram
from src.prediction.output_names import output_names, portable
from src.prediction.pictures import label_picture, overlay, png
from src.prediction.predictors import (
    NOTICE,
    Classifier,
    Result,
    Segmentation,
    Segmenter,
    load_classifier,
    load_segmenter,
)
from src.prediction.sheet import Card, card, sheet
from src.prediction.tables import Row, difference_rows, frame_row, region_rows, write_table
from src.prediction.trained import Frame, Task, Trained
from src.settings import TASKS
from src.settings_fields import Kind, fields_of
from src.training.run_folder import RunFolder

logger = logging.getLogger(__name__)

Read = tuple[Thermogram, Frame]


@dataclass
class _Collected:
    """What is written once all frames are through; small for each frame."""

    coco: CocoRegions | None
    cards: list[Card] = field(default_factory=list)
    frames: list[Row] = field(default_factory=list)
    regions: list[Row] = field(default_factory=list)
    differences: list[Row] = field(default_factory=list)
    unlike: int = 0
    doubtful: int = 0
    """Frames with a region that is implausible."""
    coloured: int = 0
    """Frames without a heat map, where the run reads heat maps."""

    def add(self, result: Result, name: PurePosixPath) -> None:
        """A frame's share of the tables, the COCO file and the sheet; `name` is that of its pictures."""
        self.frames.append(frame_row(result))
        self.cards.append(card(result, _overlay(name)))
        self.unlike += result.unlike_training is True
        if isinstance(result, Segmentation) and self.coco is not None:
            self.coco.add(result)
            self.doubtful += bool(result.warnings)
            self.regions += region_rows(result)
            self.differences += difference_rows(result)


def predict_files(
    run: Path | None,
    task: Task,
    source: Path,
    output: Path | None,
    device: str,
    asked: Mapping[str, Any] | None = None,
) -> None:
    """Predict every frame of a folder or the one of a file with a trained run, and write all there is to see.

    Without a run, regions are those of the weights that ship, and `output` is by default below predictions in the
    current folder instead of the run's. Frames that cannot be read are skipped and counted. Raises `UserError` where
    nothing can be read, the run cannot be used or was trained with other settings than those `asked` for, or the output
    folder holds something already.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)
    predictor = _predictor(run, task, device, asked or {})
    out = output or (run or Path()) / "predictions" / (source.resolve().stem or "input")
    _check(source, out)
    if run is None:
        logger.info("no trained run is named: regions by %s; output: %s", predictor.trained.name, out)
    skipped = Skipped()
    frames = find_frames(source, skipped)
    names = output_names(frame.name for frame in frames)
    classes = (predictor.class_names, predictor.background) if isinstance(predictor, Segmenter) else None
    collected = _Collected(CocoRegions(classes) if classes else None)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for results in _results(predictor, frames, skipped, pool):
            wanted = [names[result.thermogram.name] for result in results]
            called = list(pool.map(lambda result, name: _write_pictures(out, result, name), results, wanted))
            for result, name in zip(results, called, strict=True):
                frame = result.thermogram
                if isinstance(name, str):
                    skipped.add("frames whose pictures cannot be written", f"{frame.file}: {name}")
                    continue
                if name != PurePosixPath(frame.name):
                    skipped.add("frames whose pictures got another name", f"{frame.file}: {name}.png")
                collected.add(result, name)
                collected.coloured += predictor.trained.colours(result.thermogram)
    skipped.report(logger)
    if not collected.frames:
        raise UserError(f"{source}: none of {len(frames)} frame(s) could be read: {'; '.join(sorted(skipped.reasons))}")
    _write(out, predictor, source, collected, skipped)
    logger.info("%d frame(s), %d unlike the training data: %s", len(collected.frames), collected.unlike, out)
    if collected.coloured and predictor.trained.record.palette is None:
        logger.warning(_colouring(predictor.trained, collected.coloured))
    logger.info("look at %s", out / "index.html")
    logger.info(NOTICE)


def _predictor(run: Path | None, task: Task, device: str, asked: Mapping[str, Any]) -> Segmenter | Classifier:
    """A run's predictor, refused where it was trained with other settings than those asked for; or the shipped one."""
    if run is None:
        return load_segmenter(device=device)
    best = RunFolder(run).best
    predictor = load_segmenter(run, device) if task == "segmentation" else load_classifier(run, device)
    free = fields_of(TASKS[task], Kind.MACHINE, Kind.LENGTH, Kind.PLACE)  # which have no say in it
    relevant = {name: value for name, value in asked.items() if name not in free}
    checkpoints.refuse_other_settings(checkpoints.load(best).settings, relevant, best)
    return predictor


def _check(source: Path, out: Path) -> None:
    if source.is_dir() and (out.resolve() == source.resolve() or source.resolve() in out.resolve().parents):
        raise UserError(f"{out}: the output may not lie in the input {source}; give another --output")
    try:
        taken = out.exists() and (not out.is_dir() or any(out.iterdir()))
    except OSError as error:
        raise UserError(f"{out}: cannot be read: {error.strerror}") from None
    if taken:
        raise UserError(f"{out} holds something already; give --output a new or empty folder")


def _results(
    predictor: Segmenter | Classifier, frames: Sequence[FrameFiles], skipped: Skipped, pool: ThreadPoolExecutor
) -> Iterator[Sequence[Result]]:
    """The results of each batch; frames that cannot be read are added to `skipped`."""
    trained = predictor.trained

    def read(frame: FrameFiles) -> Read | str:
        try:
            thermogram = read_thermogram(frame, skipped)
            return thermogram, trained.frame_of(thermogram, skipped)
        except UserError as error:
            return str(error)

    with tqdm(total=len(frames), desc="predicting", unit="frame", disable=None) as bar:
        for start in range(0, len(frames), trained.at_once):
            chunk = frames[start : start + trained.at_once]
            usable: list[Read] = []
            for frame, found in zip(chunk, pool.map(read, chunk), strict=True):
                if isinstance(found, str):
                    skipped.add(f"frames that cannot be read: {found}", str(frame.main))
                else:
                    usable.append(found)
            if usable:
                thermograms = [thermogram for thermogram, _ in usable]
                yield predictor.results(thermograms, trained([frame for _, frame in usable]))
            bar.update(len(chunk))


def _overlay(name: PurePosixPath) -> PurePosixPath:
    """Where the overlay lies in the output folder."""
    return PurePosixPath("overlays") / f"{name}.png"


def _write_pictures(out: Path, result: Result, name: PurePosixPath) -> PurePosixPath | str:
    """Write a frame's pictures; returns what they are called, or why the file system takes them by no name.

    One bad name does not end a prediction of many; a full disk does.
    """
    overlaid, labels = png(overlay(result)), label_picture(result) if isinstance(result, Segmentation) else None
    refusal = ""
    for called in (name, portable(name)):
        try:
            with atomic_write(out / _overlay(called)) as file:
                file.write(overlaid)
            if labels is not None:
                with atomic_write(out / "labels" / f"{called}.png") as file:
                    file.write(labels)
        except NameRefusedError as error:
            refusal = str(error)
        else:
            return called
    return refusal


def _colouring(trained: Trained, count: int) -> str:
    """How frames came to the heat maps that the run reads."""
    begin = f"{count} frame(s) came without a heat map and were coloured with the palette {trained.palette}"
    if trained.record.palette is None:
        return f"{begin}, which is ASSUMED: that of the run's training data is not known."
    return f"{begin}, that of the run's training data."


def _untold(trained: Trained) -> str:
    return "the weights saw drawn torsos alone" if trained.run is None else "the run had too few frames"


def _write(out: Path, predictor: Segmenter | Classifier, source: Path, collected: _Collected, skipped: Skipped) -> None:
    trained = predictor.trained
    write_table(out / "frames.csv", collected.frames)
    if collected.coco is not None:
        write_table(out / "regions.csv", collected.regions)
        write_table(out / "differences.csv", collected.differences)
        write_text(out / "regions.coco.json", json.dumps(collected.coco.content))
    known = trained.record.typicality
    facts = [
        f"{len(collected.frames)} frame(s), by {trained.name}.",
        f"Which frames are unlike the training data cannot be told: {_untold(trained)}."
        if known is None
        else f"{collected.unlike} frame(s) are unlike the training data: further from it in what the decoder sees than "
        f"{known.threshold:.2f}, which one in {round(1 / (1 - known.quantile))} frames of its kind would be, judged by "
        f"its {known.frames} frames of training and validation. What is predicted for them is worth little.",
    ]
    if collected.coco is not None:
        facts.append(
            f"{collected.doubtful} frame(s) have regions that anatomy hardly allows, each with a warning. Agreement is "
            "the mean Dice between a frame's regions and those of its mirror image and of four slightly changed copies."
        )
    if collected.coloured:
        facts.append(_colouring(trained, collected.coloured))
    if isinstance(predictor, Classifier):
        facts.append("Threshold and calibration were chosen on means over each validation patient's frames.")
    run = None if trained.run is None else str(trained.run.root)
    record: dict[str, Any] = {"notice": NOTICE, "input": str(source), "run": run, "by": trained.name}
    record |= {"task": "classification" if isinstance(predictor, Classifier) else "segmentation"}
    record |= {"epoch": trained.best_epoch, "frames": len(collected.frames), "unlike_training": collected.unlike}
    record |= {"doubtful": collected.doubtful} if collected.coco is not None else {}
    record |= {"coloured": collected.coloured, "palette": trained.palette if collected.coloured else None}
    record |= {"palette_of_training": trained.record.palette}
    write_json(out / "prediction.json", record | {"left_out_or_changed": skipped.reasons})
    title = f"Predictions for {source.name or source}"
    write_text(out / "index.html", sheet(title, facts, collected.cards, skipped.reasons))
