"""From settings to the three parts that a run trains on, chooses on, and tests on."""

import logging
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from src.datasets import DATASETS, splits
from src.datasets.annotations import Annotations, match_frames, read_annotations
from src.datasets.frame_cache import FRAME_SIZE, FrameCache, open_cache
from src.datasets.source import SICK, Skipped, Source
from src.datasets.splits import Split, stratified_sample
from src.datasets.tasks import DiagnosisDataset, FrameDataset, RegionDataset
from src.errors import UserError
from src.settings import ClassificationSettings, LatentSettings, RunSettings, SegmentationSettings

logger = logging.getLogger(__name__)

D = TypeVar("D", bound=FrameDataset)


@dataclass(frozen=True)
class Parts(Generic[D]):
    """The frames of one run, divided by patient."""

    train: D
    validation: D
    test: D
    split: Split

    def save_split(self, path: Path) -> None:
        """Write the shared split with this run's own division of it."""
        parts = {"train": self.train, "validation": self.validation, "tested": self.test}
        splits.save(path, self.split, **{name: sorted(set(part.patients)) for name, part in parts.items()})


def build_frames(settings: LatentSettings, saved_split: Path | None = None) -> Parts[FrameDataset]:
    """Every frame of the modality, without labels; test patients only in `test` unless `transductive`."""
    collection = _Collection(settings)
    cache = collection.decode(settings)
    return collection.divide(FrameDataset(cache, range(len(cache.frames))), settings, saved_split)


def build_diagnoses(settings: ClassificationSettings, saved_split: Path | None = None) -> Parts[DiagnosisDataset]:
    """Frames of the patients with a diagnosis."""
    collection = _Collection(settings)
    if not collection.diagnoses:
        collection.skipped.report(logger)
        raise UserError(
            f"{settings.dataset_path}: no patient is diagnosed as Healthy or Sick; looked in <patient>/description.html"
        )
    return collection.divide(DiagnosisDataset(collection.decode(settings), collection.diagnoses), settings, saved_split)


def build_regions(settings: SegmentationSettings, saved_split: Path | None = None) -> Parts[RegionDataset]:
    """Frames with regions drawn in the annotation file."""
    collection = _Collection(settings)
    if collection.annotations is None:
        raise UserError(
            f"{settings.annotations_path}: no annotation file there; the setting 'annotation_file' names a COCO file, "
            "relative to dataset_path"
        )
    names, background = collection.annotations.class_names, collection.annotations.background
    if len(settings.class_weights) != len(names):
        raise UserError(
            f"class_weights: {len(settings.class_weights)} weights for the {len(names)} categories of "
            f"{settings.annotations_path}: one for each is accepted"
        )
    cache = collection.decode(settings)
    regions = match_frames(cache.frames, collection.annotations, collection.skipped)
    return collection.divide(RegionDataset(cache, regions, names, background), settings, saved_split)


class _Collection:
    """A source's frames and labels, and what was left out of them on the way."""

    def __init__(self, settings: RunSettings) -> None:
        if settings.dataset_name not in DATASETS:
            raise UserError(f"dataset_name: {settings.dataset_name!r}: one of {', '.join(DATASETS)} is accepted")
        self.skipped = Skipped()
        self.source: Source = DATASETS[settings.dataset_name](settings.dataset_path)
        # Labels are read for every task, since all tasks share one stratified split, but what is wrong with them
        # concerns only the task that needs them.
        classifies, segments = (isinstance(settings, kind) for kind in (ClassificationSettings, SegmentationSettings))
        self.diagnoses = self.source.diagnoses(self.skipped if classifies else Skipped())
        self.annotations: Annotations | None = None
        if settings.annotations_path.is_file():
            skipped = self.skipped if segments else Skipped()
            self.annotations = read_annotations(settings.annotations_path, settings.background, skipped)

    def decode(self, settings: RunSettings) -> FrameCache:
        """The frames that the settings ask for, decoded."""
        modality = settings.frame_modality
        frames = self.source.frames(modality, self.skipped)
        chosen = [frame for frame in frames if not settings.views or frame.view in settings.views]
        if not chosen:
            raise UserError(
                f"{settings.dataset_path}: none of {len(frames)} {modality} frames is of views {list(settings.views)}"
            )
        if len(chosen) < len(frames):
            self.skipped.reasons["frames of other views"] = [str(f.path) for f in frames if f not in set(chosen)]
        size = settings.image_size or FRAME_SIZE[modality]
        folder = settings.output_root / "dmr_cache"
        return open_cache(folder, settings.dataset_path, chosen, modality, size, self.skipped)

    def _strata(self) -> dict[str, Hashable]:
        names = {image.stem for image in self.annotations.images} if self.annotations else set()
        frames = [frame for found in self.source.all_frames.values() for frame in found]
        annotated = {frame.patient for frame in frames if frame.name in names}
        return {patient: (self.diagnoses.get(patient), patient in annotated) for patient in self.source.patients}

    def divide(self, dataset: D, settings: RunSettings, saved_split: Path | None) -> Parts[D]:
        """Report what was left out, then cut the dataset by the shared split and the task's own ratio."""
        self.skipped.report(logger)
        strata = self._strata()
        if saved_split is not None:
            split = splits.load(saved_split)
        else:
            split = splits.load_or_draw(settings.output_root / "split.json", strata, settings.test_ratio, settings.seed)
        usable = set(dataset.patients)
        transductive = settings.transductive and isinstance(settings, LatentSettings)
        pool = {patient: strata[patient] for patient in usable & {*split.rest, *(split.test if transductive else ())}}
        tested = usable & set(split.test)
        if len(pool) < 2 or not tested:
            raise UserError(
                f"{settings.dataset_path}: {len(usable)} patients can be used for this task, {len(tested)} of them are "
                f"test patients; at least 1 test patient and 2 others are needed"
            )
        validation = stratified_sample(pool, 1 - settings.train_share, settings.seed)
        parts = Parts(
            dataset.of_patients(set(pool) - set(validation)),
            dataset.of_patients(validation),
            dataset.of_patients(tested),
            split,
        )
        for name, part in (("train", parts.train), ("validation", parts.validation), ("test", parts.test)):
            sick = sum(self.diagnoses.get(patient) == SICK for patient in set(part.patients))
            logger.info("%s: %d frames of %d patients (%d sick)", name, len(part), len(set(part.patients)), sick)
        return parts
