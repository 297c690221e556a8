"""Pictures of what was learned, from arrays."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from sklearn import metrics as sk
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA

from src.classes import Classes
from src.evaluation.calibration import Reliability
from src.evaluation.figure_style import INK, LINES, SOFT, Target, save, styled
from src.evaluation.intervals import Interval
from src.evaluation.region_colours import region_colour
from src.evaluation.segmentation import confusion_matrices, dice_and_iou

CLUSTERS = 8  # of latents, by k-means
FITTED_PIXELS = 20_000  # that k-means and components are fitted on


@styled
def loss_curves(history: Sequence[Mapping[str, Any]], best_epoch: float | None, target: Target) -> None:
    """Training loss by epoch, validation loss where there is one; the chosen epoch is marked where it is known."""
    figure = Figure(figsize=(5, 3.4), layout="constrained")
    axes = figure.subplots()
    epochs = [entry["epoch"] for entry in history]
    marker = "o" if len(epochs) < 3 else None
    for part, label in (("train", "training"), ("val", "validation")):
        losses = np.array([entry.get(f"{part}/loss", np.nan) for entry in history], float)
        if not np.isnan(losses).all():
            axes.plot(epochs, losses, label=label, marker=marker)
    if best_epoch is not None:
        axes.axvline(best_epoch, color=SOFT, linestyle=":", label=f"chosen: epoch {best_epoch:.0f}")
    _finish_losses(figure, axes, target)


@styled
def trial_curves(histories: Sequence[Sequence[Mapping[str, Any]]], kept: Sequence[int], target: Target) -> None:
    """Training and validation loss of several trainings by epoch, a line each; a dot is the epoch that was kept."""
    figure = Figure(figsize=(5, 3.4), layout="constrained")
    axes = figure.subplots()
    for place, (part, label) in enumerate((("train", "training"), ("val", "validation"))):
        for number, (history, best) in enumerate(zip(histories, kept, strict=True)):
            epochs = [entry["epoch"] for entry in history]
            losses = [entry.get(f"{part}/loss", np.nan) for entry in history]
            axes.plot(epochs, losses, color=LINES[place], alpha=0.55, linewidth=1.2, label="" if number else label)
            if part == "val" and best in epochs:
                axes.plot(best, losses[epochs.index(best)], "o", color=LINES[place], markersize=4)
    axes.set_title(f"{len(histories)} trainings; dots: the epoch that each kept")
    _finish_losses(figure, axes, target)


def _finish_losses(figure: Figure, axes: Any, target: Target) -> None:
    axes.set(xlabel="epoch", ylabel="loss")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y")
    axes.legend()
    save(figure, target)


@styled
def encoder_sheet(
    frames: np.ndarray, rebuilt: np.ndarray | None, latents: np.ndarray, names: Sequence[str], seed: int, target: Target
) -> None:
    """A row a frame: input | reconstruction | first three principal components of the latents as RGB | k-means of them.

    frames uint8 [N, C, H, W], rebuilt float [N, C, h, w] in -1..1, or None where latents rebuild nothing, latents
    [N, L, h, w].
    """
    count, _, height, width = latents.shape
    pixels = latents.transpose(0, 2, 3, 1).reshape(-1, latents.shape[1])
    fitted = np.random.default_rng(seed).permutation(len(pixels))[:FITTED_PIXELS]
    components = PCA(3, random_state=seed).fit(pixels[fitted]).transform(pixels)
    low, high = np.percentile(components, (1, 99), axis=0)
    components = np.clip((components - low) / np.maximum(high - low, 1e-9), 0, 1).reshape(count, height, width, 3)
    means = MiniBatchKMeans(CLUSTERS, random_state=seed, n_init=3).fit(pixels[fitted])
    clusters = means.predict(pixels).reshape(count, height, width)

    figure = Figure(figsize=(11, 2.15 * count + 0.4), layout="constrained")
    titles = ["input", "reconstruction (patch centres)", "latents: 3 components", f"latents: {CLUSTERS}-means"]
    if rebuilt is None:
        del titles[1]
    axes = figure.subplots(count, len(titles), squeeze=False)
    for row in range(count):
        _show(axes[row, 0], frames[row])
        if rebuilt is not None:
            _show(axes[row, 1], np.clip((rebuilt[row] + 1) * 127.5, 0, 255).astype(np.uint8))
        axes[row, -2].imshow(components[row])
        axes[row, -1].imshow(clusters[row], cmap="tab10", vmin=0, vmax=9, interpolation="nearest")
        axes[row, 0].set_ylabel(names[row], fontsize=8)
    _finish(figure, axes, titles, target)


@styled
def segmentation_sheet(
    frames: np.ndarray,
    truth: np.ndarray,
    predicted: np.ndarray,
    captions: Sequence[str],
    classes: Classes,
    target: Target,
) -> None:
    """A row a frame: input | truth | prediction, the regions coloured over the frame, with a legend.

    Over the prediction, white lines are the borders of the truth; beside it stands the frame's Dice, the mean over the
    regions that truth or prediction has, and the lowest of them.
    frames uint8 [N, C, H, W]; truth, predicted [N, H, W] class indices.
    """
    names, background = classes
    figure = Figure(figsize=(9, 2.3 * len(frames) + 0.9), layout="constrained")
    axes = figure.subplots(len(frames), 3, squeeze=False)
    colours = ListedColormap([region_colour(index, name) for index, name in enumerate(names)])
    dice = dice_and_iou(confusion_matrices(truth, predicted, len(names)))[0]
    dice[:, background] = np.nan
    for row, frame in enumerate(frames):
        _show(axes[row, 0], frame)
        for axis, found in zip(axes[row, 1:], (truth[row], predicted[row]), strict=True):
            _show(axis, frame.mean(0, keepdims=True))  # in gray, so that the regions' colours are the legend's
            shown = np.ma.masked_equal(found, background)
            axis.imshow(shown, cmap=colours, vmin=-0.5, vmax=len(names) - 0.5, alpha=0.6, interpolation="nearest")
        for index in np.unique(truth[row][truth[row] != background]):
            axes[row, 2].contour(truth[row] == index, [0.5], colors="white", linewidths=0.9)
        axes[row, 0].set_ylabel(captions[row], fontsize=8)
        axes[row, 2].yaxis.set_label_position("right")
        axes[row, 2].set_ylabel(_dice_in_words(dice[row], names), fontsize=9)
    patches = [Patch(color=colours(index), label=name.replace("_", " ")) for index, name in classes.regions.items()]
    figure.legend(handles=patches, loc="outside lower center", ncols=4)
    _finish(figure, axes, ("input", "truth", "prediction, truth as white lines"), target)


def _dice_in_words(dice: np.ndarray, names: Sequence[str]) -> str:
    """The mean of one frame's Dice [K] and its lowest region; NaN is left out."""
    if np.isnan(dice).all():
        return "no region"
    lowest = int(np.nanargmin(dice))
    return f"Dice {np.nanmean(dice):.2f}\n{names[lowest].replace('_', ' ')} {dice[lowest]:.2f}"


