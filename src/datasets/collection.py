"""A source's frames and labels for one run, and who of its patients is trained on, chosen on, and tested on."""

import logging
from collections import Counter
from collections.abc import Hashable, Sequence, Set
from functools import partial
from pathlib import Path

from src.datasets import DATASETS, splits
from src.datasets.annotated_frames import NO_FRAME, KnownNames, match_frames
from src.datasets.annotations import AnnotatedImage, Annotations, read_annotations
from src.datasets.duplicates import find_duplicates
from src.datasets.frame_cache import FrameCache, open_cache
from src.datasets.snapshots import palette_name
from src.datasets.source import HEALTHY, SICK, Frame, Skipped, Source, Unit
from src.datasets.splits import Division, Groups, Split, connected, load_or_draw, stratified_sample
from src.datasets.torch_datasets import D, FrameDataset, Parts
from src.errors import DeviceError, UserError
from src.files import composed
from src.settings import (
    ClassificationSettings,
    DecoderRunSettings,
    DecoderSettings,
    LatentSettings,
    RunSettings,
    SegmentationSettings,
)

logger = logging.getLogger(__name__)

_SAME_ASPECT = 0.05  # a small picture rounds its sides; 4:3 and 5:4 are 0.07 apart


class Collection:
    """A source's frames and labels, and what was left out of them on the way."""

    def __init__(self, settings: RunSettings, skipped: Skipped) -> None:
        self.settings, self.skipped = settings, skipped
        if settings.dataset_name not in DATASETS:
            raise UserError(f"dataset_name: {settings.dataset_name!r}: one of {', '.join(DATASETS)} is accepted")
        if isinstance(settings, DecoderSettings) and settings.palette is not None:
            palette_name(settings.palette)  # which refuses an unknown one before the training, not after it
        self.source: Source = DATASETS[settings.dataset_name](settings.dataset_path, settings.patients)
        if settings.patients:
            logger.info("only the %d patients that the settings name are used", len(self.source.patients))
        # Labels are read for every task, since all tasks share one stratified split, but what is wrong with them
        # concerns only the task that needs them.
        classifies, segments = (isinstance(settings, kind) for kind in (ClassificationSettings, SegmentationSettings))
        told = self.source.diagnoses(self.skipped if classifies else Skipped())
        self.diagnoses = {composed(patient): diagnosis for patient, diagnosis in told.items()}
        self.annotations: Annotations | None = None
        self.regions: dict[Frame, AnnotatedImage] = {}
        self._read_regions(segments)

    @property
    def _protocol(self) -> str:
        return self.settings.protocol if isinstance(self.settings, DecoderSettings) else ""

    @property
    def _unit(self) -> Unit:
        published = self._protocol == "published" and isinstance(self.settings, SegmentationSettings)
        return "frame" if published else "patient"

    def _read_regions(self, needed: bool) -> None:
        path, skipped = self.settings.annotations_path, self.skipped if needed else Skipped()
        try:
            if path.is_file():
                self.annotations = read_annotations(path, self.settings.background, skipped)
                self.regions = match_frames(self.source.all_frames, self.annotations, skipped)
                self._note_expected_names(skipped)
            elif not needed:
                logger.warning("%s: no annotation file there: no patient counts as annotated", path)
        except UserError as error:
            if needed or isinstance(error, DeviceError):
                raise
            logger.warning("%s: no patient counts as annotated", error)

    def _note_expected_names(self, skipped: Skipped) -> None:
        """Of the images without a frame, what the first one would have to be called: one line tells them all."""
        names = list(skipped.reasons.get(NO_FRAME, ()))
        listed = self.source.all_frames
        frames = {frame.name: frame.path for frame in (*listed["heat"], *listed["gray"])}
        if names and (closest := KnownNames(frames).closest(names[0])):
            reason = f"annotated images that must be called as their frame, such as {frames[closest].as_posix()}"
            for name in names:
                skipped.add(f"{reason}, not {names[0]}", name)

    def chosen(self) -> list[Frame]:
        """The frames that the settings ask for."""
        views, modality = self.settings.views, self.settings.frame_modality
        frames = self.source.frames(modality, self.skipped)
        chosen = [frame for frame in frames if not views or frame.view in views]
        if not chosen:
            raise UserError(
                f"{self.settings.dataset_path}: none of {len(frames)} {modality} frames is of views {list(views)}"
            )
        for frame in frames:
            if views and frame.view not in views:
                self.skipped.add("frames of other views", str(frame.path))
        return chosen

    def decode(self) -> FrameCache:
        """The frames that the settings ask for, decoded to the size of the run."""
        settings, chosen = self.settings, self.chosen()
        place = (settings.frame_cache, settings.dataset_path)
        cache = open_cache(*place, chosen, settings.frame_modality, settings.frame_size, self.skipped)
        if isinstance(settings, SegmentationSettings):
            self._note_unused_regions(chosen, cache.frames)
        return cache

    def drawn_on(self, cache: FrameCache) -> dict[Frame, AnnotatedImage]:
        """The annotated images of decoded frames, but those of another aspect: drawn on a picture that was turned, cut
        or filled up, their regions would lie elsewhere."""
        found = {}
        for frame, (rows, columns) in zip(cache.frames, cache.originals, strict=True):
            if (image := self.regions.get(frame)) is None:
                continue
            if abs(image.height * columns / (image.width * rows) - 1) <= _SAME_ASPECT:
                found[frame] = image
            else:
                sizes = f"{image.width} x {image.height}, not {columns} x {rows}"
                self.skipped.add("annotated images of another aspect than their frame", f"{image.file_name}: {sizes}")
        return found

    def _note_unused_regions(self, chosen: Sequence[Frame], decoded: Sequence[Frame]) -> None:
        wanted, used = (
            {self.regions[frame].file_name for frame in frames if frame in self.regions} for frames in (chosen, decoded)
        )
        for name in sorted({image.file_name for image in self.regions.values()} - used):
            reason = "cannot be decoded" if name in wanted else "is not of the modality and views asked for"
            self.skipped.add(f"annotated images whose frame {reason}", name)

    def _strata(self, unit: Unit = "patient") -> dict[str, Hashable]:
        if unit == "frame":
            return {frame.key: None for frame in self.regions}
        annotated = {frame.patient for frame in self.regions}
        return {patient: (self.diagnoses.get(patient), patient in annotated) for patient in self.source.patients}

    def divide(self, dataset: D, saved_split: Path | None) -> Parts[D]:
        """Report what was left out, then cut the dataset as a run before it or by the shared split and a new draw."""
        if saved_split is not None:
            split, division = splits.load(saved_split), splits.load_division(saved_split)
            self._note_changes(dataset, split, division, saved_split)
        else:
            split = self._shared_split(dataset)
            for group in split.groups:
                logger.warning("patients who share frames are kept on one side of every split: %s", ", ".join(group))
            division = self.division(dataset, split)
        self.skipped.report(logger)
        sides = (division.train, division.validation, division.tested)
        train, validation, test = (dataset.of_units(split.unit, names) for names in sides)
        parts: Parts[D] = Parts(train, validation, test, split, {})
        for name, part in (("train", train), ("validation", validation), ("test", test)):
            if len(part):
                parts.counts[name] = self._counts(name, part)
            elif name == "train" or self._protocol != "final":
                raise UserError(f"{saved_split}: none of its {name} patients can be used for this task any more")
        return parts

    def _note_changes(self, dataset: FrameDataset, split: Split, division: Division, path: Path) -> None:
        """Of a saved split, which patients it does not know and which it has that are gone."""
        usable = set(dataset.units(split.unit))
        known = {*division.train, *division.validation, *division.tested}
        if isinstance(self.settings, DecoderSettings) and self.settings.train_patients is not None:
            known |= usable & set(split.rest)  # left out on purpose
        for patient in sorted(usable - known):
            self.skipped.add(f"usable {split.unit}s that {path} does not know", patient)
        for patient in sorted(known - usable):
            self.skipped.add(f"{split.unit}s of {path} that can no longer be used", patient)

    def _counts(self, name: str, part: FrameDataset) -> dict[str, int]:
        """How much is in a part, which is logged."""
        labels = [self.diagnoses.get(patient) for patient in set(part.patients)]
        diagnoses = {"sick": SICK, "healthy": HEALTHY, "undiagnosed": None}
        counts = {word: labels.count(label) for word, label in diagnoses.items()}
        told = ", ".join(f"{count} {word}" for word, count in counts.items())
        logger.info("%s: %d frames of %d patients (%s)", name, len(part), len(labels), told)
        if isinstance(self.settings, ClassificationSettings) and len(set(labels)) < 2:
            lost = "scores that need both, such as AUC, are nan"
            logger.warning("%s: only one diagnosis among its patients: %s", name, lost)
        return {"frames": len(part), "patients": len(labels), **counts}

    def division(self, dataset: FrameDataset, split: Split, which: str = "") -> Division:
        """Of a split's patients that this task can use those to train, to choose and to test on.

        Raises `UserError`, which names the fold, where one of these would have none, or where a classifier would see
        one diagnosis alone.
        """
        settings, strata = self.settings, self._strata(split.unit)
        usable = set(dataset.units(split.unit))
        if self._protocol == "final" and usable:  # which keeps nobody back to choose or to test on
            self._require_both_diagnoses(usable, which)
            return Division(tuple(sorted(usable)), (), ())
        transductive = settings.transductive and isinstance(settings, LatentSettings)
        pool = {patient: strata[patient] for patient in usable & {*split.rest, *(split.test if transductive else ())}}
        tested = usable & set(split.test)
        try:
            validation = stratified_sample(pool, 1 - settings.train_share, settings.seed, split.groups)
        except ValueError:  # fewer than two patients, or none who share no frame
            validation = []
        if self._protocol == "published":
            validation = sorted(tested)
        if not validation or not tested:
            raise UserError(
                f"{settings.dataset_path}: {which}{len(usable)} {split.unit}s can be used for this task, {len(tested)} "
                f"of them are test {split.unit}s; at least 1 test {split.unit} and 2 others are needed, who share no "
                f"frame{'; fewer folds are needed' if which else self._other_draw(len(usable))}"
            )
        train = set(pool) - set(validation)
        if isinstance(settings, DecoderSettings) and settings.train_patients is not None:
            if settings.train_patients > len(train):
                raise UserError(f"train_patients: {settings.train_patients}: there are {len(train)} training patients")
            known = {patient: strata[patient] for patient in train}
            train = set(splits.ordered_sample(known, settings.train_patients, settings.seed))
        self._require_both_diagnoses(train, which)
        return Division(tuple(sorted(train)), tuple(validation), tuple(sorted(tested)))

    def _require_both_diagnoses(self, train: Set[str], which: str) -> None:
        found = {self.diagnoses.get(patient) for patient in train}
        if isinstance(self.settings, ClassificationSettings) and len(found) < 2:
            raise UserError(
                f"{self.settings.dataset_path}: {which}all {len(train)} training patients are "
                f"{'sick' if SICK in found else 'healthy'}: nothing to tell apart; more patients of the other "
                "diagnosis are needed, at least one each to train, to choose and to test on"
            )

    def _other_draw(self, usable: int) -> str:
        """What to do about a split that cannot be used: one that earlier labels drew, or one drawn now."""
        path = self.settings.output_root / self.settings.split_name
        if not path.exists():
            return "" if usable < 3 else "; another seed or a larger test_ratio draws other test patients"
        return f"; {path} was drawn before: where labels or annotations changed, delete it and every run beside it"

    def _shared_split(self, dataset: FrameDataset) -> Split:
        """The split saved in the output root, or a new one, saved there once it is known that this run can use it."""
        settings = self.settings
        path = settings.output_root / settings.split_name
        if self._protocol == "final":
            return Split(settings.seed, settings.test_ratio, (), tuple(sorted(self._strata())))
        if isinstance(settings, DecoderRunSettings) and self._protocol == "published" and not path.exists():
            (split,) = self.splits_of(settings, dataset)
            self.division(dataset, split)
            splits.save(path, split)
        # Looked for once: the saved split holds what was found.
        groups = () if path.exists() else self._sharing_frames()
        strata = self._strata(self._unit)
        check = partial(self.division, dataset)
        return load_or_draw(path, strata, settings.test_ratio, settings.seed, groups, check)

    def splits_of(self, settings: DecoderRunSettings, dataset: FrameDataset) -> list[Split]:
        """The splits of the settings' protocol, drawn with the settings' seed; `dataset` is what a run could use."""
        if settings.protocol == "holdout":
            return [self._shared_split(dataset)]
        strata = self._strata(self._unit)
        groups = Groups()
        if self._unit == "frame":
            tests = [splits.random_share(strata, settings.test_ratio, settings.seed)]
        elif self._protocol == "published":
            listed = (frame.patient for frame in self.source.all_frames[settings.decoder_modality])
            frames = Counter(patient for patient in listed if patient in self.diagnoses)
            tests = [splits.largest_and_smallest(frames, settings.test_ratio)]
        else:
            groups = self._sharing_frames()
            try:
                tests = splits.folds(strata, settings.folds, settings.seed, groups)
            except ValueError as error:
                raise UserError(f"folds: {settings.folds}: {error}; fewer folds are needed") from None
        sides = [(tuple(test), tuple(sorted(set(strata) - set(test)))) for test in tests]
        return [Split(settings.seed, settings.test_ratio, *side, groups, self._unit) for side in sides]

    def _sharing_frames(self) -> Groups:
        """Patients who have a frame in common; always asked of the same frames, so that no task draws another split."""
        listed = self.source.all_frames
        duplicates = find_duplicates(self.source.root, listed["gray"] or listed["heat"], self.skipped)
        for found in duplicates:
            one, other = found.first, found.second
            differ = self.diagnoses.get(one.patient) != self.diagnoses.get(other.patient)
            logger.warning(
                "patients %s and %s share a frame: %s is %s (correlation %.3f)%s",
                *(one.patient, other.patient, one.path, other.path, found.correlation),
                ", though their diagnoses differ" if differ else "",
            )
        return connected((found.first.patient, found.second.patient) for found in duplicates)
