"""The only decoder of image files: everything a stranger's image can do wrong ends in one of three reasons."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MAX_PIXELS = 50_000_000  # no thermal camera comes near; a larger claim is a damaged or a hostile header
_TOO_LARGE = f"frames that declare more than {MAX_PIXELS // 1_000_000} megapixels"


def read_image(path: Path, reduced: bool = False) -> Image.Image:
    """Decode one image file whole; `reduced` gives a JPEG at an eighth of its size, in a fraction of the time.

    Raises ValueError with the reason where it cannot be used: truncated, not an image, absurdly large.
    """
    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the next line is stricter
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(_TOO_LARGE)
            if reduced:
                image.draft("RGB", (image.width // 8, image.height // 8))
            image.load()
            return image
    except Image.DecompressionBombError:
        raise ValueError(_TOO_LARGE) from None
    except OSError as error:
        known = "truncated" in str(error) or "broken" in str(error)
        raise ValueError("truncated frames" if known else "frames that cannot be read as images") from None
    except (SyntaxError, IndexError) as error:  # what Pillow's parsers raise on damaged headers
        raise ValueError("frames that cannot be read as images") from error


def is_colour(pixels: NDArray[Any]) -> bool:
    """Whether an image [H, W, 3] is more than gray in three channels."""
    return bool(np.ptp(pixels, axis=-1).mean() > 8)  # JPEG rounding of R = G = B stays below 2
