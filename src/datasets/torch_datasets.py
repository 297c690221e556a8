"""One torch dataset for each task, over any source of frames and either modality.

Each fetches a whole batch at once (`__getitems__`), as `DataLoader` with `collate_fn=as_is` asks for it.
"""

import hashlib
import json
import logging
from collections.abc import Collection, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import numpy as np
import torch
from torch.utils.data import Dataset

from src.classes import NO_CLASSES, Classes
from src.datasets import splits
from src.datasets.annotations import AnnotatedImage
from src.datasets.frame_cache import CHANNELS, FrameCache
from src.datasets.region_targets import draw_for, soft_target
from src.datasets.snapshots import DEFAULT_PALETTE, palette_name, recognised_palette
from src.datasets.source import Frame, Unit
from src.datasets.splits import Division, Split

logger = logging.getLogger(__name__)

Batch = dict[str, torch.Tensor]
_FRAMES_OF_PALETTE = 20
_FEWEST_OF_PALETTE = 10  # of fewer the guess is often wrong


def as_is(batch: Batch) -> Batch:
    """Collate function for datasets that fetch whole batches."""
    return batch


class FrameDataset(Dataset[Any]):
    """Frames without labels.

    A batch holds `frame` uint8 [B, C, H, W] and `index` int64 [B], the place in `frames`.
    """

    classes = NO_CLASSES
    """What its pixels are told apart as; none where no regions are drawn."""
    resident: Batch | None = None
    """All that batches are taken from, where it lies on a device (`on`); None: they are read a batch at a time."""

    def __init__(self, cache: FrameCache, rows: Sequence[int]) -> None:
        self.cache, self.rows = cache, list(rows)

    @property
    def frames(self) -> list[Frame]:
        """The frames, in the order of the dataset."""
        return [self.cache.frames[row] for row in self.rows]

    @property
    def patients(self) -> list[str]:
        """The patient of each frame."""
        return [frame.patient for frame in self.frames]

    @property
    def names(self) -> list[tuple[str, str]]:
        """(patient, file) of each frame."""
        return [(frame.patient, str(frame.path)) for frame in self.frames]

    @property
    def image_size(self) -> tuple[int, int]:
        """(rows, columns) of every frame."""
        return self.cache.shape[1:]

    def units(self, unit: Unit) -> list[str]:
        """What a split divides, of each frame: its patient, or itself."""
        return self.patients if unit == "patient" else [frame.key for frame in self.frames]

    def of_units(self, unit: Unit, names: Collection[str]) -> Self:
        """The same dataset with the frames of these units only."""
        wanted = set(names)
        return self._with_rows([row for row, name in zip(self.rows, self.units(unit), strict=True) if name in wanted])

    def digests(self) -> dict[str, str]:
        """One of its frames, one of their labels, in the order of the dataset: of equal ones a training is the same."""
        frames = [
            [frame.patient, frame.path.as_posix(), self.cache.digests[row]]
            for row, frame in zip(self.rows, self.frames, strict=True)
        ]
        return {"frames": _digest(frames), "labels": _digest(self._labels())}

    def _labels(self) -> list[Any]:
        """All that a batch's labels are made of, as JSON has it."""
        return []

    def spread_places(self, count: int) -> list[int]:
        """At most `count` places, evenly spread over the dataset."""
        return [int(place) for place in np.unique(np.linspace(0, len(self) - 1, count).round())]

    def spread(self, count: int) -> Self:
        """The dataset of at most `count` frames, evenly spread over this one."""
        return self._with_rows([self.rows[place] for place in self.spread_places(count)])

    def _with_rows(self, rows: list[int]) -> Self:
        part = copy(self)
        part.rows, part.resident = rows, None
        return part

    def on(self, device: torch.device, most: float) -> Self:
        """The same dataset with all of its frames and labels on the device; itself where they take over `most` bytes.

        What a batch holds of whole numbers stays on the CPU, where it is read: `index` and `content`.
        """
        if not len(self) or len(self) * sum(values.nbytes for values in self._read([0]).values()) > most:
            return self
        whole = copy(self)
        whole.resident = on_device(self._read(range(len(self))), device)
        return whole

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Batch:
        return {key: value[0] for key, value in self.__getitems__([index]).items()}

    def everything(self) -> Batch:
        """All frames as one batch: for a few."""
        return self.__getitems__(range(len(self)))

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """The batch of these places in the dataset."""
        index = torch.tensor(indices, dtype=torch.int64)
        if self.resident is None:
            return self._read(indices) | {"index": index}
        found = {name: values.index_select(0, sent(index, values.device)) for name, values in self.resident.items()}
        return found | {"index": index}

    def _read(self, indices: Sequence[int]) -> Batch:
        """What a batch of these places holds beside `index`."""
        return {"frame": self.cache.read([self.rows[index] for index in indices])}


class DiagnosisDataset(FrameDataset):
    """Frames of patients with a diagnosis: a batch adds `label` float32 [B], 1 for sick."""

    def __init__(self, cache: FrameCache, diagnoses: Mapping[str, int]) -> None:
        super().__init__(cache, [row for row, frame in enumerate(cache.frames) if frame.patient in diagnoses])
        self.diagnoses = diagnoses

    @property
    def labels(self) -> list[int]:
        """The diagnosis of each frame's patient."""
        return [self.diagnoses[patient] for patient in self.patients]

    def _labels(self) -> list[Any]:
        return list(self.labels)

    def _read(self, indices: Sequence[int]) -> Batch:
        labels = [self.diagnoses[self.cache.frames[self.rows[index]].patient] for index in indices]
        return super()._read(indices) | {"label": torch.tensor(labels, dtype=torch.float32)}


