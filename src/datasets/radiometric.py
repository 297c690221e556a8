"""Radiometric JPEGs of FLIR cameras: temperatures behind the picture, read with the optional library flyr."""

import importlib.util
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from src.errors import UserError


def is_radiometric(image: Image.Image) -> bool:
    """Whether a JPEG that was opened carries FLIR's raw values."""
    segments: list[tuple[str, bytes]] = getattr(image, "applist", [])
    return any(marker == "APP1" and content.startswith(b"FLIR\0") for marker, content in segments)


def require_flyr() -> None:
    """UserError says how to install flyr where it is missing."""
    if importlib.util.find_spec("flyr") is None:
        raise UserError("radiometric FLIR JPEGs are read with the library flyr: python -m pip install flyr==5.1.0")


def read_radiometric(path: Path) -> NDArray[np.float32]:
    """Temperatures float32 [H, W] in degrees Celsius, with the emissivity and distances that were set in the camera.

    Raises UserError where flyr is missing or the file cannot be read.
    """
    require_flyr()
    import flyr  # slow to import, and few people need it

    try:
        celsius = flyr.unpack(io.BytesIO(path.read_bytes())).celsius
    except OSError as error:
        raise UserError(f"the radiometric JPEG cannot be read ({error.strerror or error})") from error
    except Exception as error:  # flyr's parser lets through whatever a damaged record makes Python raise
        raise UserError(f"the radiometric JPEG is damaged ({type(error).__name__})") from error
    degrees = np.asarray(celsius, dtype=np.float32)
    if degrees.ndim != 2 or not np.isfinite(degrees).all():
        raise UserError("the radiometric JPEG holds values that are not finite")
    return degrees
