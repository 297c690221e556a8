"""The tables and the figure of accuracy.json."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

Ends = list[float | None]
"""A score and the ends of its 95% interval."""


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
        if parts.get("regions"):
            found += [f"{collection}: regions", _regions(parts["regions"], parts.get("nested", {}))]
        if parts.get("curve"):
            found += [f"{collection}: macro Dice by annotated training patients", _curve(parts["curve"])]
    return "\n\n".join(found)


def _regions(arms: Mapping[str, Any], nested: Mapping[str, Any]) -> str:
    rows = []
    taken = ", ".join(dict.fromkeys(nested["chosen"].values())) if nested else ""
    chosen = f"chosen in each fold among {len(nested['among'])}: {taken}" if nested else ""
    for name, arm in {**arms, **({chosen: nested} if nested else {})}.items():
        minus = [
            _with_ends(arm.get(f"minus_{reference}", {}).get("dice_macro"))
            for reference in ("recommended", "latents_alone")
        ]
        nipples = " ".join(_number(arm[f"{side}_nipple"][0]) for side in ("left", "right") if f"{side}_nipple" in arm)
        seconds = f"{arm['seconds']:.0f}" if "seconds" in arm else ""
        rows.append([name, _with_ends(arm["dice_macro"]), nipples, *minus, seconds])
    differences = ["minus recommended (95%)", "minus latents alone (95%)"]
    return _table(["arm", "macro Dice (95%)", "nipples", *differences, "seconds"], rows)


def _size(count: str) -> float:
    """To sort numbers of patients by."""
    return float("inf") if count == "all" else float(count)


def _curve(points: Mapping[str, Mapping[str, Any]]) -> str:
    names = list(next(iter(points.values())))
    rows = [
        [count, *(_with_ends(point[name]["dice_macro"]) for name in names)]
        + [_with_ends(point[name].get("minus_pixels", {}).get("dice_macro")) for name in names if name != "pixels"]
        for count, point in sorted(points.items(), key=lambda item: _size(item[0]))
    ]
    return _table(["patients", *names, *(f"{name} minus pixels" for name in names if name != "pixels")], rows)


def draw_curves(everything: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Macro Dice with its interval against the number of annotated training patients, a panel a collection."""
    curves = {collection: parts["curve"] for collection, parts in everything.items() if parts.get("curve")}
    if not curves:
        return
    figure = Figure(figsize=(5.6 * len(curves), 4.2), layout="constrained")
    panels = figure.subplots(1, len(curves), squeeze=False, sharey=True)[0]
    for axes, (collection, points) in zip(panels, curves.items(), strict=True):
        counts = sorted(points, key=_size)
        names = list(points[counts[0]])
        for number, name in enumerate(names):
            ends = [points[count][name]["dice_macro"] for count in counts]
            # Beside each other, so that intervals do not hide one another.
            places = [place + 0.08 * (number - (len(names) - 1) / 2) for place in range(len(counts))]
            reach = [
                [value - (low or value) for value, low, _ in ends],
                [(high or value) - value for value, _, high in ends],
            ]
            axes.errorbar(
                places, [value for value, *_ in ends], reach, label=name, marker="o", capsize=2, linewidth=1.2
            )
        axes.set_xticks(range(len(counts)), counts)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.grid(True, axis="y", alpha=0.3)
        axes.set(title=collection, xlabel="annotated patients trained on")
    panels[0].set_ylabel("macro Dice over seven regions")
    panels[0].legend(title="the decoder sees")
    figure.savefig(path, dpi=110)
