"""Two runs on the same patients: paired differences with 95% intervals: `python -m src.evaluation.compare RUN RUN`.

A run is a run folder or a folder of k-fold. Differences are the first minus the second, on the same resamples of the
same patients, so that what makes a patient hard for both does not count.
"""

from src.errors import UserError, end_at_once, run, some

if __name__ == "__main__":  # drawing takes seconds to be imported, and Ctrl-C may come in them
    end_at_once()

import argparse
import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path

import numpy as np

from src.evaluation.comparison_figure import Regions, Sick, comparison
from src.evaluation.intervals import Interval, paired_bootstrap, score
from src.evaluation.summary import one_run
from src.evaluation.tested import Line, Tested, by_seed, mean_of, means_by_patient, read_tested
from src.files import write_json, write_text
from src.settings import TASKS, ClassificationSettings, DecoderRunSettings, SegmentationSettings, with_defaults
from src.settings.file import read_record

_OF_DIAGNOSIS = {
    "patient_auc": "AUC by patient",
    "patient_average_precision": "average precision",
    "patient_balanced_accuracy": "balanced accuracy",
    "patient_sensitivity": "sensitivity",
    "patient_specificity": "specificity",
}


@dataclass(frozen=True)
class _Read:
    """One of the two runs."""

    folder: Path
    settings: DecoderRunSettings
    lines: list[Line]
    seeds: dict[str, Tested]

    @property
    def patients(self) -> set[str]:
        """Who was tested."""
        return {line["patient"] for line in self.lines}

    @property
    def frames(self) -> int:
        """How many of them, each counted once."""
        return len({(line["patient"], line["frame"]) for line in self.lines})


@dataclass(frozen=True)
class Comparison:
    """What two runs scored on the same patients, and how far apart they are."""

    names: tuple[str, str]
    patients: int
    frames: tuple[int, int]  # of these patients, in either run
    scores: tuple[dict[str, float], dict[str, float]]
    differences: dict[str, Interval]  # the first minus the second
    shown: dict[str, str]  # the scores that the console and the picture show, and what these are called
    pictured: Regions | Sick


def compared(one: Path, other: Path) -> Comparison:
    """The comparison of two run folders; `UserError` where they are not of one task and the same patients."""
    a, b = _read(one), _read(other)
    if type(a.settings) is not type(b.settings):
        raise UserError(f"{a.folder} and {b.folder}: runs of two tasks cannot be compared")
    _refuse_other_patients(a, b)
    units = tuple(next(iter(read.seeds.values())).patients for read in (a, b))
    statistics = mean_of(a.seeds), mean_of(b.seeds)
    found = paired_bootstrap((units[0], units[1]), statistics, a.settings.seed)
    scores = score(statistics[0], len(units[0])), score(statistics[1], len(units[1]))
    regions = list(dict.fromkeys(line["region"] for line in a.lines if "region" in line))
    shown = dict(_OF_DIAGNOSIS)
    if regions:
        shown = {"dice_macro": "mean of regions", **{f"dice/{name}": name.replace("_", " ") for name in regions}}
    pictured = Regions(regions, _dice(a.lines), _dice(b.lines)) if regions else _sick(a, b, scores)
    names = _short_names(a.folder, b.folder)
    return Comparison(names, len(a.patients), (a.frames, b.frames), scores, found, shown, pictured)


def _read(path: Path) -> _Read:
    folder = one_run(path)
    if (folder / "results" / "expected.json").is_file():
        raise UserError(f"{folder}: the final model was trained on all patients, and tested on none: compare k-fold")
    recorded = read_record(folder / "logs" / "settings.yaml").get("settings")
    task = TASKS.get(str(recorded.get("task"))) if isinstance(recorded, dict) else None
    if not isinstance(recorded, dict) or task not in (ClassificationSettings, SegmentationSettings):
        raise UserError(f"{folder}: a run of main_seg.py or main_binary.py is needed")
    # Not validated: the data folder may be on another machine.
    settings: DecoderRunSettings = task.model_construct(**with_defaults(recorded))
    lines = read_tested(settings, folder / "results")
    return _Read(folder, settings, lines, by_seed(settings, lines))


def _refuse_other_patients(a: _Read, b: _Read) -> None:
    alone = {read.folder: sorted(read.patients - other.patients) for read, other in ((a, b), (b, a))}
    told = "; ".join(f"in {folder} alone: {some(names, 10)}" for folder, names in alone.items() if names)
    if told:
        raise UserError(f"the two runs were tested on different patients ({told}); compare runs that share a split")