@styled
def roc_curves(predictions: Mapping[str, tuple[np.ndarray, np.ndarray]], target: Target) -> None:
    """The ROC curve of each named pair of labels (1 for sick) and probabilities, both [N]."""
    figure = Figure(figsize=(4.6, 4.6), layout="constrained")
    axes = figure.subplots()
    draw_roc(axes, predictions)
    save(figure, target)


@styled
def roc_and_confusion(
    labels: np.ndarray,
    probabilities: np.ndarray,
    threshold: float | np.ndarray,
    what: str,
    target: Target,
    auc: Interval | None = None,
) -> None:
    """ROC curve and confusion matrix; labels are 1 for sick; both [N]; `what` they are of, such as patients.

    threshold: from which probability on a patient is called sick, of all or of each [N]; auc: the interval of their
    AUC, for the legend.
    """
    figure = Figure(figsize=(4.6, 7.2), layout="constrained")
    top, bottom = figure.subplots(2, 1, height_ratios=(1.7, 1))
    label = ""
    if len(np.unique(labels)) == 2:
        label = f"AUC {sk.roc_auc_score(labels, probabilities):.2f}"
        if auc is not None:
            known = auc.low is not None and auc.high is not None
            label += f"\n95% interval {auc.low:.2f} to {auc.high:.2f}" if known else "\nno interval"
    draw_roc(top, {label: (labels, probabilities)})
    top.set_title(f"ROC, {len(labels)} {what}")
    matrix = sk.confusion_matrix(labels, probabilities >= threshold, labels=[0, 1])
    # Drawn as cells, not as an image, which an SVG would hold as pixels.
    bottom.pcolormesh(matrix, cmap="Blues", vmin=0, edgecolors=SOFT, linewidth=0.8)
    for (row, col), count in np.ndenumerate(matrix):
        colour = "white" if count > matrix.max() / 2 else "black"
        bottom.text(col + 0.5, row + 0.5, str(count), ha="center", va="center", fontsize=14, color=colour)
    limit = f"threshold {threshold:.3g}" if isinstance(threshold, float) else "threshold of each fold"
    bottom.set(xticks=[0.5, 1.5], yticks=[0.5, 1.5], xlabel="predicted", ylabel="true", title=limit)
    bottom.set_xticklabels(["healthy", "sick"])
    bottom.set_yticklabels(["healthy", "sick"])
    bottom.invert_yaxis()
    save(figure, target)


