"""Weights averaged over the steps of a training."""

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
