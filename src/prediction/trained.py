"""A trained run as a predictor: its networks, laid out for speed, and what its training found out about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from model.heads import FeatureHead, LatentModel, RegionDecoder
from src.datasets.labels import patient_number
from src.datasets.letterbox import Letterbox
from src.datasets.snapshots import DEFAULT_PALETTE
from src.datasets.source import Skipped
from src.datasets.torch_datasets import as_input
from src.errors import UserError, some
from src.files import read_json
from src.networks import checkpoint as checkpoints
from src.networks.build import network_settings, trained_networks
from src.networks.findings import FrameFeatures
from src.networks.precision import compute_dtype, computing_in
from src.places import RUNS, SCRIPTS
from src.prediction.agreement import agreement, changed_views
from src.prediction.inputs import Thermogram, as_frame
from src.prediction.levels import as_levels
from src.prediction.record import Record, of_picture, pooled, read_record
from src.settings import WITHOUT_ENCODER, Decide, Modality, SegmentationSettings
from src.training.engine import choose_device
from src.training.latents import PIXELS_AT_ONCE
from src.training.run_folder import RunFolder

Frame = tuple[NDArray[np.uint8] | NDArray[np.float32], Letterbox]
"""What the networks take, [C, H, W] in 0..255, and where the picture lies in it."""
Task = Literal["classification", "segmentation"]


class Explained(NamedTuple):
    """What a diagnosis through features rests on; of a batch of frames, each has B in front."""

    features: torch.Tensor
    """[8], as `src.networks.findings.FEATURES` names them."""
    shares: torch.Tensor
    """[8], what each adds to the logit."""
    excess: torch.Tensor
    """[H, W], how much warmer than anatomy explains each pixel is, in standard deviations of the frame."""


@dataclass(frozen=True)
class Said:
    """What one run's networks say of a batch of frames, before it is judged."""

    logits: torch.Tensor
    """[B] or [B, K, H, W]"""
    views: list[torch.Tensor]
    """Those of mirrored and changed frames, mapped back; none for a diagnosis."""
    boxes: list[Letterbox]
    distances: list[float | None]
    """How far each frame is from those of training; None where the run had too few to tell."""
    explained: Explained | None = None
    second: tuple[bool, ...] = ()
    """Of each frame, whether it is the answer of a second look; () where none is taken."""


@dataclass(frozen=True)
class Outputs:
    """What the networks say of one frame."""

    logits: torch.Tensor
    """[] or [K, H, W]"""
    box: Letterbox
    distance: float | None
    """As in `Said`."""
    agreement: tuple[float | None, ...] = ()
    """Of each class (`src.prediction.agreement`); none for a diagnosis."""
    explained: Explained | None = None
    second: bool = False
    """As in `Said`."""


OUT_OF_FOLD = "patient, by the models of k-fold that had not seen the patient"


