"""One epoch of training: its batches, its steps, and how far it is."""

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch.nn.utils import get_total_norm
from torch.utils.data import DataLoader, Dataset

from src.datasets.torch_datasets import Batch, FrameDataset, as_is
from src.errors import UserError, some
from src.networks.checkpoint import Checkpoint
from src.settings import Settings
from src.training import distributed
from src.training.distributed import Losses
from src.training.stopping import leave_to_parent

Scores = dict[str, float]
KEPT = "finished epochs are kept: --mode test scores the best of them"


def epoch_generator(seed: int, epoch: int) -> torch.Generator:
    """The draws of one epoch: a run resumed at an epoch draws what an undisturbed one does."""
    return torch.Generator().manual_seed(seed * 1_000_003 + epoch)


def batches_of(dataset: FrameDataset, order: Sequence[int], batch_size: int) -> Iterator[Batch]:
    """Batches of the dataset's places in this order, loaded by this process."""
    return map(dataset.__getitems__, _chunks(order, batch_size))


def _chunks(places: Sequence[int], size: int) -> list[list[int]]:
    return [list(places[start : start + size]) for start in range(0, len(places), size)]


class _Carried(Dataset[Any]):
    """Hands a `UserError` over as if it were a batch: torch would make a traceback of what a worker raises."""

    def __init__(self, dataset: FrameDataset) -> None:
        self.dataset = dataset

    def __getitems__(self, indices: list[int]) -> Batch | UserError:
        try:
            return self.dataset.__getitems__(indices)
        except UserError as error:
            return error


def _load(dataset: FrameDataset, chunks: list[list[int]], workers: int) -> Iterator[Batch]:
    if not workers or dataset.resident:
        yield from map(dataset.__getitems__, chunks)
        return
    loader: DataLoader[Any] = DataLoader(
        _Carried(dataset),
        batch_sampler=chunks,
        collate_fn=as_is,  # type: ignore[arg-type]
        num_workers=workers,
        worker_init_fn=leave_to_parent,
    )
    try:
        for batch in loader:
            if isinstance(batch, UserError):
                raise batch
            yield batch
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise UserError(
            "a process that loads batches was killed, most often for lack of memory; try --set num_workers=0"
        ) from None


def steps_per_epoch(frames: int, settings: Settings) -> int:
    """How many steps an epoch over so many frames has."""
    return max(math.ceil(frames / settings.batch_size), settings.min_steps_per_epoch)


@dataclass
class Step:
    """What one step gave, still on the device."""

    frames: int  # of all processes
    index: torch.Tensor  # places in the dataset of those of this process
    losses: Losses
    norm: torch.Tensor  # of the gradient


@dataclass
class Progress:
    """How far an epoch is: all that its steps leave behind for the next one, beside weights and optimizer."""

    epoch: int
    generator: torch.Generator  # draws the order of the frames, and what else a step draws
    step: int = 0
    frames: int = 0  # of the steps so far, of all processes
    sums: dict[str, float] = field(default_factory=dict)
    """Each loss, summed over the frames of the steps that were read, of this process."""
    unread: list[Step] = field(default_factory=list)  # the last steps: what they gave is still on the device
    state: torch.Tensor | None = None  # the generator's, after these steps, where they were done before a resumption

    @classmethod
    def after(cls, checkpoint: Checkpoint, seed: int) -> Self:
        """The epoch that comes after a checkpoint, or the one that it stopped in."""
        epoch = checkpoint.epoch + 1
        return cls(epoch, epoch_generator(seed, epoch), **(checkpoint.begun or {}))

    def as_begun(self, sums: dict[str, float]) -> dict[str, Any]:
        """What `after` takes from a checkpoint; `sums` of any process."""
        state = self.generator.get_state()
        return {"step": self.step, "frames": self.frames, "sums": dict(sums), "state": state}

    def add(self, step: Step) -> None:
        """Count a step, which nothing waits for."""
        self.step += 1
        self.frames += step.frames
        self.unread.append(step)

    def read(self, names: Sequence[tuple[str, str]]) -> float:
        """Add the unread steps to `sums`, for which the device is waited for; the loss of the last one.

        names: (patient, file) of each of the dataset's frames. Raises `UserError` that names the first step whose loss
        or gradient is not finite, and its frames: that one and those after it are not to be saved.
        """
        if not self.unread:
            return math.nan
        values: list[list[float]] = torch.stack(
            [torch.stack([*step.losses.values(), step.norm]) for step in self.unread]
        ).tolist()
        first = self.step - len(self.unread) + 1
        for number, (step, (*means, norm)) in enumerate(zip(self.unread, values, strict=True), first):
            losses = dict(zip(step.losses, means, strict=True))
            for what, value in (("loss", losses["loss"]), ("gradient", norm)):
                if not math.isfinite(value):
                    frames = sorted({" ".join(names[place]) for place in step.index.tolist()})
                    raise UserError(
                        f"epoch {self.epoch}, step {number}: the {what} became {value} on the frames "
                        f"{some(frames, 16)}; look at them, try a lower learning_rate or precision=fp32"
                        + (f"; {KEPT}" if self.epoch > 1 else "")
                    )
            for name, value in losses.items():
                self.sums[name] = self.sums.get(name, 0.0) + step.frames * value
        self.unread = []
        return losses["loss"]


def training_batches(dataset: FrameDataset, settings: Settings, progress: Progress) -> Generator[Batch]:
    """What is left of an epoch's batches, in a new order each epoch: each frame once, or, where they do not fill
    `min_steps_per_epoch` batches, all in turn until they do: none comes more than once more often than another.

    With several processes these are this one's shares of them; `total` in a batch counts the frames of all.
    Source: the published code of arXiv 2404.06589, whose datasets are as long and take frame `index % len(frames)`.
    """
    places = max(len(dataset), settings.min_steps_per_epoch * settings.batch_size)
    order = torch.randperm(places, generator=progress.generator) % len(dataset)
    if progress.state is not None:
        progress.generator.set_state(progress.state)
    chunks = _chunks(order.tolist(), settings.batch_size)[progress.step :]
    own = [chunk[distributed.own_share(len(chunk))] for chunk in chunks]
    for chunk, batch in zip(chunks, _load(dataset, own, settings.num_workers), strict=True):
        yield batch | {"total": torch.tensor(len(chunk))}


AfterStep = Callable[[Callable[[], float]], None]  # takes `Progress.read` of the steps so far; may raise `Stopped`


def train_one_epoch(
    compute: Callable[[Batch], Losses],
    dataset: FrameDataset,
    settings: Settings,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    after_step: AfterStep,
) -> Scores:
    """The steps that are left of an epoch, one a batch; returns the losses' means over the frames of all of them.

    No step waits for the device: what they gave is read when `after_step` asks for it, and at the end. Raises
    `UserError` that names the frames where a loss or a gradient is not finite.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    names = dataset.names
    # Closed here, where a stop ends it, so that its processes end before this one does.
    with closing(training_batches(dataset, settings, progress)) as batches:
        for batch in batches:
            losses = compute(batch)
            optimizer.zero_grad(set_to_none=True)
            losses["loss"].backward()  # type: ignore[no-untyped-call]
            norm = get_total_norm([weight.grad for weight in weights if weight.grad is not None])
            optimizer.step()
            means = {name: value.detach() for name, value in losses.items()}
            progress.add(Step(int(batch["total"]), batch["index"], means, norm))
            after_step(lambda: progress.read(names))
    progress.read(names)
    progress.sums = distributed.mean_of_all(progress.sums)
    return {name: value / progress.frames for name, value in progress.sums.items()}
