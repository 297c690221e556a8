"""Learning rates against torch's own schedulers."""

import pytest
import torch
from torch.optim import lr_scheduler

from src.training.schedule import Schedule, rate_factor, scheduled


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


def test_a_resumed_epoch_takes_the_rates_of_its_own_steps() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    whole = [optimizer.param_groups[0]["lr"] for _ in scheduled(range(10), optimizer, 0.5, "onecycle", 0, 10)]
    rest = [optimizer.param_groups[0]["lr"] for _ in scheduled(range(4), optimizer, 0.5, "onecycle", 6, 10)]
    assert rest == whole[6:]
