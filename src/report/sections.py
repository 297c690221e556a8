"""The report's own part of each run: its curves, its pictures, what it warned of, and the trials it is made of."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from src.report import curves as report_curves
from src.report.curves import Curve, drawn
from src.report.reading import Reader
from src.report.runs import Run
from src.report.tables import as_list

_PNG = b"\x89PNG\r\n\x1a\n"
_CAPTIONS = {
    "regions": "Regions: input, truth and prediction of test frames",
    "worst": "Worst frames: those of the lowest mean Dice",
    "latents": "Latents: what they rebuild, three main components as red, green, blue, and clusters",
}
_SHOWN_WARNINGS = 20


@dataclass(frozen=True)
class Picture:
    """A picture inside the page."""

    caption: str
    source: str
    data: str
    """Its bytes in base64."""


@dataclass(frozen=True)
class RunSection:
    """What a run's own part of the page shows."""

    title: str
    name: str
    finished: str
    command: str
    curves: list[Curve]
    pictures: list[Picture]
    warnings: list[str]
    unshown: int
    """Further warnings that are only in the file."""
    trials: list["RunSection"] = field(default_factory=list)
    """The folds of the first seed, where it pools several trainings."""


def run_section(reader: Reader, title: str, run: Run, runs: Mapping[str, Run]) -> RunSection:
    """The section of a run; `runs` are all by folder, among which are its trials."""
    trials, folds = trials_of(run, runs), trials_of(run, runs, of_first_seed=True)
    sections = [_of_run(reader, fold.name, fold, [report_curves.loss_curve(fold)], ("regions",)) for fold in folds]
    curves = [report_curves.trial_curves(run, trials) if trials else report_curves.loss_curve(run)]
    if run.task == "classification":
        curves += report_curves.classifier_curves(run)
    if run.task == "segmentation":
        # A pooled result has its regions in another order than its trials, whose colours are those of the pictures.
        names = class_names((folds or [run])[0])
        curves.append(report_curves.dice_boxes(run, names, str(run.settings.get("background") or "background")))
    found = _of_run(reader, title, run, curves)
    found.trials.extend(sections)
    return found


def trials_of(run: Run, runs: Mapping[str, Run], of_first_seed: bool = False) -> list[Run]:
    """The trainings of a pooled result: all, or the folds of its first seed."""
    entries = [entry for entry in as_list(run.trials.get("trials")) if isinstance(entry, dict)]
    if of_first_seed:
        entries = [entry for entry in entries if entry.get("seed") == entries[0].get("seed")]
    # Folders stand there from the output root on.
    return [runs[name] for entry in entries if (name := str(entry.get("folder"))) in runs]


def class_names(run: Run) -> list[str]:
    """The classes in the order of their scores, the background among them."""
    return [name.removeprefix("test/dice/") for name in run.results.metrics if name.startswith("test/dice/")]


def finished_at(run: Run) -> str:
    """Day and minute at which the scores were written, which are a run's last file."""
    written = (run.results.folder / "metrics.json").stat().st_mtime
    return datetime.fromtimestamp(written).strftime("%Y-%m-%d %H:%M")


def _of_run(
    reader: Reader, title: str, run: Run, curves: Sequence[Curve | None], only: Sequence[str] = ()
) -> RunSection:
    drawn_anew = {curve.replaces for curve in drawn(curves)}
    paths = [path for path in run.pictures if path.stem not in drawn_anew and (not only or path.stem in only)]
    pictures = [read_picture(reader, path) for path in paths]
    return RunSection(
        title=title,
        name=run.name,
        finished=finished_at(run) if run.finished else "",
        command=str(run.provenance.get("command") or ""),
        curves=drawn(curves),
        pictures=[picture for picture in pictures if picture],
        warnings=run.warnings[:_SHOWN_WARNINGS],
        unshown=max(len(run.warnings) - _SHOWN_WARNINGS, 0),
    )


def read_picture(reader: Reader, path: Path) -> Picture | None:
    """A PNG of a run; None, with a note, where it is none."""
    try:
        content = path.read_bytes()
    except OSError as error:
        reader.note(path, error)
        return None
    if not content.startswith(_PNG):
        reader.note(path, "no PNG")
        return None
    caption = _CAPTIONS.get(path.stem, path.stem.replace("_", " "))
    return Picture(caption, reader.below(path), base64.b64encode(content).decode("ascii"))


def is_phantom(run: Run) -> bool:
    """Whether the data are a phantom's, as far as they are still there."""
    data: Any = run.settings.get("dataset_path")
    try:
        return isinstance(data, str) and (Path(data) / "phantom.json").is_file()
    except OSError:
        return False
