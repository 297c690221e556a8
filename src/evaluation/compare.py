"""Two runs on the same patients: paired differences with 95% intervals: `python -m src.evaluation.compare RUN RUN`.

A run is a run folder or a folder of k-fold. Differences are the first minus the second, on the same resamples of the
same patients, so that what makes a patient hard for both does not count.
"""

from src.errors import UserError, end_at_once, run, some

if __name__ == "__main__":  # drawing takes seconds to be imported, and Ctrl-C may come in them
    end_at_once()

import argparse
from dataclasses import asdict, astuple, dataclass, fields
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from src.evaluation.figure_style import INK, LINES, SOFT, Target, save, styled
from src.evaluation.figures import draw_roc
from src.evaluation.intervals import Interval, paired_bootstrap, score
from src.evaluation.region_colours import region_colour
from src.evaluation.summary import one_run
from src.evaluation.tested import Line, Tested, by_seed, mean_of, means_by_patient, read_tested
from src.files import write_csv, write_json
from src.places import RunFiles
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
    regions: list[str]  # in the order of their colours; none of a diagnosis
    values: tuple[np.ndarray, np.ndarray]  # each patient's mean Dice in either run, or probability of being sick, [N]
    labels: np.ndarray  # of a diagnosis, 1 for sick, [N]


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
    if regions:
        shown = {"dice_macro": "mean of regions", **{f"dice/{name}": name.replace("_", " ") for name in regions}}
        values, labels = _dice(a, b), np.zeros(0)
    else:
        shown = _OF_DIAGNOSIS
        values, labels = _probabilities(a, b)
    names = _short_names(a.folder, b.folder)
    frames = a.frames, b.frames
    return Comparison(names, len(a.patients), frames, scores, found, shown, regions, values, labels)


def _read(path: Path) -> _Read:
    folder = one_run(path)
    files = RunFiles(folder)
    if files.expected.is_file():
        raise UserError(f"{folder}: the final model was trained on all patients, and tested on none: compare k-fold")
    recorded = read_record(files.settings).get("settings")
    task = TASKS.get(str(recorded.get("task"))) if isinstance(recorded, dict) else None
    if not isinstance(recorded, dict) or task not in (ClassificationSettings, SegmentationSettings):
        raise UserError(f"{folder}: a run of main_seg.py or main_binary.py is needed")
    # Not validated: the data folder may be on another machine.
    settings: DecoderRunSettings = task.model_construct(**with_defaults(recorded))
    lines = read_tested(settings, files.results)
    return _Read(folder, settings, lines, by_seed(settings, lines))


def _refuse_other_patients(a: _Read, b: _Read) -> None:
    alone = {read.folder: sorted(read.patients - other.patients) for read, other in ((a, b), (b, a))}
    told = "; ".join(f"in {folder} alone: {some(names, 10)}" for folder, names in alone.items() if names)
    if told:
        raise UserError(f"the two runs were tested on different patients ({told}); compare runs that share a split")


def _dice(a: _Read, b: _Read) -> tuple[np.ndarray, np.ndarray]:
    """Each patient's mean Dice over its frames, seeds and the regions that are there, in both runs."""
    found: list[dict[str, list[float]]] = [{}, {}]
    for values, read in zip(found, (a, b), strict=True):
        for line in read.lines:
            if line["dice"]:
                values.setdefault(line["patient"], []).append(float(line["dice"]))
    patients = sorted(found[0].keys() & found[1].keys())
    one, other = (np.array([np.mean(values[name]) for name in patients]) for values in found)
    return one, other


