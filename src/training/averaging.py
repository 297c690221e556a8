"""Weights averaged over the steps of a training."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Draw `average` towards the model after step 0, 1, ...: a share `decay` stays, BatchNorm's statistics alike.

    Early steps keep less, (1 + step) / (10 + step), so that the first weights are soon forgotten.
    """
    kept = min(decay, (1 + step) / (10 + step))
    for old, new in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if old.is_floating_point():
            old.lerp_(new, 1 - kept)
        else:
            old.copy_(new)


@contextmanager
def weights_of(average: nn.Module | None, model: nn.Module) -> Iterator[None]:
    """The model with the average's weights for a while; with its own where there is no average."""
    if average is None:
        yield
        return
    own = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(average.state_dict())
    try:
        yield
    finally:
        model.load_state_dict(own)