def draw_roc(axes: Any, predictions: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """ROC curves as `roc_curves` has them, with chance and a legend; none of those of one diagnosis only."""
    drawn = {name: found for name, found in predictions.items() if len(np.unique(found[0])) == 2}
    if not drawn:
        axes.text(0.5, 0.4, "one diagnosis only:\nno curve", ha="center")
    for name, (labels, probabilities) in drawn.items():
        # Straight lines, as the area is measured: where probabilities tie, the curve is a slope.
        false_alarms, hits, _ = sk.roc_curve(labels, probabilities)
        axes.plot(false_alarms, hits, label=name)
    axes.plot([0, 1], [0, 1], color=SOFT, linestyle=":", label="chance")
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", aspect="equal")
    axes.legend(loc="lower right")


@styled
def reliability_diagram(bins: Reliability, what: str, target: Target) -> None:
    """Share of sick over mean probability of each bin, with its 95% interval and count; `what` they are of."""
    figure = Figure(figsize=(4.6, 5.4), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    top.plot([0, 1], [0, 1], color=SOFT, linestyle=":", label="calibrated")
    # Rounding can put the share a hair outside its interval.
    ends = np.maximum([bins.observed - bins.low, bins.high - bins.observed], 0)
    sizes = " to ".join(str(size) for size in sorted({bins.counts.min(), bins.counts.max()}))
    number = f"{len(bins.counts)} bins" if len(bins.counts) > 1 else "one bin"
    label = f"{number} of {sizes} {what}:\nexpected calibration error {bins.error:.2f}"
    top.errorbar(bins.predicted, bins.observed, yerr=ends, marker="o", capsize=3, label=label)
    top.set(ylabel="share of sick, 95% interval", xlim=(0, 1), ylim=(-0.03, 1.03))
    top.set_title(f"reliability, {bins.counts.sum()} {what}")
    top.legend(loc="upper left")
    bottom.vlines(bins.predicted, 0, bins.counts, linewidth=4)
    bottom.set(xlabel="mean probability of the bin", ylabel="in the bin", ylim=(0, 1.2 * bins.counts.max()))
    bottom.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    save(figure, target)


@styled
def dice_boxes(dice: np.ndarray, classes: Classes, target: Target) -> None:
    """Box plot of the Dice of each image by region, every image a dot; the background is left out.

    dice [N, K], NaN where an image lacks the region.
    """
    regions = classes.regions
    values = [column[~np.isnan(column)] for column in dice.T[list(regions)]]
    figure = Figure(figsize=(5, 0.5 * len(regions) + 0.9), layout="constrained")
    axes = figure.subplots()
    shown = zip(regions.values(), values, strict=True)
    labels = [f"{name.replace('_', ' ')}\nn = {len(found)}" for name, found in shown]
    shape: dict[str, Any] = {"orientation": "horizontal", "showfliers": False, "widths": 0.6}
    drawn = axes.boxplot(values, tick_labels=labels, patch_artist=True, **shape)
    for place, (region, box) in enumerate(zip(regions.items(), drawn["boxes"], strict=True), start=1):
        box.set(facecolor=mpl.colors.to_rgba(region_colour(*region), 0.45))
        # Dots beside each other in the order of the images, so that equal ones are seen.
        spread = place + np.linspace(-0.22, 0.22, len(values[place - 1]))
        axes.plot(values[place - 1], spread, ".", color=INK, markersize=4, alpha=0.6)
    axes.set(xlabel="Dice of an image", xlim=(-0.03, 1.03))
    axes.invert_yaxis()
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    save(figure, target)


def _show(axis: Any, frame: np.ndarray) -> None:
    """Draw one frame uint8 [C, H, W]."""
    if len(frame) == 1:
        axis.imshow(frame[0], cmap=mpl.colormaps["gray"], vmin=0, vmax=255)
    else:
        axis.imshow(frame.transpose(1, 2, 0))


def _finish(figure: Figure, axes: np.ndarray, titles: Sequence[str], target: Target) -> None:
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title)
    for axis in axes.ravel():
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    save(figure, target)
