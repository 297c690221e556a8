"""`load_segmenter` and `load_classifier`: trained runs as objects that predict arrays and files."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from src.datasets.letterbox import Letterbox
from src.datasets.source import Skipped
from src.errors import UserError
from src.evaluation.calibration import apply_temperature
from src.evaluation.decision import chosen_classes
from src.prediction.ensemble import load_run
from src.prediction.inputs import Thermogram, from_array
from src.prediction.measures import Difference, Measure, differences, measure
from src.prediction.plausibility import Plausibility, plausibility
from src.prediction.trained import Outputs, Trained, load_shipped

logger = logging.getLogger(__name__)

NOTICE = "Research software: no medical device, no diagnosis."


@dataclass(frozen=True)
class Result:
    """What is said of any frame."""

    notice: ClassVar[str] = NOTICE
    thermogram: Thermogram
    distance: float | None
    """How far the frame is from those of training in what the decoder sees, about 1 for these; None where unknown."""
    distance_threshold: float | None
    """The distance that hardly a hundredth of frames like those of training and validation exceeds."""

    @property
    def unlike_training(self) -> bool | None:
        """Whether the frame is further than the threshold: its prediction is then worth little."""
        if self.distance is None or self.distance_threshold is None:
            return None
        return self.distance > self.distance_threshold


@dataclass(frozen=True)
class Segmentation(Result):
    """The regions of a frame."""

    labels: NDArray[np.uint8]
    """Class index of every pixel of the original frame, [h, w]."""
    confidences: tuple[float | None, ...]
    """Mean probability of each class where it was chosen; None where it was not."""
    class_names: tuple[str, ...]
    background: int
    agreement: tuple[float | None, ...] = ()
    """Of each class, the mean Dice with the predictions of the mirror image and of four changed copies, 0 to 1; None
    where none of them has it."""

    @property
    def classes(self) -> tuple[tuple[str, ...], int]:
        """The names and the background's index."""
        return self.class_names, self.background

    @cached_property
    def regions(self) -> list[Measure]:
        """Area, mean, median, maximum and standard deviation of each region."""
        return measure(self.labels, self.thermogram.values, self.thermogram.unit, self.classes)

    @cached_property
    def differences(self) -> list[Difference]:
        """Left minus right of breasts, nipples and armpits."""
        return differences(self.regions)

    @cached_property
    def plausibility(self) -> list[Plausibility]:
        """Pieces, size and warnings of each region."""
        return plausibility(self.labels, self.classes)

    @property
    def warnings(self) -> list[str]:
        """What anatomy hardly allows of the regions, in words; none where all is as it may be."""
        return [
            f"{found.region.replace('_', ' ')}: {', '.join(found.warnings)}"
            for found in self.plausibility
            if found.warnings
        ]

    def doubts(self, pair: str) -> list[str]:
        """Those of `warnings` that concern the left or the right one of a pair: its difference means little then."""
        names = {f"left {pair}", f"right {pair}"}
        return [warning for warning in self.warnings if warning.partition(":")[0].lower() in names]

    @property
    def least_agreement(self) -> tuple[str, float] | None:
        """The region that changed copies agree on least, and how far they do."""
        known = [
            (value, name)
            for index, (name, value) in enumerate(zip(self.class_names, self.agreement, strict=False))
            if value is not None and index != self.background
        ]
        return (min(known)[1], min(known)[0]) if known else None


@dataclass(frozen=True)
class Classification(Result):
    """The probability that a frame is of a sick patient."""

    probability: float
    """As the network says it."""
    calibrated: float
    """After the temperature that validation patients chose."""
    threshold: float
    """On `probability`, chosen on validation patients."""

    @property
    def reaches_threshold(self) -> bool:
        """Whether the frame is called sick."""
        return self.probability >= self.threshold

    @property
    def verdict(self) -> str:
        """Probability and threshold in words, with as many digits as tell them apart."""
        side = "reaches" if self.reaches_threshold else "is below"
        digits = 3
        while (
            digits < 9
            and self.probability != self.threshold
            and f"{self.probability:.{digits}f}" == (f"{self.threshold:.{digits}f}")
        ):
            digits += 1
        return f"{self.probability:.{digits}f} {side} the threshold {self.threshold:.{digits}f}"


