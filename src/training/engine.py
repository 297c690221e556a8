"""How anything is trained here: one epoch, and epochs until the validation loss stops falling."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn
from torch.nn.utils import get_total_norm
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from src.datasets.build import D, Parts
from src.datasets.tasks import Batch, FrameDataset, as_is
from src.errors import Stopped, UserError, some
from src.files import without_nan, write_text
from src.settings import RunSettings, Settings
from src.training import checkpoint as checkpoints
from src.training import distributed
from src.training.checkpoint import Checkpoint, State
from src.training.distributed import Losses
from src.training.run_folder import RunFolder
from src.training.stopping import StopRequests, leave_to_parent

logger = logging.getLogger(__name__)

Scores = dict[str, float]

MAY_CHANGE = {
    "max_epochs",
    "num_workers",
    "output_root",
    "cache_folder",
    "latent_memory_mb",
    "latent_disk_mb",
    "checkpoint_activations",
}
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


def batches_of(dataset: FrameDataset, order: Iterable[int], batch_size: int, workers: int) -> Iterator[Batch]:
    """Batches of the dataset's places in this order."""
    return _load(dataset, _chunks(list(order), batch_size), workers)


def _chunks(places: list[int], size: int) -> list[list[int]]:
    return [places[start : start + size] for start in range(0, len(places), size)]


class _Carried(torch.utils.data.Dataset[Any]):
    """Hands a `UserError` over as if it were a batch: torch would make a traceback of what a worker raises."""

    def __init__(self, dataset: FrameDataset) -> None:
        self.dataset = dataset

    def __getitems__(self, indices: list[int]) -> Batch | UserError:
        try:
            return self.dataset.__getitems__(indices)
        except UserError as error:
            return error


def _load(dataset: FrameDataset, chunks: list[list[int]], workers: int) -> Iterator[Batch]:
    loader: DataLoader[Any] = DataLoader(
        _Carried(dataset),
        batch_sampler=chunks,
        collate_fn=as_is,  # type: ignore[arg-type]
        num_workers=workers,
        worker_init_fn=leave_to_parent,
    )
    for batch in loader:
        if isinstance(batch, UserError):
            raise batch
        yield batch


def steps_per_epoch(frames: int, settings: Settings) -> int:
    """How many steps an epoch over so many frames has."""
    return max(math.ceil(frames / settings.batch_size), settings.min_steps_per_epoch)


@dataclass
class Progress:
    """How far an epoch is: all that its steps leave behind for the next one, beside weights and optimizer."""

    epoch: int
    generator: torch.Generator
    """Draws the order of the frames, and what else a step draws."""
    step: int = 0
    frames: int = 0
    """Of the steps so far, of all processes."""
    sums: dict[str, float] = field(default_factory=dict)
    """Each loss, summed over the frames of the steps so far, of this process."""
    state: torch.Tensor | None = None
    """The generator's, after these steps, where they were done before a resumption."""

    @classmethod
    def after(cls, checkpoint: Checkpoint, seed: int) -> Progress:
        """The epoch that comes after a checkpoint, or the one that it stopped in."""
        epoch = checkpoint.epoch + 1
        return cls(epoch, epoch_generator(seed, epoch), **(checkpoint.begun or {}))

    def as_begun(self, sums: dict[str, float]) -> dict[str, Any]:
        """What `after` takes from a checkpoint; `sums` of any process."""
        state = self.generator.get_state()
        return {"step": self.step, "frames": self.frames, "sums": dict(sums), "state": state}

    def add(self, frames: int, losses: Losses) -> None:
        """Count a step of so many frames, with its means."""
        self.step += 1
        self.frames += frames
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + frames * value.item()


def training_batches(dataset: FrameDataset, settings: Settings, progress: Progress) -> Iterator[Batch]:
    """What is left of an epoch's batches: each frame once, or drawn with replacement where they are too few.

    With several processes these are this one's shares of them; `total` in a batch counts the frames of all.
    """
    steps = steps_per_epoch(len(dataset), settings)
    if len(dataset) > (steps - 1) * settings.batch_size:
        order = torch.randperm(len(dataset), generator=progress.generator)
    else:
        order = torch.randint(len(dataset), (steps * settings.batch_size,), generator=progress.generator)
    if progress.state is not None:
        progress.generator.set_state(progress.state)
    chunks = _chunks(order.tolist(), settings.batch_size)[progress.step :]
    own = [chunk[distributed.own_share(len(chunk))] for chunk in chunks]
    for chunk, batch in zip(chunks, _load(dataset, own, settings.num_workers), strict=True):
        yield batch | {"total": torch.tensor(len(chunk))}


