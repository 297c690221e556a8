"""Pictures of what was learned, from arrays."""

from collections.abc import Sequence
from pathlib import Path
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

CLUSTERS = 8
_FITTED_PIXELS = 20_000
_COLOURS = ("#4477ff", "#22aa55", "#ff3344", "#ffd500", "#dd55dd", "#33ccdd", "#ff8822", "#996633", "#aaaaaa")


def loss_curves(history: Sequence[dict[str, Any]], best_epoch: int, path: Path) -> None:
    """Training and validation loss by epoch, the chosen epoch marked."""
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    epochs = [entry["epoch"] for entry in history]
    marker = "o" if len(epochs) < 3 else None
    axes.plot(epochs, [entry["train/loss"] for entry in history], label="training", marker=marker)
    axes.plot(epochs, [entry["val/loss"] for entry in history], label="validation", marker=marker)
    axes.axvline(best_epoch, color="gray", linestyle=":", label=f"chosen: epoch {best_epoch}")
    axes.set(xlabel="epoch", ylabel="loss")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    figure.savefig(path, dpi=120)


def encoder_sheet(
    frames: np.ndarray, rebuilt: np.ndarray, latents: np.ndarray, names: Sequence[str], seed: int, path: Path
) -> None:
    """A row a frame: input | reconstruction | first three principal components of the latents as RGB | k-means of them.

    frames uint8 [N, C, H, W], rebuilt float [N, C, h, w] in -1..1, latents [N, L, h, w].
    """
    count, _, height, width = latents.shape
    pixels = latents.transpose(0, 2, 3, 1).reshape(-1, latents.shape[1])
    fitted = np.random.default_rng(seed).permutation(len(pixels))[:_FITTED_PIXELS]
    components = PCA(3, random_state=seed).fit(pixels[fitted]).transform(pixels)
    low, high = np.percentile(components, (1, 99), axis=0)
    components = np.clip((components - low) / np.maximum(high - low, 1e-9), 0, 1).reshape(count, height, width, 3)
    means = MiniBatchKMeans(CLUSTERS, random_state=seed, n_init=3).fit(pixels[fitted])
    clusters = means.predict(pixels).reshape(count, height, width)

    figure = Figure(figsize=(11, 2.15 * count + 0.4), layout="constrained")
    axes = figure.subplots(count, 4, squeeze=False)
    for row in range(count):
        _show(axes[row, 0], frames[row])
        _show(axes[row, 1], np.clip((rebuilt[row] + 1) * 127.5, 0, 255).astype(np.uint8))
        axes[row, 2].imshow(components[row])
        axes[row, 3].imshow(clusters[row], cmap="tab10", vmin=0, vmax=9, interpolation="nearest")
        axes[row, 0].set_ylabel(names[row], fontsize=8)
    titles = ("input", "reconstruction (patch centres)", "latents: 3 components", f"latents: {CLUSTERS}-means")
    _finish(figure, axes, titles, path)


def segmentation_sheet(
    frames: np.ndarray,
    truth: np.ndarray,
    predicted: np.ndarray,
    captions: Sequence[str],
    classes: tuple[tuple[str, ...], int],
    path: Path,
) -> None:
    """A row a frame: input | truth | prediction, the regions coloured over the frame, with a legend.

    frames uint8 [N, C, H, W]; truth, predicted [N, H, W] class indices; classes: the names and the background's index.
    """
    names, background = classes
    figure = Figure(figsize=(9, 2.3 * len(frames) + 0.9), layout="constrained")
    axes = figure.subplots(len(frames), 3, squeeze=False)
    colours = ListedColormap([_COLOURS[index % len(_COLOURS)] for index in range(len(names))])
    for row, frame in enumerate(frames):
        for axis, regions in zip(axes[row], (None, truth[row], predicted[row]), strict=True):
            # Under regions the frame is gray, so that their colours are the legend's.
            _show(axis, frame if regions is None else frame.mean(0, keepdims=True))
            if regions is not None:
                shown = np.ma.masked_equal(regions, background)
                axis.imshow(shown, cmap=colours, vmin=-0.5, vmax=len(names) - 0.5, alpha=0.6, interpolation="nearest")
        axes[row, 0].set_ylabel(captions[row], fontsize=8)
    patches = [
        Patch(color=colours(index), label=name.replace("_", " "))
        for index, name in enumerate(names)
        if index != background
    ]
    figure.legend(handles=patches, loc="outside lower center", ncols=4, fontsize=9)
    _finish(figure, axes, ("input", "truth", "prediction"), path)


def roc_and_confusion(labels: np.ndarray, probabilities: np.ndarray, threshold: float, what: str, path: Path) -> None:
    """ROC curve and confusion matrix; labels are 1 for sick; both [N]; `what` they are of, such as patients."""
    figure = Figure(figsize=(8.4, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([0, 1], [0, 1], color="gray", linestyle=":", label="chance")
    if len(np.unique(labels)) == 2:
        false_alarms, hits, _ = sk.roc_curve(labels, probabilities)
        area = sk.roc_auc_score(labels, probabilities)
        left.plot(false_alarms, hits, drawstyle="steps-post", label=f"AUC {area:.2f}")
    else:
        left.text(0.5, 0.4, "one diagnosis only:\nno curve", ha="center")
    left.set(xlabel="1 - specificity", ylabel="sensitivity", title=f"ROC, {len(labels)} {what}", aspect="equal")
    left.legend(loc="lower right")
    matrix = sk.confusion_matrix(labels, probabilities >= threshold, labels=[0, 1])
    right.imshow(matrix, cmap="Blues", vmin=0)
    for (row, col), count in np.ndenumerate(matrix):
        colour = "white" if count > matrix.max() / 2 else "black"
        right.text(col, row, str(count), ha="center", va="center", fontsize=16, color=colour)
    right.set(xticks=[0, 1], yticks=[0, 1], xlabel="predicted", ylabel="true", title=f"threshold {threshold:g}")
    right.set_xticklabels(["healthy", "sick"])
    right.set_yticklabels(["healthy", "sick"])
    figure.savefig(path, dpi=120)


def _show(axis: Any, frame: np.ndarray) -> None:
    """Draw one frame uint8 [C, H, W]."""
    if len(frame) == 1:
        axis.imshow(frame[0], cmap=mpl.colormaps["gray"], vmin=0, vmax=255)
    else:
        axis.imshow(frame.transpose(1, 2, 0))


def _finish(figure: Figure, axes: np.ndarray, titles: Sequence[str], path: Path) -> None:
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=10)
    for axis in axes.ravel():
        axis.set(xticks=[], yticks=[])
    figure.savefig(path, dpi=110)