class RegionDataset(FrameDataset):
    """Frames with regions: a batch adds `target` float32 [B, K, H, W], the share of each class in each pixel.

    It also holds `content` int64 [B, 4]: top, left, rows and columns of what the frame's file fills of it.
    """

    def __init__(self, cache: FrameCache, regions: Mapping[Frame, AnnotatedImage], classes: Classes) -> None:
        super().__init__(cache, [row for row, frame in enumerate(cache.frames) if frame in regions])
        self.regions, self.classes = regions, classes

    def lost_regions(self) -> list[tuple[Frame, str]]:
        """Frame and class of each region of which no pixel is left: covered, outside of the frame or too small."""
        found = []
        for row, frame in zip(self.rows, self.frames, strict=True):
            image = self.regions[frame]
            drawn = draw_for(image, self.classes, self.cache.box(row))
            indices = sorted({index for index, _ in image.shapes})
            found += [(frame, self.classes.names[index]) for index in indices if not (drawn == index).any()]
        return found

    def _labels(self) -> list[Any]:
        images = (self.regions[frame] for frame in self.frames)
        return [*self.classes, *([one.height, one.width, one.as_plain()] for one in images)]

    def _read(self, indices: Sequence[int]) -> Batch:
        rows = [self.rows[index] for index in indices]
        content = [(box.top, box.left, *box.content) for box in map(self.cache.box, rows)]
        targets = [self._target(row) for row in rows]
        shape = (len(targets), len(self.classes.names), *self.image_size)
        return super()._read(indices) | {
            "target": torch.from_numpy(np.array(targets, np.float32).reshape(shape)),
            "content": torch.from_numpy(np.array(content, np.int64).reshape(-1, 4)),
        }

    def _target(self, row: int) -> np.ndarray:
        return soft_target(self.regions[self.cache.frames[row]], self.classes, self.cache.box(row))


D = TypeVar("D", bound=FrameDataset)


@dataclass(frozen=True)
class Parts(Generic[D]):
    """The frames of one run, divided by patient, or frame by frame for regions in the published protocol."""

    train: D
    validation: D
    test: D
    split: Split
    counts: dict[str, dict[str, int]]
    """Of each part the frames and patients, and how many of these are sick, healthy, undiagnosed."""

    def digests(self) -> dict[str, str]:
        """Of the frames and of the labels of each part: what tells that a run's data are no longer the same."""
        parts = {"training": self.train, "validation": self.validation, "test": self.test}
        return {f"{name} {what}": one for name, part in parts.items() for what, one in part.digests().items()}

    def save_split(self, path: Path) -> None:
        """Write the shared split with this run's own division of it, and how much is in each part."""
        parts = (self.train, self.validation, self.test)
        units = (set(part.units(self.split.unit)) for part in parts)
        splits.save(path, self.split, Division(*(tuple(sorted(names)) for names in units)), self.counts)


def _digest(value: list[Any]) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


def palette_of(dataset: FrameDataset, named: str | None = None) -> str | None:
    """What a dataset's heat maps are drawn in: as the settings name it, or recognised from ten frames or more.

    None for gray frames and where it is not known, which is logged. Raises `UserError` for a name of no palette.
    """
    if dataset.cache.shape[0] != CHANNELS["heat"]:
        return None
    if named is not None:
        return palette_name(named)
    few = len(dataset) < _FEWEST_OF_PALETTE
    found = None if few else recognised_palette(dataset.spread(_FRAMES_OF_PALETTE).everything()["frame"].numpy())
    if found is None:
        why = f"{len(dataset)} heat maps are too few to tell" if few else "the colours of the heat maps do not tell"
        logger.warning(
            "%s which palette they are drawn in: %s is assumed; --set palette=NAME says it", why, DEFAULT_PALETTE
        )
    return found


def assumed_palette(train: FrameDataset, test: Collection[str], named: str | None = None) -> str | None:
    """As `palette_of` of all frames decoded for a run, annotated or not, but those of the `test` patients; the usual
    palette where it is not known; None for gray frames."""
    if train.cache.shape[0] != CHANNELS["heat"]:
        return None
    left_out = set(test)
    rows = [row for row, frame in enumerate(train.cache.frames) if frame.patient not in left_out]
    return palette_of(FrameDataset(train.cache, rows), named) or DEFAULT_PALETTE


def sent(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Values on a device; nothing waits for those that come from the CPU."""
    if device.type == "cuda" and values.device.type == "cpu":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)


def on_device(batch: Batch, device: torch.device) -> Batch:
    """The batch with what networks and losses take on the device; whole numbers (int64) are read on the CPU."""
    return {name: values if values.dtype == torch.int64 else sent(values, device) for name, values in batch.items()}


def as_input(frames: torch.Tensor) -> torch.Tensor:
    """Stored values uint8 0..255 to what the networks take, float32 -1..1."""
    return (frames / 255).mul_(2).sub_(1)
