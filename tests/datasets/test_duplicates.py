"""Duplicates: copies of a frame are found however they were stored anew, and different people are never joined."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from src.datasets.build import build_diagnoses, build_frames
from src.datasets.dmr_dataset import DMRDataset
from src.datasets.duplicates import MAX_DISTANCE, MIN_CORRELATION, Duplicate, details, find_duplicates, perceptual_hash
from src.datasets.source import Skipped
from src.phantom.dataset import make_patient
from src.settings import ClassificationSettings, LatentSettings

Image8 = np.ndarray[Any, np.dtype[np.uint8]]


def resized(gray: Image8, factor: float) -> Image8:
    size = (round(gray.shape[1] * factor), round(gray.shape[0] * factor))
    return np.asarray(cv2.resize(gray, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR))


COPIES: dict[str, tuple[Callable[[Image8], Image8], int]] = {
    "the same": (lambda gray: gray, 90),
    "encoded coarsely": (lambda gray: gray, 30),
    "half the size": (lambda gray: resized(gray, 0.5), 85),
    "a quarter of the size": (lambda gray: resized(gray, 0.25), 85),
    "larger": (lambda gray: resized(gray, 1.5), 90),
    "brighter": (lambda gray: np.clip(gray.astype(int) + 15, 0, 255).astype(np.uint8), 90),
    "more contrast": (lambda gray: np.clip(gray * 1.1, 0, 255).astype(np.uint8), 90),
    "darker": (lambda gray: (gray * 0.85).astype(np.uint8), 90),
}


def write(root: Path, patient: str, gray: Image8, quality: int = 90, frame: int = 0) -> None:
    path = root / patient / f"T{patient}.1.1.D.2014-03-02.{frame:02d}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(gray).save(path, quality=quality)


def search(root: Path) -> list[Duplicate]:
    return find_duplicates(root, DMRDataset(root).frames("gray", Skipped()), Skipped())


@pytest.fixture(scope="module")
def grays(phantom: Path) -> list[Image8]:
    paths = sorted(path for path in phantom.glob("*/*.jpg") if not path.stem.endswith("_snap"))
    return [np.asarray(Image.open(path).convert("L")) for path in paths]


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_is_found_and_nobody_else(grays: list[Image8], how: str, tmp_path: Path) -> None:
    copy, quality = COPIES[how]
    for number, gray in enumerate(grays[:6], start=1):
        write(tmp_path, f"{number:04d}", gray)
    write(tmp_path, "0005", copy(grays[1]), quality, frame=1)
    found = search(tmp_path)
    assert [(pair.first.patient, pair.second.patient) for pair in found] == [("0002", "0005")]
    assert found[0].second.path.name.endswith("01.jpg")
    assert found[0].correlation > 0.975


def test_two_patients_are_one_pair_however_many_frames_they_share(grays: list[Image8], tmp_path: Path) -> None:
    for patient in ("0002", "0001"):
        for frame in range(3):
            write(tmp_path, patient, grays[frame], frame=frame)
    (pair,) = search(tmp_path)
    assert (pair.first.patient, pair.second.patient) == ("0001", "0002")


def test_frames_of_one_patient_are_no_duplicates(grays: list[Image8], tmp_path: Path) -> None:
    for frame in range(2):
        write(tmp_path, "0001", grays[0], frame=frame)
    write(tmp_path, "0002", grays[1])
    assert search(tmp_path) == []


def test_torsos_that_hardly_differ_are_told_apart_by_their_details() -> None:
    frames = [make_patient(1, index, sick=index % 2 == 1, variety=0.1).frames[0] for index in range(8)]
    small = [cv2.resize(frame, (96, 72), interpolation=cv2.INTER_AREA) for frame in frames]
    levels = [np.round((one - one.min()) / np.ptp(one) * 255).astype(np.uint8) for one in small]
    alike = [(a, b) for place, a in enumerate(levels) for b in levels[:place]]
    distances = [int(np.bitwise_count(perceptual_hash(a) ^ perceptual_hash(b)).sum()) for a, b in alike]
    assert min(distances) <= MAX_DISTANCE, "the hash alone would join these"
    assert max(float((details(a) * details(b)).mean()) for a, b in alike) < MIN_CORRELATION


def test_what_cannot_be_compared_is_noted(grays: list[Image8], tmp_path: Path) -> None:
    flat = np.full((48, 64), 90, np.uint8)
    for patient in ("0001", "0002"):
        write(tmp_path, patient, flat)
    write(tmp_path, "0003", grays[0])
    (tmp_path / "0003" / "broken.jpg").write_bytes(b"no image")
    skipped = Skipped()
    assert find_duplicates(tmp_path, DMRDataset(tmp_path).frames("gray", Skipped()), skipped) == []
    assert skipped.reasons == {
        "not searched for duplicates: frames that show nothing": [
            f"{patient}/T{patient}.1.1.D.2014-03-02.00.jpg" for patient in ("0001", "0002")
        ],
        "not searched for duplicates: frames that cannot be read as images": ["0003/broken.jpg"],
    }


def test_patients_who_share_a_frame_stay_together_in_every_split(
    grays: list[Image8], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "DMR"
    for number in range(12):
        name = f"{number:04d}"
        write(root, name, grays[number])
        (root / name / "description.html").write_text(f"Diagnosis*: {'Sick' if number % 2 else 'Healthy'}")
    for number in (3, 6, 10):  # 2, 3, 6, 10 are one group, through 3
        write(root, f"{number:04d}", resized(grays[2 if number == 3 else 3], 0.5), frame=1)
    group = {"0002", "0003", "0006", "0010"}
    common = {"dataset_path": root, "image_size": (32, 40), "learning_rate": 0.001, "test_ratio": 0.4}
    both = {"encoder_modality": "gray", "decoder_modality": "gray"}
    for seed in range(8):
        out = {**common, "output_root": tmp_path / str(seed), "seed": seed}
        with caplog.at_level(logging.WARNING):
            parts: Any = build_diagnoses(ClassificationSettings(task="classification", **both, **out))
        again: Any = build_frames(LatentSettings(task="latent", modality="gray", transductive=True, **out))
        assert again.split == parts.split
        assert parts.split.groups == (tuple(sorted(group)),)
        sides = [{*parts.train.patients}, {*parts.validation.patients}, {*parts.test.patients}]
        sides += [{*again.train.patients}, {*again.validation.patients}]
        assert all(not group & side or group <= side for side in sides)
    assert "patients 0002 and 0003 share a frame" in caplog.text
    assert "though their diagnoses differ" in caplog.text
    assert "on one side of every split: 0002, 0003, 0006, 0010" in caplog.text
