"""One look for all figures: a PNG for a folder or a paper, an SVG for a page that may be light or dark."""

from pathlib import Path
from typing import Any, BinaryIO

import matplotlib as mpl
from cycler import cycler
from matplotlib.figure import Figure

INK, SOFT, GRID = "#1b1f25", "#59636f", "#d5dae1"
"""Text, axes and grid: colours that nothing else has, so that a page can put its own in their place."""
LINES = ("#1f5fd1", "#d1580b", "#0c8458", "#a3329f", "#b3261f", "#0a7f95", "#7a6101", "#5b4bc5")
"""Curves, in this order; such colours too."""
Target = Path | BinaryIO  # where a figure goes: a PNG file, or a stream, which gets an SVG without a background

_STYLE: dict[Any, Any] = {
    "text.color": INK,
    "text.parse_math": False,  # a name may hold dollar signs
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=LINES),
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "grid.color": GRID,
    "boxplot.medianprops.color": INK,
    "boxplot.boxprops.color": SOFT,
    "boxplot.whiskerprops.color": SOFT,
    "boxplot.capprops.color": SOFT,
    "patch.edgecolor": SOFT,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "font.sans-serif": ["DejaVu Sans"],
    "svg.fonttype": "none",
    "svg.hashsalt": "figure",  # the same picture is the same text
}
styled = mpl.rc_context(_STYLE)  # decorates what draws a figure, from its making to its saving


def save(figure: Figure, target: Target) -> None:
    """Write a figure as its target wants it."""
    if isinstance(target, Path):
        figure.savefig(target, dpi=120)
    else:
        unsaid = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(target, format="svg", facecolor="none", metadata=unsaid)
