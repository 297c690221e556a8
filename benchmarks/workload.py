"""The trainings that are measured: phantom frames, the published settings, untrained encoders.

`python -m benchmarks.workload pretraining|segmentation` takes one step of 16 gray frames in a process of its own, and
prints its peak resident memory in MB.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from src.datasets.build import Parts, build_frames, build_regions
from src.datasets.torch_datasets import FrameDataset, RegionDataset
from src.encoder import CUTSEncoder
from src.phantom.dataset import write_phantom
from src.settings import REPOSITORY, LatentSettings, SegmentationSettings
from src.settings.file import load
from src.training.decoder_trainer import DecoderTrainer
from src.training.engine import Trainable
from src.training.epoch import Progress, epoch_generator
from src.training.memory import peak_memory_mb
from src.training.pretraining import EncoderTrainer, Pretraining
from src.training.regions import RegionTask

CPU = torch.device("cpu")
PATIENTS = 25  # 16 of them are trained on in segmentation: one batch


def phantom(folder: Path) -> Path:
    """A phantom below the folder, every patient annotated; written once."""
    path = folder / "phantom"
    write_phantom(path, PATIENTS, seed=1)
    return path


def encoder_of(channels: int) -> CUTSEncoder:
    """A published encoder with random weights, frozen."""
    torch.manual_seed(0)
    return CUTSEncoder(channels).freeze()


@dataclass
class Work:
    """A training on phantom frames with the published settings but for `overrides`."""

    trainable: Trainable

    def epoch(self) -> None:
        """One epoch; with min_steps_per_epoch=1 and one batch of frames, one step."""
        self.trainable.train_epoch(Progress(1, epoch_generator(0, 1)), lambda read: None)


@dataclass
class PretrainingWork(Work):
    """Of the encoder."""

    pretraining: Pretraining
    parts: Parts[FrameDataset]


def pretraining(data: Path, out: Path, modality: str, *overrides: str) -> PretrainingWork:
    """What main_latent.py trains."""
    name = "dmr_cfg_gray.yaml" if modality == "gray" else "dmr_cfg.yaml"
    settings = load(REPOSITORY / "config" / name, [f"dataset_path={data}", f"output_root={out}", *overrides])
    assert isinstance(settings, LatentSettings)
    parts = build_frames(settings)
    torch.manual_seed(0)
    work = Pretraining(CUTSEncoder(parts.train.cache.shape[0], settings.num_kernels), settings, CPU)
    return PretrainingWork(EncoderTrainer(work, parts.train, parts.validation), work, parts)


@dataclass
class SegmentationWork(Work):
    """Of a decoder of regions."""

    task: RegionTask
    parts: Parts[RegionDataset]


def segmentation(data: Path, out: Path, modality: str, *overrides: str) -> SegmentationWork:
    """What main_seg.py trains."""
    name = f"dmr_seg_{modality[0]}_enc_{modality[0]}_dec.yaml"
    settings = load(REPOSITORY / "config" / name, [f"dataset_path={data}", f"output_root={out}", *overrides])
    assert isinstance(settings, SegmentationSettings)
    parts = build_regions(settings)
    encoder = encoder_of(parts.train.cache.shape[0])
    task = RegionTask(encoder, settings, parts.train.classes, CPU)
    return SegmentationWork(DecoderTrainer(task, parts, settings), task, parts)


if __name__ == "__main__":
    make = {"pretraining": pretraining, "segmentation": segmentation}[sys.argv[1]]
    with tempfile.TemporaryDirectory() as out:
        make(phantom(Path(out)), Path(out), "gray", "min_steps_per_epoch=1").epoch()
        print(peak_memory_mb(CPU))
