"""The frame cache: whatever a folder holds is decoded, noted or skipped, once, and again when a file changes."""

import io
import json
import os
import struct
import time
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from src.classes import Classes
from src.datasets import frame_cache, images
from src.datasets.annotations import AnnotatedImage
from src.datasets.frame_cache import FrameCache, open_cache, read_frame
from src.datasets.source import Frame, Skipped
from src.datasets.torch_datasets import RegionDataset
from src.errors import UserError
from src.settings import Modality

SIZE = (24, 32)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (3, 4, *shape[2:]), dtype=np.uint8)
    return cv2.resize(small, shape[1::-1], interpolation=cv2.INTER_CUBIC)


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, format="JPEG", quality=95)
    return path


def opened(root: Path, modality: Modality = "gray") -> tuple[FrameCache, dict[str, list[str]]]:
    frames = [Frame("0001", path.relative_to(root), path.stem) for path in sorted(root.rglob("*.jpg"))]
    skipped = Skipped()
    return open_cache(root.parent / "cache", root, frames, modality, SIZE, skipped), skipped.reasons


def test_gray_frame_is_kept_as_it_is(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", noise(*SIZE))
    pixels, _, notes = read_frame(path, "gray", SIZE)
    assert (pixels.shape, pixels.dtype, notes) == ((1, *SIZE), np.uint8, [])
    assert_array_equal(pixels[0], np.asarray(Image.open(path)))


def test_gray_frame_stored_as_three_channels_needs_no_note(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", np.repeat(noise(*SIZE)[..., None], 3, axis=-1))
    pixels, _, notes = read_frame(path, "gray", SIZE)
    assert notes == []
    assert_allclose(pixels[0], noise(*SIZE), atol=12)


def test_gray_frame_in_colour_is_turned_to_gray(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", noise(*SIZE, 3))
    pixels, _, notes = read_frame(path, "gray", SIZE)
    assert notes == ["gray frames in colour, turned to gray by luminance"]
    assert_array_equal(pixels[0], np.asarray(Image.open(path).convert("L")))


def test_heat_frame_keeps_its_channels_in_order(tmp_path: Path) -> None:
    red = np.zeros((*SIZE, 3), np.uint8)
    red[..., 0] = 250
    pixels, _, notes = read_frame(save(tmp_path / "a.jpg", red), "heat", SIZE)
    assert (pixels.shape, notes) == ((3, *SIZE), [])
    assert pixels[0].min() > 230
    assert pixels[1:].max() < 20


def test_heat_frame_of_one_channel_is_repeated(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", noise(*SIZE))
    pixels, _, notes = read_frame(path, "heat", SIZE)
    assert notes == ["heat frames of one channel, repeated three times"]
    assert_array_equal(pixels, np.repeat(np.asarray(Image.open(path))[None], 3, axis=0))


def test_a_region_lies_where_it_is_seen_in_a_frame_of_another_aspect(tmp_path: Path) -> None:
    shown = np.zeros((96, 72), np.uint8)  # portrait, in a frame that is wider than high
    shown[24:48, 16:40] = 255
    path = save(tmp_path / "data" / "a.jpg", shown)
    cache, _ = opened(tmp_path / "data")
    outline = np.array([[32.0, 48], [80, 48], [80, 96], [32, 96]])  # drawn at twice the size
    regions = {cache.frames[0]: AnnotatedImage(path.name, 192, 144, [(0, [outline])])}
    batch = RegionDataset(cache, regions, Classes(("spot", "background"), 1)).everything()
    assert_allclose(batch["target"][0, 0], batch["frame"][0, 0] / 255, atol=0.3)
    assert batch["target"][0, 0].sum() == pytest.approx(6 * 6, rel=0.05)


@pytest.mark.parametrize("modality", ["gray", "heat"])
@pytest.mark.parametrize("factor", [2, 0.5])
def test_other_size_is_resized(tmp_path: Path, modality: Modality, factor: float) -> None:
    stored = (int(SIZE[0] * factor), int(SIZE[1] * factor))
    path = save(tmp_path / "a.jpg", noise(*stored) if modality == "gray" else noise(*stored, 3))
    pixels, _, notes = read_frame(path, modality, SIZE)
    assert pixels.shape[1:] == SIZE
    assert notes == [f"{modality} frames of another size, resized to 24 x 32"]
    before = np.asarray(Image.open(path)).astype(float)
    assert pixels.mean() == pytest.approx(before.mean(), abs=2)
    if factor == 2 and modality == "gray":
        means = before.reshape(SIZE[0], 2, SIZE[1], 2).mean((1, 3))
        assert_allclose(pixels[0], means, atol=0.51)


def test_bad_files_are_skipped_with_their_reason(tmp_path: Path) -> None:
    root = tmp_path / "data"
    good = save(root / "a.jpg", noise(*SIZE))
    (root / "b.jpg").write_bytes(good.read_bytes()[: good.stat().st_size * 3 // 4])
    (root / "c.jpg").write_text("this is no image")
    (root / "d.jpg").write_bytes(b"")
    save(root / "e.jpg", noise(*SIZE, seed=1))
    cache, reasons = opened(root)
    assert [frame.name for frame in cache.frames] == ["a", "e"]
    assert reasons == {"truncated frames": ["b.jpg"], "frames that cannot be read as images": ["c.jpg", "d.jpg"]}
    # Row i is frame i, whatever was skipped between.
    for row, name in enumerate("ae"):
        assert_array_equal(cache.read([row])[0, 0], np.asarray(Image.open(root / f"{name}.jpg")))


def dds() -> bytes:
    """A header of a pixel format that Pillow knows by name only."""
    return (
        b"DDS "
        + struct.pack("<7I", 124, 0x1007, 8, 8, 0, 0, 0)
        + bytes(44)
        + struct.pack("<8I", 32, 0, *[0] * 6)
        + bytes(20)
    )


def encoded(kind: str, pixels: Image.Image) -> bytes:
    file = io.BytesIO()
    pixels.save(file, kind)
    return file.getvalue()


GRAY = Image.new("L", SIZE[::-1])
BAD_BYTES = {
    "a format that no camera writes": encoded("PPM", GRAY),
    "a DDS of no pixel format": dds(),
    "a PNG whose header is cut short": b"\x89PNG\r\n\x1a\n"
    + struct.pack(">I", 4)
    + b"IHDR"
    + bytes(4)
    + struct.pack(">I", zlib.crc32(b"IHDR" + bytes(4))),
    "colours that have no RGB": encoded("TIFF", Image.new("LAB", SIZE[::-1])),
}


@pytest.mark.parametrize("content", BAD_BYTES.values(), ids=BAD_BYTES.keys())
def test_every_decoder_error_is_one_of_the_reasons(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "truncated broken"  # words of Pillow's messages, which name the file too
    folder.mkdir()
    path = folder / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"^frames that cannot be read as images$"):
        read_frame(path, "gray", SIZE)


@settings(max_examples=200)
@given(
    kind=st.sampled_from(["JPEG", "PNG", "BMP", "TIFF"]),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.integers(0, 300),
)
def test_damaged_bytes_give_a_frame_or_a_reason(
    kind: str, changes: list[tuple[int, int]], cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(encoded(kind, Image.fromarray(noise(*SIZE, 3))))
    for place, value in changes:
        content[place % len(content)] = value
    path = tmp_path_factory.getbasetemp() / "damaged.jpg"
    path.write_bytes(content[: len(content) - cut])
    try:
        pixels, _, _ = read_frame(path, "heat", SIZE)
    except ValueError as error:
        reasons = (
            "truncated frames",
            "frames that cannot be read as images",
            "frames that declare more than 25 megapixels",
        )
        assert str(error) in reasons  # noqa: PT017
    else:
        assert pixels.shape == (3, *SIZE)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_other_formats_of_cameras_are_read_whatever_the_suffix(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(kind, Image.fromarray(noise(*SIZE))))
    assert_array_equal(read_frame(path, "gray", SIZE)[0][0], noise(*SIZE))


def test_a_broken_link_is_skipped_and_read_once_it_is_mended(tmp_path: Path) -> None:
    root = tmp_path / "data"
    save(root / "a.jpg", noise(*SIZE))
    (root / "b.jpg").symlink_to(tmp_path / "elsewhere.jpg")
    cache, reasons = opened(root)
    assert [frame.name for frame in cache.frames] == ["a"]
    assert reasons == {"frames that cannot be read as images": ["b.jpg"]}
    save(tmp_path / "elsewhere.jpg", noise(*SIZE))
    assert [frame.name for frame in opened(root)[0].frames] == ["a", "b"]


def test_a_huge_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.jpg", noise(*SIZE))
    monkeypatch.setattr(images, "MAX_PIXELS", SIZE[0] * SIZE[1] - 1)
    with pytest.raises(ValueError, match="megapixels"):
        read_frame(path, "gray", SIZE)


def test_rows_come_in_the_order_asked_for(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for number in range(70):  # more than are decoded at once
        save(root / f"{number:03d}.jpg", np.full(SIZE, 3 * number, np.uint8))
    cache, _ = opened(root)
    read = cache.read([69, 0, 64, 0])
    assert tuple(read.shape) == (4, 1, *SIZE)
    assert_allclose(read.float().mean((1, 2, 3)), [207, 0, 192, 0], atol=1)


def test_second_open_does_not_decode_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "data"
    save(root / "a.jpg", noise(2 * SIZE[0], 2 * SIZE[1], 3))
    (root / "b.jpg").write_text("this is no image")
    first, reasons = opened(root)
    monkeypatch.setattr(frame_cache, "read_frame", lambda *_: pytest.fail("decoded again"))
    second, again = opened(root)
    assert second == first
    assert again == reasons  # the notes are told on every run
    assert len(again) == 3


def test_changed_file_is_decoded_again(tmp_path: Path) -> None:
    root = tmp_path / "data"
    path = save(root / "a.jpg", np.full(SIZE, 20, np.uint8))
    first, _ = opened(root)
    assert first.read([0]).float().mean() == pytest.approx(20, abs=1)
    save(path, np.full(SIZE, 200, np.uint8))
    later = time.time_ns() + 10**9
    os.utime(path, ns=(later, later))
    second, _ = opened(root)
    assert second.path != first.path
    assert second.read([0]).float().mean() == pytest.approx(200, abs=1)


def test_modality_and_new_files_have_their_own_cache(tmp_path: Path) -> None:
    root = tmp_path / "data"
    save(root / "a.jpg", noise(*SIZE))
    paths = {opened(root)[0].path, opened(root, "heat")[0].path}
    save(root / "b.jpg", noise(*SIZE))
    paths.add(opened(root)[0].path)
    assert len(paths) == 3


def test_build_that_was_cut_short_is_done_again(tmp_path: Path) -> None:
    root = tmp_path / "data"
    save(root / "a.jpg", noise(*SIZE))
    first, _ = opened(root)
    pixels = first.read([0])
    first.path.with_suffix(".json").unlink()
    first.path.write_bytes(b"")
    assert_array_equal(opened(root)[0].read([0]), pixels)


@pytest.mark.parametrize(
    "index", [None, "{}", "[]", "{", '{"usable": 3, "notes": {}}', '{"usable": ["a.jpg"], "notes": []}']
)
def test_damaged_cache_is_built_again(tmp_path: Path, index: str | None) -> None:
    root = tmp_path / "data"
    save(root / "a.jpg", noise(*SIZE))
    first, _ = opened(root)
    pixels = first.read([0])
    if index is None:
        first.path.write_bytes(first.path.read_bytes()[:-1])
    else:
        first.path.with_suffix(".json").write_text(index)
    again, reasons = opened(root)
    assert_array_equal(again.read([0]), pixels)
    assert reasons == {}


@pytest.mark.parametrize("content", [None, b"", b"short"])
def test_cache_lost_during_a_run_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    root = tmp_path / "data"
    save(root / "a.jpg", noise(*SIZE))
    cache, _ = opened(root)
    cache.path.unlink()
    if content is not None:
        cache.path.write_bytes(content)
    with pytest.raises(UserError, match="deleted or changed during the run") as caught:
        cache.read([0])
    assert str(caught.value).startswith(str(cache.path))
    assert "\n" not in str(caught.value)


def test_nothing_usable_is_an_error(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    for name in "ab":
        (root / f"{name}.jpg").write_text("this is no image")
    for _ in range(2):  # the second time from the cache
        with pytest.raises(UserError, match="none of 2 gray frames can be decoded") as caught:
            opened(root)
        assert "frames that cannot be read as images: 2" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_what_is_no_plain_file_is_skipped_without_waiting(tmp_path: Path) -> None:
    root = tmp_path / "data"
    save(root / "a.jpg", noise(*SIZE))
    os.mkfifo(root / "b.jpg")
    (root / "c.jpg").mkdir()
    (root / "d.jpg").symlink_to("/dev/zero")
    cache, reasons = opened(root)
    assert len(cache.frames) == 1
    assert reasons == {"frames that cannot be read as images": ["b.jpg", "c.jpg", "d.jpg"]}


def test_a_jpeg_of_endless_scans_is_refused(tmp_path: Path) -> None:
    content = encoded("JPEG", Image.fromarray(noise(*SIZE)))
    scan = content[content.index(b"\xff\xda") : -2]
    path = tmp_path / "a.jpg"
    path.write_bytes(content[:-2] + scan * 200 + content[-2:])
    with pytest.raises(ValueError, match="cannot be read as images"):
        read_frame(path, "gray", SIZE)


def test_a_small_file_of_a_huge_picture_is_not_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded("PNG", Image.new("1", (6000, 6000))))  # 36 megapixels in 5 kilobytes
    with pytest.raises(ValueError, match="more than 25 megapixels"):
        read_frame(path, "gray", SIZE)


@pytest.mark.parametrize("usable", [["b.jpg"], ["a.jpg", "a.jpg"], "a.jpg", [1], [["a.jpg"]], None])
def test_an_index_of_other_frames_is_built_again(tmp_path: Path, usable: object) -> None:
    root = tmp_path / "data"
    save(root / "a.jpg", noise(*SIZE))
    expected = opened(root)[0].read([0])
    (index,) = (tmp_path / "cache").glob("*.json")
    index.write_text(json.dumps({"usable": usable, "notes": {}}))
    assert_array_equal(opened(root)[0].read([0]), expected)
