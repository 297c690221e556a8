"""Frames that lie on the device give the batches that are loaded, and no training step waits for what it computes."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from src.datasets.build import build_diagnoses, build_frames, build_regions
from src.encoder import CUTSEncoder
from src.networks.build import Pixels
from src.networks.levels import NormalisedLevels
from src.settings import ClassificationSettings, LatentSettings, SegmentationSettings
from src.training.decoder_trainer import DecoderTrainer
from src.training.diagnosis import DiagnosisTask
from src.training.engine import Trainable
from src.training.epoch import Progress, epoch_generator
from src.training.pretraining import EncoderTrainer, Pretraining
from src.training.regions import RegionTask

META = torch.device("meta")
"""Has no values: what would wait for one on a GPU is an error there."""
COMMON = {"image_size": (48, 64), "batch_size": 4, "min_steps_per_epoch": 3, "learning_rate": 0.01, "precision": "fp32"}
DECODER = {"decoder_modality": "heat", "encoder_modality": "heat", "base_channels": 2}


def segmenter(places: dict[str, Path], frozen: Any, **fields: Any) -> Trainable:
    settings = SegmentationSettings(task="segmentation", **places, **COMMON, **DECODER, **fields)
    parts = build_regions(settings)
    task = RegionTask(frozen, settings, parts.train.classes, META)
    return DecoderTrainer(task, parts, settings)


def encoder() -> CUTSEncoder:
    return CUTSEncoder(3, num_kernels=2).freeze()


def regions_of_latents(places: dict[str, Path]) -> Trainable:
    return segmenter(places, encoder(), augment="flip", loss="ce+dice", schedule="onecycle")


def regions_of_levels(places: dict[str, Path]) -> Trainable:
    return segmenter(places, NormalisedLevels(), augment="strong", decoder_input="levels", optimizer="adamw")


def regions_of_pixels(places: dict[str, Path]) -> Trainable:
    return segmenter(places, Pixels(3), augment="full", decoder_input="pixels")


def diagnosis(places: dict[str, Path]) -> Trainable:
    settings = ClassificationSettings(task="classification", **places, **COMMON, **DECODER)
    return DecoderTrainer(DiagnosisTask(encoder(), settings, META), build_diagnoses(settings), settings)


def pretraining(places: dict[str, Path]) -> Trainable:
    settings = LatentSettings(task="latent", modality="heat", num_kernels=2, **places, **COMMON)
    parts = build_frames(settings)
    return EncoderTrainer(Pretraining(CUTSEncoder(3, 2).to(META), settings, META), parts.train, parts.validation)


@pytest.mark.parametrize("make", [pretraining, diagnosis, regions_of_latents, regions_of_levels, regions_of_pixels])
def test_no_step_waits_for_the_device(
    phantom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Any
) -> None:
    read = list[int]()
    monkeypatch.setattr(Progress, "read", lambda self, names: read.append(self.step))
    monkeypatch.setattr(torch, "autocast", lambda *arguments, **named: nullcontext())  # which knows no such device
    trainable = make({"dataset_path": phantom, "output_root": tmp_path})
    trainable.train_epoch(Progress(1, epoch_generator(7, 1)), lambda read: None)
    assert read == [trainable.steps_per_epoch]
    assert trainable.steps_per_epoch >= 3


def test_frames_on_the_device_give_the_batches_that_are_loaded(phantom: Path, tmp_path: Path) -> None:
    places = {"dataset_path": phantom, "output_root": tmp_path}
    settings = SegmentationSettings(task="segmentation", **places, **COMMON, **DECODER)
    loaded = build_regions(settings).train
    needed = sum(values.nbytes for name, values in loaded.everything().items() if name != "index")
    assert loaded.on(torch.device("cpu"), needed - 1).resident is None
    whole = loaded.on(torch.device("cpu"), needed)
    assert whole.resident is not None
    for indices in ([2, 0, 2], [1], []):
        batch, same = whole.__getitems__(indices), loaded.__getitems__(indices)
        assert batch.keys() == same.keys()
        for name, values in same.items():
            assert torch.equal(batch[name], values), name
            assert batch[name].dtype == values.dtype
    few = whole.of_units("patient", whole.patients[1:2])
    assert torch.equal(few.everything()["frame"], loaded.__getitems__([1])["frame"])
    there = loaded.on(META, needed).__getitems__([0, 1])
    assert {name for name, values in there.items() if values.device == META} == {"frame", "target"}
