"""Learning rates against torch's own schedulers."""

import pytest
import torch
from torch.optim import lr_scheduler

from src.settings import Schedule
from src.training.schedule import rate_factor


@pytest.mark.parametrize("schedule", ["onecycle", "cosine", "constant"])
@pytest.mark.parametrize("steps", [7, 100])
def test_rates_are_those_of_torch(schedule: Schedule, steps: int) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.2)
    theirs: lr_scheduler.LRScheduler = {
        "onecycle": lambda: lr_scheduler.OneCycleLR(optimizer, 0.2, total_steps=steps),
        "cosine": lambda: lr_scheduler.CosineAnnealingLR(optimizer, steps),
        "constant": lambda: lr_scheduler.ConstantLR(optimizer, 1.0),
    }[schedule]()
    for step in range(steps):
        assert 0.2 * rate_factor(schedule, step, steps) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step + 1 < steps:
            theirs.step()
