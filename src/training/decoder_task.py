"""A decoder on frozen latents: its logits, and what the two kinds of decoders each say of them."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar, Generic, TypeVar

import numpy as np
import torch

from src.datasets.torch_datasets import Batch, FrameDataset, on_device
from src.networks.build import Frozen, networks, new_decoder
from src.networks.precision import compute_dtype, computing_in, memory_layout
from src.settings import DecoderRunSettings
from src.training import distributed
from src.training.epoch import Scores, batches_of
from src.training.latents import PIXELS_AT_ONCE, LatentStore

D = TypeVar("D", bound=FrameDataset)


class DecoderTask(ABC, Generic[D]):
    """Both networks of a run, laid out as the device computes fastest, the decoder with random weights."""

    score: ClassVar[str]  # which of `summarise`'s an epoch may be chosen by

    def __init__(
        self, frozen: Frozen, settings: DecoderRunSettings, names: Sequence[str], device: torch.device
    ) -> None:
        self.device = device
        decoder = new_decoder(settings, frozen.latent_dim, len(names))
        self.model = networks(settings, frozen, decoder, names).to(device)
        self.model.decoder.to(memory_format=memory_layout(compute_dtype(settings.precision, device), device))
        self.latents = LatentStore(self.model, settings, device)

    def prepare(self, dataset: D) -> None:
        """Tell the decoder what it has to know of the training frames before its first step."""

    @abstractmethod
    def loss(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Logits and batch to the scalar loss."""

    @abstractmethod
    def judge(self, logits: torch.Tensor, batch: Batch) -> np.ndarray:
        """Logits and batch to what is kept of each frame, [B, ...]."""

    @abstractmethod
    def summarise(self, dataset: D, kept: np.ndarray) -> Scores:
        """What was kept of a dataset's frames, [N, ...], to the scores that the log shows."""

    def logits(self, dataset: FrameDataset, batch: Batch, keep: bool = True) -> torch.Tensor:
        """The batch's logits in float32; `keep` its latents for the next time."""
        return self._decoded(self.latents(dataset, batch, keep), batch)

    def logits_of_changed(self, batch: Batch) -> torch.Tensor:
        """The logits in float32 of a batch whose frames are no longer those of a dataset."""
        return self._decoded(self.latents.encode(batch["frame"]), batch)

    def tested_logits(self, dataset: FrameDataset, batch: Batch) -> torch.Tensor:
        """The logits that scores and predictions come from: averaged over mirrored frames where the model says so."""
        logits = self.logits(dataset, batch, keep=False)
        if not self.model.averages_mirrored:
            return logits
        return self.model.averaged(logits, self.logits_of_changed(batch | {"frame": batch["frame"].flip(-1)}))

    def _decoded(self, latents: torch.Tensor, batch: Batch) -> torch.Tensor:
        with computing_in(self.latents.dtype, self.device):
            return self.model.decode(latents, batch["frame"].shape[1]).float()


@torch.no_grad()
def evaluate(task: DecoderTask[D], dataset: D, while_training: bool = False) -> tuple[float, np.ndarray]:
    """Mean loss over the dataset's frames, and what `judge` keeps of each, [N, ...].

    `while_training` latents are kept for the next epoch, and the frames are shared among the processes.
    """
    task.model.eval()
    places = list(range(len(dataset)))[distributed.own_share(len(dataset)) if while_training else slice(None)]
    kept: list[np.ndarray] = []
    total = 0.0
    for batch in small_batches(dataset, places):
        batch = on_device(batch, task.device)
        logits = task.logits(dataset, batch) if while_training else task.tested_logits(dataset, batch)
        total += len(logits) * task.loss(logits, batch).item()
        kept += list(task.judge(logits, batch))
    found = distributed.gather((places, total, kept)) if while_training else [(places, total, kept)]
    by_place = {place: frame for places, _, kept in found for place, frame in zip(places, kept, strict=True)}
    return sum(total for _, total, _ in found) / len(dataset), np.stack([by_place[i] for i in range(len(dataset))])


def small_batches(dataset: FrameDataset, places: Sequence[int]) -> Iterator[Batch]:
    """Batches of the dataset's places in this order, no larger than prediction has memory for."""
    height, width = dataset.image_size
    return batches_of(dataset, places, max(1, PIXELS_AT_ONCE // (height * width)))
