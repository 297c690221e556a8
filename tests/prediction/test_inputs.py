"""What becomes of files and arrays, compared with what the import and the data layer make of them."""

import importlib.util
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from flir_files import radiometric_jpeg
from PIL import Image

from src.datasets.frame_cache import open_cache, read_frame
from src.datasets.matrices import read_matrix
from src.datasets.snapshots import (
    derive_snapshots,
    encode_jpeg,
    make_snapshot,
    read_gray,
    recognised_palette,
)
from src.datasets.source import Frame, Skipped
from src.datasets.torch_datasets import FrameDataset, palette_of
from src.errors import UserError
from src.importing.folder import ImportOptions, import_folder
from src.phantom.dataset import write_phantom
from src.prediction.inputs import as_frame, find_frames, from_array, read_thermogram
from src.prediction.record import Record, read_record, save_record


def matrix_file(path: Path, shape: tuple[int, int] = (120, 160), seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.random.default_rng(seed).uniform(24, 36, shape)
    np.savetxt(path, rows, fmt="%.2f")
    return path


def picture(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def only(path: Path, notes: Skipped):  # type: ignore[no-untyped-def]
    (frame,) = find_frames(path, notes)
    return read_thermogram(frame, notes)


@pytest.mark.parametrize("modality", ["gray", "heat"])
@pytest.mark.parametrize("shape", [(120, 160), (128, 160), (160, 120)])
def test_a_matrix_becomes_the_very_frame_that_import_and_training_make(
    tmp_path: Path, modality: str, shape: tuple[int, int]
) -> None:
    source = matrix_file(tmp_path / "source" / "T0012.txt", shape).parent
    import_folder(source, tmp_path / "out", ImportOptions())
    (imported,) = (tmp_path / "out").rglob("*_snap.jpg" if modality == "heat" else "*00.jpg")
    expected, _, _ = read_frame(imported, modality, (60, 80))
    found, _ = as_frame(only(source, Skipped()), modality, (60, 80))
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("modality", ["gray", "heat"])
@pytest.mark.parametrize("shape", [(48, 64), (51, 64), (32, 24), (20, 32)])
def test_a_picture_is_never_stretched_and_training_sees_it_as_prediction_does(
    tmp_path: Path, modality: str, shape: tuple[int, int]
) -> None:
    size = (24, 32)
    pixels = np.random.default_rng(5).integers(0, 256, (*shape, 3) if modality == "heat" else shape, np.uint8)
    path = picture(tmp_path / "a.png", pixels)
    found, box, notes = read_frame(path, modality, size)
    expected, same_box = as_frame(only(path, Skipped()), modality, size)
    assert np.array_equal(found, expected)
    assert box == same_box
    assert box.content[0] / box.content[1] == pytest.approx(shape[0] / shape[1], rel=0.03)
    assert any("filled up" in note for note in notes) == (shape != (48, 64))


def test_files_of_one_name_are_one_frame_and_temperatures_win(tmp_path: Path) -> None:
    levels = np.random.default_rng(1).integers(0, 256, (120, 160), np.uint8)
    matrix = matrix_file(tmp_path / "deep" / "er" / "a.txt")
    picture(tmp_path / "deep" / "er" / "a.png", levels)
    picture(tmp_path / "b.png", levels)
    picture(tmp_path / "b.bmp", levels)
    frames = find_frames(tmp_path, Skipped())
    assert [frame.name.as_posix() for frame in frames] == ["b", "b_png", "deep/er/a"]
    found = read_thermogram(frames[2], Skipped())
    assert found.unit == "C"
    assert np.array_equal(found.values, read_matrix(matrix))
    assert found.file.as_posix() == "deep/er/a.png"
    assert np.array_equal(found.gray_picture(), levels)
    assert read_thermogram(frames[0], Skipped()).unit == "gray level"


def test_what_does_not_fit_together_is_left_aside_with_a_note(tmp_path: Path) -> None:
    matrix_file(tmp_path / "a.txt", (120, 160))
    picture(tmp_path / "a.png", np.zeros((120, 120), np.uint8))
    (tmp_path / "b.txt").write_text("1 2 3 4 5 6 7 8 9\n1 2\n", encoding="utf-8")
    picture(tmp_path / "b.png", np.zeros((12, 16), np.uint8))
    notes = Skipped()
    one, other = (read_thermogram(frame, notes) for frame in find_frames(tmp_path, notes))
    assert one.levels is None
    assert other.unit == "gray level"
    assert len(notes.reasons) == 2


def test_unreadable_files_say_why(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8 no picture")
    (tmp_path / "b.md").write_text("words", encoding="utf-8")
    notes = Skipped()
    (tmp_path / "c.csv").write_text("x|y", encoding="utf-8")
    with pytest.raises(UserError, match="no frame there"):
        find_frames(tmp_path, notes)
    with pytest.raises(UserError, match=r"tables that do not begin with a row of temperatures .*: 1"):
        import_folder(tmp_path, tmp_path.with_name("out"), ImportOptions())
    assert sorted(notes.reasons) == [
        "files of another kind",
        "frames that cannot be read as images",
        "tables that do not begin with a row of temperatures (of a spreadsheet, save the matrix as CSV)",
    ]
    for path, words in ((tmp_path / "none", "no such file"), (tmp_path / "b.md", "no frame there")):
        with pytest.raises(UserError, match=words):
            find_frames(path, Skipped())


def test_colours_alone_are_heat_and_never_gray(tmp_path: Path) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (30, 40, 3), np.uint8)
    found = only(picture(tmp_path / "a.png", pixels), Skipped())
    assert found.unit == "none"
    assert found.values is None
    assert as_frame(found, "heat", (30, 40))[0].transpose(1, 2, 0).tolist() == pixels.tolist()
    with pytest.raises(UserError, match="false colours"):
        as_frame(found, "gray", (30, 40))


def test_flir_files_are_temperatures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    degrees = np.linspace(20, 36, 60 * 80, dtype=np.float32).reshape(60, 80)
    monkeypatch.setattr("src.datasets.formats.is_radiometric", lambda image: True)
    monkeypatch.setattr("src.datasets.formats.read_radiometric", lambda path: degrees)
    pixels = np.zeros((240, 320), np.uint8)
    found = only(picture(tmp_path / "IR_1.jpg", pixels), Skipped())
    assert found.unit == "C"
    assert found.size == (60, 80)
    np.testing.assert_allclose(found.values, degrees, atol=1e-3)


def test_arrays() -> None:
    gray = np.random.default_rng(0).integers(0, 256, (20, 30), np.uint8)
    assert from_array(gray).unit == "gray level"
    assert np.array_equal(from_array(np.repeat(gray[..., None], 3, 2)).gray_picture(), gray)
    assert from_array(gray.astype(np.float64) / 10 + 20).unit == "C"
    for wrong in (gray.astype(int), gray[None, None], np.full((4, 4), np.nan), gray[:0], np.ma.masked_less(gray, 9)):
        with pytest.raises(UserError, match="array"):
            from_array(wrong)


def test_numbers_of_an_array_are_judged_as_those_of_a_file() -> None:
    celsius = np.linspace(22, 36, 600).reshape(20, 30)
    for values in (celsius * 1.8 + 32, celsius + 273.15, np.uint16(np.rint(celsius * 100 + 27315))):
        notes = Skipped()
        found = from_array(values, notes)
        assert found.unit == "C"
        np.testing.assert_allclose(found.values, celsius, atol=0.006)
        assert len(notes.reasons) == 1
    deep = np.arange(600, dtype=np.uint16).reshape(20, 30) * 100
    assert from_array(deep).unit == "gray level"
    assert from_array(deep).values.max() == 255  # type: ignore[union-attr]
    for wrong in (celsius / 40, celsius * 7, celsius * 100, np.stack([celsius] * 5)):
        with pytest.raises(UserError, match="array"):
            from_array(wrong)


DEEP = np.uint16(np.random.default_rng(8).integers(900, 4000, (120, 160)))
DEGREES = np.round(22 + np.add.outer(np.arange(120) % 50, np.arange(160) / 5) / 6, 2)
CENTIKELVIN = np.uint16(np.rint(DEGREES * 100 + 27315))
LEVELS = np.uint8(DEEP // 16)
COLOURS = make_snapshot(DEGREES)


def as_array(array: np.ndarray, save: Callable[..., None]) -> bytes:
    file = io.BytesIO()
    save(file, array)
    return file.getvalue()


def as_dicom(pixels: np.ndarray) -> bytes:
    """A monochrome DICOM file; empty where pydicom is missing."""
    if importlib.util.find_spec("pydicom") is None:
        return b""
    import pydicom

    data, file = pydicom.Dataset(), io.BytesIO()
    data.Rows, data.Columns, data.SamplesPerPixel, data.PhotometricInterpretation = *pixels.shape, 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit, data.PixelRepresentation, data.PixelData = 15, 0, pixels.tobytes()
    data.SOPClassUID, data.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data.save_as(file, enforce_file_format=True)
    return file.getvalue()


def as_picture(pixels: np.ndarray | Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(file, kind, **options)
    return file.getvalue()


FILES = {
    "spaces.txt": "\n".join(" ".join(map(str, row)) for row in DEGREES).encode(),
    "tabs.tsv": "\n".join("\t".join(map(str, row)) for row in DEGREES).encode("utf-16"),
    "flir.jpg": radiometric_jpeg(DEGREES, orientation=6),
    "gray.jpg": as_picture(LEVELS, "JPEG"),
    "gray.png": as_picture(LEVELS, "PNG"),
    "colours.png": as_picture(COLOURS, "PNG"),
    "transparent.png": as_picture(np.dstack([COLOURS, LEVELS]), "PNG"),
    "keyed.png": as_picture(LEVELS, "PNG", transparency=int(LEVELS[0, 0])),
    "palette.png": as_picture(Image.fromarray(COLOURS).quantize(64), "PNG", transparency=3),
    "deep.png": as_picture(DEEP, "PNG"),
    "deep.tif": as_picture(DEEP, "TIFF"),
    "gray.tif": as_picture(LEVELS, "TIFF"),
    "float.tif": as_picture(DEGREES.astype(np.float32), "TIFF"),
    "double.tif": cv2.imencode(".tif", DEGREES, [cv2.IMWRITE_TIFF_COMPRESSION, 1])[1].tobytes(),
    "gray.bmp": as_picture(LEVELS, "BMP"),
    "colours.webp": as_picture(COLOURS, "WEBP", quality=90),
    "gray.gif": as_picture(LEVELS, "GIF"),
    "gray.jfif": as_picture(LEVELS, "JPEG"),
    "centikelvin.png": as_picture(CENTIKELVIN, "PNG"),
    "turned.jpg": as_picture(
        COLOURS, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    ),
    "gray.npy": as_array(LEVELS, np.save),
    "deep.npy": as_array(DEEP, np.save),
    "big_endian.npy": as_array(np.asfortranarray(DEEP.astype(">u2")), np.save),
    "kelvin.npy": as_array(DEGREES + 273.15, np.save),
    "celsius.npz": as_array(DEGREES, np.savez_compressed),
    "deep.dcm": as_dicom(DEEP),
    "centikelvin.dcm": as_dicom(CENTIKELVIN),
    "camera.csv": b"Emissivity;0,98\n\n"
    + "\n".join(";".join(map(str, row)) for row in DEGREES).replace(".", ",").encode(),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_imported_is_predicted_as_the_file_itself(tmp_path: Path, name: str) -> None:
    optional = {"flir.jpg": "flyr", "deep.dcm": "pydicom", "centikelvin.dcm": "pydicom"}
    if name in optional:
        pytest.importorskip(optional[name])
    folder = tmp_path / "source" / "patient 1"
    folder.mkdir(parents=True)
    (folder / name).write_bytes(FILES[name])
    import_folder(tmp_path / "source", tmp_path / "out", ImportOptions())
    itself, imported = only(folder, Skipped()), only(tmp_path / "out" / "0001", Skipped())
    assert imported.unit == itself.unit
    if name == "turned.jpg":
        assert itself.size == (160, 120)
    if itself.values is not None:
        assert np.array_equal(imported.values, itself.values)
    modalities = ["heat"] if itself.unit == "none" else ["heat", "gray"]
    for modality in modalities:
        expected, box = as_frame(itself, modality, (60, 80))  # type: ignore[arg-type]
        found, same_box = as_frame(imported, modality, (60, 80))  # type: ignore[arg-type]
        assert np.array_equal(found, expected)
        assert box == same_box


@pytest.mark.parametrize("name", ["deep.png", "centikelvin.png", "float.tif", "kelvin.npy"])
def test_more_than_8_bits_under_the_name_of_a_jpeg_are_refused_by_every_reader(tmp_path: Path, name: str) -> None:
    path = tmp_path / "patient 1" / "a.jpg"
    path.parent.mkdir()
    path.write_bytes(FILES[name])
    reason = "pictures of more than 8 bits, whose scale is unknown"
    for read in (
        lambda: find_frames(path, Skipped()),
        lambda: import_folder(tmp_path, tmp_path.with_name("out"), ImportOptions()),
        lambda: read_frame(path, "gray", (60, 80)),
        lambda: read_gray(path),
    ):
        with pytest.raises((UserError, ValueError), match=reason):
            read()


def test_the_palette_of_easy_phantoms_is_recognised_as_the_demo_needs_it(tmp_path: Path) -> None:
    # Skin and background with nothing between them: many of the palette's colours are in no frame.
    write_phantom(tmp_path / "data", 10, seed=7, variety=0.1)
    values = [read_gray(path) for path in sorted(tmp_path.rglob("*.jpg")) if not path.stem.endswith("_snap")]
    for palette in ("jet", "inferno", "turbo"):
        files = [tmp_path / f"{palette}_{number}.jpg" for number in range(len(values))]
        for path, frame in zip(files, values, strict=True):
            path.write_bytes(encode_jpeg(make_snapshot(frame, palette)))
        for size in ((120, 160), (60, 80)):
            frames = np.stack([read_frame(path, "heat", size)[0] for path in files])
            assert recognised_palette(frames) == palette


def test_fewer_than_ten_heat_maps_are_no_ground_for_a_guess_and_the_setting_always_wins(
    tmp_path: Path, phantom: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = sorted(phantom.rglob("*_snap.jpg"))
    frames = [Frame(path.parent.name, path.relative_to(phantom), path.stem) for path in files]
    dataset = FrameDataset(open_cache(tmp_path, phantom, frames, "heat", (60, 80), Skipped()), range(len(frames)))
    caplog.clear()
    assert palette_of(dataset.spread(10)) == "jet"
    assert not caplog.messages
    assert palette_of(dataset.spread(9)) is None
    assert "9 heat maps are too few to tell which palette they are drawn in: jet is assumed" in caplog.text
    assert palette_of(dataset, "COLORMAP_Inferno") == palette_of(dataset.spread(1), "inferno") == "inferno"
    with pytest.raises(UserError, match="unknown palette 'sepia'"):
        palette_of(dataset, "sepia")
    gray = open_cache(tmp_path, phantom, frames, "gray", (60, 80), Skipped())
    assert palette_of(FrameDataset(gray, range(len(frames))), "inferno") is None


def test_a_run_knows_the_palette_of_its_training_and_colours_with_it(tmp_path: Path, phantom: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(phantom, data, ignore=shutil.ignore_patterns("*_snap.jpg"))
    derive_snapshots(data, "inferno")
    files = sorted(data.rglob("*_snap.jpg"))
    frames = [Frame(path.parent.name, path.relative_to(data), path.stem) for path in files]
    cache = open_cache(tmp_path / "cache", data, frames, "heat", (60, 80), Skipped())
    record = Record(palette=palette_of(FrameDataset(cache, range(len(frames)))))
    save_record(tmp_path / "record.pty", record)
    assert read_record(tmp_path / "record.pty", "") == record
    assert record.palette == "inferno"
    expected, _, _ = read_frame(files[0], "heat", (60, 80))
    matrix = only(files[0].with_name(files[0].name.replace("_snap.jpg", ".txt")), Skipped())
    assert np.array_equal(as_frame(matrix, "heat", (60, 80), record.palette)[0], expected)


def test_links_are_not_followed(tmp_path: Path) -> None:
    outside = picture(tmp_path / "outside.png", np.zeros((4, 4), np.uint8))
    (tmp_path / "in").mkdir()
    shutil.copy(outside, tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.png").symlink_to(outside)
    assert len(find_frames(tmp_path / "in", Skipped())) == 1
