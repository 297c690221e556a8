"""The picture of two runs side by side: their differences with intervals, and how each patient fared in both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from src.evaluation.figure_style import INK, LINES, SOFT, Target, save, styled
from src.evaluation.figures import draw_roc, finish_roc
from src.evaluation.intervals import Interval
from src.evaluation.region_colours import region_colour


@dataclass(frozen=True)
class Regions:
    """Regions in the order of their colours, and each patient's mean Dice in both runs."""

    names: Sequence[str]
    one: Mapping[str, float]
    other: Mapping[str, float]


@dataclass(frozen=True)
class Sick:
    """Each patient's label (1 for sick) and probability, its mean over frames and seeds, in both runs; all [N]."""

    labels: np.ndarray
    probabilities: np.ndarray
    other_probabilities: np.ndarray
    aucs: tuple[float, float]
    """Of both runs, as the table has them: where there are several seeds, not those of the curves."""


@styled
def comparison(
    names: tuple[str, str],
    shown: Mapping[str, str],
    differences: Mapping[str, Interval],
    pictured: Regions | Sick,
    target: Target,
) -> None:
    """On the left the differences of the shown scores with their 95% intervals, on the right the patients.

    names: of the two runs; shown: what each score is called.
    """
    figure = Figure(figsize=(9.6, max(3.9, 0.42 * len(shown) + 1.6)), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    _forest(left, shown, differences, pictured)
    if isinstance(pictured, Regions):
        _patients(right, names, pictured)
    else:
        _curves(right, names, pictured)
    figure.suptitle(f"A: {names[0]}        B: {names[1]}", fontsize=10)
    save(figure, target)


def _forest(axes: Any, shown: Mapping[str, str], differences: Mapping[str, Interval], pictured: Regions | Sick) -> None:
    axes.axvline(0, color=SOFT, linewidth=1)
    for place, name in enumerate(shown):
        found, colour = differences[name], INK
        region = name.partition("/")[2]
        if isinstance(pictured, Regions) and region:
            colour = region_colour(pictured.names.index(region), region)
        if found.value is None:
            continue
        if found.low is not None and found.high is not None:
            axes.plot([found.low, found.high], [place, place], color=colour, linewidth=2.4, solid_capstyle="butt")
        marker = {"markersize": 9 if colour == INK else 7, "markeredgecolor": INK, "markeredgewidth": 0.6}
        axes.plot(found.value, place, "D" if colour == INK else "o", color=colour, **marker)
        words = {"transform": axes.get_yaxis_transform(), "va": "center", "fontsize": 9}
        number = f"{found.value:+z.3f}".replace("-", "\N{MINUS SIGN}")
        axes.text(1.02, place, number, weight="bold" if colour == INK else "normal", **words)
    low, high = axes.get_xlim()
    low, high = min(low, -0.15 * (high - low)), max(high, 0.15 * (high - low))  # room for both sides of 0
    axes.set(xlim=(low, high), ylim=(len(shown) - 0.4, -0.6), yticks=range(len(shown)))
    axes.set_yticklabels(list(shown.values()))
    what = "Dice" if isinstance(pictured, Regions) else "score"
    axes.set(xlabel=f"{what}, A minus B, 95% interval (patients resampled)")
    above = {"transform": axes.get_xaxis_transform(), "va": "bottom", "fontsize": 9, "color": SOFT}
    axes.text(0, 1.01, "B better  ", ha="right", **above)
    axes.text(0, 1.01, "  A better", ha="left", **above)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(axis="x")
    axes.set_axisbelow(True)


def _patients(axes: Any, names: tuple[str, str], pictured: Regions) -> None:
    patients = [name for name in pictured.one if name in pictured.other]
    one, other = (np.array([scores[name] for name in patients]) for scores in (pictured.one, pictured.other))
    low = max(0.0, np.floor(20 * min(one.min(), other.min()) - 0.5) / 20)
    axes.plot([low, 1], [low, 1], color=SOFT, linewidth=1)
    axes.plot(other, one, "o", color=LINES[0], markersize=5.5, alpha=0.75, markeredgecolor="white")
    axes.set(xlim=(low, 1), ylim=(low, 1), aspect="equal", xlabel="Dice in B", ylabel="Dice in A")
    better, worse = (one > other).sum(), (one < other).sum()
    axes.set_title(f"of {len(one)} patients {better} are better in A, {worse} in B", fontsize=10)
    axes.grid()
    axes.set_axisbelow(True)


def _curves(axes: Any, names: tuple[str, str], pictured: Sick) -> None:
    of_runs = zip("AB", (pictured.probabilities, pictured.other_probabilities), pictured.aucs, strict=True)
    for letter, probabilities, auc in of_runs:
        if len(np.unique(pictured.labels)) < 2:
            axes.text(0.5, 0.4, "one diagnosis only:\nno curve", ha="center")
            break
        draw_roc(axes, pictured.labels, probabilities, f"{letter}, AUC {auc:.2f}")
    axes.set_title(f"ROC, {len(pictured.labels)} patients", fontsize=10)
    finish_roc(axes)
