"""What predicting needs beside the weights: the names of the classes, and what training frames look like.

The training scripts write it to checkpoints/prediction.pty when they test, whatever the mode.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from src.classes import NO_CLASSES, Classes
from src.datasets.build import Parts
from src.datasets.letterbox import Letterbox
from src.datasets.snapshots import PALETTES
from src.datasets.torch_datasets import FrameDataset, palette_of
from src.errors import DeviceError, UserError
from src.evaluation.typicality import Typicality, fit_typicality
from src.files import atomic_write
from src.networks.checkpoint import load_plain
from src.training.decoder_task import DecoderTask
from src.training.run_folder import RunFolder

logger = logging.getLogger(__name__)

_FORMAT = "llft-prediction-2"
_GRID = (3, 4)
"""Rows and columns of the parts of a frame whose means tell how it is laid out."""
_FRAMES = 200  # of each part at most, evenly spread: a gray frame takes a CPU more than a second


@dataclass(frozen=True)
class Record:
    """The classes, for regions; the typical frame."""

    classes: Classes = NO_CLASSES
    typicality: Typicality | None = None
    """None where the run had too few frames."""
    palette: str | None = None
    """What the heat maps of training are drawn in; None where that is not known."""


def pooled(latents: torch.Tensor) -> np.ndarray:
    """Latents [B, N, L, H, W] -> mean and standard deviation of each channel over a frame's pixels, [B, 2L].

    Of one channel alone, as levels are, these say little: there are also its means over the parts of a coarse grid.
    """
    flat = latents.float().permute(0, 2, 1, 3, 4).flatten(2)
    found = [flat.mean(2), flat.std(2, correction=0)]
    if latents.shape[1] * latents.shape[2] == 1:
        found.append(F.adaptive_avg_pool2d(latents[:, 0].float(), _GRID).flatten(1))
    return torch.cat(found, 1).cpu().numpy()


def of_picture(latents: torch.Tensor, box: Letterbox) -> torch.Tensor:
    """Latents [B, N, L, H, W] without what fills the frame up; features, which are of the whole frame, as they are."""
    return latents if latents.shape[-2:] == (1, 1) else latents[..., *box.inside]


def write_record(run: RunFolder, task: DecoderTask[Any], parts: Parts[Any], palette: str | None) -> None:
    """Write the record of a trained run; palette: as the settings name it."""
    rows, patients = [], []
    for part in (part for part in (parts.train, parts.validation) if len(part)):
        few = part.spread(_FRAMES)
        rows.append(_pooled_frames(task, few))
        patients += few.patients
    found = fit_typicality(np.concatenate(rows), patients)
    if found is None:
        logger.warning("too few different training frames to tell which frames are unlike them")
    save_record(run.prediction, Record(parts.train.classes, found, palette_of(parts.train, palette)))


def save_record(path: Path, record: Record) -> None:
    """Write the record as tensors and plain values."""
    typicality, found = None, record.typicality
    if found is not None:
        arrays = {name: torch.from_numpy(getattr(found, name)).float() for name in ("mean", "scale", "precision")}
        typicality = arrays | {"threshold": found.threshold, "quantile": found.quantile, "frames": found.frames}
    names, background = record.classes
    content = {"format": _FORMAT, "class_names": list(names), "background": background}
    with atomic_write(path) as file:
        torch.save(content | {"typicality": typicality, "palette": record.palette}, file)


def _pooled_frames(task: DecoderTask[Any], dataset: FrameDataset) -> np.ndarray:
    task.model.eval()
    rows = []
    for place, row in enumerate(dataset.rows):
        latents = task.latents(dataset, dataset.__getitems__([place]), keep=False)
        rows.append(pooled(of_picture(latents, dataset.cache.box(row)))[0])
    return np.stack(rows)


def read_record(path: Path, command: str) -> Record:
    """Read the record; `UserError` names the `command` that writes it where it is missing or damaged."""
    try:
        content = load_plain(path)
        if content["format"] != _FORMAT:
            raise ValueError("another version")
        typicality = content["typicality"]
        if typicality is not None:
            arrays = {name: typicality[name].double().numpy() for name in ("mean", "scale", "precision")}
            features = len(arrays["mean"])
            shapes = [array.shape for array in arrays.values()]
            if shapes != [(features,), (features,), (features, features)]:
                raise ValueError("shapes that do not belong together")
            threshold, quantile = float(typicality["threshold"]), float(typicality["quantile"])
            frames = int(typicality["frames"])
            typicality = Typicality(**arrays, threshold=threshold, quantile=quantile, frames=frames)
        names = content["class_names"]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError("class names that are no texts")  # a tensor of no values can have a million rows
        background = int(content["background"])
        if names and not 0 <= background < len(names):
            raise ValueError("a background that is no class")
        palette = content["palette"]
        return Record(Classes(tuple(names), background), typicality, palette if palette in PALETTES else None)
    except DeviceError:
        raise
    except (UserError, LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RuntimeError):
        known = "damaged or of another version" if path.exists() else "missing"
        raise UserError(f"{path}: {known}; this writes it: {command}") from None
