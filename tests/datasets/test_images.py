"""Pictures are pixels as a person sees them, whatever the file is called and however it stores them."""

import io
import struct
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from src.datasets.formats import inspect_file
from src.datasets.images import read_header, read_image, read_numbers, turned
from src.datasets.matrices import read_matrix
from src.datasets.picture_headers import webp_pixels
from src.datasets.snapshots import PALETTES, is_photograph, palette_colours
from src.settings import REPOSITORY

ROWS, COLUMNS = np.mgrid[:24, :32]
GRAY = np.uint8(20 + 4 * COLUMNS + 3 * ROWS)
COLOURS = np.dstack([GRAY, 255 - GRAY, np.uint8(5 * ROWS)])
DEEP = np.uint16(GRAY) * 40 + 500


def saved(path: Path, pixels: np.ndarray | Image.Image, kind: str = "PNG", **options: Any) -> Path:
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(path, kind, **options)
    return path


def with_orientation(number: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = number
    return exif


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True}), ("JPEG", {"quality": 95, "subsampling": 0})],
)
def test_the_orientation_that_a_file_tells_is_applied(
    tmp_path: Path, kind: str, options: dict[str, Any], orientation: int
) -> None:
    path = saved(tmp_path / "a.jpg", COLOURS, kind, exif=with_orientation(orientation), **options)
    shown = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    assert np.array_equal(np.asarray(read_image(path)), shown)
    assert read_header(path)[0] == shown.shape[:2]
    assert np.array_equal(turned(COLOURS, orientation).shape, shown.shape)
    deep = saved(tmp_path / "b.png", DEEP, "PNG", exif=with_orientation(orientation))
    assert np.array_equal(read_numbers(deep), turned(DEEP, orientation))


def tiff(values: np.ndarray, orientation: int = 1, order: str = "<", **tags: int) -> bytes:
    """An uncompressed TIFF of numbers [H, W] in two strips; `tags` such as t259 replace the usual ones."""
    values = values.astype(values.dtype.newbyteorder(order))
    half = values.shape[0] // 2 * values.shape[1] * values.itemsize
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    found = {256: values.shape[1], 257: values.shape[0], 258: values.itemsize * 8, 259: 1, 262: 1, 277: 1}
    found |= {274: orientation, 278: values.shape[0] // 2, 339: kind} | {int(name[1:]): n for name, n in tags.items()}
    begin = 8 + 2 + (len(found) + 2) * 12 + 4 + 16
    strips = {273: begin - 16, 279: begin - 8}
    file = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(found) + 2)
    for number in sorted(found | strips):
        entry = (number, 4, 2, strips[number]) if number in strips else (number, 4, 1, found[number])
        file += struct.pack(f"{order}HHII", *entry)
    file += struct.pack(f"{order}I4I", 0, begin, begin + half, half, values.nbytes - half)
    return file + values.tobytes()


