"""`load_segmenter` and `load_classifier`: trained runs as objects that predict arrays and files."""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from src.classes import Classes
from src.datasets.source import Skipped
from src.errors import UserError
from src.evaluation.decision import chosen_classes
from src.networks.findings import FEATURES
from src.prediction.ensemble import load_run
from src.prediction.inputs import Thermogram, from_array
from src.prediction.measures import Difference, Measure, differences, measure
from src.prediction.plausibility import Plausibility, plausibility
from src.prediction.shipped import load_shipped, load_shipped_classifier
from src.prediction.trained import Outputs, Trained

logger = logging.getLogger(__name__)

R = TypeVar("R", bound="Result")
NOTICE = "Research software: no medical device, no diagnosis."


_COLDEST = 0.005  # share of the regions' pixels that is colder than colours begin: edges, where the room shows through


@dataclass(frozen=True)
class Scale:
    """The values of the coldest and the warmest colour of a picture."""

    low: float
    high: float
    is_cut: bool
    """Whether there are lower values, which have the coldest colour too."""


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

    @property
    def body(self) -> NDArray[np.bool_] | None:
        """Where the regions are, [h, w]; None where none are looked for."""
        return None

    @cached_property
    def scale(self) -> Scale | None:
        """That of its picture, up to its warmest value; None where a frame came in colours alone.

        It begins where the regions do, so that a cold room takes no colours from the body; all below has the coldest.
        """
        values, body = self.thermogram.values, self.body
        if values is None:
            return None
        least = float(values.min())
        low = least if body is None or not body.any() else float(np.quantile(values[body], _COLDEST))
        return Scale(low, float(values.max()), low > least)


@dataclass(frozen=True)
class Segmentation(Result):
    """The regions of a frame."""

    labels: NDArray[np.uint8]
    """Class index of every pixel of the original frame, [h, w]."""
    confidences: tuple[float | None, ...]
    """Mean probability of each class where it was chosen; None where it was not."""
    classes: Classes
    agreement: tuple[float | None, ...] = ()
    """Of each class, the mean Dice with the predictions of the mirror image and of two changed copies, 0 to 1; None
    where none of them has it."""
    second: bool = False
    """Whether it is the answer of a second look, at the frame's negative too (`src.prediction.shipped`)."""

    @property
    def body(self) -> NDArray[np.bool_]:
        """Where the regions are, [h, w]."""
        return np.asarray(self.labels != self.classes.background)

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
        return plausibility(self.labels, self.classes, self.agreement)

    @property
    def warnings(self) -> list[str]:
        """Of each region what anatomy hardly allows or copies disagree on, in words; none where all is as it may be."""
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
            (value, self.classes.names[index])
            for index, value in enumerate(self.agreement)
            if value is not None and index != self.classes.background
        ]
        return (min(known)[1], min(known)[0]) if known else None


@dataclass(frozen=True)
class Feature:
    """One of the eight features that a diagnosis may rest on."""

    feature: str
    value: float
    """As `src.networks.findings.FEATURES` says."""
    share: float
    """What it adds to the logit of a frame whose features are those of the mean training frame."""


@dataclass(frozen=True)
class Classification(Result):
    """The probability that a frame is of a sick patient."""

    probability: float
    """As the network says it; of the weights that ship, if half of all patients had a tumour as they were drawn."""
    calibrated: float | None
    """After the temperature that validation patients chose; None of the weights that ship."""
    threshold: float | None
    """On `probability`, chosen on validation patients; None of the weights that ship, which saw none."""
    features: tuple[Feature, ...] = ()
    """What the diagnosis rests on, where it rests on features."""
    excess: NDArray[np.float32] | None = None
    """How much warmer each pixel of the breasts is than anatomy explains, [h, w], in the frame's unit or, where it has
    none, in standard deviations of its levels; 0 elsewhere."""

    @property
    def reaches_threshold(self) -> bool | None:
        """Whether the frame is called sick; None without a threshold."""
        return None if self.threshold is None else self.probability >= self.threshold

    @property
    def verdict(self) -> str:
        """Probability and threshold in words, with as many digits as tell them apart."""
        if self.threshold is None:
            return f"{self.probability:.3f}, uncalibrated, without a threshold: no patient's diagnosis was ever seen"
        side = "reaches" if self.reaches_threshold else "is below"
        for digits in range(3, 10):
            own, limit = f"{self.probability:.{digits}f}", f"{self.threshold:.{digits}f}"
            if own != limit or self.probability == self.threshold:
                break
        return f"{own} {side} the threshold {limit}"


