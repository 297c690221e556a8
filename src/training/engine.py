"""How anything is trained here: epochs until validation stops getting better, and how a stopped run goes on."""

import json
import logging
import math
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from src.datasets.torch_datasets import D, Parts
from src.errors import UserError
from src.files import without_nan, write_text
from src.networks import checkpoint as checkpoints
from src.networks.checkpoint import Checkpoint
from src.settings import TASKS, RunSettings, Settings, with_defaults
from src.settings.fields import Kind, fields_of
from src.training import distributed
from src.training.epoch import KEPT, AfterStep, Progress, Scores
from src.training.run_folder import RunFolder
from src.training.stopping import StopRequests

logger = logging.getLogger(__name__)


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
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device(name)


def make_repeatable(seed: int) -> None:
    """Seed torch's global generator, which draws initial weights, and take deterministic kernels where they exist."""
    torch.manual_seed(seed)
    torch.set_deterministic_debug_mode("warn")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined] # a tenth of a step


class Trainable(ABC):
    """What `fit` needs to know of a task."""

    model: nn.Module  # whose weights are saved
    optimizer: torch.optim.Optimizer
    steps_per_epoch: int
    score: str | None = None
    """Of what `validate` gives, what the best epoch has most of; None: the one with the least loss is the best."""
    keeps_last = False  # each epoch counts as better than those before it

    @abstractmethod
    def train_epoch(self, progress: Progress, after_step: AfterStep) -> Scores:
        """The steps that are left of an epoch; returns the losses' means."""

    @abstractmethod
    def validate(self) -> Scores:
        """`loss`, and further scores of the validation frames; nothing where there are none and the last is kept."""


def fit(task: Trainable, run: RunFolder, settings: RunSettings, state: Checkpoint) -> None:
    """Train until `max_epochs` or until `patience` epochs brought none that is better on validation.

    Each epoch ends with checkpoints/last.pty and metrics.jsonl written, and dmr_run.pty when it is the best so far; a
    long epoch also writes last.pty in between. `state` is what `resumed` found, or the start, which holds what every
    checkpoint repeats: settings, patients, encoder.

    Raises `Stopped` after Ctrl-C or SIGTERM, with all that was done in last.pty; what is resumed from there ends as if
    it had never stopped, to the bit on a CPU.
    """
    from torch.utils.tensorboard import SummaryWriter  # what only predicts does not wait for it

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
            kept = "  (kept)" if state.best_epoch == state.epoch else ""
            told = "  ".join(f"{name} {value:.4f}" for name, value in scores.items())
            logger.info("epoch %d  %s%s", state.epoch, told, kept)
            if board is not None:
                checkpoints.save(run.last, state)
                _write_copies(state, run)
                for name, value in scores.items():
                    board.add_scalar(name, value, state.epoch)
    logger.info("trained %d epochs, epoch %d is kept", state.epoch, state.best_epoch)


class _Clock:
    """Seconds that training took, those before a resumption included, and when steps were last saved and read."""

    def __init__(self, before: float) -> None:
        self.start = time.perf_counter() - before
        self.saved = self.read = time.perf_counter()

    def seconds(self) -> float:
        return time.perf_counter() - self.start


SAVE_EVERY = 600.0  # seconds of an epoch after which it is saved as far as it is
READ_EVERY = 0.5
"""Seconds after which the steps' losses are read, shown, and refused where they are not finite: a GPU is waited for."""
_GO_ON, _SAVE, _STOP = range(3)


