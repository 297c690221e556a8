"""Traits: what a frame tells apart from anatomy, on frames that are drawn for it."""

from datetime import date
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose
from PIL import Image

from src.audit.traits import DECODED_FRAMES, TRAITS, pixel_traits, read_traits
from src.datasets.source import Frame, Skipped


def torso(body: int = 180, background: int = 30, size: tuple[int, int] = (480, 640)) -> Any:
    """A bright ellipse on a dark ground, uint8, with a little grain."""
    frame = np.full((480, 640), background, np.uint8)
    cv2.ellipse(frame, (320, 300), (230, 280), 0, 0, 360, body, -1)
    grain = np.random.default_rng(0).normal(0, 2, frame.shape)
    frame = np.clip(frame + grain, 0, 255).astype(np.uint8)
    return frame if size == (480, 640) else cv2.resize(frame, size[::-1], interpolation=cv2.INTER_AREA)


def write(root: Path, patient: str, name: str, pixels: Any, quality: int = 90, day: date | None = None) -> Frame:
    path = root / patient / f"{name}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=quality)
    return Frame(patient, path.relative_to(root), name, day=day)


def test_what_is_read_without_decoding(tmp_path: Path) -> None:
    frames = [
        write(tmp_path, "P12", "a", torso(), day=date(2013, 5, 1)),
        write(tmp_path, "P12", "b", torso(), day=date(2014, 5, 1)),
        write(tmp_path, "P12", "c", torso(), day=date(2014, 6, 1)),
        write(tmp_path, "x", "d", torso(size=(240, 320)), quality=50),
    ]
    (tmp_path / "P12" / "b.txt").write_text("21.25 21.5\n22.0 21.1\n")
    patients, traits = read_traits(tmp_path, frames, Skipped())
    assert patients == ["P12", "x"]
    assert set(traits) == set(TRAITS)
    expected = {
        "year": (2014, np.nan),
        "patient_number": (12, np.nan),
        "frames": (3, 1),
        "frame_height": (480, 240),
        "frame_width": (640, 320),
        "matrix_decimals": (2, np.nan),
    }
    for name, values in expected.items():
        assert_allclose(traits[name], values, err_msg=name)
    sizes = sorted((tmp_path / frame.path).stat().st_size for frame in frames[:3])
    assert traits["file_size"][0] == sizes[1]
    assert traits["jpeg_step"][1] > 2 * traits["jpeg_step"][0] > 0


@pytest.mark.parametrize(
    ("text", "decimals"),
    [
        ("21.5 22.0\n21.4 21.9", 1),
        ("21,55;22,0;3\r\n21,41;21,9;4", 2),
        ("21 22 23\n24 25 26\n", 0),
        ("2.155e+01 2.2e+01 2.1e+01", 3),
        (" ".join(["30.125"] * 3000), 3),
        ("", np.nan),
        ("no numbers here", np.nan),
    ],
)
def test_decimals_of_the_matrix(tmp_path: Path, text: str, decimals: float) -> None:
    frame = write(tmp_path, "1", "a", torso())
    (tmp_path / "1" / "a.txt").write_text(text)
    assert_allclose(read_traits(tmp_path, [frame], Skipped())[1]["matrix_decimals"], [decimals])


def test_few_frames_of_many_are_decoded_and_damaged_ones_are_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [write(tmp_path, "1", f"{number:02d}", torso(body=100 + 5 * number)) for number in range(9)]
    (tmp_path / frames[3].path).write_bytes(b"no image")
    decoded = []
    real = Image.Image.convert
    monkeypatch.setattr(Image.Image, "convert", lambda image, mode: decoded.append(mode) or real(image, mode))
    skipped = Skipped()
    _, traits = read_traits(tmp_path, frames, skipped)
    assert len(decoded) == DECODED_FRAMES
    assert skipped.reasons == {"not audited: frames that cannot be read as images": [str(frames[3].path)]}
    assert traits["frames"] == [9]
    assert_allclose(traits["gray_mean"], pixel_traits(torso(body=120))["gray_mean"], atol=1)


def test_pixel_traits_follow_what_they_are_named_after() -> None:
    plain = pixel_traits(torso())
    assert_allclose([plain["background_level"], plain["border_level"]], [30, 0], atol=2)
    assert_allclose(plain["gray_range"], 150, atol=5)
    assert plain["marker"] < 10
    assert_allclose(pixel_traits(torso(background=60))["background_level"], 60, atol=2)
    assert_allclose(pixel_traits(torso(body=120))["gray_range"], 90, atol=5)

    framed = torso()
    framed[:, :10] = framed[:, -10:] = framed[:10] = framed[-10:] = 0
    assert pixel_traits(framed)["border_level"] < -20

    marked = torso()
    cv2.rectangle(marked, (300, 410), (350, 460), 60, -1)
    assert_allclose(pixel_traits(marked)["marker"], 120, atol=10)
    elsewhere = torso()
    cv2.rectangle(elsewhere, (300, 100), (350, 150), 60, -1)
    assert pixel_traits(elsewhere)["marker"] < 10

    coarse = cv2.resize(cv2.resize(torso(), (160, 120), interpolation=cv2.INTER_AREA), (640, 480))
    assert pixel_traits(coarse)["sharpness"] < 0.5 * plain["sharpness"]


@pytest.mark.parametrize("size", [(24, 32), (120, 160), (960, 1280)])
def test_gray_levels_do_not_depend_on_the_stored_size(size: tuple[int, int]) -> None:
    plain, other = pixel_traits(torso()), pixel_traits(torso(size=size))
    for name in ("gray_mean", "gray_range", "background_level"):
        assert_allclose(other[name], plain[name], atol=4, err_msg=name)


def test_a_frame_without_anything_has_traits_all_the_same() -> None:
    flat = pixel_traits(np.full((48, 64), 90, np.uint8))
    assert flat["gray_mean"] == 90
    assert flat["gray_range"] == flat["marker"] == flat["sharpness"] == 0