class _Predictor(ABC, Generic[R]):
    def __init__(self, trained: Trained) -> None:
        self.trained = trained
        typicality = trained.record.typicality
        self.distance_threshold = None if typicality is None else typicality.threshold

    def predict(self, array: NDArray[Any]) -> R:
        """The answer for one frame: uint8 [h, w] gray, uint8 [h, w, 3] RGB heat map, or temperatures float [h, w].

        Any size: it is resized with its aspect kept. Raises `UserError` for other arrays.
        """
        notes = Skipped()
        thermogram = from_array(array, notes)
        frame = self.trained.frame_of(thermogram, notes)
        notes.report(logger)
        return self.result(thermogram, self.trained([frame])[0])

    @abstractmethod
    def result(self, thermogram: Thermogram, outputs: Outputs) -> R:
        """What the networks' outputs say of this frame."""


class Segmenter(_Predictor[Segmentation]):
    """A trained run of main_seg.py, or the networks that ship."""

    def __init__(self, trained: Trained) -> None:
        super().__init__(trained)
        self.classes = trained.record.classes

    def result(self, thermogram: Thermogram, outputs: Outputs) -> Segmentation:
        """The regions on the frame's own pixels."""
        on_pixels = outputs.box.restore(outputs.logits.softmax(0).permute(1, 2, 0).numpy())
        how = self.trained.decide, self.classes.background, self.trained.least
        labels = chosen_classes(on_pixels.transpose(2, 0, 1)[None], *how)[0]
        chosen = np.take_along_axis(on_pixels, labels[..., None].astype(np.intp), -1)
        counts = np.bincount(labels.ravel(), minlength=len(self.classes.names))
        sums = np.bincount(labels.ravel(), weights=chosen.ravel(), minlength=len(self.classes.names))
        means = tuple(float(total / n) if n else None for total, n in zip(sums, counts, strict=True))
        base = thermogram, outputs.distance, self.distance_threshold
        return Segmentation(*base, labels, means, self.classes, outputs.agreement, outputs.second)


class Classifier(_Predictor[Classification]):
    """A trained run of main_binary.py, or the networks that ship, which have neither threshold nor temperature."""

    def __init__(self, trained: Trained) -> None:
        super().__init__(trained)
        self.threshold: float | None = None
        self.temperature: float | None = None
        if trained.run is None:
            return
        scores, path = trained.metrics(), trained.run.metrics
        try:
            self.threshold, self.temperature = float(scores["threshold"]), float(scores["temperature"])
            if not (math.isfinite(self.threshold) and 0 < self.temperature < math.inf):
                raise ValueError
        except (KeyError, TypeError, ValueError, OverflowError):
            raise UserError(
                f"{path}: no threshold or temperature; this writes them: python main_binary.py --mode test"
            ) from None

    def result(self, thermogram: Thermogram, outputs: Outputs) -> Classification:
        """The probability, and what it rests on."""
        probability, calibrated = outputs.logits.double().sigmoid().numpy(), None
        if self.temperature is not None:
            from src.evaluation.calibration import apply_temperature  # with scipy: half a second

            calibrated = float(apply_temperature(probability, self.temperature))
        base = thermogram, outputs.distance, self.distance_threshold, float(probability), calibrated, self.threshold
        if outputs.explained is None:
            return Classification(*base)
        features, shares, excess = outputs.explained
        spread = 1.0 if thermogram.values is None else float(thermogram.values.std())
        on_pixels = outputs.box.restore(excess.numpy()[..., None])[..., 0]
        named = map(Feature, FEATURES, features.tolist(), shares.tolist())
        return Classification(*base, tuple(named), np.asarray(on_pixels * spread, np.float32))


def load_segmenter(run: str | Path | None = None, device: str = "auto") -> Segmenter:
    """The predictor of a run folder of main_seg.py, such as dmr_runs_seg_h_enc_h_dec; `UserError` where it is none.

    Of a folder of k-fold, such as kfold_5/dmr_runs_seg_h_enc_h_dec, all models answer together.
    Without a run, the one that ships: taught on drawn torsos alone, for frames of any kind.
    """
    if run is None:
        return Segmenter(load_shipped(device))
    return Segmenter(load_run(Path(run), "segmentation", device))


def load_classifier(run: str | Path | None = None, device: str = "auto") -> Classifier:
    """The predictor of a run folder, or of a folder of k-fold, of main_binary.py; `UserError` where it is none.

    Without a run, the networks that ship: evidence of tumours as they were drawn, of no patient's diagnosis.
    """
    if run is None:
        return Classifier(load_shipped_classifier(device))
    return Classifier(load_run(Path(run), "classification", device))
