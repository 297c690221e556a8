"""One look for all figures: a PNG for a folder or a paper, an SVG for a page that may be light or dark."""

import hashlib
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import matplotlib as mpl
from cycler import cycler
from markupsafe import Markup
from matplotlib.figure import Figure

INK, SOFT, GRID = "#1b1f25", "#59636f", "#d5dae1"
"""Text, axes and grid: colours that nothing else has, so that a page can put its own in their place."""
LINES = ("#1f5fd1", "#d1580b", "#0c8458", "#a3329f", "#b3261f", "#0a7f95", "#7a6101", "#5b4bc5")
"""Curves, in this order; such colours too."""
PAGE_COLOURS = {INK: "var(--fore)", SOFT: "var(--soft)", GRID: "var(--line)"} | {
    colour: f"var(--c{place})" for place, colour in enumerate(LINES)
}
"""The style sheet's names for the figures' colours."""
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


def embedded(source: str, draw: Callable[[BinaryIO], None]) -> Markup:
    """The SVG element that is drawn from a source, fit to stand in a page beside others."""
    stream = io.BytesIO()
    draw(stream)
    text = stream.getvalue().decode("utf-8")
    head, body = re.split(r"(?<=>)", text[text.index("<svg") :], maxsplit=1)
    size = re.search(r'viewBox="[^"]*"', head)
    # The page has the style; matplotlib's names count from 1 in each figure, and its references must find their own.
    body = re.sub(r"<defs>\s*<style.*?</defs>", "", body, count=1, flags=re.DOTALL)
    body = re.sub(r'(<g) id="[A-Za-z.]+\w*_\d+"', r"\1", body)
    own = hashlib.sha256((source + text).encode()).hexdigest()[:8]
    body = re.sub(r'(<[^>]* id="|xlink:href="#|url\(#)', rf"\g<1>f{own}", body)
    body = re.sub("|".join(PAGE_COLOURS), lambda found: PAGE_COLOURS[found[0]], body)
    return Markup(f"<svg {size[0] if size else ''} aria-hidden='true'>{body}")
