"""Radiometric JPEGs in FLIR's layout."""

import io
import struct

import numpy as np
from PIL import Image

R1, R2, B, F, OFFSET = 20000.0, 0.0125, 1500.0, 1.0, -7000


def raw_values(celsius: np.ndarray) -> np.ndarray:
    """The camera's 16 bit values of temperatures seen at no distance with emissivity 1, by Planck's law."""
    return np.rint(R1 / (R2 * (np.exp(B / (celsius + 273.15)) - F)) - OFFSET).astype("<u2")


def radiometric_jpeg(
    celsius: np.ndarray, image: bytes = b"", orientation: int = 1, shape: tuple[int, ...] = ()
) -> bytes:
    """A JPEG that carries the records of raw values (type 1) and camera (type 32), in two segments.

    `image`: the record of raw values, where it is to be another one; `orientation` of EXIF and `shape` are the
    picture's, which is as large as the values by default.
    """
    raw = raw_values(celsius)
    image = image or struct.pack("<HHH", 2, raw.shape[1], raw.shape[0]).ljust(32, b"\0") + raw.tobytes()
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
    exif[0x0112] = orientation
    exif[306] = "2016:03:04 10:11:12"
    file = io.BytesIO()
    colours = np.random.default_rng(0).integers(0, 255, (*(shape or celsius.shape), 3), np.uint8)
    Image.fromarray(colours).save(file, "JPEG", exif=exif)
    picture = file.getvalue()
    return picture[:2] + segments + picture[2:]
