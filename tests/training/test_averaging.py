"""Averaged weights against a plain sum."""

import torch
from torch import nn

from src.training.averaging import update_average


def test_an_average_is_the_weighted_sum_of_all_steps() -> None:
    model, average = nn.BatchNorm1d(1), nn.BatchNorm1d(1)
    nn.init.constant_(average.weight, 100.0)
    expected = 100.0
    for step, value in enumerate((1.0, 2.0, 4.0)):
        nn.init.constant_(model.weight, value)
        model(torch.full((2, 1), value))
        kept = min(0.2, (1 + step) / (10 + step))
        expected = kept * expected + (1 - kept) * value
        update_average(average, model, 0.2, step)
    torch.testing.assert_close(average.weight.detach(), torch.tensor([expected]))
    assert average.num_batches_tracked == 3
    assert 0 < average.running_mean.item() < model.running_mean.item()
