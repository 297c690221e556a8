"""How anything is trained here: one epoch, and epochs until the validation loss stops falling."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from src.datasets.build import D, Parts
from src.datasets.tasks import Batch, FrameDataset, as_is
from src.errors import UserError
from src.files import without_nan, write_text
from src.settings import RunSettings, Settings
from src.training import checkpoint as checkpoints
from src.training import distributed
from src.training.checkpoint import Checkpoint, State
from src.training.distributed import Losses
from src.training.run_folder import RunFolder

logger = logging.getLogger(__name__)

Scores = dict[str, float]

MAY_CHANGE = {"max_epochs", "num_workers", "latent_memory_mb", "latent_disk_mb", "checkpoint_activations"}
"""Settings that change no finished epoch."""


def choose_device(name: str) -> torch.device:
    """'auto' takes CUDA, then Apple's MPS, then the CPU; `UserError` for one that is not there."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, there in available.items() if there)
    if not available[name]:
        raise UserError(
            f"--device {name}: not available on this machine; there is {[k for k, v in available.items() if v]}"
        )
    if name == "cuda" and distributed.processes_asked_for() > 1:
        torch.cuda.set_device(distributed.local_rank())
    return torch.device(name)


def make_repeatable(seed: int) -> None:
    """Seed torch's global generator, which draws initial weights, and take deterministic kernels where they exist."""
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=True)


def epoch_generator(seed: int, epoch: int) -> torch.Generator:
    """The draws of one epoch: a run resumed at an epoch draws what an undisturbed one does."""
    return torch.Generator().manual_seed(seed * 1_000_003 + epoch)


def batches_of(dataset: FrameDataset, order: Iterable[int], batch_size: int, workers: int) -> DataLoader[Batch]:
    """Batches of the dataset's places in this order."""
    return _load(dataset, _chunks(list(order), batch_size), workers)


def _chunks(places: list[int], size: int) -> list[list[int]]:
    return [places[start : start + size] for start in range(0, len(places), size)]


def _load(dataset: FrameDataset, chunks: list[list[int]], workers: int) -> DataLoader[Batch]:
    return DataLoader(dataset, batch_sampler=chunks, collate_fn=as_is, num_workers=workers)  # type: ignore[arg-type]


def steps_per_epoch(frames: int, settings: Settings) -> int:
    """How many steps an epoch over so many frames has."""
    return max(math.ceil(frames / settings.batch_size), settings.min_steps_per_epoch)


def training_batches(dataset: FrameDataset, settings: Settings, generator: torch.Generator) -> Iterator[Batch]:
    """An epoch's batches: each frame once, or drawn with replacement where they do not fill the least steps.

    With several processes these are this one's shares of them; `total` in a batch counts the frames of all.
    """
    steps = steps_per_epoch(len(dataset), settings)
    if len(dataset) > (steps - 1) * settings.batch_size:
        order = torch.randperm(len(dataset), generator=generator)
    else:
        order = torch.randint(len(dataset), (steps * settings.batch_size,), generator=generator)
    chunks = _chunks(order.tolist(), settings.batch_size)
    own = [chunk[distributed.own_share(len(chunk))] for chunk in chunks]
    for chunk, batch in zip(chunks, _load(dataset, own, settings.num_workers), strict=True):
        yield batch | {"total": torch.tensor(len(chunk))}


def train_one_epoch(
    compute: Callable[[Batch], Losses], batches: Iterable[Batch], optimizer: torch.optim.Optimizer, bar: tqdm[Any]
) -> Scores:
    """One pass: a step a batch; returns the losses' means over the frames."""

    def steps() -> Iterator[tuple[int, Losses]]:
        for batch in batches:
            losses = compute(batch)
            _refuse_non_finite(losses["loss"].item())
            optimizer.zero_grad(set_to_none=True)
            losses["loss"].backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            bar.set_postfix(loss=f"{losses['loss'].item():.4f}", refresh=False)
            bar.update()
            yield int(batch["total"]), losses

    return distributed.mean_of_all(mean_losses(steps()))


def _refuse_non_finite(loss: float) -> None:
    if not math.isfinite(loss):
        raise UserError(f"the loss became {loss}: try a lower learning_rate; the epochs before this one are saved")


def mean_losses(batches: Iterable[tuple[int, Losses]]) -> Scores:
    """Means over the frames of several batches, from pairs of batch size and batch means."""
    total, sums = 0, dict[str, float]()
    for size, losses in batches:
        total += size
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + size * value.item()
    return {name: value / total for name, value in sums.items()}


@dataclass
class Trainable:
    """What `fit` needs to know of a task."""

    model: nn.Module
    """Whose weights are saved."""
    optimizer: torch.optim.Optimizer
    steps_per_epoch: int
    train_epoch: Callable[[int, tqdm[Any]], Scores]
    validate: Callable[[], Scores]