def _one_epoch(
    task: Trainable,
    run: RunFolder,
    state: Checkpoint,
    progress: Progress,
    stop: StopRequests,
    clock: _Clock,
    bar: "tqdm[Any]",
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

    def after_step(read: Callable[[], float]) -> None:
        bar.update()
        asked = distributed.largest_of_all(wish())  # all processes stop after the same step
        if asked != _GO_ON or time.perf_counter() - clock.read >= READ_EVERY:
            bar.set_postfix(loss=f"{read():.4f}", refresh=False)
            clock.read = time.perf_counter()
        if asked != _GO_ON:
            save(distributed.mean_of_all(progress.sums))
        if asked == _STOP:
            stop.stop()

    scores = {f"train/{name}": value for name, value in task.train_epoch(progress, after_step).items()}
    with stop.at_once(before_end=lambda: save(progress.sums)):
        scores |= {f"val/{name}": value for name, value in task.validate().items()}
    if not math.isfinite(scores.get("val/loss", 0.0)):
        raise UserError(
            f"epoch {progress.epoch}: the validation loss became {scores['val/loss']}: try a lower learning_rate or "
            "precision=fp32" + (f"; {KEPT}" if progress.epoch > 1 else "")
        )
    return scores


def _write_copies(state: Checkpoint, run: RunFolder) -> None:
    """What follows from last.pty, which was written before: a run killed in between writes it when it is resumed."""
    if state.best_epoch == state.epoch and state.begun is None:
        checkpoints.save(run.best, replace(state, optimizer=None))
    lines = [json.dumps(without_nan(entry)) + "\n" for entry in state.history]
    write_text(run.logs / "metrics.jsonl", "".join(lines))


def start_checkpoint(settings: Settings, parts: Parts[D]) -> Checkpoint:
    """What every checkpoint of a run repeats, before the first epoch."""
    validation = sorted(set(parts.validation.patients))
    patients = sorted({*parts.train.patients, *validation})
    recorded, names = settings.model_dump(mode="json"), list(parts.train.classes.names)
    return Checkpoint({}, recorded, patients, validation, data=parts.digests(), class_names=names)


def resumed(run: RunFolder, start: Checkpoint) -> Checkpoint:
    """Where the run stopped; `start` where it has not begun, which is logged.

    Raises `UserError` where what the run is made of has changed since: settings, patients, frames, labels or encoder,
    and where its checkpoint of the best epoch is gone.
    """
    if not run.last.exists():
        if run.best.exists():
            raise UserError(
                f"{run.last}: gone, and {run.best.name} beside it is no state to go on from; --overwrite starts afresh"
            )
        logger.warning("%s: nothing to resume there, starting afresh", run.last)
        return start
    state = checkpoints.load(run.last)
    is_copied = state.best_epoch == state.epoch and state.begun is None  # then `fit` writes the best one again
    if state.best_epoch and not is_copied and checkpoints.load(run.best).epoch != state.best_epoch:
        raise UserError(f"{run.best}: not of epoch {state.best_epoch}, which was the best; --overwrite starts afresh")
    changed = _changed(state, start)
    if changed or state.optimizer is None:
        raise UserError(
            f"{run.last}: cannot resume, changed are: {'; '.join(changed) or 'no optimizer state'}; "
            "--overwrite starts afresh"
        )
    begun = f", step {state.begun['step']} of the next" if state.begun else ""
    logger.info("resuming after epoch %d%s", state.epoch, begun)
    return replace(state, settings=start.settings)


def _changed(state: Checkpoint, start: Checkpoint) -> list[str]:
    """In words, what of a run's making is otherwise than when its checkpoint was written."""
    then_settings = with_defaults(state.settings)
    # A schedule is spread over all epochs, those before too.
    kinds = (Kind.MACHINE, Kind.LENGTH) if start.settings.get("schedule", "constant") == "constant" else (Kind.MACHINE,)
    may_change = fields_of(TASKS[start.settings["task"]], *kinds)
    changed = [
        f"{key}: {then_settings.get(key)} then, {value} now"
        for key, value in start.settings.items()
        if key not in may_change and then_settings.get(key) != value
    ]
    trained = [set(of.patients) - set(of.validation) for of in (state, start)]
    validated = [set(of.validation) for of in (state, start)]
    for what, (then, now) in (("patients trained on", trained), ("validation patients", validated)):
        if then != now:
            changed.append(f"{what}: {len(then - now)} left, {len(now - then)} joined")
    changed += [f"{what}: others now" for what, digest in start.data.items() if state.data.get(what) != digest]
    if state.class_names != start.class_names:
        changed.append(f"order of the classes: {', '.join(state.class_names)} then, {', '.join(start.class_names)} now")
    if not checkpoints.same_weights(state.encoder, start.encoder):
        changed.append("encoder: another one now")
    return changed


def _is_finished(state: Checkpoint, settings: RunSettings) -> bool:
    waited = state.epoch - state.best_epoch
    return state.epoch >= settings.max_epochs or (settings.patience is not None and waited >= settings.patience)


def _after_epoch(state: Checkpoint, task: Trainable, epoch: int, scores: Scores, clock: _Clock) -> Checkpoint:
    is_best = task.keeps_last
    if not is_best:
        key, sign = ("val/loss", -1) if task.score is None else (f"val/{task.score}", 1)
        if math.isnan(scores[key]):
            raise UserError(f"epoch {epoch}: {key} has no value on these validation patients; use select_by=loss")
        is_best = sign * scores[key] > max((sign * entry[key] for entry in state.history), default=float("-inf"))
    return replace(
        _now(task, state, clock),
        epoch=epoch,
        best_epoch=epoch if is_best else state.best_epoch,
        history=[*state.history, {"epoch": epoch, **scores}],
        begun=None,
    )


def _now(task: Trainable, state: Checkpoint, clock: _Clock) -> Checkpoint:
    """The last finished epoch with what was trained since."""
    model, optimizer = task.model.state_dict(), task.optimizer.state_dict()
    return replace(state, model=model, optimizer=optimizer, seconds=clock.seconds())
