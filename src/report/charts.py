"""The report's curves and boxes, as geometry that its template draws: readable at any size, light or dark."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from sklearn.metrics import roc_curve

from src.evaluation.calibration import apply_temperature, reliability
from src.evaluation.classification import by_patient
from src.report.runs import Run, number
from src.report.tables import digits

WIDTH, HEIGHT = 340, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 10, 40
Lines = Sequence[Mapping[str, str]]
"""The lines of a predictions.csv."""


@dataclass(frozen=True)
class Stroke:
    """A line, or dots where the path only moves; `colour` counts the palette's colours, -1 is gray."""

    path: str
    colour: int = -1
    kind: str = ""
    """Nothing, dotted, dots or area."""
    label: str = ""


@dataclass
class Chart:
    """A picture of axes, strokes and a legend, in units of a 340 x 250 box."""

    title: str
    x_label: str
    y_label: str
    source: str
    x_ticks: list[tuple[float, str]] = field(default_factory=list)
    y_ticks: list[tuple[float, str]] = field(default_factory=list)
    strokes: list[Stroke] = field(default_factory=list)
    remark: str = ""
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM


class _Scale:
    """From values to places in the box; the vertical axis points up."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.x_range, self.y_range = x, y

    def x(self, value: float) -> float:
        low, high = self.x_range
        return round(_LEFT + (value - low) / ((high - low) or 1) * (WIDTH - _LEFT - _RIGHT), 1)

    def y(self, value: float) -> float:
        low, high = self.y_range
        return round(HEIGHT - _BOTTOM - (value - low) / ((high - low) or 1) * (HEIGHT - _TOP - _BOTTOM), 1)

    def line(self, x: Sequence[float], y: Sequence[float]) -> str:
        points = [f"{self.x(a):g} {self.y(b):g}" for a, b in zip(x, y, strict=True)]
        return "M" + "L".join(points) if points else ""

    def dots(self, x: Sequence[float], y: Sequence[float]) -> str:
        return "".join(f"M{self.x(a):g} {self.y(b):g}h0" for a, b in zip(x, y, strict=True))

    def x_ticks(self) -> list[tuple[float, str]]:
        return [(self.x(value), f"{value:g}") for value in _round_steps(*self.x_range)]

    def y_ticks(self) -> list[tuple[float, str]]:
        return [(self.y(value), f"{value:g}") for value in _round_steps(*self.y_range)]


def loss_chart(run: Run) -> Chart | None:
    """Training and validation loss by epoch, the chosen epoch marked."""
    points = {
        name: [
            (epoch, loss)
            for entry in run.history
            if (epoch := number(entry.get("epoch"))) is not None and (loss := number(entry.get(name))) is not None
        ]
        for name in ("train/loss", "val/loss")
    }
    seen = [point for found in points.values() for point in found]
    if not seen:
        return None
    epochs, losses = zip(*seen, strict=True)
    scale = _Scale((min(epochs), max(epochs)), (min(0.0, *losses), max(losses)))
    chart = Chart(f"Loss: {run.task}, {run.case}", "epoch", "loss", f"{run.name}/logs/metrics.jsonl")
    chart.x_ticks, chart.y_ticks = scale.x_ticks(), scale.y_ticks()
    best = run.results.value("best_epoch")
    if best is not None and min(epochs) <= best <= max(epochs):
        chart.strokes.append(Stroke(scale.line([best] * 2, scale.y_range), kind="dotted", label=f"chosen: {best:.0f}"))
    for colour, (found, label) in enumerate(zip(points.values(), ("training", "validation"), strict=True)):
        path = scale.line(*zip(*found, strict=True)) if found else ""
        # One epoch is a dot.
        dots = len(found) == 1
        chart.strokes.append(Stroke(f"{path}h0" if dots else path, colour, "dots" if dots else "", label))
    return chart


def roc_chart(title: str, predictions: Mapping[str, tuple[Run, Lines]]) -> Chart | None:
    """The ROC curve of each case, by test patient; the areas in the legend are those of metrics.json."""
    scale = _Scale((0, 1), (0, 1))
    chart = Chart(title, "1 - specificity", "sensitivity", "results/predictions.csv of each run (part test)")
    chart.x_ticks, chart.y_ticks = scale.x_ticks(), scale.y_ticks()
    chart.strokes.append(Stroke(scale.line([0, 1], [0, 1]), kind="dotted", label="chance"))
    for colour, (case, (run, lines)) in enumerate(predictions.items()):
        labels, probabilities = _test_patients(lines)
        if len(np.unique(labels)) < 2:
            continue
        alarms, hits, _ = roc_curve(labels, probabilities)
        area = run.results.value("test/patient_auc")
        label = case if area is None else f"{case}: AUC {digits(area)}"
        chart.strokes.append(Stroke(scale.line(alarms.tolist(), hits.tolist()), colour, label=label))
    return chart if len(chart.strokes) > 1 else None


def reliability_chart(run: Run, lines: Lines) -> Chart | None:
    """Share of sick over mean probability of each bin of test patients, with 95% intervals."""
    labels, probabilities = _test_patients(lines)
    if not len(labels):
        return None
    temperature = run.results.value("temperature")
    if temperature and temperature > 0:
        probabilities = apply_temperature(probabilities, temperature)
    bins = reliability(labels, probabilities)
    scale = _Scale((0, 1), (0, 1))
    source = f"{run.name}/results/predictions.csv (part test)"
    chart = Chart(f"Calibration: {run.case}", "mean probability of the bin", "share of sick", source)
    chart.remark = f"{len(labels)} patients, " + (
        f"after temperature {digits(temperature)}" if temperature else "probabilities as predicted"
    )
    chart.x_ticks, chart.y_ticks = scale.x_ticks(), scale.y_ticks()
    places = bins.predicted.tolist()
    ends = "".join(
        scale.line([place] * 2, [low, high]) for place, low, high in zip(places, bins.low, bins.high, strict=True)
    )
    size = " to ".join(str(count) for count in sorted({bins.counts.min(), bins.counts.max()}))
    chart.strokes = [
        Stroke(scale.line([0, 1], [0, 1]), kind="dotted", label="calibrated"),
        Stroke(ends, 0, label=f"95% interval, bins of {size}"),
        Stroke(scale.line(places, bins.observed.tolist()), 0),
        Stroke(scale.dots(places, bins.observed.tolist()), 0, "dots"),
    ]
    return chart


def region_chart(run: Run, lines: Lines) -> Chart | None:
    """Box plot of the Dice of each test frame by region, every frame a dot."""
    found = _dice_by_region(lines, str(run.settings.get("background") or ""))
    if not found:
        return None
    scale = _Scale((0.4, len(found) + 0.6), (0, 1))
    source = f"{run.name}/results/predictions.csv (part test)"
    chart = Chart(f"Dice by region and frame: {run.case}", "", "Dice of a frame", source)
    chart.y_ticks = scale.y_ticks()
    for place, (name, values) in enumerate(found.items(), start=1):
        chart.x_ticks.append((scale.x(place), f"{name.replace('_', '|')}|n = {len(values)}"))
        low, middle, high = np.percentile(values, (25, 50, 75)).tolist()
        # Whiskers end at the last frame within 1.5 times the box's height.
        near = [value for value in values if low - 1.5 * (high - low) <= value <= high + 1.5 * (high - low)]
        left, right = place - 0.32, place + 0.32
        box = scale.line([left, right, right, left, left], [low, low, high, high, low])
        whiskers = scale.line([place] * 2, [high, max(near)]) + scale.line([place] * 2, [min(near), low])
        spread = np.linspace(place - 0.2, place + 0.2, len(values)).tolist()
        chart.strokes += [
            Stroke(box, place - 1, "area"),
            Stroke(box + whiskers + scale.line([left, right], [middle] * 2), place - 1),
            Stroke(scale.dots(spread, values), -1, "dots"),
        ]
    return chart


def _test_patients(lines: Lines) -> tuple[np.ndarray, np.ndarray]:
    """Label and mean probability of each test patient, of the first seed where there are several."""
    seed = next((line.get("seed") for line in lines), None)
    rows = []
    for line in lines:
        if line.get("part") != "test" or line.get("seed") != seed:
            continue
        try:
            rows.append((line["patient"], int(line["label"]), float(line["probability"])))
        except (KeyError, ValueError):
            continue  # not a classifier's line
    rows = [row for row in rows if row[1] in (0, 1) and math.isfinite(row[2])]
    if not rows:
        return np.empty(0, int), np.empty(0)
    patients, labels, probabilities = zip(*rows, strict=True)
    _, patient_labels, patient_probabilities = by_patient(patients, np.array(labels), np.array(probabilities))
    return patient_labels, patient_probabilities


def _dice_by_region(lines: Lines, background: str) -> dict[str, list[float]]:
    """The Dice of each test frame that has the region, from a line a frame and region or from one a frame."""
    found: dict[str, list[float]] = {}
    for line in lines:
        if line.get("part") != "test":
            continue
        wide = {name.removeprefix("dice/"): text for name, text in line.items() if name.startswith("dice/")}
        for name, text in (wide or {line.get("region", ""): line.get("dice", "")}).items():
            try:
                value = float(text)
            except ValueError:
                continue  # left out: neither truth nor prediction has the region
            if name and name != background and math.isfinite(value):
                found.setdefault(name, []).append(value)
    return found


def _round_steps(low: float, high: float) -> list[float]:
    """About five round numbers within a range."""
    if high <= low:
        return [low]
    size = 10 ** math.floor(math.log10((high - low) / 4))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if (high - low) / (size * factor) <= 5)
    first = math.ceil(low / step - 1e-9)
    return [round(place * step, 12) for place in range(first, math.floor(high / step + 1e-9) + 1)]
