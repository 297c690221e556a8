"""How a network is taught on what is drawn while it learns: nothing to augment, to overfit or to choose.

The rate ends at nothing, and the last weights are kept. What is drawn follows from the seed, whatever the number of
processes that draw; interrupted, a lesson goes on where it was last saved.
"""

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import cv2
import torch
from torch import nn
from torch.utils.data import DataLoader, default_collate
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from src.errors import UserError
from src.files import atomic_write
from src.networks.checkpoint import load_plain
from src.networks.precision import compute_dtype, computing_in, memory_layout
from src.training.engine import make_repeatable

logger = logging.getLogger(__name__)

TESTED = 400  # drawings that every network is tested on: numbers from 0 on, which no lesson uses
_A_SEED = 10_000_000  # drawings between the first ones of two seeds
_SAVE_EVERY = 250  # steps

Drawing = tuple[torch.Tensor, ...]
N = TypeVar("N", bound=nn.Module)


@dataclass(frozen=True)
class Lesson:
    """How long and how fast a network is taught."""

    base_channels: int = 24
    steps: int = 6000
    batch_size: int = 16
    learning_rate: float = 3e-3
    seed: int = 1

    @property
    def first(self) -> int:
        """The number of its first drawing; those of seed 0 are to test on."""
        return self.seed * _A_SEED

    def in_words(self, drawings: str) -> str:
        """What it was taught on, for people."""
        return f"{self.steps * self.batch_size} {drawings}, seed {self.seed}"


class Subject(ABC, Generic[N]):
    """What a network is taught; it begins with the random weights of the lesson's seed."""

    def __init__(self, lesson: Lesson, make: Callable[[int], N], device: torch.device, workers: int) -> None:
        """`make` takes the base width."""
        make_repeatable(lesson.seed)
        self.lesson, self.device, self.workers = lesson, device, workers
        self.network = make(lesson.base_channels).to(device)

    @staticmethod
    @abstractmethod
    def draw(number: int) -> Drawing:
        """The drawing of a number, as tensors; other processes call it too."""

    @abstractmethod
    def loss(self, batch: Drawing) -> torch.Tensor:
        """A batch of drawings, on the device, to the scalar loss."""

    def batches(self, first: int, count: int, size: int) -> Iterator[Drawing]:
        """Drawings number `first` and on, on the device, in batches."""
        numbers: Any = range(first, first + count)
        made = partial(_drawn, self.draw)  # in the processes that draw
        for batch in DataLoader(numbers, size, num_workers=self.workers, collate_fn=made, worker_init_fn=_one_thread):
            yield tuple(each.to(self.device) for each in batch)


def _drawn(draw: Callable[[int], Drawing], numbers: list[int]) -> Any:
    return default_collate([draw(number) for number in numbers])


def _one_thread(_: int) -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def teach(subject: Subject[N], partial: Path) -> N:
    """A subject's network, taught, in eval mode; `partial` is where it is saved on the way, and gone on from.

    Raises `UserError` where a loss is not finite.
    """
    lesson, network, device = subject.lesson, subject.network, subject.device
    dtype = compute_dtype("auto", device)
    network.to(memory_format=memory_layout(dtype, device))
    optimizer = torch.optim.AdamW(network.parameters(), lr=lesson.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, lesson.learning_rate, total_steps=lesson.steps, pct_start=0.15
    )
    parts = {"network": network, "optimizer": optimizer, "schedule": schedule}
    done = _go_on(parts, lesson, partial)
    size = lesson.batch_size
    drawn = subject.batches(lesson.first + done * size, (lesson.steps - done) * size, size)
    network.train()
    with logging_redirect_tqdm(), tqdm(total=lesson.steps, initial=done, unit="step", disable=None) as bar:
        for step, batch in enumerate(drawn, done + 1):
            with computing_in(dtype, device):
                loss = subject.loss(batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            bar.update()
            if step % _SAVE_EVERY == 0 or step == lesson.steps:
                value = loss.item()
                if not math.isfinite(value):  # and it stays so: every later loss is of these weights
                    raise UserError(f"step {step}: the loss is {value}; try a lower --learning-rate")
                logger.info("step %d  loss %.3f", step, value)
                _save(parts, lesson, step, partial)
    return network.eval()


def _save(parts: dict[str, Any], lesson: Lesson, step: int, partial: Path) -> None:
    with atomic_write(partial) as file:
        torch.save({name: part.state_dict() for name, part in parts.items()} | {"step": step, **vars(lesson)}, file)


def _go_on(parts: dict[str, Any], lesson: Lesson, partial: Path) -> int:
    """Load what an interrupted lesson saved; returns how many steps that were. `UserError` where it was another one."""
    if not partial.exists():
        return 0
    saved = load_plain(partial)
    if not isinstance(saved, dict) or any(saved.get(name) != value for name, value in vars(lesson).items()):
        raise UserError(f"{partial}: of another lesson; delete it, or give another --out")
    for name, part in parts.items():
        part.load_state_dict(saved[name])
    logger.info("going on after step %d", saved["step"])
    return int(saved["step"])
