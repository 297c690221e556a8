"""The only decoder of image files: everything a stranger's image can do wrong ends in one of three reasons."""

import warnings
from pathlib import Path

from PIL import Image

MAX_PIXELS = 50_000_000  # no thermal camera comes near; a larger claim is a damaged or a hostile header
_TOO_LARGE = f"frames that declare more than {MAX_PIXELS // 1_000_000} megapixels"


def read_image(path: Path) -> Image.Image:
    """Decode one image file whole.

    Raises ValueError with the reason where it cannot be used: truncated, not an image, absurdly large.
    """
    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the next line is stricter
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(_TOO_LARGE)
            image.load()
            return image
    except Image.DecompressionBombError:
        raise ValueError(_TOO_LARGE) from None
    except OSError as error:
        known = "truncated" in str(error) or "broken" in str(error)
        raise ValueError("truncated frames" if known else "frames that cannot be read as images") from None
    except (SyntaxError, IndexError) as error:  # what Pillow's parsers raise on damaged headers
        raise ValueError("frames that cannot be read as images") from error
