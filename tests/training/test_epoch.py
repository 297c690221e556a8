"""An epoch's batches: every frame once, or enough drawn ones where frames are few."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from src.datasets.tasks import Batch
from src.settings import LatentSettings
from src.training.epoch import Progress, epoch_generator, steps_per_epoch, training_batches


class Numbered:
    """Stands for a dataset of so many frames: a batch holds their places only."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitems__(self, indices: list[int]) -> Batch:
        return {"index": torch.tensor(indices)}


def settings(batch_size: int, least: int) -> LatentSettings:
    return LatentSettings.model_construct(batch_size=batch_size, min_steps_per_epoch=least, num_workers=0)


def epoch(frames: int, batch_size: int, least: int, number: int = 1) -> list[list[int]]:
    found = training_batches(
        Numbered(frames), settings(batch_size, least), Progress(number, epoch_generator(7, number))
    )  # type: ignore[arg-type]
    return [batch["index"].tolist() for batch in found]


@given(frames=st.integers(1, 60), batch_size=st.integers(1, 9), least=st.integers(1, 9))
def test_enough_steps_and_no_frame_left_out(frames: int, batch_size: int, least: int) -> None:
    batches = epoch(frames, batch_size, least)
    drawn = np.concatenate(batches)
    assert len(batches) == steps_per_epoch(frames, settings(batch_size, least)) >= least
    assert set(drawn) <= set(range(frames))
    if -(-frames // batch_size) >= least:
        assert sorted(drawn) == list(range(frames))
    else:
        assert all(len(batch) == batch_size for batch in batches)


@pytest.mark.parametrize(("frames", "least"), [(40, 1), (10, 5)])
def test_epochs_differ_and_repeat(frames: int, least: int) -> None:
    assert epoch(frames, 8, least, 1) != epoch(frames, 8, least, 2)
    assert epoch(frames, 8, least, 2) == epoch(frames, 8, least, 2)