@dataclass(frozen=True)
class Trained:
    """One run's encoder and decoder, or the networks that ship."""

    run: RunFolder | None
    """None for the weights that ship."""
    model: LatentModel
    modality: Modality
    size: tuple[int, int]
    """(rows, columns) of the frames that the networks take."""
    device: torch.device
    dtype: torch.dtype
    record: Record
    best_epoch: int
    decide: Decide = "argmax"
    """How a segmenter's probabilities become regions."""
    least: tuple[float, ...] = ()
    """Of each class the mean probability below which its region is taken to be absent; () of none."""
    sees_levels: bool = False
    """Whether the networks take gray levels, of whichever modality a frame is."""
    taught_on: str = ""
    """What the weights that ship were taught on."""
    patients: frozenset[str] = frozenset()
    """Those whom the decoder was trained or chosen on, as names of frames tell them (`src.prediction.identity`)."""

    @property
    def models(self) -> int:
        """How many models answer together."""
        return 1

    def models_taught_on(self, patient: str) -> int:
        """How many of them were trained or chosen on a patient, and so cannot be tested on it."""
        return int(patient in self.patients)

    @property
    def chosen_on(self) -> str:
        """Whose frames a run's threshold and calibration were chosen on; a final model has those of k-fold."""
        final = self.run is not None and self.run.expected.is_file()
        return OUT_OF_FOLD if final else "validation patient"

    @property
    def name(self) -> str:
        """What the page calls it."""
        if self.run is None:
            return f"the weights that come with this software (taught on {self.taught_on})"
        return f"the run {self.run.root.name} (epoch {self.best_epoch})"

    @property
    def palette(self) -> str:
        """What frames without a heat map are coloured with: training's palette, the usual one where it is not known."""
        return self.record.palette or DEFAULT_PALETTE

    def colours(self, thermogram: Thermogram) -> bool:
        """Whether `frame_of` has to colour the frame first."""
        return self.modality == "heat" and thermogram.colours is None and not self.sees_levels

    @property
    def at_once(self) -> int:
        """Frames of one batch: a few, whose maps stay in a processor's cache."""
        return max(1, PIXELS_AT_ONCE // 4 // (self.size[0] * self.size[1]))

    @property
    def side_by_side(self) -> int:
        """Batches that may be computed at a time: on a CPU for the memory that they take, on a GPU one.

        Threads that compute on Apple's at once end the process, and CUDA's linear algebra cannot be begun by several.
        """
        if self.device.type != "cpu":
            return 1
        return max(1, PIXELS_AT_ONCE // (self.at_once * self.size[0] * self.size[1]))

    def frame_of(self, thermogram: Thermogram, notes: Skipped | None = None) -> Frame:
        """The frame [C, H, W] in 0..255 that the networks take; `UserError` where it cannot be made.

        Networks that see levels take them unrounded, from values where there are some. A run on heat maps takes those,
        through the palette of its training. What had to be assumed is in `notes`.
        """
        if self.sees_levels:
            trained_on_colours = self.run is not None and self.modality == "heat"
            return as_levels(thermogram, self.size, self.palette if trained_on_colours else None, notes)
        return as_frame(thermogram, self.modality, self.size, self.palette)

    def __call__(self, frames: Sequence[Frame]) -> list[Outputs]:
        """The networks' answer to each of the frames that `frame_of` made."""
        said, found = self.say(frames), []
        for place, (logits, box, distance) in enumerate(zip(said.logits, said.boxes, said.distances, strict=True)):
            maps = [logits, *(view[place] for view in said.views)]
            agreed = agreement(maps, box, self.decide, self.record.classes.background, self.least) if said.views else ()
            explained = said.explained and Explained(*(each[place] for each in said.explained))
            found.append(Outputs(logits, box, distance, agreed, explained, bool(said.second) and said.second[place]))
        return found

    @torch.inference_mode()
    def say(self, frames: Sequence[Frame]) -> Said:
        """The logits of frames and of their changed views, and how far the frames are from those of training."""
        x = as_input(torch.from_numpy(np.stack([frame for frame, _ in frames])).to(self.device))
        boxes = [box for _, box in frames]
        with computing_in(self.dtype, self.device):
            z = self.model.encode(x)
            logits, views = self._answers(x, z)
        distances: list[float | None] = [None] * len(boxes)
        if self.record.typicality is not None:
            inside = [of_picture(z[place : place + 1], box) for place, box in enumerate(boxes)]
            distances = self.record.typicality.distances(np.concatenate([pooled(each) for each in inside])).tolist()
        return Said(logits, views, boxes, distances, self._explained(x, z))

    def _explained(self, x: torch.Tensor, z: torch.Tensor) -> Explained | None:
        decoder, encoder = self.model.decoder, self.model.encoder
        if not isinstance(decoder, FeatureHead) or not isinstance(encoder, FrameFeatures):
            return None
        return Explained(z[:, 0].flatten(1).cpu(), decoder.shares(z[:, 0]).cpu(), encoder.excess(x).cpu())

    def _answers(self, x: torch.Tensor, z: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The logits of frames x with latents z, and those of mirrored and changed frames."""

        def logits_of(x: torch.Tensor) -> torch.Tensor:
            return self.model.decode(self.model.encode(x), x.shape[1])

        logits, finds_regions = self.model.decode(z, x.shape[1]), isinstance(self.model.decoder, RegionDecoder)
        if not (finds_regions or self.model.averages_mirrored):
            return logits.float().cpu(), []
        mirrored = logits_of(x.flip(-1))
        answer = (self.model.averaged(logits, mirrored) if self.model.averages_mirrored else logits).float().cpu()
        if not finds_regions:
            return answer, []
        return answer, [self.model.mirrored_back(mirrored).float().cpu(), *changed_views(x, logits_of, self.at_once)]

    def metrics(self) -> dict[str, Any]:
        """The run's results/metrics.json; `UserError` where there is none."""
        if self.run is None:
            raise UserError("the weights that ship were never tested on frames of yours: they have no scores")
        found = read_json(self.run.metrics, "the run's scores")
        if not isinstance(found, dict):
            raise UserError(f"{self.run.metrics}: no scores of a run, this file holds {type(found).__name__}")
        return found


def load_trained(folder: Path, task: Task, device: str = "auto") -> Trained:
    """Read a run folder that main_binary.py or main_seg.py left.

    Raises `UserError` where there is no such run, it is one of the other task, or it does not fit together.
    """
    run, script = RunFolder(folder), SCRIPTS[task]
    if not run.best.is_file():
        name = f"{RUNS[task]}*/{run.best.relative_to(run.root)}"
        below = [str(path.parents[1]) for depth in ("", "*/") for path in sorted(folder.glob(depth + name))]
        if below:
            raise UserError(f"{folder}: no trained run by itself, but runs lie in it; name one of them: {some(below)}")
        raise UserError(
            f"{folder}: no trained run there; train it first: python {script} --mode train, with the same --cfg-path "
            "and output_root" + ", or name none to use the weights that ship: no --cfg-path, --set, --gray_*"
        )
    found = checkpoints.load(run.best)
    encoded = found.encoder is not None or found.settings.get("decoder_input") in WITHOUT_ENCODER
    if found.settings.get("task") != task or not encoded:
        kind = found.settings.get("task", "unknown task")
        raise UserError(f"{run.best}: a run of {kind}, not of {task} with its encoder ({script})")
    settings, chosen = network_settings(found, run.best), choose_device(device)
    # A tumour is a few gray levels: it is looked for in float32, as in training.
    through_features = settings.decoder_input == "features"
    dtype = torch.float32 if through_features else compute_dtype(settings.precision, chosen)
    record = read_record(run.prediction, f"python {script} --mode test")
    if found.class_names != list(record.classes.names):
        raise UserError(f"{run.prediction}: of another run; this writes it anew: python {script} --mode test")
    model = trained_networks(found, record.classes.names, run.best).to(chosen)
    sees_levels = model.encoder_channels is None
    if sees_levels:
        record = replace(record, palette=found.palette or record.palette)
    return Trained(
        *(run, model, settings.frame_modality, settings.frame_size, chosen, dtype, record, found.best_epoch),
        decide=settings.decide if isinstance(settings, SegmentationSettings) else "argmax",
        sees_levels=sees_levels,
        patients=frozenset(patient_number(name) or name for name in found.patients),
    )