AfterStep = Callable[[float], None]
"""Takes the loss of a step that is done; may raise `Stopped`."""


def train_one_epoch(
    compute: Callable[[Batch], Losses],
    dataset: FrameDataset,
    settings: Settings,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    after_step: AfterStep,
) -> Scores:
    """The steps that are left of an epoch, one a batch; returns the losses' means over the frames of all of them.

    Raises `UserError` that names the frames where a loss or a gradient is not finite; the step is not taken.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for batch in training_batches(dataset, settings, progress):
        losses = compute(batch)
        optimizer.zero_grad(set_to_none=True)
        _refuse_non_finite("loss", losses["loss"].item(), dataset, batch, progress)
        losses["loss"].backward()  # type: ignore[no-untyped-call]
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        _refuse_non_finite("gradient", get_total_norm(gradients).item(), dataset, batch, progress)
        optimizer.step()
        progress.add(int(batch["total"]), losses)
        after_step(losses["loss"].item())
    progress.sums = distributed.mean_of_all(progress.sums)
    return {name: value / progress.frames for name, value in progress.sums.items()}


_KEPT = "finished epochs are kept: --mode test scores the best of them"


def _refuse_non_finite(what: str, value: float, dataset: FrameDataset, batch: Batch, progress: Progress) -> None:
    if math.isfinite(value):
        return
    frames = sorted({" ".join(dataset.names[index]) for index in batch["index"].tolist()})
    raise UserError(
        f"epoch {progress.epoch}, step {progress.step + 1}: the {what} became {value} on the frames "
        f"{some(frames, 16)}; look at them, try a lower learning_rate or precision=fp32"
        + (f"; {_KEPT}" if progress.epoch > 1 else "")
    )


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
    train_epoch: Callable[[Progress, AfterStep], Scores]
    validate: Callable[[], Scores]


def fit(task: Trainable, run: RunFolder, settings: RunSettings, state: Checkpoint) -> None:
    """Train until `max_epochs` or until `patience` epochs brought no lower validation loss.

    Each epoch ends with checkpoints/last.pty and metrics.jsonl written, and dmr_run.pty when it is the best so far; a
    long epoch also writes last.pty in between. `state` is what `resumed` found, or a blank one with what every
    checkpoint repeats: settings, patients, encoder.

    Raises `Stopped` after Ctrl-C or SIGTERM, with all that was done in last.pty; what is resumed from there ends as if
    it had never stopped, to the bit on a CPU.
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
        StopRequests() as stop,
    ):
        if writes and state.epoch:
            _write_copies(state, run)
        clock = _Clock(state.seconds)
        while not _is_finished(state, settings):
            progress = Progress.after(state, settings.seed)
            bar.update(state.epoch * task.steps_per_epoch + progress.step - bar.n)
            bar.set_description(f"epoch {progress.epoch}")
            scores = _one_epoch(task, run, state, progress, stop, clock, bar)
            state = _after_epoch(state, task, progress.epoch, scores, clock)
            best = "  (best)" if state.best_epoch == state.epoch else ""
            logger.info("epoch %d  %s%s", state.epoch, _in_words(scores), best)
            if board is not None:
                checkpoints.save(run.last, state)
                _write_copies(state, run)
                for name, value in scores.items():
                    board.add_scalar(name, value, state.epoch)
    logger.info("trained %d epochs, the best is epoch %d", state.epoch, state.best_epoch)


class _Clock:
    """Seconds that training took, those before a resumption included, and since the last checkpoint."""

    def __init__(self, before: float) -> None:
        self.start = time.perf_counter() - before
        self.saved = time.perf_counter()

    def seconds(self) -> float:
        return time.perf_counter() - self.start


SAVE_EVERY = 600.0
"""Seconds of an epoch after which it is saved as far as it is."""
_GO_ON, _SAVE, _STOP = range(3)