def _dice(lines: Sequence[Line]) -> dict[str, float]:
    """Each patient's mean Dice over its frames, seeds and the regions that are there."""
    values: dict[str, list[float]] = {}
    for line in lines:
        if line["dice"]:
            values.setdefault(line["patient"], []).append(float(line["dice"]))
    return {patient: float(np.mean(found)) for patient, found in sorted(values.items())}


def _sick(a: _Read, b: _Read, scores: tuple[dict[str, float], dict[str, float]]) -> Sick:
    """What is pictured of two classifiers; `UserError` where a patient is healthy in one run and sick in the other."""
    names, labels, means = means_by_patient(a.lines)
    _, other_labels, other_means = means_by_patient(b.lines)
    changed = [name for name, one, other in zip(names, labels, other_labels, strict=True) if one != other]
    if changed:
        raise UserError(
            f"{a.folder} and {b.folder}: {some(changed)}: healthy in one, sick in the other; the labels changed in "
            "between, so train again with those that hold"
        )
    return Sick(labels, means, other_means, (scores[0]["patient_auc"], scores[1]["patient_auc"]))


def _short_names(one: Path, other: Path) -> tuple[str, str]:
    """The two folders without the parts of their paths that are the same."""
    a, b = (path.resolve().parts for path in (one, other))
    first = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False))))
    a, b = a[first:], b[first:]
    last = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(reversed(a), reversed(b), strict=False))))
    names = ["/".join(parts[: len(parts) - last]) or path.name for parts, path in ((a, one), (b, other))]
    return names[0], names[1]


def table(found: Comparison) -> str:
    """The comparison as lines for a console."""
    width = max(len(words) for words in found.shown.values())
    a, b = found.names
    frames = " and ".join(map(str, dict.fromkeys(found.frames)))
    lines = [f"A: {a}", f"B: {b}", f"{found.patients} patients, {frames} frames; 95% intervals of A minus B", ""]
    lines.append(f"{'Dice' if 'dice_macro' in found.shown else '':{width}}      A      B    A - B")
    for name, words in found.shown.items():
        ends = found.differences[name]
        values = "  ".join(f"{scores[name]:.3f}" for scores in found.scores)
        value = "    -" if ends.value is None else f"{ends.value:+z.3f}"
        interval = ""
        if ends.low is not None and ends.high is not None:
            interval = f"({ends.low:+z.3f} to {ends.high:+z.3f})" + ("  *" if ends.low > 0 or ends.high < 0 else "")
        lines.append(f"{words:{width}}  {values}   {value}  {interval}")
    return "\n".join([*lines, "", "*: the interval holds no 0; of many scores one in twenty does so by chance"])


def write(found: Comparison, folder: Path) -> None:
    """Write comparison.csv, comparison.json and comparison.png."""
    rows = [
        {"score": name, "a": found.scores[0][name], "b": found.scores[1][name], **asdict(interval)}
        for name, interval in found.differences.items()
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: "" if value is None else value for key, value in row.items()} for row in rows)
    write_text(folder / "comparison.csv", text.getvalue())
    plain = {name: asdict(interval) for name, interval in found.differences.items()}
    content = {"a": found.names[0], "b": found.names[1], "patients": found.patients, "frames": found.frames}
    write_json(folder / "comparison.json", content | {"differences": plain})
    comparison(found.names, found.shown, found.differences, found.pictured, folder / "comparison.png")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m src.evaluation.compare", description=__doc__)
    words = "a run folder of main_seg.py or main_binary.py, or a folder of k-fold"
    parser.add_argument("one", type=Path, metavar="RUN", help=words)
    parser.add_argument("other", type=Path, metavar="RUN", help="another one, tested on the same patients")
    folder = "where comparison.csv, .json and .png go (default: comparison in the current folder)"
    parser.add_argument("--output", type=Path, default=Path("comparison"), metavar="DIR", help=folder)
    flags = parser.parse_args()
    found = compared(flags.one, flags.other)
    flags.output.mkdir(parents=True, exist_ok=True)
    write(found, flags.output)
    print(f"{table(found)}\nwritten: {flags.output} (comparison.csv, comparison.json, comparison.png)")


if __name__ == "__main__":
    run(main)
