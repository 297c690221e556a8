"""What `python -m benchmarks.accuracy` compares: ways to train a segmenter on heat maps.

The recommended settings are what turned out best on 18 frames of the database, so their own score there is optimistic.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from src.settings import REPOSITORY


@dataclass(frozen=True)
class Arm:
    """One way to train a decoder on heat maps."""

    name: str
    changes: tuple[str, ...] = ()
    """Settings of the decoder that differ from those of the file; its encoder is of the kind that these name."""
    settings: Literal["published", "recommended"] = "recommended"

    @property
    def cfg_path(self) -> Path:
        """Folder of the settings' files."""
        return REPOSITORY / "config" / ("" if self.settings == "published" else "recommended")

    @property
    def folder(self) -> str:
        """A folder's name for its runs."""
        return "_".join("".join(letter if letter.isalnum() else " " for letter in self.name).split())


_WHOLE = (
    *("decoder_input=levels", "decoder=unet", "augment=strong"),
    *("batch_size=8", "weight_decay=0.01", "min_steps_per_epoch=25", "max_epochs=12"),
)
"""A UNet on levels: 300 steps."""

RECOMMENDED = Arm("recommended")
SMALL = Arm(
    "taught latents, small UNet",
    ("decoder=unet", "base_channels=8", "learning_rate=0.002", "weight_decay=0.01", "max_epochs=12"),
)
TAUGHT_START = Arm(
    "whole network, taught start",
    (*_WHOLE, "init=drawn", "base_channels=24", "learning_rate=0.0003", "min_steps_per_epoch=10", "max_epochs=10"),
)
"""100 steps: with more, or a higher rate, it forgets what torsos taught it."""
RANDOM_START = Arm("whole network, random start", (*_WHOLE, "init=random", "base_channels=16", "learning_rate=0.002"))
"""Two thirds as wide, so half as long, as the one that ships."""
CUTS = Arm(
    "CUTS latents, UNet",
    (
        *("encoder=cuts", "decoder=unet", "base_channels=16", "augment=full"),
        *("learning_rate=0.002", "weight_decay=0.01", "min_steps_per_epoch=16", "max_epochs=60"),
    ),
)
"""The published encoder, pretrained in each trial on its own patients, under 960 steps of a narrow UNet."""
PUBLISHED = Arm("published", settings="published")

CURVE = (RECOMMENDED, SMALL, TAUGHT_START, RANDOM_START, CUTS)
"""Compared at growing numbers of annotated patients, with RANDOM_START: what no torso and no pretraining helped."""
REGIONS = (*CURVE, PUBLISHED)  # compared with RECOMMENDED, on all annotated patients
