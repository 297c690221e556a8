"""The report's own part of each run: its curves, its pictures, what it warned of, and the trials it is made of."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from src.report.curves import Curve, classifier_curves, dice_boxes, loss_curve, trial_curves
from src.report.reading import Reader
from src.report.runs import Run, class_names

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
    data: str  # its bytes in base64


def run_section(reader: Reader, title: str, run: Run, runs: Mapping[str, Run]) -> dict[str, Any]:
    """What the page shows of a run, as the template takes it; `runs` are all by folder, among which are its trials."""
    trials, folds = trials_of(run, runs), trials_of(run, runs, of_first_seed=True)
    of_folds = [_of_run(reader, fold.name, fold, [loss_curve(fold)], ("regions",)) for fold in folds]
    curves = [trial_curves(run, trials) if trials else loss_curve(run)]
    if run.task == "classification":
        curves += classifier_curves(run)
    if run.task == "segmentation":
        # A pooled result has its regions in another order than its trials, whose colours are those of the pictures.
        names = class_names((folds or [run])[0])
        curves.append(dice_boxes(run, names, str(run.settings.get("background") or "background")))
    return _of_run(reader, title, run, curves) | {"trials": of_folds}


def trials_of(run: Run, runs: Mapping[str, Run], of_first_seed: bool = False) -> list[Run]:
    """The trainings of a pooled result: all, or the folds of its first seed."""
    entries = run.trial_entries
    if of_first_seed:
        entries = [entry for entry in entries if entry.get("seed") == entries[0].get("seed")]
    # Folders stand there from the output root on.
    return [runs[name] for entry in entries if (name := str(entry.get("folder"))) in runs]


def finished_at(run: Run) -> str:
    """Day and minute at which the scores were written, which are a run's last file."""
    written = (run.results.folder / "metrics.json").stat().st_mtime
    return datetime.fromtimestamp(written).strftime("%Y-%m-%d %H:%M")


def _of_run(
    reader: Reader, title: str, run: Run, drawn: Sequence[Curve | None], only: Sequence[str] = ()
) -> dict[str, Any]:
    curves = [curve for curve in drawn if curve]
    drawn_anew = {curve.replaces for curve in curves}
    paths = [path for path in run.pictures if path.stem not in drawn_anew and (not only or path.stem in only)]
    pictures = [read_picture(reader, path) for path in paths]
    return {
        "title": title,
        "name": run.name,
        "finished": finished_at(run) if run.finished else "",
        "command": str(run.provenance.get("command") or ""),
        "curves": curves,
        "pictures": [picture for picture in pictures if picture],
        "warnings": run.warnings[:_SHOWN_WARNINGS],
        "unshown": max(len(run.warnings) - _SHOWN_WARNINGS, 0),
    }


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
