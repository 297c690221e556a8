"""Teaching on drawn torsos: from command to file, interrupted or not, and what the file is refused for."""

from pathlib import Path

import numpy as np
import pytest
import torch

from src.errors import UserError
from src.networks.taught import Taught, read_taught, write_taught
from src.phantom import teach
from src.phantom.shape import BACKGROUND, CLASSES
from src.phantom.teach import Lesson, batches, feature_statistics

CPU = torch.device("cpu")
SHORT = Lesson(base_channels=2, steps=4, batch_size=2, seed=3)


@pytest.fixture(autouse=True)
def in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teach, "compute_dtype", lambda precision, device: torch.float32)
    monkeypatch.setattr(teach, "TESTED", 3)


def test_an_interrupted_lesson_ends_as_an_undisturbed_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teach, "_SAVE_EVERY", 2)
    whole = teach.teach(SHORT, CPU, 0, tmp_path / "whole")
    taken = iter(range(3))
    drawn = teach.batches

    def interrupted(*arguments: int) -> object:
        for batch in drawn(*arguments):
            if next(taken, None) is None:
                raise KeyboardInterrupt
            yield batch

    with monkeypatch.context() as patched:
        patched.setattr(teach, "batches", interrupted)
        with pytest.raises(KeyboardInterrupt):
            teach.teach(SHORT, CPU, 0, tmp_path / "partial")
    again = teach.teach(SHORT, CPU, 0, tmp_path / "partial")
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    with pytest.raises(UserError, match="of another lesson"):
        teach.teach(Lesson(base_channels=2, steps=9, batch_size=2, seed=3), CPU, 0, tmp_path / "partial")


def test_seeds_and_tests_share_no_torso() -> None:
    def frames(first: int) -> torch.Tensor:
        return next(batches(first, 2, 2, 0))[0]

    assert not torch.equal(frames(0), frames(teach._A_SEED))
    assert torch.equal(frames(1)[0], frames(0)[1])
    assert frames(0).min() >= -1
    assert frames(0).max() <= 1


def test_what_is_taught_can_be_read_and_its_features_are_standardised(tmp_path: Path) -> None:
    network = teach.teach(SHORT, CPU, 0, tmp_path / "partial")
    mean, std = feature_statistics(network, CPU, 0)
    assert mean.shape == std.shape == (8,)
    assert (std > 0).all()
    said = (BACKGROUND, 2, (120, 160), "a few torsos", mean, std, (0.0,) * len(CLASSES))
    taught = Taught(network.state_dict(), CLASSES, *said)
    write_taught(taught, tmp_path / "regions.safetensors")
    read = read_taught(tmp_path / "regions.safetensors")
    assert (read.class_names, read.base_channels, read.taught_on) == (CLASSES, 2, "a few torsos")
    for name, value in network.state_dict().items():
        torch.testing.assert_close(read.state[name].to(value.dtype), value, rtol=1e-3, atol=1e-6)


def test_the_least_probability_divides_nipples_found_from_invented_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    nipple = CLASSES.index("left_nipple")
    classes = torch.full((2, 20, 20), BACKGROUND)
    classes[0, 5:9, 5:9] = nipple  # there; in the second frame it is not
    logits = torch.zeros(2, len(CLASSES), 20, 20)
    logits[:, BACKGROUND] = 9
    for frame, probability in enumerate((0.9, 0.7)):
        logits[frame, :, 5:9, 5:9] = np.log((1 - probability) / 7)
        logits[frame, nipple, 5:9, 5:9] = np.log(probability)
    monkeypatch.setattr(teach, "batches", lambda *_: [(torch.zeros(2, 1, 20, 20), classes)])
    found = teach.least_probability(lambda frames: logits, CPU, 0)  # type: ignore[arg-type]
    assert 0.7 < found <= 0.9