@pytest.mark.parametrize("kind", ["f2", "f8", "u8", "i8"])
def test_tiffs_of_numbers_that_pillow_does_not_know_are_read(tmp_path: Path, kind: str) -> None:
    path, values = tmp_path / "a.tif", DEEP.astype(kind)
    for orientation, order in ((1, "<"), (6, ">"), (2, "<")):
        path.write_bytes(tiff(values, orientation, order))
        assert np.array_equal(read_numbers(path), turned(values, orientation))
    for words, content in {
        "compressed": tiff(values, t259=8),
        "truncated": tiff(values)[:-1],
        "cannot be read": tiff(values, t257=1 << 30),
    }.items():
        path.write_bytes(content)
        with pytest.raises(ValueError, match=words):
            read_image(path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_tiffs_of_three_equal_channels_of_16_bits_are_turned_once(tmp_path: Path, orientation: int) -> None:
    path = tmp_path / "a.tif"
    stored = np.repeat(DEEP, 3, axis=1)
    path.write_bytes(tiff(stored, orientation, t256=32, t277=3, t262=2))
    assert np.array_equal(read_numbers(path), turned(DEEP, orientation))
    path.write_bytes(tiff(stored, orientation, t256=32, t277=3, t262=2, t284=2))
    with pytest.raises(ValueError, match="channels are stored apart"):
        read_numbers(path)


def test_transparent_pixels_are_black(tmp_path: Path) -> None:
    alpha = np.full(GRAY.shape, 255, np.uint8)
    alpha[:, :16] = 0
    seen = GRAY * (alpha // 255)
    layered = np.dstack([GRAY, GRAY, GRAY, alpha])
    for mode in ("RGBA", "LA"):
        path = saved(tmp_path / "a.png", Image.fromarray(layered).convert(mode))
        assert np.array_equal(np.asarray(read_image(path).convert("L")), seen)
    keyed = saved(tmp_path / "a.png", GRAY, transparency=int(GRAY[0, 0]))
    assert np.array_equal(np.asarray(read_image(keyed)), np.where(GRAY[0, 0] == GRAY, 0, GRAY))
    with pytest.raises(ValueError, match="transparent everywhere"):
        read_image(saved(tmp_path / "a.png", np.dstack([layered[..., :3], 0 * alpha])))


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "RGB"])
def test_every_way_to_store_colours_is_read_as_pillow_shows_it(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(COLOURS).convert(mode)
    found = read_image(saved(tmp_path / "a.tif", image, "TIFF"))
    assert found.mode == ("L" if mode in ("1", "L") else "RGB")
    assert np.array_equal(np.asarray(found.convert("RGB")), np.asarray(image.convert("RGB")))


def test_more_than_eight_bits_are_drawn_over_their_own_range(tmp_path: Path) -> None:
    expected = np.rint((DEEP - 500.0 - DEEP.min() + 500) / np.ptp(DEEP) * 255)
    files = {"a.png": cv2.imencode(".png", DEEP)[1], "b.tif": cv2.imencode(".tif", DEEP)[1]}
    files["c.png"] = cv2.imencode(".png", np.dstack([DEEP] * 3))[1]  # of which Pillow keeps the upper 8 bits
    files["d.png"] = cv2.imencode(".png", np.dstack([DEEP, DEEP, DEEP, np.full_like(DEEP, 65535)]))[1]
    for name, content in files.items():
        (tmp_path / name).write_bytes(content.tobytes())
        assert np.array_equal(read_numbers(tmp_path / name), DEEP), name
        assert np.array_equal(np.asarray(read_image(tmp_path / name)), expected), name
        assert inspect_file(tmp_path / name)[0] == "gray"
    white_is_zero = saved(tmp_path / "e.tif", Image.fromarray(DEEP), "TIFF", tiffinfo={262: 0})
    assert np.array_equal(np.asarray(read_image(white_is_zero)), 255 - expected)


def test_more_than_one_page_is_refused_and_a_preview_is_no_page(tmp_path: Path) -> None:
    pages = [Image.fromarray(np.roll(GRAY, shift)) for shift in range(3)]
    for kind in ("GIF", "PNG", "WEBP", "TIFF"):
        path = saved(tmp_path / "a.jpg", pages[0], kind, save_all=True, append_images=pages[1:])
        for read in (read_image, read_numbers, read_header, inspect_file):
            with pytest.raises(ValueError, match="several frames in one file"):
                read(path)
        assert np.array_equal(np.asarray(read_image(saved(path, GRAY, kind, lossless=True)).convert("L")), GRAY)
    preview = pages[1].resize((8, 6))
    preview.encoderinfo = {"tiffinfo": {254: 1}}
    saved(tmp_path / "b.tif", pages[0], "TIFF", save_all=True, append_images=[preview])
    assert np.array_equal(np.asarray(read_image(tmp_path / "b.tif")), GRAY)


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 80}, {"exif": with_orientation(1)}])
def test_a_webp_that_declares_too_many_pixels_is_refused_before_memory_is_taken(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    path = saved(tmp_path / "a.webp", GRAY, "WEBP", **options)
    content = bytearray(path.read_bytes())
    assert webp_pixels(bytes(content)) == GRAY.size
    for place in {b"VP8X": (24, 27), b"VP8L": (22, 23), b"VP8 ": (26, 28)}[bytes(content[12:16])]:
        content[place : place + 2] = b"\xff\x3f"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="megapixels"):
        read_image(path)


def test_masks_and_photographs_are_no_frames(tmp_path: Path) -> None:
    for name, pixels in {"two.png": np.uint8(GRAY > 90) * 255, "labels.png": GRAY // 32}.items():
        with pytest.raises(ValueError, match="masks and labels"):
            inspect_file(saved(tmp_path / name, pixels))
    assert inspect_file(saved(tmp_path / "flat.png", np.zeros_like(GRAY)))[0] == "gray"
    person = np.hypot(ROWS - 12, COLUMNS - 16) < 9
    photograph = np.where(person[..., None], (220, 170, 140), (70, 100, 150)) + np.arange(32)[:, None] % 7
    with pytest.raises(ValueError, match="photographs"):
        inspect_file(saved(tmp_path / "DC_0001.jpg", np.uint8(photograph), "JPEG", quality=95))
    for name in PALETTES:
        assert not is_photograph(palette_colours(name)[GRAY])
    iron = np.array([(0, 0, 10), (130, 0, 155), (225, 70, 50), (255, 205, 50), (255, 255, 240)], np.float64)
    drawn = np.dstack([np.interp(GRAY, np.linspace(20, 215, 5), channel) for channel in iron.T])
    assert not is_photograph(np.uint8(drawn))


def test_arrays_of_numpy_files(tmp_path: Path) -> None:
    for pixels in (GRAY, COLOURS):
        np.save(tmp_path / "a.npy", pixels)
        np.savez_compressed(tmp_path / "b.npz", frame=pixels)
        for name in ("a.npy", "b.npz"):
            assert read_numbers(tmp_path / name) is None
            assert np.array_equal(np.asarray(read_image(tmp_path / name)), pixels)
    refused = {
        "several frames": np.zeros((3, 24, 32)),
        "arrays of bool": GRAY > 3,
        "cannot be read": np.array([{"a": 1}], dtype=object),
        "5 dimensions": np.zeros((1, 1, 1, 2, 2)),
    }
    for words, array in refused.items():
        np.save(tmp_path / "c.npy", array, allow_pickle=True)
        with pytest.raises(ValueError, match=words):
            read_image(tmp_path / "c.npy")
    np.savez(tmp_path / "c.npz", one=GRAY, other=GRAY)
    with pytest.raises(ValueError, match="archives of 2 arrays"):
        read_image(tmp_path / "c.npz")
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**7, 10**7)})
    (tmp_path / "c.npy").write_bytes(header.getvalue())
    with pytest.raises(ValueError, match="cannot be read"):
        read_image(tmp_path / "c.npy")