def _one_epoch(
    task: Trainable,
    run: RunFolder,
    state: Checkpoint,
    progress: Progress,
    stop: StopRequests,
    clock: _Clock,
    bar: tqdm[Any],
) -> Scores:
    """Train and validate; the epoch is saved as far as it is now and then, and where `stop` ends it."""

    def save(sums: dict[str, float]) -> None:
        clock.saved = time.perf_counter()
        if progress.step and distributed.writes():
            begun = progress.as_begun(sums)
            checkpoints.save(run.last, replace(_now(task, state, clock), begun=begun))

    def wish() -> int:
        if stop.asked is not None:
            return _STOP
        return _SAVE if time.perf_counter() - clock.saved >= SAVE_EVERY else _GO_ON

    def after_step(loss: float) -> None:
        bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
        bar.update()
        asked = distributed.largest_of_all(wish())  # all processes stop after the same step
        if asked != _GO_ON:
            save(distributed.mean_of_all(progress.sums))
        if asked == _STOP:
            stop.stop()

    scores = {f"train/{name}": value for name, value in task.train_epoch(progress, after_step).items()}
    try:
        with stop.at_once():
            scores |= {f"val/{name}": value for name, value in task.validate().items()}
    except Stopped:
        save(progress.sums)
        raise
    if not math.isfinite(scores["val/loss"]):
        raise UserError(
            f"epoch {progress.epoch}: the validation loss became {scores['val/loss']}: try a lower learning_rate or "
            "precision=fp32" + (f"; {_KEPT}" if progress.epoch > 1 else "")
        )
    return scores


def _write_copies(state: Checkpoint, run: RunFolder) -> None:
    """What follows from last.pty, which was written before: a run killed in between writes it when it is resumed."""
    if state.best_epoch == state.epoch and state.begun is None:
        checkpoints.save(run.best, replace(state, optimizer=None))
    lines = [json.dumps(without_nan(entry)) + "\n" for entry in state.history]
    write_text(run.logs / "metrics.jsonl", "".join(lines))


def blank_checkpoint(settings: Settings, parts: Parts[D]) -> Checkpoint:
    """What every checkpoint of a run repeats, before the first epoch."""
    validation = sorted(set(parts.validation.patients))
    patients = sorted({*parts.train.patients, *validation})
    return Checkpoint(model={}, settings=settings.model_dump(mode="json"), patients=patients, validation=validation)


def resumed(run: RunFolder, blank: Checkpoint) -> Checkpoint:
    """Where the run stopped; `blank` where it has not begun, which is logged.

    Raises `UserError` where what the run is made of has changed since: settings, patients or encoder, and where its
    checkpoint of the best epoch is gone.
    """
    if not run.last.exists():
        if run.best.exists():
            raise UserError(
                f"{run.last}: gone, and {run.best.name} beside it is no state to go on from; --overwrite starts afresh"
            )
        logger.warning("%s: nothing to resume there, starting afresh", run.last)
        return blank
    state = checkpoints.load(run.last)
    is_copied = state.best_epoch == state.epoch and state.begun is None  # then `fit` writes the best one again
    if state.best_epoch and not is_copied and checkpoints.load(run.best).epoch != state.best_epoch:
        raise UserError(f"{run.best}: not of epoch {state.best_epoch}, which was the best; --overwrite starts afresh")
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
        raise UserError(f"{run.last}: cannot resume, changed are: {'; '.join(changed) or 'no optimizer state'}; --overwrite starts afresh")
    begun = f", step {state.begun['step']} of the next" if state.begun else ""
    logger.info("resuming after epoch %d%s", state.epoch, begun)
    return state


def same_weights(one: State | None, other: State | None) -> bool:
    """Whether two sets of weights are equal to the bit; None for no weights."""
    if one is None or other is None:
        return one is other
    return one.keys() == other.keys() and all(torch.equal(value, other[key].cpu()) for key, value in one.items())


def _is_finished(state: Checkpoint, settings: RunSettings) -> bool:
    waited = state.epoch - state.best_epoch
    return state.epoch >= settings.max_epochs or (settings.patience is not None and waited >= settings.patience)


def _after_epoch(state: Checkpoint, task: Trainable, epoch: int, scores: Scores, clock: _Clock) -> Checkpoint:
    losses = [entry["val/loss"] for entry in state.history]
    is_best = scores["val/loss"] < min(losses, default=float("inf"))
    return replace(
        _now(task, state, clock),
        epoch=epoch,
        best_epoch=epoch if is_best else state.best_epoch,
        history=[*state.history, {"epoch": epoch, **scores}],
        begun=None,
    )


def _now(task: Trainable, state: Checkpoint, clock: _Clock) -> Checkpoint:
    """The last finished epoch with what was trained since."""
    weights, optimizer = task.model.state_dict(), task.optimizer.state_dict()
    return replace(state, model=weights, optimizer=optimizer, seconds=clock.seconds())


def _in_words(scores: Scores) -> str:
    return "  ".join(f"{name} {value:.4f}" for name, value in scores.items())
