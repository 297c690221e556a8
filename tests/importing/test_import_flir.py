"""Radiometric JPEGs, written here in FLIR's layout and read by flyr: without that library these tests are skipped."""

import io
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flir_files import radiometric_jpeg
from import_source import Folder, degrees, made_from, read, run
from numpy.testing import assert_allclose
from PIL import Image, ImageOps

from src.datasets.images import read_image
from src.datasets.matrices import read_matrix
from src.datasets.radiometric import read_radiometric
from src.datasets.source import Skipped
from src.errors import UserError
from src.prediction.inputs import find_frames, read_thermogram


@pytest.fixture
def camera(source: Folder) -> dict[str, np.ndarray]:
    """Two recordings below a class folder, their temperatures by name."""
    pytest.importorskip("flyr")
    found = {}
    for seed, name in enumerate(("sick/patient 3/IR_0001.jpg", "healthy/patient 4/IR_0001.jpg")):
        found[name] = degrees(seed)
        source.text(name, "")
        (source.root / name).write_bytes(radiometric_jpeg(found[name]))
    return found


def test_radiometric_jpegs_become_matrix_gray_and_snapshot(
    source: Folder, out: Path, camera: dict[str, np.ndarray]
) -> None:
    source.picture("sick/patient 3/IR_0002.jpg")
    assert run(source, out, "--layout", "flir", "--window", "20", "36") == 0
    diagnoses, gray, _ = read(out)
    assert diagnoses == {"0003": 1, "0004": 0}
    assert [frame.name for frame in gray] == ["T0003.1.0.S.2016-03-04.00", "T0004.1.0.S.2016-03-04.00"]
    for name, celsius in camera.items():
        new = made_from(out, name)
        assert set(new) == {".txt", ".jpg", "_snap.jpg"}
        assert_allclose(read_matrix(out / new[".txt"]), celsius, atol=0.01)  # a step of the raw values is 0.007 C
        drawn = np.asarray(Image.open(out / new[".jpg"]).convert("L"), dtype=float)
        assert np.abs(drawn - np.clip((celsius - 20) / 16, 0, 1) * 255).mean() < 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_temperatures_are_turned_as_the_picture_around_them_is(tmp_path: Path, orientation: int) -> None:
    pytest.importorskip("flyr")
    celsius, path = degrees(0), tmp_path / "a.jpg"
    path.write_bytes(radiometric_jpeg(celsius, orientation=orientation))
    marked = Image.fromarray(celsius.astype(np.float32))
    marked.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(marked))
    assert_allclose(read_radiometric(path), expected, atol=0.01)
    assert read_image(path).size == ImageOps.exif_transpose(Image.open(path)).size == expected.shape[::-1]
    (frame,) = find_frames(path, Skipped())
    assert_allclose(read_thermogram(frame, Skipped()).values, expected, atol=0.01)
    path.write_bytes(radiometric_jpeg(celsius, orientation=orientation, shape=celsius.T.shape))
    if orientation < 5:
        with pytest.raises(UserError, match="lie on the side of their picture"):
            read_radiometric(path)
    else:
        assert_allclose(read_radiometric(path), celsius, atol=0.01)


def test_without_flyr_one_line_says_what_to_install(
    source: Folder, out: Path, camera: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "flyr", None)
    assert run(source, out) == 2
    error = capsys.readouterr().err
    assert "pip install flyr==5.1.0" in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_damaged_records_are_told(source: Folder, out: Path, camera: dict[str, np.ndarray], caplog: Any) -> None:
    first = next(iter(camera))
    content = (source.root / first).read_bytes()
    begin = content.index(b"FFF\0")
    (source.root / first).write_bytes(content[: begin + 64] + b"\0" * 64 + content[begin + 128 :])
    with pytest.raises(UserError, match="damaged"):
        read_radiometric(source.root / first)
    assert run(source, out) == 0
    assert [frame.patient for frame in read(out)[1]] == ["0004"]
    assert "the radiometric JPEG is damaged" in caplog.text


@pytest.mark.parametrize("count", [2**31, 2**32 - 1])
def test_a_directory_of_billions_of_records_is_refused(tmp_path: Path, count: int) -> None:
    pytest.importorskip("flyr")
    content = radiometric_jpeg(degrees(0))
    head = content.index(b"FFF\0") + 28
    path = tmp_path / "a.jpg"
    path.write_bytes(content[:head] + count.to_bytes(4, "big") + content[head + 4 :])
    with pytest.raises(UserError, match="damaged"):
        read_radiometric(path)


def test_a_huge_picture_inside_is_not_decoded(tmp_path: Path) -> None:
    pytest.importorskip("flyr")
    large = io.BytesIO()
    Image.new("L", (5000, 5000)).save(large, "PNG")
    raw = struct.pack("<HHH", 2, 5000, 5000).ljust(32, b"\0") + large.getvalue()
    path = tmp_path / "a.jpg"
    path.write_bytes(radiometric_jpeg(degrees(0), raw))
    with pytest.raises(UserError, match="damaged"):
        read_radiometric(path)
