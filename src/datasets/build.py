"""From settings to the three parts that a run trains on, chooses on, and tests on."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from src.datasets.collection import Collection
from src.datasets.source import Frame, Skipped
from src.datasets.splits import Split
from src.datasets.torch_datasets import DiagnosisDataset, FrameDataset, RegionDataset
from src.datasets.torch_datasets import Parts as Parts
from src.errors import UserError
from src.settings import ClassificationSettings, DecoderRunSettings, LatentSettings, RunSettings, SegmentationSettings

logger = logging.getLogger(__name__)


def build_frames(settings: LatentSettings, saved_split: Path | None = None) -> Parts[FrameDataset]:
    """Every frame of the modality, without labels; test patients only in `test` unless `transductive`.

    With `saved_split`, a file that `Parts.save_split` wrote, here and below the parts are that run's, whatever the
    labels say today.
    """
    with _collected(settings) as collection:
        cache = collection.decode()
        return collection.divide(FrameDataset(cache, range(len(cache.frames))), saved_split)


def build_diagnoses(settings: ClassificationSettings, saved_split: Path | None = None) -> Parts[DiagnosisDataset]:
    """Frames of the patients with a diagnosis."""
    with _collected(settings) as collection:
        return collection.divide(_diagnoses_of(collection), saved_split)


def build_regions(settings: SegmentationSettings, saved_split: Path | None = None) -> Parts[RegionDataset]:
    """Frames with regions drawn in the annotation file."""
    with _collected(settings) as collection:
        return collection.divide(_regions_of(collection, settings), saved_split)


def list_diagnosed(settings: ClassificationSettings) -> tuple[list[Frame], dict[str, int]]:
    """The frames that `build_diagnoses` would decode, and HEALTHY or SICK of their patients."""
    with _collected(settings) as collection:
        _require_diagnoses(collection)
        chosen = collection.chosen()
    return [frame for frame in chosen if frame.patient in collection.diagnoses], collection.diagnoses


def draw_splits(settings: DecoderRunSettings) -> list[Split]:
    """The splits of the settings' protocol: by patient, the same ones for both tasks, but for the published one.

    Raises `UserError`, with what was left out in the log, where one of them leaves a run nothing to train or test on.
    """
    with _collected(settings) as collection:
        dataset: FrameDataset
        if isinstance(settings, SegmentationSettings):
            dataset = _regions_of(collection, settings)
        else:
            dataset = _diagnoses_of(collection)
        drawn = collection.splits_of(settings, dataset)
        for number, split in enumerate(drawn, 1):
            collection.division(dataset, split, f"fold {number} of {len(drawn)}: " if len(drawn) > 1 else "")
    return drawn


@contextmanager
def _collected(settings: RunSettings) -> Iterator[Collection]:
    """A collection for the block; where it cannot be used, what was left out of it is reported before the error."""
    skipped = Skipped()
    try:
        collection = Collection(settings, skipped)
        if not any(collection.source.all_frames.values()):
            raise UserError(
                f"{settings.dataset_path}: no frames in the layout of data/README.md there; other files are imported "
                f"first: python -m src.datasets.prepare import {settings.dataset_path} NEW_FOLDER"
                f"{collection.source.left_out.summary('; ')}"
            )
        yield collection
    except UserError:
        skipped.report(logger)
        raise


def _require_diagnoses(collection: Collection) -> None:
    if not collection.diagnoses:
        raise UserError(
            f"{collection.source.root}: no patient is diagnosed as Healthy or Sick; looked in "
            "<patient>/description.html"
        )


def _diagnoses_of(collection: Collection) -> DiagnosisDataset:
    _require_diagnoses(collection)
    return DiagnosisDataset(collection.decode(), collection.diagnoses)


def _regions_of(collection: Collection, settings: SegmentationSettings) -> RegionDataset:
    if collection.annotations is None:
        raise UserError(
            f"{settings.annotations_path}: no annotation file there; the setting 'annotation_file' names a COCO file, "
            "relative to dataset_path; docs/training.md says how one is drawn, and --mode predict needs none"
        )
    classes = collection.annotations.classes
    if len(settings.class_weights) != len(classes.names):
        raise UserError(
            f"class_weights: {len(settings.class_weights)} weights for the {len(classes.names)} categories of "
            f"{settings.annotations_path}: one for each is accepted"
        )
    cache = collection.decode()
    dataset = RegionDataset(cache, collection.drawn_on(cache), classes)
    for frame, name in dataset.lost_regions():
        reason = "regions of which no pixel is left (covered, outside the frame or too small)"
        collection.skipped.add(reason, f"{frame.path}: {name}")
    return dataset
