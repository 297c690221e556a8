"""What every run reads, whichever script it is of, and the types that scripts share."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from src.settings.fields import (
    InputFolder,
    Names,
    OfData,
    OfLength,
    OfMachine,
    OfNetwork,
    OfPlace,
    OfTraining,
    OutputFolder,
    PathText,
    Ratio,
    Size,
    Views,
)

Modality = Literal["gray", "heat"]
Precision = Literal["auto", "fp32", "bf16"]
EncoderKind = Literal["cuts", "taught"]
FRAME_SIZE: dict[Modality, tuple[int, int]] = {"gray": (480, 640), "heat": (120, 160)}
"""(rows, columns) of the database's frames, which a run has by default."""


class Settings(BaseModel):
    """What every run reads."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True, allow_inf_nan=False)

    dataset_name: OfData[str] = "dmr"
    """Which kind of collection lies at `dataset_path`, a name of the registry in src/datasets/__init__.py."""
    dataset_path: OfPlace[InputFolder] = Path("data/DMR")
    """The data folder (layout: data/README.md); a relative path starts at the repository."""
    annotation_file: OfPlace[PathText] = Path("52_instances_default.json")
    """COCO regions; relative to `dataset_path`. It also decides which patients count as annotated in the split."""
    background: OfData[str] = "ROI"
    """Name of the category in the annotation file that stands for everything no region covers."""
    image_size: OfNetwork[Size | None] = None
    """(rows, columns) of the frames of this run; by default 480 x 640 for gray and 120 x 160 for heat."""
    views: OfData[Views] = ()
    """DMR's view numbers to use (1 is frontal); empty means all."""
    palette: OfData[str | None] = None
    """What the heat maps are drawn in, a name of OpenCV's palettes such as jet; null recognises it from the training
    frames, of which it takes ten, and assumes jet otherwise. Gray frames have none."""
    patients: OfData[Names] = ()
    """Names of the patients to use, a part of the data folder; empty means all. The split is drawn among them."""
    output_root: OfMachine[OutputFolder] = Path()
    """Where the run folders, the shared split and the decoded frames go; a relative path starts at the repository."""
    cache_folder: OfMachine[OutputFolder | None] = None
    """Where decoded frames go; null: dmr_cache below output_root."""
    seed: OfData[int] = Field(2021, ge=0, lt=2**32)
    """Of the split, the first weights and everything that is drawn in training."""
    test_ratio: OfData[float] = Field(0.2, gt=0, lt=1)
    """Fraction of all patients that are tested on, the same ones in all runs below `output_root`."""
    train_val_ratio: OfTraining[Ratio] = "8:2"
    """How the other patients are divided into those to train on and those to choose the best epoch on."""
    transductive: OfData[bool] = False
    """Let the encoder be pretrained on frames of test patients too (never their labels)."""
    encoder: OfNetwork[EncoderKind] = "cuts"
    """cuts: pretrained on frames of patients, as published. taught: the network that ships, taught on drawn torsos
    alone, without its last layer; it takes frames of either modality, is never trained, and saw no patient."""
    batch_size: OfTraining[int] = Field(16, ge=1)
    """Frames in one optimiser step."""
    min_steps_per_epoch: OfTraining[int] = Field(5, ge=1)
    """Where the frames do not fill so many batches, an epoch takes them all in turn, shuffled, until they do; 1 never
    takes a frame twice."""
    max_epochs: OfLength[int] = Field(200, ge=1)
    """Training ends after this many epochs at the latest."""
    patience: OfTraining[int | None] = Field(None, ge=1)
    """Stop after this many epochs that are no better on validation; null never stops early."""
    learning_rate: OfTraining[float] = Field(gt=0)
    """Step size of the optimiser, at the highest where there is a schedule; the encoder's is AdamW."""
    weight_decay: OfTraining[float] = Field(0.0, ge=0)
    """How far the optimiser draws the weights to zero."""
    precision: OfTraining[Precision] = "auto"
    """Number format of convolutions and matrix products: auto takes bf16 where the hardware is faster in it."""
    num_workers: OfMachine[int] = Field(0, ge=0)
    """Processes that load batches where the frames do not fit on the device; 0 loads them in the training process,
    which a warm frame cache makes fast enough."""

    @property
    def frame_cache(self) -> Path:
        """Folder of the decoded frames."""
        return self.cache_folder or self.output_root / "dmr_cache"

    @property
    def annotations_path(self) -> Path:
        return self.dataset_path / self.annotation_file

    @property
    def split_name(self) -> str:
        """Name below `output_root` of the file that holds the split, one for all tasks."""
        return "split.json"

    @property
    def frame_size(self) -> tuple[int, int]:
        """(rows, columns) of the frames of this run."""
        return self.image_size or FRAME_SIZE[self.frame_modality]

    @property
    def frame_modality(self) -> Modality:
        """The modality of the frames this run reads."""
        raise NotImplementedError

    @property
    def train_share(self) -> float:
        """Fraction of the patients outside the test set that are trained on."""
        train, validation = (float(part) for part in self.train_val_ratio.split(":"))
        return train / (train + validation)
