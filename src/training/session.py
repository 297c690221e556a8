"""What the three scripts do around their work: a run opened on a device, a training in it, and what that took."""

import sys
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from src import cli
from src.datasets.build import Parts
from src.evaluation import figures
from src.networks import checkpoint as checkpoints
from src.networks.checkpoint import Checkpoint
from src.settings import LatentSettings, RunSettings
from src.training import distributed
from src.training.engine import Trainable, choose_device, fit, make_repeatable, resumed
from src.training.memory import peak_memory_mb
from src.training.run_folder import RunFolder


class Session:
    """One run, its folder open and locked until `RunFolder.finish`, its device chosen and torch's generator seeded.

    Raises `UserError` where one of these cannot be had, or the encoder that a training needs is not there.
    """

    def __init__(self, settings: RunSettings, arguments: cli.Arguments) -> None:
        self.settings, self.arguments = settings, arguments
        self.started = time.perf_counter()
        self.device = choose_device(arguments.device)
        distributed.join(self.device)
        make_repeatable(settings.seed)
        self.run = RunFolder(settings.output_root / settings.run_name)
        if arguments.mode == "train" and not isinstance(settings, LatentSettings) and settings.needs_encoder:
            root = arguments.encoder_ckpt_root or settings.output_root
            checkpoints.refuse_missing_encoder(root, settings.encoder_modality, settings.encoder)
        self.run.open(settings, arguments.mode, arguments.resume or arguments.overwrite)

    @property
    def tested_split(self) -> Path | None:
        """The split of a run that is only tested; None for one that is trained."""
        return self.run.split if self.arguments.mode == "test" else None

    def train(
        self,
        make: Callable[[], Trainable],
        start: Checkpoint,
        parts: Parts[Any],
        dtype: torch.dtype,
        epochs: int | None = None,
    ) -> None:
        """Train what `make` makes, from `start` or, with `--resume`, from where the run stopped; nothing in a test.

        It ends after `epochs` where they are given; a schedule stays that of all `max_epochs`.
        """
        if self.arguments.mode != "train":
            return
        state = resumed(self.run, start) if self.arguments.resume else start
        trainable = make()  # which may refuse its settings: before an earlier run is removed
        if distributed.writes():
            self.run.begin(self.settings, sys.argv, state is start, dtype)
            parts.save_split(self.run.split)
        until = self.settings if epochs is None else self.settings.model_copy(update={"max_epochs": epochs})
        fit(trainable, self.run, until, state)
        self.started -= state.seconds

    @cached_property
    def best(self) -> Checkpoint:
        """The checkpoint of the epoch that was best on validation, once the run is trained."""
        return checkpoints.load(self.run.best)

    def restore_best(self, model: nn.Module) -> None:
        """Give a network the weights of the best epoch."""
        checkpoints.restore(model, self.best.model, self.run.best)

    @cached_property
    def history(self) -> list[dict[str, Any]]:
        """The scores of each epoch; those until the best one where the log is damaged."""
        return self.run.history() or self.best.history

    def draw_curves(self) -> None:
        """Draw the losses of each epoch."""
        figures.loss_curves(self.history, self.best.best_epoch, self.run.figures / "loss_curves.png")

    def took(self) -> dict[str, float]:
        """Epochs, seconds and memory of the training, as scores; none of a run that is only tested."""
        if self.arguments.mode != "train":
            return {}
        seconds = time.perf_counter() - self.started
        epochs = {"epochs": len(self.history), "best_epoch": self.best.best_epoch}
        return epochs | {"seconds": seconds, "peak_memory_mb": peak_memory_mb(self.device)}
