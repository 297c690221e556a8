"""Teaching on drawings: from lesson to file, interrupted or not, and what the files are refused for."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from src.classes import Classes
from src.errors import UserError
from src.networks.taught import Taught, read_taught, write_taught
from src.networks.tumours import TaughtTumours, read_tumours, write_tumours
from src.phantom import lesson, teach_regions
from src.phantom.lesson import Drawing, Lesson, Subject, teach
from src.phantom.shape import BACKGROUND, CLASSES
from src.phantom.teach import main
from src.phantom.teach_regions import Regions, feature_statistics, least_probability
from src.phantom.teach_tumours import Tumours

CPU = torch.device("cpu")
SHORT = Lesson(base_channels=2, steps=4, batch_size=2, seed=3)


@pytest.fixture(autouse=True)
def in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lesson, "compute_dtype", lambda precision, device: torch.float32)
    monkeypatch.setattr(teach_regions, "TESTED", 3)


@pytest.mark.parametrize("subject", [Regions, Tumours])
def test_an_interrupted_lesson_ends_as_an_undisturbed_one(
    subject: type[Subject], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lesson, "_SAVE_EVERY", 2)
    whole = teach(subject(SHORT, CPU), tmp_path / "whole").state_dict()
    taken = iter(range(3))
    drawn = subject.batches

    def interrupted(self: Subject, *arguments: int) -> Iterator[Drawing]:
        for batch in drawn(self, *arguments):
            if next(taken, None) is None:
                raise KeyboardInterrupt
            yield batch

    with monkeypatch.context() as patched:
        patched.setattr(subject, "batches", interrupted)
        with pytest.raises(KeyboardInterrupt):
            teach(subject(SHORT, CPU), tmp_path / "partial")
    again = teach(subject(SHORT, CPU), tmp_path / "partial").state_dict()
    for name, value in whole.items():
        assert torch.equal(value, again[name]), name
    other = Lesson(base_channels=2, steps=9, batch_size=2, seed=3)
    with pytest.raises(UserError, match="of another lesson"):
        teach(subject(other, CPU), tmp_path / "partial")


def test_a_loss_that_is_not_finite_ends_the_lesson(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = Regions(SHORT, CPU)
    monkeypatch.setattr(subject, "loss", lambda batch: subject.network(batch[0]).mean() * torch.nan)
    with pytest.raises(UserError, match="step 4: the loss is nan"):
        teach(subject, tmp_path / "partial")
    assert not (tmp_path / "partial").exists()


def test_what_ships_is_replaced_by_the_usual_lesson_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["teach", "--steps", "3"])
    with pytest.raises(UserError, match="--out: is needed"):
        main()


def test_seeds_and_tests_share_no_torso() -> None:
    regions = Regions(SHORT, CPU)

    def frames(first: int) -> torch.Tensor:
        return next(regions.batches(first, 2, 2))[0]

    assert not torch.equal(frames(0), frames(SHORT.first))
    assert torch.equal(frames(1)[0], frames(0)[1])
    assert frames(0).min() >= -1
    assert frames(0).max() <= 1


def test_what_is_taught_can_be_read_and_its_features_are_standardised(tmp_path: Path) -> None:
    subject = Regions(SHORT, CPU)
    network = teach(subject, tmp_path / "partial")
    mean, std = feature_statistics(subject)
    assert mean.shape == std.shape == (8,)
    assert (std > 0).all()
    said = (Classes(CLASSES, BACKGROUND), 2, (120, 160), "a few torsos", mean, std, (0.0,) * len(CLASSES))
    taught = Taught(network.state_dict(), *said)
    write_taught(taught, tmp_path / "regions.safetensors")
    read = read_taught(tmp_path / "regions.safetensors")
    assert (read.classes.names, read.base_channels, read.taught_on) == (CLASSES, 2, "a few torsos")
    for name, value in network.state_dict().items():
        torch.testing.assert_close(read.state[name].to(value.dtype), value, rtol=1e-3, atol=1e-6)


def test_one_kind_of_weights_is_not_read_as_the_other(tmp_path: Path) -> None:
    network = Tumours(SHORT, CPU).network
    path = tmp_path / "tumours.safetensors"
    write_tumours(TaughtTumours(network.state_dict(), 2, "a few pairs"), path)
    read = read_tumours(path)
    assert (read.base_channels, read.taught_on) == (2, "a few pairs")
    for name, value in network.state_dict().items():
        torch.testing.assert_close(read.state[name].to(value.dtype), value, rtol=1e-3, atol=1e-6)
    with pytest.raises(UserError, match="no weights of taught regions"):
        read_taught(path)
    write_tumours(TaughtTumours(network.state_dict(), 3, "of another width"), path)
    with pytest.raises(UserError, match="no weights of taught tumours"):
        read_tumours(path)


def test_the_least_probability_divides_nipples_found_from_invented_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    nipple = CLASSES.index("left_nipple")
    classes = torch.full((2, 20, 20), BACKGROUND)
    classes[0, 5:9, 5:9] = nipple  # there; in the second frame it is not
    logits = torch.zeros(2, len(CLASSES), 20, 20)
    logits[:, BACKGROUND] = 9
    for frame, probability in enumerate((0.9, 0.7)):
        logits[frame, :, 5:9, 5:9] = np.log((1 - probability) / 7)
        logits[frame, nipple, 5:9, 5:9] = np.log(probability)
    subject = Regions(SHORT, CPU)
    ramp = torch.arange(20.0).expand(2, 1, 20, 20)  # rises to the left in a mirror image
    mirrored = logits.flip(-1)[:, teach_regions.MIRRORED]
    monkeypatch.setattr(subject, "test_batches", lambda: [(ramp, classes)])
    monkeypatch.setattr(subject, "network", lambda levels: logits if levels[0, 0, 0, 0] == 0 else mirrored)
    assert 0.7 < least_probability(subject) <= 0.9
