"""Radiometric JPEGs, written here in FLIR's layout and read by flyr: without that library these tests are skipped."""

import io
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from import_source import Folder, degrees, made_from, read, run
from numpy.testing import assert_allclose
from PIL import Image

from src.datasets.matrices import read_matrix
from src.datasets.radiometric import read_radiometric
from src.errors import UserError

R1, R2, B, F, OFFSET = 20000.0, 0.0125, 1500.0, 1.0, -7000


def raw_values(celsius: np.ndarray) -> np.ndarray:
    """The camera's 16 bit values of temperatures seen at no distance with emissivity 1, by Planck's law."""
    return np.rint(R1 / (R2 * (np.exp(B / (celsius + 273.15)) - F)) - OFFSET).astype("<u2")


def radiometric_jpeg(celsius: np.ndarray) -> bytes:
    """A JPEG that carries the records of raw values (type 1) and camera (type 32), in two segments."""
    raw = raw_values(celsius)
    image = struct.pack("<HHH", 2, raw.shape[1], raw.shape[0]).ljust(32, b"\0") + raw.tobytes()
    camera = bytearray(1024)
    struct.pack_into("<6f", camera, 32, 1.0, 0.0, 293.15, 293.15, 293.15, 1.0)  # emissivity, distance, air, window
    struct.pack_into("<f", camera, 60, 0.5)
    struct.pack_into("<3f", camera, 88, R1, B, F)
    struct.pack_into("<5f", camera, 112, 0.0066, 0.0126, -0.0023, -0.0067, 1.9)
    struct.pack_into("<if", camera, 776, OFFSET, R2)
    begin = 64 + 2 * 32
    records = struct.pack(">HHIIII12x", 1, 2, 100, 1, begin, len(image))
    records += struct.pack(">HHIIII12x", 32, 1, 100, 2, begin + len(image), len(camera))
    # The reader counts the header as the first two entries of its directory.
    content = b"FFF\0" + b"test".ljust(16, b"\0") + struct.pack(">III", 100, 64, 4)
    content = content.ljust(64, b"\0") + records + image + bytes(camera)
    half = len(content) // 2
    segments = b""
    for number, part in enumerate((content[:half], content[half:])):
        body = b"FLIR\0\1" + bytes([number, 1]) + part
        segments += b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    exif = Image.Exif()
    exif[306] = "2016:03:04 10:11:12"
    file = io.BytesIO()
    colours = np.random.default_rng(0).integers(0, 255, (*celsius.shape, 3), np.uint8)
    Image.fromarray(colours).save(file, "JPEG", exif=exif)
    picture = file.getvalue()
    return picture[:2] + segments + picture[2:]


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
