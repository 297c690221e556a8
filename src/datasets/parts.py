"""The frames of one run, in the three parts that it trains on, chooses on, and tests on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from src.datasets import splits
from src.datasets.splits import Division, Split
from src.datasets.torch_datasets import FrameDataset

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
