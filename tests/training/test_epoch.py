"""An epoch's batches: every frame once, or all in turn until there are enough where frames are few."""

import os
import signal
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from src.datasets.torch_datasets import Batch
from src.errors import UserError
from src.networks.checkpoint import Checkpoint
from src.settings import LatentSettings
from src.training.epoch import (
    Progress,
    Step,
    epoch_generator,
    steps_per_epoch,
    train_one_epoch,
    training_batches,
)


class Numbered:
    """Stands for a dataset of so many frames: a batch holds their places only."""

    resident = None

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitems__(self, indices: list[int]) -> Batch:
        return {"index": torch.tensor(indices, dtype=torch.int64)}


def settings(batch_size: int, least: int, workers: int = 0) -> LatentSettings:
    return LatentSettings.model_construct(batch_size=batch_size, min_steps_per_epoch=least, num_workers=workers)


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
    if frames >= least * batch_size:
        assert sorted(drawn) == list(range(frames))
    else:
        assert all(len(batch) == batch_size for batch in batches)
    # In turn: the places are shared out among the frames as evenly as whole numbers allow.
    places, times = sum(map(len, batches)), np.bincount(drawn, minlength=frames)
    assert places == max(frames, least * batch_size)
    assert sorted(times) == [places // frames] * (frames - places % frames) + [places // frames + 1] * (places % frames)


@pytest.mark.parametrize(("frames", "least"), [(40, 1), (10, 5)])
def test_epochs_differ_and_repeat(frames: int, least: int) -> None:
    assert epoch(frames, 8, least, 1) != epoch(frames, 8, least, 2)
    assert epoch(frames, 8, least, 2) == epoch(frames, 8, least, 2)


@given(frames=st.integers(1, 30), batch_size=st.integers(1, 9), least=st.integers(1, 5), step=st.integers(0, 8))
def test_an_epoch_goes_on_where_it_stopped(frames: int, batch_size: int, least: int, step: int) -> None:
    def draws(progress: Progress, steps: int | None) -> list[tuple[list[int], float]]:
        """Places and one more draw of so many steps, as a sampler would draw it."""
        found = []
        for batch in training_batches(Numbered(frames), settings(batch_size, least), progress):  # type: ignore[arg-type]
            if steps is not None and len(found) == steps:
                break
            drawn = torch.rand(1, generator=progress.generator).item()
            step = Step(int(batch["total"]), batch["index"], {"loss": torch.tensor(drawn)}, torch.tensor(1.0))
            progress.add(step)
            progress.read([("", "")] * frames)
            found.append((batch["index"].tolist(), drawn))
        return found

    whole = Progress.after(Checkpoint({}, epoch=2), 7)
    undisturbed = draws(whole, None)
    stopped = Progress.after(Checkpoint({}, epoch=2), 7)
    before = draws(stopped, step)
    resumed = Progress.after(Checkpoint({}, epoch=2, begun=stopped.as_begun(stopped.sums)), 7)
    assert before + draws(resumed, None) == undisturbed
    assert (resumed.step, resumed.frames, resumed.sums) == (whole.step, whole.frames, whole.sums)


class Failing(Numbered):
    """Cannot be read."""

    def __getitems__(self, indices: list[int]) -> Batch:
        raise UserError("frame.jpg: gone; start again")


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_in_a_loading_process_is_its_one_line(workers: int) -> None:
    with pytest.raises(UserError) as end:
        list(training_batches(Failing(3), settings(2, 1, workers), Progress(1, epoch_generator(7, 1))))  # type: ignore[arg-type]
    assert str(end.value) == "frame.jpg: gone; start again"


class Fatal(Numbered):
    """Ends the process that reads it."""

    def __getitems__(self, indices: list[int]) -> Batch:
        os.kill(os.getpid(), signal.SIGKILL)
        return {}


def test_a_loading_process_that_was_killed_is_one_line() -> None:
    with pytest.raises(UserError, match=r"was killed.*num_workers=0"):
        list(training_batches(Fatal(3), settings(2, 1, 1), Progress(1, epoch_generator(7, 1))))  # type: ignore[arg-type]


class Named(Numbered):
    """With the patient and file of each frame."""

    names = (("0001", "a.jpg"), ("0002", "b.jpg"), ("0003", "c.jpg"))


@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.parametrize(("what", "factor"), [("loss", float("nan")), ("loss", float("inf")), ("gradient", 0.0)])
def test_a_value_that_is_not_finite_names_its_step_and_frames(what: str, factor: float, reads: bool) -> None:
    weight = torch.nn.Parameter(torch.tensor(1.0))
    progress, steps, shown = Progress(3, epoch_generator(7, 3)), list[list[int]](), list[float]()

    def compute(batch: Batch) -> dict[str, torch.Tensor]:
        steps.append(batch["index"].tolist())
        if len(steps) == 2:
            # The root of 0 is 0, its slope infinite.
            return {"loss": weight * factor if what == "loss" else (weight * factor).sqrt()}
        return {"loss": weight * 2}

    def after_step(read: Callable[[], float]) -> None:
        if reads:
            shown.append(read())

    optimizer = torch.optim.SGD([weight], lr=0.1)
    with pytest.raises(UserError) as end:
        train_one_epoch(compute, Named(3), settings(1, 3), optimizer, progress, after_step)  # type: ignore[arg-type]
    # Read after each step, the third is not taken; read at the end, the second is still the one that is named.
    assert len(steps) == (2 if reads else 3)
    assert shown == ([2.0] if reads else [])
    message = str(end.value)
    assert message.startswith(f"epoch 3, step 2: the {what} became ")
    assert [name for name in Named.names if " ".join(name) in message] == [Named.names[place] for place in steps[1]]
    assert "learning_rate" in message


@pytest.mark.parametrize("every", [1, 2, 7])
def test_losses_read_together_sum_up_as_those_read_one_by_one(every: int) -> None:
    weight = torch.nn.Parameter(torch.tensor(1.0))
    optimizer, seen = torch.optim.SGD([weight], lr=0.1), list[float]()

    def compute(batch: Batch) -> dict[str, torch.Tensor]:
        loss = weight * (batch["index"].float().mean() + 1 / 3)
        seen.append(len(batch["index"]) * loss.item())
        return {"loss": loss}

    def after_step(read: Callable[[], float]) -> None:
        if len(seen) % every == 0:
            read()

    progress = Progress(1, epoch_generator(7, 1))
    found = train_one_epoch(compute, Named(3), settings(2, 3), optimizer, progress, after_step)  # type: ignore[arg-type]
    assert found == {"loss": sum(seen) / 6}
