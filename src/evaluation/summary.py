"""Prints the scores of the runs of a folder, an output root or one run: `python -m src.evaluation.summary FOLDER`."""

from src.errors import UserError, end_at_once, run, some

if __name__ == "__main__":  # what it needs takes a second to be imported, and Ctrl-C may come in it
    end_at_once()

import argparse
import re
from pathlib import Path
from typing import Any

from src.files import read_json
from src.places import PROTOCOLS, SCRIPTS, TRIAL, RunFiles, output_root
from src.settings.file import read_record

_SHOWN = (
    "test/reconstruction",
    "test/patient_auc",
    "test/patient_average_precision",
    "test/patient_balanced_accuracy",
    "test/patient_auc_within_year",
    "test/patient_auc_within_fold",
    "test/patient_sensitivity",
    "test/patient_specificity",
    "test/patient_brier_calibrated",
    "test/frame_auc",
    "test/dice_macro",
    "test/iou_macro",
    "test/image_surface_dice_macro",
    "test/image_hausdorff95_macro",
    "test/pixel_accuracy",
    "epochs",
    "seconds",
    "peak_memory_mb",
)
_WHOLE = ("epochs", "seconds", "peak_memory_mb")
_MAIN = ("test/patient_auc", "test/dice_macro", "test/reconstruction")
_REGION = "test/image_dice/"  # which the background has no score of
_EXPECTED = "trained on all patients; the score is that of k-fold"


def runs_below(folder: Path) -> list[Path]:
    """The finished runs of a folder: itself, or those of an output root or of one protocol's folder in it.

    Raises `UserError` where there are none.
    """
    if RunFiles(folder).metrics.is_file():
        return [folder]
    names = sorted(path.name for path in folder.glob("*"))
    places = [folder, *(folder / name for protocol in PROTOCOLS for name in names if re.fullmatch(protocol, name))]
    found = [run for place in places for run in sorted(place.glob("dmr_runs*")) if RunFiles(run).metrics.is_file()]
    if not found:
        raise UserError(f"{folder}: no finished run (dmr_runs*/results/metrics.json) there")
    return found


def one_run(folder: Path) -> Path:
    """The run of a folder that is one or holds one decoder's; `UserError` where that is not so."""
    found = runs_below(folder)
    decoders = [run for run in found if run == folder or "_dec" in run.name]
    if len(decoders) != 1:
        names = some([run.relative_to(folder).as_posix() for run in decoders])
        raise UserError(f"{folder}: one run is needed, there are {len(decoders)}: name one of {names or 'a decoder'}")
    return decoders[0]


def summary(folder: Path) -> str:
    """A block of lines a run; `UserError` if there is no finished run."""
    return "\n\n".join(block(found) for found in runs_below(folder))


def block(folder: Path) -> str:
    """A run's main scores with their intervals, regions by name, and where its pictures lie."""
    scores, intervals = _scores(folder)
    is_final = RunFiles(folder).expected.is_file()
    lines = [_named(folder) + (f": {_EXPECTED}" if is_final else "")]
    regions = [key.removeprefix(_REGION) for key in scores if key.startswith(_REGION)]
    for name in _SHOWN:
        found = [name] if name in scores else []
        found += [f"test/dice/{region}" for region in regions] if name == "test/dice_macro" else []
        shown = {key: key.replace("test/", "expected/") if is_final else key for key in found}
        lines += [f"  {words:34} {_number(scores, intervals, key)}" for key, words in shown.items()]
    return "\n".join([*lines, f"  pictures: {RunFiles(folder).figures}"])


def closing(folder: Path) -> str:
    """What a run ends with: its scores, and what can be done next; of one of several trainings its score alone."""
    if TRIAL.fullmatch(folder.parent.name):
        scores, intervals = _scores(folder)
        told = [f"{name} {_number(scores, intervals, name).strip()}" for name in _MAIN if name in scores]
        return f"{_named(folder)}: {', '.join(told) or 'done'}"
    return "\n".join([block(folder), *_next_steps(folder)])


def _next_steps(folder: Path) -> list[str]:
    path = RunFiles(folder).settings
    settings = read_record(path).get("settings") if path.is_file() else None
    if not isinstance(settings, dict) or settings.get("baseline"):
        return []
    steps = [f"  report:   python -m src.report {output_root(folder)}"]
    task = str(settings.get("task"))
    if task not in ("classification", "segmentation"):
        return [*steps, "  next:     main_seg.py and main_binary.py, with the same --cfg-path and --set"]
    steps.append(f"  predict:  python {SCRIPTS[task]} --mode predict --run {folder} --input FOLDER")
    if settings.get("protocol") == "holdout":
        steps.append("  next:     the same command with --protocol kfold tests each patient once: the score to report")
    elif settings.get("protocol") == "kfold":
        steps.append("  next:     the same command with --protocol final, without --seeds, trains the model to use")
    return steps


def _scores(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Scores that there are, and intervals; those that are expected of a final model under the names of test scores."""
    files = RunFiles(folder)
    scores = read_json(files.metrics, "the metrics")
    intervals = read_json(files.intervals, "the intervals") if files.intervals.exists() else {}
    if not isinstance(scores, dict) or not isinstance(intervals, dict):
        raise UserError(f"{files.results}: no scores of a run in metrics.json and intervals.json")
    named = [{key.replace("expected/", "test/"): value for key, value in of.items()} for of in (scores, intervals)]
    return {key: value for key, value in named[0].items() if value is not None}, named[1]


def _named(folder: Path) -> str:
    """The run's folder, with the protocol's where it lies in one."""
    parent = folder.resolve().parent
    return f"{parent.name}/{folder.resolve().name}" if parent != output_root(folder) else folder.resolve().name


def _number(scores: dict[str, Any], intervals: dict[str, Any], name: str) -> str:
    """A score with its 95% interval, where it has one."""
    interval = intervals.get(name)
    ends = ""
    if interval and interval["low"] is not None and interval["high"] is not None:
        ends = f"  ({interval['low']:.3f} to {interval['high']:.3f})"
    digits = 0 if name in _WHOLE else 3
    return f"{scores[name]:10.{digits}f}{ends}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m src.evaluation.summary", description=__doc__)
    words = "an output root, a protocol's folder in it, or one run's folder"
    parser.add_argument("root", type=Path, metavar="FOLDER", help=words)
    print(summary(parser.parse_args().root))


if __name__ == "__main__":
    run(main)