def _probabilities(a: _Read, b: _Read) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """What both classifiers say of each patient, and the labels; `UserError` where these are not the same."""
    names, labels, means = means_by_patient(a.lines)
    _, other_labels, other_means = means_by_patient(b.lines)
    changed = [name for name, one, other in zip(names, labels, other_labels, strict=True) if one != other]
    if changed:
        raise UserError(
            f"{a.folder} and {b.folder}: {some(changed)}: healthy in one, sick in the other; the labels changed in "
            "between, so train again with those that hold"
        )
    return (means, other_means), labels


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
    columns = ["score", "a", "b", *(each.name for each in fields(Interval))]
    rows = [(name, *(of[name] for of in found.scores), *astuple(ends)) for name, ends in found.differences.items()]
    write_csv(folder / "comparison.csv", columns, rows)
    plain = {name: asdict(interval) for name, interval in found.differences.items()}
    content = {"a": found.names[0], "b": found.names[1], "patients": found.patients, "frames": found.frames}
    write_json(folder / "comparison.json", content | {"differences": plain})
    picture(found, folder / "comparison.png")


@styled
def picture(found: Comparison, target: Target) -> None:
    """On the left the differences of the shown scores with their 95% intervals, on the right the patients."""
    figure = Figure(figsize=(9.6, max(3.9, 0.42 * len(found.shown) + 1.6)), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    _forest(left, found)
    if found.regions:
        _patients(right, *found.values)
    else:
        _curves(right, found)
    figure.suptitle(f"A: {found.names[0]}        B: {found.names[1]}", fontsize=10)
    save(figure, target)


def _forest(axes: Any, found: Comparison) -> None:
    axes.axvline(0, color=SOFT, linewidth=1)
    for place, name in enumerate(found.shown):
        ends, region = found.differences[name], name.partition("/")[2]
        colour = region_colour(found.regions.index(region), region) if region else INK
        if ends.value is None:
            continue
        if ends.low is not None and ends.high is not None:
            axes.plot([ends.low, ends.high], [place, place], color=colour, linewidth=2.4, solid_capstyle="butt")
        marker = {"markersize": 9 if colour == INK else 7, "markeredgecolor": INK, "markeredgewidth": 0.6}
        axes.plot(ends.value, place, "D" if colour == INK else "o", color=colour, **marker)
        words = {"transform": axes.get_yaxis_transform(), "va": "center", "fontsize": 9}
        number = f"{ends.value:+z.3f}".replace("-", "\N{MINUS SIGN}")
        axes.text(1.02, place, number, weight="bold" if colour == INK else "normal", **words)
    low, high = axes.get_xlim()
    low, high = min(low, -0.15 * (high - low)), max(high, 0.15 * (high - low))  # room for both sides of 0
    axes.set(xlim=(low, high), ylim=(len(found.shown) - 0.4, -0.6), yticks=range(len(found.shown)))
    axes.set_yticklabels(list(found.shown.values()))
    what = "Dice" if found.regions else "score"
    axes.set(xlabel=f"{what}, A minus B, 95% interval (patients resampled)")
    above = {"transform": axes.get_xaxis_transform(), "va": "bottom", "fontsize": 9, "color": SOFT}
    axes.text(0, 1.01, "B better  ", ha="right", **above)
    axes.text(0, 1.01, "  A better", ha="left", **above)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(axis="x")
    axes.set_axisbelow(True)


def _patients(axes: Any, one: np.ndarray, other: np.ndarray) -> None:
    low = max(0.0, np.floor(20 * min(one.min(), other.min()) - 0.5) / 20)
    axes.plot([low, 1], [low, 1], color=SOFT, linewidth=1)
    axes.plot(other, one, "o", color=LINES[0], markersize=5.5, alpha=0.75, markeredgecolor="white")
    axes.set(xlim=(low, 1), ylim=(low, 1), aspect="equal", xlabel="Dice in B", ylabel="Dice in A")
    better, worse = (one > other).sum(), (one < other).sum()
    axes.set_title(f"of {len(one)} patients {better} are better in A, {worse} in B", fontsize=10)
    axes.grid()
    axes.set_axisbelow(True)


def _curves(axes: Any, found: Comparison) -> None:
    # Areas as the table has them: where there are several seeds, not those of the curves.
    names = [f"{letter}, AUC {scores['patient_auc']:.2f}" for letter, scores in zip("AB", found.scores, strict=True)]
    draw_roc(axes, {name: (found.labels, values) for name, values in zip(names, found.values, strict=True)})
    axes.set_title(f"ROC, {len(found.labels)} patients", fontsize=10)


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