class Segmenter:
    """A trained run of main_seg.py."""

    def __init__(self, trained: Trained) -> None:
        self.trained = trained
        self.class_names, self.background = trained.record.class_names, trained.record.background

    def predict(self, array: NDArray[Any]) -> Segmentation:
        """The regions of one frame: uint8 [h, w] gray, uint8 [h, w, 3] RGB heat map, or temperatures float [h, w].

        Any size: it is resized with its aspect kept. Raises `UserError` for other arrays.
        """
        notes = Skipped()
        thermogram = from_array(array, notes)
        frame = self.trained.frame_of(thermogram, notes)
        notes.report(logger)
        return self.results([thermogram], self.trained([frame]))[0]

    def results(self, thermograms: Sequence[Thermogram], outputs: Outputs) -> list[Segmentation]:
        """What the networks' outputs say of these frames."""
        probabilities = outputs.logits.softmax(1).permute(0, 2, 3, 1).numpy()
        agreed = outputs.agreements or [()] * len(thermograms)
        rows = zip(thermograms, probabilities, outputs.boxes, outputs.distances, agreed, strict=True)
        return [self._result(*row) for row in rows]

    def _result(
        self,
        thermogram: Thermogram,
        probabilities: NDArray[np.float32],
        box: Letterbox,
        distance: float | None,
        agreed: tuple[float | None, ...],
    ) -> Segmentation:
        on_pixels = box.restore(probabilities)
        frame, given = on_pixels.transpose(2, 0, 1)[None], self.trained
        labels = chosen_classes(frame, given.decide, self.background, given.least)[0]
        chosen = np.take_along_axis(on_pixels, labels[..., None].astype(np.intp), -1)
        counts = np.bincount(labels.ravel(), minlength=len(self.class_names))
        sums = np.bincount(labels.ravel(), weights=chosen.ravel(), minlength=len(self.class_names))
        means = tuple(float(total / n) if n else None for total, n in zip(sums, counts, strict=True))
        known = _threshold(self.trained)
        return Segmentation(thermogram, distance, known, labels, means, self.class_names, self.background, agreed)


class Classifier:
    """A trained run of main_binary.py."""

    def __init__(self, trained: Trained) -> None:
        self.trained = trained
        scores, path = trained.metrics(), trained.run and trained.run.results / "metrics.json"
        try:
            self.threshold, self.temperature = float(scores["threshold"]), float(scores["temperature"])
            if not (math.isfinite(self.threshold) and 0 < self.temperature < math.inf):
                raise ValueError
        except (KeyError, TypeError, ValueError, OverflowError):
            raise UserError(
                f"{path}: no threshold or temperature; this writes them: python main_binary.py --mode test"
            ) from None

    def predict(self, array: NDArray[Any]) -> Classification:
        """The probability for one frame; arrays as for `Segmenter.predict`."""
        notes = Skipped()
        thermogram = from_array(array, notes)
        frame = self.trained.frame_of(thermogram, notes)
        notes.report(logger)
        return self.results([thermogram], self.trained([frame]))[0]

    def results(self, thermograms: Sequence[Thermogram], outputs: Outputs) -> list[Classification]:
        """What the networks' outputs say of these frames."""
        probabilities = outputs.logits.double().sigmoid().numpy()
        calibrated = apply_temperature(probabilities, self.temperature)
        known = _threshold(self.trained)
        rows = zip(thermograms, outputs.distances, probabilities.tolist(), calibrated.tolist(), strict=True)
        return [
            Classification(thermogram, distance, known, probability, after, self.threshold)
            for thermogram, distance, probability, after in rows
        ]


def _threshold(trained: Trained) -> float | None:
    typicality = trained.record.typicality
    return None if typicality is None else typicality.threshold


def load_segmenter(run: str | Path | None = None, device: str = "auto") -> Segmenter:
    """The predictor of a run folder of main_seg.py, such as dmr_runs_seg_h_enc_h_dec; `UserError` where it is none.

    Of a folder of k-fold, such as kfold_5/dmr_runs_seg_h_enc_h_dec, all models answer together.
    Without a run, the one that ships: taught on drawn torsos alone, for frames of any kind.
    """
    if run is None:
        return Segmenter(load_shipped(device))
    return Segmenter(load_run(Path(run), "segmentation", device))


def load_classifier(run: str | Path, device: str = "auto") -> Classifier:
    """The predictor of a run folder, or of a folder of k-fold, of main_binary.py; `UserError` where it is none."""
    return Classifier(load_run(Path(run), "classification", device))
