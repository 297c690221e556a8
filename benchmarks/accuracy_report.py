"""The tables and the figure of accuracy.json."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from benchmarks.arms import RANDOM_START

Ends = list[float | None]  # a score and the ends of its 95% interval
NO_LABELS = "no labels: the weights that ship"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}".replace("0.", ".", 1)


def _with_ends(ends: Ends | None) -> str:
    if ends is None:
        return ""
    value, low, high = ends
    return _number(value) + ("" if low is None else f" ({_number(low)} to {_number(high)})")


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _table(columns: list[str], rows: list[list[str]]) -> str:
    return "\n".join(_row(cells) for cells in (columns, ["---"] * len(columns), *rows))


def tables(everything: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown of all that was found, collection by collection."""
    found = []
    for collection, parts in everything.items():
        untrained = parts.get("no_labels")
        if parts.get("regions"):
            found += [f"{collection}: all annotated patients, in folds", _regions(parts["regions"], untrained)]
        if parts.get("curve"):
            found += [f"{collection}: macro Dice by annotated training patients", _curve(parts["curve"], untrained)]
    return "\n\n".join(found)


def _regions(arms: Mapping[str, Any], untrained: Mapping[str, Any] | None) -> str:
    rows = []
    for name, arm in {**arms, **({NO_LABELS: untrained} if untrained else {})}.items():
        nipples = " ".join(_number(arm[f"{side}_nipple"][0]) for side in ("left", "right") if f"{side}_nipple" in arm)
        seconds = f"{arm['seconds']:.0f}" if "seconds" in arm else ""
        rows.append([name, _with_ends(arm["dice_macro"]), nipples, _difference(arm), seconds])
    columns = ["arm", "macro Dice (95%)", "nipples, left and right", "minus recommended (95%)", "seconds a training"]
    return _table(columns, rows)


def _curve(points: Mapping[str, Mapping[str, Any]], untrained: Mapping[str, Any] | None) -> str:
    rows = [["0", NO_LABELS, _with_ends(untrained["dice_macro"]), ""]] if untrained else []
    for count in sorted(points, key=int):
        for name, arm in points[count].items():
            rows.append([count, name, _with_ends(arm["dice_macro"]), _difference(arm)])
    return _table(["patients", "arm", "macro Dice (95%)", f"minus {RANDOM_START.name} (95%)"], rows)


def _difference(arm: Mapping[str, Any]) -> str:
    return _with_ends(arm.get("minus_reference", {}).get("dice_macro"))


def draw_curves(everything: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Macro Dice with its interval against the number of annotated training patients, a panel a collection.

    What is reached without any is a horizontal line.
    """
    curves = {collection: parts for collection, parts in everything.items() if parts.get("curve")}
    if not curves:
        return
    figure = Figure(figsize=(5.6 * len(curves), 4.4), layout="constrained")
    panels = figure.subplots(1, len(curves), squeeze=False, sharey=True)[0]
    for axes, (collection, parts) in zip(panels, curves.items(), strict=True):
        counts = sorted(parts["curve"], key=int)
        names = list(dict.fromkeys(name for count in counts for name in parts["curve"][count]))
        for number, name in enumerate(names):
            known = [place for place, count in enumerate(counts) if name in parts["curve"][count]]
            ends = [parts["curve"][counts[place]][name]["dice_macro"] for place in known]
            # Beside each other, so that intervals do not hide one another.
            places = [place + 0.08 * (number - (len(names) - 1) / 2) for place in known]
            reach = [
                [value - (value if low is None else low) for value, low, _ in ends],
                [(value if high is None else high) - value for value, _, high in ends],
            ]
            axes.errorbar(
                places, [value for value, *_ in ends], reach, label=name, marker="o", capsize=2, linewidth=1.2
            )
        if parts.get("no_labels"):
            axes.axhline(parts["no_labels"]["dice_macro"][0], color="0.4", linestyle="--", label=NO_LABELS)
        axes.set_xticks(range(len(counts)), counts)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.grid(True, axis="y", alpha=0.3)
        axes.set(title=collection, xlabel="annotated patients trained on")
    panels[0].set_ylabel("macro Dice over seven regions")
    labelled = panels[0].get_legend_handles_labels()
    figure.legend(*labelled, fontsize="small", loc="outside lower center", ncols=2)
    figure.savefig(path, dpi=110)