class _Dicom(dict[str, Any]):
    """As much of a DICOM data set as is asked for."""

    pixel_array: np.ndarray


def test_dicom_files_are_read_where_pydicom_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(bytes(128) + b"DICM")
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(ValueError, match="pip install pydicom"):
        inspect_file(path)

    def holds(pixels: np.ndarray, **elements: Any) -> None:
        data = {"Rows": 24, "Columns": 32, "PhotometricInterpretation": "MONOCHROME2", "PixelData": 1}
        data = _Dicom({name: value for name, value in (data | elements).items() if value is not None})
        data.pixel_array = pixels
        monkeypatch.setitem(sys.modules, "pydicom", types.SimpleNamespace(dcmread=lambda file: data))

    holds(DEEP)
    assert inspect_file(path)[0] == "gray"
    dark_to_bright = np.asarray(read_image(path))
    holds(DEEP, PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(np.asarray(read_image(path)), 255 - dark_to_bright)
    holds(GRAY, PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(np.asarray(read_image(path)), 255 - GRAY)
    holds(DEEP, RescaleSlope="", RescaleIntercept="")  # as anonymisers leave them
    assert np.array_equal(np.asarray(read_image(path)), dark_to_bright)
    holds(DEEP, RescaleSlope=-1)
    assert np.array_equal(np.asarray(read_image(path)), 255 - dark_to_bright)
    holds(np.uint8(np.interp(DEEP, [DEEP.min(), DEEP.max()], [5, 90])))  # no degrees: nothing scales them
    assert inspect_file(path)[0] == "gray"
    holds(DEEP, RescaleSlope=0.001, RescaleIntercept=25)
    assert inspect_file(path)[0] == "matrix"
    assert read_numbers(path) == pytest.approx(DEEP * 0.001 + 25)
    for elements in ({"PhotometricInterpretation": "RGB"}, {"NumberOfFrames": 4}, {"Rows": 10**6}, {"PixelData": None}):
        holds(DEEP, **elements)
        with pytest.raises(ValueError, match=r"DICOM files without one|several frames"):
            inspect_file(path)


def test_a_real_dicom_file(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    data = pydicom.Dataset()
    data.Rows, data.Columns, data.SamplesPerPixel, data.PhotometricInterpretation = 24, 32, 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit, data.PixelRepresentation, data.PixelData = 15, 0, DEEP.tobytes()
    data.SOPClassUID, data.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    for name in ("IM0001", "1.2.840.113619", "0001.IMA"):
        data.save_as(tmp_path / name, enforce_file_format=True)
        assert inspect_file(tmp_path / name)[0] == "gray"
        assert np.array_equal(read_numbers(tmp_path / name), DEEP)
    data.PixelData = np.rint(DEEP * 0.1 + 29000).astype(np.uint16).tobytes()
    data.save_as(tmp_path / "1.2.840.113620", enforce_file_format=True)
    assert inspect_file(tmp_path / "1.2.840.113620")[0] == "matrix"
    found = read_matrix(tmp_path / "1.2.840.113620")
    assert found == pytest.approx(np.rint(DEEP * 0.1 + 29000) / 100 - 273.15, abs=1e-3)


READ_IN_THREADS = """
import sys, warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from src.datasets.images import read_numbers
from src.errors import RefusedError

def read(path):
    try:
        read_numbers(path)
    except RefusedError:
        pass

before = list(warnings.filters)
with ThreadPoolExecutor(8) as pool:
    list(pool.map(read, sorted(Path(sys.argv[1]).iterdir()) * 20))
assert warnings.filters == before
"""


def test_what_libraries_say_of_odd_files_reaches_nobody_from_threads(tmp_path: Path) -> None:
    saved(tmp_path / "huge.png", Image.new("1", (12_000, 12_000)))  # more than Pillow warns of
    np.save(tmp_path / "old.npy", np.full((4, 6), 30.5))
    content = (tmp_path / "old.npy").read_bytes()
    (tmp_path / "old.npy").write_bytes(content.replace(b"(4, 6), }  ", b"(4L, 6L), }"))  # as Python 2 wrote it
    command = [sys.executable, "-c", READ_IN_THREADS, str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