def fit(task: Trainable, run: RunFolder, settings: RunSettings, state: Checkpoint) -> None:
    """Train until `max_epochs` or until `patience` epochs brought no lower validation loss.

    Each epoch ends with metrics.jsonl and checkpoints/last.pty written, and dmr_run.pty when it is the best so far.
    `state` is what `resumed` found, or a blank one with what every checkpoint repeats: settings, patients, encoder.
    """
    if state.optimizer is not None:
        task.model.load_state_dict(state.model)
        task.optimizer.load_state_dict(state.optimizer)
    writes = distributed.writes()
    steps = settings.max_epochs * task.steps_per_epoch
    with (
        SummaryWriter(str(run.logs), purge_step=state.epoch + 1) if writes else nullcontext() as board,
        logging_redirect_tqdm(),
        tqdm(total=steps, unit="step", disable=None if writes else True) as bar,
    ):
        bar.update(state.epoch * task.steps_per_epoch)
        while not _is_finished(state, settings):
            epoch = state.epoch + 1
            bar.set_description(f"epoch {epoch}")
            scores = {f"train/{name}": value for name, value in task.train_epoch(epoch, bar).items()}
            scores |= {f"val/{name}": value for name, value in task.validate().items()}
            _refuse_non_finite(scores["val/loss"])
            state = _after_epoch(state, task, epoch, scores)
            logger.info("epoch %d  %s%s", epoch, _in_words(scores), "  (best)" if state.best_epoch == epoch else "")
            if board is not None:
                for name, value in scores.items():
                    board.add_scalar(name, value, epoch)
                _write(state, run)
    logger.info("trained %d epochs, the best is epoch %d", state.epoch, state.best_epoch)


def _write(state: Checkpoint, run: RunFolder) -> None:
    """What is on disk after an epoch; last.pty comes last, so that a run killed before it repeats the epoch."""
    if state.best_epoch == state.epoch:
        checkpoints.save(run.best, replace(state, optimizer=None))
    lines = [json.dumps(without_nan(entry)) + "\n" for entry in state.history]
    write_text(run.logs / "metrics.jsonl", "".join(lines))
    checkpoints.save(run.last, state)


def blank_checkpoint(settings: Settings, parts: Parts[D]) -> Checkpoint:
    """What every checkpoint of a run repeats, before the first epoch."""
    validation = sorted(set(parts.validation.patients))
    patients = sorted({*parts.train.patients, *validation})
    return Checkpoint(model={}, settings=settings.model_dump(mode="json"), patients=patients, validation=validation)


def resumed(run: RunFolder, blank: Checkpoint) -> Checkpoint:
    """Where the run stopped; `blank` where it has not begun, which is logged.

    Raises `UserError` where what the run is made of has changed since: settings, patients or encoder.
    """
    if not run.last.exists():
        logger.warning("%s: nothing to resume there, starting afresh", run.last)
        return blank
    state = checkpoints.load(run.last)
    changed = [
        f"{key}: {state.settings.get(key)} then, {value} now"
        for key, value in blank.settings.items()
        if key not in MAY_CHANGE and state.settings.get(key) != value
    ]
    for what, then, now in (
        (
            "patients trained on",
            set(state.patients) - set(state.validation),
            set(blank.patients) - set(blank.validation),
        ),
        ("validation patients", set(state.validation), set(blank.validation)),
    ):
        if then != now:
            changed.append(f"{what}: {len(then - now)} left, {len(now - then)} joined")
    if not same_weights(state.encoder, blank.encoder):
        changed.append("encoder: another one now")
    if changed or state.optimizer is None:
        raise UserError(f"{run.last}: cannot resume, changed are: {'; '.join(changed) or 'no optimizer state'}")
    logger.info("resuming after epoch %d", state.epoch)
    return state


def same_weights(one: State | None, other: State | None) -> bool:
    """Whether two sets of weights are equal to the bit; None for no weights."""
    if one is None or other is None:
        return one is other
    return one.keys() == other.keys() and all(torch.equal(value, other[key].cpu()) for key, value in one.items())


def _is_finished(state: Checkpoint, settings: RunSettings) -> bool:
    waited = state.epoch - state.best_epoch
    return state.epoch >= settings.max_epochs or (settings.patience is not None and waited >= settings.patience)


def _after_epoch(state: Checkpoint, task: Trainable, epoch: int, scores: Scores) -> Checkpoint:
    losses = [entry["val/loss"] for entry in state.history]
    is_best = scores["val/loss"] < min(losses, default=float("inf"))
    return replace(
        state,
        model=task.model.state_dict(),
        optimizer=task.optimizer.state_dict(),
        epoch=epoch,
        best_epoch=epoch if is_best else state.best_epoch,
        history=[*state.history, {"epoch": epoch, **scores}],
    )


def _in_words(scores: Scores) -> str:
    return "  ".join(f"{name} {value:.4f}" for name, value in scores.items())
