"""Several processes on one training, as `torchrun --nproc-per-node N` starts them: each takes its share of every batch.

The settings' `batch_size` is that of all processes together, so that a run's result does not depend on how many there
are: BatchNorm sees the whole batch, the sampler draws for the whole batch, gradients are those of the whole batch.
"""

import atexit
import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.nn.functional  # before `join`: imported after it, its defaults would hold the group for good
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from model.frugal import normalised
from src.datasets.torch_datasets import Batch

Losses = dict[str, torch.Tensor]  # scalars by name, means over the batch; 'loss' is the one that is minimised
_PATIENCE = timedelta(hours=12)  # the others wait while the writing process tests


def join(device: torch.device) -> None:
    """Join the processes that torchrun started, if it did and this is the first call; a single one goes on alone."""
    if processes_asked_for() > 1 and not dist.is_initialized():
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=_PATIENCE)
        atexit.register(_leave)


def _leave() -> None:
    """End this process's part, its threads included.

    A training whose objects refer to each other outlives the script and would keep the group's threads running; one
    that lets go of a tensor while the interpreter ends aborts the process
    (https://github.com/pytorch/pytorch/pull/179291).
    """
    gc.collect()
    dist.destroy_process_group()


def processes_asked_for() -> int:
    """How many torchrun started."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def processes() -> int:
    """How many there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def own_share(batch: int) -> slice:
    """Which of a batch's frames are this process's: every N-th, so that shares differ by one frame at most."""
    return slice(dist.get_rank() if dist.is_initialized() else 0, batch, processes())


def writes() -> bool:
    """Whether this is the one process that writes files."""
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def writer_first() -> Iterator[None]:
    """The writing process goes through the block before the others do, who then find what it wrote."""
    if dist.is_initialized() and not writes():
        dist.barrier()
    yield
    if dist.is_initialized() and writes():
        dist.barrier()


def wait_for_all() -> None:
    if dist.is_initialized():
        dist.barrier()


def gather(value: Any) -> list[Any]:
    """The value of every process, in their order."""
    if not dist.is_initialized():
        return [value]
    values: list[Any] = [None] * processes()
    dist.all_gather_object(values, value)
    return values


def largest_of_all(value: int) -> int:
    """The largest of what the processes say."""
    if not dist.is_initialized():
        return value
    largest = torch.tensor(value, device="cuda" if dist.get_backend() == "nccl" else "cpu")
    dist.all_reduce(largest, dist.ReduceOp.MAX)
    return int(largest)


def mean_of_all(scores: dict[str, float]) -> dict[str, float]:
    """Means over the processes."""
    found = gather(scores)
    return {name: sum(part[name] for part in found) / len(found) for name in scores}


def share_work(model: nn.Module, compute: Callable[[Batch], Losses]) -> Callable[[Batch], Losses]:
    """The same losses, with a backward that leaves the whole batch's gradients in the model's parameters.

    `compute` returns means over this process's frames; of an empty share it returns `no_losses`. Every BatchNorm of the
    model takes its statistics over all processes from then on.
    """
    if not dist.is_initialized():
        return compute
    for module in model.modules():  # in place: names and weights stay
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SynchronisedBatchNorm2d
    step = DistributedDataParallel(_Step(model, compute))

    def shared(batch: Batch) -> Losses:
        total, own = int(batch["total"]), len(batch["frame"])
        # DistributedDataParallel averages over processes; weighted by the shares' sizes that is the mean over frames.
        losses: Losses = {name: value * (own * processes() / total) for name, value in step(batch).items()}
        return losses

    return shared


def no_losses(empty: torch.Tensor, *names: str) -> Losses:
    """Losses of an empty share: 0, with gradients of 0 for every parameter that led to `empty`."""
    return dict.fromkeys(names, empty.float().sum())


class _Step(nn.Module):
    """The model and what is computed with it, as one module whose forward DistributedDataParallel can watch."""

    def __init__(self, model: nn.Module, compute: Callable[[Batch], Losses]) -> None:
        super().__init__()
        self.model, self.compute = model, compute

    def forward(self, batch: Batch) -> Losses:
        return self.compute(batch)


class SynchronisedBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm over the frames of all processes, on any device: torch's own SyncBatchNorm needs a GPU."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [B, C, H, W], B may be 0 -> normalised [B, C, H, W]."""
        if not self.training:
            return super().forward(x)
        return normalised(self, nn.Identity(), x)

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over all processes."""
        values = values.clone()
        dist.all_reduce(values)
        return values
